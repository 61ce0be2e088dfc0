"""Each gate's verdicts on subjects made to earn them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from gates.subjects import FEATURES, model, predictions, profile, rows, subject, with_column
from modelops import plugins
from modelops.gates._disparity import largest_gap, proportion
from modelops.gates._leakage import association
from modelops.gates.latency import quantile_interval
from modelops.metrics import Predictions


def run(key: str, params: dict[str, object], whole):
    module = plugins.load("gates", key)
    return module.evaluate(module.Params.model_validate_json(json.dumps(params)), whole)


@pytest.mark.parametrize(
    ("params", "verdict"),
    [
        ({"metric": "roc-auc", "minimum": 0.7}, "pass"),
        ({"metric": "roc-auc", "minimum": 0.99}, "fail"),
        ({"metric": "roc-auc", "minimum": 0.8}, "inconclusive"),
        ({"metric": "log-loss", "maximum": 2.0}, "pass"),
        ({"metric": "log-loss", "maximum": 0.1}, "fail"),
        ({"metric": "recall", "minimum": 0.1, "minimumRows": 5000}, "no-data"),
        ({"metric": "precision", "minimum": 0.1, "threshold": 0.9999999}, "no-data"),
    ],
)
def test_metric_gate(params, verdict):
    """The bound decides: clear of the limit passes, beyond it fails, across it is inconclusive."""
    whole = subject()
    if params == {"metric": "roc-auc", "minimum": 0.8}:
        whole = replace(whole, holdout=whole.holdout.take(np.arange(100)))
    found = run("metric", params, whole)
    assert found.verdict == verdict, found.reason
    if verdict != "no-data":
        assert found.lower <= found.value <= found.upper
        assert found.limit in params.values()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"metric": "recall"}, "exactly one"),
        ({"metric": "recall", "minimum": 0.1, "maximum": 0.2}, "exactly one"),
        ({"metric": "recal", "minimum": 0.1}, "did you mean 'recall'"),
        ({"metric": "recall", "minimum": "0.1"}, "valid number"),
        ({"metric": "recall", "minimum": 0.1, "level": 1.0}, "less than 1"),
    ],
)
def test_metric_parameters(params, said):
    """Wrong parameters are refused with what is wrong."""
    with pytest.raises(ValidationError, match=said):
        plugins.load("gates", "metric").Params.model_validate(params)


def test_champion_margin():
    """The same candidate passes with room, is inconclusive with none, and a worse one fails."""
    whole = subject(300)
    better = {"metric": "log-loss", "margin": 0.05}
    assert run("champion", better, whole).verdict == "pass"
    even = replace(whole, champion=predictions(whole.test, seed=9))
    assert run("champion", {"metric": "log-loss", "margin": 0.0}, even).verdict == "inconclusive"
    worse = replace(whole, holdout=predictions(whole.test, noise=3000.0))
    found = run("champion", better, worse)
    assert found.verdict == "fail"
    assert found.value < -0.05
    assert "release 3" in found.reason


def test_champion_absent_or_on_other_rows():
    """A first release has no champion and says so; predictions of other rows are no data."""
    whole = subject(300)
    alone = replace(whole, champion=None, champion_release=None)
    assert run("champion", {"metric": "f1", "margin": 0.0}, alone).verdict == "pass"
    assert "no stable release" in run("champion", {"metric": "f1", "margin": 0.0}, alone).reason
    assert run("champion", {"metric": "f1", "margin": 0.0, "whenAbsent": "no-data"}, alone).verdict == "no-data"
    unlike = replace(whole, champion=None, incomparable="there is no column 'age'")
    found = run("champion", {"metric": "f1", "margin": 0.0}, unlike)
    assert (found.verdict, "no column 'age'" in found.reason) == ("no-data", True)
    other = replace(whole, champion=predictions(rows(300, 99)))
    assert "same rows" in run("champion", {"metric": "f1", "margin": 0.0}, other).reason


def test_champion_needs_a_direction_and_a_margin():
    """Bias has no better or worse, and the margin is a decision that must be written down."""
    params = plugins.load("gates", "champion").Params
    with pytest.raises(ValidationError, match="bias"):
        params.model_validate({"metric": "bias", "margin": 0.0})
    with pytest.raises(ValidationError, match="margin"):
        params.model_validate({"metric": "f1"})


def _biased(whole, shift: float):
    """Return the subject with a candidate that wants more of women."""
    score = whole.holdout.y_score - np.where(whole.test["sex"] == "f", shift, 0.0)
    return replace(whole, holdout=replace(whole.holdout, y_pred=(score >= 0.5).astype(float)))


@pytest.mark.parametrize("metric", ["demographic-parity", "equal-opportunity", "equalized-odds", "accuracy-difference"])
def test_fairness_verdicts(metric):
    """A fair candidate passes, a biased one fails, few rows cannot tell, and the table shows both groups."""
    params = {"metric": metric, "column": "sex", "maximum": 0.15}
    fair = run("fairness", params, subject(3000))
    assert fair.verdict == "pass", fair.reason
    assert [row["group"] for row in fair.details["groups"]] == ["f", "m"]
    biased = run("fairness", params, _biased(subject(3000), 0.6))
    assert biased.verdict == "fail", biased.reason
    assert biased.lower > 0.15
    assert run("fairness", params | {"maximum": 0.05}, subject(200)).verdict == "inconclusive"


def test_fairness_of_small_groups_is_inconclusive_unless_waived():
    """A group of eight is never lucky: it is named, its rate withheld, and only a written waiver sets it aside."""
    whole = subject(2000)
    whole = with_column(whole, "sex", np.where(np.arange(2000) < 8, "x", whole.test["sex"]))
    params = {"metric": "demographic-parity", "column": "sex", "maximum": 0.15}
    found = run("fairness", params, whole)
    assert found.verdict == "inconclusive"
    assert "x (8 rows)" in found.reason
    assert [row["selectionRate"] for row in found.details["groups"] if row["group"] == "x"] == [None]
    assert run("fairness", params | {"waive": ["x"]}, whole).verdict == "pass"
    biased = run("fairness", params, _biased(whole, 0.45))
    assert biased.verdict == "fail"


def test_fairness_needs_enough_of_the_label():
    """A group without positives has no true positive rate, which is inconclusive and not a rate of zero."""
    whole = subject(1000)
    true = np.where((whole.test["sex"] == "f") & (np.cumsum(whole.test["sex"] == "f") > 3), 0.0, whole.holdout.y_true)
    whole = replace(whole, holdout=replace(whole.holdout, y_true=true))
    found = run("fairness", {"metric": "equal-opportunity", "column": "sex", "maximum": 0.2}, whole)
    assert found.verdict == "inconclusive"
    assert "truePositiveRate" in found.reason


def test_fairness_groups_of_numbers_and_gaps():
    """A number is cut at the bins or at quartiles, few values are groups, and a missing one is a group of its own."""
    whole = subject(2000)
    params = {"metric": "accuracy-difference", "column": "age", "maximum": 0.2}
    binned = run("fairness", params | {"bins": [30.0, 50.0]}, whole)
    assert [row["group"] for row in binned.details["groups"]] == ["30 to 50", "50 and above", "below 30"]
    assert len(run("fairness", params, whole).details["groups"]) == 4
    coded = with_column(whole, "age", np.where(np.arange(2000) % 3 == 0, np.nan, np.arange(2000) % 2 + 1.0))
    assert [row["group"] for row in run("fairness", params, coded).details["groups"]] == ["(missing)", "1", "2"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"metric": "demographic-parity", "column": "gender"}, "no column 'gender'"),
        ({"metric": "mae-difference", "column": "sex"}, "not defined for binary-classification"),
        ({"metric": "demographic-parity", "column": "loan_text"}, "more than 50"),
        ({"metric": "demographic-parity", "column": "constant"}, "same constant"),
    ],
)
def test_fairness_without_data(params, said):
    """What cannot be compared is no data with the reason."""
    whole = subject(300)
    whole = with_column(whole, "loan_text", [f"l{i}" for i in range(300)])
    whole = with_column(whole, "constant", ["a"] * 300)
    found = run("fairness", params | {"maximum": 0.1}, whole)
    assert found.verdict == "no-data"
    assert said in found.reason


def test_fairness_of_regression():
    """Mean absolute errors are compared in the unit of the target."""
    whole = subject(1000)
    true = whole.test["income"].to_numpy()
    noise = np.random.default_rng(1).normal(0, 100, 1000)
    even = Predictions("regression", true, true + noise, true + noise)
    skewed = true + noise * np.where(whole.test["sex"] == "f", 4.0, 1.0)
    params = {"metric": "mae-difference", "column": "sex", "maximum": 40.0}
    whole = replace(whole, model=model("regression"), holdout=even)
    assert run("fairness", params, whole).verdict == "pass"
    uneven = replace(whole, holdout=Predictions("regression", true, skewed, skewed))
    found = run("fairness", params, uneven)
    assert found.verdict == "fail"
    assert found.value == pytest.approx(240, abs=40)


def test_simultaneous_gap_holds_the_truth():
    """With five equal groups of 60 the largest observed gap is far from zero, yet the interval holds the true zero."""
    generator, misses, observed = np.random.default_rng(11), 0, []
    for _ in range(150):
        rates = [proportion(str(g), int(generator.binomial(60, 0.3)), 60, generator) for g in range(5)]
        gap = largest_gap([rates], 0.9)
        misses += gap.lower > 0
        observed.append((gap.value, gap.under_parity))
    assert misses <= 0.18 * 150
    value, expected = np.mean(observed, axis=0)
    assert value > 0.1
    assert expected == pytest.approx(value, rel=0.15)


@pytest.mark.parametrize(
    ("params", "milliseconds", "verdict"),
    [
        ({"p50Ms": 3.0}, 2.0, "pass"),
        ({"p50Ms": 1.0}, 2.0, "fail"),
        ({"p99Ms": 3.0}, 2.0, "pass"),
        ({"maximumBytes": 20_000}, 2.0, "pass"),
        ({"maximumBytes": 19_999}, 2.0, "fail"),
        ({"p50Ms": 1.0, "maximumBytes": 20_000}, 2.0, "fail"),
    ],
)
def test_latency_verdicts(params, milliseconds, verdict):
    """Every declared maximum must hold."""
    found = run("latency", params, subject(60, latency=np.full(400, milliseconds / 1000)))
    assert found.verdict == verdict, found.reason
    assert found.details["samples"] == 400


def test_few_timings_do_not_bound_the_tail():
    """Below 368 timings nothing bounds the 99th percentile from above, however fast they are."""
    few = run("latency", {"p99Ms": 50.0}, subject(60, latency=np.full(300, 0.001)))
    assert few.verdict == "inconclusive"
    assert "300 timings are too few" in few.reason
    assert few.upper is None
    slow = run("latency", {"p99Ms": 0.5}, subject(60, latency=np.full(300, 0.001)))
    assert slow.verdict == "fail"
    with pytest.raises(ValidationError, match="at least one"):
        plugins.load("gates", "latency").Params.model_validate({})


def test_order_statistics_cover():
    """The interval of the 90th percentile holds the truth in at least 0.9 of 300 samples of 200."""
    generator, hits = np.random.default_rng(3), 0
    truth = stats.expon.ppf(0.9)
    for _ in range(300):
        value, lower, upper = quantile_interval(np.sort(generator.exponential(size=200)), 0.9, 0.9)
        assert lower <= value <= upper
        hits += lower <= truth <= upper
    assert hits / 300 >= 0.88
    assert quantile_interval(np.ones(368), 0.99, 0.95)[2] == 1.0
    assert quantile_interval(np.ones(367), 0.99, 0.95)[2] == np.inf


def _with_train_rows_in_test(whole):
    test = whole.test.copy()
    names = [feature.name for feature in FEATURES]
    test.loc[:99, names] = whole.train.loc[:99, names].to_numpy()
    return replace(whole, test=test.astype(whole.test.dtypes))


CORRUPTIONS = {
    "column income dropped": (lambda s: replace(s, test=s.test.drop(columns="income")), "absent: income"),
    "declared column dropped": (lambda s: replace(s, train=s.train.drop(columns="loan")), "absent: loan"),
    "text in a number": (lambda s: with_column(s, "income", ["much"] * 800), "'much' is not a number"),
    "half missing": (lambda s: with_column(s, "income", np.nan), "missing share of income"),
    "missing where not nullable": (
        lambda s: with_column(s, "region", [None, *s.test["region"][1:]]),
        "region is not nullable but 1 of 1600",
    ),
    "fractions": (lambda s: with_column(s, "children", 0.5, "train"), "declared integer"),
    "constant": (lambda s: with_column(s, "region", "north", "train"), "region has the same value"),
    "duplicates": (
        lambda s: replace(s, train=pd.concat([s.train, s.train.iloc[:200]], ignore_index=True)),
        "repeat an earlier row",
    ),
    "leaked rows": (_with_train_rows_in_test, "features of a training row: 0.125"),
    "shared ids": (lambda s: with_column(s, "loan", s.train["loan"]), "whose loan is in the training rows: 1"),
    "leaked target": (
        lambda s: with_column(s, "income", s.test["repaid"] * 1.0 + np.arange(800) * 1e-6),
        "may hold the answer",
    ),
    "leaked target as category": (
        lambda s: with_column(s, "region", np.where(s.test["repaid"], "paid", "defaulted")),
        "may hold the answer",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_data_quality_names_what_is_wrong(name):
    """Each corruption of good data fails and is named with its column and count."""
    corrupt, said = CORRUPTIONS[name]
    found = run("data-quality", {}, corrupt(subject(800)))
    assert found.verdict == "fail"
    assert said in found.reason


def test_data_quality_limits_can_be_set():
    """A column has its own limit of missing values, and a constant feature may be allowed."""
    half = with_column(subject(800), "income", np.nan)
    assert run("data-quality", {"missing": {"income": 0.6}}, half).verdict == "pass"
    constant = with_column(subject(800), "region", "north", "train")
    assert run("data-quality", {"allowConstant": True}, constant).verdict == "pass"
    assert run("data-quality", {"minimumRows": 900}, subject(800)).verdict == "no-data"


@pytest.mark.parametrize("task", ["multiclass-classification", "regression"])
def test_association_of_other_tasks(task):
    """Rank correlation and one-against-the-rest areas see a monotone copy of the target, and not noise."""
    generator = np.random.default_rng(1)
    target = generator.integers(0, 3, 300).astype(float) if task.startswith("multi") else generator.normal(size=300)
    copy, noise = np.exp(target), generator.normal(size=300)
    assert association(task, copy, target)[1] > 0.95
    assert association(task, noise, target)[0] < 0.65
    expected = abs(stats.spearmanr(noise, target).statistic)
    if task == "regression":
        assert association(task, noise, target)[0] == pytest.approx(expected)
    assert association(task, np.full(300, np.nan), target) in (None, (0.5, pytest.approx(0.4, abs=0.15)))


def test_drift_gate():
    """Unchanged data pass, a shifted feature fails by name, and few rows leave chance as an explanation."""
    whole = subject(2000)
    assert run("drift", {}, whole).verdict == "pass"
    shifted = with_column(whole, "income", whole.train["income"] + 800, "train")
    found = run("drift", {}, shifted)
    assert found.verdict == "fail"
    assert "income" in found.reason
    assert found.value > 0.25
    assert run("drift", {"columns": ["region"]}, shifted).verdict == "pass"
    new = with_column(whole, "region", ["east"] * 2000, "train")
    assert "region" in run("drift", {}, new).reason
    tiny = replace(whole, train=whole.train.iloc[:20], champion_profile=profile(whole.train.iloc[100:130]))
    assert run("drift", {"minimumRows": 10}, tiny).verdict == "inconclusive"


def test_drift_gate_without_counterpart():
    """No stable release is a pass by default; a profile without a common feature is no data."""
    whole = subject(500)
    alone = replace(whole, champion_profile=None)
    assert run("drift", {}, alone).verdict == "pass"
    assert run("drift", {"whenAbsent": "no-data"}, alone).verdict == "no-data"
    assert run("drift", {}, replace(whole, champion_profile={})).verdict == "no-data"
    swapped = {"region": whole.champion_profile["income"]}
    assert "changed type" in run("drift", {}, replace(whole, champion_profile=swapped)).reason


def test_champion_counts_what_the_metric_rests_on():
    """A thousand rows with one positive cannot compare areas, whatever the interval says."""
    whole = subject(1000)
    true = np.zeros(1000)
    true[3] = 1.0
    generator = np.random.default_rng(0)
    better, worse = (replace(whole.holdout, y_true=true, y_score=generator.random(1000)) for _ in range(2))
    better.y_score[3] = 0.99
    found = run("champion", {"metric": "roc-auc", "margin": 0.1}, replace(whole, holdout=better, champion=worse))
    assert found.verdict == "no-data"
    assert "compared on 1 rows" in found.reason
