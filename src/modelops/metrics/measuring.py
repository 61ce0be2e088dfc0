"""Metrics with confidence intervals, of one release or of the difference between two on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelops.errors import failure
from modelops.metrics import auc
from modelops.metrics.catalog import Metric, metric
from modelops.metrics.intervals import (
    BOOTSTRAP_ROWS,
    IntArray,
    normal_quantile,
    paired_proportions,
    percentile,
    posterior_cells,
    resampled_counts,
    student,
    wilson,
)
from modelops.metrics.rows import FloatArray, Predictions
from modelops.metrics.values import from_cells, influence, of_weighted_rows, proportion_rows, row_terms
from modelops.spec.delivery import MetricValue

Estimate = tuple[float, float, float, int, str]
"""Value, lower and upper bound, n, and the method of the interval."""


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second of a metric on the same rows, in the metric's own unit, with its interval.

    ``n`` is what the metric is a share of, as for ``measure``; where the two differ in it, the smaller.
    """

    value: float
    lower: float
    upper: float
    n: int
    method: str


def undefined(name: str, predictions: Predictions) -> str | None:
    """Say why a metric cannot be measured on these rows, or None when it can.

    A value that is not finite makes a metric undefined; rows are never dropped silently.
    """
    found = _of_task(name, predictions)
    if len(predictions) < 2:
        return f"{len(predictions)} rows are too few to measure {name}"
    for what, values in (("truth", predictions.y_true), ("prediction", predictions.y_pred)):
        bad = int((~np.isfinite(values)).sum())
        if bad:
            return f"{bad} of {len(predictions)} rows have a {what} that is not a finite number"
    bad = int((~np.isfinite(predictions.y_score)).reshape(len(predictions), -1).any(axis=1).sum())
    if bad and name in ("roc-auc", "average-precision", "log-loss", "brier"):
        return f"{bad} of {len(predictions)} rows have a score that is not a finite number"
    return _undefined_classes(name, found, predictions)


def _of_task(name: str, predictions: Predictions) -> Metric:
    found = metric(name)
    if predictions.task not in found.tasks:
        raise failure("metric-not-for-task", f"{name} is not defined for {predictions.task}")
    return found


def _undefined_classes(name: str, found: Metric, predictions: Predictions) -> str | None:
    true = predictions.y_true
    if name in ("recall", "f1", "average-precision", "roc-auc") and not (true == 1).any():
        return f"no row is positive, so {name} is undefined"
    if name == "roc-auc" and not (true == 0).any():
        return f"no row is negative, so {name} is undefined"
    if name == "precision" and not (predictions.y_pred == 1).any():
        return "nothing is predicted positive, so precision is undefined"
    if name in ("balanced-accuracy", "macro-f1") and len(np.unique(true)) < 2:
        return f"all rows are of one class, so {name} is undefined"
    if name == "r2" and float(np.ptp(true)) == 0.0:
        return "all true values are equal, so r2 is undefined"
    if name == "mape" and (true == 0).any():
        return f"{int((true == 0).sum())} true values are zero, so mape is undefined"
    return None


def measure(
    name: str, predictions: Predictions, *, level: float = 0.95, seed: int = 0, threshold: float | None = None
) -> MetricValue | None:
    """Measure a metric with its two-sided confidence interval.

    Parameters
    ----------
    name : str
        One of ``NAMES``; another one, or one of another task, raises a ModelOpsError.
    predictions : Predictions
        n rows with known truth.
    level : float
        Two-sided confidence in (0, 1): each bound alone holds with confidence (1 + level) / 2.
    seed : int
        For the intervals that are drawn; the same seed gives the same bounds.
    threshold : float, optional
        Recompute binary labels from the scores at this threshold.

    Returns
    -------
    MetricValue or None
        None when the metric is undefined on these rows; ``undefined`` says why. ``n`` is what the metric is a share
        of: the positives for recall and average-precision, the predicted positives for precision, the rows of the
        rarer class for roc-auc and balanced-accuracy, the rows that are not true negatives for f1, else all rows.

    Notes
    -----
    accuracy, precision and recall: Wilson's score interval. roc-auc: DeLong on the logit scale. log-loss, brier, mae,
    mape and bias: Student's t. f1, macro-f1 and balanced-accuracy: the posterior of the confusion matrix under a
    Dirichlet prior of 1/K a cell (Goutte and Gaussier, ECIR 2005; Brodersen et al., ICPR 2010), 2,000 draws.
    average-precision (resampled within classes), rmse and r2: percentile bootstrap with 2,000 resamples up to 5,000
    rows, above that the normal interval from the influence function, which is the same interval at a fraction of the
    cost.
    """
    predictions = predictions.at(threshold)
    if undefined(name, predictions) is not None:
        return None
    family = metric(name).interval
    if family == "proportion":
        value, lower, upper, n, method = _proportion(name, predictions, level)
    elif family == "cells":
        value, lower, upper, n, method = _cells(name, predictions, level, seed)
    elif family == "mean":
        terms = row_terms(name, predictions)
        value, n, method = float(terms.mean()), len(terms), "student t"
        lower, upper = student(terms, level)
        lower = lower if name == "bias" else max(0.0, lower)
    elif family == "rank":
        value, lower, upper, method = auc.interval(predictions.y_true, predictions.y_score, level)
        n = _support(name, predictions)
    else:
        value, lower, upper, n, method = _rows(name, predictions, level, seed)
    return MetricValue(
        name=name, value=value, lower=min(lower, value), upper=max(upper, value), level=level, n=n, method=method
    )


