"""What every strategy on the shelf keeps, whoever wrote it."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from modelops import plugins
from modelops.spec.meta import Strict
from modelops.spec.routing import Route, RouteArm
from modelops.strategies import Progress, Segment, Smoke, Step, Traffic
from strategies.progress import START, answered, joined

EXAMPLES: dict[str, dict[str, object]] = {
    "ab-test": {"metric": "outcome", "minimumEffect": 0.05},
    "bandit": {"epochMinutes": 20, "threshold": 0.7},
    "blue-green": {"minRequests": 50, "baselineRequests": 200, "watchMinutes": 20, "keepWarmMinutes": 30},
    "canary": {"steps": [{"weight": w, "minRequests": 50} for w in (0.05, 0.25, 0.5, 1.0)]},
    "shadow": {"minPairs": 300, "minimumAgreement": 0.9, "differences": {"maximumMean": 0.1}},
}
KEYS = plugins.keys("strategies")
ENDS = ("promote", "keep", "rollback")
TEN = timedelta(minutes=10)

every_strategy = pytest.mark.parametrize("key", KEYS)


def strategy(key: str):
    module = plugins.load("strategies", key)
    return module, module.Params.model_validate_json(json.dumps(EXAMPLES[key]))


def arms_of(module, most: bool = False) -> tuple[str, ...]:
    count = module.ARMS[1] if most else module.ARMS[0]
    return ("stable", "candidate", *(f"challenger-{number}" for number in range(3, 1 + count)))


class Rollout:
    """One rollout in logical time: every look brings ``total`` requests, and what the strategy asks for is done."""

    def __init__(self, module, params, seed=1, *, most=False, tolerant=False, total=400, **truth):
        self.module, self.params, self.total, self.truth = module, params, total, truth
        self.generator = np.random.default_rng(seed)
        self.arms = arms_of(module, most)
        begun = module.begin(params, self.arms)
        self.progress = Progress(
            0, START, START, (Segment(0, begun, {}),), self.arms, started=START, seed=seed, tolerant=tolerant
        )
        self.begun = begun

    @property
    def traffic(self) -> Traffic:
        return self.progress.segments[-1].traffic

    def look(self) -> Step:
        """Let ten minutes of traffic pass and return what the strategy says."""
        *done, running = self.progress.segments
        fresh = answered(self.generator, running.step, running.traffic, self.total, **self.truth)
        segments = (*done, joined(running, fresh))
        self.progress = replace(self.progress, now=self.progress.now + TEN, segments=segments)
        return self.module.next_step(self.params, self.progress)

    def obey(self, step: Step) -> None:
        """Do what a step asks for, as the loop does."""
        if step.action == "smoke":
            failing = max(self.truth.get("errors", {"": 0.0}).values()) > 0.5
            self.progress = replace(self.progress, smoke=Smoke(step.requests, failing * step.requests, 0, 0, 0))
        elif step.action == "advance":
            self.progress = replace(
                self.progress,
                step=step.step,
                step_started=self.progress.now,
                segments=(*self.progress.segments, Segment(step.step, step.traffic, {})),
                smoke=None,
                seed=self.progress.seed + 1,
            )

    def run(self, looks: int = 60) -> list[tuple[Progress, Step]]:
        """Return every look's progress and answer, up to the end."""
        seen = []
        for _ in range(looks):
            step = self.look()
            seen.append((self.progress, step))
            if step.action in ENDS:
                break
            self.obey(step)
        return seen


@cache
def good_run(key: str) -> list[tuple[Progress, Step]]:
    return Rollout(*strategy(key)).run()


def failing(arms) -> dict[str, float]:
    return {name: 0.0 if name == "stable" else 1.0 for name in arms}


def check_traffic(traffic: Traffic, arms: tuple[str, ...]) -> None:
    """Assert that a routing table can be written from it."""
    assert math.isclose(sum(traffic.weights.values()), 1.0, abs_tol=1e-9)
    assert {*traffic.weights, *traffic.shadows} <= {*arms}
    digest = "sha256:" + "0" * 64
    Route(
        arms=tuple(
            RouteArm(
                name=name,
                release=at + 1,
                digest=digest,
                weight=traffic.weights.get(name, 0.0),
                shadow=traffic.shadows.get(name, 0.0),
            )
            for at, name in enumerate(arms)
        ),
        salt="x",
    )


def test_every_strategy_has_an_example():
    """A new strategy file must be added to this suite."""
    assert set(KEYS) == set(EXAMPLES)


@every_strategy
def test_unknown_parameters_are_refused(key):
    """A misspelt parameter is an error, not a default."""
    module, _ = strategy(key)
    assert issubclass(module.Params, Strict)
    with pytest.raises(ValidationError, match="alhpa"):
        module.Params.model_validate_json(json.dumps(EXAMPLES[key] | {"alhpa": 0.1}))


