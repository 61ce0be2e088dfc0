"""Columns in the names of folders, as ``year=2024/part.parquet``: how Hive, Spark and Arrow write partitions."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import pyarrow as pa

__all__ = ["held_by", "with_columns"]

_NULL = "__HIVE_DEFAULT_PARTITION__"


def held_by(path: str) -> dict[str, str | None]:
    """Return the values that the folders of a path hold.

    >>> held_by("year=2024/city=S%C3%A3o%20Paulo/part-0.parquet")
    {'year': '2024', 'city': 'São Paulo'}
    """
    found: dict[str, str | None] = {}
    for part in path.split("/")[:-1]:
        name, mark, value = part.partition("=")
        if mark and name:
            found[unquote(name)] = None if value == _NULL else unquote(value)
    return found


def with_columns(batch: pa.RecordBatch, values: Mapping[str, str | None]) -> pa.RecordBatch:
    """Return a batch with a column more for each value, the same in all rows."""
    for name, value in values.items():
        batch = batch.append_column(name, pa.array([value] * batch.num_rows, pa.string()))
    return batch
