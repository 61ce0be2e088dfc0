"""The area under the ROC curve: DeLong's variance from midranks, for one model or two on the same rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from modelops.statistics import Array, Bounds
from modelops.statistics.intervals import normal_quantile, recovered
from modelops.statistics.weighted import worth

_TRUSTED = 100.0
"""Rows of the rarer class up to which an interval is never narrower than Newcombe's."""


def midranks(values: Array) -> Array:
    """Return ranks from 1, shape (n,), tied values sharing the mean of theirs.

    Parameters
    ----------
    values : array of shape (n,)
        In any order and unit; only the order of the values counts.

    Returns
    -------
    array of shape (n,)
        Ranks from 1 to n.

    References
    ----------
    M. Hollander, D. A. Wolfe, E. Chicken, "Nonparametric Statistical Methods", 3rd edition (2014), section 4.1.

    Examples
    --------
    >>> midranks(np.array([10.0, 30.0, 10.0, 20.0])).tolist()
    [1.5, 4.0, 1.5, 3.0]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def placements(y_true: Array, y_score: Array, weight: Array | None = None) -> tuple[float, Array, Array]:
    """Return the AUC and DeLong's structural components of positives, shape (m,), and negatives, shape (n,).

    Component i of the positives is the share of negatives that positive i outscores (ties count one half), and the
    other way round; the AUC is the mean of either. Midranks make it O((m + n) log(m + n)). Of weighted rows shares and
    mean are weighted.

    Parameters
    ----------
    y_true : array of shape (n,)
        1.0 for the positive class, else 0.0; at least one of each.
    y_score : array of shape (n,)
        Scores, larger for the positive class, in any unit.
    weight : array of shape (n,), optional
        What each row counts for, above 0; all the same unless given.

    Returns
    -------
    (float, array of shape (m,), array of shape (n,))
        The area in [0, 1], and the components of the m positives and of the n negatives in the order of the rows.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988). X. Sun, W. Xu, "Fast implementation of
    DeLong's algorithm", IEEE Signal Processing Letters 21 (2014).

    Examples
    --------
    >>> area, of_positives, of_negatives = placements(np.array([1.0, 0, 1, 0]), np.array([0.9, 0.2, 0.4, 0.4]))
    >>> area, of_positives.tolist(), of_negatives.tolist()
    (0.875, [1.0, 0.75], [1.0, 0.75])
    """
    positive, negative = y_score[y_true == 1], y_score[y_true == 0]
    if weight is not None:
        of_one, of_other = weight[y_true == 1], weight[y_true == 0]
        of_positives = _outscored(positive, negative, of_other)
        of_negatives = 1 - _outscored(negative, positive, of_one)
        return float(np.average(of_positives, weights=of_one)), of_positives, of_negatives
    m, n = len(positive), len(negative)
    together = midranks(np.concatenate([positive, negative]))
    of_positives = (together[:m] - midranks(positive)) / n
    of_negatives = 1 - (together[m:] - midranks(negative)) / m
    return float(of_positives.mean()), of_positives, of_negatives


def _outscored(scores: Array, others: Array, weight: Array) -> Array:
    """Return for each score the weighted share of others below it, ties counting one half."""
    order = np.argsort(others, kind="stable")
    ordered, below = others[order], np.append(0.0, np.cumsum(weight[order]))
    left, right = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    shares: Array = (below[left] + below[right]) / (2 * below[-1])
    return shares


@dataclass(frozen=True, slots=True)
class _Classes:
    """The weights of the positives and of the negatives; none where all rows count the same."""

    positives: Array | None = None
    negatives: Array | None = None


def _sizes(classes: _Classes, of_positives: Array, of_negatives: Array) -> tuple[float, float]:
    """Return of how many rows each class is worth."""
    if classes.positives is None or classes.negatives is None:
        return len(of_positives), len(of_negatives)
    return worth(classes.positives), worth(classes.negatives)


def _variance(classes: _Classes, of_positives: Array, of_negatives: Array) -> float:
    """Return the variance of an area, or of the difference of two, from its components."""
    return _of_mean(of_positives, classes.positives) + _of_mean(of_negatives, classes.negatives)


def _classes(y_true: Array, weight: Array | None) -> _Classes:
    return _Classes() if weight is None else _Classes(weight[y_true == 1], weight[y_true == 0])


def _of_mean(values: Array, weight: Array | None) -> float:
    """Return the variance of a mean of independent values, linearised where it is weighted."""
    n = len(values)
    if n < 2:
        return 0.0
    if weight is None:
        return float(values.var(ddof=1)) / n
    apart = weight * (values - np.average(values, weights=weight))
    return float(np.square(apart).sum()) / float(weight.sum()) ** 2 * n / (n - 1)


def _score_interval(area: float, m: float, n: float, level: float) -> Bounds:
    """Newcombe's method 5: invert the test whose variance is that of exponential scores with the area under test."""
    z, half = normal_quantile(level), (m + n) / 2 - 1

    def excess(theta: float) -> float:
        variance = theta * (1 - theta) * (1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)) / (m * n)
        return abs(theta - area) - z * math.sqrt(variance)

    def cross(outside: float) -> float:
        inside = area
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if excess(middle) > 0 else (middle, outside)
        return outside

    return (0.0 if area <= 0 else cross(0.0)), (1.0 if area >= 1 else cross(1.0))


