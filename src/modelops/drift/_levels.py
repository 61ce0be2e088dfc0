"""From a measured distance to a level: a large effect that chance seldom gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Self

from pydantic import Field, model_validator

from modelops.drift import Level, Score
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.chance import Chance

__all__ = ["Limits", "judged", "significance"]


class Limits(Strict):
    """From which distance on a window counts as drifted: what every score that is judged here is asked for.

    ``minimum``: rows or values a window must have to be scored. ``significance``: chance of any level without drift,
    over all columns that are scored together. Each score has ``warn`` and ``alert`` of its own.
    """

    warn: Annotated[float, Field(gt=0)]
    alert: Annotated[float, Field(gt=0)]
    minimum: Annotated[int, Field(ge=1)] = 200
    significance: OpenShare = 0.01

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn > self.alert:
            raise ValueError(f"warn, {self.warn:g}, is above alert, {self.alert:g}")
        return self


def significance(params: Limits) -> float:
    """Return the chance of any level without drift over everything that is scored together."""
    return params.significance


def judged(
    name: str,
    limits: Limits,
    n: int,
    m: int,
    measured: Callable[[], tuple[float, Chance]],
    direction: Callable[[], str] = str,
) -> Score:
    """Return the score of m window rows against n reference rows; fewer than the minimum have a value and no level."""

    def score(value: float, chance: Chance, level: Level, reason: str) -> Score:
        expected, critical = chance.expected, chance.critical
        way = direction() if n and m else ""
        return Score(name, value, expected, critical, limits.warn, limits.alert, level, n, m, reason, way)

    if n == 0 or m == 0:
        empty = "the reference" if n == 0 else "the window"
        return score(0.0, Chance(0.0, 0.0), "no-data", f"{empty} is empty")
    value, chance = measured()
    if m < limits.minimum:
        return score(value, chance, "no-data", f"{m} rows, fewer than {limits.minimum}")
    return score(value, chance, *_level(name, limits, value, chance.critical))


def _level(name: str, limits: Limits, value: float, critical: float) -> tuple[Level, str]:
    if value <= limits.warn:
        return "none", f"{name} {value:.3f} is not above {limits.warn:g}"
    if value <= critical:
        return "none", f"{name} {value:.3f} is within what chance gives at these sizes ({critical:.3f})"
    if value <= limits.alert:
        return "warn", f"{name} {value:.3f} is above {limits.warn:g} and above chance ({critical:.3f})"
    return "alert", f"{name} {value:.3f} is above {limits.alert:g} and above chance ({critical:.3f})"
