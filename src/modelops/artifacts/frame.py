"""The feature frame: the one shape in which rows reach training, the served model and the checks between them.

A frame has two kinds of columns only. Numbers, integers, booleans (0 and 1) and datetimes (seconds since
1970-01-01 UTC) are float64 with NaN for missing; categories are ``str`` with ``""`` for missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from modelops.errors import ModelOpsError, Problem, failure
from modelops.spec.meta import FeatureType
from modelops.spec.texts.reading import truth

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["columns", "frame"]

Array = np.ndarray[Any, Any]


class FeatureLike(Protocol):
    """A name and a type: a feature of the model spec or an input of a signature."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> FeatureType: ...


def columns(table: pa.Table | Mapping[str, Sequence[Any] | Array], features: Iterable[FeatureLike]) -> dict[str, Array]:
    """Convert the feature columns of a table into the frame's arrays, without pandas.

    Returns one array of shape (n,) per feature in the order of ``features``: float64, or object holding ``str``.
    A column that is absent raises ``missing-column``; a value that its type cannot hold raises ``bad-value`` with the
    column and the row, counted from 1.
    """
    present = set(table) if isinstance(table, Mapping) else set(table.column_names)
    result: dict[str, Array] = {}
    for feature in features:
        if feature.name not in present:
            raise failure("missing-column", f"there is no column {feature.name!r}", hint=f"columns: {_some(present)}")
        result[feature.name] = column(table[feature.name], feature.type, feature.name)
    return result


def frame(table: pa.Table | Mapping[str, Sequence[Any] | Array], features: Iterable[FeatureLike]) -> pd.DataFrame:
    """Return the feature frame of a table; see the module for its two kinds of columns."""
    return to_frame(columns(table, features))


def to_frame(arrays: Mapping[str, Array]) -> pd.DataFrame:
    """Return the frame over converted columns; categories stay of dtype object whatever pandas infers by default."""
    import pandas as pd

    index = pd.RangeIndex(len(next(iter(arrays.values()), ())))
    categories = {name: pd.Series(v, dtype=object, index=index) for name, v in arrays.items() if v.dtype == object}
    numbers = [name for name in arrays if name not in categories]
    # All numbers as one block: a frame of hundreds of columns is made of as many arrays a hundred times slower.
    block = np.column_stack([arrays[name] for name in numbers]) if numbers else np.empty((len(index), 0))
    found = pd.DataFrame(block.astype(np.float64, copy=False), index=index, columns=numbers)
    if not categories:
        return found
    others = pd.DataFrame(categories, index=index, columns=list(categories))
    return pd.concat([found, others], axis=1)[list(arrays)]


def column(values: Any, kind: FeatureType, name: str) -> Array:
    """Convert one column, a sequence, a numpy array or an Arrow array, into the frame's array of shape (n,)."""
    if hasattr(values, "to_pylist"):
        fast = _arrow_numbers(values, kind)
        values = values.to_pylist() if fast is None else fast
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub" and kind != "category":
        return _finite(values.astype(np.float64), name)
    convert = _CONVERTERS[kind]
    try:
        converted = [convert(value) for value in values]
    except (ValueError, TypeError, OverflowError):
        raise _bad_value(values, kind, name) from None
    if kind == "category":
        result = np.empty(len(converted), dtype=object)
        result[:] = converted
        return result
    return _finite(np.array(converted, dtype=np.float64), name)


def _arrow_numbers(values: Any, kind: FeatureType) -> Array | None:
    """Return float64 for an Arrow column of numbers, booleans or instants, or None when it must go value by value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    type_ = values.type
    if kind == "category":
        return None
    if pa.types.is_timestamp(type_):
        micros = pc.cast(pc.cast(values, pa.timestamp("us", tz=type_.tz), safe=False), pa.int64())
        result = pc.divide(pc.cast(micros, pa.float64(), safe=False), 1e6)
    elif kind == "datetime" and not pa.types.is_floating(type_) and not pa.types.is_integer(type_):
        return None
    elif pa.types.is_boolean(type_):
        result = pc.cast(pc.cast(values, pa.int8()), pa.float64())
    elif pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_null(type_):
        result = pc.cast(values, pa.float64(), safe=False)
    else:
        return None
    filled = pc.fill_null(result, float("nan"))
    return np.asarray(filled.to_numpy() if isinstance(filled, pa.ChunkedArray) else filled.to_numpy(False), np.float64)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _number(value: Any) -> float:
    return float("nan") if _missing(value) else float(value)


def truth_of(text: str) -> bool | None:
    """Return what a word means, None where it means neither yes nor no."""
    return truth(text)


def _boolean(value: Any) -> float:
    if isinstance(value, str) and value:
        truth = truth_of(value)
        if truth is None:
            raise ValueError(value)
        return float(truth)
    return _number(value)


def _instant(value: Any) -> float:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, str) and value:
        return _instant(datetime.fromisoformat(value.strip()))
    return _number(value)


def spelling(value: Any) -> str:
    """Return the spelling of a category: whole numbers without a fraction, so that 3, 3.0 and "3" are one category."""
    if isinstance(value, str):
        return value
    if _missing(value):
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    if isinstance(value, (int, np.integer, date)):
        return str(value)
    raise TypeError(type(value).__name__)


_CONVERTERS = {
    "number": _number,
    "integer": _number,
    "boolean": _boolean,
    "category": spelling,
    "datetime": _instant,
}


def _finite(values: Array, name: str) -> Array:
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.argmax(infinite)) + 1
        raise failure("bad-value", f"column {name!r}, row {row}: the value is infinite")
    return values


def unquoted(problem: Problem) -> str:
    """Return the message of a problem as it may be signed and kept in git: where a value is wrong, without it."""
    place, colon, _ = problem.message.partition(": ")
    return f"{place}: its value cannot be read" if problem.code == "bad-value" and colon else problem.message


def _bad_value(values: Any, kind: FeatureType, name: str) -> ModelOpsError:
    convert = _CONVERTERS[kind]
    for row, value in enumerate(values, 1):
        try:
            convert(value)
        except (ValueError, TypeError, OverflowError):
            text = repr(value)
            shown = text if len(text) <= 60 else f"{text[:57]}..."
            return failure("bad-value", f"column {name!r}, row {row}: {shown} is not a {kind}")
    return failure("bad-value", f"column {name!r} does not hold values of type {kind}")


def _some(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:12]) + (f" and {len(listed) - 12} more" if len(listed) > 12 else "")
