"""The routing table: the one file that says what a server answers with; a target writes it, the server watches it."""

from __future__ import annotations

import json
import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from modelops.digests import digest_bytes
from modelops.spec.kinds.access_policy import ApiKey
from modelops.spec.kinds.model import LogMode, Serving, WhenLogFull
from modelops.spec.meta import MOST_ARMS, Digest, ModelName, Name, Share, Strict

FILE_NAME = "routes.json"

LATENCY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds at which the server counts how many answers were faster; what is asked of times is asked at these."""

_UNSAID = Serving()

ArmName = Annotated[str, Field(pattern=r"^(stable|candidate|challenger-[1-9][0-9]*)$")]


class RouteArm(Strict):
    """One release of a model and its share of the traffic; ``digest`` is the artifact's manifest in the store.

    An arm without weight is loaded and warm and answers only those who ask for its version. With ``shadow`` it gets a
    copy of that share of the requests, and nobody sees its answers.
    """

    name: ArmName
    release: Annotated[int, Field(ge=1)]
    digest: Digest
    weight: Share
    shadow: Share = 0.0


class Route(Strict, extra="ignore"):
    """How one model is answered: its arms (weights sum to 1), the salt of the assignment, and the log's settings.

    ``step`` is the rollout's step, counted from 1, and 0 without a rollout. It is written with each prediction, so that
    the traffic of a rollout is never mixed with what ran before it. ``review`` is the share of the answers that are
    drawn for review, whatever they say. What another version wrote into a route beside these, as 0.1.0 did, is passed
    over: what runs must stay readable.
    """

    arms: tuple[RouteArm, ...] = Field(min_length=1, max_length=MOST_ARMS)
    salt: str
    step: int = 0
    log: LogMode = _UNSAID.log
    log_full: WhenLogFull = _UNSAID.log_full
    entity: str | None = _UNSAID.entity
    latency_objective_ms: float = _UNSAID.latency_objective_ms
    review: Share = 0.0
    reasons_limit_ms: float = _UNSAID.reasons_limit_ms

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if len({arm.name for arm in self.arms}) < len(self.arms):
            raise ValueError("two arms have the same name")
        if not math.isclose(sum(arm.weight for arm in self.arms), 1.0, abs_tol=1e-6):
            raise ValueError("the weights of the arms do not sum to 1")
        if any(arm.shadow and arm.weight for arm in self.arms):
            raise ValueError("an arm that shadows cannot take traffic")
        return self


def route_of(serving: Serving, arms: tuple[RouteArm, ...], salt: str, step: int = 0, review: float = 0.0) -> Route:
    """Return the route of a model that is to be answered as its spec says."""
    return Route(
        arms=arms,
        salt=salt,
        step=step,
        log=serving.log,
        log_full=serving.log_full,
        entity=serving.entity,
        latency_objective_ms=serving.latency_objective_ms,
        review=review,
        reasons_limit_ms=serving.reasons_limit_ms,
    )


class RoutingTable(Strict):
    """All routes of one environment, and who may call it: without ``keys`` everyone who reaches it."""

    environment: Name
    models: dict[ModelName, Route]
    keys: tuple[ApiKey, ...] | None = None


def table_text(table: RoutingTable) -> str:
    """Return the one spelling of a routing table: what is written, mounted, watched and digested."""
    data = table.model_dump(by_alias=True, mode="json")
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def table_digest(table: RoutingTable) -> str:
    """Return the digest by which server and reconciler name a routing table."""
    return digest_bytes(table_text(table).encode())
