"""What the gates find that explain a model and that attack it, where the truth is known."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from modelops import plugins
from modelops.conformance.loans import explain, predict, subject, with_column
from modelops.gates import Answers, Explained
from modelops.gates.evasion import median_bounds


def run(key: str, params: dict[str, object], whole):
    module = plugins.load("gates", key)
    return module.evaluate(module.Params.model_validate_json(json.dumps(params)), whole.only(module.NEEDS))


def test_the_way_to_another_answer_is_the_distance_to_the_border():
    """One feature alone decides, from 2800 on: the least change is how far the income is from there, in deviations."""
    whole = subject(400)
    found = run("evasion", {"minimum": 0.2, "immutable": ["children"], "maximumRows": 400}, whole)
    truth = np.abs(whole.test["income"] - 2800) / whole.train["income"].std(ddof=0)
    assert found.value == pytest.approx(float(np.median(truth)), rel=0.01)
    assert found.lower < float(np.median(truth)) < found.upper
    assert (found.verdict, found.details["changed"], found.details["moved"]) == ("pass", 400, ["income"])
    assert found.details["within"][1]["share"] == pytest.approx(float((truth <= 0.25).mean()), abs=0.01)
    assert run("evasion", {"minimum": 3.0, "immutable": ["children"]}, whole).verdict == "fail"


def test_what_may_not_be_moved_is_not():
    """Immutable features, categories and missing values stay; integers are moved by whole steps."""
    asked = []

    def noting(frame):
        asked.append(frame)
        return Answers((frame["children"] >= 2).astype(float).to_numpy(), frame["children"].to_numpy() / 4.0)

    whole = replace(subject(300), predict=noting)
    gaps = np.where(np.arange(300) % 3 == 0, np.nan, whole.test["income"])
    whole = with_column(whole, "income", gaps)
    found = run("evasion", {"minimum": 0.1, "immutable": ["income"], "maximumRows": 300}, whole)
    assert found.details["changed"] == 300
    children = whole.test["children"].to_numpy()
    steps = np.where(children < 2, 2 - children, children - 1)
    assert found.value * whole.train["children"].std(ddof=0) == pytest.approx(float(np.median(steps)), abs=1e-9)
    attacks = [frame for frame in asked if frame["loan"].equals(whole.test["loan"])]
    assert attacks
    for frame in attacks:
        assert np.array_equal(frame["income"], whole.test["income"], equal_nan=True)
        assert (frame["region"] == whole.test["region"]).all()
        assert (frame["children"] % 1 == 0).all()


def test_what_no_attack_moves_has_no_median_and_passes():
    """Where the answer hangs on a category the walk changes no label, which is said and is no failure."""

    def by_region(frame):
        label = (frame["region"] == "north").astype(float).to_numpy()
        return Answers(label, label)

    found = run("evasion", {"minimum": 0.5}, subject(300, predict=by_region))
    assert (found.verdict, found.value, found.upper, found.details["changed"]) == ("pass", None, None, 0)
    assert "0 of 300 attacked rows" in found.reason


def slow(frame):
    time.sleep(0.01)
    return predict(frame)


def unsteady(frame):
    return Answers(np.ones(len(frame)), np.random.default_rng().uniform(size=len(frame)))


@pytest.mark.parametrize(
    ("params", "whole", "said"),
    [
        ({}, subject(40), "40 test rows"),
        ({}, subject(200, predict=unsteady), "differently when it is asked again"),
        ({"seconds": 1e-9}, subject(200, predict=slow), "lower maximumRows, or give it more seconds"),
        ({"immutable": ["income", "children"]}, subject(200), "every feature is immutable"),
        ({"immutable": ["wage"]}, subject(200), "no feature named wage"),
        ({"label": "maybe"}, subject(200), "no label 'maybe'; it has false, true"),
        ({"label": False}, subject(60), "rows get the label to be attacked"),
    ],
)
def test_an_attack_that_cannot_be_made_is_loud(params, whole, said):
    """Too few rows, no steady answers, no time, nothing to move: there is no verdict, and the reason."""
    found = run("evasion", {"minimum": 0.2, **params}, whole)
    assert (found.verdict, said in found.reason) == ("no-data", True), found.reason


def test_the_interval_of_a_median_holds_for_any_distribution():
    """Its ends are order statistics, also where half of all values are infinite."""
    assert median_bounds(np.arange(1.0, 11.0), 0.95) == (2.0, 9.0)
    assert median_bounds(np.arange(5.0), 0.95) == (0.0, np.inf)
    lower, upper = median_bounds(np.where(np.arange(100) < 50, 1.0, np.inf), 0.95)
    assert (lower, upper) == (1.0, np.inf)


FORBIDDEN = {"maximum": 0.05, "features": ["children"]}


def carrying(shares, n=3):
    """Return what explains each answer as carried by the features in given shares, with some spread over the rows."""

    def ask(frame):
        size = np.random.default_rng(len(frame)).uniform(0.5, 1.5, len(frame))
        return Explained(np.outer(size, shares), "trees", "log-odds", 0.0)

    return ask


def test_what_may_not_count_is_bounded():
    """A feature that is named, and a proxy of a sensitive column, fail where they carry more than the maximum."""
    assert run("shap", FORBIDDEN, subject()).verdict == "pass"
    found = run("shap", FORBIDDEN, subject(explain=carrying([0.7, 0.3, 0.0])))
    assert (found.verdict, round(found.value, 6)) == ("fail", 0.3)
    assert [row["feature"] for row in found.details["weights"]] == ["income", "children", "region"]
    whole = subject()
    for name in ("train", "test"):
        rows = getattr(whole, name)
        whole = with_column(whole, "sex", np.where(rows["income"] > 3000, "f", "m"), name)
    proxy = run("shap", {"maximum": 0.5, "proxiesOf": ["sex"]}, whole)
    assert (proxy.verdict, proxy.details["judged"][0]["feature"]) == ("fail", "income")


def test_the_order_of_features_is_compared():
    """With the stable release on the same rows, and between halves of them; the opposite order fails, noise too."""
    same = run("shap", {"agreement": 0.5}, subject())
    assert (same.verdict, same.value) == ("pass", 1.0)
    turned = run("shap", {"agreement": 0.5}, subject(champion_explain=carrying([0.1, 0.3, 0.6])))
    assert (turned.verdict, turned.details["agreement"]["release"]) == ("fail", 3)
    first = run("shap", {"agreement": 0.5}, subject(champion_explain=None, champion=None))
    assert (first.verdict, "no stable release" in first.reason) == ("pass", True)
    assert run("shap", {"steady": 0.9}, subject(explain=carrying([0.6, 0.3, 0.1]))).verdict == "pass"

    def noise(frame):
        return Explained(np.random.default_rng(1).normal(size=(len(frame), 3)), "sampled", "probability", 0.0)

    assert run("shap", {"steady": 0.9}, subject(explain=noise)).verdict != "pass"


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        ({"explain": lambda frame: "the time is over"}, "no-data", "cannot be explained: the time is over"),
        ({"explain": lambda frame: replace(explain(frame), gap=0.01)}, "fail", "away from adding up"),
        ({"explain": carrying([0.0, 0.0, 0.0])}, "no-data", "no feature contributes anything"),
    ],
)
def test_reasons_that_are_none_are_loud(changes, verdict, said):
    """What cannot be explained has no verdict, and what does not add up fails whatever else is asked."""
    found = run("shap", FORBIDDEN, subject(**changes))
    assert (found.verdict, said in found.reason) == (verdict, True), found.reason


@pytest.mark.parametrize("params", [{}, {"maximum": 0.1}, {"features": ["income"]}])
def test_a_gate_that_asks_nothing_is_refused(params):
    """A maximum of nothing, or names without one, are mistakes of whoever wrote the policy."""
    with pytest.raises(ValidationError):
        run("shap", params, subject())
