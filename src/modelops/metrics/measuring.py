"""Metrics with confidence intervals, of one release or of the difference between two on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelops.errors import failure
from modelops.metrics.catalog import Metric, metric
from modelops.metrics.rows import FloatArray, Predictions, alike
from modelops.metrics.values import (
    average_precision,
    proportion_rows,
    rmse_terms,
    row_terms,
    squared_errors,
    squared_spread,
    unlike,
)
from modelops.spec.kinds.release import MetricValue
from modelops.statistics import auc
from modelops.statistics.intervals import (
    exact_proportion,
    mean_interval,
    paired_proportions,
    percentile,
    posterior_cells,
    ratio_interval,
    recovered,
)
from modelops.statistics.weighted import from_cells

_TRUSTED = 100.0
"""Positives up to which average precision is worth no more of them than there are."""

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
        Two-sided confidence in (0, 1): each bound alone holds with confidence (1 + level) / 2, for f1, macro-f1 and
        balanced-accuracy with ``level``, as the posterior is not symmetrical.
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
    accuracy, precision and recall: Clopper and Pearson's interval. roc-auc: the wider of Newcombe's score interval and
    DeLong's on the logit scale. average-precision: Clopper and Pearson's of as many positives as its influence function
    says that it is worth, at most as many as there are. log-loss, brier, mae, mape, bias and, of the squared errors,
    rmse: the wider of Student's t and Hall's. r2: Fieller's, with these. f1, macro-f1 and balanced-accuracy: the
    posterior of the confusion matrix under a Dirichlet prior of 1/K a cell (Goutte and Gaussier, ECIR 2005; Brodersen
    et al., ICPR 2010), 2,000 draws. ``unsettled`` says below which size they do not hold.
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
        value, n, method = float(terms.mean()), len(terms), "student and hall"
        lower, upper = mean_interval(terms, level)
        if float(np.ptp(terms)) == 0:
            most = unlike(name, predictions, level)
            lower, upper = value - most, value + most
        lower = lower if name == "bias" else max(0.0, lower)
    elif family == "rank":
        value, lower, upper, method = auc.interval(predictions.y_true, predictions.y_score, level)
        n = _support(name, predictions)
    elif name == "average-precision":
        value, lower, upper, n, method = _average_precision(predictions, level)
    else:
        value, lower, upper, n, method = _squared(name, predictions, level)
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
    return k / n, *exact_proportion(k, n, level), n, "clopper-pearson"


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


def _average_precision(predictions: Predictions, level: float) -> Estimate:
    """Return average precision with the exact interval of a share of as many positives as it is worth."""
    value, terms = average_precision(predictions)
    positives = _support("average-precision", predictions)
    worth = _worth(value, terms, positives)
    return value, *exact_proportion(value * worth, worth, level), positives, "clopper-pearson, effective positives"


def _worth(value: float, terms: FloatArray, positives: int) -> float:
    """Return of how many positives a share of the same value would vary as much as average precision does.

    Never more than there are, up to 100 positives: a few of them do not show how the rest is ranked. Beyond that the
    variance of the rows at hand counts with the share of them that is beyond 100.
    """
    spread = value * (1 - value)
    own = float(np.square(terms).sum()) / len(terms) ** 2
    if spread <= 0:
        return float(positives)
    share = min(1.0, _TRUSTED / positives)
    return spread / max(own, share * spread / positives + (1 - share) * own)


def _squared(name: str, predictions: Predictions, level: float) -> Estimate:
    """Return rmse or r2, whose intervals are those of the mean squared error and of its ratio to the spread."""
    errors, n = squared_errors(predictions), len(predictions)
    if not errors.any():
        most, perfect = unlike(name, predictions, level), float(name == "r2")
        return perfect, perfect * (1 - most), perfect + (1 - perfect) * most, n, "clopper-pearson, no error seen"
    if name == "rmse":
        lower, upper = mean_interval(errors, level)
        low, high = float(np.sqrt(max(0.0, lower))), float(np.sqrt(max(0.0, upper)))
        return float(np.sqrt(errors.mean())), low, high, n, "student and hall, of the squared errors"
    spread = squared_spread(predictions)
    lower, upper = ratio_interval(errors, spread, level)
    value = 1 - float(errors.mean() / spread.mean())
    return value, 1 - upper, min(1.0, 1 - lower), n, "fieller, student and hall"


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
    accuracy and recall: Tango's score interval of the discordant pairs. roc-auc and average-precision: the bounds of
    both, put together by their correlation (``recovered``). Means of rows, and rmse by what each row adds to it: the
    wider of Student's t and Hall's, of the differences. r2: Fieller's. precision, f1, macro-f1, balanced-accuracy: the
    bounds of both, put together by the correlation of the posterior of the joint cells of truth and both labels.
    ``unsettled`` says below which size they do not hold.
    """
    first, second = first.at(threshold), second.at(threshold)
    _of_task(name, first)
    if len(first) != len(second) or not np.array_equal(first.y_true, second.y_true):
        return None
    if undefined(name, first) is not None or undefined(name, second) is not None:
        return None
    n, family = min(_support(name, first), _support(name, second)), metric(name).interval
    if alike(first, second):
        return Difference(0.0, 0.0, 0.0, n, "the same answers")
    if family == "rank":
        found = auc.paired(first.y_true, first.y_score, second.y_score, level)
        return Difference(*found, n, "newcombe score and delong, paired")
    if family == "mean":
        terms = row_terms(name, first) - row_terms(name, second)
        return Difference(float(terms.mean()), *mean_interval(terms, level), n, "student and hall, paired")
    if name in ("accuracy", "recall"):
        return _paired_proportion(name, first, second, level)
    if name == "average-precision":
        return _paired_average_precision(first, second, level)
    if family == "rows":
        return _paired_squared(name, first, second, level)
    return _paired_cells(name, first, second, level, seed)


