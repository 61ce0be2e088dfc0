"""Distances between two samples that are given as counts over the same bins, or as weighted points.

The divergences are sums over bins. Their terms take counts x of n reference rows and y of m window rows, so that the
law of the sum without any change can be worked out from the same functions (``modelops.statistics.chance``). Every
term is zero, with zero slope, where both shares are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from modelops.statistics import Array

__all__ = [
    "Terms",
    "association_terms",
    "chi_squared_terms",
    "divergence",
    "hellinger_terms",
    "jensen_shannon_terms",
    "kolmogorov_smirnov",
    "kullback_leibler_terms",
    "stability_terms",
    "total_variation",
    "wasserstein",
]

Counts = Sequence[float] | Array
Terms = Callable[[Array, Array, float, float], Array]
"""Terms of a divergence from counts x and y (any one shape) out of n and m rows."""

_SMALLEST_SHARE = 1e-4


def _floored(x: Array, y: Array, n: float, m: float) -> tuple[Array, Array]:
    """Return shares of at least half a row of the smaller sample and at least 0.0001: a score stays finite."""
    floor = max(0.5 / min(n, m), _SMALLEST_SHARE)
    return np.maximum(x / n, floor), np.maximum(y / m, floor)


def stability_terms(x: Array, y: Array, n: float, m: float) -> Array:
    r"""Return the terms of the population stability index.

    .. math:: PSI = \sum_i (q_i - p_i) \ln (q_i / p_i)

    A share is taken as at least half a row of the smaller sample and at least 0.0001; with no empty bin the sum is
    the textbook's.

    Parameters
    ----------
    x, y : arrays of one shape
        Counts of the same bins in the reference and in the window.
    n, m : float
        Rows of the reference and of the window.

    Returns
    -------
    array of that shape
        Not negative.

    References
    ----------
    B. Yurdakul and J. Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
    Validation 14 (2020).

    Examples
    --------
    >>> stability_terms(np.array([50.0, 30.0, 20.0]), np.array([40.0, 30.0, 30.0]), 100, 100).round(6).tolist()
    [0.022314, 0.0, 0.040547]
    """
    p, q = _floored(x, y, n, m)
    terms: Array = (q - p) * np.log(q / p)
    return terms


def chi_squared_terms(x: Array, y: Array, n: float, m: float) -> Array:
    r"""Return the terms of Pearson's divergence, which is chi-squared of the two samples by (1/n + 1/m).

    .. math:: \sum_i \frac{(q_i - p_i)^2}{r_i}, \qquad r_i = \frac{x_i + y_i}{n + m}

    Parameters
    ----------
    x, y : arrays of one shape
        Counts of the same bins in the reference and in the window.
    n, m : float
        Rows of the reference and of the window.

    Returns
    -------
    array of that shape
        Not negative.

    References
    ----------
    K. Pearson, "On the criterion ...", Philosophical Magazine 50 (1900).

    Examples
    --------
    >>> chi_squared_terms(np.array([50.0, 30.0, 20.0]), np.array([40.0, 30.0, 30.0]), 100, 100).round(6).tolist()
    [0.022222, 0.0, 0.04]
    """
    pooled = (x + y) / (n + m)
    terms: Array = np.square(y / m - x / n) / np.where(pooled > 0, pooled, 1.0)
    return terms


def association_terms(x: Array, y: Array, n: float, m: float) -> Array:
    r"""Return the terms of the squared Cramer's V between "which sample" and "which bin", the samples taken as equal.

    .. math:: V^2 = \tfrac12 \sum_i \frac{(q_i - p_i)^2}{p_i + q_i}

    For a table of two rows Cramer's V is :math:`\sqrt{\chi^2 / (n + m)}`, which falls when one sample grows and nothing
    else changes. With shares in the place of counts it does not; for n = m it is the textbook's.

    Parameters
    ----------
    x, y : arrays of one shape
        Counts of the same bins in the reference and in the window.
    n, m : float
        Rows of the reference and of the window.

    Returns
    -------
    array of that shape
        Not negative; their sum is at most 1.

    References
    ----------
    H. Cramer, "Mathematical Methods of Statistics" (1946), section 21.9.

    Examples
    --------
    >>> terms = association_terms(np.array([50.0, 30.0, 20.0]), np.array([40.0, 30.0, 30.0]), 100, 100)
    >>> terms.round(6).tolist()
    [0.005556, 0.0, 0.01]
    """
    p, q = x / n, y / m
    both = p + q
    terms: Array = np.square(q - p) / np.where(both > 0, both, 1.0) / 2
    return terms


def kullback_leibler_terms(x: Array, y: Array, n: float, m: float) -> Array:
    r"""Return the terms of the Kullback-Leibler divergence of the reference from the window, in nats.

    .. math:: KL = \sum_i p_i \ln (p_i / q_i)

    Shares are floored as those of the stability index. Each term is written as
    :math:`p \ln (p / q) - p + q`, whose sum is the same and whose terms are not negative.

    Parameters
    ----------
    x, y : arrays of one shape
        Counts of the same bins in the reference and in the window.
    n, m : float
        Rows of the reference and of the window.

    Returns
    -------
    array of that shape
        In nats, not negative.

    References
    ----------
    S. Kullback and R. A. Leibler, "On information and sufficiency", Annals of Mathematical Statistics 22 (1951).

    Examples
    --------
    >>> kullback_leibler_terms(np.array([50.0, 30.0, 20.0]), np.array([40.0, 30.0, 30.0]), 100, 100).round(6).tolist()
    [0.011572, 0.0, 0.018907]
    """
    p, q = _floored(x, y, n, m)
    terms: Array = p * np.log(p / q) - p + q
    return terms


def jensen_shannon_terms(x: Array, y: Array, n: float, m: float) -> Array:
    r"""Return the terms of the Jensen-Shannon divergence in bits, which is between 0 and 1.

    .. math:: JS = \tfrac12 \sum_i p_i \log_2 \frac{2 p_i}{p_i + q_i} + q_i \log_2 \frac{2 q_i}{p_i + q_i}

    Parameters
    ----------
    x, y : arrays of one shape
        Counts of the same bins in the reference and in the window.
    n, m : float
        Rows of the reference and of the window.

    Returns
    -------
    array of that shape
        In bits, not negative.

    References
    ----------
    J. Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 37 (1991).

    Examples
    --------
    >>> jensen_shannon_terms(np.array([50.0, 30.0, 20.0]), np.array([40.0, 30.0, 30.0]), 100, 100).round(6).tolist()
    [0.004016, 0.0, 0.007262]
    """
    p, q = x / n, y / m
    middle = (p + q) / 2
    safe = np.where(middle > 0, middle, 1.0)
    terms: Array = (_entropy(p, safe) + _entropy(q, safe)) / 2
    return terms


def _entropy(share: Array, middle: Array) -> Array:
    bits: Array = share * np.log2(np.where(share > 0, share / middle, 1.0))
    return bits


def hellinger_terms(x: Array, y: Array, n: float, m: float) -> Array:
    r"""Return the terms of the squared Hellinger distance, which is between 0 and 1.

    .. math:: H^2 = \tfrac12 \sum_i (\sqrt{p_i} - \sqrt{q_i})^2

    Parameters
    ----------
    x, y : arrays of one shape
        Counts of the same bins in the reference and in the window.
    n, m : float
        Rows of the reference and of the window.

    Returns
    -------
    array of that shape
        Not negative.

    References
    ----------
    E. Hellinger, "Neue Begruendung der Theorie quadratischer Formen ...", Journal fuer die reine und angewandte
    Mathematik 136 (1909).

    Examples
    --------
    >>> hellinger_terms(np.array([50.0, 30.0, 20.0]), np.array([40.0, 30.0, 30.0]), 100, 100).round(6).tolist()
    [0.002786, 0.0, 0.005051]
    """
    terms: Array = np.square(np.sqrt(x / n) - np.sqrt(y / m)) / 2
    return terms


def divergence(terms: Terms, reference: Counts, window: Counts) -> float:
    """Return the divergence of two samples that are counted over the same bins; neither may be empty.

    Bins that both samples leave empty say nothing and are left out.

    Parameters
    ----------
    terms : callable
        The terms of the sum, one of the functions above.
    reference, window : sequences of B counts
        Counts of the same bins; neither may sum to zero.

    Returns
    -------
    float, at least 0

    References
    ----------
    I. Csiszar, "Information-type measures of difference of probability distributions and indirect observations",
    Studia Scientiarum Mathematicarum Hungarica 2 (1967).

    Examples
    --------
    >>> round(divergence(stability_terms, [50, 30, 15, 5], [40, 35, 15, 10]), 8)
    0.06467925
    >>> round(divergence(jensen_shannon_terms, [50, 30, 15, 5], [40, 35, 15, 10]) ** 0.5, 8)
    0.10738791
    >>> divergence(hellinger_terms, [1, 0], [0, 1])
    1.0
    """
    x, y, n, m = filled(reference, window)
    return max(0.0, float(np.sum(terms(x, y, n, m))))


def filled(reference: Counts, window: Counts) -> tuple[Array, Array, float, float]:
    """Return the counts of the bins that either sample fills, and the numbers of rows.

    Parameters
    ----------
    reference, window : sequences of B counts
        Counts of the same bins.

    Returns
    -------
    (x, y, n, m)
        The counts of those bins, at most B of each, and the sums of all.

    Examples
    --------
    >>> x, y, n, m = filled([3, 0, 1], [2, 0, 0])
    >>> x.tolist(), y.tolist(), n, m
    ([3.0, 1.0], [2.0, 0.0], 4.0, 2.0)
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    held = (first > 0) | (second > 0)
    return first[held], second[held], float(first.sum()), float(second.sum())


