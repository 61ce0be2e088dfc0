"""Whole distributions of two samples: how far apart they are, with bands that hold at every look."""

from __future__ import annotations

import math

import numpy as np

from modelops.statistics import Array
from modelops.statistics.sequential import bisect


def distribution_distance(first: Array, second: Array) -> float:
    """Return the two-sample Kolmogorov-Smirnov distance: the largest difference of the two distribution functions.

    Parameters
    ----------
    first, second : arrays of shape (n,) and (m,)
        Values of two samples, in the same unit; neither is empty.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    N. Smirnov, "Table for estimating the goodness of fit of empirical distributions", Annals of Mathematical
    Statistics 19 (1948).

    Examples
    --------
    >>> distribution_distance(np.array([1.0, 2, 3, 4]), np.array([3.0, 4, 5, 6]))
    0.5
    """
    ordered_first, ordered_second = np.sort(first), np.sort(second)
    points = np.concatenate([ordered_first, ordered_second])
    share_first = np.searchsorted(ordered_first, points, side="right") / len(first)
    share_second = np.searchsorted(ordered_second, points, side="right") / len(second)
    return float(np.abs(share_first - share_second).max())


def distribution_radius(n: int, alpha: float) -> float:
    r"""Return how far an empirical distribution function of n values may be from the truth, at every n >= 1 at once.

    .. math:: 0.85 \sqrt{\frac{\ln\ln(e n) + 0.8 \ln(1612 / \alpha)}{n}}

    Parameters
    ----------
    n : int
        Number of values, at least 1.
    alpha : float
        Error rate over all n, in (0, 1).

    Returns
    -------
    float
        In units of probability; above 1 it says nothing yet.

    References
    ----------
    S. R. Howard and A. Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
    identification", Bernoulli 28 (2022), corollary 2.

    Examples
    --------
    >>> [round(distribution_radius(n, 0.05), 3) for n in (100, 10_000)]
    [0.269, 0.028]
    """
    return 0.85 * math.sqrt((math.log(math.log(math.e * n)) + 0.8 * math.log(1612 / alpha)) / n)


def distribution_p_value(distance: float, first: int, second: int, limit: float) -> float:
    """Return the p-value, valid at every look, of "the distributions are at most ``limit`` apart".

    ``first`` and ``second`` are the numbers of values behind the observed distance. It is the error rate, shared
    equally by the two samples, at which their bands just reach from the distance down to the limit.

    Parameters
    ----------
    distance : float
        The observed distance, in [0, 1].
    first, second : int
        Numbers of values of the two samples.
    limit : float
        The largest distance that the hypothesis allows, in [0, 1].

    Returns
    -------
    float
        In [exp(-600), 1].

    References
    ----------
    Howard and Ramdas (2022), as for ``distribution_radius``; the bands of both samples hold by the union bound.

    Examples
    --------
    >>> [f"{distribution_p_value(distance, 2000, 2000, 0.1):.2g}" for distance in (0.1, 0.25)]
    ['1', '0.00017']
    """

    def short(log_alpha: float) -> float:
        part = math.exp(log_alpha) / 2
        return distribution_radius(first, part) + distribution_radius(second, part) - (distance - limit)

    return 1.0 if short(0.0) >= 0 else math.exp(bisect(short, -600.0, 0.0))
