"""Data frames of pandas as converted feature columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from modelops.artifacts import columns
from modelops.artifacts.frame import FeatureLike

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]


def raw_values(series: pd.Series[Any]) -> Array:
    """Return a column as float64 (missing is NaN) when it is numeric, else as objects (missing is None)."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype):
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    values: Array = series.to_numpy(dtype=object, copy=True)
    values[series.isna().to_numpy()] = None
    return values


def feature_columns(rows: pd.DataFrame, features: Iterable[FeatureLike]) -> dict[str, Array]:
    """Convert feature columns as training does: float64 with NaN, or objects holding ``str`` with ``""`` for missing.

    Raises ``missing-column`` and ``bad-value`` as a ModelOpsError.
    """
    wanted = tuple(features)
    present = {feature.name: raw_values(rows[feature.name]) for feature in wanted if feature.name in rows.columns}
    return columns(present, wanted)


def is_missing(values: Array) -> Array:
    """Return the mask of missing values of a converted column, shape (n,)."""
    return np.asarray(values == "") if values.dtype == object else np.isnan(values)
