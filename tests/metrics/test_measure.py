"""Metrics agree with scikit-learn, and their intervals with the literature and with what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics as reference

from modelops.errors import ModelOpsError
from modelops.metrics import (
    NAMES,
    Predictions,
    default_metrics,
    greater_is_better,
    measure,
    measure_all,
    paired_difference,
    undefined,
    unsettled,
)


def binary(n: int = 400, seed: int = 1, shift: float = 1.5, rate: float = 0.3) -> Predictions:
    generator = np.random.default_rng(seed)
    true = (generator.random(n) < rate).astype(float)
    score = 1 / (1 + np.exp(-np.round(generator.normal(size=n) + shift * (true - 0.5), 1)))
    return Predictions("binary-classification", true, (score >= 0.5).astype(float), score, ("no", "yes"))


def multiclass(n: int = 400, seed: int = 1, classes: int = 4) -> Predictions:
    generator = np.random.default_rng(seed)
    true = generator.integers(0, classes, n)
    logits = generator.normal(size=(n, classes)) + 1.5 * np.eye(classes)[true]
    score = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted = score.argmax(axis=1).astype(float)
    return Predictions("multiclass-classification", true.astype(float), predicted, score, tuple(range(classes)))


def regression(n: int = 400, seed: int = 1, noise: float = 1.0) -> Predictions:
    generator = np.random.default_rng(seed)
    true = 100 + 3 * generator.normal(size=n)
    predicted = true + noise * generator.normal(size=n) + 0.2
    return Predictions("regression", true, predicted, predicted)


BINARY = {
    "accuracy": lambda p: reference.accuracy_score(p.y_true, p.y_pred),
    "balanced-accuracy": lambda p: reference.balanced_accuracy_score(p.y_true, p.y_pred),
    "precision": lambda p: reference.precision_score(p.y_true, p.y_pred),
    "recall": lambda p: reference.recall_score(p.y_true, p.y_pred),
    "f1": lambda p: reference.f1_score(p.y_true, p.y_pred),
    "roc-auc": lambda p: reference.roc_auc_score(p.y_true, p.y_score),
    "average-precision": lambda p: reference.average_precision_score(p.y_true, p.y_score),
    "log-loss": lambda p: reference.log_loss(p.y_true, p.y_score),
    "brier": lambda p: reference.brier_score_loss(p.y_true, p.y_score),
}
MULTICLASS = {
    "accuracy": BINARY["accuracy"],
    "balanced-accuracy": BINARY["balanced-accuracy"],
    "macro-f1": lambda p: reference.f1_score(p.y_true, p.y_pred, average="macro"),
    "log-loss": BINARY["log-loss"],
}
REGRESSION = {
    "mae": lambda p: reference.mean_absolute_error(p.y_true, p.y_pred),
    "rmse": lambda p: reference.root_mean_squared_error(p.y_true, p.y_pred),
    "r2": lambda p: reference.r2_score(p.y_true, p.y_pred),
    "bias": lambda p: float(np.mean(p.y_pred - p.y_true)),
    "mape": lambda p: reference.mean_absolute_percentage_error(p.y_true, p.y_pred),
}
CASES = [
    *((name, make, check) for name, check in BINARY.items() for make in (binary,)),
    *((name, make, check) for name, check in MULTICLASS.items() for make in (multiclass,)),
    *((name, make, check) for name, check in REGRESSION.items() for make in (regression,)),
]


@pytest.mark.parametrize(("name", "make", "check"), CASES, ids=[f"{make.__name__}-{name}" for name, make, _ in CASES])
@pytest.mark.parametrize("n", [150, 6000])
def test_value_is_scikit_learns_and_lies_in_its_interval(name, make, check, n):
    """Each metric equals scikit-learn's, lies strictly inside its interval, and more rows give a narrower one."""
    predictions = make(n)
    found = measure(name, predictions)
    assert found.value == pytest.approx(check(predictions), rel=1e-9, abs=1e-12)
    assert found.lower < found.value < found.upper
    wide = measure(name, make(60, seed=4))
    assert found.upper - found.lower < wide.upper - wide.lower
    assert measure(name, predictions) == found


