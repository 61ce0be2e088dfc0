"""Guards: Holm over guards that may be looked at any time, warm-up, minimum counts, several arms."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from modelops.statistics.dispersion import Clusters
from modelops.statistics.means import mean_contrast
from modelops.statistics.sequential import holm, log_share_evalue
from modelops.strategies import ArmData, Check, StepData, Traffic, canary
from modelops.strategies._guards import Finding, Guards, RateGuards, failures, guard_checks
from strategies.progress import answered, arm, joined, progress, step_data

ALL = {"scores": {"maximumShift": 0.1}, "maximumErrorRate": 0.05}
EVEN = Traffic({"stable": 0.5, "candidate": 0.5})


def guards(**changes: object) -> Guards:
    return Guards.model_validate_json(json.dumps(changes))


def named(checks, name):
    return next(check for check in checks if check.name == name)


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_statsmodels(seed):
    """Rejections equal those of an independent implementation, in the order in which the p-values were given."""
    generator = np.random.default_rng(seed)
    p_values = (generator.random(7) ** 4).tolist()
    assert [held.rejected for held in holm(p_values, 0.05)] == multipletests(p_values, 0.05, "holm")[0].tolist()


def test_holm_names_the_level():
    """Each hypothesis is held to alpha divided by those not yet rejected; the rest share the level that stopped."""
    found = holm([0.5, 0.001, 0.02, 0.04], 0.05)
    assert [held.level for held in found] == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])
    assert [held.rejected for held in found] == [False, True, False, False]
    assert holm([], 0.05) == []


def test_a_second_harm_is_held_to_less():
    """Once errors fail, slow answers have to reach three guards' part of alpha only, not four's."""
    slow, level = 17, math.log(1 / 0.05)
    assert level + math.log(3) <= log_share_evalue(slow, 2, 0.5) < level + math.log(4)
    limits = guards(maximumErrorRate=0.5)
    both = guard_checks(limits, [step_data(1, 0.5, arm(60, 30, slow), arm(60, 0, 2))], "candidate", enough=False)
    assert [(check.name, check.verdict) for check in both][:2] == [("errors", "fail"), ("slow", "fail")]
    assert named(both, "slow").alpha == pytest.approx(0.05 / 3)
    only = guard_checks(limits, [step_data(1, 0.5, arm(60, 0, slow), arm(60, 0, 2))], "candidate", enough=False)
    assert named(only, "slow").verdict == "inconclusive"
    assert named(only, "slow").alpha == pytest.approx(0.05 / 4)


@pytest.mark.parametrize("seed", range(4))
def test_verdicts_agree_with_their_numbers(seed):
    """A guard fails exactly when its p-value is within its level, which is when its bound or e-value is beyond."""
    generator = np.random.default_rng(seed)
    errors = {"stable": 0.02, "candidate": 0.02 + 0.05 * generator.random()}
    seen = answered(generator, 0, EVEN, 3000, errors=errors)
    worse = ArmData(*[*vars(seen.arm("candidate")).values()][:3], seen.arm("candidate").scores + 0.25)
    worse = ArmData(worse.requests, worse.errors, worse.slow, worse.scores, generator.binomial(1, 0.25, 1400) * 1.0)
    checks = guard_checks(
        guards(**ALL, errors={"minimumDifference": 0.0}),
        [StepData(1, EVEN, {"stable": seen.arm("stable"), "candidate": worse})],
        "candidate",
        enough=True,
    )
    assert {check.name for check in checks} == {"errors", "slow", "error-rate", "scores", "outcome"}
    for check in checks:
        assert (check.verdict == "fail") == (check.p_value <= check.alpha)
        if check.name in ("errors", "slow", "error-rate"):
            assert check.threshold == pytest.approx(1 / check.alpha)
            assert (check.verdict == "fail") == (check.statistic >= check.threshold)
        else:
            assert (check.verdict == "fail") == (check.lower > check.threshold)
            assert check.lower <= check.statistic <= check.upper
    assert named(checks, "scores").verdict == named(checks, "outcome").verdict == "fail"


def test_the_bound_on_harm_is_the_last_ratio_that_still_fails():
    """A failed guard says how many times as many at least; the test of that ratio just reaches its threshold."""
    seen = step_data(1, 0.25, arm(1000, 100), arm(3000, 60))
    (found,) = guard_checks(guards(slow=None, outcome=None, scores=None), [seen], "candidate", enough=True)
    assert found.verdict == "fail"
    assert 2 < found.lower < 5
    share = found.lower * 0.25 / (found.lower * 0.25 + 0.75)
    assert log_share_evalue(100, 60, share) == pytest.approx(-math.log(0.05), abs=1e-6)


def test_no_guard_fails_before_its_minimum():
    """Nineteen errors of nineteen answers wait for the twentieth; a plan may ask for more."""
    nineteen, twenty = ([step_data(1, 0.5, arm(n, n), arm(n))] for n in (19, 20))
    assert failures(guard_checks(guards(), nineteen, "candidate", enough=False)) == ""
    assert "errors" in failures(guard_checks(guards(), twenty, "candidate", enough=False))
    assert failures(guard_checks(guards(judgeAfter=50), twenty, "candidate", enough=False)) == ""


def test_few_labels_decide_nothing():
    """Labels below minimumLabels are inconclusive however bad they look; enough of them fail."""
    losses = {n: (np.tile([1.0, 1.0, 0.0], n)[:n], np.zeros(n)) for n in (90, 120)}
    verdicts = []
    for n, (of_candidate, of_stable) in losses.items():
        seen = step_data(1, 0.5, arm(n, losses=of_candidate), arm(n, losses=of_stable))
        found = named(guard_checks(guards(), [seen], "candidate", enough=True), "outcome")
        verdicts.append(found.verdict)
        assert found.counts == {"candidateLabels": n, "stableLabels": n}
    assert verdicts == ["inconclusive", "fail"]


def test_warm_up_is_left_out_of_slow_answers_over_steps():
    """The warm-up goes on into the next step; what is left out is neither slow nor counted as a request."""
    steps = [step_data(1, 0.5, arm(30, 0, 30), arm(30, 0, 1)), step_data(2, 0.6, arm(60, 0, 22), arm(40, 0, 2))]
    found = named(guard_checks(guards(warmupRequests=50), steps, "candidate", enough=True), "slow")
    assert found.counts == {"candidateEvents": 2, "candidateRequests": 40, "stableEvents": 2, "stableRequests": 40}
    errors = named(guard_checks(guards(warmupRequests=50), steps, "candidate", enough=True), "errors")
    assert errors.counts["candidateRequests"] == 90


def test_scores_share_alpha_over_any_number_of_steps():
    """The parts of alpha that the steps have sum to 1 at most, and the first one decides soonest."""
    generator = np.random.default_rng(5)
    drawn = [generator.beta(2, 5, n) for n in (4000, 4000)]
    same = StepData(1, EVEN, {"stable": arm(4000, scores=drawn[0]), "candidate": arm(4000, scores=drawn[1])})
    shifted = StepData(2, EVEN, {"stable": arm(4000, scores=drawn[0]), "candidate": arm(4000, scores=drawn[1] + 0.3)})
    limit = guards(scores={"maximumShift": 0.2})
    first, second = (
        named(guard_checks(limit, found, "candidate", enough=True), "scores") for found in ([shifted], [same, shifted])
    )
    assert first.verdict == second.verdict == "fail"
    assert first.p_value < second.p_value
    assert second.statistic == pytest.approx(first.statistic)
    assert second.counts == {"candidate": 8000, "stable": 8000}


def test_each_arm_is_compared_with_the_control_alone():
    """With three arms a failing challenger fails, and the candidate beside it does not; other controls work too."""
    traffic = Traffic({"stable": 0.5, "candidate": 0.25, "challenger-3": 0.25})
    arms = {"stable": arm(2000, 20), "candidate": arm(1000, 10), "challenger-3": arm(1000, 60)}
    seen = [StepData(1, traffic, arms)]
    good = guard_checks(guards(), seen, "candidate", enough=True, alpha=0.025)
    bad = guard_checks(guards(), seen, "challenger-3", enough=True, alpha=0.025)
    assert failures(good) == ""
    assert "errors: challenger-3 6.00% of 1000, stable 1.00% of 2000 requests" in failures(bad)
    assert {check.arm for check in bad} == {"challenger-3"}
    assert named(good, "errors").alpha == pytest.approx(0.025 / 3)
    assert named(bad, "errors").counts["challenger-3Events"] == 60
    assert "errors" in failures(guard_checks(guards(), seen, "challenger-3", enough=True, control="candidate"))


def test_own_findings_share_alpha():
    """A strategy's own guard takes part in Holm's procedure and is written as it says."""
    told = []
    mine = Finding(0.02, lambda rejected, level: told.append((rejected, level)))
    checks = guard_checks(
        RateGuards(slow=None), [step_data(1, 0.5, arm(100), arm(100))], "candidate", enough=True, more=[mine]
    )
    assert [check.name for check in checks] == ["errors"]
    assert told == [(True, 0.025)]


def test_nothing_to_compare_is_no_data():
    """Without traffic every guard says so, and none that the rollout has not come to."""
    for steps in ([], [step_data(1, 0.5, arm(), arm())], [step_data(1, 0.5, arm(), arm(5000))]):
        checks = guard_checks(guards(**ALL), steps, "candidate", enough=False, alone=True)
        assert {check.verdict for check in checks} == {"no-data"}
        assert len(checks) == 5


def test_required_outcome_is_reached_when_the_loss_is_shown():
    """The bounds shown are those of the confidence sequence at the guard's level."""
    generator = np.random.default_rng(8)
    of_candidate, of_stable = generator.binomial(1, 0.1, (2, 5000)).astype(float)
    seen = step_data(1, 0.5, arm(5000, losses=of_candidate), arm(5000, losses=of_stable))
    found = named(guard_checks(guards(outcome={"margin": 0.05}), [seen], "candidate", enough=True), "outcome")
    expected = mean_contrast([(of_candidate, of_stable)], 1.1, found.alpha, tuned=0.05)
    assert (found.lower, found.upper) == pytest.approx((expected.lower, expected.upper))
    assert found.verdict == "pass"


