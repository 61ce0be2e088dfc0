"""Metrics without labels: known arithmetic, how near they come, how often the interval holds, and what they miss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelops.metrics import Predictions
from modelops.metrics.unlabelled import calibration_error, estimate_by_loss, estimate_by_score, expected_metric

Array = np.ndarray[Any, Any]
P = np.array([0.05, 0.10, 0.20, 0.35, 0.45, 0.55, 0.60, 0.80, 0.90, 0.95])
KNOWN = {
    "accuracy": 0.765,
    "precision": 0.76,
    "recall": 0.7676767676767676,
    "f1": 0.7638190954773869,
    "roc-auc": 0.851035103510351,
}


@pytest.mark.parametrize("name", KNOWN)
def test_ten_calibrated_scores_give_what_nannyml_gives(name: str) -> None:
    """The arithmetic of confidence-based estimation is that of the library that made it known."""
    assert expected_metric(name, P, P, (P >= 0.5) * 1.0) == pytest.approx(KNOWN[name], rel=1e-12)


def world(rng: np.random.Generator, n: int, shift: float = 0.0, flipped: float = 0.0) -> tuple[Array, Array]:
    """Return scores of a logistic world, over-confident by half, and its truth."""
    x = rng.normal(shift, 1.5, n)
    truth = (rng.random(n) < 1 / (1 + np.exp(-x))).astype(np.float64)
    flips = rng.random(n) < flipped
    return 1 / (1 + np.exp(-1.5 * x)), np.where(flips, 1 - truth, truth)


def holdout(rng: np.random.Generator, n: int = 4000) -> Predictions:
    scores, truth = world(rng, n)
    return Predictions("binary-classification", truth, (scores >= 0.5) * 1.0, scores)


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_the_estimate_comes_near_without_change_and_under_another_mix_of_rows(shift: float) -> None:
    """Calibrated on the holdout it follows easier rows: within three points of what the labels say."""
    rng = np.random.default_rng(1)
    scores, truth = world(rng, 5000, shift)
    answers = (scores >= 0.5) * 1.0
    for name in ("accuracy", "precision", "recall", "f1"):
        found = estimate_by_score(name, holdout(rng), scores, answers, 0.95)
        assert found is not None
        real = expected_metric(name, truth, scores, answers)
        assert found.value == pytest.approx(real, abs=0.03)
        assert found.lower < found.value < found.upper
    assert found is not None
    assert found.method == "calibrated scores (isotonic)"
    assert 0 < found.calibration_error < 0.03


@pytest.mark.slow
def test_the_interval_holds_as_often_as_stated() -> None:
    """In 120 worlds the expected accuracy lies inside a 95 % interval in all but what chance leaves out."""
    rng = np.random.default_rng(2)
    x = np.random.default_rng(9).normal(0.5, 1.5, 400_000)
    p = 1 / (1 + np.exp(-x))
    real = float(np.where(p >= 0.5, p, 1 - p).mean())
    inside = 0
    for _ in range(120):
        scores, _ = world(rng, 2000, 0.5)
        found = estimate_by_score("accuracy", holdout(rng, 2000), scores, (scores >= 0.5) * 1.0, 0.95)
        assert found is not None
        inside += found.lower <= real <= found.upper
    # 106 of 120 or fewer has a chance below 1 in 1,000 at 95 %.
    assert inside >= 106


def test_concept_drift_is_not_seen() -> None:
    """A tenth of the labels flipped: the estimate stays where it was, which is why it says that it is blind."""
    rng = np.random.default_rng(3)
    scores, truth = world(rng, 5000, flipped=0.1)
    answers = (scores >= 0.5) * 1.0
    found = estimate_by_score("accuracy", holdout(rng), scores, answers, 0.95)
    assert found is not None
    assert found.value - float((truth == answers).mean()) > 0.03


def test_several_classes_have_an_accuracy_and_nothing_else() -> None:
    """The log keeps the answered class's score alone; few rows have no estimate."""
    rng = np.random.default_rng(4)
    shares = rng.dirichlet((2, 1, 1), 2000)
    truth = np.array([rng.choice(3, p=row) for row in shares], dtype=np.float64)
    told = Predictions("multiclass-classification", truth, shares.argmax(axis=1).astype(np.float64), shares, (0, 1, 2))
    found = estimate_by_score("accuracy", told, shares.max(axis=1), None, 0.95)
    assert found is not None
    assert found.value == pytest.approx(float(shares.max(axis=1).mean()), abs=0.03)
    assert estimate_by_score("log-loss", told, shares.max(axis=1), None, 0.95) is None
    assert estimate_by_score("accuracy", told, shares.max(axis=1)[:199], None, 0.95) is None


@pytest.mark.slow
@pytest.mark.parametrize("lowest", [0.0, 0.5, 0.9], ids=["the same rows", "the upper half", "a corner"])
def test_a_model_of_the_loss_follows_harder_rows_and_its_interval_holds(lowest: float) -> None:
    """The error of a regression that grows with a feature is estimated for a window of larger values, however few.

    The interval holds as often as stated, where half or a tenth of the holdout tells of the window's rows, too.
    """
    inside, real = 0, (2 / np.pi) ** 0.5 * (1.5 + lowest / 2)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, now = rng.uniform(0, 1, 2000), rng.uniform(lowest, 1, 2000)
        found = estimate_by_loss("mae", np.abs(rng.normal(0, 1 + x)), x[:, None], now[:, None], 0.95)
        assert found is not None
        assert found.value == pytest.approx(real, rel=0.15)
        inside += found.lower <= real <= found.upper
    # 50 of 60 or fewer has a chance below 1 in 1,000 at 95 %.
    assert inside >= 51


def test_the_root_of_a_squared_error_is_in_the_unit_of_the_target() -> None:
    """A world whose errors have a deviation of two has a root mean squared error of two; other metrics have none."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(1000, 2))
    found = estimate_by_loss("rmse", np.square(rng.normal(0, 2, 1000)), x, x, 0.95)
    assert found is not None
    assert found.value == pytest.approx(2.0, rel=0.1)
    assert estimate_by_loss("r2", np.ones(1000), x, x, 0.95) is None


def test_the_calibration_error_of_a_constant_is_its_distance() -> None:
    """Rows that all say 0.2, of which four of ten come true, are wrong by 0.2."""
    assert calibration_error(np.full(1000, 0.2), np.repeat([1.0, 0.0], [400, 600])) == pytest.approx(0.2)
