"""What a release is like beyond its metrics: curves over all thresholds, calibration and errors, each with intervals.

Everything is counted over many rows: bins of fewer than 20 are not told, and of a curve at most 120 thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.metrics.rows import FloatArray, Predictions
from modelops.statistics.intervals import exact_proportion, mean_interval, quantile_interval, ratio_interval
from modelops.statistics.weighted import trials, worth

__all__ = ["Curve", "Curves", "Errors", "Group", "Point", "band", "curves"]

Array = np.ndarray[Any, Any]

LEVEL = 0.95
MOST_POINTS = 120
MOST_CLASSES = 6
"""Classes that get curves of their own, the most frequent ones."""
MOST_BINS, FEWEST_ROWS = 10, 20
"""Groups of rows by their score, and how many rows one has at least."""


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold: where it lies, and a box in which the truth is with 95 %, for this threshold alone."""

    x: float
    y: float
    x_bounds: tuple[float, float]
    y_bounds: tuple[float, float]
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in the order of falling thresholds; ``positives`` and ``negatives`` are the rows behind it.

    ``area`` is the area under a ROC curve or the average precision; ``chance`` the level of a model that knows nothing,
    None for the diagonal of a ROC curve. ``at`` is the point of the threshold that is served, where there is one.
    """

    points: tuple[Point, ...]
    positives: int
    negatives: int
    area: float
    chance: float | None = None
    at: Point | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of similar predictions: their mean, what was true of them on average with its interval, and how many."""

    said: float
    found: float
    lower: float
    upper: float
    n: int


@dataclass(frozen=True, slots=True)
class Errors:
    """Residuals, truth minus prediction, of rows of similar predictions: quantiles in the unit of the target."""

    said: float
    low: float
    median: float
    high: float
    median_bounds: tuple[float, float]
    n: int


@dataclass(frozen=True, slots=True)
class Curves:
    """Everything that is drawn of one set of predictions; what does not apply to its task is empty.

    ``roc`` and ``precision_recall`` are by class, of a binary task the positive one alone under the name "". ``left``
    are classes without curves. ``calibration`` groups rows by their score, of several classes by the largest;
    ``agreement`` and ``residuals`` group rows of a regression by their prediction; ``spread`` counts residuals, as
    edges and counts.
    """

    rows: int
    roc: Mapping[str, Curve]
    precision_recall: Mapping[str, Curve]
    left: tuple[str, ...] = ()
    calibration: tuple[Group, ...] = ()
    agreement: tuple[Group, ...] = ()
    residuals: tuple[Errors, ...] = ()
    spread: tuple[tuple[float, ...], tuple[int, ...]] | None = None


def curves(predictions: Predictions, threshold: float | None = None, level: float = LEVEL) -> Curves:
    """Return the curves of predictions with known truth.

    Parameters
    ----------
    predictions : Predictions
        n rows; those of weight 0 are not counted.
    threshold : float, optional
        Of a binary task: the one that is served, from which on a score is positive.
    level : float
        Two-sided confidence, in (0, 1), of each box of a point (both sides together) and of each group.

    Returns
    -------
    Curves
        Points of scikit-learn's ``roc_curve`` and ``precision_recall_curve``, thinned.

    Notes
    -----
    Bands hold at each threshold, not for the whole curve at once. Of a ROC curve both sides are shares of different
    rows, so each has the level's square root; precision and recall share rows, so each has half of the error rate.
    Shares have Clopper and Pearson's interval, of weighted rows that of as many as they are worth. Rows are taken as
    independent.

    References
    ----------
    M. S. Pepe, "The Statistical Evaluation of Medical Tests for Classification and Prediction" (2003), section 2.2.
    """
    predictions = predictions.counted()
    if predictions.task == "regression":
        return _of_values(predictions, level)
    if predictions.task == "binary-classification":
        by_class = {"": (predictions.y_true == 1, predictions.y_score)}
        sure, right = predictions.y_score, predictions.y_true
        left: tuple[str, ...] = ()
    else:
        counts = np.bincount(predictions.y_true.astype(np.intp), minlength=len(predictions.classes))
        order = [int(place) for place in np.argsort(-counts, kind="stable")]
        by_class = {
            str(predictions.classes[place]): (predictions.y_true == place, predictions.y_score[:, place])
            for place in sorted(order[:MOST_CLASSES])
        }
        left = tuple(str(predictions.classes[place]) for place in sorted(order[MOST_CLASSES:]))
        sure = predictions.y_score.max(axis=1)
        right = (predictions.y_score.argmax(axis=1) == predictions.y_true).astype(np.float64)
    weight = predictions.sample_weight
    drawn = {name: (true, score) for name, (true, score) in by_class.items() if 0 < true.sum() < len(true)}
    left = (*left, *(name for name in by_class if name and name not in drawn))
    return Curves(
        len(predictions),
        {name: _roc(*each, weight, threshold, level) for name, each in drawn.items()},
        {name: _precision_recall(*each, weight, threshold, level) for name, each in drawn.items()},
        left,
        tuple(_group(sure, right, rows, weight, level, shares=True) for rows in _bins(sure)),
    )


def _roc(true: Array, score: FloatArray, weight: FloatArray | None, threshold: float | None, level: float) -> Curve:
    from sklearn.metrics import roc_auc_score, roc_curve

    x, y, at = roc_curve(true, score, sample_weight=weight, drop_intermediate=False)
    each = math.sqrt(level)
    sizes = _worth(weight, ~true), _worth(weight, true)

    def point(place: int) -> Point:
        one, other = float(x[place]), float(y[place])
        bounds = (exact_proportion(share * n, n, each) for share, n in zip((one, other), sizes, strict=True))
        return Point(one, other, next(bounds), next(bounds), _finite(at[place]))

    kept = _thinned(x, y)
    served = None if threshold is None else point(_place(at, threshold))
    area = float(roc_auc_score(true, score, sample_weight=weight))
    return Curve(tuple(map(point, kept)), int(true.sum()), int((~true).sum()), area, None, served)