def test_every_name_is_measured_somewhere():
    """The catalogue has no name without a reference value in these tests, and the defaults are of their task."""
    assert set(NAMES) == set(BINARY) | set(MULTICLASS) | set(REGRESSION)
    for make in (binary, multiclass, regression):
        predictions = make()
        names = default_metrics(predictions.task)
        assert [value.name for value in measure_all(predictions, names=names)] == list(names)


def test_direction():
    """Losses are better when small; a bias has no direction."""
    assert greater_is_better("recall") is True
    assert greater_is_better("rmse") is False
    assert greater_is_better("bias") is None


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("accuracy", 400),
        ("recall", int(binary().y_true.sum())),
        ("precision", int(binary().y_pred.sum())),
        ("roc-auc", int(binary().y_true.sum())),
        ("average-precision", int(binary().y_true.sum())),
        ("f1", int(((binary().y_true == 1) | (binary().y_pred == 1)).sum())),
    ],
)
def test_n_is_what_the_metric_is_a_share_of(name, n):
    """The n of a metric is its denominator, not the number of rows."""
    assert measure(name, binary()).n == n


def test_threshold_changes_labels_only():
    """Another threshold changes recall and leaves the ranking alone."""
    predictions = binary()
    assert measure("recall", predictions, threshold=0.2).value > measure("recall", predictions).value
    assert measure("roc-auc", predictions, threshold=0.2) == measure("roc-auc", predictions)


def _replace(predictions: Predictions, **changes) -> Predictions:
    values = {"task": predictions.task, "y_true": predictions.y_true, "y_pred": predictions.y_pred}
    values |= {"y_score": predictions.y_score, "classes": predictions.classes}
    return Predictions(**(values | changes))


ZEROS, ONES, HALF = np.zeros(50), np.ones(50), np.full(50, 0.5)
NAN = np.full(50, np.nan)
TASK = "binary-classification"


@pytest.mark.parametrize(
    ("name", "predictions", "said"),
    [
        ("recall", Predictions(TASK, ZEROS, ONES, HALF), "no row is positive"),
        ("f1", Predictions(TASK, ZEROS, ONES, HALF), "no row is positive"),
        ("average-precision", Predictions(TASK, ZEROS, ONES, HALF), "no row is positive"),
        ("roc-auc", Predictions(TASK, ONES, ONES, HALF), "no row is negative"),
        ("precision", Predictions(TASK, ONES, ZEROS, HALF), "nothing is predicted positive"),
        ("balanced-accuracy", Predictions(TASK, ONES, ONES, HALF), "one class"),
        ("accuracy", Predictions(TASK, ONES[:1], ONES[:1], HALF[:1]), "too few"),
        ("accuracy", Predictions(TASK, ONES[:0], ONES[:0], HALF[:0]), "too few"),
        ("roc-auc", Predictions(TASK, np.r_[ZEROS[:25], ONES[:25]], ONES, NAN), "50 of 50 rows have a score"),
        ("mae", Predictions("regression", ONES, NAN, NAN), "50 of 50 rows have a prediction"),
        ("mae", Predictions("regression", np.r_[np.nan, ONES[1:]], ONES, ONES), "1 of 50 rows have a truth"),
        ("r2", Predictions("regression", ONES, HALF, HALF), "equal"),
        ("mape", Predictions("regression", ZEROS, HALF, HALF), "zero"),
    ],
)
def test_undefined_metrics_are_none_with_a_reason(name, predictions, said):
    """Where a metric has no value there is none, never a zero, and the reason says why."""
    assert measure(name, predictions) is None
    assert said in undefined(name, predictions)


@pytest.mark.parametrize(
    ("name", "make", "code"), [("recal", binary, "unknown-metric"), ("roc-auc", regression, "metric-not-for-task")]
)
def test_wrong_names_are_errors(name, make, code):
    """A misspelt metric names the nearest, and a metric of another task is refused."""
    with pytest.raises(ModelOpsError) as caught:
        measure(name, make())
    assert caught.value.problems[0].code == code
    if code == "unknown-metric":
        assert "recall" in caught.value.problems[0].hint


