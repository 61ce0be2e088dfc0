"""kind: AlertPolicy — who hears of what, by which way, and how often at most."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.meta import Plugin, Risk, Shelf, Strict
from modelops.spec.resource import AnyResource, Resource, at

PLACE = layout.policy("alerting")
STALLS = False

Happening = Literal[
    "stalled", "rolled-back", "drift", "performance", "inputs", "silent", "burn", "slow-burn", "anomaly"
]
"""What can happen to a seat."""
Event = Literal[Happening, "recovered"]
Tier = Literal["page", "ticket", "record"]
"""Somebody is woken, somebody looks in working hours, nobody is told."""
TIERS: Mapping[Happening, Tier] = {
    "stalled": "ticket",
    "rolled-back": "ticket",
    "drift": "ticket",
    "performance": "page",
    "inputs": "ticket",
    "silent": "page",
    "burn": "page",
    "slow-burn": "ticket",
    "anomaly": "ticket",
}
"""How urgent an event is where the policy does not say: a page is for what hurts those who rely on the answers."""


class Route(Strict):
    """Which events of whose models are sent by one way.

    A cause is told once, and again only after it was over. Who was told of it hears of its end, by ``recovered``. The
    plugin in ``send`` is the way.
    """

    events: tuple[Event, ...] = Field(
        default=(*TIERS, "recovered"),
        min_length=1,
        description="what is told; rolled-back is a release that a rollout withdrew and denied, inputs are values that "
        "are missing, unseen, constant or in other units, silent is traffic that is not there, burn and slow-burn are "
        "an error budget that is spent fast, or too soon, anomaly is hours that are unlike the weeks before",
    )
    tiers: tuple[Tier, ...] = Field(default=("page", "ticket"), min_length=1, description="how urgent")
    owners: tuple[str, ...] = Field(default=("*",), min_length=1, description="`spec.owner` of models, or * for all")
    environments: tuple[str, ...] = Field(default=("*",), min_length=1, description="names, or * for all")
    risk: tuple[Risk, ...] = Field(
        default=("minimal", "limited", "high"), min_length=1, description="the risk tiers of the models"
    )
    send: Annotated[Plugin, Shelf("alerts")]
    at_most_every: int | None = Field(
        default=None, ge=1, description="minutes after which what still lasts is told again; without it, never"
    )
    pages_per_day: int | None = Field(
        default=None,
        ge=1,
        description="how many pages an owner gets by this way in 24 hours; what is more comes in one digest. A way "
        "whose other side keeps its own state, such as alertmanager, is sent all",
    )


class AlertPolicySpec(Strict):
    """The spec of the AlertPolicy; a repository without one sends nothing.

    ``tiers`` says how urgent an event is: page, ticket, or record, which is told to nobody who does not ask for it. A
    wrong file keeps no model from anything: what was right before goes on to be used, and passes say so.
    """

    tiers: dict[Happening, Tier] = Field(
        default={},
        description="by event; without a word performance and silent are a page, and all others a ticket",
    )
    routes: tuple[Route, ...] = Field(min_length=1, description="each is asked on its own: one event can go two ways")
    timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="how long telling may hold up a pass, all ways together; the rest is told in the next one",
    )

    def tier(self, event: Happening) -> Tier:
        """Return how urgent an event is."""
        return self.tiers.get(event, TIERS[event])


def problems(policy: Resource[AlertPolicySpec], around: Around) -> Iterator[Problem]:
    """Yield the environments and owners that routes name and that do not exist."""
    for index, route in enumerate(policy.spec.routes):
        for position, name in enumerate(route.environments):
            if name != "*" and not around.known.has("Environment", None, name):
                hint = nearest(name, [*around.known.all("Environment"), "*"], "environments")
                where = f"spec.routes[{index}].environments[{position}]"
                yield at(policy, where, "unknown-environment", f"there is no environment {name!r}", hint)
    yield from unknown_owners(policy, owners_of(around))


def owners_of(around: Around) -> frozenset[str] | None:
    """Return who owns a model; None where a model was not read, or there is none yet, as nothing can be said then."""
    models = [folder.only("Model") for folder in around.policies.folders.values()]
    found = [model for model in models if model is not None]
    whole = found and len(found) == len(around.known.models)
    return frozenset(model.spec.owner for model in found) if whole else None


def unknown_owners(resource: AnyResource, owners: Collection[str] | None) -> Iterator[Problem]:
    """Yield the owners whom routes, or a silence, name and who own no model."""
    spec = resource.spec
    lists = (
        [(f"spec.routes[{index}].owners", route.owners) for index, route in enumerate(spec.routes)]
        if isinstance(spec, AlertPolicySpec)
        else [("spec.owners", spec.owners)]
    )
    for dotted, named in lists if owners is not None else ():
        for position, name in enumerate(named):
            if name != "*" and name not in (owners or ()):
                hint = f"{nearest(name, [*(owners or ()), '*'], 'owners')}; one without a model is told of nothing"
                yield at(resource, f"{dotted}[{position}]", "unknown-owner", f"no model is owned by {name!r}", hint)
