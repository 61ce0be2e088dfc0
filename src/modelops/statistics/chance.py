"""What distances between two samples are when both come from one distribution: means and critical values.

All assume independent rows. Rows that come in groups, like many requests of one customer, make larger distances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy

from modelops.statistics import Array
from modelops.statistics.distances import Counts, Terms, chi_squared_terms, filled

__all__ = ["Chance", "divergence_chance", "kolmogorov_chance", "total_variation_chance", "wasserstein_chance"]

PLENTY = 100.0
"""With this many rows expected in every bin of both samples the chi-square law is used as it is."""
_ALL_COUNTS_UP_TO = 40.0


@dataclass(frozen=True, slots=True)
class Chance:
    """A distance's mean when nothing changed, and the value that it then exceeds with the stated probability."""

    expected: float
    critical: float
    variance: float = 0.0

    def root(self) -> Chance:
        """Return the chance of the distance's square root; its mean by the second-order expansion.

        Returns
        -------
        Chance
            In the unit of the root, without a variance.

        References
        ----------
        G. W. Oehlert, "A note on the delta method", The American Statistician 46 (1992).

        Examples
        --------
        >>> found = Chance(0.01, 0.04, 0.0001).root()
        >>> round(found.expected, 6), round(found.critical, 6)
        (0.0875, 0.2)
        """
        if self.expected <= 0:
            return self
        mean = math.sqrt(self.expected) * (1 - self.variance / (8 * self.expected**2))
        return Chance(mean, math.sqrt(max(0.0, self.critical)))


def divergence_chance(terms: Terms, curvature: float, reference: Counts, window: Counts, significance: float) -> Chance:
    r"""Return the chance of a divergence that is a sum over B bins.

    With shares r and terms that are :math:`c\,(q - p)^2 / r` near equality, the sum is distributed like
    :math:`c\,(1/n + 1/m)\,\chi^2_{B - 1}` while every bin expects many rows. Sparse bins have heavier tails. Where a
    bin expects fewer than 100 rows, the first three cumulants are summed over the bins, each bin's from independent
    Poisson counts with the pooled share (times :math:`1 - r_i`, for the totals are fixed), and the Pearson type III
    law with these cumulants gives the quantile; for many rows it is the chi-square law again.

    Parameters
    ----------
    terms : callable
        The terms of the sum, as in ``modelops.statistics.distances``.
    curvature : float
        The c above: 1 for PSI and Pearson's divergence, 1/2 for Kullback-Leibler, 1/8 for Hellinger's square.
    reference, window : sequences of B counts
        Neither may sum to zero.
    significance : float
        Probability, in (0, 1), that the divergence exceeds ``critical`` when nothing changed.

    Returns
    -------
    Chance
        Of the divergence itself, not of its root.

    References
    ----------
    T. R. C. Read and N. A. C. Cressie, Goodness-of-Fit Statistics for Discrete Multivariate Data (1988), on the limit;
    K. Pearson, "Skew variation in homogeneous material", Philosophical Transactions A 186 (1895), on the type III law.

    Examples
    --------
    >>> from modelops.statistics.distances import stability_terms
    >>> found = divergence_chance(stability_terms, 1.0, [500, 300, 200], [500, 300, 200], 0.05)
    >>> round(found.expected, 6), round(found.critical, 6)
    (0.004, 0.011983)
    """
    x, y, n, m = filled(reference, window)
    shares = (x + y) / (n + m)
    if len(shares) < 2:
        return Chance(0.0, 0.0)
    noise, degrees = 1 / n + 1 / m, len(shares) - 1
    if shares.min() * min(n, m) >= PLENTY:
        scale = curvature * noise
        critical = scale * float(scipy.special.chdtri(degrees, significance))
        return Chance(scale * degrees, critical, 2 * scale**2 * degrees)
    cumulants = _cumulants(terms, curvature, shares, n, m)
    return Chance(float(cumulants[0]), _pearson_quantile(cumulants, significance), float(cumulants[1]))


