"""The values themselves: per-row terms, confusion cells, and statistics of weighted rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelops.metrics.rows import FloatArray, Predictions

Weighted = Callable[[FloatArray], FloatArray]
"""From counts of rows, shape (draws, n), to values of a metric, shape (draws,)."""

_TINY = float(np.finfo(np.float64).eps)


def row_terms(name: str, predictions: Predictions) -> FloatArray:
    """Return the per-row terms, shape (n,), whose mean is the metric.

    ``log-loss`` is in nats with probabilities clipped to machine epsilon, ``brier`` the squared error of the positive
    probability, ``mape`` a share (0.1 is ten percent), ``bias`` the error y_pred - y_true.
    """
    true, predicted, score = predictions.y_true, predictions.y_pred, predictions.y_score
    if name == "log-loss":
        if score.ndim == 2:
            share = score[np.arange(len(true)), true.astype(np.int64)] / score.sum(axis=1)
        else:
            share = np.where(true == 1, score, 1 - score)
        return np.asarray(-np.log(np.clip(share, _TINY, 1.0)))
    if name == "brier":
        return np.asarray(np.square(score - true))
    error: FloatArray = predicted - true
    if name == "bias":
        return error
    return np.abs(error) / np.abs(true) if name == "mape" else np.abs(error)


def proportion_rows(name: str, predictions: Predictions) -> tuple[Any, Any]:
    """Return the masks (which rows count, which of all rows are hits), both shape (n,), of a proportion."""
    true, predicted = predictions.y_true, predictions.y_pred
    if name == "recall":
        return true == 1, predicted == 1
    if name == "precision":
        return predicted == 1, true == 1
    return np.ones(len(true), dtype=bool), predicted == true


def from_cells(name: str, weights: FloatArray, true: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return a metric of confusion cells, shape (draws,).

    Parameters
    ----------
    name : str
        A metric of counts.
    weights : array of shape (draws, cells)
        Counts or probabilities of the cells; their scale does not matter.
    true, predicted : arrays of shape (cells,)
        The label codes of each cell.

    Notes
    -----
    ``balanced-accuracy`` and ``macro-f1`` average over the classes that occur in ``true``.
    """
    labels = np.array([1.0]) if name in ("f1", "precision", "recall") else np.unique(true)
    is_true = (true[:, None] == labels).astype(np.float64)
    is_predicted = (predicted[:, None] == labels).astype(np.float64)
    hits = weights @ (is_true * is_predicted)
    actual, chosen = weights @ is_true, weights @ is_predicted
    below = {"balanced-accuracy": actual, "recall": actual, "precision": chosen}.get(name, (actual + chosen) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        value: FloatArray = np.asarray((hits / below).mean(axis=1))
    return value


def _average_precision(predictions: Predictions) -> Weighted:
    order = np.argsort(-predictions.y_score, kind="stable")
    score, positive = predictions.y_score[order], predictions.y_true[order]
    last_of_ties = np.flatnonzero(np.append(np.diff(score) != 0, True))

    def value(counts: FloatArray) -> FloatArray:
        sorted_counts = counts[:, order]
        found = np.cumsum(sorted_counts * positive, axis=1)[:, last_of_ties]
        returned = np.cumsum(sorted_counts, axis=1)[:, last_of_ties]
        gained = np.diff(found, axis=1, prepend=0.0)
        precision = np.divide(found, returned, out=np.zeros_like(found), where=returned > 0)
        area: FloatArray = (gained * precision).sum(axis=1) / found[:, -1]
        return area

    return value


def _moments(name: str, predictions: Predictions) -> Weighted:
    true = predictions.y_true - predictions.y_true.mean()  # r2 does not change, and no digits are lost
    squared_error = np.square(predictions.y_pred - predictions.y_true)

    def value(counts: FloatArray) -> FloatArray:
        n = counts.sum(axis=1)
        residual = counts @ squared_error
        if name == "rmse":
            return np.asarray(np.sqrt(residual / n))
        total = counts @ np.square(true) - np.square(counts @ true) / n
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(total > 0, 1 - residual / total, np.nan))

    return value


def of_weighted_rows(name: str, predictions: Predictions) -> Weighted:
    """Return the function from row counts to values of ``average-precision``, ``rmse`` or ``r2``."""
    return _average_precision(predictions) if name == "average-precision" else _moments(name, predictions)


def influence(name: str, predictions: Predictions) -> FloatArray:
    r"""Return the empirical influence function of a metric, shape (n,): sum of zero, variance n times the metric's.

    Notes
    -----
    For average precision, with P(t) and N(t) the shares of the m positives and n negatives that score at least t and
    :math:`\pi(t) = mP / (mP + nN)`, a positive at x has

    .. math:: \pi(x) - AP + \frac1m \sum_{z \in +} \frac{m n N(z)}{(mP(z) + nN(z))^2} [1(x \ge z) - P(z)]

    and a negative the same sum with :math:`-n m P(z)` and N in place of P; both are scaled from their class to all
    rows. See F. R. Hampel, "The influence curve and its role in robust estimation", JASA 69 (1974).
    """
    if name == "average-precision":
        return _influence_of_average_precision(predictions)
    squared_error = np.square(predictions.y_pred - predictions.y_true)
    residual = float(squared_error.mean())
    if name == "rmse":
        return np.asarray((squared_error - residual) / (2 * np.sqrt(residual) if residual else 1.0))
    spread = np.square(predictions.y_true - predictions.y_true.mean())
    return np.asarray((residual / spread.mean() * spread - squared_error) / spread.mean())


def _influence_of_average_precision(predictions: Predictions) -> FloatArray:
    score, positive = predictions.y_score, predictions.y_true == 1
    levels, place = np.unique(-score, return_inverse=True)
    here = np.bincount(place, weights=positive, minlength=len(levels))
    above, wrong = np.cumsum(here), np.cumsum(np.bincount(place, weights=~positive, minlength=len(levels)))
    m, n = above[-1], wrong[-1]
    precision = above / (above + wrong)
    weight = here / m / np.square(above + wrong)

    def pull(slope: FloatArray, share: FloatArray) -> FloatArray:
        # An observation at x counts in every threshold z at or below it: a sum from its own level to the end.
        tail = np.cumsum((weight * slope)[::-1])[::-1]
        return np.asarray(tail - (weight * slope * share).sum())

    value = (here / m * precision).sum()
    of_positive = precision - value + pull(m * wrong, above / m)
    of_negative = pull(-n * above, wrong / n) if n else np.zeros(len(levels))
    scale = np.where(positive, len(score) / m, len(score) / n if n else 1.0)
    return np.asarray(np.where(positive, of_positive[place], of_negative[place]) * scale)