def measure_all(
    predictions: Predictions, *, level: float = 0.95, seed: int = 0, names: tuple[str, ...]
) -> tuple[MetricValue, ...]:
    """Measure several metrics, leaving out those that are undefined on these rows."""
    found = (measure(name, predictions, level=level, seed=seed) for name in names)
    return tuple(value for value in found if value is not None)


def _support(name: str, predictions: Predictions) -> int:
    """Return what a metric is a share of, see ``measure``: a difference on few positives is no surer for many rows."""
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


def _proportion(name: str, predictions: Predictions, level: float) -> Estimate:
    counted, hit = proportion_rows(name, predictions)
    k, n = int((counted & hit).sum()), int(counted.sum())
    return k / n, *wilson(k, n, level), n, "wilson"


def _cell_counts(columns: tuple[FloatArray, ...]) -> tuple[FloatArray, tuple[FloatArray, ...], float]:
    """Count the cells of label columns; return counts, the labels of every cell, and the prior of a cell.

    The first column is the truth: labels that are only ever predicted share one code, which is right for no row. With
    more than 10 classes only occupied cells are kept and there is no prior (Rubin's Bayesian bootstrap): a prior on
    thousands of empty cells would outweigh the data.
    """
    labels = np.unique(columns[0])
    labels = np.array([0.0, 1.0]) if set(labels) <= {0.0, 1.0} else labels
    k = len(labels)
    codes = []
    for column in columns:
        place = np.minimum(np.searchsorted(labels, column), k - 1)
        codes.append(np.where(labels[place] == column, place, k))
    shape = (k, *(k + 1 for _ in columns[1:]))
    flat = np.ravel_multi_index(tuple(codes), shape)
    if k > 10:
        occupied, counts = np.unique(flat, return_counts=True)
        prior = 0.0
    else:
        counts = np.bincount(flat, minlength=int(np.prod(shape)))
        # Cells of a label that occurs in no truth stay empty unless a row is in them.
        grid = np.unravel_index(np.arange(len(counts)), shape)
        occupied = np.flatnonzero((counts > 0) | np.all([axis < k for axis in grid], axis=0))
        counts, prior = counts[occupied], 1.0 / k ** (len(columns) - 1)
    of_cells = tuple(axis.astype(np.float64) for axis in np.unravel_index(occupied, shape))
    return counts.astype(np.float64), of_cells, prior


def _cells(name: str, predictions: Predictions, level: float, seed: int) -> Estimate:
    counts, (true, predicted), prior = _cell_counts((predictions.y_true, predictions.y_pred))
    value = float(from_cells(name, counts[None, :], true, predicted)[0])
    draws = [from_cells(name, weights, true, predicted) for weights in posterior_cells(counts, prior, seed)]
    n = _support(name, predictions)
    return value, *percentile(np.concatenate(draws), level), n, "dirichlet posterior, 2000 draws"


def _strata(name: str, predictions: Predictions) -> tuple[IntArray, ...]:
    if name != "average-precision":
        return (np.arange(len(predictions)),)
    return tuple(rows for label in (0, 1) if len(rows := np.flatnonzero(predictions.y_true == label)))


