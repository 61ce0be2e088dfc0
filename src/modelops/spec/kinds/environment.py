"""kind: Environment — what runs deployments, in which order releases pass, and who may call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.meta import LONGEST_DAYS, Name, Plugin, Shelf, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.ENVIRONMENT


class EnvironmentSpec(Strict):
    """The spec of an Environment.

    ``order`` places it in the chain of promotion: a release enters only after it was stable in the environment of the
    next lower order. Without an order it stands outside the chain. ``promotion: automatic`` sets every new release as
    candidate in the commit that makes the release. ``rollout: direct`` lets a candidate that loads and answers its
    smoke rows become stable without traffic to judge it by, for environments that have none. ``access`` names the
    access policy that says who may call its server. ``logDays`` is how long its predictions are kept, by whole days
    and never shorter than a monitor or a running rollout looks back; without it they are kept for ever. While the
    budget of an objective in ``freeze`` is spent, as the monitor here found last, no trial of the model begins.
    """

    target: Annotated[Plugin, Shelf("targets")]
    order: Annotated[int, Field(ge=0)] | None = None
    promotion: Literal["automatic", "pull-request"] = "pull-request"
    rollout: Literal["plan", "direct"] = "plan"
    access: Name | None = None
    log_days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] | None = None
    freeze: tuple[Literal["availability", "latency"], ...] = ()


def problems(environment: Resource[EnvironmentSpec], around: Around) -> Iterator[Problem]:
    """Yield what an environment says about others that does not hold."""
    access, order = environment.spec.access, environment.spec.order
    if access is not None and not around.known.has("AccessPolicy", None, access):
        hint = nearest(access, around.known.all("AccessPolicy"), "access policies")
        yield at(environment, "spec.access", "unknown-access", f"there is no access policy {access!r}", hint)
    if order is None:
        return
    # Of several with one order the first by name has it, and the others are told.
    same = min(other.name for other in around.policies.of("Environment").values() if other.spec.order == order)
    if same != environment.name:
        said = f"{same!r} has the order {order} too"
        yield at(environment, "spec.order", "duplicate-order", said, "give each environment its own place in the chain")