@pytest.mark.parametrize("name", ["accuracy", "recall", "precision", "f1", "balanced-accuracy", "roc-auc"])
def test_a_perfect_small_sample_is_not_certainty(name):
    """Twenty rows without a mistake leave room below 1."""
    true = np.r_[np.zeros(10), np.ones(10)]
    found = measure(name, Predictions(TASK, true, true, true))
    assert found.value == 1.0
    assert 0.6 < found.lower < 0.95
    assert found.upper == 1.0


def _coverage(name: str, make, truth: float, runs: int, n: int) -> float:
    hits = 0
    for seed in range(runs):
        found = measure(name, make(n, seed=seed), level=0.9)
        hits += found.lower <= truth <= found.upper
    return hits / runs


@pytest.mark.parametrize(
    ("name", "make", "n"),
    [
        ("f1", binary, 120),
        ("roc-auc", binary, 120),
        ("balanced-accuracy", multiclass, 120),
        ("macro-f1", multiclass, 120),
        ("average-precision", binary, 120),
        ("r2", regression, 120),
        ("rmse", regression, 120),
        ("mae", regression, 120),
    ],
)
def test_intervals_cover(name, make, n):
    """Intervals at level 0.9 hold the truth in about 0.9 of 80 samples."""
    truth = measure(name, make(200_000, seed=10_000)).value
    assert _coverage(name, make, truth, 80, n) >= 0.8


def _near_the_top(run: int, distances: tuple[float, float]) -> tuple[Predictions, ...]:
    """Two models that rank 20 positives among 400 rows almost perfectly, and mostly alike."""
    generator = np.random.default_rng([8, run])
    truth = np.repeat([1.0, 0.0], (20, 380))
    shared = generator.normal(size=400) * 0.95**0.5
    scores = [shared + generator.normal(size=400) * 0.05**0.5 + d * truth for d in distances]
    return tuple(Predictions(TASK, truth, (score > 2).astype(float), score) for score in scores)


def test_margins_hold_near_the_top():
    """A candidate that is worse by exactly the margin, at areas of 0.988 and 0.993 of 20 positives, is not let by."""
    margin = norm.cdf(3.5 / 2**0.5) - norm.cdf(3.2 / 2**0.5)
    pairs = [_near_the_top(run, (3.2, 3.5)) for run in range(100)]
    found = [paired_difference("roc-auc", *pair) for pair in pairs]
    assert sum(one.lower > -margin for one in found) <= 6
    assert all(one.lower < one.value < one.upper for one in found)


@pytest.mark.parametrize(("name", "n"), [("average-precision", 20), ("r2", 200), ("rmse", 200), ("log-loss", 400)])
def test_what_is_perfect_in_a_sample_is_not_certain(name, n):
    """Without an error seen the interval leaves room for as many as the rows allow; a mean of none decides nothing."""
    if name in ("r2", "rmse"):
        truth = np.random.default_rng(1).normal(size=n)
        rows = Predictions("regression", truth, truth, truth)
    else:
        truth = np.repeat([1.0, 0.0], (20, 380))
        rows = Predictions(TASK, truth, truth, truth)
    found = measure(name, rows)
    gap = found.value - found.lower if name in ("average-precision", "r2") else found.upper - found.value
    assert 0.3 / n < gap < 0.2
    assert (unsettled(name, rows) is None) == (name == "average-precision")


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("roc-auc", lambda: binary(60, rate=0.05), "rows of the rarer class"),
        ("average-precision", lambda: binary(60, rate=0.05), "positives"),
        ("log-loss", lambda: binary(60, rate=0.05), "rows of the rarer class"),
        ("rmse", lambda: regression(25), "25 rows"),
        ("r2", lambda: regression(15), "15 rows"),
        ("mae", lambda: _replace(regression(90), y_pred=regression(90).y_true + (np.arange(90) == 4)), "1 of 90 rows"),
        ("recall", lambda: binary(60, rate=0.05), None),
        ("r2", lambda: regression(60), None),
    ],
)
def test_below_its_size_an_interval_decides_nothing(name, rows, said):
    """Few rows of a class, few rows, or one row that makes the variance: the metric is told, and settles nothing."""
    found = unsettled(name, rows())
    assert found is None if said is None else said in found


