"""Metrics of weighted rows: what they are, what they are not changed by, and when they are not told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from modelops.metrics import (
    NAMES,
    Predictions,
    baseline,
    contradictions,
    measure,
    measure_all,
    paired_difference,
    undefined,
    unsettled,
)
from modelops.metrics.catalog import METRICS
from modelops.spec.kinds.model import Task

ROWS = 400


def drawn(task: Task, seed: int = 1, noise: float = 1.0) -> Predictions:
    """Predictions of a fair model; another seed or noise is another model on the same rows."""
    rows, own = np.random.default_rng(0), np.random.default_rng(seed)
    if task == "regression":
        true = 5 + rows.normal(size=ROWS)
        said = true + 0.3 * noise * own.normal(size=ROWS)
        return Predictions(task, true, said, said)
    if task == "binary-classification":
        true = (rows.random(ROWS) < 0.3).astype(float)
        score = 1 / (1 + np.exp(-(2 * true - 1 + noise * own.normal(size=ROWS)).round(1)))
        return Predictions(task, true, (score >= 0.5).astype(float), score, (0, 1))
    true = rows.integers(0, 3, ROWS).astype(float)
    scores = own.dirichlet([1, 1, 1], ROWS) + np.eye(3)[true.astype(int)] / noise
    scores /= scores.sum(axis=1, keepdims=True)
    return Predictions(task, true, np.argmax(scores, axis=1).astype(float), scores, ("a", "b", "c"))


CASES = [(task, name) for name in NAMES for task in METRICS[name].tasks]
each = pytest.mark.parametrize(("task", "name"), CASES)


@each
def test_equal_weights_change_nothing(task: Task, name: str) -> None:
    """Weights that are all alike, in any unit, are none: value, bounds and words are those of unweighted rows."""
    first, second = drawn(task), drawn(task, seed=2, noise=1.3)
    alike = [replace(one, sample_weight=np.full(ROWS, 7.3)) for one in (first, second)]
    assert measure(name, alike[0]) == measure(name, first)
    assert unsettled(name, alike[0]) == unsettled(name, first)
    assert paired_difference(name, *alike) == paired_difference(name, first, second)


@each
def test_whole_weights_are_rows_that_repeat(task: Task, name: str) -> None:
    """The value is that of each row as often as its weight says, with weight 0 not at all; bounds hold the value."""
    first, second = drawn(task), drawn(task, seed=2, noise=1.3)
    weight = np.random.default_rng(3).integers(0, 5, ROWS).astype(float)
    rows = np.repeat(np.arange(ROWS), weight.astype(int))
    found = measure(name, replace(first, sample_weight=weight))
    repeated = measure(name, first.take(rows))
    assert found is not None
    assert repeated is not None
    assert found.value == pytest.approx(repeated.value, rel=1e-9)
    assert found.lower <= found.value <= found.upper
    assert found.effective is not None
    assert found.effective < found.n <= ROWS
    both = paired_difference(name, *(replace(one, sample_weight=weight) for one in (first, second)))
    same = paired_difference(name, first.take(rows), second.take(rows))
    assert both is not None
    assert same is not None
    assert both.value == pytest.approx(same.value, rel=1e-9, abs=1e-12)
    # Rows that are copies seem surer than they are.
    assert both.upper - both.lower > same.upper - same.lower


def test_values_are_those_of_scikit_learn() -> None:
    """Weights mean what they mean in scikit-learn, in every metric that it has."""
    weight = np.random.default_rng(4).lognormal(0, 1, ROWS)
    two, number = drawn("binary-classification"), drawn("regression")
    true, label, score = two.y_true, two.y_pred, two.y_score
    expected = {
        "accuracy": sk.accuracy_score(true, label, sample_weight=weight),
        "balanced-accuracy": sk.balanced_accuracy_score(true, label, sample_weight=weight),
        "precision": sk.precision_score(true, label, sample_weight=weight),
        "recall": sk.recall_score(true, label, sample_weight=weight),
        "f1": sk.f1_score(true, label, sample_weight=weight),
        "roc-auc": sk.roc_auc_score(true, score, sample_weight=weight),
        "average-precision": sk.average_precision_score(true, score, sample_weight=weight),
        "log-loss": sk.log_loss(true, score, sample_weight=weight),
        "brier": sk.brier_score_loss(true, score, sample_weight=weight),
    }
    numbers = {
        "mae": sk.mean_absolute_error(number.y_true, number.y_pred, sample_weight=weight),
        "rmse": sk.root_mean_squared_error(number.y_true, number.y_pred, sample_weight=weight),
        "r2": sk.r2_score(number.y_true, number.y_pred, sample_weight=weight),
        "mape": sk.mean_absolute_percentage_error(number.y_true, number.y_pred, sample_weight=weight),
    }
    for predictions, values in ((two, expected), (number, numbers)):
        for name, value in values.items():
            found = measure(name, replace(predictions, sample_weight=weight))
            assert found is not None
            assert found.value == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("task", ["binary-classification", "multiclass-classification", "regression"])
def test_weighted_metrics_of_one_model_do_not_contradict_each_other(task: Task) -> None:
    """What must hold between metrics of the same rows holds of weighted ones; a changed one is found out."""
    names = tuple(name for kind, name in CASES if kind == task)
    weight = np.random.default_rng(5).lognormal(0, 1, ROWS)
    found = measure_all(replace(drawn(task), sample_weight=weight), names=names)
    assert contradictions(found, task) == ()
    if task == "binary-classification":
        lower = [
            one.model_copy(update={"value": one.value - 0.1, "lower": 0.0}) if one.name == "f1" else one
            for one in found
        ]
        assert "f1" in contradictions(lower, task)[0]


@each
def test_few_rows_that_weigh_all_settle_nothing(task: Task, name: str) -> None:
    """Where weights leave the worth of a few rows there is no interval that holds."""
    weight = np.ones(ROWS)
    weight[:8] = 1e6
    assert unsettled(name, replace(drawn(task), sample_weight=weight)) is not None


def test_rows_that_weigh_nothing_are_not_there() -> None:
    """Without the positives that weigh nothing there are none, and two that are weighted otherwise are not compared."""
    two = drawn("binary-classification")
    nothing = replace(two, sample_weight=(two.y_true == 0).astype(float))
    assert undefined("recall", nothing) == "no row is positive, so recall is undefined"
    other = replace(drawn("binary-classification", seed=2), sample_weight=np.arange(ROWS) + 1.0)
    assert paired_difference("accuracy", replace(two, sample_weight=np.arange(ROWS) + 2.0), other) is None


def test_who_knows_nothing_knows_the_weighted_share() -> None:
    """The baseline answers the class of most weight, with its share of it, and is measured on weighted rows."""
    two = drawn("binary-classification")
    heavy = np.where(two.y_true == 1, 10.0, 1.0)
    plain, weighted = baseline(two, two.y_true, ("accuracy",)), None
    weighted = baseline(replace(two, sample_weight=heavy), two.y_true, ("accuracy",), heavy)
    assert plain is not None
    assert weighted is not None
    share = float(heavy[two.y_true == 1].sum() / heavy.sum())
    assert (plain.answer, weighted.answer) == (0, 1)
    assert weighted.metrics["accuracy"] == pytest.approx(share)
