"""kind: Monitor — what is watched of a model's traffic, and what that triggers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around, Metrics
from modelops.spec.explain import nearest
from modelops.spec.meta import LONGEST_DAYS, OpenShare, Plugin, Shelf, Strict
from modelops.spec.resource import AnyResource, Resource, at

PLACE = layout.MONITOR
LONGEST_CYCLE = LONGEST_DAYS // 53
"""In days: as many cycles as there may be lie within the longest time."""


Detector = Literal["adwin", "page-hinkley"]


class Performance(Strict):
    """The metric watched on labels that have arrived; fails when its whole interval lies beyond a limit.

    ``level`` holds for all looks at a release together, however many there are. Answers count once they are so old that
    ``mature`` of the labels have come, as far as that can be learnt from the labels so far; 0 counts all. ``estimate``
    says what the metric is expected to be before labels come, which warns and does nothing else. ``detectors`` tell
    besides where within a window the share of a classifier's wrong answers moved, and decide nothing.
    """

    metric: str
    minimum: float | None = None
    maximum: float | None = None
    minimum_labels: Annotated[int, Field(ge=1)] = 100
    level: OpenShare = 0.95
    mature: Annotated[float, Field(ge=0, lt=1)] = 0.9
    estimate: bool = False
    detectors: tuple[Detector, ...] = ()


class Reference(Strict):
    """What the inputs and scores of a window are held against.

    ``training``: the rows that the release was trained on, and stretches of them. ``holdout``: the rows that tested it.
    ``traffic``: windows of the same length ``cycleDays`` ago, ``cycles`` of them together, so that with a window of a
    day and a cycle of seven days a Monday is held against Mondays, and with one of an hour against the same hour. Then
    slow change is not seen: the reference changes with it.
    """

    of: Literal["training", "holdout", "traffic"] = "training"
    cycle_days: Annotated[float, Field(gt=0, le=LONGEST_CYCLE)] | None = None
    cycles: Annotated[int, Field(ge=1, le=53)] = 1


class DomainClassifier(Strict):
    """Asks whether a window's rows can be told from the reference's by all features together.

    ``warn`` and ``alert`` are areas under the ROC curve, by default those of one normal feature whose PSI is 0.1 and
    0.25. ``rows`` of each side are taken, evenly; with fewer than ``minimum`` nothing is said. ``significance`` is the
    chance of a level without drift, beside that of the scores.
    """

    warn: Annotated[float, Field(gt=0.5, lt=1)] = 0.59
    alert: Annotated[float, Field(gt=0.5, lt=1)] = 0.64
    rows: Annotated[int, Field(ge=200, le=100_000)] = 5000
    minimum: Annotated[int, Field(ge=100)] = 200
    significance: OpenShare = 0.01


class Slice(Strict):
    """A part of the traffic that is reported by itself: each value of a feature, or a number between edges."""

    feature: str
    edges: tuple[float, ...] = ()


class Objective(Strict):
    """The least share of events that have to be good; the rest is the error budget."""

    target: OpenShare


class LatencyObjective(Objective):
    """Of answers, those within a time: without ``withinMs`` the model's own ``serving.latencyObjectiveMs``."""

    within_ms: Annotated[float, Field(gt=0)] | None = None


class FreshnessObjective(Objective):
    """Of the time, that in which the stable release had been made at most ``withinDays`` ago."""

    within_days: Annotated[float, Field(gt=0, le=LONGEST_DAYS)]


class QualityObjective(Objective):
    """Of answers with a label, those that are right: of a regression, those ``within`` so much of the truth."""

    within: Annotated[float, Field(gt=0)] | None = None


class Objectives(Strict):
    """What is promised of a model over ``periodDays``, each with an error budget of its own.

    A budget that burns opens an incident: fast enough to be told as ``burn``, or slowly as ``slow-burn``, by two
    windows at once. A short window says something from ``minimumEvents`` on, two of them bad.
    """

    period_days: Annotated[int, Field(ge=7, le=90)] = 30
    minimum_events: Annotated[int, Field(ge=1)] = 100
    availability: Objective | None = Field(default=None, description="requests that are answered")
    latency: LatencyObjective | None = None
    freshness: FreshnessObjective | None = None
    quality: QualityObjective | None = None


