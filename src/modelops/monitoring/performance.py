"""The watched metric on the labels that have arrived."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy

from modelops.metrics import FloatArray, Predictions, measure, undefined
from modelops.metrics.catalog import metric
from modelops.monitoring.entities import entities_of
from modelops.monitoring.feedback.exploration import Design, designed
from modelops.monitoring.report import PerformanceReport, Verdict
from modelops.monitoring.retraining import Past
from modelops.monitoring.selection import Parts, parted, selected, weighted, withheld
from modelops.predictions import label_number, positive_spellings
from modelops.spec.kinds.model import ModelSpec, Task
from modelops.spec.kinds.monitor import Performance
from modelops.spec.kinds.release import MetricValue
from modelops.statistics.clusters import Codes, mean_factor
from modelops.statistics.intervals import normal_quantile
from modelops.statistics.losses import squared_loss

__all__ = ["Look", "exact", "labelled_predictions", "looked", "performance_of", "selection_of"]


_STEP = 1 / 7 * 0.98
"""A look counts when the window has moved on by this part of itself, a seventh but for the clock's slack."""


def labelled_predictions(model: ModelSpec, table: pa.Table) -> tuple[Predictions, Any]:
    """Return the answered rows whose truth has arrived, in the metric functions' coding, and which rows these are.

    The log keeps one score per row, so a multiclass task has labels only: its scores are NaN.
    """
    chosen = pc.and_(
        pc.and_(pc.is_valid(table.column("truth")), pc.less(table.column("status"), 500)),
        pc.is_valid(table.column("score" if model.task == "regression" else "label")),
    )
    rows, mask = table.filter(chosen), np.asarray(pc.fill_null(chosen, False).to_numpy(), dtype=np.bool_)
    truths, labels = rows.column("truth").to_pylist(), rows.column("label").to_pylist()
    scores = rows.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    if model.task == "regression":
        true = np.array([label_number(text) for text in truths], dtype=np.float64)
        known = np.isfinite(true)
        mask[np.flatnonzero(mask)[~known]] = False
        return Predictions(model.task, true[known], scores[known], scores[known]), mask
    if model.task == "binary-classification":
        positive = positive_spellings(model.data.positive)
        true = np.array([text in positive for text in truths], dtype=np.float64)
        predicted = np.array([text in positive for text in labels], dtype=np.float64)
        return Predictions(model.task, true, predicted, scores), mask
    return _multiclass(model.task, truths, labels), mask


def _multiclass(task: Task, truths: list[str], labels: list[str]) -> Predictions:
    classes = sorted({*truths, *labels})
    places = {name: float(index) for index, name in enumerate(classes)}
    return Predictions(
        task,
        np.array([places[text] for text in truths], dtype=np.float64),
        np.array([places[text] for text in labels], dtype=np.float64),
        np.full((len(truths), len(classes)), np.nan),
        tuple(classes),
    )


def looked(earlier: Sequence[Past], release: int | None, step: timedelta, until: datetime) -> Look:
    """Return which look at a release the present one is; ``step`` is how far a window moves for a look to count."""
    mine = [past for past in earlier if past.release == release and past.looks and past.until < until]
    if not mine:
        return Look(1, True)
    last = max(past.looks for past in mine)
    counted = min((past for past in mine if past.looks == last), key=lambda past: past.until)
    if until - counted.until < step * _STEP:
        return Look(last, False, counted.verdict)
    return Look(last + 1, True)


@dataclass(frozen=True, slots=True)
class Look:
    """The number of a look at a release's metric; one that does not count repeats the ``verdict`` of the one before."""

    number: int = 1
    counts: bool = True
    verdict: Verdict = "no-data"

    def level(self, level: float) -> float:
        """Return the level of this look's interval: all looks for ever together keep ``level`` (Bonferroni)."""
        return 1 - (1 - level) / (self.number * (self.number + 1))


