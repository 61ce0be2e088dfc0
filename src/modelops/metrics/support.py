"""What a metric is a share of, in rows: a difference on few positives is no surer for many rows."""

from __future__ import annotations

import numpy as np

from modelops.metrics.rows import Predictions
from modelops.statistics.weighted import worth


def support(name: str, predictions: Predictions) -> int:
    """Return what a metric is a share of, see ``measure``."""
    positive, chosen = predictions.y_true == 1, predictions.y_pred == 1
    match name:
        case "recall" | "average-precision":
            return int(positive.sum())
        case "precision":
            return int(chosen.sum())
        case "f1":
            return int((positive | chosen).sum())
        case "roc-auc" | "balanced-accuracy":
            return _rarest(predictions)
        case _:
            return len(predictions)


def _rarest(predictions: Predictions) -> int:
    return int(np.unique(predictions.y_true, return_counts=True)[1].min())


def supported(name: str, predictions: Predictions) -> float:
    """Return of how many equally weighted rows that what a metric is a share of is worth."""
    weight = predictions.sample_weight
    if weight is None:
        return support(name, predictions)
    if name in ("roc-auc", "balanced-accuracy"):
        return min(worth(weight[predictions.y_true == one]) for one in np.unique(predictions.y_true))
    positive, chosen = predictions.y_true == 1, predictions.y_pred == 1
    mask = {"recall": positive, "average-precision": positive, "precision": chosen, "f1": positive | chosen}.get(name)
    return worth(weight if mask is None else weight[mask])