class Anomalies(Strict):
    """Looks for hours that are unlike those of the weeks before: requests, errors, slow answers and the mean score.

    The baseline is the median of the same hours of the last three weeks, with ``cycle: day`` of the last seven days. A
    model has a false alarm in ``falseAlarmMonths`` on average, as long as hours, less their season and what the hour
    before lets expect, change places by chance. From 22 days of answers on something is said, with ``cycle: day`` from
    10.
    """

    cycle: Literal["day", "week"] = "week"
    false_alarm_months: Annotated[float, Field(ge=1, le=1200)] = 20.0


class Triage(Strict):
    """From when on what is found is an incident, and from when on that is over.

    An incident opens when its cause was found in ``openAfter`` looks in a row, and closes when it was not found in
    ``closeAfter`` in a row. A look counts when the window has moved on by a seventh of its length since the last that
    counted; one without enough rows or labels says nothing. Silence ends with the first request. One that is closed
    leaves a draft of its postmortem as a pull request, unless ``postmortem`` is false.
    """

    open_after: Annotated[int, Field(ge=1, le=20)] = 1
    close_after: Annotated[int, Field(ge=1, le=20)] = 2
    postmortem: bool = True


class Triggers(Strict):
    """What makes a retraining due, any of them.

    ``drift`` and ``performance`` act on what was measured, ``estimatedPerformance`` on the metric that is expected
    without labels, ``newLabels`` on so many labelled rows that the model was not trained on, ``everyDays`` on the time
    since the last retraining was opened, or the stable release took the traffic. ``manual`` lets people ask for one:
    ``modelops monitor ENVIRONMENT --retrain``.
    """

    drift: bool = True
    performance: bool = True
    estimated_performance: bool = False
    new_labels: Annotated[int, Field(ge=1)] | None = None
    every_days: Annotated[float, Field(gt=0, le=LONGEST_DAYS)] | None = None
    manual: bool = True


class Retraining(Strict):
    """When the monitor opens a retraining pull request.

    ``sustained`` windows in a row that do not overlap, of one release, must alert, through a week at least; none is
    opened within ``cooldown_days`` of the last one, twice as many after one that was rejected, four times after two in
    a row, at most a year, nor while one is open, nor beyond ``runs_per_month``, nor while data are broken.
    ``lookback_days`` of labelled rows become the new snapshot, at least ``minimum_rows`` of which are new. A model that
    weights its rows (``data.weight``) has none, as requests and labels bring no weight, unless answers are drawn for
    review: then a row's weight is one by the chance of its label.
    """

    triggers: Triggers = Triggers()
    sustained: Annotated[int, Field(ge=1)] = 1
    cooldown_days: Annotated[int, Field(ge=0, le=LONGEST_DAYS)] = 14
    runs_per_month: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="retrainings that are opened in a calendar month (UTC) at most, those by hand included",
    )
    lookback_days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] = 90
    minimum_rows: Annotated[int, Field(ge=1)] = 500
    keep_reference: bool = Field(default=True, description="also keep the rows that the stable release was trained on")


def _listed(value: Any) -> Any:
    """Return one score as a list of one: version 0.1.0 took a single one and wrote it without a list."""
    return (value,) if isinstance(value, dict) else value


