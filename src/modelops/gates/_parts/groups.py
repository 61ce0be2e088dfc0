"""The groups that columns make of the test rows, and which of them are too small to be named."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from modelops.artifacts import columns
from modelops.artifacts.pandas_columns import raw_values
from modelops.gates import Subject
from modelops.spec.kinds.model import Feature

__all__ = ["DISCLOSURE", "groups_by", "unnamed"]

Array = np.ndarray[Any, Any]
MISSING = "(missing)"
DISCLOSURE = 10
"""Of groups of fewer rows neither rates nor labels are written down."""
_MOST_VALUES = 10  # a numeric column with more distinct values is cut into bins


def groups_by(column: str, bins: tuple[float, ...], subject: Subject) -> Array:
    """Return the group of every test row by one column, shape (n,), as text."""
    values = raw_values(subject.test[column])
    numeric = values.dtype != object
    finite = values[np.isfinite(values)] if numeric else values[:0]
    if numeric and len(finite) and (bins or len(np.unique(finite)) > _MOST_VALUES):
        return _binned(values, np.array(bins or _quartiles(column, subject, finite)))
    text = columns({column: values}, [Feature(name=column, type="category")])[column]
    return np.where(text == "", MISSING, text)


def _quartiles(column: str, subject: Subject, fallback: Array) -> tuple[float, ...]:
    train = raw_values(subject.train[column]) if column in subject.train.columns else fallback
    train = train[np.isfinite(train)] if train.dtype != object else fallback
    return tuple(np.unique(np.quantile(train if len(train) else fallback, [0.25, 0.5, 0.75])).tolist())


def _binned(values: Array, edges: Array) -> Array:
    edges = np.unique(edges)
    names = ranges(edges)
    binned = np.array([*names, MISSING], dtype=object)
    place = np.searchsorted(edges, values, side="right")
    chosen: Array = binned[np.where(np.isfinite(values), place, len(names))]
    return chosen


def ranges(edges: Array) -> list[str]:
    """Return what the ranges between rising edges are called: in as many digits as tell all edges apart, six at least.

    Rows are grouped by these names, so two ranges of one name would be one group.
    """
    texts = next(
        found
        for digits in range(6, 18)
        if len(set(found := [f"{edge:.{digits}g}" for edge in edges.tolist()])) == len(edges) or digits == 17
    )
    return [f"below {texts[0]}", *(f"{low} to {high}" for low, high in pairwise(texts)), f"{texts[-1]} and above"]


def unnamed(count: int) -> str:
    """Say how many groups are too small to be named."""
    return f"{count} group{'s' * (count > 1)} below {DISCLOSURE} rows"
