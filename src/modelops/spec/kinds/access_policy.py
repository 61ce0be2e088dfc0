"""Who may call an environment's server: the spec of an AccessPolicy, and part of the routing table."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelops.spec import layout
from modelops.spec.meta import LONGEST_DAYS, ModelName, Name, Strict

PLACE = layout.ACCESS


Scope = Literal["infer", "feedback", "admin"]


class Rate(Strict):
    """A token bucket: ``requestsPerSecond`` on average, and up to ``burst`` at once."""

    requests_per_second: Annotated[float, Field(gt=0)]
    burst: Annotated[int, Field(ge=1)] = 1


class Budget(Strict):
    """How many rows may be predicted in a window of ``hours``; more looks like somebody copying the model."""

    rows: Annotated[int, Field(ge=1)]
    hours: Annotated[float, Field(gt=0, le=24 * LONGEST_DAYS)] = 24.0


DIGESTED = "_sha256"
"""What follows a variable's name in the name of the one that holds the SHA-256 of its key; no variable ends so."""


class ApiKey(Strict):
    """One caller. Of the key itself only the SHA-256 is kept, or the name of the server's variable that holds the key.

    ``models`` are names, or * for all. ``admin`` reads metrics and status and loads and unloads models.
    """

    name: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    variable: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    models: tuple[ModelName | Literal["*"], ...] = Field(default=("*",), min_length=1)
    scopes: tuple[Scope, ...] = Field(default=("infer", "feedback"), min_length=1)
    rate: Rate | None = None
    budget: Budget | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.sha256 is None) == (self.variable is None):
            raise ValueError("a key has either sha256 or variable")
        return self


class AccessPolicySpec(Strict):
    """The spec of an AccessPolicy: the keys that a server accepts; without a policy everyone who reaches it may call.

    Rates and budgets count for all worker processes of a server together.
    """

    keys: tuple[ApiKey, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> Self:
        for what in ("name", "sha256", "variable"):
            values = [value for key in self.keys if (value := getattr(key, what)) is not None]
            if len(set(values)) < len(values):
                raise ValueError(f"two keys have the same {what}")
        return self