def _cumulants(terms: Terms, curvature: float, shares: Array, n: float, m: float) -> Array:
    """Return mean, variance and third central moment of the sum of the bins' terms under Poisson counts."""
    plenty = shares * min(n, m) >= PLENTY
    scale = curvature * (1 / n + 1 / m)
    total = float((1 - shares[plenty]).sum()) * np.array([scale, 2 * scale**2, 8 * scale**3])
    for part in _alike(shares[~plenty], n, m):
        x, p = _poisson(n * part)
        y, q = _poisson(m * part)
        value = terms(x[:, :, None], y[:, None, :], n, m)
        weight = p[:, :, None] * q[:, None, :]
        mean = np.sum(weight * value, axis=(1, 2))
        apart = value - mean[:, None, None]
        squares = weight * apart**2
        total += np.array(
            [mean @ (1 - part), *(each.sum(axis=(1, 2)) @ (1 - part) for each in (squares, squares * apart))]
        )
    return np.asarray(total)


def _alike(shares: Array, n: float, m: float) -> list[Array]:
    """Part the bins by which of their two counts are many; those where both are few are worked out one by one."""
    first, second = n * shares > _ALL_COUNTS_UP_TO, m * shares > _ALL_COUNTS_UP_TO
    parts = [shares[first & second], shares[first & ~second], shares[~first & second]]
    few = shares[~first & ~second]
    return [part for part in (*parts, *few.reshape(-1, 1)) if len(part)]


def _poisson(means: Array) -> tuple[Array, Array]:
    """Return counts and their probabilities, a row for each mean; all means are above 40 or none is.

    Where there would be too many counts they are the nodes of Gauss and Hermite.
    """
    many = means[:, None]
    if means.min() > _ALL_COUNTS_UP_TO:
        nodes, weights = _hermite()
        return np.maximum(many + np.sqrt(many) * nodes, 0.0), weights[None, :]
    most = float(means.max())
    counts = np.arange(math.ceil(most + 9 * math.sqrt(most) + 12), dtype=np.float64)[None, :]
    weights = np.exp(scipy.special.xlogy(counts, many) - many - scipy.special.gammaln(counts + 1))
    return counts, weights / weights.sum(axis=1, keepdims=True)


