"""Windows that nobody wants: each has a stated outcome, and none is an error or an alarm about nothing."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from modelops.monitoring import Past, should_retrain
from modelops.spec.kinds.monitor import Performance, Retraining
from modelops.spec.meta import Plugin
from monitoring.windows import NOW, RECALL, SINCE, inputs, log, model, report, score_profile

EVERY = {
    "drift": tuple(
        Plugin(type=key)
        for key in (
            "psi", "kolmogorov-smirnov", "wasserstein", "jensen-shannon", "hellinger", "chi-squared", "cramers-v",
            "new-and-missing-categories",
        )
    )
}  # fmt: skip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(21)


def test_a_window_without_rows_is_no_data(rng: np.random.Generator) -> None:
    """No row is no drift and no quiet: the level says that nothing is known."""
    found = report(log(inputs(rng, 1)).slice(0, 0), rng, monitor=EVERY, performance=RECALL)
    assert (found.level, found.rows, found.features) == ("no-data", 0, ())


def test_labels_of_one_class_leave_what_is_undefined_unmeasured(rng: np.random.Generator) -> None:
    """Recall without a positive is not 0 and not 1, and says why."""
    table = log(inputs(rng, 500), truth=["0"] * 500)
    found = report(table, rng, performance=RECALL)
    assert found.performance is not None
    assert (found.performance.verdict, found.performance.value) == ("no-data", None)
    assert "recall is not measured" in found.performance.reason


@pytest.mark.parametrize("value", [3.0, None])
def test_a_constant_and_a_wholly_missing_feature_alert_by_every_score_that_sees_them(
    rng: np.random.Generator, value: float | None
) -> None:
    """A feature that freezes or vanishes is an alert with its cause; what cannot be scored is no data, not quiet."""
    columns = inputs(rng, 1000)
    columns["amount"] = [value] * 1000
    found = report(log(columns), rng, monitor=EVERY)
    amount = next(feature for feature in found.features if feature.name == "amount")
    assert amount.level == "alert"
    expected = {"alert", "no-data"} if value is None else {"alert"}
    assert {score.level for score in amount.scores.values()} <= expected
    if value is None:
        assert (amount.missing.value, amount.missing.raised) == (1.0, True)


def test_ten_thousand_categories_are_one_more_bin(rng: np.random.Generator) -> None:
    """A column that becomes an identifier alerts, with finite scores and no bin for each value."""
    columns = inputs(rng, 10_000)
    columns["channel"] = [f"id{index}" for index in range(10_000)]
    found = report(log(columns), rng, monitor=EVERY)
    channel = next(feature for feature in found.features if feature.name == "channel")
    assert channel.level == "alert"
    assert all(math.isfinite(score.value) for score in channel.scores.values())
    assert channel.unseen is not None
    assert channel.unseen.value == 1.0
    assert channel.scores["new-and-missing-categories"].direction in (
        "new categories",
        "no 'app' and 1 more",
        "no 'web' and 1 more",
    )


def test_scores_that_are_no_numbers_are_drift_of_the_score_and_nothing_breaks(rng: np.random.Generator) -> None:
    """A release that answers NaN half of the time alerts; so are the metrics of the rest still measured."""
    scores = [math.nan if index % 2 else 0.5 for index in range(1000)]
    table = log(inputs(rng, 1000), score=scores, truth=["0"] * 1000)
    watched = Performance(metric="accuracy", minimum=0.5)
    found = report(table, rng, score_profile=score_profile(rng), performance=watched)
    assert found.scores["psi"].level == "alert"
    assert found.performance is not None
    assert found.performance.verdict == "pass"


def test_labels_of_another_type_are_left_out_of_a_regression(rng: np.random.Generator) -> None:
    """Words among numbers are counted as no label."""
    truth: list[Any] = ["1.5", "high"] * 300
    table = log(inputs(rng, 600), truth=truth, score=[1.5] * 600, label=[None] * 600)
    found = report(
        table, rng, performance=Performance(metric="mae", maximum=1.0), model=model(task="regression", positive=None)
    )
    assert found.performance is not None
    assert (found.performance.labelled, found.performance.verdict) == (300, "pass")


def test_a_monitor_that_did_not_run_for_a_week_judges_as_if_it_had_looked_once(rng: np.random.Generator) -> None:
    """Windows that were never scored are neither quiet nor drifted: the streak goes over the gap to what is known."""
    drifted = report(log(inputs(rng, 2000, shift=2)), rng, release=1)
    before = Past(SINCE - timedelta(days=37), SINCE - timedelta(days=7), "alert", 1)
    rules = Retraining(sustained=2)
    fired = should_retrain(drifted, [before], rules, now=NOW)
    assert fired.fire
    alone = should_retrain(drifted, [], rules, now=NOW)
    assert not alone.fire


def test_two_monitors_of_one_instant_are_one_look(rng: np.random.Generator) -> None:
    """The same window scored twice is not two windows in a row, and its metric is looked at once."""
    drifted = report(log(inputs(rng, 2000, shift=2)), rng, release=1)
    same = Past(SINCE, NOW, "alert", 1, "fail", 1)
    decision = should_retrain(drifted, [same], Retraining(sustained=2), now=NOW)
    assert not decision.fire
    table = log(inputs(rng, 500), truth=["1", "0"] * 250, label=["1", "0"] * 250)
    again = report(table, rng, performance=RECALL, release=1, earlier=[same])
    assert again.performance is not None
    assert again.performance.looks == 1
