"""What planning promises: numbers that independent formulas and simulation confirm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import power_proportions_2indep

from modelops import plugins
from modelops.spec.kinds.rollout_plan import Expectation
from modelops.statistics.means import Contrast, tuning
from modelops.statistics.planning import (
    crossed,
    fewest,
    need_for_limit,
    need_for_mean,
    need_for_rate,
    need_for_rise,
)
from modelops.statistics.sequential import log_share_evalue
from modelops.strategies._forecasts import Watch, shadow_forecasts, step_forecasts
from modelops.strategies._guards import Guards, Harm, RateGuards

ERRORS = RateGuards(errors=Harm(minimum_difference=0.0), slow=None)


def share_seen(
    base: float, rate: float, weight: float, alpha: float, n: int, runs: int = 400, looks: int = 60
) -> float:
    """Return how often the e-value passed its threshold at one of the looks at n requests."""
    generator, seen = np.random.default_rng(7), 0
    for _ in range(runs):
        total = np.diff(np.linspace(0, n, looks + 1).astype(int))
        arm = generator.binomial(total, weight)
        of_trial, of_stable = generator.binomial(arm, rate).cumsum(), generator.binomial(total - arm, base).cumsum()
        evidence = [log_share_evalue(int(x), int(y), weight) for x, y in zip(of_trial, of_stable, strict=True)]
        seen += max(evidence) >= -math.log(alpha)
    return seen / runs


@pytest.mark.parametrize(
    ("base", "effect", "weight", "alpha", "power"),
    [(0.01, 2, 0.5, 0.05, 0.8), (0.01, 2, 0.05, 0.05, 0.8), (0.01, 2, 0.1, 0.0125, 0.9), (0.2, 1.5, 0.3, 0.05, 0.8)],
)
def test_the_forecast_of_an_error_rate_is_what_simulation_finds(base, effect, weight, alpha, power):
    """After the forecast number of requests the judge's e-value has fired about as often as promised."""
    need = need_for_rate(base, base * effect, weight, alpha, power)
    assert share_seen(base, base * effect, weight, alpha, need.requests) == pytest.approx(power, abs=0.06)
    assert need.chance(need.requests) == pytest.approx(power, abs=0.01)
    assert need.fixed < need.requests < 2.5 * need.fixed


@pytest.mark.parametrize(("base", "effect", "weight"), [(0.01, 2, 0.5), (0.01, 2, 0.05), (0.05, 1.2, 0.3)])
def test_the_lower_bound_is_the_sample_size_of_the_pooled_z_test(base, effect, weight):
    """The fixed-sample size has the promised power by statsmodels, and one percent fewer requests have less."""
    fixed = need_for_rate(base, base * effect, weight, 0.05, 0.8).fixed

    def power(requests: float) -> float:
        return power_proportions_2indep(
            base * (effect - 1),
            base,
            requests * weight,
            ratio=(1 - weight) / weight,
            alpha=0.05,
            alternative="larger",
            return_results=False,
        )

    assert power(fixed) >= 0.8 - 1e-3
    assert power(0.99 * fixed) < 0.8


def test_a_mean_needs_what_simulation_finds_and_more_than_the_z_test():
    """A confidence sequence of means is above zero at the forecast number of requests as often as promised."""
    effect, deviation, alpha, looks, runs = 0.1, 1.0, 0.05, 60, 500
    need = need_for_mean(effect, deviation, (0.5, 0.5), alpha, 0.8)
    per_arm = NormalIndPower().solve_power(effect / deviation, alpha=alpha, power=0.8)
    assert need.fixed == pytest.approx(2 * per_arm, rel=1e-3)
    generator = np.random.default_rng(3)
    each = need.requests / 2 / looks
    walks = generator.normal(effect * each, deviation * math.sqrt(2 * each), (runs, looks)).cumsum(axis=1)
    sizes = each * np.arange(1, looks + 1)
    halves = [Contrast(0.0, 0.0, 0.0, n / 2, deviation, tuning(alpha)).at(alpha).upper for n in sizes]
    seen = (walks / sizes > np.array(halves)).any(axis=1).mean()
    assert seen == pytest.approx(0.8, abs=0.06)


def test_the_first_crossing_is_that_of_a_walk_with_drift():
    """For a walk with normal increments and a flat threshold the formula is exact up to the looks between requests."""
    generator = np.random.default_rng(5)
    walks = generator.normal(0.05, 1.0, (2000, 1500)).cumsum(axis=1)

    def margin(n: float) -> tuple[float, float]:
        return 0.05 * n - 30, math.sqrt(n)

    for n in (200, 600, 1500):
        assert crossed(margin, n) == pytest.approx((walks[:, :n] >= 30).any(axis=1).mean(), abs=0.035)
    n = fewest(margin, 0.8)
    assert crossed(margin, n) >= 0.8 > crossed(margin, n * 0.99)


def test_what_is_never_seen():
    """No effect, an effect below the limits, and a past too short to compare with need no finite number of requests."""
    assert need_for_rate(0.01, 0.01, 0.5, 0.05, 0.8).requests is None
    assert need_for_rate(0.01, 0.015, 0.5, 0.05, 0.8, ratio=1.5).requests is None
    assert need_for_rate(0.001, 0.002, 0.5, 0.05, 0.8, difference=0.001).requests is None
    assert need_for_rise(0.01, 0.02, 100.0, 0.05, 0.8).requests is None
    assert need_for_rise(0.01, 0.02, 0.0, 0.05, 0.8).requests is None
    assert need_for_mean(0.0, 1.0, (0.5, 0.5), 0.05, 0.8).requests is None
    assert need_for_rate(0.01, 0.01, 0.5, 0.05, 0.8).chance(10_000) == 0


