"""kind: AlertPolicy — who hears of what, by which way, and how often at most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.meta import Plugin, Risk, Shelf, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.policy("alerting")
STALLS = False

Event = Literal["stalled", "rolled-back", "drift", "performance", "recovered"]


class Route(Strict):
    """Which events of which models are sent by one way.

    A cause is told once, and again only after it was over. Who was told of it hears of its end, by ``recovered``. The
    plugin in ``send`` is the way.
    """

    events: tuple[Event, ...] = Field(
        default=("stalled", "rolled-back", "drift", "performance", "recovered"),
        min_length=1,
        description="what is told; rolled-back is a release that a rollout withdrew and denied",
    )
    environments: tuple[str, ...] = Field(default=("*",), min_length=1, description="names, or * for all")
    risk: tuple[Risk, ...] = Field(
        default=("minimal", "limited", "high"), min_length=1, description="the risk tiers of the models"
    )
    send: Annotated[Plugin, Shelf("alerts")]
    at_most_every: int | None = Field(
        default=None, ge=1, description="minutes after which what still lasts is told again; without it, never"
    )


class AlertPolicySpec(Strict):
    """The spec of the AlertPolicy; a repository without one sends nothing.

    A wrong file keeps no model from anything: what was right before goes on to be used, and passes say so.
    """

    routes: tuple[Route, ...] = Field(min_length=1, description="each is asked on its own: one event can go two ways")
    timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="how long telling may hold up a pass, all ways together; the rest is told in the next one",
    )


def problems(policy: Resource[AlertPolicySpec], around: Around) -> Iterator[Problem]:
    """Yield the environments that routes name and that do not exist."""
    for index, route in enumerate(policy.spec.routes):
        for position, name in enumerate(route.environments):
            if name != "*" and not around.known.has("Environment", None, name):
                hint = nearest(name, [*around.known.all("Environment"), "*"], "environments")
                where = f"spec.routes[{index}].environments[{position}]"
                yield at(policy, where, "unknown-environment", f"there is no environment {name!r}", hint)