def performance_of(
    watched: Performance, model: ModelSpec, table: pa.Table, *, before: Look | None = None
) -> PerformanceReport:
    """Measure the watched metric with its interval and hold it against its limits.

    A release is looked at again and again, so the error rate of ``level`` is spread over the looks: the k-th has a
    part of 1 / (k (k + 1)) of it, which is one statement for the release's whole life. Labels that depend on the answer
    are weighted, or the metric is withheld.
    """
    look = before or Look()
    rows = table.filter(pc.less(table.column("status"), 500))
    predictions, known = labelled_predictions(model, rows)
    answered, labelled = rows.num_rows, len(predictions)

    def report(
        verdict: Verdict, reason: str, value: MetricValue | None = None, selection: str = ""
    ) -> PerformanceReport:
        return PerformanceReport(
            metric=watched.metric,
            verdict=verdict,
            value=value,
            minimum=watched.minimum,
            maximum=watched.maximum,
            labelled=labelled,
            predictions=answered,
            reason=reason,
            looks=look.number if value is not None else look.number - look.counts,
            selection=selection,
        )

    share = f"{labelled} of {answered} predictions have a label"
    if model.data.weight is not None:
        share += f", each counted once: labels bring no {model.data.weight}, which weights the metrics of releases"
    if labelled < watched.minimum_labels:
        return report("no-data", f"{watched.metric} is not measured: {share}, {watched.minimum_labels} are needed")
    design = designed(model, rows, known)
    if design is not None:
        return report(*_by_design(watched, model, look, design, rows, known, predictions))
    parts = _parts(model, rows, known)
    selection = ""
    if selected(parts):
        selection = f"labels depend on the answer: {parts.shares()}"
        why = withheld(watched.metric, parts, predictions, _positive(model, rows, known, parts))
        if why:
            return report("no-data", f"{watched.metric} is withheld: {why}", selection=selection)
        selection += "; each counts by its answers"
    value = _value(watched, look, parts if selection else None, predictions, _entities(model, rows, known))
    if value is None:
        why = undefined(watched.metric, predictions) or "it is undefined on these labels"
        return report("no-data", f"{watched.metric} is not measured: {why}", selection=selection)
    shown = f"{watched.metric} is {value.value:.3f} [{value.lower:.3f}, {value.upper:.3f}] ({share})"
    shown = f"{shown}; {selection}" if selection else shown
    return report(*_held(watched, look, value, shown, bool(selection)), value, selection)


def _by_design(
    watched: Performance, model: ModelSpec, look: Look, design: Design, rows: pa.Table, known: Any, every: Predictions
) -> tuple[Verdict, str, MetricValue | None, str]:
    """Measure the metric on the labels of decisions and of answers drawn for review."""
    parts, predictions = design.parts, every.take(design.kept)
    selection = f"of the answers drawn for review {design.reviewed} of {design.drawn} have a label: {parts.shares()}"
    places = np.flatnonzero(known)[design.kept]
    told = np.zeros(rows.num_rows, dtype=np.bool_)
    told[places] = True
    why = design.holes or withheld(watched.metric, parts, predictions, _positive(model, rows, told, parts))
    if why:
        return "no-data", f"{watched.metric} is withheld: {why}", None, selection
    value = _value(watched, look, parts, predictions, _entities(model, rows, told))
    if value is None:
        why = undefined(watched.metric, predictions) or "it is undefined on these labels"
        return "no-data", f"{watched.metric} is not measured: {why}", None, selection
    shown = f"{watched.metric} is {value.value:.3f} [{value.lower:.3f}, {value.upper:.3f}] of all answers; {selection}"
    verdict, reason = _held(watched, look, value, shown, True)
    weak = design.underpowered if watched.metric in ("recall", "f1", "macro-f1", "balanced-accuracy") else ""
    return verdict, f"{reason}; {weak}" if weak else reason, value, selection


def selection_of(model: ModelSpec, table: pa.Table) -> str:
    """Say which answers have a label where that depends on the answer, nothing where it does not."""
    rows = table.filter(pc.less(table.column("status"), 500))
    _, known = labelled_predictions(model, rows)
    if not known.any():
        return ""
    parts = _parts(model, rows, known)
    return parts.shares() if selected(parts) else ""


