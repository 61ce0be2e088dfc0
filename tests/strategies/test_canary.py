"""The canary's guards: what they catch, what they leave alone, and how often they are wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from modelops.spec.rollouts import plan_problems
from modelops.strategies import canary
from strategies.progress import arm, drawn, model, progress, step_data

STEPS = [{"weight": w, "minRequests": 200} for w in (0.05, 0.25, 0.5, 1.0)]


def params(**changes: object) -> canary.Params:
    return canary.Params.model_validate_json(json.dumps({"steps": STEPS} | changes))


def check(step, name):
    return next(item for item in step.checks if item.name == name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": []}, "at least 1"),
        ({"steps": [{"weight": 0.5, "minRequests": 1}, {"weight": 0.5, "minRequests": 1}]}, "weights must grow"),
        ({"steps": [{"weight": 0.0, "minRequests": 1}]}, "greater than 0"),
        ({"steps": [{"weight": 1.0, "minRequests": 1}]}, "first weight must be below 1"),
        ({"steps": [{"weight": 5, "minRequests": 1}]}, "less than or equal to 1"),
        ({"steps": [{"weight": 0.5}]}, "minRequests"),
        ({"errors": {"maximumRatio": 0.5}}, "greater than or equal to 1"),
        ({"steps": [STEPS[0] | {"minMinutes": 60, "deadlineMinutes": 60}]}, "60 must be above minMinutes 60"),
        ({"errors": None, "slow": None, "outcome": None}, "nothing would be judged"),
    ],
)
def test_parameters(changes, said):
    """Plans that make no sense are refused with what is wrong."""
    with pytest.raises(ValidationError, match=said):
        params(**changes)


def test_errors_of_the_candidate_alone_roll_back_within_a_handful():
    """Four errors of a 5 % canary, none of stable, are enough; three are not."""
    few = canary.next_step(params(), progress([step_data(1, 0.05, arm(40, 3), arm(760))]))
    assert few.action == "hold"
    caught = canary.next_step(params(), progress([step_data(1, 0.05, arm(40, 4), arm(760))]))
    assert caught.action == "rollback"
    found = check(caught, "errors")
    assert found.verdict == "fail"
    # Three guards can fail (errors and slow beside stable, which is there to the end, and outcome).
    assert found.statistic > found.threshold == pytest.approx(60.0)
    assert found.counts == {"candidateEvents": 4, "candidateRequests": 40, "stableEvents": 0, "stableRequests": 760}


def test_evidence_adds_up_over_steps():
    """Two, three and five errors in three steps are caught together though no step alone shows it."""
    told = ((0.05, 2, 5700), (0.25, 3, 900), (0.5, 5, 300))
    steps = [
        step_data(at, weight, arm(300, errors), arm(stable))
        for at, (weight, errors, stable) in enumerate(told, start=1)
    ]
    alone = [canary.next_step(params(), progress([item])) for item in steps]
    assert all(check(step, "errors").verdict == "pass" for step in alone)
    together = canary.next_step(params(), progress(steps))
    product = np.prod([check(step, "errors").statistic for step in alone])
    assert check(together, "errors").statistic == pytest.approx(product)
    assert together.action == "rollback"


def test_harm_must_be_practical():
    """A difference that is certain but below minimumDifference ends nothing, nor does one within maximumRatio."""
    seen = progress([step_data(1, 0.05, arm(100_000, 1500), arm(1_900_000, 19_000))])
    assert canary.next_step(params(), seen).action == "rollback"
    assert canary.next_step(params(errors={"minimumDifference": 0.01}), seen).action == "advance"
    assert canary.next_step(params(errors={"maximumRatio": 2.0}), seen).action == "advance"
    assert canary.next_step(params(errors=None), seen).action == "advance"


def test_busy_entities_are_not_held_against_the_candidate():
    """A candidate that by sticky assignment got three times its share makes three times the errors, and stays."""
    seen = progress([step_data(1, 0.05, arm(3000, 60), arm(17_000, 340))])
    assert canary.next_step(params(), seen).action == "advance"


def test_slow_answers_and_warm_up():
    """Slowness rolls back as errors do; the first answers of a warm-up are forgiven."""
    seen = progress([step_data(1, 0.05, arm(200, 40), arm(3800, 0))])
    slow = progress([step_data(1, 0.05, arm(200, 0, 40), arm(3800, 0, 40))])
    assert canary.next_step(params(), slow).action == "rollback"
    assert canary.next_step(params(warmupRequests=40), slow).action == "advance"
    assert canary.next_step(params(warmupRequests=40), seen).action == "rollback"


def test_absolute_error_rate():
    """A candidate no worse than a failing stable is still held to the absolute limit, also at full weight."""
    both = progress([step_data(1, 0.05, arm(1000, 100), arm(19_000, 1900))])
    assert canary.next_step(params(), both).action == "advance"
    found = canary.next_step(params(maximumErrorRate=0.02), both)
    assert found.action == "rollback"
    assert "limit 2.00%" in found.reason
    full = progress([step_data(3, 0.5, arm(1000, 100), arm(1000, 100)), step_data(4, 1.0, arm(1000, 100), arm())])
    assert canary.next_step(params(), full).action == "promote"
    assert canary.next_step(params(maximumErrorRate=0.02), full).action == "rollback"


def test_scores_inform_or_decide():
    """A shift is reported by default and decides only against a declared limit."""
    generator = np.random.default_rng(3)
    shifted = progress([drawn(generator, 1, 0.05, 40_000, shift=0.2)])
    found = canary.next_step(params(), shifted)
    assert found.action == "advance"
    assert check(found, "scores").statistic > 0.3
    limited = canary.next_step(params(scores={"maximumShift": 0.2}), shifted)
    assert limited.action == "rollback"
    same = canary.next_step(params(scores={"maximumShift": 0.2}), progress([drawn(generator, 1, 0.25, 40_000)]))
    assert check(same, "scores").verdict == "pass"
    few = canary.next_step(params(scores={"maximumShift": 0.2}), progress([drawn(generator, 1, 0.05, 400, shift=0.2)]))
    assert check(few, "scores").verdict == "inconclusive"


def test_outcome_from_labels():
    """Clearly more losses roll back; none late hold nothing up unless the outcome is required for promotion."""
    generator = np.random.default_rng(4)
    worse = progress([drawn(generator, 1, 0.5, 8000, losses=(0.1, 0.3), labelled=0.8)])
    found = canary.next_step(params(), worse)
    assert found.action == "rollback"
    assert "outcome" in found.reason
    unlabelled = [drawn(generator, at, step["weight"], 8000) for at, step in enumerate(STEPS, start=1)]
    assert check(canary.next_step(params(), progress(unlabelled)), "outcome").verdict == "no-data"
    assert canary.next_step(params(), progress(unlabelled)).action == "promote"
    held = canary.next_step(params(outcome={"required": True}), progress(unlabelled))
    assert held.action == "hold"
    assert "requires outcome" in held.reason
    labelled = [drawn(generator, at, step["weight"], 8000, labelled=1.0) for at, step in enumerate(STEPS, start=1)]
    assert canary.next_step(params(outcome={"required": True, "margin": 0.05}), progress(labelled)).action == "promote"


def test_few_perfect_labels_prove_nothing():
    """Thirty labels without a mistake on either side are inconclusive, not a pass."""
    losses = np.zeros(30)
    seen = progress([step_data(1, 0.5, arm(400, losses=losses), arm(400, losses=losses))])
    assert check(canary.next_step(params(), seen), "outcome").verdict == "inconclusive"


def test_waiting_and_deadline():
    """A step waits for requests and minutes; past its deadline it holds, or rolls back where the plan says so."""
    steps = [{"weight": 0.05, "minRequests": 200, "minMinutes": 10, "deadlineMinutes": 60}, STEPS[1]]
    enough, few = step_data(1, 0.05, arm(200), arm(3800)), step_data(1, 0.05, arm(199), arm(3800))
    plan = params(steps=steps)
    assert canary.next_step(plan, progress([enough], minutes=9)).reason == "9.0 of 10 minutes have passed"
    assert canary.next_step(plan, progress([enough], minutes=10)).action == "advance"
    assert "199 of 200" in canary.next_step(plan, progress([few], minutes=59)).reason
    late = canary.next_step(plan, progress([few], minutes=61))
    assert late.action == "hold"
    assert "deadline" in late.reason
    ended = canary.next_step(params(steps=steps, onDeadline="rollback"), progress([few], minutes=61))
    assert (ended.action, ended.traffic.weights["candidate"]) == ("rollback", 0.0)


def test_stable_must_answer_too():
    """Without one concurrent answer of stable nothing can be compared, so the step holds."""
    found = canary.next_step(params(), progress([step_data(1, 0.05, arm(5000), arm())]))
    assert found.action == "hold"
    assert "nothing to compare with" in found.reason
    assert check(found, "errors").verdict == "no-data"


def _ends_in_rollback(seed: int, plan: canary.Params, looks: int = 8, **truth: object) -> bool:
    """Run one rollout, looking ``looks`` times in every step while its traffic accumulates."""
    generator, done = np.random.default_rng(seed), []
    for at, step in enumerate(plan.steps, start=1):
        parts = [drawn(generator, at, step.weight, 250, **truth) for _ in range(looks)]
        for seen in range(1, looks + 1):
            running = _sum(parts[:seen])
            found = canary.next_step(plan, progress([*done, running]))
            if found.action == "rollback":
                return True
        done.append(running)
    return False


def _sum(parts):
    def total(arms):
        return arm(
            sum(item.requests for item in arms),
            sum(item.errors for item in arms),
            sum(item.slow for item in arms),
            np.concatenate([item.scores for item in arms]),
            np.concatenate([item.losses for item in arms]),
        )

    first = parts[0]
    return step_data(
        first.step,
        first.weight("candidate"),
        total([p.arm("candidate") for p in parts]),
        total([p.arm("stable") for p in parts]),
    )


@pytest.mark.parametrize("runs", [80, pytest.param(1000, marks=pytest.mark.slow)])
def test_false_alarms_stay_below_alpha(runs):
    """Equal candidates, looked at 20 times with every guard on, are sent back at most as often as alpha says."""
    plan = params(alpha=0.1, scores={"maximumShift": 0.05}, errors={"minimumDifference": 0.0})
    alarms = sum(_ends_in_rollback(seed, plan, looks=5, labelled=0.3) for seed in range(runs))
    assert alarms <= 0.1 * runs


def test_power():
    """Of 60 candidates with five times the errors nearly all are sent back before they have all traffic."""
    plan = params(steps=STEPS[:3])
    caught = sum(_ends_in_rollback(seed, plan, errors=(0.01, 0.05)) for seed in range(60))
    assert caught >= 57


def test_errors_at_full_weight_roll_back():
    """With all the traffic there is no stable beside the candidate; what stable did before is the measure then.

    Where nothing is known of stable, nothing is compared and nobody promoted.
    """
    before = step_data(3, 0.5, arm(500, 5), arm(500, 5))
    broken = canary.next_step(params(), progress([before, step_data(4, 1.0, arm(500, 500), arm())]))
    assert broken.action == "rollback"
    assert "errors-at-full-weight: candidate 100.00% of 500" in broken.reason
    sound = canary.next_step(params(), progress([before, step_data(4, 1.0, arm(500, 5), arm())]))
    assert sound.action == "promote"
    assert check(sound, "errors-at-full-weight").verdict == "pass"
    alone = canary.next_step(params(), progress([step_data(4, 1.0, arm(500, 5), arm())]))
    assert check(alone, "errors-at-full-weight").verdict == "no-data"
    assert (alone.action, alone.reason[:7]) == ("hold", "no data")


def test_slowness_at_full_weight_rolls_back():
    """A candidate that is slow only under all the traffic is sent back too; as slow as stable was, it stays."""
    before = step_data(3, 0.5, arm(500, 0, 10), arm(500, 0, 10))
    slow = canary.next_step(params(), progress([before, step_data(4, 1.0, arm(500, 0, 60), arm())]))
    assert slow.action == "rollback"
    assert "slow-at-full-weight: candidate 12.00% of 500, stable 2.00% of 500 requests before" in slow.reason
    sound = canary.next_step(params(), progress([before, step_data(4, 1.0, arm(500, 0, 12), arm())]))
    assert sound.action == "promote"
    cold = step_data(4, 1.0, arm(500, 0, 60), arm())
    assert canary.next_step(params(warmupRequests=1050), progress([before, cold])).action == "promote"


def test_required_ratio_promotes_by_non_inferiority():
    """With requiredRatio no harm is not enough: the rate must be shown to be below, while stable runs beside."""
    steps = [{"weight": w, "minRequests": 200} for w in (0.5, 1.0)]
    plan = params(steps=steps, errors={"requiredRatio": 2.0})
    few = canary.next_step(plan, progress([step_data(1, 0.5, arm(1000, 10), arm(1000, 10))]))
    assert few.action == "hold"
    assert "not shown to be below 2 times as many" in few.reason
    assert check(few, "errors").verdict == "inconclusive"
    many = canary.next_step(plan, progress([step_data(1, 0.5, arm(20_000, 200), arm(20_000, 200))]))
    assert (many.action, check(many, "errors").verdict) == ("advance", "pass")
    with pytest.raises(ValidationError, match=r"requiredRatio 1.5 must be above maximumRatio 2"):
        params(errors={"requiredRatio": 1.5, "maximumRatio": 2.0})


def test_a_clock_set_back_waits():
    """A clock before the start of the step counts as no time at all, and passes no deadline."""
    steps = [{"weight": 0.05, "minRequests": 10, "minMinutes": 10, "deadlineMinutes": 60}, STEPS[1]]
    seen = progress([step_data(1, 0.05, arm(200), arm(3800))], minutes=-600)
    found = canary.next_step(params(steps=steps), seen)
    assert (found.action, found.reason) == ("hold", "0.0 of 10 minutes have passed")


def test_the_deadline_of_a_tolerant_rollout_holds():
    """A tolerant rollout sends nobody back, at the deadline neither."""
    steps = [{"weight": 0.05, "minRequests": 200, "deadlineMinutes": 60}, STEPS[1]]
    seen = replace(progress([step_data(1, 0.05, arm(10), arm(190))], minutes=61), tolerant=True)
    assert canary.next_step(params(steps=steps, onDeadline="rollback"), seen).action == "hold"


def test_objections():
    """A model whose predictions are not logged cannot be judged; any other can."""
    assert canary.objections(params(), model()) == ()
    (found,) = canary.objections(params(), model(log="off"))
    assert found.path == ""
    assert "serving.log" in found.message


def test_stable_keeps_a_holdback_to_the_end():
    """A step of weight 1 leaves 5 % to stable, and never less to the candidate than it had; 0 leaves nothing."""
    steps = [{"weight": 0.5, "minRequests": 100}, {"weight": 1.0, "minRequests": 100}]
    ready = progress([step_data(1, 0.5, arm(100), arm(100))])
    for holdback, weight in ((None, 0.95), (0.1, 0.9), (0, 1.0)):
        plan = params(steps=steps, outcome=None, **({} if holdback is None else {"holdback": holdback}))
        step = canary.next_step(plan, ready)
        assert (step.action, step.traffic.weights["candidate"]) == ("advance", pytest.approx(weight))
    assert params(steps=[{"weight": 0.98, "minRequests": 1}, steps[1]]).weight(2) == pytest.approx(0.99)
    done = progress([step_data(1, 0.5, arm(100), arm(100)), step_data(2, 0.95, arm(100), arm(5))])
    ended = canary.next_step(params(steps=steps, outcome=None), done)
    assert (ended.action, ended.traffic.weights) == ("promote", {"stable": 0.0, "candidate": 1.0})


def test_a_rollout_that_had_no_holdback_goes_on_without_one():
    """One that came to weight 1 before there was a holdback is judged as it runs, and ends."""
    steps = [{"weight": 0.5, "minRequests": 100}, {"weight": 1.0, "minRequests": 100}]
    plan = params(steps=steps, outcome=None)
    before = step_data(1, 0.5, arm(3000, 30), arm(3000, 30))
    harm = canary.next_step(plan, progress([before, step_data(2, 1.0, arm(90, 60), arm())]))
    assert (harm.action, check(harm, "errors-at-full-weight").verdict) == ("rollback", "fail")
    early = canary.next_step(plan, progress([before, step_data(2, 1.0, arm(90, 1), arm())]))
    assert (early.action, early.traffic.weights["candidate"]) == ("hold", 1.0)
    assert canary.next_step(plan, progress([before, step_data(2, 1.0, arm(100, 1), arm())])).action == "promote"


def test_a_plan_that_mostly_misses_what_it_expects_is_warned_of():
    """Four steps of 200 answers see doubled errors in few rollouts, and ten times as many in nearly all."""
    steps = [{"weight": weight, "minRequests": 200} for weight in (0.05, 0.25, 0.5, 1.0)]
    served = {"task": "binary-classification", "risk": "minimal", "serving": {}, "params": {"steps": steps}}

    def said(effect: float) -> list[tuple[str, str]]:
        expect = {"requests_per_hour": 600, "effect": effect}
        found = plan_problems("rollouts", "canary", json.dumps(served | {"expect": expect}, sort_keys=True))
        return [(severity, problem.code) for severity, problem in found]

    assert said(2.0) == [("warning", "effect-often-missed")]
    assert said(10.0) == []
