"""Anomalies of an hourly series: a robust seasonal baseline, ranks for chances, and a stated time between false alarms.

Nothing is assumed of how values are spread: each hour is ranked among those of the weeks before it. What that has of
time is taken away first, as far as seasons, the spread by hour of day and a lag of one hour go; of what is left hours
are taken to be exchangeable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import scipy

from modelops.statistics import Array

__all__ = ["Kind", "Sides", "bets", "departures", "detector", "ranks"]

Kind = Literal["count", "sum"]
Sides = Literal["both", "up"]
"""Whether too much alone is odd, or too little as well."""
_DAY = 24


def departures(
    values: Array, cycle: int, cycles: int, judged: int, every: Array | None = None, kind: Kind = "count"
) -> Array:
    r"""Return how far each value is from what its season lets expect, in units of one spread for all hours.

    Of counts :math:`r_t = (2\sqrt{x_t + 3/8} - 2\sqrt{m_t + 3/8}) / s_t` with the median :math:`m_t` one to ``cycles``
    cycles ago; of counts out of so many :math:`m_t` is their number times the median share. Of sums it is the mean that
    departs, :math:`r_t = (x_t - m_t) \sqrt{n_t} / s_t`. What is counted spreads more where there is more of it, by
    chance and beyond chance: :math:`s_t^2 \propto 1 + \sigma^2 w_t` with :math:`w_t` the expected count, or the number
    that a mean is of, and :math:`\sigma^2` from the medians of quiet and of busy hours. Then what the hour before lets
    expect is taken off, by the rank correlation.

    Parameters
    ----------
    values : array of shape (n,)
        A count, or a sum, for each hour.
    cycle : int
        Hours of a season, 168 for a week.
    cycles : int
        So many seasons are looked back.
    judged : int
        From the last so many hours neither spread nor correlation is learnt: what lasts must not hide itself.
    every : array of shape (n,), optional
        Out of how many events the counts are, or of how many the sums; hours of none have no departure.
    kind : str
        "count" or "sum".

    Returns
    -------
    array of shape (n,)
        NaN where fewer than two seasons are known.

    References
    ----------
    R. Hyndman and G. Athanasopoulos, "Forecasting: Principles and Practice" (3rd edition, 2021), section 5.2, on
    seasonal forecasts; F. Anscombe, Biometrika 35 (1948), on the roots.

    Examples
    --------
    >>> counts = np.random.default_rng(1).poisson(np.tile(np.linspace(50, 400, 168), 9)).astype(float)
    >>> counts[-1] /= 2
    >>> found = departures(counts, 168, 3, 24)
    >>> bool(found[-1] < -4), bool(np.isnan(found[:336]).all())
    (True, True)
    """
    n = len(values)
    of = np.ones(n) if every is None else np.where(every > 0, every, np.nan)
    expected = _expected(values / of, cycle, cycles)
    # What is the same but for rounding is the same: a mean of one number is no news with every other count.
    same = np.isclose(values / of, expected, rtol=1e-9, atol=0.0)
    if kind == "count":
        weight = expected * of
        apart = 2 * (np.sqrt(values + 0.375) - np.sqrt(weight + 0.375)) + 0 * of
    else:
        weight, apart = of, (values / of - expected) * np.sqrt(of)
    apart = np.where(same, 0.0, apart)
    known = max(0, n - judged)
    scaled = apart / np.sqrt(_spread(apart[:known], weight[:known])(weight))
    lagged = np.append(np.nan, scaled[:-1])
    found: Array = scaled - _correlation(lagged[:known], scaled[:known]) * np.nan_to_num(lagged)
    return found


def _expected(values: Array, cycle: int, cycles: int) -> Array:
    """Return the median of the values one to so many cycles ago, NaN where fewer than two are known."""
    before = np.full((cycles, len(values)), np.nan)
    for lag in range(1, cycles + 1):
        before[lag - 1, lag * cycle :] = values[: max(0, len(values) - lag * cycle)]
    return _median(before, 2)


def _spread(apart: Array, weight: Array) -> Callable[[Array], Array]:
    """Return what gives the variance by weight, up to a factor: 1 by chance alone, else as the hours show."""
    known = np.isfinite(apart) & np.isfinite(weight)
    if known.sum() < _DAY:
        return np.ones_like
    low, high = np.quantile(weight[known], [1 / 3, 2 / 3])
    quiet, busy = known & (weight <= low), known & (weight >= high)
    small, large = float(np.median(weight[quiet])), float(np.median(weight[busy]))
    below, above = (float(np.median(np.square(apart[each]))) for each in (quiet, busy))
    if not below > 0 or above <= below or large <= small:
        return np.ones_like
    ratio = above / below
    # Where spread grows as fast as the count, chance is no part of it.
    rest = large - ratio * small
    return lambda of: 1 + (ratio - 1) / rest * of if rest > 0 else np.maximum(of, 1e-9)


def _median(rows: Array, fewest: int) -> Array:
    """Return the median of each column that has so many numbers, NaN of others."""
    enough = np.isfinite(rows).sum(axis=0) >= fewest
    found = np.full(rows.shape[1], np.nan)
    if enough.any():
        found[enough] = np.nanmedian(rows[:, enough], axis=0)
    return found


def _correlation(one: Array, other: Array) -> float:
    """Return the rank correlation of two series where both are known, 0 where it is not positive."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < _DAY:
        return 0.0
    a, b = (scipy.stats.rankdata(each[both]) for each in (one, other))
    return max(0.0, float(np.corrcoef(a, b)[0, 1])) if a.std() > 0 and b.std() > 0 else 0.0


