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
    ``y_pred``. ``sample_weight`` is what each row counts for, shape (n,), not negative, in any unit; None where all
    count the same.
    """

    task: Task
    y_true: FloatArray
    y_pred: FloatArray
    y_score: FloatArray
    classes: tuple[Scalar, ...] = ()
    sample_weight: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.y_true)

    def take(self, rows: np.ndarray[Any, Any]) -> Predictions:
        """Return the predictions of a selection of rows (mask or indices)."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return Predictions(self.task, self.y_true[rows], self.y_pred[rows], self.y_score[rows], self.classes, weight)

    def counted(self) -> Predictions:
        """Return the rows that count for anything, without weights where these are all alike: then they say nothing."""
        weight = self.sample_weight
        if weight is None:
            return self
        above = weight > 0
        some = self if above.all() else self.take(above)
        alike = len(np.unique(weight[above])) < 2
        return replace(some, sample_weight=None) if alike else some

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
