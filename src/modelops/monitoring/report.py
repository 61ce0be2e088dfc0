"""What a window of the prediction log said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from modelops.drift import Score
from modelops.spec.delivery import MetricValue

__all__ = ["FeatureReport", "Level", "PerformanceReport", "Rate", "WindowReport"]

Level = Literal["none", "warn", "alert", "no-data"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of the rows in the window against its share in the reference.

    ``raised`` says that it rose by more than five points and by more than chance gives.
    """

    value: float
    reference: float
    raised: bool


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """Drift and input quality of one feature; ``unseen`` is for categories, ``out_of_range`` for numbers."""

    name: str
    drift: Score
    missing: Rate
    unseen: Rate | None = None
    out_of_range: Rate | None = None


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """The watched metric on the labels that have arrived.

    ``labelled`` of ``predictions`` answers have a label so far. ``fail``: the whole interval lies beyond the limit;
    ``inconclusive``: the value does, the interval does not; ``no-data``: fewer labels than required, or undefined.
    """

    metric: str
    verdict: Literal["pass", "fail", "inconclusive", "no-data"]
    value: MetricValue | None
    minimum: float | None
    maximum: float | None
    labelled: int
    predictions: int
    reason: str

    @property
    def labelled_share(self) -> float:
        """Share of the predictions whose label has arrived."""
        return self.labelled / self.predictions if self.predictions else 0.0


@dataclass(frozen=True, slots=True)
class WindowReport:
    """Everything that was found in the window ``since <= time < until``.

    ``rows`` are the logged rows, ``failed`` those without an answer. ``findings`` are sentences, the gravest first.
    """

    model: str
    since: datetime
    until: datetime
    rows: int
    failed: int
    level: Level
    features: tuple[FeatureReport, ...]
    score: Score | None
    performance: PerformanceReport | None
    findings: tuple[str, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the features whose drift is an alert, the strongest first."""
        alerts = [feature for feature in self.features if feature.drift.level == "alert"]
        return tuple(feature.name for feature in sorted(alerts, key=lambda each: -each.drift.value))
