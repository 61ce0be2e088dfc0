"""Scales on which scores may be sums: probabilities as log-odds, several classes as centred log-probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelops.spec.kinds.model import Task

__all__ = ["PLAIN", "SCALES", "plain"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def plain(scores: FloatArray) -> FloatArray:
    """Return scores as a matrix of shape (n, c), with one column where there is no choice among classes."""
    return scores.reshape(len(scores), -1)


def _log_odds(scores: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(plain(scores)) - np.log1p(-plain(scores))


def _log(scores: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(plain(scores))


def _centred(scores: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(scores)
        found: FloatArray = logs - logs.mean(axis=1, keepdims=True)
        return found


Turn = Callable[[FloatArray], FloatArray]
SCALES: dict[Task, dict[str, Turn]] = {
    "regression": {"prediction": plain, "log of the prediction": _log},
    "binary-classification": {"log-odds": _log_odds, "probability": plain},
    "multiclass-classification": {"centred log-probability": _centred, "probability": plain},
}
"""Where a sum is looked for, the likeliest first: the links of linear models and of boosted trees."""
PLAIN: dict[Task, str] = {
    "regression": "prediction",
    "binary-classification": "probability",
    "multiclass-classification": "probability",
}
"""The scale of the scores themselves, on which everything can be explained."""
