"""Curves are scikit-learn's, thinned; bands and intervals hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from modelops.metrics import Predictions
from modelops.metrics.curves import MOST_POINTS, Curve, band, curves
from modelops.statistics.intervals import exact_proportion


def binary(n: int = 2_000, seed: int = 0, *, digits: int | None = None, weighted: bool = False) -> Predictions:
    """Return scores that rank the positives higher; with ``digits`` many of them are equal."""
    rng = np.random.default_rng(seed)
    true = (rng.random(n) < 0.2).astype(float)
    score = norm.cdf(rng.normal(size=n) + 1.5 * true - 1)
    score = score if digits is None else np.round(score, digits)
    weight = rng.gamma(2.0, size=n) if weighted else None
    return Predictions("binary-classification", true, (score >= 0.5).astype(float), score, ("no", "yes"), weight)


def among(points: list[tuple[float, float]], curve: Curve) -> bool:
    known = {(round(x, 12), round(y, 12)) for x, y in points}
    return all((round(point.x, 12), round(point.y, 12)) in known for point in curve.points)


@pytest.mark.parametrize("digits", [None, 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_points_are_scikit_learn_s(digits: int | None, weighted: bool) -> None:
    """Each point of both curves is one of scikit-learn's, with both ends, the areas are its areas."""
    found = binary(digits=digits, weighted=weighted)
    drawn = curves(found, 0.5)
    weight = found.sample_weight
    x, y, _ = roc_curve(found.y_true, found.y_score, sample_weight=weight, drop_intermediate=False)
    roc = drawn.roc[""]
    assert among(list(zip(x, y, strict=True)), roc)
    assert [(point.x, point.y) for point in (roc.points[0], roc.points[-1])] == [(0, 0), (1, 1)]
    assert len(roc.points) <= MOST_POINTS + 2
    assert roc.area == pytest.approx(roc_auc_score(found.y_true, found.y_score, sample_weight=weight))
    precision, recall, _ = precision_recall_curve(found.y_true, found.y_score, sample_weight=weight)
    falling = drawn.precision_recall[""]
    assert among(list(zip(recall, precision, strict=True)), falling)
    assert falling.area == pytest.approx(average_precision_score(found.y_true, found.y_score, sample_weight=weight))
    assert falling.chance == pytest.approx(np.average(found.y_true, weights=weight))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.95])
def test_the_served_point_is_what_the_threshold_answers(threshold: float) -> None:
    """Rates at the threshold are counted from the labels that it gives, with the exact intervals of these counts."""
    found = binary(digits=2).at(threshold)
    positive, called = found.y_true == 1, found.y_pred == 1
    drawn = curves(found, threshold)
    at, falling = drawn.roc[""].at, drawn.precision_recall[""].at
    assert at is not None
    assert falling is not None
    assert at.y == falling.x == pytest.approx(called[positive].mean())
    assert at.x == pytest.approx(called[~positive].mean())
    assert falling.y == pytest.approx(positive[called].mean())
    bounds = exact_proportion(int((called & positive).sum()), int(positive.sum()), 0.95**0.5)
    assert at.y_bounds == pytest.approx(bounds)
    assert falling.y_bounds == pytest.approx(exact_proportion(int((called & positive).sum()), int(called.sum()), 0.975))


def test_nothing_is_positive_above_all_scores() -> None:
    """A threshold that no row reaches has no precision, and a ROC point where nothing is positive."""
    drawn = curves(binary(), 2.0)
    assert drawn.precision_recall[""].at is None
    at = drawn.roc[""].at
    assert at is not None
    assert (at.x, at.y) == (0, 0)


def test_calibration_is_scikit_learn_s() -> None:
    """Groups are its quantile bins, means and shares of each."""
    found = binary()
    share, mean = calibration_curve(found.y_true, found.y_score, n_bins=10, strategy="quantile")
    groups = curves(found).calibration
    assert [one.said for one in groups] == pytest.approx(mean.tolist())
    assert [one.found for one in groups] == pytest.approx(share.tolist())
    assert all(one.lower <= one.found <= one.upper for one in groups)
    assert sum(one.n for one in groups) == len(found)


