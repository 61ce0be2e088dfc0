"""The shadow: what pairs of answers must show before a candidate is promoted that nobody was served by."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from modelops.strategies import PairData, Progress, StepData, Traffic, shadow
from strategies.progress import model, progress

PLAN = {"minPairs": 500, "minimumAgreement": 0.95}
GOOD = PairData(1000, 0, 0, 0, 0, 0, 990, np.zeros(1000))


def params(**changes: object) -> shadow.Params:
    return shadow.Params.model_validate_json(json.dumps(PLAN | changes))


def seen(pairs: PairData | None, minutes: float = 60.0) -> Progress:
    traffic = Traffic({"stable": 1.0, "candidate": 0.0}, {"candidate": 1.0})
    return progress([StepData(1, traffic, {}, {} if pairs is None else {"candidate": pairs})], minutes=minutes)


def check(step, name):
    return next(item for item in step.checks if item.name == name)


def nothing_but(**changes: object) -> shadow.Params:
    return params(**{"minimumAgreement": None} | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"minPairs": 0}, "greater than or equal to 1"),
        ({"share": 0.0}, "greater than 0"),
        ({"share": 2.0}, "less than or equal to 1"),
        ({"minimumAgreement": 1.0}, "less than 1"),
        ({"differences": {}}, "maximumMean or maximum"),
        ({"outcome": {}}, "Extra inputs"),
        ({"minMinutes": 30, "deadlineMinutes": 10}, "deadlineMinutes 10 must be above minMinutes 30"),
        ({"minimumAgreement": None, "errors": None, "slow": None}, "nothing would be judged"),
    ],
)
def test_parameters(changes, said):
    """Plans that make no sense are refused; the least number of pairs must be said."""
    with pytest.raises(ValidationError, match=said):
        params(**changes)
    with pytest.raises(ValidationError, match="minPairs"):
        shadow.Params.model_validate_json("{}")


def test_the_candidate_never_gets_weight():
    """Only copies go to the candidate: at the start, while it waits, when it is promoted and when it is withdrawn."""
    plan = params(share=0.25)
    assert shadow.begin(plan, ("stable", "candidate")).shadows == {"candidate": 0.25}
    broken = replace(GOOD, errors=500)
    for pairs, action in ((replace(GOOD, pairs=10), "hold"), (GOOD, "promote"), (broken, "rollback")):
        found = shadow.next_step(plan, seen(pairs))
        assert found.action == action
        assert found.traffic.weights == {"stable": 1.0, "candidate": 0.0}
        assert found.traffic.shadows == ({} if action == "rollback" else {"candidate": 0.25})


def test_waiting_and_deadline():
    """Pairs and minutes are waited for, and the deadline only says that it has passed."""
    few = replace(GOOD, pairs=499, agreed=499, differences=np.zeros(499))
    assert "499 of 500" in shadow.next_step(params(), seen(few)).reason
    plan = params(minMinutes=10, deadlineMinutes=60)
    assert shadow.next_step(plan, seen(GOOD, 9)).reason == "9.0 of 10 minutes have passed"
    assert shadow.next_step(plan, seen(GOOD, 10)).action == "promote"
    late = shadow.next_step(plan, seen(few, 61))
    assert (late.action, late.reason.split(":")[0]) == ("hold", "the shadow passed its deadline of 60 minutes")
    assert "no data" in shadow.next_step(plan, seen(None, 61)).reason


def test_agreement_must_be_shown():
    """Well above the limit passes, well below it fails, and what is near it waits for more pairs."""
    for agreed, verdict, action in ((985, "pass", "promote"), (950, "inconclusive", "hold"), (900, "fail", "rollback")):
        found = shadow.next_step(params(), seen(replace(GOOD, agreed=agreed)))
        agreement = check(found, "agreement")
        assert (agreement.verdict, found.action) == (verdict, action)
        assert agreement.lower < agreed / 1000 < agreement.upper
        exact = stats.binomtest(agreed, 1000).proportion_ci(1 - 2 * agreement.alpha)
        assert agreement.lower <= exact.low <= exact.high <= agreement.upper
    assert "agreement: in 90.00% of 1000 pairs the labels agree" in found.reason


def test_pairs_with_an_error_say_nothing_about_labels():
    """What both answered is what could agree, whether or not there are scores for it."""
    scored = replace(GOOD, errors=10, stable_errors=10, agreed=990, differences=np.zeros(990))
    assert check(shadow.next_step(params(), seen(scored)), "agreement").counts == {"good": 990, "pairs": 990}
    unscored = replace(scored, agreed=950, differences=np.empty(0))
    assert check(shadow.next_step(params(), seen(unscored)), "agreement").counts == {"good": 950, "pairs": 980}
    no_labels = replace(GOOD, agreed=None)
    held = shadow.next_step(params(), seen(no_labels))
    assert (held.action, check(held, "agreement").verdict) == ("hold", "no-data")


def test_score_differences():
    """The mean of the absolute differences, and the share of large ones, are limited with bounds of their own."""
    generator = np.random.default_rng(1)
    small = replace(GOOD, pairs=4000, differences=generator.normal(0, 0.01, 4000), agreed=None)
    limits = {"maximumMean": 0.02, "maximum": 0.06}
    near = shadow.next_step(nothing_but(differences=limits), seen(small))
    assert near.action == "promote"
    mean = check(near, "mean-difference")
    assert mean.statistic == pytest.approx(np.abs(small.differences).mean())
    assert mean.lower < mean.statistic < mean.upper < 0.02
    assert check(near, "difference").counts == {"good": 4000, "pairs": 4000}
    tails = small.differences.copy()
    tails[::20] = 0.5
    wide = shadow.next_step(nothing_but(differences=limits), seen(replace(small, differences=tails)))
    assert wide.action == "rollback"
    assert (check(wide, "difference").verdict, check(wide, "mean-difference").verdict) == ("fail", "fail")
    equal = shadow.next_step(nothing_but(differences={"maximumMean": 0.02}), seen(GOOD))
    assert equal.action == "promote"
    broken = replace(GOOD, differences=np.full(1000, np.nan))
    held = shadow.next_step(nothing_but(differences={"maximumMean": 0.02}), seen(broken))
    assert (held.action, check(held, "mean-difference").verdict) == ("hold", "no-data")
    assert shadow.next_step(nothing_but(differences={"maximum": 0.02}), seen(broken)).action == "rollback"


def test_errors_and_slow_answers_are_those_of_the_same_requests():
    """What stable fails on too is not held against the candidate; what it alone fails on is."""
    both = replace(GOOD, errors=100, stable_errors=100, agreed=890, differences=np.zeros(900))
    assert shadow.next_step(params(), seen(both)).action == "promote"
    alone = replace(GOOD, errors=100, stable_errors=20, agreed=890, differences=np.zeros(900))
    found = shadow.next_step(params(), seen(alone))
    assert found.action == "rollback"
    assert "errors: candidate 10.00% of 1000, stable 2.00% of 1000 requests" in found.reason
    slow = replace(GOOD, slow=200, stable_slow=20)
    assert check(shadow.next_step(params(), seen(slow)), "slow").verdict == "fail"
    assert shadow.next_step(params(warmupRequests=200), seen(slow)).action == "promote"


def test_dropped_copies_leave_everything_open():
    """More copies never made than the limit hold the rollout, however good the others are."""
    lost = replace(GOOD, dropped=60)
    found = shadow.next_step(params(), seen(lost))
    assert (found.action, check(found, "dropped").verdict) == ("hold", "inconclusive")
    assert "60 of 1060 copies were never made (5.66%), limit 5.00%" in found.reason
    assert shadow.next_step(params(maximumDropped=0.1), seen(lost)).action == "promote"
    nothing = shadow.next_step(params(), seen(PairData(dropped=100)))
    assert (nothing.action, check(nothing, "dropped").verdict) == ("hold", "inconclusive")


def test_objections():
    """A model whose predictions have side effects gets no copies, and regressions have no labels that agree."""
    assert shadow.objections(params(), model()) == ()
    (found,) = shadow.objections(params(), model(sideEffects=True))
    assert (found.path, "side effects" in found.message, "canary" in found.hint) == ("", True, True)
    (label,) = shadow.objections(params(), model("regression"))
    assert label.path == "minimumAgreement"
    assert shadow.objections(nothing_but(), model("regression")) == ()
    assert shadow.objections(params(), model(log="off"))[0].path == ""


def _ends(seed: int, agreement: float) -> str:
    """Look after every 100 of 3,000 pairs, and return the last action."""
    agreed = np.random.default_rng(seed).binomial(100, agreement, 30).cumsum().tolist()
    for at, equal in enumerate(agreed):
        n = 100 * (at + 1)
        found = shadow.next_step(params(), seen(PairData(n, 0, 0, 0, 0, 0, equal, np.zeros(n))))
        if found.action != "hold":
            break
    return found.action


@pytest.mark.parametrize("runs", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_agreement_under_peeking(runs):
    """At the limit neither end comes more often than alpha says; away from it the right one does."""
    at_limit = [_ends(seed, 0.95) for seed in range(runs)]
    assert at_limit.count("rollback") <= 0.05 * runs
    assert at_limit.count("promote") <= 0.05 * runs
    assert [_ends(seed, 0.985) for seed in range(10)] == ["promote"] * 10
    assert [_ends(seed, 0.85) for seed in range(10)] == ["rollback"] * 10
