"""Rates by group and a simultaneous interval of the largest gap between any two groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from modelops.statistics import Array
from modelops.statistics.weighted import worth

DRAWS = 4000


@dataclass(frozen=True)
class GroupRate:
    """One quantity in one group: the observed ``value``, a smoothed ``centre`` with its error, and posterior draws."""

    group: str
    n: float
    value: float
    centre: float
    error: float
    draws: Array


@dataclass(frozen=True, slots=True)
class Gap:
    """The largest gap with its interval; ``under_parity`` is what noise alone shows when all groups are alike."""

    value: float
    lower: float
    upper: float
    under_parity: float
    between: tuple[str, str]


def proportion(group: str, hits: float, n: float, generator: np.random.Generator) -> GroupRate:
    """Return a proportion with its posterior under Jeffreys' Beta(1/2, 1/2) prior, which never collapses at 0 or 1.

    Parameters
    ----------
    group : str
        What the group is called.
    hits, n : float
        So many of n rows; n is at least 1. Of weighted rows, as many as they are worth (``weighted.trials``).
    generator : numpy.random.Generator
        For the draws; the same state gives the same draws.

    Returns
    -------
    GroupRate
        With 4,000 draws.

    References
    ----------
    L. D. Brown, T. T. Cai, A. DasGupta, "Interval estimation for a binomial proportion", Statistical Science 16
    (2001), for Jeffreys' prior.

    Examples
    --------
    >>> rate = proportion("north", 0, 20, np.random.default_rng(0))
    >>> rate.value, round(rate.centre, 4), round(rate.error, 4)
    (0.0, 0.0238, 0.0325)
    """
    a, b = hits + 0.5, n - hits + 0.5
    error = float(np.sqrt(a * b / (a + b + 1)) / (a + b))
    return GroupRate(group, n, hits / n, a / (a + b), error, generator.beta(a, b, size=DRAWS))


def mean(group: str, values: Array, generator: np.random.Generator, weight: Array | None = None) -> GroupRate:
    """Return a mean, in the unit of ``values`` (n >= 2), with Student's t draws around it.

    Parameters
    ----------
    group : str
        What the group is called.
    values : array of shape (n,)
        At least two.
    generator : numpy.random.Generator
        For the draws; the same state gives the same draws.
    weight : array of shape (n,), optional
        What each value counts for, above 0; all the same unless given. The variance is then the linearised one.

    Returns
    -------
    GroupRate
        In the unit of ``values``, with 4,000 draws.

    References
    ----------
    Student (W. S. Gosset), "The probable error of a mean", Biometrika 6 (1908).

    Examples
    --------
    >>> rate = mean("north", np.array([1.0, 2, 3, 4]), np.random.default_rng(0))
    >>> rate.value, round(rate.error, 4)
    (2.5, 0.6455)
    """
    n, centre = float(len(values)), float(np.average(values, weights=weight))
    if weight is None:
        error = max(float(values.std(ddof=1)) / float(np.sqrt(n)), 1e-12)
    else:
        apart = float(np.square(weight * (values - centre)).sum()) * n / (n - 1)
        error, n = max(float(np.sqrt(apart)) / float(weight.sum()), 1e-12), max(2.0, worth(weight))
    return GroupRate(group, n, centre, centre, error, centre + error * generator.standard_t(n - 1, size=DRAWS))


def largest_gap(families: Sequence[Sequence[GroupRate]], level: float) -> Gap:
    r"""Return the largest difference between two groups within any family of rates, with honest bounds.

    The largest observed gap overstates the true one, the more groups and the smaller they are, so its own bootstrap
    interval is off. Instead every pair (g, h) of every family gets an interval
    :math:`\hat d_{gh} \pm c \sqrt{s_g^2 + s_h^2}` where c is the ``level`` quantile, over joint draws, of the largest
    studentised deviation of any pair. All pairs are then covered at once with probability ``level``, so the largest
    upper bound is an upper bound of the largest true gap and the largest lower bound a lower one. For the
    lower bounds no error is smaller than that of the mean variance within groups: of many small groups the most extreme
    one seems the surest.

    Parameters
    ----------
    families : sequences of at least two rates
        One family per kind of rate; groups in the same order in each.
    level : float
        Simultaneous confidence in (0, 1).

    Returns
    -------
    Gap
        In the unit of the rates.

    References
    ----------
    J. P. Romano and M. Wolf, "Exact and approximate stepdown methods for multiple hypothesis testing", JASA 100
    (2005), for the studentised maximum; C. Goutte and E. Gaussier, ECIR 2005, for posteriors of confusion cells.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> rates = [proportion(name, hits, 100, generator) for name, hits in (("a", 50), ("b", 30), ("c", 45))]
    >>> gap = largest_gap([rates], 0.95)
    >>> gap.between, round(gap.value, 2), round(gap.lower, 2), round(gap.upper, 2)
    (('a', 'b'), 0.2, 0.04, 0.36)
    """
    largest = np.zeros(DRAWS)
    spread = np.zeros(DRAWS)
    pairs: list[tuple[GroupRate, GroupRate, float]] = []
    below: list[float] = []
    for family in families:
        pooled = _pooled_errors(family)
        deviations = np.stack([rate.draws - rate.centre for rate in family])
        spread = np.maximum(spread, np.ptp(deviations, axis=0))
        for i, j in combinations(range(len(family)), 2):
            error = float(np.hypot(family[i].error, family[j].error))
            np.maximum(largest, np.abs(deviations[i] - deviations[j]) / error, out=largest)
            high, low = (i, j) if family[i].centre >= family[j].centre else (j, i)
            pairs.append((family[high], family[low], error))
            below.append(float(np.hypot(pooled[high], pooled[low])))
    critical = float(np.quantile(largest, level))
    lower = max(high.centre - low.centre - critical * error for (high, low, _), error in zip(pairs, below, strict=True))
    upper = max(high.centre - low.centre + critical * error for high, low, error in pairs)
    value, between = max((abs(high.value - low.value), (high.group, low.group)) for high, low, _ in pairs)
    return Gap(value, max(0.0, min(lower, value)), max(upper, value), float(spread.mean()), between)


def _pooled_errors(family: Sequence[GroupRate]) -> list[float]:
    """Return each group's error, or that of the mean variance within all groups where that is larger."""
    rows = sum(rate.n for rate in family)
    within = sum(rate.n * rate.n * rate.error**2 for rate in family) / rows
    return [max(rate.error, float(np.sqrt(within / rate.n))) for rate in family]
