"""From a measured distance to a level: a large effect that chance seldom gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from modelops.drift import Level, Score
from modelops.statistics.chance import Chance

__all__ = ["Limits", "judged", "require_order", "significance"]


class Limits(Protocol):
    """What the parameters of a score must have to be judged here."""

    @property
    def warn(self) -> float: ...

    @property
    def alert(self) -> float: ...

    @property
    def minimum(self) -> int: ...

    @property
    def significance(self) -> float: ...


def significance(params: Limits) -> float:
    """Return the chance of any level without drift over everything that is scored together."""
    return params.significance


def require_order(params: Limits) -> None:
    """Refuse limits by which a window would be an alert before it is a warning."""
    if params.warn > params.alert:
        raise ValueError(f"warn, {params.warn:g}, is above alert, {params.alert:g}")


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