def test_a_longer_past_shows_a_rise_sooner():
    """At full weight what is needed falls with what stable did before, towards that of a known rate."""
    needs = [need_for_rise(0.01, 0.02, before, 0.05, 0.8).requests for before in (10_000.0, 30_000.0, 1e6)]
    assert needs[0] > needs[1] > needs[2]
    assert needs[-1] > need_for_rise(0.01, 0.02, 1e6, 0.05, 0.8).fixed


def test_a_step_says_requests_minutes_and_whether_it_sees_in_time():
    """Minutes follow from the traffic, and a step with an early deadline does not see."""
    expectation = Expectation(requests_per_hour=600, error_rate=0.01, effect=2)
    steps = [Watch(0.5, "steps[0]", 1000, 0.0, deadline_minutes=60), Watch(0.6, "steps[1]", 1000, 0.0)]
    first, short, second = step_forecasts(ERRORS, steps, expectation)
    assert first.minutes == pytest.approx(first.requests / 10)
    assert (first.sees, first.path, second.sees) == (False, "steps[0]", True)
    assert (short.step, short.requests, short.sees) == (1, 2000, False)
    assert first.chance == pytest.approx(share_seen(0.01, 0.02, 0.5, 0.05, 2000), abs=0.08)


def test_the_last_step_is_held_against_what_the_steps_before_it_saw():
    """At weight 1 the control is stable's past, which grows with the minimum requests of the steps before."""
    expectation = Expectation(requests_per_hour=600)
    longer = [
        step_forecasts(ERRORS, [Watch(0.1, "steps[0]", n), Watch(1.0, "steps[1]", 100)], expectation)[1]
        for n in (100, 3000)
    ]
    assert longer[0].requests is None
    assert not longer[0].sees
    assert longer[1].requests is not None


def test_every_guard_that_can_fail_takes_its_part_of_alpha():
    """More guards need more requests, as planning holds each to the level that Holm's procedure begins with."""
    expectation = Expectation(requests_per_hour=600)
    found = [
        step_forecasts(guards, [Watch(0.5, "steps[0]")], expectation)[0].requests
        for guards in (ERRORS, RateGuards(errors=ERRORS.errors), Guards(errors=ERRORS.errors))
    ]
    assert found == sorted(set(found))


def test_errors_that_no_guard_looks_at_are_never_seen():
    """A plan that expects to see errors and has no guard on them cannot; an absolute limit is a guard too."""
    step, expectation = Watch(0.5, "steps[0]"), Expectation(requests_per_hour=600)
    (found,) = step_forecasts(RateGuards(errors=None), [step], expectation)
    assert (found.requests, found.sees) == (None, False)
    (found,) = step_forecasts(RateGuards(errors=None, maximum_error_rate=0.013), [step], expectation)
    assert found.sees


def test_an_absolute_limit_needs_what_simulation_finds():
    """The e-value of the limit fires by the forecast number of requests about as often as promised."""
    need = need_for_limit(0.02, 0.01, 0.5, 0.05, 0.8)
    generator, seen = np.random.default_rng(11), 0
    sizes = np.diff(np.linspace(0, need.requests / 2, 61).astype(int))
    for _ in range(400):
        events = generator.binomial(sizes, 0.02).cumsum()
        evidence = [log_share_evalue(int(x), int(n - x), 0.01) for x, n in zip(events, sizes.cumsum(), strict=True)]
        seen += max(evidence) >= -math.log(0.05)
    assert seen / 400 == pytest.approx(0.8, abs=0.08)
    assert need.fixed < need.requests
    assert need_for_limit(0.01, 0.01, 0.5, 0.05, 0.8).requests is None


def test_a_shadow_needs_half_as_many_requests_as_an_even_split_needs():
    """Every request is answered by both, so copies of all of them are the fastest look there is."""
    expectation = Expectation(requests_per_hour=600)
    even = step_forecasts(ERRORS, [Watch(0.5, "steps[0]")], expectation)[0]
    (copies,) = shadow_forecasts(ERRORS, Watch(1.0, "share"), expectation)
    (fewer,) = shadow_forecasts(ERRORS, Watch(0.1, "share", 500, 0.0, 600.0), expectation)[:1]
    assert copies.requests == pytest.approx(even.requests / 2, abs=1)
    assert fewer.requests == pytest.approx(10 * copies.requests, rel=1e-3)
    assert (copies.sees, fewer.sees, fewer.path) == (True, False, "share")
    assert fewer.chance == pytest.approx(need_for_rate(0.01, 0.02, 0.5, 0.05, 0.8).chance(1000))


def test_blue_green_needs_a_past_and_says_which_parameter_is_too_small():
    """With few answers of stable nothing is ever seen; with many, the watch says how long it takes."""
    module = plugins.load("strategies", "blue-green")
    expectation = Expectation(requests_per_hour=600)
    short, long = (
        module.forecast(module.Params(min_requests=100, baseline_requests=n, slow=None, holdback=0.0), expectation)
        for n in (500, 50_000)
    )
    assert [found.step for found in short] == [1, 2]
    assert (short[1].sees, short[1].path) == (False, "baselineRequests")
    assert long[0].minutes == 5000
    assert long[1].sees
    assert long[1].requests > long[1].fixed