def test_a_few_large_errors_of_a_good_model_do_not_hide_that_it_is_better_than_none():
    """How good it is rests on two rows and is not told; that r2 is above 0 rests on all, near its value it does not."""
    truth = np.random.default_rng(4).normal(size=120)
    said = truth + np.where(np.arange(120) < 2, 1.2, 0.01)
    rows = Predictions("regression", truth, said, said)
    assert "2 of 120 rows" in (unsettled("r2", rows) or "")
    assert unsettled("r2", rows, limit=0.0) is None
    assert unsettled("r2", rows, limit=0.97) is not None
    worse = Predictions("regression", truth, truth + 0.02, truth + 0.02)
    assert unsettled("r2", worse, rows) is not None
    assert unsettled("r2", worse, rows, limit=-0.5) is None


def test_equal_models_differ_by_nothing_whatever_the_rows():
    """A retraining that gives the same answers is no worse, on as few rows as there may be."""
    rows = regression(10)
    assert unsettled("rmse", rows, rows) is None
    for name in ("rmse", "r2", "mae"):
        found = paired_difference(name, rows, rows)
        assert (found.value, found.lower, found.upper) == (0.0, 0.0, 0.0)


def test_many_classes_use_only_occupied_cells():
    """Sixty classes are measured in little memory, predicted labels outside the truth included."""
    generator = np.random.default_rng(3)
    true = generator.integers(0, 60, 3000).astype(float)
    predicted = np.where(generator.random(3000) < 0.8, true, 75.0)
    predictions = Predictions("multiclass-classification", true, predicted, np.ones((3000, 80)), tuple(range(80)))
    found = measure("macro-f1", predictions)
    expected = reference.f1_score(true, predicted, labels=np.unique(true), average="macro")
    assert found.value == pytest.approx(expected)
    assert found.lower < found.value < found.upper


PAIRED = [
    *((name, binary) for name in BINARY),
    *((name, multiclass) for name in MULTICLASS),
    *((name, regression) for name in REGRESSION),
]


@pytest.mark.parametrize(("name", "make"), PAIRED, ids=[f"{make.__name__}-{name}" for name, make in PAIRED])
def test_paired_difference(name, make):
    """The difference is that of the two values, its sign turns with the order, and pairing narrows it."""
    first = make(500)
    score = np.roll(first.y_score, 1, axis=0) * 0.1 + first.y_score * 0.9
    predicted = score if make is regression else score.argmax(axis=1) if score.ndim == 2 else score >= 0.5
    second = _replace(first, y_score=score, y_pred=np.asarray(predicted, dtype=float))
    found, back = paired_difference(name, first, second), paired_difference(name, second, first)
    assert found.value == pytest.approx(measure(name, first).value - measure(name, second).value)
    assert back.value == pytest.approx(-found.value)
    assert found.lower <= found.value <= found.upper
    apart = measure(name, first), measure(name, second)
    assert found.upper - found.lower < sum(value.upper - value.lower for value in apart)
    same = paired_difference(name, first, first)
    assert same.lower <= 0 <= same.upper
    assert same.value == 0


def test_paired_difference_needs_the_same_rows():
    """Other rows, or an undefined metric, give no difference."""
    assert paired_difference("accuracy", binary(seed=1), binary(seed=2)) is None
    assert paired_difference("accuracy", binary(400), binary(300)) is None
    broken = _replace(binary(), y_score=np.full(400, np.nan))
    assert paired_difference("roc-auc", binary(), broken) is None


@pytest.mark.parametrize(
    "name", ["accuracy", "precision", "recall", "f1", "roc-auc", "average-precision", "balanced-accuracy", "log-loss"]
)
def test_a_difference_rests_on_the_rows_that_the_metric_does(name):
    """A paired difference counts the same rows as the metric itself, so few positives are not hidden by many rows."""
    first = binary(400, rate=0.05)
    assert paired_difference(name, first, first).n == measure(name, first).n
