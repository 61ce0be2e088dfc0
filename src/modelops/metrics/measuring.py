"""Metrics with confidence intervals, of one release or of the difference between two on the same rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from modelops.errors import failure
from modelops.metrics.catalog import Metric, metric
from modelops.metrics.cells import cells_of
from modelops.metrics.rows import FloatArray, Predictions, alike
from modelops.metrics.support import support, supported
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
from modelops.statistics.weighted import from_cells, trials

_TRUSTED = 100.0
"""Positives up to which average precision is worth no more of them than there are."""

Estimate = tuple[float, float, float, int, str]
"""Value, lower and upper bound, n, and the method of the interval."""


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second of a metric on the same rows, in the metric's own unit, with its interval.

    ``n`` is what the metric is a share of, as for ``measure``; where the two differ in it, the smaller. ``effective``
    is of how many equally weighted ones they are worth, where rows have weights.
    """

    value: float
    lower: float
    upper: float
    n: int
    method: str
    effective: float | None = None

    @property
    def rests_on(self) -> int:
        """How many rows it rests on: of weighted ones only as many as they are worth."""
        return self.n if self.effective is None else max(1, int(self.effective))


def undefined(name: str, predictions: Predictions) -> str | None:
    """Say why a metric cannot be measured on these rows, or None when it can.

    A value that is not finite makes a metric undefined; rows are never dropped silently.
    """
    found, predictions = _of_task(name, predictions), predictions.counted()
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

    Of weighted rows a mean is one of two: Fieller's, with these. Shares have Korn and Graubard's interval, of as many
    trials as their linearised variance and their weights leave; ranks DeLong's variance linearised, and Newcombe's of
    the rows that each class is worth; cells those that their rows are worth. Rows of weight 0 are not counted, and
    weights that are all alike are none.
    """
    predictions = predictions.at(threshold).counted()
    if undefined(name, predictions) is not None:
        return None
    weight, family = predictions.sample_weight, metric(name).interval
    if family == "proportion":
        value, lower, upper, n, method = _proportion(name, predictions, level)
    elif family == "cells":
        value, lower, upper, n, method = _cells(name, predictions, level, seed)
    elif family == "mean":
        terms = row_terms(name, predictions)
        value, n, method = float(np.average(terms, weights=weight)), len(terms), "student and hall"
        lower, upper = _mean_bounds(terms, weight, level)
        if float(np.ptp(terms)) == 0:
            most = unlike(name, predictions, level)
            lower, upper = value - most, value + most
        lower = lower if name == "bias" else max(0.0, lower)
    elif family == "rank":
        value, lower, upper, method = auc.interval(predictions.y_true, predictions.y_score, level, weight)
        n = support(name, predictions)
    elif name == "average-precision":
        value, lower, upper, n, method = _average_precision(predictions, level)
    else:
        value, lower, upper, n, method = _squared(name, predictions, level)
    lower, upper, worth_rows = min(lower, value), max(upper, value), None
    if weight is not None:
        worth_rows, method = supported(name, predictions), f"{method}, weighted"
    return MetricValue(
        name=name, value=value, lower=lower, upper=upper, level=level, n=n, method=method, effective=worth_rows
    )


def measure_all(
    predictions: Predictions, *, level: float = 0.95, seed: int = 0, names: tuple[str, ...]
) -> tuple[MetricValue, ...]:
    """Measure several metrics, leaving out those that are undefined on these rows."""
    found = (measure(name, predictions, level=level, seed=seed) for name in names)
    return tuple(value for value in found if value is not None)


def _weighed(values: FloatArray, weight: FloatArray | None) -> FloatArray:
    return values if weight is None else weight * values


def _mean_bounds(terms: FloatArray, weight: FloatArray | None, level: float) -> tuple[float, float]:
    """Return the bounds of a mean; a weighted one is a ratio of two, for weights are drawn with the rows."""
    return mean_interval(terms, level) if weight is None else ratio_interval(weight * terms, weight, level)


def _proportion(name: str, predictions: Predictions, level: float) -> Estimate:
    counted, hit = proportion_rows(name, predictions)
    n = int(counted.sum())
    if predictions.sample_weight is not None:
        share, size = trials(hit[counted].astype(np.float64), predictions.sample_weight[counted])
        return share, *exact_proportion(share * size, size, level), n, "korn and graubard"
    k = int((counted & hit).sum())
    return k / n, *exact_proportion(k, n, level), n, "clopper-pearson"


def _cells(name: str, predictions: Predictions, level: float, seed: int) -> Estimate:
    cells = cells_of((predictions.y_true, predictions.y_pred), predictions.sample_weight)
    true, predicted = cells.labels
    value = float(from_cells(name, cells.totals, true, predicted)[0])
    drawn = posterior_cells(cells.counts, cells.prior, seed, scale=cells.scale)
    draws = [from_cells(name, weights, true, predicted) for weights in drawn]
    n = support(name, predictions)
    return value, *percentile(np.concatenate(draws), level), n, "dirichlet posterior, 2000 draws"


def _average_precision(predictions: Predictions, level: float) -> Estimate:
    """Return average precision with the exact interval of a share of as many positives as it is worth."""
    value, terms = average_precision(predictions)
    size = _worth(value, terms, supported("average-precision", predictions))
    positives = support("average-precision", predictions)
    return value, *exact_proportion(value * size, size, level), positives, "clopper-pearson, effective positives"


def _worth(value: float, terms: FloatArray, positives: float) -> float:
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
    weight = predictions.sample_weight
    mean = float(np.average(errors, weights=weight))
    if name == "rmse":
        lower, upper = _mean_bounds(errors, weight, level)
        low, high = float(np.sqrt(max(0.0, lower))), float(np.sqrt(max(0.0, upper)))
        return float(np.sqrt(mean)), low, high, n, "student and hall, of the squared errors"
    spread = squared_spread(predictions)
    lower, upper = ratio_interval(_weighed(errors, weight), _weighed(spread, weight), level)
    value = 1 - mean / float(np.average(spread, weights=weight))
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
    first, second = first.at(threshold).counted(), second.at(threshold).counted()
    _of_task(name, first)
    if (
        len(first) != len(second)
        or not np.array_equal(first.y_true, second.y_true)
        or not _weighed_alike(first, second)
    ):
        return None
    if undefined(name, first) is not None or undefined(name, second) is not None:
        return None
    n, weight = min(support(name, first), support(name, second)), first.sample_weight
    if alike(first, second):
        return Difference(0.0, 0.0, 0.0, n, "the same answers")
    found = _paired(name, first, second, level, seed, n)
    if weight is None:
        return found
    size = min(supported(name, first), supported(name, second))
    return replace(found, method=f"{found.method}, weighted", effective=size)


def _weighed_alike(first: Predictions, second: Predictions) -> bool:
    one, other = first.sample_weight, second.sample_weight
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _paired(name: str, first: Predictions, second: Predictions, level: float, seed: int, n: int) -> Difference:
    weight, family = first.sample_weight, metric(name).interval
    if family == "rank":
        found = auc.paired(first.y_true, first.y_score, second.y_score, level, weight)
        return Difference(*found, n, "newcombe score and delong, paired")
    if family == "mean":
        terms = row_terms(name, first) - row_terms(name, second)
        value = float(np.average(terms, weights=weight))
        return Difference(value, *_mean_bounds(terms, weight, level), n, "student and hall, paired")
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
    weight = first.sample_weight
    if weight is not None:
        apart = (hit_first[counted].astype(np.float64) - hit_second[counted].astype(np.float64)), weight[counted]
        value, size = trials(*apart)
        shares = [float(np.average(apart[0] == side, weights=apart[1])) * size for side in (1, -1)]
        bounds = paired_proportions(shares[0], shares[1], size, level)
        return _difference(value, bounds, int(counted.sum()), "tango, discordant pairs")
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
    method = f"{one.method.removesuffix(', weighted')}, paired by joint cells"
    cells = cells_of((first.y_true, first.y_pred, second.y_pred), first.sample_weight)
    true, said, rather = cells.labels
    draws = [
        (from_cells(name, weights, true, said), from_cells(name, weights, true, rather))
        for weights in posterior_cells(cells.counts, cells.prior, seed, scale=cells.scale)
    ]
    drawn = np.hstack([np.stack(pair) for pair in draws])
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    varies = drawn.shape[1] > 1 and bool((np.ptp(drawn, axis=1) > 0).all())
    correlation = float(np.corrcoef(drawn[0], drawn[1]).flat[1]) if varies else 0.0
    parts = (one.value, (one.lower, one.upper)), (other.value, (other.lower, other.upper))
    rows = min(one.effective or one.n, other.effective or other.n)
    bounds = recovered(value, *parts, correlation, rows, level)
    return _difference(value, bounds, n, method)


def _paired_average_precision(first: Predictions, second: Predictions, level: float) -> Difference:
    one, other = (_average_precision(predictions, level) for predictions in (first, second))
    terms = average_precision(first)[1], average_precision(second)[1]
    value, method = one[0] - other[0], "clopper-pearson, effective positives, paired"
    together = float(np.sqrt(np.square(terms[0]).sum() * np.square(terms[1]).sum()))
    correlation = float((terms[0] * terms[1]).sum()) / together if together > 0 else 0.0
    parts = (one[0], (one[1], one[2])), (other[0], (other[1], other[2]))
    bounds = recovered(value, *parts, correlation, supported("average-precision", first), level)
    return _difference(value, bounds, one[3], method)


def _paired_squared(name: str, first: Predictions, second: Predictions, level: float) -> Difference:
    one, other, weight = squared_errors(first), squared_errors(second), first.sample_weight
    if name == "r2":
        spread = squared_spread(first)
        value = float(np.average(other - one, weights=weight) / np.average(spread, weights=weight))
        bounds = ratio_interval(_weighed(other - one, weight), _weighed(spread, weight), level)
        return _difference(value, bounds, len(first), "fieller, student and hall, paired")
    terms = rmse_terms(one, other, weight)
    value = float(np.sqrt(np.average(one, weights=weight)) - np.sqrt(np.average(other, weights=weight)))
    lower, upper = _mean_bounds(terms, weight, level)
    shift = value - float(np.average(terms, weights=weight))
    return _difference(value, (lower + shift, upper + shift), len(first), "student and hall, paired")


def _difference(value: float, bounds: tuple[float, float], n: int, method: str) -> Difference:
    return Difference(value, min(bounds[0], value), max(bounds[1], value), n, method)