def _ever_fails(seed: int, limits: Guards, looks: int, **truth: object) -> bool:
    """Look after every 100 requests of three steps, the last without stable."""
    generator, done = np.random.default_rng(seed), []
    for step, weight in enumerate((0.1, 0.5, 1.0), start=1):
        running = StepData(step, Traffic({"stable": 1 - weight, "candidate": weight}), {})
        for _ in range(looks):
            running = joined(running, answered(generator, step, running.traffic, 100, **truth))
            if failures(guard_checks(limits, [*done, running], "candidate", enough=False, alone=True)):
                return True
        done.append(running)
    return False


LENIENT = guards(
    alpha=0.1,
    errors={"minimumDifference": 0.0},
    slow={"minimumDifference": 0.0},
    scores={"maximumShift": 0.05},
    outcome={"relativeMargin": 0.0, "minimumLabels": 20},
    maximumErrorRate=0.02,
)


@pytest.mark.parametrize("runs", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_all_guards_together_keep_alpha(runs):
    """With every guard on its limit (the error rate is the absolute limit too) alarms stay below alpha at any look."""
    truth = {"errors": {"stable": 0.02, "candidate": 0.02}, "labelled": 0.5}
    alarms = sum(_ever_fails(seed, LENIENT, 8, **truth) for seed in range(runs))
    assert alarms <= 0.1 * runs


def test_harm_is_found_through_any_guard():
    """Ten times the errors are found in each of 20 runs."""
    truth = {"errors": {"stable": 0.01, "candidate": 0.1}, "labelled": 0.0}
    assert all(_ever_fails(seed, LENIENT, 8, **truth) for seed in range(20))


# What is no new evidence, and what is no evidence at all.


def gathered(requests: int, events: int, clusters: int, struck: int) -> Clusters:
    """Return an even number of requests in each cluster, and events in so many of them."""
    of = np.zeros(clusters)
    of[np.linspace(0, clusters - 1, struck).astype(int)] = events / struck
    keys = np.arange(clusters, dtype=np.uint64)
    return Clusters(keys, np.full(clusters, requests / clusters), of, of)


@pytest.mark.parametrize("by", ["people", "times"])
def test_events_of_few_entities_or_of_one_moment_count_as_few(by: str) -> None:
    """Twenty errors are harm; those of one entity in fifty, or of one moment, are not: the reason says so."""
    spread_out, one = gathered(500, 20, 50, 20), gathered(500, 20, 50, 1)
    calm = gathered(9500, 95, 950 if by == "people" else 50, 50)
    calm = replace(calm, keys=calm.keys + np.uint64(1000)) if by == "people" else calm

    def errors(of: Clusters) -> Check:
        arms = {
            "candidate": replace(arm(500, 20), **{by: of}),
            "stable": replace(arm(9500, 95), **{by: calm}),
        }
        seen = StepData(1, Traffic({"stable": 0.95, "candidate": 0.05}), arms)
        return named(guard_checks(guards(), [seen], "candidate", enough=True), "errors")

    assert errors(spread_out).verdict == "fail"
    few = errors(one)
    assert few.verdict == "pass"
    assert ("by entity" if by == "people" else "in time") in few.reason


def test_an_outage_of_both_arms_makes_no_difference_less_sure() -> None:
    """What strikes both arms at one time cancels: harm beside it is seen as without it."""
    harm = gathered(5000, 150, 50, 50)
    strike = np.zeros(50)
    strike[7] = 60
    calm = gathered(5000, 50, 50, 50)
    arms = {
        "candidate": replace(arm(5000, 210), times=replace(harm, errors=harm.errors + strike)),
        "stable": replace(arm(5000, 110), times=replace(calm, errors=calm.errors + strike)),
    }
    seen = StepData(1, Traffic({"stable": 0.5, "candidate": 0.5}), arms)
    found = named(guard_checks(guards(), [seen], "candidate", enough=True), "errors")
    assert (found.verdict, "in time" in found.reason) == ("fail", False)


def labelled(requests: int, known: int, by_answer: dict[str, tuple[int, int]] | None = None) -> ArmData:
    losses = np.tile([0.0] * 9 + [1.0], known // 10)
    units = np.arange(len(losses), dtype=np.uint64)
    return ArmData(requests, losses=losses, units=units, entities=requests, by_answer=by_answer or {})


@pytest.mark.parametrize(
    ("candidate", "name"),
    [
        (labelled(4000, 400), "label-share"),
        (labelled(4000, 3000, {"0": (3600, 2900), "1": (400, 100)}), "label-selection"),
    ],
)
def test_labels_that_depend_on_the_arm_or_the_answer_void_what_rests_on_them(candidate: ArmData, name: str) -> None:
    """The outcome says nothing, and the canary waits for a person: what is missing may be what is wrong."""
    plan = canary.Params.model_validate_json('{"steps": [{"weight": 0.5, "minRequests": 100}]}')
    stable = labelled(4000, 3000, {"0": (3600, 2700), "1": (400, 300)})
    step = canary.next_step(plan, progress([step_data(1, 0.5, candidate, stable)]))
    assert step.action == "hold"
    assert (named(step.checks, name).verdict, named(step.checks, "outcome").verdict) == ("fail", "no-data")
    assert "void" in step.reason
    same = canary.next_step(plan, progress([step_data(1, 0.5, stable, stable)]))
    assert (same.action, named(same.checks, name).verdict) == ("promote", "pass")
    unasked = canary.Params.model_validate_json('{"outcome": null, "steps": [{"weight": 0.5, "minRequests": 100}]}')
    assert canary.next_step(unasked, progress([step_data(1, 0.5, candidate, stable)])).action == "promote"
