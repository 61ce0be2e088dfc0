"""What the watched metric is expected to be before labels arrive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops import summaries
from modelops.metrics import Predictions
from modelops.metrics.unlabelled import BY_LOSS, BY_SCORE, Expected, estimate_by_loss, estimate_by_score
from modelops.monitoring.report import EstimatedReport, Verdict
from modelops.predictions import feature_columns, positive_spellings
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import Performance
from modelops.spec.texts.reading import TextReading

__all__ = ["Holdout", "estimated"]

BLIND = "it is blind to concept drift: whether the truth still depends on the inputs as it did, only labels say"


@dataclass(frozen=True, slots=True)
class Holdout:
    """The test rows of a release, in the order of its predictions on them."""

    rows: pa.Table
    predictions: Predictions


def estimated(
    watched: Performance, model: ModelSpec, holdout: Holdout, table: pa.Table, reading: TextReading | None
) -> EstimatedReport:
    """Estimate the metric on all answers of the release, labelled or not, and hold it against its limits."""
    rows = table.filter(pc.and_(pc.less(table.column("status"), 500), pc.is_valid(table.column("score"))))
    found = _expected(watched, model, holdout, rows, reading)
    if found is None:
        able = BY_LOSS if model.task == "regression" else BY_SCORE if _binary(model) else ("accuracy",)
        why = f"200 answers and 200 rows of the holdout are needed, of which there are {rows.num_rows}"
        why += f" and {len(holdout.predictions)}, and one of {', '.join(able)}"
        return EstimatedReport(watched.metric, "no-data", None, f"{watched.metric} is not estimated: {why}")
    shown = f"{watched.metric} is expected to be {found.value:.3f} [{found.lower:.3f}, {found.upper:.3f}] by "
    shown += f"{found.method} on {found.n} answers, calibration error {found.calibration_error:.3f}; {BLIND}"
    return EstimatedReport(watched.metric, _verdict(watched, found), found, shown)


def _binary(model: ModelSpec) -> bool:
    return model.task == "binary-classification"


def _expected(
    watched: Performance, model: ModelSpec, holdout: Holdout, rows: pa.Table, reading: TextReading | None
) -> Expected | None:
    scores = rows.column("score").to_numpy().astype(np.float64)
    told = holdout.predictions
    if model.task != "regression":
        positive = None
        if _binary(model):
            spelt = positive_spellings(model.data.positive)
            positive = np.array([label in spelt for label in rows.column("label").to_pylist()], dtype=np.float64)
        return estimate_by_score(watched.metric, told, scores, positive, watched.level)
    if watched.metric not in BY_LOSS:
        return None
    away = np.abs(told.y_pred - told.y_true)
    logged = feature_columns(rows, model.data.features, reading)
    names = summaries.alike(holdout.rows, logged, [feature.name for feature in model.data.features])
    categories = summaries.frequent(holdout.rows, names)
    then, now = (
        np.column_stack([summaries.matrix(side, names, categories), answers])
        for side, answers in ((holdout.rows, told.y_pred), (logged, scores))
    )
    return estimate_by_loss(watched.metric, away if watched.metric == "mae" else away**2, then, now, watched.level)


def _verdict(watched: Performance, found: Expected) -> Verdict:
    """Hold an estimate against the limits; one that the calibration error alone explains is not beyond doubt."""
    verdict: Verdict = "pass"
    for limit, value, end, sign in (
        (watched.minimum, found.value, found.upper + found.calibration_error, 1),
        (watched.maximum, found.value, found.lower - found.calibration_error, -1),
    ):
        if limit is None:
            continue
        if sign * end < sign * limit:
            return "fail"
        if sign * value < sign * limit:
            verdict = "inconclusive"
    return verdict
