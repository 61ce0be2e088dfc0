"""How well one feature alone ranks the target."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from modelops.metrics import auc
from modelops.metrics.intervals import normal_quantile
from modelops.spec.model import Task

Array = np.ndarray[Any, Any]

_LEVEL = 0.95
_FEWEST = 10


def association(task: Task, values: Array, target: Array) -> tuple[float, float] | None:
    """Return how well a feature ranks the target, with a lower bound; None where the rows cannot say.

    Parameters
    ----------
    task : str
        Classification gives the area under the ROC curve in the better direction (for several classes the largest of
        one class against the rest), regression the absolute Spearman correlation.
    values : array of shape (n,)
        A converted feature column. Missing numbers rank below all others, so a telling absence is seen too. A
        category is replaced by the mean target of its value in the other half of the rows.
    target : array of shape (n,)
        Labels as codes, or values.

    Notes
    -----
    Lower bounds at 95 %: DeLong's, or Fisher's z with Fieller's variance 1.06 / (n - 3) for the rank correlation.
    """
    if task == "regression":
        return _correlation(_encoded(values, target), target)
    labels, counts = np.unique(target, return_counts=True)
    found: list[tuple[float, float]] = []
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        if min(count, len(target) - count) >= _FEWEST:
            is_label = (target == label).astype(np.float64)
            found.append(_area(_encoded(values, is_label), is_label))
        if len(labels) == 2:
            break  # the other class mirrors this one
    return max(found) if found else None


def _encoded(values: Array, target: Array) -> Array:
    if values.dtype != object:
        lowest = np.nanmin(values) if np.isfinite(values).any() else 0.0
        return np.where(np.isnan(values), lowest - 1 - abs(lowest), values)
    _, codes = np.unique(values.astype(str), return_inverse=True)
    half = np.arange(len(values)) % 2
    encoded = np.full(len(values), float(target.mean()))
    for fold in (0, 1):
        other = half != fold
        totals = np.bincount(codes[other], weights=target[other], minlength=codes.max() + 1)
        counts = np.bincount(codes[other], minlength=codes.max() + 1)
        here = codes[half == fold]
        seen = counts[here] > 0
        encoded[half == fold] = np.where(seen, totals[here] / np.maximum(counts[here], 1), encoded[half == fold])
    return encoded


def _area(values: Array, is_label: Array) -> tuple[float, float]:
    area, lower, upper, _ = auc.interval(is_label, values, _LEVEL)
    return (area, lower) if area >= 0.5 else (1 - area, 1 - upper)


def _correlation(values: Array, target: Array) -> tuple[float, float] | None:
    n = len(target)
    ranks, target_ranks = auc.midranks(values), auc.midranks(target)
    if n < _FEWEST or np.ptp(ranks) == 0 or np.ptp(target_ranks) == 0:
        return None
    correlation = abs(float(np.corrcoef(ranks, target_ranks)[0, 1]))
    half = normal_quantile(_LEVEL) * math.sqrt(1.06 / (n - 3))
    return correlation, math.tanh(math.atanh(min(correlation, 1 - 1e-12)) - half)
