"""What a window of the prediction log said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from modelops.drift import Level, Score
from modelops.spec.kinds.release import MetricValue

__all__ = ["FeatureReport", "Level", "PerformanceReport", "Rate", "Verdict", "WindowReport", "worst"]

Verdict = Literal["pass", "fail", "inconclusive", "no-data"]


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
    """Drift and input quality of one feature; ``unseen`` is for categories, ``out_of_range`` for numbers.

    ``scores`` are those of the monitor's scores that can score such a column, by their type.
    """

    name: str
    scores: Mapping[str, Score]
    missing: Rate
    unseen: Rate | None = None
    out_of_range: Rate | None = None

    @property
    def level(self) -> Level:
        """The gravest level of any score."""
        return worst(self.scores.values())

    @property
    def strength(self) -> float:
        """The strongest score in units of its limit, by which features are ranked."""
        return max((score.strength for score in self.scores.values()), default=0.0)


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """The watched metric on the labels that have arrived.

    ``labelled`` of ``predictions`` answers have a label so far. ``fail``: the whole interval lies beyond the limit;
    ``inconclusive``: the value does, the interval does not; ``no-data``: fewer labels than required, undefined, or
    withheld. The interval is that of one of ``looks`` so far, all of which keep the stated level together.
    ``selection`` says how labels depend on what was answered, and what was done about it.
    """

    metric: str
    verdict: Verdict
    value: MetricValue | None
    minimum: float | None
    maximum: float | None
    labelled: int
    predictions: int
    reason: str
    looks: int = 0
    selection: str = ""

    @property
    def labelled_share(self) -> float:
        """Share of the predictions whose label has arrived."""
        return self.labelled / self.predictions if self.predictions else 0.0


@dataclass(frozen=True, slots=True)
class WindowReport:
    """Everything that was found in the window ``since <= time < until``.

    ``rows`` are the logged rows, ``failed`` those without an answer. ``scores`` are those of what the model answered.
    ``findings`` are sentences, the gravest first. ``release`` is the one whose answers were judged,
    ``like`` the stretch of the snapshot that the inputs were held against, "" for all of its rows.
    """

    model: str
    since: datetime
    until: datetime
    rows: int
    failed: int
    level: Level
    features: tuple[FeatureReport, ...]
    scores: Mapping[str, Score]
    performance: PerformanceReport | None
    findings: tuple[str, ...]
    release: int | None = None
    like: str = ""

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the features whose drift is an alert, the strongest first."""
        alerts = [feature for feature in self.features if feature.level == "alert"]
        return tuple(feature.name for feature in sorted(alerts, key=lambda each: -each.strength))


def worst(scores: Iterable[Score]) -> Level:
    """Return the gravest level of some scores; no-data where none could be measured."""
    levels = {score.level for score in scores}
    order: tuple[Level, ...] = ("alert", "warn", "none")
    return next((level for level in order if level in levels), "no-data")
