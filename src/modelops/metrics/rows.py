"""Predictions with known truth, and what each row costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelops.spec.kinds.model import Task
from modelops.spec.meta import Scalar
from modelops.statistics import Array

FloatArray = Array


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


def alike(first: Predictions, second: Predictions) -> bool:
    """Tell whether two answer every row with the same score, of scores so various that they are one model.

    Two models of few scores may answer some rows alike and others not.
    """
    if not (np.array_equal(first.y_score, second.y_score) and np.array_equal(first.y_pred, second.y_pred)):
        return False
    return len(np.unique(first.y_score, axis=0)) * 2 > len(first)
