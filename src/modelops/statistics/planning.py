"""What a step needs to see an effect: requests, time, and the chance that it sees it, before any traffic has come.

The sequential tests themselves are planned for, not the fixed-sample formulas, which only say what no test can go
below. A test that may be looked at any time is a walk that has to cross a line once; with normal increments the time of
that first crossing follows the inverse Gaussian law, whose drift and spread come from the statistic at its expected
counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import scipy

from modelops.statistics.means import Contrast, tuning
from modelops.statistics.sequential import log_rise_evalue, log_share_evalue

MOST = 10**9
"""More requests than this are never."""

_BETWEEN_LOOKS = 0.583 / math.sqrt(20)
"""How much farther a line is for a walk that is looked at 20 times on its way (Siegmund 1985, chapter 10)."""

Margin = Callable[[float], tuple[float, float]]
"""By how much a statistic is expected to be past its threshold after n requests, and its standard deviation."""

# The statistics are smooth in their counts, so expected counts, which are fractions, may stand for them.
_share: Callable[..., float] = log_share_evalue
_rise: Callable[..., float] = log_rise_evalue


@dataclass(frozen=True, slots=True)
class Need:
    """How many requests of all arms show an effect, and how many a test that looks once would need; None is never."""

    requests: int | None
    fixed: int | None = None
    margin: Margin | None = None

    def chance(self, requests: float) -> float:
        """Return the chance to have seen the effect after so many requests of all arms.

        Parameters
        ----------
        requests : float
            Of all arms together.

        Returns
        -------
        float
            In [0, 1].

        References
        ----------
        As for ``crossed``.

        Examples
        --------
        >>> need = need_for_rate(0.01, 0.03, 0.1, 0.05, 0.8)
        >>> round(need.chance(need.requests), 2), need.chance(0)
        (0.8, 0.0)
        """
        return crossed(self.margin, requests) if self.margin is not None and requests >= 1 else 0.0

    def times(self, factor: float) -> Need:
        """Return the need where each counted request takes ``factor`` requests.

        Parameters
        ----------
        factor : float
            Above 0.

        Returns
        -------
        Need
            In requests of all arms.

        Examples
        --------
        >>> need = need_for_rate(0.01, 0.03, 0.1, 0.05, 0.8)
        >>> need.times(2).requests == 2 * need.requests
        True
        """
        if self.requests is None or self.margin is None:
            return self
        margin, fixed = self.margin, self.fixed
        more = None if fixed is None else math.ceil(fixed * factor)
        return Need(math.ceil(self.requests * factor), more, lambda n: margin(n / factor))


@lru_cache(maxsize=4096)
def crossed(margin: Margin, n: float) -> float:
    r"""Return the chance that a walk was past its threshold at any of n requests.

    For a walk with drift m and standard deviation s after n requests, and its threshold at height b, it is
    :math:`\Phi((m - b) / s) + e^{2 m b / s^2} \Phi(-(m + b) / s)`. Thresholds here rise like a logarithm; b is where
    the tangent at n begins. Within 0.03 of simulation where ten events of the arm on trial are expected by n.

    Parameters
    ----------
    margin : callable
        From n to by how much the statistic is expected to be past its threshold, and its standard deviation.
    n : float
        Requests, at least 1.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    D. Siegmund, "Sequential Analysis" (1985), equation 3.15.

    Examples
    --------
    >>> def margin(n):
    ...     return 0.1 * n - 3, n**0.5
    >>> [round(crossed(margin, n), 3) for n in (10, 100, 1000)]
    [0.451, 0.934, 1.0]
    """
    mean, deviation = margin(n)
    if deviation <= 0:
        return float(mean >= 0)
    drift = (margin(1.02 * n)[0] - mean) / 0.02
    height = drift - mean
    chance = float(scipy.special.ndtr(mean / deviation))
    if drift > 0 and height > 0:
        tail = float(scipy.special.log_ndtr(-(drift + height) / deviation))
        chance += math.exp(min(0.0, 2 * drift * height / deviation**2 + tail))
    return min(1.0, chance)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of a test that goes on in the next one: the margin of its own evidence, and for how many requests."""

    margin: Margin
    requests: float


def chance_of(stages: Sequence[Stage], alpha: float) -> float:
    """Return the chance that evidence which adds up over stages has crossed its threshold by the end of the last one.

    Parameters
    ----------
    stages : sequence of Stage
        Each with a margin to the same threshold.
    alpha : float
        The threshold is 1 / alpha.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    As for ``crossed``.

    Examples
    --------
    >>> need = need_for_rate(0.01, 0.03, 0.1, 0.05, 0.8)
    >>> one, two = ([Stage(need.margin, need.requests / parts)] * parts for parts in (1, 2))
    >>> round(chance_of(one, 0.05), 2), round(chance_of(two, 0.05), 2)
    (0.8, 0.77)
    """
    if not stages:
        return 0.0

    def margin(n: float) -> tuple[float, float]:
        mean, variance, left = math.log(alpha), 0.0, n
        for place, stage in enumerate(stages):
            part = left if place == len(stages) - 1 else min(left, stage.requests)
            if part < 1:
                break
            of_stage, deviation = stage.margin(part)
            mean, variance, left = mean + of_stage - math.log(alpha), variance + deviation**2, left - part
        return mean, math.sqrt(variance)

    return crossed(margin, max(1.0, sum(stage.requests for stage in stages)))