@every_strategy
@pytest.mark.parametrize("most", [False, True])
def test_every_step_can_be_routed(key, most):
    """From begin to end, with the fewest and the most arms, weights sum to 1 and name only arms that git names."""
    module, params = strategy(key)
    rollout = Rollout(module, params, most=most)
    assert rollout.begun.weights["stable"] > 0
    check_traffic(rollout.begun, rollout.arms)
    for seen, step in rollout.run(25):
        check_traffic(step.traffic, seen.arms)
        assert step.winner in seen.arms
        assert {*step.failed} <= {*seen.arms} - {"stable"}
        assert {check.arm for check in step.checks} <= {*seen.arms}


@every_strategy
def test_pure_and_deterministic(key):
    """Equal progress gives equal steps, twice, and is left as it was."""
    module, params = strategy(key)
    for seen, step in good_run(key)[::7]:
        before = copy.deepcopy(seen)
        assert module.next_step(params, seen) == step == module.next_step(params, before)
        for segment, same in zip(seen.segments, before.segments, strict=True):
            for name in segment.arms:
                np.testing.assert_array_equal(segment.arm(name).scores, same.arm(name).scores)
                np.testing.assert_array_equal(segment.arm(name).outcomes, same.arm(name).outcomes)


@every_strategy
def test_no_step_is_skipped(key):
    """A good rollout moves one step at a time, holds with the traffic it has, and sends nobody back."""
    for seen, step in good_run(key):
        traffic = seen.segments[-1].traffic
        assert step.action != "rollback"
        if step.action == "advance":
            assert step.step == seen.step + 1
        elif step.action in ("hold", "smoke"):
            assert (step.step, step.traffic) == (seen.step, traffic)
        else:
            assert step.step == seen.step
        assert step.reason


@every_strategy
def test_without_data_nothing_moves(key):
    """At every step, however long it waits, no traffic means hold with the traffic as it is."""
    module, params = strategy(key)
    begins = [
        seen for at, (seen, _) in enumerate(good_run(key)) if seen.step != good_run(key)[at - 1][0].step or not at
    ]
    for seen in begins:
        *done, running = seen.segments
        smoke = Smoke(50, 0, 0, 0, 0) if seen.step == 0 else None
        silent = Segment(running.step, running.traffic, {})
        for segments in ((*done, silent), tuple(done)):
            for minutes in (0, 60, 10**6):
                now = seen.step_started + timedelta(minutes=minutes)
                waiting = replace(seen, now=now, segments=segments, smoke=smoke)
                step = module.next_step(params, waiting)
                assert (step.action, step.step) == ("hold", seen.step)
                assert step.traffic == running.traffic or (key == "bandit" and silent not in segments)
                assert "no data" in step.reason


@every_strategy
def test_failing_candidates_are_withdrawn_and_stay_so(key):
    """Where every arm on trial fails every request it is sent back within a few looks, whatever comes later."""
    module, params = strategy(key)
    rollout = Rollout(module, params, errors=failing(arms_of(module)))
    seen, step = rollout.run()[-1]
    assert step.action == "rollback"
    assert step.traffic.weights["stable"] == 1.0
    assert not any(step.traffic.shadows.values())
    assert step.failed == ("candidate",)
    assert any(check.verdict == "fail" for check in step.checks)
    for minutes in (0, 10**6):
        later = replace(seen, now=seen.now + timedelta(minutes=minutes))
        assert module.next_step(params, later).action == "rollback"
    for _ in range(3):
        assert rollout.look().action == "rollback"


@every_strategy
def test_tolerance_reports_and_goes_on(key):
    """A tolerant rollout shows the failed checks of a broken candidate and never sends it back."""
    module, params = strategy(key)
    run = Rollout(module, params, tolerant=True, errors=failing(arms_of(module))).run()
    assert any(check.verdict == "fail" for _, step in run for check in step.checks)
    assert all(step.action != "rollback" for _, step in run)
    for seen, step in run:
        assert step.action in ENDS or step.step - seen.step == (step.action == "advance")


@every_strategy
def test_a_step_the_plan_does_not_have_holds(key):
    """A plan that was shortened under a running rollout never ends well."""
    module, params = strategy(key)
    traffic = Traffic({"stable": 0.0, "candidate": 1.0})
    generator = np.random.default_rng(3)
    for segments in ((answered(generator, 9999, traffic, 10_000),), ()):
        seen = Progress(9999, START, START, segments)
        assert module.next_step(params, seen).action in ("hold", "keep")


@every_strategy
def test_a_clock_that_was_set_back_moves_nothing_forward(key):
    """Before the step began no time has passed: the rollout may go on by its counts, and fails in no other way."""
    module, params = strategy(key)
    for seen, step in good_run(key)[::5]:
        early = module.next_step(params, replace(seen, now=seen.step_started - timedelta(days=2)))
        assert early.action in ("hold", step.action)


@every_strategy
def test_a_good_rollout_ends(key):
    """With enough traffic and no harm a rollout comes to a good end within the looks that it has."""
    assert good_run(key)[-1][1].action in ("promote", "keep")
