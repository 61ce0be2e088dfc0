"""The target of rows as codes, the way that the candidate's predictions have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelops.artifacts.frame import spelling
from modelops.spec.kinds.model import Task
from modelops.spec.meta import Scalar
from modelops.statistics import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["coded"]


def coded(target: pd.Series[Any], task: Task, classes: tuple[Scalar, ...]) -> Array:
    """Return the target of each row, shape (n,): its value, or the place of its class; NaN where it has none."""
    import pandas as pd

    if task == "regression":
        numbers: Array = pd.to_numeric(target, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers
    places = {spelling(label): float(place) for place, label in enumerate(classes)}
    known = {value: places.get(spelling(value), np.nan) for value in target.dropna().unique()}
    codes: Array = target.map(known).to_numpy(dtype=np.float64, na_value=np.nan)
    return codes
