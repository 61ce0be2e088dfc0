"""Declared parts of the traffic, the metric without labels, and the scores of other releases."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from modelops import summaries
from modelops.metrics import Predictions
from modelops.monitoring import Holdout
from modelops.spec.kinds.monitor import Performance, Slice
from modelops.views.monitor import report_data, report_text
from monitoring.windows import inputs, log, model, profile, report, score_profile

ACCURACY = Performance(metric="accuracy", minimum=0.8, minimum_labels=50)


def test_each_part_has_its_own_counts_and_interval() -> None:
    """One part is answered wrongly half of the time: the whole passes, that part fails, and the window warns."""
    rng = np.random.default_rng(1)
    columns = inputs(rng, 3000)
    columns["abroad"] = [False] * 2700 + [True] * 300
    truth = ["0"] * 2700 + ["0", "1"] * 150
    table = log(columns, truth=truth)
    slices = (Slice(feature="abroad"), Slice(feature="amount", edges=(-1.0, 1.0)))
    found = report(table, rng, performance=ACCURACY, monitor={"slices": slices})
    parts = {each.name: each for each in found.slices}
    assert list(parts) == [
        "abroad false", "abroad true", "amount below -1", "amount from -1 to below 1", "amount from 1",
    ]  # fmt: skip
    assert (parts["abroad true"].rows, parts["abroad true"].share) == (300, 0.1)
    assert found.performance is not None
    verdicts = {name: each.performance.verdict for name, each in parts.items() if each.performance is not None}
    assert (found.performance.verdict, verdicts["abroad false"], verdicts["abroad true"]) == ("pass", "pass", "fail")
    assert found.level == "warn"
    assert any(line.startswith("Performance fell where abroad true: accuracy is 0.500") for line in found.findings)
    wide, narrow = parts["abroad true"].performance, found.performance
    assert wide is not None
    assert wide.value is not None
    assert narrow.value is not None
    assert wide.value.level > narrow.value.level
    assert report_data(found)["slices"][1]["performance"]["verdict"] == "fail"
    assert "abroad true: 300 answers, 10.0%; accuracy is 0.500" in report_text(found)


def test_rare_and_missing_values_are_parts_of_their_own() -> None:
    """Of fifteen values ten are told apart; the rest and what is missing are one part each, and none is lost."""
    rng = np.random.default_rng(2)
    columns = inputs(rng, 2000)
    columns["channel"] = [None] * 500 + [f"c{min(14, index // 90):02}" for index in range(1500)]
    found = report(log(columns), rng, monitor={"slices": (Slice(feature="channel"),)})
    names = [each.name for each in found.slices]
    assert len(names) == 11
    assert {"channel (missing)", "channel (rarer)"} <= set(names)
    assert sum(each.rows for each in found.slices) == 2000


def test_edges_that_look_alike_when_rounded_are_parts_of_their_own() -> None:
    """Instants differ in their last digits: each part has its own rows, labels and name."""
    rng = np.random.default_rng(7)
    columns = inputs(rng, 900)
    columns["amount"] = [1_700_000_000.0 + 86_400 * (index // 300) for index in range(900)]
    edges = (1_700_000_001.0, 1_700_086_401.0)
    table = log(columns, truth=["0"] * 300 + ["1"] * 600)
    found = report(table, rng, performance=ACCURACY, monitor={"slices": (Slice(feature="amount", edges=edges),)})
    assert [(each.name, each.rows) for each in found.slices] == [
        ("amount below 1700000001", 300),
        ("amount from 1700000001 to below 1700086401", 300),
        ("amount from 1700086401", 300),
    ]
    assert [each.performance.labelled for each in found.slices if each.performance is not None] == [300] * 3
    values = [each.performance.value for each in found.slices if each.performance is not None]
    assert len({value.value for value in values if value is not None}) == 2


def holdout(rng: np.random.Generator, n: int = 3000) -> Holdout:
    scores = rng.random(n)
    truth = (rng.random(n) < scores).astype(np.float64)
    predictions = Predictions("binary-classification", truth, (scores >= 0.5) * 1.0, scores)
    return Holdout(pa.table(inputs(rng, n)), predictions)


def test_a_metric_is_estimated_before_any_label_and_says_what_it_cannot_see() -> None:
    """Scores that crowd around the threshold are expected to be wrong more often: a warning, never an alert."""
    rng = np.random.default_rng(3)
    watched = Performance(metric="accuracy", minimum=0.7, estimate=True)
    sure, unsure = rng.random(2000), rng.uniform(0.35, 0.65, 2000)
    for scores, verdict, level in ((sure, "pass", "none"), (unsure, "fail", "warn")):
        table = log(inputs(rng, 2000), score=scores.tolist(), label=["1" if one >= 0.5 else "0" for one in scores])
        found = report(table, rng, performance=watched, holdout=holdout(rng))
        assert found.estimated is not None
        assert (found.estimated.verdict, found.level) == (verdict, level)
        assert "blind to concept drift" in found.estimated.reason
        assert "calibration error" in found.estimated.reason
    assert found.findings[0].startswith("Performance is expected to have fallen: accuracy is expected to be 0.5")
    assert report_data(found)["estimated"]["value"]["calibrationError"] < 0.05


def test_a_regression_is_estimated_by_a_model_of_its_loss() -> None:
    """Where errors grow with a feature, a window of large values is expected to be worse."""
    rng = np.random.default_rng(4)
    rows = inputs(rng, 3000)
    truth = np.zeros(3000)
    answers = rng.normal(0, 1 + np.array(rows["count"]))
    told = Holdout(pa.table(rows), Predictions("regression", truth, answers, answers))
    columns = inputs(rng, 1000)
    columns["count"] = rng.integers(7, 10, 1000).tolist()
    table = log(columns, score=rng.normal(0, 9, 1000).tolist(), label=[None] * 1000)
    watched = Performance(metric="mae", maximum=5.0, estimate=True)
    spec = model(task="regression", positive=None)
    found = report(table, rng, performance=watched, model=spec, holdout=told)
    assert found.estimated is not None
    assert found.estimated.value is not None
    # The mean of |N(0, s)| is s times the root of 2 / pi, here of eight to ten.
    assert found.estimated.value.value == pytest.approx(9 * (2 / np.pi) ** 0.5, rel=0.1)
    assert found.estimated.verdict == "fail"


def test_what_cannot_be_estimated_is_said() -> None:
    """Too few answers, and metrics that need labels, have no estimate and a sentence."""
    rng = np.random.default_rng(5)
    watched = Performance(metric="average-precision", minimum=0.7, estimate=True)
    found = report(log(inputs(rng, 300)), rng, performance=watched, holdout=holdout(rng))
    assert found.estimated is not None
    assert found.estimated.verdict == "no-data"
    assert any(line.startswith("Average-precision is not estimated:") for line in found.findings)


def test_other_releases_are_held_against_their_own_holdouts() -> None:
    """A candidate whose scores are unlike those of its own test rows is told of; the stable one is not blamed."""
    rng = np.random.default_rng(6)
    n = 4000
    scores = [float(rng.random()) if index % 2 else float(rng.beta(8, 2)) for index in range(n)]
    table = log(inputs(rng, n), release=[2, 1] * (n // 2), score=scores)
    mine, own = score_profile(rng), score_profile(rng)
    found = report(table, rng, score_profile=mine, release=1, others={2: own, 3: own}, profile=profile(rng))
    assert found.scores["psi"].level == "none"
    assert [(arm.release, arm.rows, arm.scores["psi"].level) for arm in found.arms] == [(2, n // 2, "alert")]
    assert found.level == "warn"
    beta = summaries.summarise(pa.chunked_array([pa.array(rng.beta(8, 2, 5000))]), "number")
    quiet = report(table, rng, score_profile=mine, release=1, others={2: beta}, profile=profile(rng))
    assert (quiet.level, quiet.arms[0].scores["psi"].level) == ("none", "none")
