"""What every strategy keeps, whoever wrote it."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, get_args

import numpy as np

from modelops.conformance.shelf import check_module, params_of
from modelops.conformance.traffic import START, answered, joined
from modelops.spec.kinds.model import Serving
from modelops.spec.kinds.rollout_plan import Expectation, Served
from modelops.spec.routing import Route, RouteArm
from modelops.strategies import Planned, Progress, Reward, Smoke, Step, StepData, Strategy, Traffic

__all__ = ["CHECKS", "Rollout", "check"]

Params = Mapping[str, object]
ENDS = ("promote", "keep", "rollback")
TEN = timedelta(minutes=10)


def check(strategy: Strategy, params: Params) -> None:
    """Run every check; with ``params`` 400 requests in ten minutes bring a good rollout to its end within ten hours."""
    for one in CHECKS:
        one(strategy, params)


def check_shelf(strategy: Strategy, params: Params) -> None:
    """It exposes what the Protocol names, refuses unknown parameters, and says how many arms it takes."""
    check_module("strategies", strategy, params)
    fewest, most = strategy.ARMS
    assert 2 <= fewest <= most, f"ARMS are {strategy.ARMS}: stable and a candidate are two"


def check_what_it_says_of_a_plan(strategy: Strategy, params: Params) -> None:
    """What it objects to, forecasts and rewards is said of any model and any traffic, without a rollout."""
    own = params_of(strategy, params)
    assert strategy.reward(own) in (None, *get_args(Reward)), f"reward says {strategy.reward(own)!r}"
    for log in ("off", "buffered"):
        served = Served("binary-classification", "limited", Serving.model_validate({"log": log}))
        said = strategy.objections(own, served)
        assert bool(said) == (log == "off"), f"with serving.log {log} it objects: {said}"
    for forecast in strategy.forecast(own, Expectation(requests_per_hour=2400.0)):
        assert forecast.step >= 1, "a forecast is of no step"
        assert forecast.what, "a forecast says of nothing what is seen"


def check_every_step_can_be_routed(strategy: Strategy, params: Params) -> None:
    """From begin to end, with the fewest and the most arms, weights sum to 1 and name only arms that git names."""
    for most in (False, True):
        rollout = Rollout(strategy, params_of(strategy, params), most=most)
        assert rollout.begun.weights["stable"] > 0, "stable has no traffic to begin with"
        _check_traffic(rollout.begun, rollout.arms)
        for seen, step in rollout.run(25):
            _check_traffic(step.traffic, seen.arms)
            named = {step.winner, *step.failed, *(check.arm for check in step.checks)}
            assert named <= {*seen.arms}, f"a step names {named}, the arms are {seen.arms}"
            assert "stable" not in step.failed, "stable is on no trial, so it cannot fail it"


def check_pure(strategy: Strategy, params: Params) -> None:
    """Equal progress gives equal steps, twice, and is left as it was."""
    own = params_of(strategy, params)
    for seen, step in _good_run(strategy, params)[::7]:
        before = copy.deepcopy(seen)
        same = strategy.next_step(own, seen) == step == strategy.next_step(own, before)
        assert same, "equal progress gives different steps"
        for data, untouched in zip(seen.steps, before.steps, strict=True):
            for name in data.arms:
                mine, its = data.arm(name), untouched.arm(name)
                assert np.array_equal(mine.scores, its.scores), "the strategy changed what it was shown"
                assert np.array_equal(mine.outcomes, its.outcomes), "the strategy changed what it was shown"


def check_no_step_is_skipped(strategy: Strategy, params: Params) -> None:
    """A good rollout moves one step at a time, holds with the traffic it has, and sends nobody back."""
    for seen, step in _good_run(strategy, params):
        traffic = seen.steps[-1].traffic
        assert step.action != "rollback", f"a good candidate is sent back: {step.reason}"
        assert step.reason, "a step gives no reason"
        if step.action == "advance":
            assert step.step == seen.step + 1, f"from step {seen.step} it goes to {step.step}"
        elif step.action in ("hold", "smoke"):
            assert (step.step, step.traffic) == (seen.step, traffic), f"{step.action} moves the traffic"
        else:
            assert step.step == seen.step, f"{step.action} names another step"


def check_what_is_planned_is_what_happens(strategy: Strategy, params: Params) -> None:
    """A strategy that tells its traffic ahead has that traffic in each step of a good rollout, to the last one."""
    if not isinstance(strategy, Planned):
        return
    planned = strategy.stages(params_of(strategy, params), _arms(strategy))
    run = _good_run(strategy, params)
    for seen, _ in run:
        assert seen.step <= len(planned), f"step {seen.step} is not among the {len(planned)} that are planned"
        assert seen.steps[-1].traffic == planned[seen.step - 1].traffic, f"step {seen.step} has other traffic"
    assert run[-1][0].step == len(planned), f"it ends at step {run[-1][0].step} of {len(planned)} that are planned"


def check_without_data_nothing_moves(strategy: Strategy, params: Params) -> None:
    """At every step, however long it waits, no traffic means hold; and with what went before, as the traffic is."""
    own = params_of(strategy, params)
    run = _good_run(strategy, params)
    for seen in [seen for at, (seen, _) in enumerate(run) if not at or seen.step != run[at - 1][0].step]:
        *done, running = seen.steps
        smoke = Smoke(50, 0, 0, 0, 0) if seen.step == 1 else None
        silent = StepData(running.step, running.traffic, {})
        for steps in ((*done, silent), tuple(done)):
            for minutes in (0, 60, 10**6):
                now = seen.step_started + timedelta(minutes=minutes)
                step = strategy.next_step(own, replace(seen, now=now, steps=steps, smoke=smoke))
                assert (step.action, step.step) == ("hold", seen.step), f"without data: {step.action}, {step.reason}"
                assert "no data" in step.reason, f"without data it says {step.reason!r}"
                assert step.traffic == running.traffic or silent not in steps, "without data the traffic moves"


def check_failing_candidates_are_withdrawn(strategy: Strategy, params: Params) -> None:
    """Where every arm on trial fails every request it is sent back within a few looks, whatever comes later."""
    own = params_of(strategy, params)
    rollout = Rollout(strategy, own, errors=_failing(_arms(strategy)))
    seen, step = rollout.run()[-1]
    assert step.action == "rollback", f"a candidate that fails every request gets {step.action}: {step.reason}"
    assert step.traffic.weights["stable"] == 1.0, "stable does not get all traffic back"
    assert not any(step.traffic.shadows.values()), "a candidate that was withdrawn still gets copies"
    assert step.failed == ("candidate",), f"it says that {step.failed} failed"
    assert any(check.verdict == "fail" for check in step.checks), "no check says what failed"
    later = [replace(seen, now=seen.now + timedelta(minutes=minutes)) for minutes in (0, 10**6)]
    again = [*(strategy.next_step(own, one) for one in later), *(rollout.look() for _ in range(3))]
    assert all(one.action == "rollback" for one in again), "a later look takes the withdrawal back"


def check_tolerance_reports_and_goes_on(strategy: Strategy, params: Params) -> None:
    """A tolerant rollout shows the failed checks of a broken candidate and never sends it back."""
    own = params_of(strategy, params)
    run = Rollout(strategy, own, tolerant=True, errors=_failing(_arms(strategy))).run()
    assert any(check.verdict == "fail" for _, step in run for check in step.checks), "no check says what failed"
    for seen, step in run:
        assert step.action != "rollback", "a tolerant rollout sends the candidate back"
        assert step.action in ENDS or step.step - seen.step == (step.action == "advance"), "a step is skipped"


def check_a_step_the_plan_does_not_have_holds(strategy: Strategy, params: Params) -> None:
    """A plan that was shortened under a running rollout never ends well."""
    traffic = Traffic({"stable": 0.0, "candidate": 1.0})
    for steps in ((answered(np.random.default_rng(3), 9999, traffic, 10_000),), ()):
        found = strategy.next_step(params_of(strategy, params), Progress(9999, START, START, steps))
        assert found.action in ("hold", "keep"), f"at a step that does not exist: {found.action}"


def check_a_clock_that_was_set_back(strategy: Strategy, params: Params) -> None:
    """Before the step began no time has passed: the rollout may go on by its counts, and fails in no other way."""
    own = params_of(strategy, params)
    for seen, step in _good_run(strategy, params)[::5]:
        early = strategy.next_step(own, replace(seen, now=seen.step_started - timedelta(days=2)))
        assert early.action in ("hold", step.action), f"with the clock set back: {early.action} for {step.action}"


def check_a_good_rollout_ends(strategy: Strategy, params: Params) -> None:
    """With enough traffic and no harm a rollout comes to a good end within the looks that it has."""
    step = _good_run(strategy, params)[-1][1]
    assert step.action in ("promote", "keep"), f"after ten hours a good rollout is at {step.action}: {step.reason}"


CHECKS: tuple[Callable[[Strategy, Params], None], ...] = (
    check_shelf,
    check_what_it_says_of_a_plan,
    check_every_step_can_be_routed,
    check_pure,
    check_no_step_is_skipped,
    check_what_is_planned_is_what_happens,
    check_without_data_nothing_moves,
    check_failing_candidates_are_withdrawn,
    check_tolerance_reports_and_goes_on,
    check_a_step_the_plan_does_not_have_holds,
    check_a_clock_that_was_set_back,
    check_a_good_rollout_ends,
)


class Rollout:
    """One rollout in logical time: every look brings ``total`` requests, and what the strategy asks for is done."""

    def __init__(
        self,
        strategy: Strategy,
        params: Any,
        seed: int = 1,
        *,
        most: bool = False,
        tolerant: bool = False,
        total: int = 400,
        errors: Mapping[str, float] | None = None,
    ) -> None:
        self.strategy, self.params, self.total, self.errors = strategy, params, total, errors or {}
        self.generator = np.random.default_rng(seed)
        self.arms = _arms(strategy, most)
        self.begun = strategy.begin(params, self.arms)
        first = (StepData(1, self.begun, {}),)
        self.progress = Progress(1, START, START, first, self.arms, started=START, seed=seed, tolerant=tolerant)

    def look(self) -> Step:
        """Let ten minutes of traffic pass and return what the strategy says."""
        *done, running = self.progress.steps
        fresh = answered(self.generator, running.step, running.traffic, self.total, errors=self.errors)
        steps = (*done, joined(running, fresh))
        self.progress = replace(self.progress, now=self.progress.now + TEN, steps=steps)
        return self.strategy.next_step(self.params, self.progress)

    def obey(self, step: Step) -> None:
        """Do what a step asks for, as the loop does."""
        if step.action == "smoke":
            failing = max(self.errors.values(), default=0.0) > 0.5
            self.progress = replace(self.progress, smoke=Smoke(step.requests, failing * step.requests, 0, 0, 0))
        elif step.action == "advance":
            self.progress = replace(
                self.progress,
                step=step.step,
                step_started=self.progress.now,
                steps=(*self.progress.steps, StepData(step.step, step.traffic, {})),
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


def _good_run(strategy: Strategy, params: Params) -> list[tuple[Progress, Step]]:
    key: Any = strategy
    return _run(key, json.dumps(params))


@lru_cache(maxsize=4)
def _run(strategy: Any, params: str) -> list[tuple[Progress, Step]]:
    """Run a good rollout once for all checks that look at it; none changes it, or its being pure is refused."""
    return Rollout(strategy, params_of(strategy, json.loads(params))).run()


def _arms(strategy: Strategy, most: bool = False) -> tuple[str, ...]:
    count = strategy.ARMS[1] if most else strategy.ARMS[0]
    return ("stable", "candidate", *(f"challenger-{number}" for number in range(3, 1 + count)))


def _failing(arms: Sequence[str]) -> dict[str, float]:
    return {name: 0.0 if name == "stable" else 1.0 for name in arms}


def _check_traffic(traffic: Traffic, arms: Sequence[str]) -> None:
    """Assert that a routing table can be written from it."""
    total = sum(traffic.weights.values())
    assert math.isclose(total, 1.0, abs_tol=1e-9), f"the weights sum to {total}"
    assert {*traffic.weights, *traffic.shadows} <= {*arms}, f"the traffic names other arms than {arms}"
    digest = "sha256:" + "0" * 64
    shares = [(traffic.weights.get(name, 0.0), traffic.shadows.get(name, 0.0)) for name in arms]
    routed = [
        RouteArm(name=name, release=at + 1, digest=digest, weight=weight, shadow=shadow)
        for at, (name, (weight, shadow)) in enumerate(zip(arms, shares, strict=True))
    ]
    Route(arms=tuple(routed), salt="x")
