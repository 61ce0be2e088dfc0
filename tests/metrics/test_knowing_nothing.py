"""What metrics are worth to who knows nothing, and which class was taken for which, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier, DummyRegressor

from modelops.metrics import Predictions, baseline, confusion, default_metrics


def test_a_binary_baseline_is_that_of_a_dummy_classifier() -> None:
    """Every row gets the most frequent label and the share of positives that training had; precision is undefined."""
    rng = np.random.default_rng(0)
    trained, truth = (rng.random(700) < 0.1).astype(float), (rng.random(300) < 0.2).astype(float)
    found = baseline(_binary(truth), trained, default_metrics("binary-classification"))
    assert found is not None
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((700, 1)), trained)
    share = dummy.predict_proba(np.zeros((300, 1)))[:, 1]
    assert (found.answer, "precision" in found.metrics) == ("no", False)
    expected = {
        "accuracy": sk.accuracy_score(truth, dummy.predict(np.zeros((300, 1)))),
        "roc-auc": 0.5,
        "average-precision": sk.average_precision_score(truth, share),
        "log-loss": sk.log_loss(truth, share),
        "brier": sk.brier_score_loss(truth, share),
        "recall": 0.0,
    }
    assert {name: found.metrics[name] for name in expected} == pytest.approx(expected)


def test_a_baseline_of_classes_and_of_numbers_is_that_of_a_dummy() -> None:
    """The most frequent class with the shares of training; the mean of training."""
    rng = np.random.default_rng(1)
    trained, truth = rng.choice(3, 500, p=[0.2, 0.5, 0.3]), rng.choice(3, 200)
    several = Predictions("multiclass-classification", truth * 1.0, truth * 1.0, np.eye(3)[truth], ("a", "b", "c"))
    found = baseline(several, trained * 1.0, default_metrics("multiclass-classification"))
    assert found is not None
    shares = np.tile(np.bincount(trained) / 500, (200, 1))
    assert found.answer == "b"
    assert found.metrics["accuracy"] == pytest.approx((truth == 1).mean())
    assert found.metrics["log-loss"] == pytest.approx(sk.log_loss(truth, shares, labels=[0, 1, 2]))
    numbers, target = rng.normal(5, 1, 400), rng.normal(5.5, 1, 100)
    found = baseline(Predictions("regression", target, target, target), numbers, default_metrics("regression"))
    assert found is not None
    constant = DummyRegressor().fit(np.zeros((400, 1)), numbers).predict(np.zeros((100, 1)))
    assert found.metrics["rmse"] == pytest.approx(sk.root_mean_squared_error(target, constant))
    assert found.metrics["r2"] == pytest.approx(sk.r2_score(target, constant))
    assert found.answer == pytest.approx(numbers.mean())


def test_the_table_of_answers_is_that_of_scikit_learn() -> None:
    """A row for the truth, a column for the answer, in the order of the classes; numbers have none."""
    rng = np.random.default_rng(2)
    truth, answers = rng.choice(4, 300), rng.choice(4, 300)
    several = Predictions(
        "multiclass-classification", truth * 1.0, answers * 1.0, np.eye(4)[answers], ("a", "b", "c", "d")
    )
    found = confusion(several, 0.5)
    assert found is not None
    assert (np.array(found.counts) == sk.confusion_matrix(truth, answers)).all()
    assert found.threshold is None
    binary = confusion(_binary(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.2, 0.2, 0.4, 0.9]), 0.3), 0.3)
    assert binary is not None
    assert (binary.threshold, binary.counts) == (0.3, ((1, 0), (1, 2)))
    assert confusion(Predictions("regression", truth * 1.0, truth * 1.0, truth * 1.0), 0.5) is None


def _binary(truth: np.ndarray, scores: np.ndarray | None = None, threshold: float = 0.5) -> Predictions:
    scores = truth if scores is None else scores
    return Predictions("binary-classification", truth, (scores >= threshold) * 1.0, scores, ("no", "yes"))
