"""The values themselves: per-row terms, masks of proportions, and which statistics of rows a metric is."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelops.metrics.rows import FloatArray, Predictions
from modelops.statistics.intervals import exact_proportion
from modelops.statistics.losses import log_loss, squared_loss
from modelops.statistics.weighted import influence_of_average_precision, weighted_average_precision, worth


def row_terms(name: str, predictions: Predictions) -> FloatArray:
    """Return the per-row terms, shape (n,), whose mean is the metric.

    ``log-loss`` is in nats with probabilities clipped to machine epsilon, ``brier`` the squared error of the positive
    probability, ``mape`` a share (0.1 is ten percent), ``bias`` the error y_pred - y_true.
    """
    true, predicted, score = predictions.y_true, predictions.y_pred, predictions.y_score
    if name == "log-loss":
        return log_loss(true, score)
    if name == "brier":
        return squared_loss(true, score)
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


def average_precision(predictions: Predictions) -> tuple[float, FloatArray]:
    """Return average precision, and what each row adds to it: its empirical influence function, shape (n,)."""
    true, score, weight = predictions.y_true, predictions.y_score, predictions.sample_weight
    counts = np.ones((1, len(true))) if weight is None else weight[None, :]
    value = float(weighted_average_precision(true, score)(counts)[0])
    return value, influence_of_average_precision(true, score, weight)


def squared_errors(predictions: Predictions) -> FloatArray:
    """Return the squared error of each row, shape (n,)."""
    return squared_loss(predictions.y_true, predictions.y_pred)


def squared_spread(predictions: Predictions) -> FloatArray:
    """Return the squared distance of each true value from their mean, shape (n,)."""
    mean = np.average(predictions.y_true, weights=predictions.sample_weight)
    spread: FloatArray = np.square(predictions.y_true - mean)
    return spread


def rmse_terms(first: FloatArray, second: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Return what each row adds to a difference of two root mean squared errors, shape (n,), from squared errors."""
    roots = [float(np.sqrt(np.average(errors, weights=weight))) for errors in (first, second)]
    slopes = [1 / (2 * root) if root > 0 else 0.0 for root in roots]
    terms: FloatArray = slopes[0] * first - slopes[1] * second
    return terms


def unlike(name: str, predictions: Predictions, level: float) -> float:
    """Return what a metric of rows that are all alike may be off by: the others are there, and were not met.

    So many rows as a share of none allows, each wrong by as much as an answer that is the same for all rows. An upper
    bound of rmse, of log-loss, mae, mape, brier and bias, and of 1 - r2.
    """
    true, weight = predictions.y_true, predictions.sample_weight
    n = len(true) if weight is None else worth(weight)
    share = exact_proportion(0, n, level)[1]
    around = true - np.average(true, weights=weight)
    match name:
        case "r2":
            return share
        case "rmse":
            return float(np.sqrt(share * np.average(np.square(around), weights=weight)))
        case "brier":
            return share * float(np.average(np.square(around), weights=weight))
        case "log-loss":
            places = np.unique(true, return_inverse=True)[1]
            shares = np.bincount(places, weights=weight) / (len(true) if weight is None else float(weight.sum()))
            return share * float(-(shares * np.log(shares)).sum())
        case "mape":
            return share * float(np.average(np.abs(around) / np.abs(true), weights=weight))
        case _:
            return share * float(np.average(np.abs(around), weights=weight))