def fewest(margin: Margin, power: float) -> int | None:
    """Return the fewest requests after which the chance is at least ``power``, to a part in a thousand.

    Parameters
    ----------
    margin : callable
        As for ``crossed``.
    power : float
        The chance that is wanted, in (0, 1).

    Returns
    -------
    int or None
        None for more than a thousand million.

    References
    ----------
    As for ``crossed``.

    Examples
    --------
    >>> def margin(n):
    ...     return 0.1 * n - 3, n**0.5
    >>> fewest(margin, 0.8)
    39
    """
    low, high = 0, 1
    while crossed(margin, high) < power:
        low, high = high, 4 * high
        if high > MOST:
            return None
    while high - low > max(1, low // 1000):
        middle = (low + high) // 2
        low, high = (low, middle) if crossed(margin, middle) >= power else (middle, high)
    return high


def _delta(statistic: Callable[..., float], counts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return a statistic of independent counts at their means, and its standard deviation by the delta method."""
    means = [mean for mean, _ in counts]
    at, variance = statistic(*means), 0.0
    for place, (mean, spread) in enumerate(counts):
        step = 0.01 * (mean + 1)
        moved = [*means[:place], mean + step, *means[place + 1 :]]
        variance += ((statistic(*moved) - at) / step) ** 2 * spread
    return at, math.sqrt(variance)


def _count(n: float, rate: float) -> tuple[float, float]:
    return n * rate, n * rate * (1 - rate)


def _z(probability: float) -> float:
    return float(scipy.special.ndtri(probability))


@lru_cache(maxsize=4096)
def need_for_rate(
    base: float, rate: float, weight: float, alpha: float, power: float, *, ratio: float = 1.0, difference: float = 0.0
) -> Need:
    """Return what shows that the rate of an event is ``rate`` where that of a control beside it is ``base``.

    Parameters
    ----------
    base, rate : float
        True rates of the control and of the arm on trial, in (0, 1).
    weight : float
        Share of the two arms' requests that the arm on trial takes, in (0, 1).
    alpha, power : float
        Of the one-sided test.
    ratio, difference : float
        The limit: what is shown is a ratio of the rates above ``ratio``, and the observed ones must differ by
        ``difference`` as well.

    Returns
    -------
    Need
        In requests of both arms together.

    Notes
    -----
    The fixed-sample size is that of the pooled z-test of two proportions, for a ratio of 1.

    References
    ----------
    As for ``crossed``; the fixed-sample size is in J. L. Fleiss, B. Levin, M. C. Paik, "Statistical Methods for Rates
    and Proportions", 3rd edition (2003), chapter 4.

    Examples
    --------
    >>> need = need_for_rate(0.01, 0.03, 0.1, 0.05, 0.8)
    >>> need.requests, need.fixed
    (5047, 2807)
    >>> need_for_rate(0.01, 0.01, 0.1, 0.05, 0.8).requests is None
    True
    """
    share = ratio * weight / (ratio * weight + 1 - weight)

    def margin(n: float) -> tuple[float, float]:
        counts = [_count(n * weight, rate), _count(n * (1 - weight), base)]
        mean, deviation = _delta(lambda events, others: _share(events, others, share), counts)
        return mean + math.log(alpha), deviation

    if rate <= ratio * base:
        return Need(None)
    requests = fewest(margin, power)
    spread = math.sqrt(rate * (1 - rate) / weight + base * (1 - base) / (1 - weight))
    if difference > 0 and requests is not None:
        # The difference counts where the e-value is past its threshold, not at any look: no first crossing.
        gap = rate - base - difference
        seen = (max(0.0, _z(power)) * spread / gap) ** 2 if gap > 1e-9 else math.inf
        requests = max(requests, math.ceil(seen)) if seen < MOST else None
    fixed = None
    if ratio == 1:
        pooled = weight * rate + (1 - weight) * base
        null = math.sqrt(pooled * (1 - pooled) / (weight * (1 - weight)))
        fixed = math.ceil(((_z(1 - alpha) * null + _z(power) * spread) / (rate - base)) ** 2)
    return Need(requests, fixed, margin if requests is not None else None)


@lru_cache(maxsize=4096)
def need_for_rise(
    base: float,
    rate: float,
    before: float,
    alpha: float,
    power: float,
    *,
    ratio: float = 1.0,
    difference: float = 0.0,
) -> Need:
    """Return what shows that the rate is now ``rate``, where it was ``base`` in the ``before`` requests until now.

    The fixed-sample size is that of the z-test of one proportion against the limit, as if ``base`` were known.

    Parameters
    ----------
    base, rate : float
        True rates before and now, in (0, 1).
    before : float
        Requests that were answered before.
    alpha, power : float
        Of the one-sided test.
    ratio, difference : float
        The limit: what is shown is a rate above ``ratio`` times the one before plus ``difference``.

    Returns
    -------
    Need
        In requests from now on.

    References
    ----------
    As for ``crossed``; the fixed-sample size is in J. L. Fleiss, B. Levin, M. C. Paik, "Statistical Methods for Rates
    and Proportions", 3rd edition (2003), chapter 4.

    Examples
    --------
    >>> need = need_for_rise(0.01, 0.05, 5000, 0.05, 0.8)
    >>> need.requests, need.fixed
    (190, 76)
    """

    def margin(n: float) -> tuple[float, float]:
        def statistic(now: float, then: float) -> float:
            # What it says below 1 is only a bound, which is not smooth.
            return max(0.0, _rise((now, n - now), (then, before - then), ratio, difference))

        mean, deviation = _delta(statistic, [_count(n, rate), _count(before, base)])
        return mean + math.log(alpha), deviation

    limit = ratio * base + difference
    if rate <= limit or before < 1:
        return Need(None)
    requests = fewest(margin, power)
    fixed = _one_sample(rate, limit, alpha, power) if limit > 0 else None
    return Need(requests, fixed, margin if requests is not None else None)


@lru_cache(maxsize=4096)
def need_for_limit(rate: float, limit: float, weight: float, alpha: float, power: float) -> Need:
    """Return what shows that an arm with the share ``weight`` of the requests has a rate above an absolute limit.

    Parameters
    ----------
    rate, limit : float
        The true rate and the limit, in (0, 1).
    weight : float
        Share of the requests that the arm takes, in (0, 1].
    alpha, power : float
        Of the one-sided test.

    Returns
    -------
    Need
        In requests of all arms.

    References
    ----------
    As for ``crossed``; the fixed-sample size is in J. L. Fleiss, B. Levin, M. C. Paik, "Statistical Methods for Rates
    and Proportions", 3rd edition (2003), chapter 4.

    Examples
    --------
    >>> need = need_for_limit(0.05, 0.02, 0.5, 0.05, 0.8)
    >>> need.requests, need.fixed
    (726, 381)
    """

    def margin(n: float) -> tuple[float, float]:
        mean, deviation = _delta(lambda events: _share(events, n * weight - events, limit), [_count(n * weight, rate)])
        return mean + math.log(alpha), deviation

    if rate <= limit:
        return Need(None)
    requests = fewest(margin, power)
    return Need(requests, _one_sample(rate, limit, alpha, power, weight), margin if requests is not None else None)


def _one_sample(rate: float, limit: float, alpha: float, power: float, weight: float = 1.0) -> int:
    """Return the requests that the z-test of one proportion against a limit needs."""
    spread = _z(1 - alpha) * math.sqrt(limit * (1 - limit)) + _z(power) * math.sqrt(rate * (1 - rate))
    return math.ceil((spread / (rate - limit)) ** 2 / weight)


@lru_cache(maxsize=4096)
def need_for_mean(
    effect: float, deviation: float, weights: tuple[float, float], alpha: float, power: float, *, limit: float = 0.0
) -> Need:
    """Return what shows, by the confidence sequence, that the means of two arms differ by ``effect``.

    Parameters
    ----------
    effect, deviation : float
        True difference of the means, and the standard deviation of one value, the same in both arms.
    weights : (float, float)
        Shares of all requests that the two arms take; each request gives one value.
    alpha, power : float
        Of the two-sided sequence.
    limit : float
        The effect is seen when the sequence lies wholly above it, at one of 20 looks or more.

    Returns
    -------
    Need
        In requests of all arms.

    References
    ----------
    As for ``crossed`` and for ``means.mean_contrast``; Siegmund (1985), chapter 10, for looks that come now and then.

    Examples
    --------
    >>> need = need_for_mean(0.05, 0.4, (0.5, 0.5), 0.05, 0.8)
    >>> need.requests, need.fixed
    (3577, 2010)
    """
    first, second = weights
    pairs = first * second / (first + second)
    squared = tuning(alpha)

    def margin(n: float) -> tuple[float, float]:
        size = n * pairs
        half = Contrast(0.0, 0.0, 0.0, size, deviation, squared).at(alpha).upper
        spread = deviation * math.sqrt(size)
        return size * (effect - limit - half) - _BETWEEN_LOOKS * spread, spread

    if effect <= limit:
        return Need(None)
    requests = fewest(margin, power)
    fixed = math.ceil(((_z(1 - alpha / 2) + _z(power)) * deviation / (effect - limit)) ** 2 / pairs)
    return Need(requests, fixed, margin if requests is not None else None)
