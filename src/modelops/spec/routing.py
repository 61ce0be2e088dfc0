"""The routing table: the one file that says what a server answers with; a target writes it, the server watches it."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelops.spec.access import ApiKey
from modelops.spec.meta import Digest, ModelName, Name, Share, Strict

FILE_NAME = "routes.json"

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


class Mirror(Strict):
    """What shadow copies may cost: how many run at once, how long one may take, and how many may wait."""

    concurrency: Annotated[int, Field(ge=1, le=64)] = 2
    timeout_ms: Annotated[float, Field(gt=0)] = 1000.0
    queue: Annotated[int, Field(ge=1, le=65_536)] = 256


class Route(Strict):
    """How one model is answered: its arms (weights sum to 1), the salt of the assignment, and the log's settings.

    ``step`` counts the rollout's steps and is written with each prediction, so that analysis can tell them apart.
    """

    arms: tuple[RouteArm, ...] = Field(min_length=1, max_length=8)
    salt: str
    step: int = 0
    log: Literal["acknowledged", "buffered", "off"] = "buffered"
    log_full: Literal["refuse", "drop"] = "refuse"
    entity: str | None = None
    latency_objective_ms: float = 50.0
    mirror: Mirror = Mirror()

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if len({arm.name for arm in self.arms}) < len(self.arms):
            raise ValueError("two arms have the same name")
        if not math.isclose(sum(arm.weight for arm in self.arms), 1.0, abs_tol=1e-6):
            raise ValueError("the weights of the arms do not sum to 1")
        if any(arm.shadow and arm.weight for arm in self.arms):
            raise ValueError("an arm that shadows cannot take traffic")
        return self


class RoutingTable(Strict):
    """All routes of one environment, and who may call it: without ``keys`` everyone who reaches it."""

    environment: Name
    models: dict[ModelName, Route]
    keys: tuple[ApiKey, ...] | None = None
