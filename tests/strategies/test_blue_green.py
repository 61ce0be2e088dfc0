"""Blue-green: smoke requests, one switch, a watch, and a way back that is always open."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from modelops.strategies import ArmData, Progress, Smoke, StepData, Traffic, blue_green
from strategies.progress import arm, model, progress

WARM = Traffic({"stable": 1.0, "candidate": 0.0})
HELD_BACK = Traffic({"stable": 0.05, "candidate": 0.95})
SWITCHED = Traffic({"stable": 0.0, "candidate": 1.0})
GOOD = Smoke(50, 0, 0, 0, 0)
PLAN = {"minRequests": 200, "baselineRequests": 500, "watchMinutes": 10, "keepWarmMinutes": 30}


def params(**changes: object) -> blue_green.Params:
    return blue_green.Params.model_validate_json(json.dumps(PLAN | changes))


def before(stable: ArmData, smoke: Smoke | None = GOOD) -> Progress:
    return replace(progress([StepData(1, WARM, {"stable": stable})]), smoke=smoke)


def switched(*answered: ArmData, stable: ArmData | None = None, minutes: float = 60.0) -> Progress:
    """Return a rollout that has switched; ``answered`` is what the candidate did in each step since."""
    past = StepData(1, WARM, {"stable": stable if stable is not None else arm(1000, 10, 20)})
    since = [StepData(at + 2, SWITCHED, {"candidate": found}) for at, found in enumerate(answered)]
    return progress([past, *since], minutes=minutes)


def check(step, name):
    return next(item for item in step.checks if item.name == name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"minRequests": 0}, "greater than or equal to 1"),
        ({"smokeRequests": -1}, "greater than or equal to 0"),
        ({"watchMinutes": -1}, "greater than or equal to 0"),
        ({"deadlineMinutes": 5}, "deadlineMinutes 5 must be above watchMinutes 10"),
        ({"errors": {"requiredRatio": 2.0}}, "requiredRatio needs stable beside"),
        ({"errors": None, "slow": None}, "nothing would be judged"),
        ({"scores": {"maximumShift": 0.1}}, "Extra inputs"),
        ({"steps": []}, "Extra inputs"),
    ],
)
def test_parameters(changes, said):
    """Plans that make no sense are refused, guards that need arms beside each other too."""
    with pytest.raises(ValidationError, match=said):
        params(**changes)
    with pytest.raises(ValidationError, match="minRequests"):
        blue_green.Params.model_validate_json("{}")


def test_smoke_requests_come_first_and_once():
    """The first thing asked for is the smoke requests; what they found is judged, and nothing asked for again."""
    asked = blue_green.next_step(params(), before(arm(1000), smoke=None))
    assert (asked.action, asked.requests, asked.traffic) == ("smoke", 50, WARM)
    assert blue_green.next_step(params(smokeRequests=7), before(arm(1000), smoke=None)).requests == 7
    assert blue_green.next_step(params(), before(arm(1000))).action == "advance"
    without = blue_green.next_step(params(smokeRequests=0), before(arm(1000), smoke=None))
    assert (without.action, without.checks) == ("advance", ())


@pytest.mark.parametrize(
    ("smoke", "action", "verdict", "said"),
    [
        (Smoke(50, 1, 0, 0, 0), "rollback", "fail", "failed 1 of 50 requests, stable 0"),
        (Smoke(50, 3, 3, 0, 0), "advance", "pass", ""),
        (Smoke(50, 1, 4, 0, 0), "advance", "pass", ""),
        (Smoke(50, 50, 50, 0, 0), "hold", "inconclusive", "nothing can be compared"),
        (Smoke(0, 0, 0, 0, 0, "the snapshot's rows cannot be had here"), "hold", "no-data", "rows cannot be had"),
        (Smoke(0, 0, 0, 0, 0), "hold", "no-data", "no smoke request was sent"),
    ],
)
def test_errors_of_smoke_requests(smoke, action, verdict, said):
    """One error more than stable's on the same rows fails; rows that nobody answers and no rows hold."""
    found = blue_green.next_step(params(), before(arm(1000), smoke))
    assert (found.action, check(found, "smoke-errors").verdict) == (action, verdict)
    assert said in found.reason
    assert found.failed == (("candidate",) if action == "rollback" else ())


def test_slow_smoke_requests():
    """A few slow answers warm the candidate up; many more than stable's are too slow."""
    cold = blue_green.next_step(params(), before(arm(1000), Smoke(50, 0, 0, 5, 0)))
    assert (cold.action, check(cold, "smoke-slow").verdict) == ("advance", "pass")
    slow = blue_green.next_step(params(), before(arm(1000), Smoke(50, 0, 0, 45, 2)))
    assert (slow.action, check(slow, "smoke-slow").verdict) == ("rollback", "fail")
    assert check(slow, "smoke-slow").p_value < check(slow, "smoke-slow").alpha == pytest.approx(0.005)
    assert blue_green.next_step(params(slow=None), before(arm(1000), Smoke(50, 0, 0, 45, 2))).action == "advance"


