"""The routing table: the one file that says what a server answers with; a target writes it, the server watches it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelops.spec.meta import Digest, ModelName, Name, Share, Strict

FILE_NAME = "routes.json"


class RouteArm(Strict):
    """One release of a model and its share of the traffic; ``digest`` is the artifact's manifest in the store."""

    name: Literal["stable", "candidate"]
    release: Annotated[int, Field(ge=1)]
    digest: Digest
    weight: Share


class Route(Strict):
    """How one model is answered: its arms (weights sum to 1), the salt of the assignment, and the log's settings.

    ``step`` counts the rollout's steps and is written with each prediction, so that analysis can tell them apart.
    """

    arms: tuple[RouteArm, ...] = Field(min_length=1, max_length=2)
    salt: str
    step: int = 0
    log: Literal["acknowledged", "buffered", "off"] = "buffered"
    entity: str | None = None
    latency_objective_ms: float = 50.0


class RoutingTable(Strict):
    """All routes of one environment."""

    environment: Name
    models: dict[ModelName, Route]
