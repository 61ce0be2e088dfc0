"""What a metric is expected to be where no labels have arrived, from scores alone or from a model of the loss.

A classifier's own score says how likely its answer is right, as far as it is calibrated (confidence-based performance
estimation). Of a regression a second model learns on the release's holdout how large the error is for which row (direct
loss estimation). Both see that easier or harder rows come; both suppose that the truth still depends on a row as it did
on the holdout, so both are blind to concept drift.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from modelops.metrics.rows import FloatArray, Predictions
from modelops.statistics.auc import midranks
from modelops.statistics.intervals import normal_quantile

__all__ = [
    "BY_LOSS",
    "BY_SCORE",
    "Calibration",
    "Expected",
    "calibration_error",
    "estimate_by_loss",
    "estimate_by_score",
]

BY_SCORE = ("accuracy", "balanced-accuracy", "precision", "recall", "f1", "roc-auc", "log-loss", "brier")
"""Metrics of two classes that can be estimated; of several classes accuracy alone, for the log has one score a row."""
BY_LOSS = ("mae", "rmse")
FEWEST = 200
"""With fewer rows of the holdout nothing is calibrated."""
_FOLDS, _GROUPS, _BINS, _DRAWS, _MOST, _SEED = 5, 10, 10, 60, 20_000, 0
_TINY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Expected:
    """An expected metric with its interval, on ``n`` rows; ``calibration_error`` is in the unit of what is estimated.

    The interval is of the metric that these rows would have on average, with the sampling of both the window and the
    holdout in it, and without what no such estimate can see.
    """

    value: float
    lower: float
    upper: float
    level: float
    n: int
    method: str
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising step function from a score to a probability; without ``places`` the score is the probability."""

    places: FloatArray | None = None
    values: FloatArray | None = None

    @classmethod
    def fitted(cls, scores: FloatArray, right: FloatArray) -> Calibration:
        """Fit by isotonic regression: ``right`` is 1 where what the score is a probability of came true."""
        from sklearn.isotonic import IsotonicRegression

        found = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, right)
        return cls(np.asarray(found.X_thresholds_, dtype=np.float64), np.asarray(found.y_thresholds_, dtype=np.float64))

    def __call__(self, scores: FloatArray) -> FloatArray:
        """Return the probabilities of some scores."""
        if self.places is None or self.values is None:
            return np.clip(scores, 0.0, 1.0)
        return np.asarray(np.interp(scores, self.places, self.values))


def calibration_error(said: FloatArray, found: FloatArray) -> float:
    r"""Return the expected calibration error over ten bins of equal frequency.

    .. math:: ECE = \sum_b \frac{n_b}{n} \big| \overline{said}_b - \overline{found}_b \big|

    Parameters
    ----------
    said, found : arrays of shape (n,)
        Probabilities and outcomes, or expected and actual losses.

    Returns
    -------
    float, at least 0, in the unit of these

    References
    ----------
    M. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI (2015).

    Examples
    --------
    >>> round(calibration_error(np.array([0.2] * 10), np.array([1.0] * 4 + [0.0] * 6)), 6)
    0.2
    """
    # Equal values lie in one bin, that of their mean rank.
    bins = ((midranks(said) - 0.5) * _BINS / max(1, len(said))).astype(np.int64)
    apart = np.bincount(bins, weights=said - found, minlength=_BINS)
    return float(np.abs(apart).sum() / max(1, len(said)))


