"""Which features carry a model: how much worse it answers the test rows when one feature's values change places.

It is measured by the served form, so that any model has it, on at most 2,000 test rows and one exchange of values for
each feature. That costs as much as answering these rows once per feature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from modelops.spec.kinds.model import Task
from modelops.spec.kinds.release import FeatureImportance, Importance
from modelops.statistics.losses import log_loss, squared_loss

__all__ = ["importance"]

Array = np.ndarray[Any, Any]

MOST_ROWS, FEWEST_ROWS = 2000, 30
MOST_ANSWERS = 1_000_000
"""Of wide tables fewer rows are taken, so that no more than this many rows are answered."""
_DIGITS = 6


def importance(
    score: Callable[[Mapping[str, Array]], Array], task: Task, rows: Mapping[str, Array], truth: Array, seed: int
) -> Importance | None:
    """Measure the permutation importance of each feature.

    Parameters
    ----------
    score : callable
        From columns to the scores that are served: shape (n,) or (n, classes).
    task : Task
        Squared loss for a regression, else log loss.
    rows : mapping of name to array of shape (n,)
        The test rows.
    truth : array of shape (n,)
        Values, or codes of the classes.
    seed : int
        Of the exchange; equal inputs give equal numbers.

    Returns
    -------
    Importance or None
        The mean rise of the loss per row, with its standard error, of each feature whose values differ; the largest
        first. None for fewer than 30 rows, and where the model refuses a row it was never meant to see.

    References
    ----------
    L. Breiman, "Random forests", Machine Learning 45 (2001), section 10.
    """
    n = min(len(truth), MOST_ROWS, max(FEWEST_ROWS, MOST_ANSWERS // max(1, len(rows))))
    if n < FEWEST_ROWS:
        return None
    chosen = np.linspace(0, len(truth) - 1, n).round().astype(np.int64)
    columns, true = {name: values[chosen] for name, values in rows.items()}, truth[chosen]
    order = np.random.default_rng(seed).permutation(n)
    exchanged = np.empty(n, dtype=np.int64)
    # One cycle through all rows, so that none keeps its own value.
    exchanged[order] = np.roll(order, 1)
    try:
        plain = _losses(task, true, score(columns))
        found = [
            _one(name, _losses(task, true, score({**columns, name: values[exchanged]})) - plain)
            for name, values in columns.items()
            if _varies(values)
        ]
    except (ValueError, TypeError):
        return None
    return Importance(
        loss="squared-loss" if task == "regression" else "log-loss",
        rows=n,
        features=tuple(sorted(found, key=lambda each: (-each.value, each.name))),
    )


def _losses(task: Task, truth: Array, scores: Array) -> Array:
    if task == "regression":
        return squared_loss(truth, np.asarray(scores, dtype=np.float64))
    return log_loss(truth, np.asarray(scores, dtype=np.float64))


def _varies(values: Array) -> bool:
    return len(np.unique(values.astype(str) if values.dtype == object else values)) > 1


def _one(name: str, rise: Array) -> FeatureImportance:
    if not np.isfinite(rise).all():
        raise ValueError("the loss is not finite")
    error = float(rise.std(ddof=1)) / len(rise) ** 0.5
    return FeatureImportance(name=name, value=_rounded(float(rise.mean())), error=_rounded(error))


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")
