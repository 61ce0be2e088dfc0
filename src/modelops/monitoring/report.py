"""What a window of the prediction log said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Literal

from modelops.drift import Level, Score
from modelops.metrics.unlabelled import Expected
from modelops.monitoring.delay import Delay
from modelops.monitoring.feedback.found import Feedback
from modelops.monitoring.upstream.suspect import Suspect
from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.kinds.monitor import Detector
from modelops.spec.kinds.release import MetricValue

__all__ = [
    "ArmReport",
    "Bin",
    "Detected",
    "Distribution",
    "DomainReport",
    "EstimatedReport",
    "FeatureReport",
    "Level",
    "PerformanceReport",
    "Rate",
    "SliceReport",
    "Verdict",
    "WindowReport",
    "worst",
]

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
class Bin:
    """Rows of the reference and of the window that lie in one bin, in numbers of rows; ``name`` says which values."""

    name: str
    reference: int
    window: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """A column of the window beside the reference's, counted in the same bins: those of the reference, joined to a few.

    Bins of numbers hold about the same share of the reference each; the first and the last one have no other end.
    """

    reference: Summary
    window: Summary

    @property
    def bins(self) -> tuple[Bin, ...]:
        """Every bin in the order of its values, then what no bin is for, if there is any on either side."""
        one, other = self.reference, self.window
        names = one.categories if one.kind == "category" else tuple(_ranges(one.edges))
        rest = (("(others)", one.other, other.other), ("(missing)", one.missing, other.missing))
        listed = tuple(map(Bin, names, one.counts, other.counts))
        return (*listed, *(Bin(*each) for each in rest if any(each[1:])))

    @property
    def rows(self) -> tuple[int, int]:
        """How many rows of the reference and of the window were counted, missing values included."""
        return sum(one.reference for one in self.bins), sum(one.window for one in self.bins)


def _ranges(edges: tuple[float, ...]) -> Iterator[str]:
    """Name the bins between inner edges; a value at an edge lies above it."""
    if not edges:
        yield "all numbers"
        return
    yield f"below {edges[0]:.6g}"
    for low, high in pairwise(edges):
        yield f"{low:.6g} to {high:.6g}"
    yield f"from {edges[-1]:.6g}"


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """Drift and input quality of one feature; ``unseen`` is for categories, ``out_of_range`` for numbers.

    ``scores`` are those of the monitor's scores that can score such a column, by their type. ``share`` is the feature's
    part in what all are worth to the release, None where that is not known, and ``carries`` tells that it is among the
    few that carry the model. ``distribution`` is None where it was not counted.
    """

    name: str
    scores: Mapping[str, Score]
    missing: Rate
    unseen: Rate | None = None
    out_of_range: Rate | None = None
    share: float | None = None
    carries: bool = False
    distribution: Distribution | None = None

    @property
    def level(self) -> Level:
        """The gravest level of any score."""
        return worst(self.scores.values())

    @property
    def strength(self) -> float:
        """The strongest score in units of its limit, by which features are ranked."""
        return max((score.strength for score in self.scores.values()), default=0.0)


@dataclass(frozen=True, slots=True)
class Detected:
    """A change that a detector saw at the answer of a time, which is ``label`` of so many ``labels``.

    ``before`` and ``after`` are the shares of wrong answers on both sides of it.
    """

    detector: Detector
    at: datetime
    label: int
    labels: int
    before: float
    after: float


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
class EstimatedReport:
    """The watched metric as it is expected to be without labels; ``no-data`` where it cannot be estimated."""

    metric: str
    verdict: Verdict
    value: Expected | None
    reason: str


@dataclass(frozen=True, slots=True)
class SliceReport:
    """A declared part of the traffic: its answers, their share of all, and the metric on its labels."""

    name: str
    rows: int
    share: float
    performance: PerformanceReport | None


@dataclass(frozen=True, slots=True)
class ArmReport:
    """What another release answered in the window, held against that release's own holdout."""

    release: int
    rows: int
    scores: Mapping[str, Score]
    distribution: Distribution | None = None


@dataclass(frozen=True, slots=True)
class DomainReport:
    """How well a window's rows are told from the reference's: an area under the ROC curve with its interval.

    ``critical`` is what it seldom exceeds without drift, with so many rows of each.
    """

    area: float
    lower: float
    upper: float
    critical: float
    level: Level
    reference_n: int
    window_n: int
    reason: str


@dataclass(frozen=True, slots=True)
class WindowReport:
    """Everything that was found in the window ``since <= time < until``.

    ``rows`` are the logged rows, ``failed`` those without an answer. ``scores`` are those of what the model answered.
    ``findings`` are sentences, the gravest first. ``release`` is the one whose answers were judged,
    ``like`` the stretch of the snapshot that the inputs were held against, "" for all of its rows. ``against`` names
    the reference where it is not the rows that the release was trained on. ``arms`` are the other releases that
    answered, ``estimated`` is the metric without labels, ``delay`` how long labels take,
    and ``domain`` how well the rows are told from the reference's by all features together. ``answers`` is how the
    scores of what ``release`` answered are spread, beside those on its holdout. ``feedback`` is the audit of where
    labels come from, and ``suspects`` are data sources that are the likely cause of what changed. ``detected`` is where
    detectors saw the share of wrong answers move.
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
    against: str = ""
    arms: tuple[ArmReport, ...] = ()
    estimated: EstimatedReport | None = None
    slices: tuple[SliceReport, ...] = ()
    delay: Delay | None = None
    domain: DomainReport | None = None
    answers: Distribution | None = None
    feedback: Feedback | None = None
    suspects: tuple[Suspect, ...] = ()
    detected: tuple[Detected, ...] = ()

    @property
    def strength(self) -> float | None:
        """The strongest drift of a feature or of the answers in units of its limit, None where none was measured."""
        told = [*self.scores.values(), *(score for each in self.features for score in each.scores.values())]
        return max((score.strength for score in told if score.level != "no-data"), default=None)

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
