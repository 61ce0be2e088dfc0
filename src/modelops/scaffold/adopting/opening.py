"""A file of data as the adopted code has it read: by pandas, with the options that are literals."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from modelops.scaffold.adopting.values import Data, Expression, Unknown, Value
from modelops.spec.meta import FeatureType

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["open_as_read", "reader_of"]

_READERS = {
    "read_csv": (".csv", ".txt", ".data", ".gz", ".bz2", ".zip", ".xz", ".zst"),
    "read_table": (".tsv", ".tab"),
    "read_parquet": (".parquet", ".pq"),
    "read_feather": (".feather", ".arrow"),
    "read_excel": (".xlsx", ".xls", ".ods"),
    "read_json": (".json", ".jsonl", ".ndjson"),
}
_TEXTS = 200
"""Different texts of a column up to which its labels are remembered."""
_KNOWN = {
    "read_csv": {
        "sep",
        "delimiter",
        "decimal",
        "thousands",
        "na_values",
        "encoding",
        "index_col",
        "usecols",
        "comment",
    },
    "read_table": {"sep", "delimiter", "decimal", "na_values", "encoding", "index_col", "usecols"},
    "read_excel": {"sheet_name", "na_values", "index_col", "usecols"},
    "read_json": {"lines", "orient"},
    "read_parquet": {"columns"},
    "read_feather": {"columns"},
}
_HARMLESS = {"low_memory", "engine", "memory_map", "dtype_backend", "header", "dtype", "compression", "parse_dates"}


def reader_of(path: Path) -> str:
    """Return the function of pandas that reads a file with such an ending."""
    return next((name for name, endings in _READERS.items() if path.suffix.lower() in endings), "read_csv")


def open_as_read(path: Path, reader: str, options: Mapping[str, Value]) -> Data | Unknown:
    """Return what a file holds, or why that cannot be told."""
    from lzma import LZMAError

    import pandas as pd
    from python_calamine import CalamineError

    given: dict[str, Any] = {}
    for name, value in options.items():
        literal = isinstance(value, Expression) and value.known
        if name in _KNOWN.get(reader, ()) and isinstance(value, Expression) and literal:
            given[name] = value.value
        elif name == "header" and isinstance(value, Expression) and value.value is None:
            return Unknown(f"{path.name} is read without a header: write the names of its columns above it")
        elif name not in _HARMLESS:
            return Unknown(
                f"{path.name} is read with {name}, which is not followed: give --data a file as it is trained on"
            )
    if reader not in _READERS:
        return Unknown(f"{reader} is not followed: give --data a file of the rows as they are trained on")
    index = given.pop("index_col", None)
    if reader == "read_json":
        given.setdefault("lines", path.suffix.lower() in (".jsonl", ".ndjson"))
    if reader == "read_excel":
        given.setdefault("engine", "calamine")
    try:
        frame = getattr(pd, reader)(path, **given)
    except (
        OSError, ValueError, TypeError, LookupError, ImportError, RuntimeError, ArithmeticError, EOFError, BadZipFile,
        zlib.error, LZMAError, CalamineError,
    ) as error:  # fmt: skip
        return Unknown(
            f"{path.name} cannot be read by {reader}: {str(error).splitlines()[0] if str(error) else error!r}"
        )
    if not isinstance(frame, pd.DataFrame):
        return Unknown(f"{reader} of {path.name} gives no single table")
    if not all(isinstance(name, str) for name in frame.columns):
        return Unknown(f"columns of {path.name} have no names: write them above the rows")
    if len(set(frame.columns)) < len(frame.columns):
        return Unknown(f"{path.name} has two columns of one name")
    if index is not None and index is not False:
        try:
            names = [frame.columns[each] if isinstance(each, int) else each for each in _list(index)]
            frame = frame.drop(columns=names)
        except (LookupError, TypeError):
            return Unknown(f"{path.name} has no column {index!r}, which index_col names")
    nested = [name for name in frame.columns if _distinct(frame[name]) is None]
    if nested:
        return Unknown(f"column {nested[0]!r} of {path.name} holds lists or tables: write one value into each cell")
    return _described(path, frame, given)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _described(path: Path, frame: pd.DataFrame, reading: Mapping[str, Any]) -> Data:
    kinds = {str(name): _kind(frame[name]) for name in frame.columns}
    distinct = {name: _distinct(frame[name]) or 0 for name in kinds}
    return Data(
        path=str(path),
        kinds=kinds,
        rows=len(frame),
        distinct=distinct,
        missing={name: int(frame[name].isna().sum()) for name in kinds},
        labels={
            name: _labels(frame[name])
            for name, kind in kinds.items()
            if distinct[name] <= (_TEXTS if kind == "category" else 2)
        },
        whole=frozenset(name for name, kind in kinds.items() if kind in ("number", "integer") and _whole(frame[name])),
        reading=dict(reading),
    )


def _labels(values: pd.Series[Any]) -> tuple[str, ...]:
    """Return the different values in their order, as labels are written: whole numbers without a fraction."""
    found = values.dropna().unique().tolist()
    found.sort(key=lambda value: (isinstance(value, str), value if isinstance(value, (int, float)) else str(value)))
    return tuple(str(int(each)) if isinstance(each, float) and each.is_integer() else str(each) for each in found)


def _distinct(values: pd.Series[Any]) -> int | None:
    """Return how many different values a column has, None where they cannot be told apart, as lists cannot."""
    try:
        return int(values.nunique())
    except TypeError:
        return None


def _whole(values: pd.Series[Any]) -> bool:
    present = values.dropna()
    return bool((present % 1 == 0).all())


def _kind(values: pd.Series[Any]) -> FeatureType:
    from pandas.api import types

    if types.is_bool_dtype(values):
        return "boolean"
    if types.is_integer_dtype(values):
        return "integer"
    if types.is_numeric_dtype(values):
        return "number"
    return "datetime" if types.is_datetime64_any_dtype(values) else "category"
