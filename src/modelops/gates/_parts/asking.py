"""Asking the served artifact so that a verdict can rest on it: finite answers, the same ones when asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelops.gates import Answers, Subject
from modelops.statistics import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["some_rows", "steady", "weights"]

_AGAIN = 500
"""Rows that are asked twice."""
_SAME = 1e-9


def steady(subject: Subject, rows: pd.DataFrame) -> Answers | str:
    """Return the answers to some rows, or why nothing can be measured on them.

    A model that answers the same row differently each time moves without being disturbed, and what it does to a
    disturbed row shows nothing.
    """
    found = subject.predict(rows)
    if not (np.isfinite(found.scores).all() and np.isfinite(found.labels).all()):
        return "some answers are not finite numbers"
    again = subject.predict(rows.iloc[:_AGAIN]).scores
    scale = np.maximum(1.0, np.abs(again))
    differ = int((np.abs(found.scores[:_AGAIN] - again) > _SAME * scale).reshape(len(again), -1).any(axis=1).sum())
    if differ:
        return f"the model answers {differ} of {len(again)} rows differently when it is asked again"
    return found


def some_rows(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Return at most so many rows, drawn at random and in their order."""
    if len(rows) <= most:
        return rows
    return rows.iloc[np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))]


def weights(subject: Subject, rows: pd.DataFrame) -> Array | None:
    """Return what each row counts for, None where the model has no weight column or all rows count the same."""
    name = subject.model.data.weight
    if name is None:
        return None
    weight = rows[name].to_numpy(dtype=np.float64)
    return weight if len(np.unique(weight[weight > 0])) > 1 else None