def _bounds(area: float, of_positives: Array, of_negatives: Array, level: float, classes: _Classes) -> Bounds:
    """Return the bounds of one area: the wider of DeLong's and Newcombe's, the latter the less the more rows there are.

    DeLong's variance is that of the rows at hand, and a few rows near the top do not show how the rest of their class
    is ranked; Newcombe's is that of the area itself. From 100 rows of the rarer class on the first is trusted with the
    share of them that is beyond 100. Weighted rows are as many as they are worth.
    """
    m, n = _sizes(classes, of_positives, of_negatives)
    low, high = _score_interval(area, m, n, level)
    variance = _variance(classes, of_positives, of_negatives)
    if min(m, n) < 2 or variance <= 0 or not 0 < area < 1:
        return low, high
    logit = math.log(area / (1 - area))
    half = normal_quantile(level) * math.sqrt(variance) / (area * (1 - area))
    own = float(scipy.special.expit(logit - half)), float(scipy.special.expit(logit + half))
    share = min(1.0, _TRUSTED / min(m, n))
    return own[0] + share * (min(low, own[0]) - own[0]), own[1] + share * (max(high, own[1]) - own[1])


def interval(
    y_true: Array, y_score: Array, level: float, weight: Array | None = None
) -> tuple[float, float, float, str]:
    """Return the AUC, its bounds and the method.

    The wider, on each side, of DeLong's interval on the logit scale and Newcombe's score interval, whose variance comes
    from the area itself. DeLong's alone is too narrow while few rows are ranked low: with 20 positives and a true area
    of 0.99 its lower bound is above the truth in 13 % of the samples instead of 2.5 %. Beyond 100 rows of the rarer
    class the bounds go over into DeLong's. A perfect ranking, or a class of one row, has no variance: there it is
    Newcombe's alone.

    Parameters
    ----------
    y_true : array of shape (n,)
        1.0 for the positive class, else 0.0; at least one of each.
    y_score : array of shape (n,)
        Scores, larger for the positive class, in any unit.
    level : float
        Two-sided confidence, in (0, 1).
    weight : array of shape (n,), optional
        What each row counts for, above 0; all the same unless given.

    Returns
    -------
    (float, float, float, str)
        The area, its lower and upper bound, all in [0, 1], and the name of the method.

    References
    ----------
    R. G. Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2",
    Statistics in Medicine 25 (2006), method 5. DeLong et al. (1988), as for ``placements``.

    Examples
    --------
    >>> y_true = np.array([0.0, 0, 0, 1, 0, 1, 1, 1])
    >>> area, lower, upper, method = interval(y_true, np.arange(8.0), 0.95)
    >>> area, round(lower, 3), round(upper, 3), method
    (0.9375, 0.438, 0.997, 'newcombe score and delong')
    >>> perfect = interval(y_true, y_true, 0.95)
    >>> perfect[0], round(perfect[1], 3), perfect[2], perfect[3]
    (1.0, 0.582, 1.0, 'newcombe score and delong')
    """
    area, of_positives, of_negatives = placements(y_true, y_score, weight)
    bounds = _bounds(area, of_positives, of_negatives, level, _classes(y_true, weight))
    return area, *bounds, "newcombe score and delong"


def paired(
    y_true: Array, first: Array, second: Array, level: float, weight: Array | None = None
) -> tuple[float, float, float]:
    """Return AUC(first) - AUC(second) on the same rows with an interval that uses the pairing.

    The bounds of each area, as ``interval`` gives them, are put together by the correlation of the two, which DeLong's
    covariance gives. So a difference near 1 is not symmetrical, as DeLong's own interval is, whose upper bound lies
    below the truth in 18 % of the samples with 20 positives and areas of 0.993 and 0.988.

    Parameters
    ----------
    y_true : array of shape (n,)
        1.0 for the positive class, else 0.0; at least one of each.
    first, second : arrays of shape (n,)
        Scores of the same rows by two models.
    level : float
        Two-sided confidence, in (0, 1).
    weight : array of shape (n,), optional
        What each row counts for, above 0; all the same unless given.

    Returns
    -------
    (float, float, float)
        The difference of the areas and its bounds, in [-1, 1].

    References
    ----------
    As for ``interval``, and for ``recovered``.

    Examples
    --------
    >>> y_true = np.array([0.0, 0, 0, 1, 0, 1, 1, 1])
    >>> difference, lower, upper = paired(y_true, np.arange(8.0), np.array([3.0, 1, 2, 0, 4, 5, 7, 6]), 0.95)
    >>> difference, round(lower, 3), round(upper, 3)
    (0.1875, -0.271, 0.736)
    """
    area_first, positives_first, negatives_first = placements(y_true, first, weight)
    area_second, positives_second, negatives_second = placements(y_true, second, weight)
    difference, classes = area_first - area_second, _classes(y_true, weight)
    own = _variance(classes, positives_first, negatives_first), _variance(classes, positives_second, negatives_second)
    # The variance of a difference of means is that of the mean of differences: the covariance comes for free.
    together = _variance(classes, positives_first - positives_second, negatives_first - negatives_second)
    correlation = 0.0
    if min(own) > 0:
        correlation = (own[0] + own[1] - together) / (2 * math.sqrt(own[0] * own[1]))
    of_first = area_first, _bounds(area_first, positives_first, negatives_first, level, classes)
    of_second = area_second, _bounds(area_second, positives_second, negatives_second, level, classes)
    rarer = min(_sizes(classes, positives_first, negatives_first))
    lower, upper = recovered(difference, of_first, of_second, correlation, rarer, level)
    return difference, max(-1.0, lower), min(1.0, upper)
