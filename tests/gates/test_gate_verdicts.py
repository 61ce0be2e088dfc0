"""Each gate's verdicts on subjects made to earn them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from modelops import plugins
from modelops.conformance.loans import FEATURES, model, predictions, profile, rows, subject, with_column
from modelops.gates import Answers
from modelops.metrics import Predictions
from modelops.spec.kinds.model import Feature
from modelops.statistics.association import association
from modelops.statistics.determination import determining
from modelops.statistics.disparity import largest_gap, proportion
from modelops.statistics.intervals import quantile_interval


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


def test_champion_counts_only_rows_that_neither_has_seen():
    """A stable release that knows rows by heart is compared on the others, and not at all where too few are left."""
    whole = subject(600)
    seen = np.arange(600) < 300
    truth = whole.holdout.y_true
    by_heart = replace(whole.champion, y_score=np.where(seen, truth, whole.champion.y_score))
    whole = replace(whole, champion=by_heart, unseen=~seen)
    params = {"metric": "roc-auc", "margin": 0.05}
    found = run("champion", params, whole)
    assert found.verdict == "pass", found.reason
    assert "300 of 600 test rows do not count, as they trained release 3 or the candidate" in found.reason
    assert found.details == {"testRows": 600, "unseenRows": 300}
    assert run("champion", params, replace(whole, unseen=np.ones(600, dtype=bool))).verdict == "fail"
    few = run("champion", params | {"minimumRows": 2}, replace(whole, unseen=np.arange(600) >= 592))
    assert (few.verdict, "does not hold with" in few.reason) == ("no-data", True)
    none = run("champion", params, replace(whole, unseen=np.zeros(600, dtype=bool)))
    assert (none.verdict, "600 of 600 test rows" in none.reason) == ("no-data", True)


def test_no_policy_asks_less_than_an_interval_takes():
    """With `minimumRows: 2` three positives still decide nothing."""
    rows_of = Predictions(
        "binary-classification", np.r_[np.ones(3), np.zeros(97)], np.zeros(100), np.linspace(1, 0, 100)
    )
    few = replace(subject(100), holdout=rows_of)
    found = run("metric", {"metric": "roc-auc", "minimum": 0.5, "minimumRows": 2}, few)
    assert (found.verdict, "does not hold with 3 rows of the rarer class" in found.reason) == ("no-data", True)


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


def _equal_alone(n: int = 4000) -> object:
    """Return a candidate that wants less of young women and old men, and so treats each sex and each age alike."""
    whole = subject(n)
    young, woman = np.arange(n) % 2 == 0, np.arange(n) // 2 % 2 == 0
    whole = with_column(whole, "age", np.where(young, "young", "old"))
    whole = with_column(whole, "sex", np.where(woman, "f", "m"))
    score = whole.holdout.y_score - np.where(young == woman, 0.25, 0.0)
    return replace(whole, holdout=replace(whole.holdout, y_pred=(score >= 0.5).astype(float)))


def test_fairness_of_crossed_groups():
    """What is alike by sex and by age is not where both are crossed; each column alone is looked at as well."""
    whole = _equal_alone()
    params = {"metric": "demographic-parity", "maximum": 0.1}
    for column in ("sex", "age"):
        assert run("fairness", params | {"column": column}, whole).verdict == "pass"
    crossed = run("fairness", params | {"columns": ["sex", "age"]}, whole)
    assert crossed.verdict == "fail", crossed.reason
    assert "by sex and age" in crossed.reason
    assert {"sex f", "age old", "sex f & age young"} <= {row["group"] for row in crossed.details["groups"]}
    biased = run("fairness", params | {"columns": ["sex", "region"]}, _biased(subject(4000), 0.6))
    assert biased.verdict == "fail"
    few = run("fairness", params | {"columns": ["sex", "age"]}, subject(120))
    assert few.verdict == "inconclusive"
    assert "too small" in few.reason


def test_groups_whose_names_look_alike_are_two():
    """A value with the sign that stands between crossed columns is told apart from two values."""
    whole = subject(400)
    half = np.arange(400) % 2 == 0
    test = whole.test.assign(sex=np.where(half, "f", "f & region n"), region=np.where(half, "n & region s", "s"))
    found = run(
        "fairness",
        {"metric": "demographic-parity", "maximum": 1.0, "columns": ["sex", "region"]},
        replace(whole, test=test),
    )
    names = {row["group"] for row in found.details["groups"]}
    assert names >= {'sex f & region "n & region s"', 'sex "f & region n" & region s'}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "exactly one of column and columns"),
        ({"column": "sex", "columns": ["sex", "age"]}, "exactly one of column and columns"),
        ({"columns": ["sex"]}, "two or more"),
        ({"columns": ["sex", "sex"]}, "each once"),
        ({"columns": ["sex", "age"], "bins": [3.0]}, "bins"),
    ],
)
def test_fairness_names_its_columns_once(params, said):
    """One column, or several of which each is named once."""
    with pytest.raises(ValidationError, match=said):
        run("fairness", {"metric": "demographic-parity", "maximum": 0.1} | params, subject(10))


def test_fairness_of_small_groups_is_inconclusive_unless_waived():
    """A group of eight is never lucky: neither label nor rate is told, and only a written waiver sets it aside."""
    whole = subject(2000)
    whole = with_column(whole, "sex", np.where(np.arange(2000) < 8, "x", whole.test["sex"]))
    params = {"metric": "demographic-parity", "column": "sex", "maximum": 0.15}
    found = run("fairness", params, whole)
    assert found.verdict == "inconclusive"
    assert "1 group below 10 rows" in found.reason
    assert found.details["groups"][0] == {"group": "1 group below 10 rows", "n": 8, "status": "too small"}
    assert "x" not in {row["group"] for row in found.details["groups"]}
    waived = run("fairness", params | {"waive": ["x"]}, whole)
    assert waived.verdict == "pass"
    assert [(row["n"], row["selectionRate"]) for row in waived.details["groups"] if row["group"] == "x"] == [(8, None)]
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


def everywhere(whole, name, made):
    """Return a subject with one column of all rows made from the others."""
    for part in ("train", "test"):
        whole = with_column(whole, name, made(getattr(whole, part)), part)
    return whole


CORRUPTIONS = {
    "column income dropped": (lambda s: replace(s, test=s.test.drop(columns="income")), "absent: income"),
    "declared column dropped": (lambda s: replace(s, train=s.train.drop(columns="loan")), "absent: loan"),
    "text in a number": (
        lambda s: with_column(s, "income", ["much"] * 800),
        "column 'income', row 1: its value cannot be read",
    ),
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
        lambda s: everywhere(s, "income", lambda part: part["repaid"] * 1.0 + np.arange(800) * 1e-6),
        "income alone determines repaid in all 1600 rows: it holds the answer",
    ),
    "leaked target as category": (
        lambda s: everywhere(s, "region", lambda part: np.where(part["repaid"], "paid", "defaulted")),
        "region alone determines repaid",
    ),
    "leaked target with a few exceptions": (
        lambda s: everywhere(s, "income", lambda part: np.where(np.arange(800) % 160, part["repaid"] * 1.0, 0.5)),
        "income alone ranks the target by",
    ),
    "leaked target in two columns": (
        lambda s: everywhere(s, "income", lambda part: part["children"] + np.where(part["repaid"], 1, -1)),
        "the difference of income and children determines repaid",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_data_quality_names_what_is_wrong(name):
    """Each corruption of good data fails and is named with its column and count."""
    corrupt, said = CORRUPTIONS[name]
    found = run("data-quality", {}, corrupt(subject(800)))
    assert found.verdict == "fail"
    assert said in found.reason


def planted(kind: str, n: int = 1000) -> pd.DataFrame:
    """Return a column that gives the target of the loans away, or hints at it."""
    generator = np.random.default_rng(3)

    def made(part: pd.DataFrame) -> np.ndarray:
        good = part["repaid"].to_numpy()
        match kind:
            case "noise":
                return good + generator.normal(0, 0.2, len(good))
            case "hint":
                return good + generator.normal(0, 0.35, len(good))
            case "presence":
                return np.where(~good & (generator.random(len(good)) < 0.8), 5.0, np.nan)
            case _:
                return np.array([("A" if one else "B") + f"{generator.integers(10**7):07d}" for one in good], object)

    return made


@pytest.mark.parametrize(
    ("kind", "verdict", "said"),
    [
        ("noise", "fail", "new alone ranks the target by"),
        ("hint", "pass", "known before the target is? new alone ranks the target by 0.9"),
        ("presence", "fail", "whether new has a value tells repaid in most rows of a label"),
        ("reference", "fail", "the beginning of new alone determines repaid in all"),
    ],
)
def test_leaks_that_are_no_copy(kind, verdict, said):
    """Noise around the answer, a value that only one answer has, and a telling prefix are refused; a hint is asked."""
    whole = everywhere(subject(1000), "new", planted(kind))
    feature = Feature(name="new", type="category" if kind == "reference" else "number", nullable=True)
    whole = replace(whole, model=with_features(whole.model, feature))
    found = run("data-quality", {"maximumMissing": 0.99}, whole)
    assert (found.verdict, said in found.reason) == (verdict, True), found.reason
    why = feature.model_copy(update={"known_at_prediction": "it is asked at the counter"})
    known = run("data-quality", {"maximumMissing": 0.99}, replace(whole, model=with_features(subject(10).model, why)))
    assert known.verdict == "pass", known.reason
    if verdict == "fail" and kind != "noise":
        assert "it is asked at the counter" in known.reason


def with_features(spec, *more: Feature):
    return spec.model_copy(update={"data": spec.data.model_copy(update={"features": (*FEATURES, *more)})})


def test_rows_of_few_values_may_repeat():
    """Three columns of few values allow no more rows than there are: that these repeat is no sign of copies."""
    whole = everywhere(subject(900), "income", lambda part: np.where(part["repaid"], 1.0, 0.0) * (part.index % 3))
    whole = everywhere(whole, "loan", lambda part: np.zeros(len(part)))
    whole = everywhere(whole, "age", lambda part: np.zeros(len(part)))
    found = run("data-quality", {"maximumSharedIds": 0.999999, "maximumAssociation": 1.0}, whole)
    reasons = " ".join(check["reason"] for check in found.details["checks"])
    assert "have few values" in reasons


def test_a_column_that_is_known_beforehand_may_give_the_answer():
    """With the reason under the feature a copy passes, and the reason is among the details that are signed."""
    whole = everywhere(subject(800), "income", lambda part: part["repaid"] * 1.0)
    features = tuple(
        feature.model_copy(update={"known_at_prediction": "paid in advance"}) if feature.name == "income" else feature
        for feature in whole.model.data.features
    )
    data = whole.model.data.model_copy(update={"features": features})
    known = whole.with_parts({"model": whole.model.model_copy(update={"data": data})})
    params = {"maximumDuplicates": 1.0, "maximumLeakage": 1.0}
    assert run("data-quality", params, whole).verdict == "fail"
    found = run("data-quality", params, known)
    assert found.verdict == "pass"
    assert "known at prediction time (income: paid in advance)" in json.dumps(found.details)


def test_a_column_that_tells_one_class_is_no_answer():
    """Of seven classes a column that tells one and nothing of the others is honest; one that tells all is not."""
    generator = np.random.default_rng(4)
    target = np.repeat(np.arange(7.0), 330)
    one = np.where(target == 3, generator.normal(9, 1, len(target)), generator.normal(0, 1, len(target)))
    codes = np.array([4.0, 0.0, 6.0, 2.0, 5.0, 1.0, 3.0])[target.astype(int)]
    near = np.where(generator.random(len(target)) < 0.002, 0.0, codes)
    assert association(one, target, classes=True)[0] < 0.7
    assert association(near, target, classes=True)[1] > 0.99
    assert determining({"one": one}, target, classes=True) == ()
    assert [found.columns for found in determining({"codes": codes}, target, classes=True)] == [("codes",)]


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
    copy, noise, classes = np.exp(target), generator.normal(size=300), task != "regression"
    assert association(copy, target, classes=classes)[1] > 0.95
    assert association(noise, target, classes=classes)[0] < 0.65
    expected = abs(stats.spearmanr(noise, target).statistic)
    if task == "regression":
        assert association(noise, target, classes=classes)[0] == pytest.approx(expected)
    assert association(np.full(300, np.nan), target, classes=classes) is None


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


def test_drift_gate_takes_any_score():
    """Another score brings its own limit, leaves out what it cannot score, and is checked with the policy."""
    whole = subject(2000)
    shifted = with_column(whole, "income", whole.train["income"] + 800, "train")
    other = {"score": {"type": "kolmogorov-smirnov"}}
    quiet, found = run("drift", other, whole), run("drift", other, shifted)
    assert (quiet.verdict, found.verdict, found.limit) == ("pass", "fail", 0.2)
    assert found.reason.startswith("KS above 0.2: income ")
    assert found.details["notComparable"] == ["region"]
    assert run("drift", other | {"maximum": 0.99}, shifted).verdict == "pass"
    for score in ({"type": "kolmogoroff"}, {"type": "psi", "params": {"binz": 3}}):
        with pytest.raises(ValueError, match=r"kolmogoroff|binz"):
            plugins.load("gates", "drift").Params.model_validate({"score": score})


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


def answers_by(rule):
    """Return a predictor whose scores are a function of the income."""

    def predict(test):
        score = rule(test["income"].astype(float).fillna(3000.0).to_numpy())
        return Answers((score >= 0.5).astype(float), score)

    return predict


def test_robustness_asks_the_model_itself():
    """A smooth model passes, one that hangs on the last digit fails, and the feature that does it is named."""
    smooth = run("robustness", {"maximum": 0.1}, subject(1000))
    assert smooth.verdict == "pass", smooth.reason
    assert 0 < smooth.lower <= smooth.value <= smooth.upper <= 0.1
    hanging = subject(1000, predict=answers_by(lambda income: (np.floor(income) % 2).astype(float)))
    found = run("robustness", {"maximum": 0.1}, hanging)
    assert found.verdict == "fail"
    assert found.value == pytest.approx(0.5, abs=0.1)
    assert found.details["alone"][0]["feature"] == "income"
    assert found.details["alone"][1] == {"feature": "children", "change": 0.0}
    assert run("robustness", {"maximum": 0.1, "columns": ["children"]}, hanging).value == 0.0


def test_robustness_of_what_cannot_be_disturbed_is_no_data():
    """Few rows, a column that is no number, and answers that are none are said to be that."""
    few = run("robustness", {"maximum": 0.1}, subject(40))
    assert (few.verdict, "40 test rows" in few.reason) == ("no-data", True)
    named = run("robustness", {"maximum": 0.1, "columns": ["region", "income"]}, subject(100))
    assert (named.verdict, "named region" in named.reason) == ("no-data", True)
    missing = with_column(subject(100), "income", np.where(np.arange(100) < 50, np.nan, 3000.0))
    assert run("robustness", {"maximum": 0.2}, missing).verdict == "pass"


def test_robustness_of_a_regression_is_a_share_of_the_spread():
    """With noise of 5 % a linear answer moves by 5 % of its spread times the mean of a half-normal."""
    linear = subject(2000, model=model("regression"), predict=answers_by(lambda income: income * 7))
    found = run("robustness", {"maximum": 0.1}, linear)
    assert found.value == pytest.approx(0.05 * np.sqrt(2 / np.pi), rel=0.1)
    assert found.verdict == "pass"
    constant = subject(200, model=model("regression"), predict=answers_by(np.zeros_like))
    assert run("robustness", {"maximum": 0.1}, constant).verdict == "no-data"


def weighed(n: int = 800, heavy: float = 9.0):
    """The good candidate, whose test rows count for 1 or for more; every fourth does."""
    whole = subject(n)
    weight = np.where(np.arange(n) % 4 == 0, heavy, 1.0)
    data = whole.model.data.model_copy(update={"weight": "w"})
    return whole.with_parts(
        {
            "model": whole.model.model_copy(update={"data": data}),
            "train": whole.train.assign(w=weight),
            "test": whole.test.assign(w=weight),
            "holdout": replace(whole.holdout, sample_weight=weight),
            "champion": replace(whole.champion, sample_weight=weight),
        }
    )


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("metric", {"metric": "roc-auc", "minimum": 0.6}),
        ("champion", {"metric": "accuracy", "margin": 0.3}),
        ("fairness", {"metric": "equalized-odds", "column": "sex", "maximum": 0.9}),
        ("robustness", {"maximum": 0.5}),
    ],
)
def test_verdicts_on_weighted_rows_are_weighted_and_say_so(key, params):
    """The value is another one than of rows that count the same, the interval wider, the reason names the column."""
    plain, found = run(key, params, subject()), run(key, params, weighed())
    assert found.verdict == "pass", found.reason
    assert "weighted by w, worth" in found.reason
    assert found.value != plain.value
    assert found.upper - found.lower > plain.upper - plain.lower
    alike = weighed(heavy=1.0)
    same = run(key, params, alike)
    assert (same.value, same.lower, same.upper, same.reason) == (plain.value, plain.lower, plain.upper, plain.reason)


def test_a_few_rows_that_weigh_all_are_no_data():
    """Gates count what rows are worth, not how many there are; data quality says what weights leave."""
    heavy = weighed(heavy=1.0)
    weight = np.ones(800)
    weight[:10] = 1e6
    few = heavy.with_parts(
        {
            "test": heavy.test.assign(w=weight),
            "holdout": replace(heavy.holdout, sample_weight=weight),
            "champion": replace(heavy.champion, sample_weight=weight),
        }
    )
    assert run("metric", {"metric": "accuracy", "minimum": 0.1}, few).verdict == "no-data"
    assert run("champion", {"metric": "accuracy", "margin": 0.5}, few).verdict == "no-data"
    fair = run("fairness", {"metric": "demographic-parity", "column": "sex", "maximum": 0.9}, few)
    assert "rows' worth" in fair.reason
    quality = run("data-quality", {"maximumMissing": 0.99}, few)
    assert quality.verdict == "no-data"
    assert "leave what 10 are worth" in quality.reason


@pytest.mark.parametrize("copied", [0, 120])
def test_copies_among_one_feature_are_seen(copied):
    """One column of numbers has as many values as rows and is no column of few values: rows that are copied fail."""
    whole = subject(400)
    only = tuple(feature for feature in whole.model.data.features if feature.name == "income")
    data = whole.model.data.model_copy(update={"features": only, "sensitive": (), "id": None})
    parts = {
        name: pd.DataFrame({"income": part["income"], "repaid": part["repaid"]})
        for name, part in (("train", whole.train), ("test", whole.test))
    }
    if copied:
        parts["test"].iloc[:copied] = parts["train"].iloc[:copied]
    one = replace(whole, model=whole.model.model_copy(update={"data": data}), declared_columns={}).with_parts(parts)
    found = run("data-quality", {"maximumAssociation": 1.0}, one)
    assert found.verdict == ("fail" if copied else "pass"), found.reason
    if copied:
        assert "repeat an earlier row" in found.reason
        assert "features of a training row" in found.reason


def test_what_a_row_counts_for_makes_it_no_other_row():
    """Copies are known by features, target, id and time; other weights, or columns beside, hide none of them."""
    whole = subject(400)
    data = whole.model.data.model_copy(update={"id": None, "weight": "w"})
    twice = {
        name: pd.concat([part, part], ignore_index=True).assign(w=1 + np.arange(800) / 800, note=np.arange(800))
        for name, part in (("train", whole.train), ("test", whole.test))
    }
    copied = replace(whole, model=whole.model.model_copy(update={"data": data})).with_parts(twice)
    found = run("data-quality", {"maximumMissing": 0.99}, copied)
    assert (found.verdict, "repeat an earlier row: 0.5" in found.reason) == ("fail", True), found.reason


@pytest.mark.parametrize("seed", range(3))
def test_whole_percents_and_what_follows_from_them_are_no_copies(seed):
    """A hundred values of a feature in six hundred rows repeat with their labels, and nobody copied a row."""
    generator = np.random.default_rng(seed)
    whole = subject(400)
    only = tuple(feature for feature in whole.model.data.features if feature.name == "income")
    data = whole.model.data.model_copy(update={"features": only, "sensitive": (), "id": None})
    percent = generator.integers(0, 101, 800).astype(np.float64)
    table = pd.DataFrame({"income": percent, "repaid": percent + generator.normal(0, 20, 800) > 50})
    parts = {"train": table[:600].reset_index(drop=True), "test": table[600:].reset_index(drop=True)}
    coarse = replace(whole, model=whole.model.model_copy(update={"data": data}), declared_columns={}).with_parts(parts)
    found = run("data-quality", {}, coarse)
    assert found.verdict == "pass", found.reason
