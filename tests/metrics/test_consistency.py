"""Metrics that contradict each other are told, and those that were measured together never do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelops.metrics import Predictions, contradictions, default_metrics, measure_all
from modelops.spec.kinds.release import MetricValue

Measured = tuple[MetricValue, ...]


def binary(seed: int, rows: int, share: float, skill: float, threshold: float = 0.5) -> Predictions:
    random = np.random.default_rng(seed)
    true = (random.random(rows) < share).astype(float)
    score = np.clip(0.5 + skill * (true - 0.5) + random.normal(0, 0.3, rows), 0, 1)
    return Predictions("binary-classification", true, (score >= threshold).astype(float), score, (False, True))


def measured(predictions: Predictions) -> Measured:
    return measure_all(predictions, seed=1, names=default_metrics(predictions.task))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(2, 80), st.floats(0, 1), st.floats(-1, 1), st.sampled_from([0.05, 0.5, 0.9, 1.0])
)
def test_what_was_measured_on_the_same_rows_never_contradicts_itself(
    seed: int, rows: int, share: float, skill: float, threshold: float
) -> None:
    """Of any scores, good, bad, certain and wrong, at any threshold: no sentence."""
    found = measured(binary(seed, rows, share, skill, threshold))
    assert contradictions(found, "binary-classification", threshold) == ()


@pytest.mark.parametrize("seed", range(5))
def test_classes_and_values_do_not_contradict_themselves(seed: int) -> None:
    """Three classes with random probabilities, and a regression with a bias."""
    random = np.random.default_rng(seed)
    score = random.dirichlet([0.4, 0.4, 0.4], 50)
    true = random.integers(0, 3, 50).astype(float)
    several = Predictions("multiclass-classification", true, score.argmax(axis=1).astype(float), score, ("a", "b", "c"))
    assert contradictions(measured(several), "multiclass-classification") == ()
    truth = random.normal(0, 100, 50)
    guess = truth + random.normal(7, 3, 50)
    assert contradictions(measured(Predictions("regression", truth, guess, guess)), "regression") == ()


def edited(metrics: Measured, name: str, **changes: float) -> Measured:
    return tuple(one.model_copy(update=changes) if one.name == name else one for one in metrics)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("accuracy", {"value": 0.99, "upper": 1.0}, "accuracy"),
        ("recall", {"value": 0.999, "upper": 1.0}, "no share"),
        ("precision", {"value": 1.0, "upper": 1.0}, "recall finds"),
        ("f1", {"value": 0.99, "upper": 1.0}, "the other metrics make it"),
        ("balanced-accuracy", {"value": 0.99, "upper": 1.0}, "the other metrics make it"),
        ("roc-auc", {"value": 0.1, "lower": 0.0}, "leave it between"),
        ("log-loss", {"value": 0.0, "lower": 0.0}, "2.455 times brier"),
        ("brier", {"value": 0.9, "upper": 1.0}, "brier"),
        ("brier", {"value": 1.5, "upper": 2.0}, "on any rows"),
        ("roc-auc", {"lower": 0.95, "upper": 0.96}, "outside its own interval"),
        ("roc-auc", {"n": 7}, "counted differently"),
        ("average-precision", {"n": 7}, "counted differently"),
        ("accuracy", {"n": 61}, "counted differently"),
        ("accuracy", {"value": float("nan")}, "accuracy is nan"),
    ],
)
def test_one_edited_number_is_told(name: str, changes: dict[str, float], said: str) -> None:
    """Whichever number is made better, or worse, another one gives it away."""
    honest = measured(binary(3, 60, 0.4, 0.3))
    assert any(said in one for one in contradictions(edited(honest, name, **changes), "binary-classification"))


def test_the_same_number_for_every_metric_cannot_be() -> None:
    """0.999 for a loss and for a score at once, as a forged record had it."""
    honest = measured(binary(3, 60, 0.4, 0.3))
    forged = tuple(one.model_copy(update={"value": 0.999, "lower": 0.99, "upper": 1.0}) for one in honest)
    assert contradictions(forged, "binary-classification")


def test_a_metric_of_another_task_or_twice_is_told() -> None:
    """A name that nobody knows, one that the task does not have, and one that is there twice."""
    honest = measured(binary(3, 60, 0.4, 0.3))
    assert "roc-auc is no metric of regression" in contradictions(honest, "regression")
    assert contradictions((*honest, honest[0]), "binary-classification") == (f"{honest[0].name} is there twice",)