def test_bands_enclose_their_curve() -> None:
    """The outline of the boxes has the curve inside: better corners on one side, worse ones on the other."""
    drawn = curves(binary())
    for curve, rising in ((drawn.roc[""], True), (drawn.precision_recall[""], False)):
        outline = band(curve.points, rising=rising)
        many = len(curve.points)
        assert len(outline) == 2 * many
        for point, better, worse in zip(curve.points, outline[:many], reversed(outline[many:]), strict=True):
            assert worse[1] <= point.y <= better[1]
            assert (better[0] <= point.x <= worse[0]) if rising else (worse[0] <= point.x <= better[0])


def test_several_classes_are_one_against_the_rest() -> None:
    """Curves of the most frequent classes; a class that is in no test row, and those beyond six, are named."""
    rng = np.random.default_rng(3)
    classes = tuple("abcdefgh")
    true = rng.choice(7, 1_000, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05]).astype(float)
    score = rng.dirichlet(np.ones(8), 1_000)
    score[np.arange(1_000), true.astype(int)] += 1
    score /= score.sum(axis=1, keepdims=True)
    drawn = curves(Predictions("multiclass-classification", true, score.argmax(axis=1) * 1.0, score, classes))
    assert len(drawn.roc) == 6
    assert set(drawn.roc) | set(drawn.left) == set(classes)
    assert "h" in drawn.left
    assert drawn.roc["a"].area == pytest.approx(roc_auc_score(true == 0, score[:, 0]))
    right = score.argmax(axis=1) == true
    assert sum(one.found * one.n for one in drawn.calibration) == pytest.approx(right.sum())


def test_values_are_told_by_groups() -> None:
    """Groups of a regression have the means and quantiles of their rows, and every residual is counted."""
    rng = np.random.default_rng(4)
    said = rng.normal(size=1_000)
    true = said + rng.normal(size=1_000)
    drawn = curves(Predictions("regression", true, said, said))
    order = np.argsort(said)
    first = order[:100]
    assert drawn.agreement[0].said == pytest.approx(said[first].mean())
    assert drawn.agreement[0].found == pytest.approx(true[first].mean())
    assert drawn.residuals[0].low == pytest.approx(np.quantile(true[first] - said[first], 0.1))
    assert drawn.spread is not None
    assert sum(drawn.spread[1]) == 1_000
    assert (drawn.roc, drawn.calibration) == ({}, ())


@pytest.mark.parametrize("rows", [1, 5, 19])
def test_few_rows_make_no_groups(rows: int) -> None:
    """Fewer than twenty rows point at persons: no group, no histogram; one class alone has no curve."""
    drawn = curves(binary(200).take(np.arange(rows)))
    assert drawn.calibration == ()
    assert curves(Predictions("regression", *(np.arange(rows) * 1.0,) * 3)).spread is None
    alone = Predictions("binary-classification", *(np.ones(rows),) * 3, ("no", "yes"))
    assert curves(alone).roc == {}


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_the_boxes_hold_as_often_as_they_say(weighted: bool) -> None:
    """At a threshold the true rates of both curves are in their boxes in at least 95 % of 400 draws, but for chance."""
    threshold, share, runs = 0.5, 0.2, 400
    true_positive, false_positive = norm.sf(-0.5), norm.sf(1.0)
    precision = share * true_positive / (share * true_positive + (1 - share) * false_positive)
    held = np.zeros(2, dtype=int)
    for seed in range(runs):
        drawn = curves(binary(300, seed, weighted=weighted), threshold)
        at, falling = drawn.roc[""].at, drawn.precision_recall[""].at
        assert at is not None
        assert falling is not None
        held[0] += _in(false_positive, at.x_bounds) and _in(true_positive, at.y_bounds)
        held[1] += _in(true_positive, falling.x_bounds) and _in(precision, falling.y_bounds)
    for count in held:
        assert binomtest(int(count), runs, 0.95, alternative="less").pvalue > 1e-3, held


def _in(value: float, bounds: tuple[float, float]) -> bool:
    return bool(bounds[0] <= value <= bounds[1])
