"""The area under the ROC curve: DeLong's variance from midranks, for one model or two on the same rows."""

from __future__ import annotations

import math

import numpy as np
import scipy

from modelops.metrics.intervals import Bounds, normal_quantile
from modelops.metrics.rows import FloatArray


def midranks(values: FloatArray) -> FloatArray:
    """Return ranks from 1, shape (n,), tied values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def placements(y_true: FloatArray, y_score: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Return the AUC and DeLong's structural components of positives, shape (m,), and negatives, shape (n,).

    Component i of the positives is the share of negatives that positive i outscores (ties count one half), and the
    other way round; the AUC is the mean of either. Midranks make it O((m + n) log(m + n)).

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988). X. Sun, W. Xu, "Fast implementation of
    DeLong's algorithm", IEEE Signal Processing Letters 21 (2014).
    """
    positive, negative = y_score[y_true == 1], y_score[y_true == 0]
    m, n = len(positive), len(negative)
    together = midranks(np.concatenate([positive, negative]))
    of_positives = (together[:m] - midranks(positive)) / n
    of_negatives = 1 - (together[m:] - midranks(negative)) / m
    return float(of_positives.mean()), of_positives, of_negatives


def _variance(of_positives: FloatArray, of_negatives: FloatArray) -> float:
    m, n = len(of_positives), len(of_negatives)
    return (float(of_positives.var(ddof=1)) / m if m > 1 else 0.0) + (
        float(of_negatives.var(ddof=1)) / n if n > 1 else 0.0
    )


def _score_interval(area: float, m: int, n: int, level: float) -> Bounds:
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


def interval(y_true: FloatArray, y_score: FloatArray, level: float) -> tuple[float, float, float, str]:
    """Return the AUC, its bounds and the method.

    DeLong's variance on the logit scale, which stays inside (0, 1) and covers better near the ends. Where that
    variance is zero (the classes are separated perfectly, or one of them has a single row) Newcombe's score interval
    is used, so that a perfect small sample is not taken for certainty.

    References
    ----------
    R. G. Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2",
    Statistics in Medicine 25 (2006).
    """
    area, of_positives, of_negatives = placements(y_true, y_score)
    m, n = len(of_positives), len(of_negatives)
    variance = _variance(of_positives, of_negatives)
    if min(m, n) < 2 or variance <= 0 or not 0 < area < 1:
        lower, upper = _score_interval(area, m, n, level)
        return area, lower, upper, "newcombe score"
    logit = math.log(area / (1 - area))
    half = normal_quantile(level) * math.sqrt(variance) / (area * (1 - area))
    return (
        area,
        float(scipy.special.expit(logit - half)),
        float(scipy.special.expit(logit + half)),
        "delong, logit scale",
    )


def paired(y_true: FloatArray, first: FloatArray, second: FloatArray, level: float) -> tuple[float, float, float]:
    """Return AUC(first) - AUC(second) on the same rows with DeLong's paired interval.

    Two that separate the classes perfectly, or the same way wrong, show no variance at all; then the interval is that
    of the one area, towards either side, so that few rows are not taken for certainty. Two that rank all rows alike
    with an area in between differ by nothing, whatever the rows.
    """
    area_first, positives_first, negatives_first = placements(y_true, first)
    area_second, positives_second, negatives_second = placements(y_true, second)
    m, n = len(positives_first), len(negatives_first)
    difference = area_first - area_second
    # The variance of a difference of means is that of the mean of differences: the covariance comes for free.
    variance = _variance(positives_first - positives_second, negatives_first - negatives_second)
    if variance <= 0 and (area_first in (0.0, 1.0) or area_second in (0.0, 1.0) or difference):
        below_first, above_first = _score_interval(area_first, m, n, level)
        below_second, above_second = _score_interval(area_second, m, n, level)
        # Newcombe's square-and-add: each bound takes the spread of the side that it lies on.
        lower = difference - math.hypot(area_first - below_first, above_second - area_second)
        upper = difference + math.hypot(above_first - area_first, area_second - below_second)
        return difference, max(-1.0, lower), min(1.0, upper)
    half = normal_quantile(level) * math.sqrt(variance)
    return difference, max(-1.0, difference - half), min(1.0, difference + half)
