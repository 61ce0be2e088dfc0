"""Typed columns as one matrix of numbers, for models that tell rows apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.summaries.columns import FloatArray, numbers

__all__ = ["alike", "frequent", "is_text", "matrix"]

MOST = 50
"""So many categories of a column are told apart; the rest is one more."""


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column of this type holds texts."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def alike(first: pa.Table, second: pa.Table, names: Iterable[str]) -> list[str]:
    """Return the columns that both tables have as texts, or both as numbers."""
    shared = [name for name in names if name in first.column_names and name in second.column_names]
    return [name for name in shared if is_text(first.column(name).type) == is_text(second.column(name).type)]


def frequent(table: pa.Table, names: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the most frequent values of each column of text, at most 50, equally frequent ones by name."""
    found = {}
    for name in names:
        if is_text(table.column(name).type):
            counted = pc.value_counts(table.column(name).cast(pa.string()).drop_null())
            pairs = sorted((-pair["counts"], pair["values"]) for pair in counted.to_pylist() if pair["values"])
            found[name] = tuple(value for _, value in pairs[:MOST])
    return found


def matrix(table: pa.Table, names: list[str], categories: Mapping[str, tuple[str, ...]]) -> FloatArray:
    """Return the columns of a table as numbers of shape (rows, columns); missing values are NaN.

    A category is its place in ``categories``; one that is not listed there has the place behind the last.
    """
    found = np.full((table.num_rows, len(names)), np.nan)
    for place, name in enumerate(names):
        values = table.column(name)
        if name in categories:
            texts = values.cast(pa.string())
            listed = pa.array(categories[name], pa.string())
            codes = pc.fill_null(pc.index_in(texts, value_set=listed), len(categories[name])).to_numpy()
            empty = np.asarray(pc.fill_null(pc.equal(texts, ""), True).to_numpy(), dtype=np.bool_)
            found[:, place] = np.where(empty, np.nan, codes)
        elif table.num_rows:
            found[:, place] = np.concatenate(numbers(values))
    return found