class MonitorSpec(Strict):
    """The spec of a Monitor: the window of the prediction log, what is scored in it, and what that triggers.

    Where a release takes the traffic for ``silent_after_days``, a whole window by default, and no request came in that
    time, monitoring has failed.
    """

    window_days: Annotated[float, Field(gt=0, le=LONGEST_DAYS)] = 30.0
    minimum_requests: Annotated[int, Field(ge=1)] = 200
    drift: Annotated[tuple[Plugin, ...], Shelf("drift"), Field(min_length=1), BeforeValidator(_listed)] = (
        Plugin(type="psi"),
    )
    domain_classifier: DomainClassifier | None = None
    reference: Reference = Reference()
    performance: Performance | None = None
    slices: tuple[Slice, ...] = ()
    objectives: Objectives | None = None
    anomalies: Anomalies | None = None
    triage: Triage = Triage()
    retraining: Retraining | None = None
    silent_after_days: Annotated[float, Field(gt=0, le=LONGEST_DAYS)] | None = None


def problems(monitor: Resource[MonitorSpec], around: Around) -> Iterator[Problem]:
    """Yield what is wrong with the scores and the metric that a monitor watches."""
    yield from _named_twice(monitor)
    yield from _without_weights(monitor, around)
    yield from _reference(monitor)
    yield from _slices(monitor, around)
    yield from _triggers(monitor)
    yield from _objectives(monitor, around)
    performance = monitor.spec.performance
    if performance is None:
        return
    model = around.folder.only("Model")
    if around.known.metrics is not None:
        task = model.spec.task if model is not None else None
        yield from metric_problems(monitor, performance.metric, task, around.known.metrics)
    if performance.detectors and model is not None and model.spec.task == "regression":
        said = "the detectors take wrong answers, and errors of a regression have no bound"
        yield at(monitor, "spec.performance.detectors", "detector-unbounded", said, "remove `detectors`")
    if performance.minimum is None and performance.maximum is None:
        said = "neither a minimum nor a maximum is set"
        yield at(monitor, "spec.performance", "missing-limit", said, "add `minimum:` or `maximum:`")


def _named_twice(monitor: Resource[MonitorSpec]) -> Iterator[Problem]:
    types = [plugin.type for plugin in monitor.spec.drift]
    for index, name in enumerate(types):
        if name in types[:index]:
            said = f"the score {name!r} is named twice"
            yield at(monitor, f"spec.drift[{index}]", "score-twice", said, "name each score once")


def _reference(monitor: Resource[MonitorSpec]) -> Iterator[Problem]:
    """Refuse a reference that would hold the window itself, and a cycle of what has none."""
    reference, days = monitor.spec.reference, monitor.spec.window_days
    if reference.of == "traffic":
        if reference.cycle_days is None:
            said = "traffic of which time is the reference is not said"
            yield at(monitor, "spec.reference", "reference-time", said, f"add `cycleDays:`, {days:g} or more")
        elif reference.cycle_days < days:
            said = f"a window of {days:g} days and one {reference.cycle_days:g} days before it share rows"
            hint = f"say {days:g} days or more, or shorten windowDays"
            yield at(monitor, "spec.reference.cycleDays", "reference-overlaps", said, hint)
    elif isinstance(reference.cycle_days, float) or reference.cycles != 1:
        said = f"cycles are of traffic, and the reference is the {reference.of} rows"
        yield at(monitor, "spec.reference", "reference-time", said, "remove cycleDays and cycles, or say `of: traffic`")


def _slices(monitor: Resource[MonitorSpec], around: Around) -> Iterator[Problem]:
    """Refuse slices of what is not logged, of numbers without edges, and edges that do not rise."""
    model = around.folder.only("Model")
    features = {each.name: each.type for each in model.spec.data.features} if model is not None else None
    for index, each in enumerate(monitor.spec.slices):
        where = f"spec.slices[{index}]"
        if features is not None and each.feature not in features:
            said = f"{each.feature!r} is no feature of the model, so the log does not have it"
            yield at(monitor, f"{where}.feature", "unknown-feature", said, nearest(each.feature, features, "features"))
            continue
        kind = features[each.feature] if features is not None else None
        if kind in ("number", "integer", "datetime") and each.edges == ():
            said = f"{each.feature!r} is a {kind}, and nothing says where its parts end"
            yield at(monitor, where, "slice-edges", said, "add `edges:`, the numbers at which a part begins")
        elif kind in ("boolean", "category") and each.edges:
            said = f"{each.feature!r} is a {kind}, which has no edges"
            yield at(monitor, f"{where}.edges", "slice-edges", said, "remove edges: each value is a part")
        elif any(low >= high for low, high in pairwise(each.edges)):
            yield at(monitor, f"{where}.edges", "slice-edges", "the edges do not rise", "write each once, in order")


