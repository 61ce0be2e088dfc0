"""What a step needs to see an effect: requests, time, and the chance that it sees it, before any traffic has come.

The judge's own tests are planned for, not the fixed-sample formulas, which only say what no test can go below. A test
that may be looked at any time is a walk that has to cross a line once; with normal increments the time of that first
crossing follows the inverse Gaussian law, whose drift and spread come from the statistic at its expected counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import scipy

from modelops.spec.delivery import Expectation
from modelops.strategies import Forecast
from modelops.strategies._judge import Guards, RateGuards
from modelops.strategies._sequential import Contrast, log_rise_evalue, log_share_evalue, tuning

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
        """Return the chance to have seen the effect after so many requests of all arms."""
        return crossed(self.margin, requests) if self.margin is not None and requests >= 1 else 0.0

    def times(self, factor: float) -> Need:
        """Return the need where each counted request takes ``factor`` requests."""
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

    References
    ----------
    D. Siegmund, "Sequential Analysis" (1985), equation 3.15.
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


def fewest(margin: Margin, power: float) -> int | None:
    """Return the fewest requests after which the chance is at least ``power``, to a part in a thousand."""
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

    Notes
    -----
    The fixed-sample size is that of the pooled z-test of two proportions, for a ratio of 1.
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
    """Return what shows that an arm with the share ``weight`` of the requests has a rate above an absolute limit."""

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


def forecast_of(
    step: int,
    what: str,
    need: Need,
    expectation: Expectation,
    *,
    deadline: float | None = None,
    leaves_after: float | None = None,
    path: str = "",
) -> Forecast:
    """Return the forecast of a step; ``deadline`` is in minutes, ``leaves_after`` in requests of all arms.

    Without a deadline a step waits for as long as it takes, so that only what is never seen is too much.
    """
    minutes = None if need.requests is None else need.requests / expectation.requests_per_hour * 60
    return Forecast(
        step,
        what,
        need.requests,
        minutes,
        deadline,
        minutes is not None and (deadline is None or minutes <= deadline),
        path,
        need.fixed,
        None if leaves_after is None else need.chance(leaves_after),
    )


@dataclass(frozen=True, slots=True)
class Watch:
    """One step as planning sees it: the share of the arm on trial, and what it takes to leave the step.

    ``min_requests`` are those of the arm on trial; ``path`` is the step's parameter.
    """

    weight: float
    path: str
    min_requests: int = 1
    min_minutes: float = 0.0
    deadline_minutes: float | None = None

    def leaves_after(self, requests_per_hour: float) -> float:
        """Return how many requests of all arms will have come when the step may end."""
        return max(self.min_requests / self.weight, self.min_minutes / 60 * requests_per_hour)


def _level(guards: RateGuards, weights: Sequence[float], more: int = 0) -> float:
    """Return the level that Holm's procedure holds the first guard to: alpha shared by all that can fail.

    ``more`` guards are the strategy's own.
    """
    beside, alone = any(weight < 1 for weight in weights), any(weight >= 1 for weight in weights)
    rates = sum(guard is not None for guard in (guards.errors, guards.slow))
    count = more + rates * (beside + alone) + (guards.maximum_error_rate is not None)
    if beside and isinstance(guards, Guards):
        count += (guards.scores is not None and guards.scores.maximum_shift is not None) + (guards.outcome is not None)
    return guards.alpha / max(1, count)


def step_forecasts(
    guards: RateGuards, steps: Sequence[Watch], expectation: Expectation, *, baseline: float = 0.0
) -> tuple[Forecast, ...]:
    """Return what each step of a growing rollout needs to see the expected effect on errors, on its own traffic.

    At weight 1 what stable did before stands in for a control: ``baseline`` requests, and its part of the earlier
    steps. A step that cannot get its own minimum of requests before its deadline is told of too.
    """
    base, rate = expectation.error_rate, min(1.0, expectation.error_rate * expectation.effect)
    level, before = _level(guards, [step.weight for step in steps]), baseline
    found: list[Forecast] = []
    for at, step in enumerate(steps):
        leaves = step.leaves_after(expectation.requests_per_hour)
        what = f"errors from {base:.3g} to {rate:.3g} at {step.weight:.0%}"
        what += f" after {before:,.0f} requests of stable" if step.weight >= 1 else ""
        need = _need_for_errors(guards, base, rate, step.weight, round(before), level, expectation.power)
        before += leaves * (1 - step.weight)
        found.append(
            forecast_of(
                at, what, need, expectation, deadline=step.deadline_minutes, leaves_after=leaves, path=step.path
            )
        )
        found += _minimum(at, step.min_requests, step.weight, expectation, step.deadline_minutes, step.path)
    return tuple(found)


def _need_for_errors(
    guards: RateGuards, base: float, rate: float, weight: float, before: int, level: float, power: float
) -> Need:
    """Return what the guard needs that sees the errors first."""
    needs, harm = [], guards.errors
    if harm is not None:
        control, test = (weight, need_for_rate) if weight < 1 else (before, need_for_rise)
        needs.append(
            test(base, rate, control, level, power, ratio=harm.maximum_ratio, difference=harm.minimum_difference)
        )
    if guards.maximum_error_rate is not None:
        needs.append(need_for_limit(rate, guards.maximum_error_rate, weight, level, power))
    return min(needs, key=lambda need: need.requests or math.inf, default=Need(None))


def _minimum(
    step: int, least: int, share: float, expectation: Expectation, deadline: float | None, path: str
) -> list[Forecast]:
    """Return a forecast of a step that cannot get its own minimum of requests in time, and none of any other."""
    what = f"{least:,} requests of the arm on trial at {share:.0%}"
    found = forecast_of(step, what, Need(math.ceil(least / share)), expectation, deadline=deadline, path=path)
    return [] if found.sees else [found]


def shadow_forecasts(
    guards: RateGuards, step: Watch, expectation: Expectation, *, more: int = 0
) -> tuple[Forecast, ...]:
    """Return what a shadow needs, which answers copies of the share ``step.weight`` of the requests.

    A pair is a request of each arm, as if half of twice as many requests went to the shadow. ``more`` counts the
    guards on pairs that can fail.
    """
    base, rate = expectation.error_rate, min(1.0, expectation.error_rate * expectation.effect)
    what = f"errors from {base:.3g} to {rate:.3g} in copies of {step.weight:.0%}"
    need = _need_for_errors(guards, base, rate, 0.5, 0, _level(guards, [0.5], more), expectation.power)
    need = need.times(0.5 / step.weight)
    leaves = step.leaves_after(expectation.requests_per_hour)
    deadline = step.deadline_minutes
    found = forecast_of(0, what, need, expectation, deadline=deadline, leaves_after=leaves, path=step.path)
    return (found, *_minimum(0, step.min_requests, step.weight, expectation, deadline, step.path))