def total_variation(reference: Counts, window: Counts) -> float:
    r"""Return half the sum of the absolute differences of shares: the share of rows that would have to move.

    .. math:: TV = \tfrac12 \sum_i |p_i - q_i|

    Parameters
    ----------
    reference, window : sequences of B counts
        Counts of the same bins; neither may sum to zero.

    Returns
    -------
    float, between 0 and 1

    References
    ----------
    A. L. Gibbs and F. E. Su, "On choosing and bounding probability metrics", International Statistical Review 70
    (2002).

    Examples
    --------
    >>> round(total_variation([50, 30, 20], [40, 30, 30]), 12)
    0.1
    """
    x, y, n, m = filled(reference, window)
    return float(np.abs(x / n - y / m).sum() / 2)


def kolmogorov_smirnov(reference: Counts, window: Counts) -> float:
    r"""Return the largest difference of the distribution functions at the borders of ordered bins.

    .. math:: D = \max_i |F(b_i) - G(b_i)|

    With a bin for each value it is the two-sample statistic; wider bins can only lower it, by at most the larger
    share of the two samples in one bin.

    Parameters
    ----------
    reference, window : sequences of B counts
        Counts of the same bins, in the order of their values; neither may sum to zero.

    Returns
    -------
    float, between 0 and 1

    References
    ----------
    N. V. Smirnov, "Table for estimating the goodness of fit of empirical distributions", Annals of Mathematical
    Statistics 19 (1948).

    Examples
    --------
    >>> round(kolmogorov_smirnov([4, 2, 3, 1, 0], [1, 3, 2, 3, 1]), 12)
    0.3
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    apart = np.cumsum(first) / first.sum() - np.cumsum(second) / second.sum()
    return float(np.abs(apart).max(initial=0.0))


def wasserstein(x: Counts, x_weights: Counts, y: Counts, y_weights: Counts) -> float:
    r"""Return the Wasserstein-1 (earth mover's) distance of two samples of weighted points, in any order.

    .. math:: W_1 = \int |F(t) - G(t)|\,dt

    Parameters
    ----------
    x, y : sequences of numbers
        Points of the two samples, in one unit.
    x_weights, y_weights : sequences of numbers, as long as these
        How often each point occurs; neither may sum to zero.

    Returns
    -------
    float, in that unit

    References
    ----------
    S. S. Vallender, "Calculation of the Wasserstein distance between probability distributions on the line", Theory
    of Probability and Its Applications 18 (1974).

    Examples
    --------
    >>> wasserstein([0, 1, 2], [1, 1, 1], [10, 11], [1, 1])
    9.5
    """
    first, second = np.asarray(x_weights, dtype=np.float64), np.asarray(y_weights, dtype=np.float64)
    points = np.concatenate([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    masses = np.concatenate([first / first.sum(), -second / second.sum()])
    order = np.argsort(points, kind="stable")
    apart = np.abs(np.cumsum(masses[order])[:-1])
    return float(np.sum(apart * np.diff(points[order])))