@cache
def _hermite() -> tuple[Array, Array]:
    """Return nodes and weights with which a smooth function of a standard normal variable has its mean."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    return nodes, weights / weights.sum()


def _pearson_quantile(cumulants: Array, significance: float) -> float:
    mean, variance, third = cumulants.tolist()
    if variance <= 0:
        return float(mean)
    skewness = max(third / variance**1.5, 1e-6)
    shape = 4 / skewness**2
    scale = math.sqrt(variance) * skewness / 2
    return float(mean - shape * scale + scale * scipy.special.gammainccinv(shape, significance))


def total_variation_chance(reference: Counts, window: Counts, significance: float) -> Chance:
    r"""Return the chance of the total variation distance.

    By the inequality of Cauchy and Schwarz it is at most half the root of Pearson's divergence, whose law is known, so
    the critical value is on the safe side, the more so the more bins there are. The mean is that of normal differences,
    :math:`\sqrt{(1/n + 1/m) / (2 \pi)} \sum_i \sqrt{r_i (1 - r_i)}`.

    Parameters
    ----------
    reference, window : sequences of B counts
        Counts of the same bins; neither may sum to zero.
    significance : float
        Probability, in (0, 1), that the distance exceeds ``critical`` when nothing changed.

    Returns
    -------
    Chance
        ``critical`` is on the safe side.

    References
    ----------
    A. L. Gibbs and F. E. Su, "On choosing and bounding probability metrics", International Statistical Review 70
    (2002).

    Examples
    --------
    >>> found = total_variation_chance([500, 500], [500, 500], 0.05)
    >>> round(found.expected, 6), round(found.critical, 6)
    (0.017841, 0.043826)
    """
    bound = divergence_chance(chi_squared_terms, 1.0, reference, window, significance)
    x, y, n, m = filled(reference, window)
    shares = (x + y) / (n + m)
    mean = math.sqrt((1 / n + 1 / m) / (2 * math.pi)) * float(np.sum(np.sqrt(shares * (1 - shares))))
    return Chance(mean, math.sqrt(max(0.0, bound.critical)) / 2)


def kolmogorov_chance(n: float, m: float, significance: float) -> Chance:
    r"""Return the chance of the Kolmogorov-Smirnov distance of n and m rows, whatever they are distributed like.

    .. math:: P\Big(D > \sqrt{\tfrac{1}{2} (1/n + 1/m) \ln (2 / \alpha)}\Big) \le \alpha

    For ties and for distances taken at some points only it is on the safe side. The bound is proven for samples of
    equal size from 458 rows on, and with a slightly larger constant than 2 below.

    Parameters
    ----------
    n, m : float
        Rows of the reference and of the window.
    significance : float
        Probability, in (0, 1), that the distance exceeds ``critical`` when nothing changed.

    Returns
    -------
    Chance
        ``critical`` is on the safe side.

    References
    ----------
    P. Massart, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality", Annals of Probability 18 (1990);
    for two samples F. Wei and R. M. Dudley, Statistics and Probability Letters 82 (2012).

    Examples
    --------
    >>> round(kolmogorov_chance(1000, 1000, 0.05).critical, 6)
    0.060736
    """
    noise = 1 / n + 1 / m
    mean = math.sqrt(math.pi / 2) * math.log(2) * math.sqrt(noise)
    return Chance(mean, math.sqrt(noise * math.log(2 / significance) / 2))


def wasserstein_chance(
    points: Sequence[float] | Array, weights: Counts, n: float, m: float, significance: float
) -> Chance:
    r"""Return the chance of the Wasserstein-1 distance of n and m rows of one distribution with finite variance.

    With F and the standard deviation :math:`\sigma` of the pooled rows, the limit is the integral of a Gaussian
    bridge's absolute value. Its mean is known, and it is a Lipschitz function of Gaussian variables, which gives a
    bound on the safe side: light tails exceed it far more seldom, tails like a log-normal's with sigma 2 about as often
    as stated, and those without a variance more often.

    .. math::
        E W = \sqrt{\tfrac{2}{\pi}} \sqrt{1/n + 1/m} \int \sqrt{F (1 - F)}\,dt, \qquad
        P(W > E W + \sigma \sqrt{2 (1/n + 1/m) \ln (1 / \alpha)}) \le \alpha.

    Parameters
    ----------
    points : sequence of numbers
        Values of the pooled rows, in any order.
    weights : sequence of numbers, as long as that
        How often each occurs.
    n, m : float
        Rows of the reference and of the window.
    significance : float
        Probability, in (0, 1), that the distance exceeds ``critical`` when nothing changed.

    Returns
    -------
    Chance
        In the unit of the points.

    References
    ----------
    E. del Barrio, E. Gine and C. Matran, Annals of Probability 27 (1999), on the limit; C. Borell, Inventiones
    Mathematicae 30 (1975), on the deviation.

    Examples
    --------
    >>> found = wasserstein_chance([0, 1], [1, 1], 1000, 1000, 0.05)
    >>> round(found.expected, 6), round(found.critical, 6)
    (0.017841, 0.072575)
    """
    places, masses = np.asarray(points, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    order = np.argsort(places, kind="stable")
    places, masses = places[order], masses[order] / masses.sum()
    below = np.clip(np.cumsum(masses)[:-1], 0.0, 1.0)
    spread = float(np.sum(np.sqrt(below * (1 - below)) * np.diff(places)))
    mean = float(np.sum(places * masses))
    deviation = math.sqrt(float(np.sum(masses * np.square(places - mean))))
    root = math.sqrt(1 / n + 1 / m)
    expected = math.sqrt(2 / math.pi) * root * spread
    return Chance(expected, expected + deviation * root * math.sqrt(2 * math.log(1 / significance)))