def estimate_by_score(
    name: str, holdout: Predictions, scores: FloatArray, positive: FloatArray | None, level: float
) -> Expected | None:
    """Estimate a classifier's metric on answered rows without labels.

    Parameters
    ----------
    name : str
        One of ``BY_SCORE``; of several classes ``accuracy``.
    holdout : Predictions
        Of the release, with its truth; the scores are calibrated on it, unless they are better as they are.
    scores : array of shape (n,)
        The probability of the positive class, or with several classes of the answered one.
    positive : array of shape (n,) of 0 and 1
        What was answered; None with several classes.
    level : float
        Of the interval.

    Returns
    -------
    Expected or None
        None where the metric cannot be estimated so, with fewer than 200 rows of either, or where it is undefined.

    References
    ----------
    C. Guillory et al., "Predicting with confidence on unseen distributions", ICCV (2021), on estimates from scores;
    B. Zadrozny and C. Elkan, KDD (2002), on isotonic calibration.

    Examples
    --------
    >>> p = np.array([0.05, 0.10, 0.20, 0.35, 0.45, 0.55, 0.60, 0.80, 0.90, 0.95])
    >>> round(expected_metric("recall", p, p, (p >= 0.5) * 1.0), 6)
    0.767677
    """
    told = holdout.y_score if holdout.y_score.ndim == 1 else holdout.y_score.max(axis=1)
    right = holdout.y_true if positive is not None else (holdout.y_true == holdout.y_pred).astype(np.float64)
    if min(len(told), len(scores)) < FEWEST or (positive is None and name != "accuracy") or name not in BY_SCORE:
        return None
    calibrated, error, method = _calibration(told, right)
    value = expected_metric(name, calibrated(scores), scores, positive)
    if not np.isfinite(value):
        return None
    rng, drawn = np.random.default_rng(_SEED), []
    refit = calibrated.places is not None
    for _ in range(_DRAWS):
        rows = rng.integers(0, len(told), min(len(told), _MOST))
        again = Calibration.fitted(told[rows], right[rows]) if refit else calibrated
        mine = rng.integers(0, len(scores), min(len(scores), _MOST))
        drawn.append(
            expected_metric(name, again(scores[mine]), scores[mine], None if positive is None else positive[mine])
        )
    spread = float(np.nanstd(drawn, ddof=1))
    half = normal_quantile(level) * spread
    most = np.inf if name == "log-loss" else 1.0
    return Expected(value, max(0.0, value - half), min(most, value + half), level, len(scores), method, error)


def _calibration(scores: FloatArray, right: FloatArray) -> tuple[Calibration, float, str]:
    """Choose between the scores as they are and isotonic ones, by the error on rows that were not fitted to."""
    folds = np.random.default_rng(_SEED).permutation(len(scores)) % _FOLDS
    fitted = np.empty(len(scores))
    for fold in range(_FOLDS):
        out = folds == fold
        fitted[out] = Calibration.fitted(scores[~out], right[~out])(scores[out])
    plain, isotonic = calibration_error(np.clip(scores, 0, 1), right), calibration_error(fitted, right)
    if plain <= isotonic:
        return Calibration(), plain, "calibrated scores (as they are)"
    return Calibration.fitted(scores, right), isotonic, "calibrated scores (isotonic)"