def _precision_recall(
    true: Array, score: FloatArray, weight: FloatArray | None, threshold: float | None, level: float
) -> Curve:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, at = precision_recall_curve(true, score, sample_weight=weight)
    # Falling thresholds; the last point of scikit-learn has none, as nothing is positive there.
    precision, recall, at = precision[-2::-1], recall[-2::-1], at[::-1]
    each = 1 - (1 - level) / 2
    positives, order = _worth(weight, true), np.argsort(-score, kind="stable")
    counted = np.ones(len(score)) if weight is None else weight[order]
    chosen = np.cumsum(counted) ** 2 / np.cumsum(np.square(counted))
    sizes = chosen[np.searchsorted(-score[order], -at, side="right") - 1]

    def point(place: int) -> Point:
        one, other, n = float(recall[place]), float(precision[place]), float(sizes[place])
        across = exact_proportion(one * positives, positives, each)
        return Point(one, other, across, exact_proportion(other * n, n, each), _finite(at[place]))

    served = None
    if threshold is not None and (score >= threshold).any():
        served = point(_place(at, threshold))
    kept = _thinned(recall, precision)
    area = float(average_precision_score(true, score, sample_weight=weight))
    share = float(np.average(true, weights=weight))
    return Curve(tuple(map(point, kept)), int(true.sum()), int((~true).sum()), area, share, served)


def _place(thresholds: Array, threshold: float) -> int:
    """Return the place of the last threshold, of falling ones, that is not below one: the same rows are positive."""
    return max(0, int(np.searchsorted(-thresholds, -threshold, side="right")) - 1)


def _worth(weight: FloatArray | None, rows: Array) -> float:
    return float(rows.sum()) if weight is None else worth(weight[rows])


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _thinned(x: FloatArray, y: FloatArray) -> list[int]:
    """Return the places of points that lie about equally far apart along a curve, its ends among them."""
    if len(x) <= MOST_POINTS:
        return list(range(len(x)))
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    wanted = np.linspace(0.0, along[-1], MOST_POINTS)
    return sorted({0, len(x) - 1, *(int(place) for place in np.searchsorted(along, wanted).clip(0, len(x) - 1))})


def _bins(values: FloatArray) -> Iterator[Array]:
    """Yield the rows of groups of about equally many similar values; equal ones lie in one group."""
    many = min(MOST_BINS, len(values) // FEWEST_ROWS)
    if many < 1:
        return
    edges = np.unique(np.percentile(values, np.linspace(0, 100, many + 1)))
    places = np.searchsorted(edges[1:-1], values)
    for place in range(max(1, len(edges) - 1)):
        rows = np.flatnonzero(places == place)
        if len(rows) >= FEWEST_ROWS:
            yield rows


def _group(
    said: FloatArray, found: FloatArray, rows: Array, weight: FloatArray | None, level: float, *, shares: bool
) -> Group:
    mine = None if weight is None else weight[rows]
    mean, true = float(np.average(said[rows], weights=mine)), found[rows]
    value = float(np.average(true, weights=mine))
    if shares:
        share, n = (value, float(len(rows))) if mine is None else trials(true, mine)
        lower, upper = exact_proportion(share * n, n, level)
    else:
        lower, upper = mean_interval(true, level) if mine is None else ratio_interval(mine * true, mine, level)
    return Group(mean, value, min(lower, value), max(upper, value), len(rows))


def _of_values(predictions: Predictions, level: float) -> Curves:
    """Return what is drawn of a regression; residuals are rows, whatever each counts for."""
    said, true, weight = predictions.y_pred, predictions.y_true, predictions.sample_weight
    groups = list(_bins(said))
    residual = true - said
    return Curves(
        len(predictions),
        {},
        {},
        agreement=tuple(_group(said, true, rows, weight, level, shares=False) for rows in groups),
        residuals=tuple(_errors(said[rows], residual[rows], level) for rows in groups),
        spread=_spread(residual),
    )


def _errors(said: FloatArray, residual: FloatArray, level: float) -> Errors:
    ordered = np.sort(residual)
    low, high = (float(each) for each in np.quantile(ordered, [0.1, 0.9]))
    median, lower, upper = quantile_interval(ordered, 0.5, level)
    return Errors(float(said.mean()), low, median, high, (lower, upper), len(residual))


def _spread(residual: FloatArray) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    if len(residual) < FEWEST_ROWS or float(np.ptp(residual)) == 0:
        return None
    counts, edges = np.histogram(residual, bins=min(24, max(5, math.isqrt(len(residual)))))
    return tuple(map(float, edges)), tuple(map(int, counts))


def band(points: Sequence[Point], *, rising: bool) -> tuple[tuple[float, float], ...]:
    """Return the outline of the boxes of points along a curve: their better corners there, their worse ones back.

    Of a ``rising`` curve, as ROC is, left and up are better; of a falling one right and up.
    """
    better, worse = (0, 1) if rising else (1, 0)
    there = [(point.x_bounds[better], point.y_bounds[1]) for point in points]
    back = [(point.x_bounds[worse], point.y_bounds[0]) for point in reversed(points)]
    return (*there, *back)