def _objectives(monitor: Resource[MonitorSpec], around: Around) -> Iterator[Problem]:
    """Refuse objectives that promise nothing, and a quality that cannot be told for the model's task."""
    objectives, model = monitor.spec.objectives, around.folder.only("Model")
    if not isinstance(objectives, Objectives):
        return
    named = (objectives.availability, objectives.latency, objectives.freshness, objectives.quality)
    if all(one is None for one in named):
        said = "nothing is promised"
        hint = "name availability, latency, freshness or quality, or remove `objectives`"
        yield at(monitor, "spec.objectives", "no-objective", said, hint)
    quality = objectives.quality
    if not isinstance(quality, QualityObjective) or model is None:
        return
    where = "spec.objectives.quality"
    if model.spec.task == "regression" and quality.within is None:
        said = "nothing says how near to the truth an answer has to be"
        yield at(monitor, where, "quality-bound", said, "add `within:`, in units of the target")
    elif model.spec.task != "regression" and isinstance(quality.within, float):
        said = f"an answer of a {model.spec.task} is right or wrong, and near to nothing"
        yield at(monitor, f"{where}.within", "quality-bound", said, "remove `within`")


def _triggers(monitor: Resource[MonitorSpec]) -> Iterator[Problem]:
    """Refuse a retraining that nothing makes due, and one that waits for what nobody measures."""
    retraining, performance = monitor.spec.retraining, monitor.spec.performance
    if not isinstance(retraining, Retraining) or not isinstance(retraining.triggers, Triggers):
        return
    triggers, where = retraining.triggers, "spec.retraining.triggers"
    if all(value is None or value is False for _, value in triggers):
        said = "nothing makes a retraining due, and nobody may ask for one"
        yield at(monitor, where, "no-trigger", said, "set a trigger, or remove `retraining`")
    if triggers.estimated_performance is True and (performance is None or performance.estimate is False):
        said, key = "no metric is estimated without labels", f"{where}.estimatedPerformance"
        yield at(monitor, key, "trigger-unmeasured", said, "add `performance: {estimate: true}`")


def _without_weights(monitor: Resource[MonitorSpec], around: Around) -> Iterator[Problem]:
    """Refuse retraining where rows are weighted, but by the chance of their labels: nothing else brings a weight."""
    model = around.folder.only("Model")
    if model is not None and model.spec.review > 0 and model.spec.data.labels.decisions:
        return
    if monitor.spec.retraining is not None and model is not None and model.spec.data.weight is not None:
        said = f"the model weights its rows by {model.spec.data.weight!r}, which no request and no label brings"
        hint = (
            "remove `retraining`, and take a snapshot of rows with weights instead: modelops data snapshot; or remove "
            "data.weight from the model"
        )
        yield at(monitor, "spec.retraining", "retraining-unweighted", said, hint)


def metric_problems(monitor: AnyResource, metric: str, task: str | None, known: Metrics) -> Iterator[Problem]:
    """Yield the Problem of a monitor that watches a metric which does not exist, or not for what the model predicts."""
    where = "spec.performance.metric"
    if metric not in known:
        hint = nearest(metric, known, "metrics")
        yield at(monitor, where, "unknown-metric", f"there is no metric {metric!r}", hint)
    elif task is not None and task not in known[metric]:
        own = [name for name, tasks in known.items() if task in tasks]
        said = f"{metric} is not defined for {task}"
        yield at(monitor, where, "metric-not-for-task", said, nearest(metric, own, "metrics"))
