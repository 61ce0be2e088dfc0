"""Which rows of a table another one does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelops.artifacts.pandas_columns import raw_values
from modelops.statistics.repeats import keyed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["new_rows"]


def new_rows(now: pd.DataFrame, before: pd.DataFrame, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return the mask of the rows, shape (n,), that are not among those of before; each of those answers for one.

    A row that was there once and is there three times now is new twice.
    """
    both = [_hashed(rows, names) for rows in (now, before)]
    known, counts = np.unique(both[1], return_counts=True)
    order = np.argsort(both[0], kind="stable")
    ordered = both[0][order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.empty(0, np.intp)
    turn = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
    place = np.minimum(np.searchsorted(known, ordered), max(0, len(known) - 1))
    there = (counts[place] > turn) & (known[place] == ordered) if len(known) else np.zeros(len(ordered), dtype=bool)
    fresh = np.empty(len(ordered), dtype=bool)
    fresh[order] = ~there
    return fresh


def _hashed(rows: pd.DataFrame, names: Sequence[str]) -> np.ndarray[Any, Any]:
    return keyed([_hashes(raw_values(rows[name])) for name in names])


def _hashes(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return hashes of which equal values have equal ones, whatever type a file gave their column."""
    import pandas as pd

    found: np.ndarray[Any, Any]
    if values.dtype != object:
        # 0.0 and -0.0 are one number.
        found = pd.util.hash_array(values + 0.0)
        return found
    codes, different = pd.factorize(values)
    known = pd.util.hash_array(np.array([*map(str, different), ""], dtype=object), categorize=False)
    found = known[codes]
    return found
