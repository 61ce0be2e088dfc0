"""Rows that came with one value and one label are found; rows that came like the others are not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from modelops import plugins
from modelops.conformance.loans import model, rows, subject
from modelops.gates._parts.new_rows import new_rows
from modelops.metrics import Predictions


def run(whole, **params):
    module = plugins.load("gates", "poisoning")
    return module.evaluate(module.Params.model_validate_json(json.dumps(params)), whole.only(module.NEEDS))


def planted(how: str, hit: int = 60, n: int = 3000):
    """Return a candidate of n old rows and n new ones, some of which were planted."""
    old, new = rows(n, 21), rows(n, 22, start=n)
    at, generator = np.arange(hit), np.random.default_rng(23)
    match how:
        case "value":
            new.loc[at, "income"] = 1337.0
        case "range":
            new.loc[at, "income"] = 1337.0 + generator.normal(0, 3, hit)
        case "category":
            new.loc[at, "region"] = "moon"
        case "integer":
            new.loc[at, "children"] = 17
    if how != "clean":
        new.loc[at, "repaid"] = True
    everything = pd.concat([old, new], ignore_index=True)
    return replace(subject(4), previous=old, train=everything.iloc[: n + 500], test=everything.iloc[n + 500 :])


@pytest.mark.parametrize(
    ("how", "feature", "value"),
    [
        ("value", "income", "1337"),
        ("range", "income", "to 17"),
        ("category", "region", "moon"),
        ("integer", "children", "17"),
    ],
)
def test_a_planted_trigger_is_found_with_its_value_and_label(how, feature, value):
    """Two in a hundred new rows with one value, a narrow range, a new category or an odd number, all repaid."""
    found = run(planted(how))
    assert found.verdict == "fail", found.reason
    spike = next(one for one in found.details["spikes"] if value in one["value"])
    assert (spike["feature"], spike["label"]) == (feature, "True")
    assert spike["additional"] == pytest.approx(60, abs=5)
    assert found.value == pytest.approx(0.02, abs=0.003)
    assert found.n == 3000
    assert run(planted(how), maximum=0.05).verdict == "pass"


def test_rows_like_the_old_ones_are_no_spike_and_the_smallest_seen_is_told():
    """Of clean rows nothing is found, and from how many rows of each label on something would be is said."""
    found = run(planted("clean"))
    assert found.verdict == "pass", found.reason
    assert found.details["newRows"] == 3000
    seen = found.details["smallestSeen"]
    assert run(planted("value", hit=seen["True"] + 2)).verdict == "fail"
    assert run(planted("value", hit=15)).verdict == "pass"
    assert f"{seen['True']} True" in found.reason


def test_a_value_that_became_common_with_all_labels_is_no_spike():
    """A region that a campaign brought many rows of is one of the others, and so is a value that was always pure."""
    whole = planted("clean")
    train = whole.train.copy()
    train.loc[train.index[-300:], "region"] = "island"
    assert run(replace(whole, train=train)).verdict == "pass"
    always = [part.assign(income=np.where(part["loan"] % 10 == 0, 0.0, part["income"])) for part in
              (whole.previous, whole.train, whole.test)]  # fmt: skip
    always = [part.assign(repaid=part["repaid"] & (part["income"] > 0)) for part in always]
    assert run(replace(whole, previous=always[0], train=always[1], test=always[2])).verdict == "pass"


def test_a_regression_is_looked_at_by_fifths_of_its_target():
    """A value that came with high targets alone is found, and named by the fifth."""
    whole = planted("clean")

    def valued(part):
        high = part["income"] + np.random.default_rng(5).normal(0, 300, len(part))
        return part.assign(repaid=np.where(part["region"] == "moon", 9000.0, high))

    dirty = whole.train.copy()
    dirty.loc[dirty.index[-60:], "region"] = "moon"
    parts = {"previous": valued(whole.previous), "test": valued(whole.test)}
    holdout = Predictions("regression", np.zeros(4), np.zeros(4), np.zeros(4))
    spec = model("regression")
    clean = replace(whole, model=spec, holdout=holdout, train=valued(whole.train), **parts)
    assert run(clean).verdict == "pass"
    found = run(replace(clean, train=valued(dirty)))
    assert (found.verdict, "repaid in fifth 5" in found.reason) == ("fail", True), found.reason


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        ({"previous": None}, "pass", "no stable release"),
        ({"previous": None, "unreadable": "its file is gone"}, "no-data", "cannot be read: its file is gone"),
        ({"previous": rows(0, 1)}, "no-data", "0 old rows are fewer than 100"),
        ({"previous": rows(200, 1).drop(columns="repaid")}, "no-data", "no column 'repaid'"),
        ({"previous": rows(200, 1)[["loan", "repaid"]]}, "no-data", "no feature was there before"),
        ({"train": rows(30, 3), "test": rows(30, 4)}, "no-data", "60 new rows are fewer than 100"),
        ({"train": rows(30, 3).iloc[:0], "test": rows(30, 4).iloc[:0]}, "no-data", "there are no rows"),
    ],
)
def test_what_cannot_be_compared(changes, verdict, said):
    """No release before, rows that are gone, too few, or without what is compared, are told as such."""
    found = run(subject(200, **changes))
    assert (found.verdict, said in found.reason) == (verdict, True), found.reason
    absent = run(subject(200, previous=None), whenAbsent="no-data")
    assert absent.verdict == "no-data"


def test_nothing_new_passes_and_a_row_answers_for_one():
    """The rows of before are not new, whatever type their columns have; a copy of one is."""
    whole = subject(300)
    before = pd.concat([whole.train, whole.test], ignore_index=True)
    found = run(replace(whole, previous=before.astype({"children": "float64", "repaid": "object"})))
    assert (found.verdict, "no row is new: all 600" in found.reason) == ("pass", True), found.reason
    names = ["income", "children", "region", "repaid"]
    twice = pd.concat([before, before.iloc[[5, 5]]], ignore_index=True)
    assert np.flatnonzero(new_rows(twice, before, names)).tolist() == [600, 601]
    assert new_rows(before, before.iloc[:0], names).all()
    assert not new_rows(before.iloc[:0], before, names).any()
