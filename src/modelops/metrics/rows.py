"""Predictions with known truth, and what each row costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelops.spec.meta import Scalar
from modelops.spec.model import Task

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Predictions:
    """Predictions of one release on rows whose truth is known.

    For a binary task ``y_score`` is the probability of the positive class, shape (n,), and ``y_true`` and ``y_pred``
    are 1.0 for the positive class and 0.0 otherwise. For a multiclass task ``y_true`` and ``y_pred`` are indices into
    ``classes`` and ``y_score`` has shape (n, len(classes)). For regression all are values and ``y_score`` is
    ``y_pred``.
    """

    task: Task
    y_true: FloatArray
    y_pred: FloatArray
    y_score: FloatArray
    classes: tuple[Scalar, ...] = ()

    def __len__(self) -> int:
        return len(self.y_true)

    def take(self, rows: np.ndarray[Any, Any]) -> Predictions:
        """Return the predictions of a selection of rows (mask or indices)."""
        return Predictions(self.task, self.y_true[rows], self.y_pred[rows], self.y_score[rows], self.classes)

    def at(self, threshold: float | None) -> Predictions:
        """Return the same scores with the labels of another threshold; only a binary task has one."""
        if threshold is None or self.task != "binary-classification":
            return self
        return replace(self, y_pred=(self.y_score >= threshold).astype(np.float64))


def loss_per_row(predictions: Predictions) -> FloatArray:
    """Return one loss per row, shape (n,): 0/1 error of a classifier, squared error (units of y squared) otherwise."""
    if predictions.task == "regression":
        return np.asarray(np.square(predictions.y_pred - predictions.y_true))
    return np.asarray(predictions.y_pred != predictions.y_true, dtype=np.float64)
