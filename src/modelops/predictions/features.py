"""The logged features of a window as typed columns."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from modelops.clock import parse_instant
from modelops.errors import ModelOpsError
from modelops.spec.kinds.model import Feature
from modelops.spec.texts.reading import TextReading

if TYPE_CHECKING:
    # The server imports this package and must not pay for Arrow.
    import pyarrow as pa

__all__ = ["feature_columns"]


def feature_columns(window: pa.Table, features: Sequence[Feature], reading: TextReading | None = None) -> pa.Table:
    """Return the logged ``features`` of a window as one typed column per feature, missing values as nulls.

    Numbers are float64, integers int64, booleans bool, categories string, datetimes timestamp[us, UTC]. A value that
    does not fit its type (another release had other features) is a null. ``reading`` says how texts become values: what
    another release logged as it came is read here.
    """
    import pyarrow as pa

    objects = [orjson.loads(text) for text in window.column("features").to_pylist()]
    columns = {feature.name: _column(_values(objects, feature.name), feature.type, reading) for feature in features}
    return pa.table(columns)


def _values(objects: Sequence[dict[str, Any]], name: str) -> list[Any]:
    try:
        return list(map(itemgetter(name), objects))
    except KeyError:
        return [each.get(name) for each in objects]


def _column(values: list[Any], kind: str, reading: TextReading | None) -> pa.Array:
    import pyarrow as pa

    match kind:
        case "category":
            texts = [value if isinstance(value, str) else None for value in values]
            if reading is not None:
                texts = [reading.read(text) or None if text is not None else None for text in texts]
            return pa.array(texts, pa.string())
        case "boolean":
            return pa.array([value if isinstance(value, bool) else None for value in values], pa.bool_())
        case "datetime":
            return pa.array([_microseconds(value) for value in values], pa.timestamp("us", "UTC"))
        case "integer":
            return pa.array([_int64(int(v)) if _is_number(v) and v == int(v) else None for v in values], pa.int64())
        case _:
            if set(map(type, values)) <= {float, type(None)}:
                return pa.array(values, pa.float64())
            return pa.array([float(value) if _is_number(value) else None for value in values], pa.float64())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _int64(value: int) -> int | None:
    """Return a whole number, or None for one that 64 bits cannot hold: a caller may have sent anything."""
    return value if -(2**63) <= value < 2**63 else None


def _microseconds(value: Any) -> int | None:
    """Return microseconds since 1970 UTC for epoch seconds or an ISO 8601 text."""
    if _is_number(value):
        return _int64(round(float(value) * 1_000_000))
    if not isinstance(value, str):
        return None
    try:
        return round(parse_instant(value).timestamp() * 1_000_000)
    except ModelOpsError:
        return None
