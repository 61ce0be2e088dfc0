"""Typed columns as one matrix of numbers, for models that tell rows apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.summaries.columns import FloatArray, numbers

__all__ = ["frequent", "matrix"]

MOST = 50
"""So many categories of a column are told apart; the rest is one more."""


def frequent(table: pa.Table, names: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the most frequent values of each column of text, at most 50, equally frequent ones by name."""
    found = {}
    for name in names:
        values = table.column(name)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            counted = pc.value_counts(values.drop_null())
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