def _paired_proportion(name: str, first: Predictions, second: Predictions, level: float) -> Difference:
    counted, hit_first = proportion_rows(name, first)
    _, hit_second = proportion_rows(name, second)
    only_first = int((counted & hit_first & ~hit_second).sum())
    only_second = int((counted & hit_second & ~hit_first).sum())
    n = int(counted.sum())
    bounds = paired_proportions(only_first, only_second, n, level)
    return _difference((only_first - only_second) / n, bounds, n, "tango, discordant pairs")


def _paired_cells(name: str, first: Predictions, second: Predictions, level: float, seed: int) -> Difference:
    """Put the bounds of both together by the correlation that the posterior of their joint cells gives them."""
    one, other = (measure(name, predictions, level=level, seed=seed) for predictions in (first, second))
    assert one is not None
    assert other is not None
    value, n = one.value - other.value, min(one.n, other.n)
    method = f"{one.method}, paired by joint cells"
    counts, (true, said, rather), prior = _cell_counts((first.y_true, first.y_pred, second.y_pred))
    draws = [
        (from_cells(name, weights, true, said), from_cells(name, weights, true, rather))
        for weights in posterior_cells(counts, prior, seed)
    ]
    drawn = np.hstack([np.stack(pair) for pair in draws])
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    varies = drawn.shape[1] > 1 and bool((np.ptp(drawn, axis=1) > 0).all())
    correlation = float(np.corrcoef(drawn[0], drawn[1]).flat[1]) if varies else 0.0
    parts = (one.value, (one.lower, one.upper)), (other.value, (other.lower, other.upper))
    bounds = recovered(value, *parts, correlation, n, level)
    return _difference(value, bounds, n, method)


def _paired_average_precision(first: Predictions, second: Predictions, level: float) -> Difference:
    one, other = (_average_precision(predictions, level) for predictions in (first, second))
    terms = average_precision(first)[1], average_precision(second)[1]
    value, method = one[0] - other[0], "clopper-pearson, effective positives, paired"
    together = float(np.sqrt(np.square(terms[0]).sum() * np.square(terms[1]).sum()))
    correlation = float((terms[0] * terms[1]).sum()) / together if together > 0 else 0.0
    parts = (one[0], (one[1], one[2])), (other[0], (other[1], other[2]))
    bounds = recovered(value, *parts, correlation, one[3], level)
    return _difference(value, bounds, one[3], method)


def _paired_squared(name: str, first: Predictions, second: Predictions, level: float) -> Difference:
    one, other = squared_errors(first), squared_errors(second)
    if name == "r2":
        spread = squared_spread(first)
        value = float((other - one).mean() / spread.mean())
        bounds = ratio_interval(other - one, spread, level)
        return _difference(value, bounds, len(first), "fieller, student and hall, paired")
    terms = rmse_terms(one, other)
    value = float(np.sqrt(one.mean()) - np.sqrt(other.mean()))
    lower, upper = mean_interval(terms, level)
    shift = value - float(terms.mean())
    return _difference(value, (lower + shift, upper + shift), len(first), "student and hall, paired")


def _difference(value: float, bounds: tuple[float, float], n: int, method: str) -> Difference:
    return Difference(value, min(bounds[0], value), max(bounds[1], value), n, method)