def ranks(found: Array, window: int, fewest: int, sides: Sides) -> Array:
    """Return the chance of a departure as large as each, by its rank among those of the hours before it.

    Parameters
    ----------
    found : array of shape (n,)
        Departures, NaN where there is none.
    window, fewest : int
        How many hours before are looked at, and how many of them need to be known.
    sides : str
        "up" for departures above, "both" for those to any side.

    Returns
    -------
    array of shape (n,)
        In (0, 1], at least 1 / (window + 1); NaN where too little is known. Ties count against an alarm.

    References
    ----------
    V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World" (2005), chapter 2.

    Examples
    --------
    >>> ranks(np.array([1.0, 2.0, 3.0, 0.5, 9.0]), 4, 4, "up")[-1]
    np.float64(0.2)
    """
    sizes = np.abs(found) if sides == "both" else found
    chances = np.full(len(sizes), np.nan)
    for at in np.flatnonzero(np.isfinite(sizes)):
        past = sizes[max(0, at - window) : at]
        past = past[np.isfinite(past)]
        if len(past) >= fewest:
            chances[at] = (1 + np.count_nonzero(past >= sizes[at])) / (len(past) + 1)
    return chances


def bets(chances: Array) -> Array:
    r"""Return e-values for chances, :math:`\frac{1}{2} p^{-1/2}`: their mean is at most 1 where chances are as told.

    Parameters
    ----------
    chances : array of shape (n,)
        In (0, 1]; NaN is no bet, 1.

    Returns
    -------
    array of shape (n,)

    References
    ----------
    V. Vovk and R. Wang, Annals of Statistics 49 (2021), section 2.

    Examples
    --------
    >>> bets(np.array([1.0, 0.25, 0.0025])).tolist()
    [0.5, 1.0, 10.0]
    """
    return np.where(np.isfinite(chances), 0.5 / np.sqrt(np.where(np.isfinite(chances), chances, 1.0)), 1.0)


def detector(evalues: Array, limit: float) -> Array:
    r"""Return the Shiryaev-Roberts e-detector: an alarm is where it reaches ``limit``.

    :math:`M_t = e_t (M_{t-1} + 1)`. With e-values the mean time to the first alarm is at least ``limit`` steps, as
    long as nothing changes. It is cut off at four times the limit, which brings no alarm and lets one end.

    Parameters
    ----------
    evalues : array of shape (n,)
        One for each step.
    limit : float
        Mean number of steps between false alarms.

    Returns
    -------
    array of shape (n,)

    References
    ----------
    J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", The
    New England Journal of Statistics in Data Science (2024).

    Examples
    --------
    >>> detector(np.array([1.0, 10.0, 10.0, 0.5]), 100.0).tolist()
    [1.0, 20.0, 210.0, 105.5]
    """
    found, value = np.empty(len(evalues)), 0.0
    for at, each in enumerate(evalues.tolist()):
        value = min(each * (value + 1.0), 4 * limit)
        found[at] = value
    return found