def test_the_switch_waits_for_a_baseline_and_is_one_move():
    """Until stable has answered enough to be a measure nothing is switched; then everything is."""
    few = blue_green.next_step(params(), before(arm(499)))
    assert (few.action, few.traffic) == ("hold", WARM)
    assert "499 of 500" in few.reason
    enough = blue_green.next_step(params(), before(arm(500)))
    assert (enough.action, enough.step, enough.traffic) == ("advance", 2, HELD_BACK)
    all_at_once = blue_green.next_step(params(holdback=0), before(arm(500)))
    assert (all_at_once.action, all_at_once.step, all_at_once.traffic) == ("advance", 2, SWITCHED)


def test_watch_then_keep_warm_then_promote():
    """The watch takes its requests and minutes, the old release stays warm for its own, and then the end is good."""
    assert "150 of 200" in blue_green.next_step(params(), switched(arm(150, 1, 3))).reason
    early = blue_green.next_step(params(), switched(arm(300, 3, 6), minutes=9))
    assert (early.action, early.reason) == ("hold", "9.0 of 10 minutes to watch have passed")
    watched = blue_green.next_step(params(), switched(arm(300, 3, 6), minutes=10))
    assert (watched.action, watched.step, watched.traffic) == ("advance", 3, SWITCHED)
    warm = blue_green.next_step(params(), switched(arm(300, 3, 6), arm(5, 0, 0), minutes=29))
    assert (warm.action, warm.traffic) == ("hold", SWITCHED)
    ended = blue_green.next_step(params(), switched(arm(300, 3, 6), arm(5, 0, 0), minutes=30))
    assert (ended.action, ended.winner, ended.step) == ("promote", "candidate", 3)


def test_harm_switches_back_in_every_step():
    """Errors or slow answers beyond stable's before the switch give the traffic back, while the old one is warm too."""
    for bad in (arm(300, 60), arm(300, 3, 90)):
        watched = blue_green.next_step(params(), switched(bad))
        assert (watched.action, watched.traffic, watched.failed) == ("rollback", WARM, ("candidate",))
        assert "stable" in watched.reason
        kept = blue_green.next_step(params(), switched(arm(300, 3, 6), bad))
        assert (kept.action, kept.step, kept.traffic) == ("rollback", 3, WARM)


def test_a_bad_day_of_stable_is_no_excuse_beyond_the_absolute_limit():
    """As many errors as stable had are within the limit, unless maximumErrorRate says otherwise."""
    seen = switched(arm(1000, 100), stable=arm(1000, 100))
    assert blue_green.next_step(params(), seen).action == "advance"
    assert blue_green.next_step(params(maximumErrorRate=0.02), seen).action == "rollback"


def test_lost_baseline_holds():
    """When what stable did before is gone, the candidate has nothing to be held against, and is not promoted."""
    for at in (1, 2):
        found = blue_green.next_step(params(), switched(*[arm(300)] * at, stable=arm()))
        assert (found.action, found.step) == ("hold", at + 1)
        assert "no data" in found.reason


def test_the_deadline_of_the_watch():
    """A watch without traffic holds at its deadline, or gives the traffic back where the plan says so."""
    quiet = switched(arm(20), minutes=121)
    held = blue_green.next_step(params(deadlineMinutes=120), quiet)
    assert (held.action, held.traffic) == ("hold", SWITCHED)
    assert "passed its deadline of 120 minutes" in held.reason
    plan = params(deadlineMinutes=120, onDeadline="rollback")
    back = blue_green.next_step(plan, quiet)
    assert (back.action, back.traffic) == ("rollback", WARM)
    assert blue_green.next_step(plan, replace(quiet, tolerant=True)).action == "hold"


def test_objections():
    """Smoke requests do something where predictions have side effects; without them, and else, nothing objects."""
    assert blue_green.objections(params(), model()) == ()
    (found,) = blue_green.objections(params(), model(sideEffects=True))
    assert found.path == "smokeRequests"
    assert "side effects" in found.message
    assert blue_green.objections(params(smokeRequests=0), model(sideEffects=True)) == ()
    assert blue_green.objections(params(), model(log="off"))[0].path == ""


def _switch(seed: int, rates: tuple[float, float]) -> str:
    """Switch after 2,000 requests of stable, look after each 50 of 1,500 more, and return the last action."""
    generator = np.random.default_rng(seed)
    stable = arm(2000, int(generator.binomial(2000, rates[0])), 40)
    errors = generator.binomial(50, rates[1], 30).cumsum().tolist()
    for at, failed in enumerate(errors):
        n = 50 * (at + 1)
        found = blue_green.next_step(params(), switched(arm(n, failed, n // 50), stable=stable))
        if found.action == "rollback":
            return found.action
    return found.action


@pytest.mark.parametrize("runs", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_false_alarms_and_power_of_the_watch(runs):
    """Equal releases are switched back at most as often as alpha says; five times the errors nearly always."""
    assert sum(_switch(seed, (0.01, 0.01)) == "rollback" for seed in range(runs)) <= 0.05 * runs
    assert sum(_switch(seed, (0.01, 0.05)) == "rollback" for seed in range(40)) >= 38
