"""What the steps of a plan need to see the effect that they guard against, at the expected traffic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelops.spec.kinds.rollout_plan import Expectation
from modelops.statistics.planning import Need, Stage, chance_of, need_for_limit, need_for_rate, need_for_rise
from modelops.strategies import Forecast
from modelops.strategies._guards import Guards, RateGuards

__all__ = ["Watch", "forecast_of", "shadow_forecasts", "step_forecasts"]


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
    steps. A step that cannot get its own minimum of requests before its deadline is told of too. A step in which stable
    keeps no more than a holdback sees little on its own, and goes on with what the steps before it have seen: it is not
    asked to see the effect by itself.
    """
    base, rate = expectation.error_rate, min(1.0, expectation.error_rate * expectation.effect)
    level, before = _level(guards, [step.weight for step in steps]), baseline
    found: list[Forecast] = []
    stages: list[Stage] = []
    seen = 0.0
    for at, step in enumerate(steps, start=1):
        leaves = step.leaves_after(expectation.requests_per_hour)
        what = f"errors from {base:.3g} to {rate:.3g} at {step.weight:.0%}"
        what += f" after {before:,.0f} requests of stable" if step.weight >= 1 else ""
        need = _need_for_errors(guards, base, rate, step.weight, round(before), level, expectation.power)
        before += leaves * (1 - step.weight)
        stages += [Stage(need.margin, leaves)] if need.margin is not None else []
        one = forecast_of(
            at,
            what,
            need,
            expectation,
            deadline=None if 0.5 < step.weight < 1 else step.deadline_minutes,
            leaves_after=leaves,
            path=step.path,
        )
        seen = max(seen, chance_of(stages, level))
        found.append(replace(one, so_far=seen))
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
    found = forecast_of(1, what, need, expectation, deadline=deadline, leaves_after=leaves, path=step.path)
    found = replace(found, so_far=found.chance)
    return (found, *_minimum(1, step.min_requests, step.weight, expectation, deadline, step.path))