def expected_metric(name: str, probabilities: FloatArray, scores: FloatArray, positive: FloatArray | None) -> float:
    """Return a metric with each row counted as positive by its probability; NaN where it is undefined.

    Parameters
    ----------
    name : str
        One of ``BY_SCORE``.
    probabilities : array of shape (n,)
        That a row is positive, or without ``positive`` that its answer is right.
    scores : array of shape (n,)
        By which rows are ranked, and which log loss and Brier's score are of.
    positive : array of shape (n,) of 0 and 1, or None
        What was answered.

    Returns
    -------
    float

    References
    ----------
    As for ``estimate_by_score``.

    Examples
    --------
    >>> p = np.array([0.05, 0.10, 0.20, 0.35, 0.45, 0.55, 0.60, 0.80, 0.90, 0.95])
    >>> answers = (p >= 0.5) * 1.0
    >>> [round(expected_metric(name, p, p, answers), 6) for name in ("accuracy", "precision", "f1", "roc-auc")]
    [0.765, 0.76, 0.763819, 0.851035]
    """
    p = probabilities
    if positive is None:
        return float(p.mean())
    hit, miss = float((p * positive).sum()), float((p * (1 - positive)).sum())
    false, left = float(((1 - p) * positive).sum()), float(((1 - p) * (1 - positive)).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        match name:
            case "accuracy":
                return (hit + left) / len(p)
            case "balanced-accuracy":
                return float(np.divide(hit, hit + miss) / 2 + np.divide(left, left + false) / 2)
            case "precision":
                return float(np.divide(hit, hit + false))
            case "recall":
                return float(np.divide(hit, hit + miss))
            case "f1":
                return float(np.divide(2 * hit, 2 * hit + false + miss))
            case "log-loss":
                told = np.clip(scores, _TINY, 1 - _TINY)
                return float(-(p * np.log(told) + (1 - p) * np.log1p(-told)).mean())
            case "brier":
                return float((p * np.square(1 - scores) + (1 - p) * np.square(scores)).mean())
            case _:
                return _area(p, scores)


def _area(p: FloatArray, scores: FloatArray) -> float:
    """Return the chance that of a positive and a negative row the positive one has the higher score."""
    places = np.unique(scores, return_inverse=True)[1]
    rows, others = np.bincount(places, weights=p), np.bincount(places, weights=1 - p)
    below = np.cumsum(others) - others
    total = float(rows.sum() * others.sum())
    return float((rows * (below + others / 2)).sum() / total) if total else float("nan")


def estimate_by_loss(
    name: str,
    losses: FloatArray,
    rows: FloatArray,
    window: FloatArray,
    level: float,
    fit: Callable[[FloatArray, FloatArray], Callable[[FloatArray], FloatArray]] | None = None,
) -> Expected | None:
    """Estimate a regression's error on answered rows without labels.

    Parameters
    ----------
    name : str
        ``mae`` or ``rmse``.
    losses : array of shape (n,)
        Absolute errors for ``mae`` and squared ones for ``rmse``, of the release's holdout.
    rows, window : arrays of shapes (n, k) and (m, k)
        Features and the release's answer, NaN where missing, of the holdout and of the window.
    level : float
        Of the interval.
    fit : callable, optional
        Fits a model of the loss; small boosted trees unless said otherwise.

    Returns
    -------
    Expected or None
        None for another metric, and for fewer than 200 rows of either.

    Notes
    -----
    The mean loss is that of the fitted model on the window. Its variance is that of these values over the window, and
    that of the fit: the jackknife's over ten random groups of the holdout, with Student's t of nine degrees of freedom.
    So the interval is wide where the window lies in a corner of the holdout, of which few rows tell. What trees pull
    from a corner towards its neighbours is not in it, nor are heavy tails that the holdout does not show.

    References
    ----------
    K. Wolter, "Introduction to Variance Estimation" (2007), chapter 4, on the jackknife by groups; C.-E. Saerndal,
    B. Swensson, J. Wretman, "Model Assisted Survey Sampling" (1992), section 6, on estimating a mean by a regression.
    """
    if name not in BY_LOSS or min(len(losses), len(window)) < FEWEST:
        return None
    learn = fit or _boosted
    groups = np.random.default_rng(_SEED).permutation(len(losses)) % _GROUPS
    unseen, means = np.empty(len(losses)), np.empty(_GROUPS)
    for group in range(_GROUPS):
        out = groups == group
        without = learn(rows[~out], losses[~out])
        unseen[out], means[group] = without(rows[out]), np.maximum(without(window), 0.0).mean()
    told = np.maximum(learn(rows, losses)(window), 0.0)
    mean = float(told.mean())
    fitting = (_GROUPS - 1) / _GROUPS * float(np.square(means - means.mean()).sum())
    variance = float(told.var(ddof=1)) / len(told) + fitting
    half = float(stdtrit(_GROUPS - 1, (1 + level) / 2)) * variance**0.5
    bounds = (mean, max(0.0, mean - half), mean + half)
    error = calibration_error(unseen, losses)
    if name == "rmse":
        bounds = (bounds[0] ** 0.5, bounds[1] ** 0.5, bounds[2] ** 0.5)
        error = error / (2 * max(bounds[0], _TINY))
    return Expected(*bounds, level, len(window), "a model of the loss", error)


def _boosted(rows: FloatArray, losses: FloatArray) -> Callable[[FloatArray], FloatArray]:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    learner = HistGradientBoostingRegressor(
        max_iter=60, max_leaf_nodes=8, min_samples_leaf=30, early_stopping=False, random_state=_SEED
    )
    # So few rows gain nothing by threads, which wait for each other where the machine is busy.
    with threadpool_limits(1):
        model = learner.fit(rows, losses)
    return lambda asked: np.asarray(model.predict(asked), dtype=np.float64)
