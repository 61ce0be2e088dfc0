"""What a single prediction costs: one definition for metrics, monitors and rollouts."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelops.statistics import Array

_TINY = float(np.finfo(np.float64).eps)


def zero_one_loss(y_true: np.ndarray[Any, Any], y_pred: np.ndarray[Any, Any]) -> Array:
    """Return 1 for a wrong label and 0 for a right one.

    Parameters
    ----------
    y_true, y_pred : arrays of shape (n,)
        Labels of any one type.

    Returns
    -------
    array of shape (n,)
        0.0 or 1.0.

    References
    ----------
    T. Hastie, R. Tibshirani, J. Friedman, "The Elements of Statistical Learning", 2nd edition (2009), section 2.4.

    Examples
    --------
    >>> zero_one_loss(np.array(["a", "b"], dtype=object), np.array(["a", None], dtype=object)).tolist()
    [0.0, 1.0]
    """
    return np.asarray(y_pred != y_true, dtype=np.float64)


def squared_loss(y_true: Array, y_pred: Array) -> Array:
    """Return the squared error of each row.

    Parameters
    ----------
    y_true, y_pred : arrays of shape (n,)
        Values in one unit, or 0/1 truths and probabilities: then the mean is Brier's score.

    Returns
    -------
    array of shape (n,)
        In the square of that unit.

    References
    ----------
    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950).

    Examples
    --------
    >>> squared_loss(np.array([1.0, 0.0]), np.array([0.5, 3.0])).tolist()
    [0.25, 9.0]
    """
    return np.asarray(np.square(y_pred - y_true))


def log_loss(y_true: Array, y_score: Array) -> Array:
    """Return the negative log likelihood of each row's true class.

    Parameters
    ----------
    y_true : array of shape (n,)
        0.0 or 1.0, or the index of the true class.
    y_score : array of shape (n,) or (n, classes)
        Probability of class 1, or of every class (then each row is scaled to sum to 1).

    Returns
    -------
    array of shape (n,)
        In nats; probabilities are clipped to machine epsilon.

    References
    ----------
    I. J. Good, "Rational decisions", Journal of the Royal Statistical Society B 14 (1952).

    Examples
    --------
    >>> log_loss(np.array([1.0, 0.0]), np.array([0.5, 0.25])).round(4).tolist()
    [0.6931, 0.2877]
    """
    if y_score.ndim == 2:
        share = y_score[np.arange(len(y_true)), y_true.astype(np.int64)] / y_score.sum(axis=1)
    else:
        share = np.where(y_true == 1, y_score, 1 - y_score)
    return np.asarray(-np.log(np.clip(share, _TINY, 1.0)))
