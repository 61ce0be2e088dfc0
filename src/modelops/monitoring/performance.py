"""The watched metric on the labels that have arrived."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.metrics import Predictions, measure, undefined
from modelops.monitoring.report import PerformanceReport
from modelops.predictions import label_text
from modelops.spec.delivery import MetricValue, Performance
from modelops.spec.meta import Scalar
from modelops.spec.model import ModelSpec, Task

__all__ = ["labelled_predictions", "performance_of"]

_TRUE, _ONE = ("true", "1"), ("1", "true")


def spellings(label: Scalar) -> tuple[str, ...]:
    """Return the texts under which a label may be logged: a boolean label is sent as true or as 1."""
    text = label_text(label)
    return _TRUE if text == "true" else _ONE if text == "1" else (text,)


def labelled_predictions(model: ModelSpec, table: pa.Table) -> Predictions:
    """Return the answered rows whose truth has arrived, in the metric functions' coding.

    The log keeps one score per row, so a multiclass task has labels only: its scores are NaN.
    """
    rows = table.filter(
        pc.and_(
            pc.and_(pc.is_valid(table.column("truth")), pc.less(table.column("status"), 500)),
            pc.is_valid(table.column("score" if model.task == "regression" else "label")),
        )
    )
    truths, labels = rows.column("truth").to_pylist(), rows.column("label").to_pylist()
    scores = rows.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    if model.task == "regression":
        true = np.array([_number(text) for text in truths], dtype=np.float64)
        known = np.isfinite(true)
        return Predictions(model.task, true[known], scores[known], scores[known])
    if model.task == "binary-classification":
        positive = spellings(True if model.data.positive is None else model.data.positive)
        true = np.array([text in positive for text in truths], dtype=np.float64)
        predicted = np.array([text in positive for text in labels], dtype=np.float64)
        return Predictions(model.task, true, predicted, scores)
    return _multiclass(model.task, truths, labels)


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


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def performance_of(watched: Performance, model: ModelSpec, table: pa.Table) -> PerformanceReport:
    """Measure the watched metric with its interval and hold it against its limits."""
    predictions = labelled_predictions(model, table)
    answered = int(pc.sum(pc.less(table.column("status"), 500)).as_py() or 0)

    def report(verdict: str, reason: str, value: MetricValue | None = None) -> PerformanceReport:
        return PerformanceReport(
            metric=watched.metric,
            verdict=verdict,  # type: ignore[arg-type]
            value=value,
            minimum=watched.minimum,
            maximum=watched.maximum,
            labelled=len(predictions),
            predictions=answered,
            reason=reason,
        )

    share = f"{len(predictions)} of {answered} predictions have a label"
    if len(predictions) < watched.minimum_labels:
        return report("no-data", f"{watched.metric} is not measured: {share}, {watched.minimum_labels} are needed")
    value = measure(watched.metric, predictions, level=watched.level)
    if value is None:
        return report("no-data", f"{watched.metric} is not measured: {undefined(watched.metric, predictions)}")
    shown = f"{watched.metric} is {value.value:.3f} [{value.lower:.3f}, {value.upper:.3f}] ({share})"
    for limit, beyond, all_beyond, word in (
        (watched.minimum, value.value, value.upper, "below"),
        (watched.maximum, value.value, value.lower, "above"),
    ):
        if limit is None:
            continue
        sign = 1 if word == "below" else -1
        if sign * all_beyond < sign * limit:
            return report("fail", f"{shown}, wholly {word} {limit:g}", value)
        if sign * beyond < sign * limit:
            return report("inconclusive", f"{shown}, {word} {limit:g} but not beyond doubt", value)
    return report("pass", shown, value)