def _held(watched: Performance, look: Look, value: MetricValue, shown: str, chosen: bool) -> tuple[Verdict, str]:
    """Hold the metric against its limits; a look that does not count says nothing new.

    Where labels are ``chosen`` by the answer, a metric is called good only beyond doubt: few labels of the rest are
    easily right by chance.
    """
    for limit, beyond, all_beyond, word in (
        (watched.minimum, value.value, value.upper, "below"),
        (watched.maximum, value.value, value.lower, "above"),
    ):
        if limit is None:
            continue
        sign = 1 if word == "below" else -1
        if sign * all_beyond < sign * limit:
            if look.counts or look.verdict == "fail":
                return "fail", f"{shown}, wholly {word} {limit:g}"
            return "inconclusive", f"{shown}, {word} {limit:g}; it is judged again when the window has moved on"
        if sign * beyond < sign * limit:
            return "inconclusive", f"{shown}, {word} {limit:g} but not beyond doubt"
        if chosen and sign * (value.lower if word == "below" else value.upper) < sign * limit:
            return "inconclusive", f"{shown}; that it is not {word} {limit:g} is not shown by so few labels"
    return "pass", shown


def _value(
    watched: Performance, look: Look, parts: Parts | None, predictions: Predictions, entities: Codes | None
) -> MetricValue | None:
    """Measure the metric at this look's level; rows of one entity widen its interval."""
    level = look.level(watched.level)
    if parts is not None:
        found = weighted(watched.metric, parts, predictions, watched.level)
        if found is None:
            return None
        value, lower, upper, n = found
        plain = MetricValue(
            name=watched.metric, value=value, lower=lower, upper=upper, level=watched.level, n=n, method="by answers"
        )
        return _wider(plain, level, _quantiles(level, watched.level), watched.metric)
    value_at = measure(watched.metric, predictions, level=watched.level)
    if value_at is None:
        return None
    if metric(watched.metric).interval in ("cells", "rows"):
        found_at, factor = value_at, _quantiles(level, watched.level)
    elif metric(watched.metric).interval == "proportion":
        found_at, factor = exact(value_at, level), 1.0
    else:
        found_at, factor = measure(watched.metric, predictions, level=level) or value_at, 1.0
    if entities is not None:
        factor *= mean_factor(_loss(predictions), entities, 1 - level) ** 0.5
    return _wider(found_at, level, factor, watched.metric)


def exact(value: MetricValue, level: float) -> MetricValue:
    """Return a share with Clopper and Pearson's interval: Wilson's is too short so far out in the tails."""
    hits, tail = round(value.value * value.n), (1 - level) / 2
    lower = float(scipy.special.betaincinv(hits, value.n - hits + 1, tail)) if hits else 0.0
    upper = float(scipy.special.betaincinv(hits + 1, value.n - hits, 1 - tail)) if hits < value.n else 1.0
    return value.model_copy(update={"lower": lower, "upper": upper, "level": level, "method": "clopper-pearson"})


def _quantiles(level: float, base: float) -> float:
    """Return how much farther an interval reaches at another level: drawn ones cannot be drawn so far out."""
    return normal_quantile(level) / normal_quantile(base)


def _wider(value: MetricValue, level: float, factor: float, name: str) -> MetricValue:
    known = metric(name)
    if not math.isfinite(factor):
        return value.model_copy(update={"lower": known.least, "upper": known.most, "level": level})
    lower = value.value - (value.value - value.lower) * factor
    upper = value.value + (value.upper - value.value) * factor
    return value.model_copy(update={"lower": max(known.least, lower), "upper": min(known.most, upper), "level": level})


def _loss(predictions: Predictions) -> FloatArray:
    if predictions.task == "regression":
        return squared_loss(predictions.y_true, predictions.y_pred)
    wrong: FloatArray = (predictions.y_true != predictions.y_pred).astype(np.float64)
    return wrong


def _entities(model: ModelSpec, rows: pa.Table, known: Any) -> Codes | None:
    found = entities_of(rows, model)
    mine: Codes | None = found[known] if found is not None else None
    return None if mine is None or len(np.unique(mine)) == len(mine) else mine


def _parts(model: ModelSpec, rows: pa.Table, known: Any) -> Parts:
    """Part the answers: a regression by its score alone, the others by their label too."""
    scores = rows.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    labels = [""] * rows.num_rows if model.task == "regression" else rows.column("label").to_pylist()
    answered = np.array([label is not None for label in labels], dtype=np.bool_)
    return parted([label for label in labels if label is not None], scores[answered], known[answered])


def _positive(model: ModelSpec, rows: pa.Table, known: Any, parts: Parts) -> list[bool]:
    """Tell which parts were answered positively; precision is of these alone."""
    spelt = {repr(text) for text in positive_spellings(model.data.positive)}
    return [name.partition(" (")[0] in spelt for name in parts.names]
