"""What gates find in how a model behaves: directions, segments, probabilities, faults, proxies and leaks of rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from modelops import plugins
from modelops.conformance.loans import importance, model, predict, subject, with_column
from modelops.gates import Answers
from modelops.metrics import Predictions
from modelops.spec.kinds.release import Importance


def run(key: str, params: dict[str, object], whole):
    module = plugins.load("gates", key)
    return module.evaluate(module.Params.model_validate_json(json.dumps(params)), whole.only(module.NEEDS))


def answering(score):
    """Return what asks a model whose score is a function of the frame."""

    def ask(frame):
        found = np.asarray(score(frame), dtype=float)
        return Answers((found >= 0.5).astype(float), found)

    return ask


def unsteady(seed: int = 1):
    """Return what asks a model that adds noise of its own to each answer."""
    generator = np.random.default_rng(seed)
    return lambda frame: Answers(np.ones(len(frame)), predict(frame).scores + generator.normal(0, 0.05, len(frame)))


DIRECTION = {"directions": {"income": "increasing"}, "maximum": 0.05}


def bent(income):
    """Return a score that rises with the income up to 3500, and falls again beyond."""
    return np.where(income < 3500, income / 7000, 1 - income / 7000)


def test_a_direction_is_kept_or_broken():
    """The share of pairs that contradict is that of the law, the worst feature decides, and the other way fails."""
    kept = run("monotonicity", DIRECTION, subject(1000))
    assert (kept.verdict, kept.value, kept.lower) == ("pass", 0.0, 0.0)
    assert kept.upper < 0.005
    broken = run("monotonicity", DIRECTION, subject(4000, predict=answering(lambda frame: bent(frame["income"]))))
    one, other = np.random.default_rng(0).normal(3000, 500, (2, 400_000))
    truth = float(((one - other) * (bent(one) - bent(other)) < 0).mean())
    assert truth > 0.05
    assert broken.lower <= truth <= broken.upper
    assert broken.verdict == "fail"
    both = {"directions": {"children": "increasing", "income": "decreasing"}, "maximum": 0.05}
    worst = run("monotonicity", both, subject(1000))
    assert (worst.verdict, worst.value) == ("fail", 1.0)
    assert "the worst of 2 is income" in worst.reason
    assert [row["feature"] for row in worst.details["features"]] == ["income", "children"]
    assert worst.details["sharedLevel"] == 0.975


def test_a_boolean_and_a_missing_value_make_pairs_as_others_do():
    """Rows with a missing value, and pairs of equal ones, are none; what is left is counted."""
    whole = subject(600)
    whole = with_column(whole, "income", np.where(np.arange(600) % 3 == 0, np.nan, whole.test["income"]))
    assert run("monotonicity", DIRECTION, whole).details["features"][0]["n"] == 400
    four = run("monotonicity", {"directions": {"children": "increasing"}, "maximum": 0.05}, subject(4000))
    assert four.details["features"][0]["n"] == pytest.approx(3000, abs=150)


@pytest.mark.parametrize(
    ("params", "whole", "verdict", "said"),
    [
        (DIRECTION, subject(40), "no-data", "40 test rows are fewer than 50"),
        (DIRECTION, subject(200, predict=unsteady()), "no-data", "differently when it is asked again"),
        (DIRECTION, subject(200, model=model("multiclass-classification")), "no-data", "one for each class"),
        ({"directions": {"region": "increasing"}, "maximum": 0.1}, subject(200), "no-data", "has no direction"),
        ({"directions": {"wage": "increasing"}, "maximum": 0.1}, subject(200), "no-data", "no feature named wage"),
        (DIRECTION, with_column(subject(200), "income", 3000.0, "train"), "pass", "(n 200)"),
        (DIRECTION, with_column(subject(200), "income", np.nan), "no-data", "too few pairs of different values"),
    ],
)
def test_directions_that_cannot_be_judged(params, whole, verdict, said):
    """Few rows, an unsteady model, no score, no order, no such feature and no two values are told as such."""
    found = run("monotonicity", params, whole)
    assert (found.verdict, said in found.reason) == (verdict, True), found.reason


def weak_in(whole, mask, flip=0.5, seed=3):
    """Return the subject with the labels of some rows answered at random."""
    chosen = mask & (np.random.default_rng(seed).random(len(mask)) < flip)
    wrong = np.where(chosen, 1 - whole.holdout.y_true, whole.holdout.y_pred)
    return replace(whole, holdout=replace(whole.holdout, y_pred=wrong))


SLICES = {"metric": "accuracy", "minimum": 0.6, "columns": ["sex", "region"]}


def test_a_weak_slice_where_two_segments_meet_is_found():
    """A model that is good by sex and by region, and bad for women in the north, fails there and nowhere else."""
    whole = subject(6000)
    weak = weak_in(whole, ((whole.test["sex"] == "f") & (whole.test["region"] == "north")).to_numpy(), 0.35)
    found = run("slices", SLICES | {"minimum": 0.55}, weak)
    assert found.verdict == "fail", found.reason
    assert "the worst of 11 is sex f & region north" in found.reason
    assert "also" not in found.reason
    assert (found.details["judged"], found.details["slices"][0]["slice"]) == (11, "sex f & region north")
    assert run("slices", SLICES | {"crossed": False, "minimum": 0.55}, weak).verdict == "pass"
    assert run("slices", SLICES, whole).verdict == "pass"
    loss = run("slices", {"metric": "log-loss", "maximum": 0.9, "columns": ["age"]}, whole)
    assert (loss.verdict, len(loss.details["slices"])) == ("pass", 4)


def test_the_bounds_of_the_worst_slice_count_how_many_were_looked_at():
    """The upper bound of the worst is corrected for the number of slices, the lower one is its own."""
    found = run("slices", SLICES, subject(3000))
    rows = found.details["slices"]
    assert found.lower == min(row["lower"] for row in rows)
    assert found.upper == min(row["sharedUpper"] for row in rows)
    assert all(row["sharedLower"] < row["lower"] < row["upper"] < row["sharedUpper"] for row in rows)
    assert found.details["sharedLevel"] == pytest.approx(1 - 0.05 / 11)


@pytest.mark.parametrize("far", [1.7e9, 1.7e12])
def test_numbers_that_lie_near_each_other_make_as_many_slices(far):
    """Ages, and times in seconds or milliseconds that are as far apart, are cut into the same four parts."""
    whole = subject(3000)
    parts = []
    for moved in (0.0, far):
        column = with_column(whole, "moment", whole.test["age"].to_numpy(dtype=float) + moved)
        found = run("slices", {"metric": "log-loss", "maximum": 0.9, "columns": ["moment"]}, column)
        parts.append([one["n"] for one in found.details["slices"]])
        assert len({one["slice"] for one in found.details["slices"]}) == 4
    assert parts[0] == pytest.approx(parts[1], abs=5)


def test_small_slices_are_told_and_never_named():
    """A small segment makes the verdict inconclusive, a small crossing is counted, and below ten rows none is named."""
    whole = subject(2000)
    rare = with_column(whole, "region", np.where(np.arange(2000) < 30, "island", whole.test["region"]))
    found = run("slices", SLICES, rare)
    assert (found.verdict, "region island (30 rows)" in found.reason) == ("inconclusive", True), found.reason
    assert "2 crossed slices, of 30 rows, are too small" in found.reason
    assert run("slices", SLICES | {"waive": ["region island"]}, rare).verdict == "pass"
    tiny = with_column(whole, "region", np.where(np.arange(2000) < 6, "cape", whole.test["region"]))
    found = run("slices", SLICES, tiny)
    assert (found.verdict, "1 group below 10 rows" in found.reason) == ("inconclusive", True)
    assert "cape" not in found.reason + json.dumps(found.details)
    everything = run("slices", SLICES | {"smallCrossed": "inconclusive", "waive": ["region island"]}, rare)
    assert everything.verdict == "inconclusive"


def test_a_value_that_is_spelt_like_two_is_judged_as_one():
    """What a slice is called says nothing of what it is: a small one of a single column is never passed over."""
    whole = subject(2000)
    small = np.arange(2000) < 30
    named = with_column(whole, "region", np.where(small, "isle & sex f", whole.test["region"]))
    found = run("slices", SLICES | {"columns": ["region", "sex"]}, named)
    assert (found.verdict, "region isle & sex f (30 rows)" in found.reason) == ("inconclusive", True), found.reason
    region = np.where(small, "isle & sex f", np.where(np.arange(2000) < 200, "isle", whole.test["region"]))
    both = with_column(whole, "region", region)
    found = run("slices", SLICES | {"columns": ["region", "sex"]}, both)
    assert (found.verdict, "is both a value and where two values meet" in found.reason) == ("no-data", True)


@pytest.mark.parametrize(
    ("params", "whole", "said"),
    [
        (SLICES, with_column(with_column(subject(100), "sex", "f"), "region", "north"), "all rows have the same"),
        (SLICES | {"columns": ["shoe"]}, subject(100), "no column 'shoe'"),
        (SLICES | {"columns": ["loan"], "bins": {"loan": list(range(100, 200))}}, subject(100), "group it first"),
        (SLICES, subject(60), "no slice is large enough"),
        (
            {"metric": "recall", "minimum": 0.5, "columns": ["sex"]},
            replace(subject(100), holdout=replace(subject(100).holdout, y_true=np.zeros(100))),
            "no row is positive",
        ),
    ],
)
def test_slices_that_cannot_be_judged(params, whole, said):
    """One group, no such column, too many values, small slices alone and one class are no data."""
    found = run("slices", params, whole)
    assert (found.verdict, said in found.reason) == ("no-data", True), found.reason


@pytest.mark.parametrize(
    ("key", "params", "said"),
    [
        ("slices", SLICES | {"maximum": 0.9}, "exactly one of minimum and maximum"),
        ("slices", SLICES | {"metric": "f1"}, "too coarse at the level"),
        ("slices", SLICES | {"bins": {"age": [30.0]}}, "bins cut age"),
        ("slices", SLICES | {"columns": ["sex", "sex"]}, "names each column once"),
        ("robustness", {"maximum": 0.1, "fault": "units", "noise": 0.1}, "noise is how strong the fault noise is"),
        ("robustness", {"maximum": 1.5}, "a share below 1"),
        ("robustness", {"maximum": 0.1, "fault": "units", "factor": 1.0}, "changes no unit"),
        ("permutation-importance", {"maximum": 0.1}, "name features"),
        ("monotonicity", {"directions": {"income": "up"}, "maximum": 0.1}, "increasing"),
        ("monotonicity", {"directions": {}, "maximum": 0.1}, "at least 1 item"),
        ("membership", {"maximum": 0.4}, "greater than 0.5"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(key, params, said):
    """What contradicts itself is an error of the policy."""
    with pytest.raises(ValidationError, match=said):
        plugins.load("gates", key).Params.model_validate_json(json.dumps(params))


def promised(n, bend=lambda chance: chance, seed=4):
    """Return a candidate whose scores are even on [0, 1], and what comes true a function of them."""
    generator = np.random.default_rng(seed)
    score = generator.random(n)
    true = (generator.random(n) < bend(score)).astype(float)
    binary = Predictions("binary-classification", true, (score >= 0.5).astype(float), score, (False, True))
    return replace(subject(10), holdout=binary)


def test_probabilities_are_what_they_say():
    """Scores that come true as often as they say pass; of those that are too sure the gap is the known one."""
    good = run("calibration", {"maximum": 0.06}, promised(40_000))
    assert good.verdict == "pass", good.reason
    assert good.details["expectedCalibrationError"] == pytest.approx(good.details["underCalibration"], rel=0.7)
    sure = run("calibration", {"maximum": 0.06}, promised(40_000, lambda chance: 0.5 + (chance - 0.5) * 0.5))
    assert sure.verdict == "fail"
    # The last of ten bins has scores of 0.95 on average, and comes true in 0.725.
    assert sure.lower <= 0.225 <= sure.upper
    assert "0.9" in sure.reason
    assert run("calibration", {"maximum": 0.06}, promised(400)).verdict == "inconclusive"
    assert [row["n"] for row in run("calibration", {"maximum": 0.5}, promised(120)).details["bins"]] == [60, 60]


def test_answers_of_several_classes_and_of_a_regression_are_calibrated_too():
    """The score of the answered class is held against how often it is right, and a mean answer against the truth."""
    generator = np.random.default_rng(5)
    scores = generator.dirichlet([1.0, 1, 1], 20_000)
    true = np.array([generator.choice(3, p=row) for row in scores[:6000]], dtype=float)
    several = Predictions(
        "multiclass-classification", true, scores[:6000].argmax(axis=1) * 1.0, scores[:6000], ("a", "b", "c")
    )
    assert run("calibration", {"maximum": 0.1}, replace(subject(10), holdout=several)).verdict == "pass"
    answer = generator.normal(100, 10, 6000)
    for shift, verdict in ((0.0, "pass"), (2.0, "fail")):
        truth = answer + np.where(answer > 110, shift, 0.0) + generator.normal(0, 1, 6000)
        values = replace(subject(10), holdout=Predictions("regression", truth, answer, answer))
        found = run("calibration", {"maximum": 0.8}, values)
        assert found.verdict == verdict, found.reason


@pytest.mark.parametrize(
    ("scores", "true", "said"),
    [
        (np.linspace(-3, 3, 100), np.arange(100) % 2, "are no probabilities"),
        (np.linspace(0, 1, 100), np.zeros(100), "0 rows of the rarer class"),
        (np.full(100, np.nan), np.arange(100) % 2, "not finite"),
        (np.linspace(0, 1, 40), np.arange(40) % 2, "40 rows are fewer than 50"),
    ],
)
def test_calibration_of_what_is_none(scores, true, said):
    """Margins, one class, NaN and a few rows are no data."""
    holdout = Predictions("binary-classification", true * 1.0, np.zeros(len(true)), scores, (False, True))
    found = run("calibration", {"maximum": 0.2}, replace(subject(10), holdout=holdout))
    assert (found.verdict, said in found.reason) == ("no-data", True), found.reason


def threshold(frame):
    """Answer by the income alone, which a missing one sends below the threshold."""
    return np.where(frame["income"].astype(float).fillna(0.0) > 2800, 0.9, 0.1)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        # Of the rows above 2800, which are 65.5 %, one in ten loses its income.
        ({"fault": "missing"}, 0.0655),
        ({"fault": "missing", "share": 1.0}, 0.655),
        # Thousandfold, every income is above; the 34.5 % below it change.
        ({"fault": "units", "share": 1.0, "factor": 1000.0, "columns": ["income"]}, 0.345),
        ({"fault": "clip", "clip": 0.05}, 0.0),
        # The 40 % quantile is above 2800, so that whoever is below it is cut to the other side.
        ({"fault": "clip", "clip": 0.4}, 0.345),
        ({"fault": "categories", "share": 1.0}, 0.0),
    ],
)
def test_each_fault_changes_the_share_of_labels_that_it_must(params, expected):
    """With a model of one threshold on a normal income, the share is that of the law."""
    found = run("robustness", {"maximum": 0.99, **params}, subject(6000, predict=answering(threshold)))
    assert found.value == pytest.approx(expected, abs=0.02), found.reason
    assert [point["times"] for point in found.details["curve"]] == [0.5, 1.0, 2.0]
    assert found.details["curve"][1]["loss"] == found.value
    assert found.details["alone"][0]["change"] == pytest.approx(found.value, abs=1e-9)


def test_what_a_fault_costs_is_a_metric_on_the_same_rows():
    """The loss of accuracy is what the wrong labels cost, by a paired interval, and is judged against its maximum."""
    whole = subject(6000, predict=answering(threshold))
    true = whole.test["repaid"].to_numpy()
    plain = float((threshold(whole.test) >= 0.5).astype(bool).__eq__(true).mean())
    found = run("robustness", {"maximum": 0.2, "fault": "missing", "share": 1.0, "metric": "accuracy"}, whole)
    assert found.value == pytest.approx(plain - float((~true).mean()), abs=1e-9)
    assert found.verdict == "fail"
    assert run("robustness", {"maximum": 0.2, "fault": "missing", "metric": "accuracy"}, whole).verdict == "pass"
    losses = run("robustness", {"maximum": 2.0, "fault": "missing", "metric": "log-loss"}, whole)
    assert (losses.verdict, losses.value > 0) == ("pass", True)


@pytest.mark.parametrize(
    ("params", "changes", "said"),
    [
        ({"fault": "missing", "columns": ["children"]}, {}, "no nullable feature named children"),
        ({"fault": "categories", "columns": ["income"]}, {}, "no category named income"),
        ({"fault": "noise"}, {"predict": unsteady()}, "differently when it is asked again"),
        ({"fault": "missing", "metric": "recall"}, {"flat": True}, "no row is positive"),
    ],
)
def test_faults_that_cannot_be_judged(params, changes, said):
    """A fault that meets no feature, an unsteady model and one class are no data."""
    whole = subject(200, **{name: value for name, value in changes.items() if name != "flat"})
    if "flat" in changes:
        whole = replace(whole, holdout=replace(whole.holdout, y_true=np.zeros(200)))
    found = run("robustness", {"maximum": 0.1, **params}, whole)
    assert (found.verdict, said in found.reason) == ("no-data", True), found.reason


def test_what_a_forbidden_feature_carries_is_bounded():
    """Its share of all importance decides, with the error of all; a column that is not given carries nothing."""
    named = {"maximum": 0.05, "features": ["children", "sex"]}
    passed = run("permutation-importance", named, subject(400))
    assert (passed.verdict, passed.details["notGiven"]) == ("pass", ["sex"])
    carries = subject(400, importance=importance(income=0.8, children=0.2))
    failed = run("permutation-importance", named, carries)
    assert failed.verdict == "fail"
    assert failed.value == pytest.approx(0.2 / 0.999)
    assert failed.lower < failed.value < failed.upper < 0.22
    none = run("permutation-importance", named | {"features": ["sex"]}, subject(400))
    assert (none.verdict, none.value) == ("pass", 0.0)


def test_a_proxy_is_found_and_judged_without_being_named():
    """A region that tells the sex is one by its association, and what it carries counts."""
    whole = subject(800)
    for part in ("train", "test"):
        sex = getattr(whole, part)["sex"].to_numpy()
        told = np.where(np.random.default_rng(6).random(800) < 0.9, sex, "x")
        whole = with_column(whole, "region", told, part)
    params = {"maximum": 0.05, "proxiesOf": ["sex"]}
    assert run("permutation-importance", params, whole).verdict == "pass"
    found = run("permutation-importance", params, replace(whole, importance=importance(region=0.3)))
    assert (found.verdict, "region" in found.reason) == ("fail", True), found.reason
    assert found.details["judged"][0] | {"proxy": True, "feature": "region"} == found.details["judged"][0]
    clean = run("permutation-importance", params, subject(800, importance=importance(region=0.3)))
    assert (clean.verdict, "no feature tells sex by more than" in clean.reason) == ("pass", True)


@pytest.mark.parametrize(
    ("params", "changes", "verdict", "said"),
    [
        ({"features": ["children"]}, {"importance": None}, "no-data", "could not measure"),
        ({"features": ["shoe"]}, {}, "no-data", "have shoe"),
        ({"proxiesOf": ["shoe"]}, {}, "no-data", "no column 'shoe'"),
        (
            {"features": ["children"]},
            {"importance": Importance(loss="log-loss", rows=800, features=importance().features[:1])},
            "no-data",
            "one value in the test rows",
        ),
        (
            {"features": ["children"]},
            {"importance": importance(income=0.0, children=0.0, region=0.0)},
            "no-data",
            "no feature is shown to carry the model",
        ),
    ],
)
def test_importance_that_cannot_be_judged(params, changes, verdict, said):
    """A build without it, a name that nothing has, a constant feature and a model that rests on nothing are told."""
    found = run("permutation-importance", {"maximum": 0.05, **params}, subject(200, **changes))
    assert (found.verdict, said in found.reason) == (verdict, True), found.reason


def knows_by_heart(whole, share=1.0):
    """Return the subject with a model that knows the answer to some of its training rows."""
    known = set(whole.train["loan"].to_numpy()[: int(share * len(whole.train))].tolist())

    def score(frame):
        found = predict(frame).scores
        here = frame["loan"].isin(known).to_numpy()
        return np.where(here, np.where(frame["repaid"].to_numpy(), 0.99, 0.01), found)

    return replace(whole, predict=answering(score))


@pytest.mark.parametrize(("share", "area"), [(0.0, 0.5), (0.5, 0.73), (1.0, 0.96)])
def test_a_model_that_knows_its_rows_by_heart_is_told(share, area):
    """The area is one half for a model that treats all rows alike, and rises with the share that it knows."""
    found = run("membership", {}, knows_by_heart(subject(2000), share))
    assert found.value == pytest.approx(area, abs=0.04), found.reason
    assert found.verdict == ("pass" if share == 0 else "fail")
    assert found.details["told"] == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        (subject(100), "100 training rows with a label are fewer than 200"),
        (subject(400, predict=unsteady()), "differently when it is asked again"),
        (with_column(subject(400), "repaid", None), "0 test rows with a label"),
    ],
)
def test_membership_that_cannot_be_judged(whole, said):
    """Few rows, an unsteady model and rows without a label are no data."""
    found = run("membership", {}, whole)
    assert (found.verdict, said in found.reason) == ("no-data", True), found.reason


def retrained(whole, answers):
    """Return the subject whose training with the k-th seed gives the answers that a function says of k."""
    turns = iter(range(100))
    return replace(whole, retrain=lambda seed, seconds: answers(next(turns)))


def changing(whole, *shares):
    """Return what trains models of which the k-th gives another label to the k-th share of the rows, at random."""

    def answers(turn: int) -> Answers:
        other = np.random.default_rng(turn).random(len(whole.holdout)) < shares[turn % len(shares)]
        score = np.where(other, 1 - whole.holdout.y_score, whole.holdout.y_score)
        return Answers(np.where(other, 1 - whole.holdout.y_pred, whole.holdout.y_pred), score)

    return retrained(whole, answers)


def test_other_seeds_decide_alike_or_not():
    """The share of other labels decides with its interval over seeds and rows; one odd seed makes it wide."""
    whole = subject(2000)
    even = run("stability", {"maximum": 0.08}, changing(whole, 0.05))
    assert even.verdict == "pass"
    assert even.value == pytest.approx(0.05, abs=0.006)
    assert even.lower < 0.05 < even.upper < 0.07
    assert "5 seeds, which show with 95 % what 45% of all seeds do" in even.reason
    odd = run("stability", {"maximum": 0.08}, changing(whole, 0.01, 0.01, 0.01, 0.01, 0.21))
    assert odd.value == pytest.approx(0.05, abs=0.01)
    assert (odd.verdict, odd.upper > 0.15) == ("inconclusive", True)
    assert [row["changed"] > 0.1 for row in odd.details["seeds"]] == [False] * 4 + [True]
    assert run("stability", {"maximum": 0.02}, changing(whole, 0.05)).verdict == "fail"


def test_the_spread_of_a_metric_between_seeds_is_that_of_chi_squared():
    """Accuracies of 3 seeds have the standard deviation and the bounds that a table gives; the candidate is placed."""
    whole = subject(1000)
    own = whole.holdout.y_pred == whole.holdout.y_true

    def losing(turn: int) -> Answers:
        wrong = np.flatnonzero(own)[: 10 * turn]
        labels = whole.holdout.y_pred.copy()
        labels[wrong] = 1 - labels[wrong]
        return Answers(labels, np.where(labels == whole.holdout.y_pred, whole.holdout.y_score, labels))

    params = {"metric": "accuracy", "maximum": 0.08, "seeds": 3}
    found = run("stability", params, retrained(whole, losing))
    # 2 degrees of freedom: 7.3778 and 0.050636.
    assert (found.value, found.lower, found.upper) == pytest.approx((0.01, 0.005207, 0.062847), rel=1e-3)
    assert found.verdict == "pass"
    assert found.details["worseThanCandidate"] == 2


@pytest.mark.parametrize(("params", "word"), [({}, "no-data"), ({"whenSame": "pass"}, "pass")])
def test_a_model_that_ignores_its_seed_is_told(params, word):
    """Equal answers of all seeds show nothing, and pass only where the policy says that nothing is left to chance."""
    found = run("stability", {"maximum": 0.1} | params, changing(subject(200), 0.0))
    assert found.verdict == word
    assert (
        "5 seeds give the same answers: the training does not depend on chance, or ignores its `seed`" in found.reason
    )
    assert found.details["same"] is True


def test_a_candidate_that_no_seed_gives_again_is_told():
    """Where all seeds agree and the candidate does not, it is not what its code makes here."""
    whole = subject(200)
    flipped = Answers(1 - whole.holdout.y_pred, 1 - whole.holdout.y_score)
    found = run("stability", {"maximum": 0.1, "whenSame": "pass"}, retrained(whole, lambda turn: flipped))
    assert (found.verdict, "cannot be made again here" in found.reason) == ("no-data", True)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("train.py was still training after 2 seconds", "fails: train.py was still training after 2 seconds"),
        (Answers(np.full(200, np.nan), np.full(200, np.nan)), "are not finite numbers"),
        (Answers(np.ones(200), np.ones((200, 3))), "answers (200, 3) numbers"),
    ],
)
def test_a_seed_that_gives_no_model_is_no_data(answers, said):
    """A training that fails, or answers no number, is told with its seed."""
    found = run("stability", {"maximum": 0.1}, retrained(subject(200), lambda turn: answers))
    assert (found.verdict, said in found.reason) == ("no-data", True)
    assert "the seed" in found.reason


def test_more_seeds_than_time_is_told_after_the_first(monkeypatch):
    """Who trains for 4 s a seed is not trained 5 times within 10 s; how long it takes is said."""
    now = [0.0]
    monkeypatch.setattr("modelops.gates.stability.perf_counter", lambda: now[0])
    whole = subject(200)
    asked: list[int] = []

    def slow(seed: int, seconds: float) -> Answers:
        asked.append(seed)
        now[0] += 4.0
        return Answers(whole.holdout.y_pred, whole.holdout.y_score)

    found = run("stability", {"maximum": 0.1, "seconds": 10}, replace(whole, retrain=slow))
    assert (found.verdict, len(asked)) == ("no-data", 1)
    assert "took 4 s a seed, and 5 seeds have 10 s" in found.reason


def test_a_training_that_is_cut_by_the_gates_own_limit_is_told_as_that(monkeypatch):
    """It is not the code of the training that failed: the gate asked for more than it gave time for."""
    now = [0.0]
    monkeypatch.setattr("modelops.gates.stability.perf_counter", lambda: now[0])

    def cut(seed: int, seconds: float) -> str:
        now[0] += seconds
        return f"train.py was still training after {seconds:g} seconds"

    found = run("stability", {"maximum": 0.1, "seconds": 10}, replace(subject(200), retrain=cut))
    assert found.verdict == "no-data"
    assert "0 of 5 seeds were trained within 10 s: ask for fewer seeds, or give them more seconds" in found.reason


def test_a_share_that_cannot_be_exceeded_is_no_verdict():
    """Of labels no more than all change."""
    found = run("stability", {"maximum": 1.0}, changing(subject(200), 1.0))
    assert (found.verdict, "it cannot fail" in found.reason) == ("no-data", True)