def _rows(name: str, predictions: Predictions, level: float, seed: int) -> Estimate:
    value_of, n = of_weighted_rows(name, predictions), len(predictions)
    value = float(value_of(np.ones((1, n)))[0])
    counted = _support(name, predictions)
    if n > BOOTSTRAP_ROWS:
        lower, upper = _by_influence(value, influence(name, predictions), level)
        bounds = (lower if name == "r2" else max(0.0, lower)), (upper if name == "rmse" else min(1.0, upper))
        return value, *bounds, counted, "influence function"
    draws = [value_of(counts) for counts in resampled_counts(_strata(name, predictions), n, seed)]
    return value, *percentile(np.concatenate(draws), level), counted, "percentile bootstrap, 2000 resamples"


def _by_influence(value: float, terms: FloatArray, level: float) -> tuple[float, float]:
    half = normal_quantile(level) * float(np.sqrt(np.square(terms).sum())) / len(terms)
    return value - half, value + half


def paired_difference(
    name: str,
    first: Predictions,
    second: Predictions,
    *,
    level: float = 0.95,
    seed: int = 0,
    threshold: float | None = None,
) -> Difference | None:
    """Measure first minus second of a metric on the same rows, with an interval that uses the pairing.

    Returns None when the metric is undefined for either, or when the rows are not the same rows (their truth differs).

    Notes
    -----
    accuracy and recall: discordant pairs (Bonett and Price 2012). roc-auc: paired DeLong. Means of rows: Student's t of
    the per-row differences. precision, f1, macro-f1, balanced-accuracy: posterior of the joint cells of truth and both
    labels. average-precision, rmse, r2: the same resampled rows for both.
    """
    first, second = first.at(threshold), second.at(threshold)
    _of_task(name, first)
    if len(first) != len(second) or not np.array_equal(first.y_true, second.y_true):
        return None
    if undefined(name, first) is not None or undefined(name, second) is not None:
        return None
    n, family = min(_support(name, first), _support(name, second)), metric(name).interval
    if family == "rank":
        return Difference(*auc.paired(first.y_true, first.y_score, second.y_score, level), n, "paired delong")
    if family == "mean":
        terms = row_terms(name, first) - row_terms(name, second)
        return Difference(float(terms.mean()), *student(terms, level), n, "paired student t")
    if name in ("accuracy", "recall"):
        return _paired_proportion(name, first, second, level)
    if family == "rows":
        return _paired_rows(name, first, second, level, seed)
    return _paired_cells(name, first, second, level, seed)


def _paired_proportion(name: str, first: Predictions, second: Predictions, level: float) -> Difference:
    counted, hit_first = proportion_rows(name, first)
    _, hit_second = proportion_rows(name, second)
    only_first = int((counted & hit_first & ~hit_second).sum())
    only_second = int((counted & hit_second & ~hit_first).sum())
    n = int(counted.sum())
    bounds = paired_proportions(only_first, only_second, n, level)
    return _difference((only_first - only_second) / n, bounds, n, "bonett-price, discordant pairs")


def _paired_cells(name: str, first: Predictions, second: Predictions, level: float, seed: int) -> Difference:
    counts, (true, one, two), prior = _cell_counts((first.y_true, first.y_pred, second.y_pred))

    def value_of(weights: FloatArray) -> FloatArray:
        return from_cells(name, weights, true, one) - from_cells(name, weights, true, two)

    draws = np.concatenate([value_of(weights) for weights in posterior_cells(counts, prior, seed)])
    value = float(value_of(counts[None, :])[0])
    n = min(_support(name, first), _support(name, second))
    return _difference(value, percentile(draws, level), n, "dirichlet posterior of joint cells, 2000 draws")


def _paired_rows(name: str, first: Predictions, second: Predictions, level: float, seed: int) -> Difference:
    of_first, of_second, n = of_weighted_rows(name, first), of_weighted_rows(name, second), len(first)
    support = _support(name, first)
    value = float((of_first(np.ones((1, n))) - of_second(np.ones((1, n))))[0])
    if n > BOOTSTRAP_ROWS:
        terms = influence(name, first) - influence(name, second)
        return _difference(value, _by_influence(value, terms, level), support, "paired influence functions")
    draws = [of_first(counts) - of_second(counts) for counts in resampled_counts(_strata(name, first), n, seed)]
    bounds = percentile(np.concatenate(draws), level)
    return _difference(value, bounds, support, "paired percentile bootstrap, 2000 resamples")


def _difference(value: float, bounds: tuple[float, float], n: int, method: str) -> Difference:
    return Difference(value, min(bounds[0], value), max(bounds[1], value), n, method)
