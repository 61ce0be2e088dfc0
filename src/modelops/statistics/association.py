"""How well one feature alone ranks the target."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from modelops.statistics import auc
from modelops.statistics.intervals import normal_quantile

Array = np.ndarray[Any, Any]

_LEVEL = 0.95
_FEWEST = 10
_QUANTILES = 50


def association(values: Array, target: Array, *, classes: bool) -> tuple[float, float] | None:
    """Return how well a feature ranks the target, with a lower bound; None where the rows cannot say.

    Parameters
    ----------
    values : array of shape (n,)
        A converted feature column. Missing numbers rank below all others, so a telling absence is seen too. A
        category is replaced by the mean target of its value in the other half of the rows.
    target : array of shape (n,)
        Labels as codes, or values.
    classes : bool
        With classes it is the area under the ROC curve in the better direction, else the absolute Spearman correlation.
        For several classes it is the mean of the areas of each against the rest, with a number replaced by the share of
        that class among its neighbours in the other half of the rows: a column that tells one class only, as honest
        ones do, is not one that holds the answer.

    Returns
    -------
    (float, float) or None
        The strength, in [0, 1] for a correlation and in [0.5, 1] for an area, and its lower bound (for several classes
        the mean of the bounds, which is lower than one of the mean). None with fewer than 10 rows, fewer than 10 of
        every class or of its rest, or when nothing varies.

    Notes
    -----
    Lower bounds at 95 %: DeLong's, or Fisher's z with Fieller's variance 1.06 / (n - 3) for the rank correlation.

    References
    ----------
    E. C. Fieller, H. O. Hartley, E. S. Pearson, "Tests for rank correlation coefficients I", Biometrika 44 (1957), for
    the variance of Fisher's z of a rank correlation.

    Examples
    --------
    >>> values = np.arange(40.0)
    >>> strength, lower = association(values, values**3, classes=False)
    >>> round(strength, 3), round(lower, 3)
    (1.0, 1.0)
    >>> strength, lower = association(values, (values > 10) * 1.0, classes=True)
    >>> round(strength, 3), round(lower, 3)
    (1.0, 0.874)
    """
    if not classes:
        return _correlation(_encoded(values, target), target)
    if len(np.unique(values.astype(str))) < 2:
        return None
    labels, counts = np.unique(target, return_counts=True)
    told = values if len(labels) <= 2 else _neighbours(values)
    found: list[tuple[float, float]] = []
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        if min(count, len(target) - count) >= _FEWEST:
            is_label = (target == label).astype(np.float64)
            found.append(_area(_encoded(told, is_label), is_label))
        if len(labels) == 2:
            break  # the other class mirrors this one
    if not found:
        return None
    areas, bounds = zip(*found, strict=True)
    return sum(areas) / len(areas), sum(bounds) / len(bounds)


def _neighbours(values: Array) -> Array:
    """Return a number's place among the quantiles, as a category, so that no order of the classes is supposed."""
    if values.dtype == object:
        return values
    present = values[~np.isnan(values)]
    if len(present) == 0 or len(np.unique(present)) <= _QUANTILES:
        return values.astype(str).astype(object)
    borders = np.unique(np.quantile(present, np.linspace(0, 1, _QUANTILES + 1)[1:-1]))
    return np.where(np.isnan(values), -1, np.searchsorted(borders, values, side="right")).astype(str).astype(object)


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
