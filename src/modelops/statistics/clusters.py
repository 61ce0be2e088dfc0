"""Rows that come in groups, like the requests of one customer: how many independent rows they are worth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy

from modelops.statistics import Array

__all__ = ["alike", "chance_factor", "drawn_factor", "effective_clusters", "mean_factor"]

_WINDOWS, _CHUNK = 2000, 1 << 20
Codes = np.ndarray[tuple[int], np.dtype[np.int64]]


def effective_clusters(clusters: Codes) -> float:
    r"""Return how many groups of equal size are worth as much as these, :math:`(\sum m_i)^2 / \sum m_i^2`.

    Parameters
    ----------
    clusters : array of shape (n,)
        The group of each row, any whole numbers; n is at least 1.

    Returns
    -------
    float
        From 1 to the number of groups.

    References
    ----------
    L. Kish, Survey Sampling (1965), section 11.7.

    Examples
    --------
    >>> effective_clusters(np.array([0, 0, 1, 1, 2, 2])), round(effective_clusters(np.array([0, 0, 0, 0, 1])), 3)
    (3.0, 1.471)
    """
    sizes = np.unique(clusters, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / np.square(sizes).sum())


def chance_factor(cells: Codes, clusters: Codes, significance: float) -> float:
    r"""Return by how much the critical value of a chi-squared over cells grows because rows come in groups.

    With the covariance of the groups' counts around their expectation, the statistic is a weighted sum of chi-square
    variables; its weights are the generalised design effects. The quantile is that of the F law with Satterthwaite's
    degrees of freedom, as many of them as the groups are worth. Where each group is one row the factor is 1 for many
    rows.

    Parameters
    ----------
    cells : array of shape (n,)
        The cell of each row, any whole numbers.
    clusters : array of shape (n,)
        The group of each row, any whole numbers.
    significance : float
        In (0, 1): at which quantile the laws are compared.

    Returns
    -------
    float
        At least 1: n rows are worth n divided by it. Infinite where the rows are of one group.

    References
    ----------
    J. N. K. Rao and A. J. Scott, "On chi-squared tests for multiway contingency tables with cell proportions estimated
    from survey data", Annals of Statistics 12 (1984); D. R. Thomas and J. N. K. Rao, "Small-sample comparisons of level
    and power for simple goodness-of-fit statistics under cluster sampling", JASA 82 (1987).

    Examples
    --------
    >>> rows = np.arange(3000)
    >>> round(chance_factor(rows % 3, rows, 0.01), 2), round(chance_factor(rows // 10 % 3, rows // 10, 0.01), 1)
    (1.0, 10.1)
    """
    code, place = np.unique(cells, return_inverse=True)
    group = np.unique(clusters, return_inverse=True)[1]
    n, width, groups = len(cells), len(code), int(group.max(initial=-1)) + 1
    if width < 2:
        return 1.0
    worth = effective_clusters(clusters)
    if groups < 2 or worth <= 1 + 1e-9:
        return math.inf
    shares = np.bincount(place, minlength=width) / n
    apart = _between(place, group, groups, shares) / n
    scaled = apart / np.sqrt(np.outer(shares, shares))
    total, squares = float(np.trace(scaled)), float(np.square(scaled).sum())
    if total <= 0:
        return 1.0
    degrees = min(total**2 / squares, width - 1.0)
    quantile = total * float(scipy.stats.f.isf(significance, degrees, degrees * (worth - 1)))
    return max(1.0, quantile / float(scipy.special.chdtri(width - 1, significance)))


def _between(place: Any, group: Any, groups: int, shares: Array) -> Array:
    """Return the sum over groups of the outer product of counts minus expected counts, without bias."""
    width = len(shares)
    counts = scipy.sparse.csr_array((np.ones(len(place)), (group, place)), shape=(groups, width))
    sizes = np.bincount(group, minlength=groups).astype(np.float64)
    weights = 1 / _kept(sizes)
    weighted = counts.multiply(weights[:, None]).tocsr()
    products = np.asarray((weighted.T @ counts).todense(), dtype=np.float64)
    mixed = np.asarray(weighted.T @ sizes, dtype=np.float64)
    found: Array = products - np.outer(mixed, shares) - np.outer(shares, mixed)
    found += float((weights * np.square(sizes)).sum()) * np.outer(shares, shares)
    return found


def _kept(sizes: Array) -> Array:
    """Return which part of a group's variance is left around a mean that the group is part of."""
    parts = sizes / sizes.sum()
    return np.asarray(1 - 2 * parts + float(np.square(parts).sum()))


def alike(cells: Codes, clusters: Codes, shares: Array) -> float:
    r"""Return how much the rows of a group agree beyond chance, from 0 to 1 (an intraclass correlation).

    With :math:`a` the share of pairs of rows within groups that lie in one cell, and :math:`e = \sum_i p_i^2` what
    independent rows would give, :math:`(a - e) / (1 - e)`.

    Parameters
    ----------
    cells : array of shape (n,)
        The cell of each row, from 0 to k - 1.
    clusters : array of shape (n,)
        The group of each row, any whole numbers.
    shares : array of shape (k,)
        The share of each cell among independent rows.

    Returns
    -------
    float
        Where no group has two rows nothing is known, and 1 is returned.

    References
    ----------
    J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin 76 (1971).

    Examples
    --------
    >>> alike(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.array([0.5, 0.5]))
    1.0
    """
    sizes = np.unique(clusters, return_counts=True)[1].astype(np.float64)
    pairs = float((sizes * (sizes - 1)).sum())
    chance = float(np.square(shares).sum())
    if not pairs or chance >= 1:
        return 1.0
    both = np.unique(clusters * np.int64(len(shares)) + cells, return_counts=True)[1].astype(np.float64)
    agreed = float((both * (both - 1)).sum()) / pairs
    return min(1.0, max(0.0, (agreed - chance) / (1 - chance)))


def drawn_factor(shares: Array, clusters: Codes, agreement: float, significance: float, seed: int = 0) -> float:
    r"""Return what ``chance_factor`` returns, for groups too few or too uneven for the normal law: drawn.

    Each group has a cell of its own, which each of its rows takes with probability :math:`\sqrt{a}`, a the agreement;
    the other rows are independent. Of the chi-squared of 2,000 such windows mean, variance and skewness give the
    quantile of a Pearson type III law.

    Parameters
    ----------
    shares : array of shape (k,)
        The share of each cell.
    clusters : array of shape (n,)
        The group of each row, any whole numbers.
    agreement : float
        In [0, 1], as ``alike`` returns it.
    significance : float
        In (0, 1).
    seed : int
        The same seed gives the same factor.

    Returns
    -------
    float
        At least 1.

    References
    ----------
    K. Pearson, "Skew variation in homogeneous material", Philosophical Transactions A 186 (1895).

    Examples
    --------
    >>> one_each, ten_each = np.arange(1000), np.arange(1000) // 10
    >>> shares = np.full(4, 0.25)
    >>> [round(drawn_factor(shares, groups, 1.0, 0.01)) for groups in (one_each, ten_each)]
    [1, 10]
    """
    kept = shares[shares > 0] / shares.sum()
    if len(kept) < 2:
        return 1.0
    sizes = np.unique(clusters, return_counts=True)[1]
    n, width, generator = int(sizes.sum()), len(kept), np.random.default_rng(seed)
    borders = np.cumsum(kept)[:-1]
    found = []
    chunk = max(1, min(_WINDOWS, _CHUNK // len(sizes)))
    for start in range(0, _WINDOWS, chunk):
        many = min(chunk, _WINDOWS - start)
        own = np.searchsorted(borders, generator.random((many, len(sizes))), side="right")
        sticky = generator.binomial(sizes, math.sqrt(agreement), size=(many, len(sizes)))
        place = (own + width * np.arange(many)[:, None]).ravel()
        counts = np.bincount(place, weights=sticky.ravel(), minlength=width * many).reshape(many, width)
        counts += generator.multinomial(n - sticky.sum(axis=1), kept)
        found.append((np.square(counts - n * kept) / (n * kept)).sum(axis=1))
    drawn = np.concatenate(found)
    skewness = max(float(scipy.stats.skew(drawn)), 1e-6)
    shape, scale = 4 / skewness**2, float(drawn.std()) * skewness / 2
    quantile = float(drawn.mean()) - shape * scale + scale * float(scipy.special.gammainccinv(shape, significance))
    return max(1.0, quantile / float(scipy.special.chdtri(width - 1, significance)))


def mean_factor(terms: Array, clusters: Codes, significance: float) -> float:
    r"""Return by how much the variance of a mean grows because rows come in groups.

    The quantile of Student's t with as many degrees of freedom as the groups are worth is part of it.

    Parameters
    ----------
    terms : array of shape (n,)
        What each row adds to the mean, in any unit.
    clusters : array of shape (n,)
        The group of each row, any whole numbers.
    significance : float
        In (0, 1), of both sides together: at which quantile the laws are compared.

    Returns
    -------
    float
        At least 1: the root of it widens an interval. Infinite where the rows are of one group.

    References
    ----------
    L. Kish, Survey Sampling (1965), section 5.4.

    Examples
    --------
    >>> rows = np.arange(1000)
    >>> round(mean_factor(rows % 2.0, rows, 0.05), 2), round(mean_factor(rows // 10 % 2.0, rows // 10, 0.05), 1)
    (1.0, 10.4)
    """
    group = np.unique(clusters, return_inverse=True)[1]
    groups = int(group.max(initial=-1)) + 1
    apart = terms - terms.mean()
    spread = float(np.square(apart).sum())
    if spread == 0:
        return 1.0
    worth = effective_clusters(clusters)
    if groups < 2 or worth <= 1 + 1e-9:
        return math.inf
    sizes = np.bincount(group, minlength=groups).astype(np.float64)
    sums = np.bincount(group, weights=apart, minlength=groups)
    between = float((np.square(sums) / _kept(sizes)).sum())
    wider = float(scipy.stats.t.isf(significance / 2, worth - 1) / scipy.special.ndtri(1 - significance / 2)) ** 2
    return max(1.0, between / spread * wider)
