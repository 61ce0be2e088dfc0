"""Which features tell a sensitive column that the model is not to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelops.artifacts.pandas_columns import feature_columns, is_missing, raw_values
from modelops.gates import Subject
from modelops.statistics.association import association

__all__ = ["proxies_of"]

Array = np.ndarray[Any, Any]
_FEW_VALUES = 10  # a sensitive column of so many values is one of classes


def proxies_of(columns: Sequence[str], subject: Subject) -> Mapping[str, Mapping[str, float]] | str:
    """Return how well each feature tells each sensitive column, or why that cannot be seen."""
    import pandas as pd

    both = pd.concat([subject.train, subject.test], ignore_index=True)
    absent = [name for name in columns if name not in both.columns]
    if absent:
        return f"the rows have no column {absent[0]!r}"
    features = feature_columns(both, subject.model.data.features) if columns and len(both) else {}
    found: dict[str, dict[str, float]] = {}
    for column in columns:
        target, classes = _coded(raw_values(both[column]))
        known = np.isfinite(target)
        told = {
            name: association(values[known], target[known], classes=classes)
            for name, values in features.items()
            if name != column
        }
        found[column] = {name: value[0] for name, value in told.items() if value is not None}
        if column in features:
            found[column][column] = 1.0
        if not found[column]:
            return f"{int(known.sum())} rows cannot show which feature tells {column}"
    return found


def _coded(values: Array) -> tuple[Array, bool]:
    """Return a sensitive column as codes or numbers, shape (n,), NaN where it is missing, and whether it is codes."""
    if values.dtype != object and len(np.unique(values[np.isfinite(values)])) > _FEW_VALUES:
        return values, False
    missing = is_missing(values) if values.dtype != object else np.array([one is None for one in values])
    codes = np.unique(values.astype(str), return_inverse=True)[1].astype(np.float64)
    return np.where(missing, np.nan, codes), True
