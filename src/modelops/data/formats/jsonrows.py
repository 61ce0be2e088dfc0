"""JSON: an object a line, or one array of objects; the columns are all keys, in the order in which they come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa

from modelops.data.formats import Part
from modelops.data.formats.encodings import as_utf8, encoding_of
from modelops.errors import Location, ModelOpsError, failure

__all__ = ["batches_of", "schema_of"]

_ROWS = 1 << 16
_ARRAY_BYTES = 1 << 29
"""Bytes of an array, which is read as a whole."""
_LARGEST = 1 << 63
Row = dict[str, Any]


def schema_of(part: Part) -> pa.Schema:
    """Return the columns of a file: numbers, booleans and texts; what is mixed is text, what is nested is named so."""
    kinds: dict[str, set[str]] = {}
    for row in _rows(part):
        for name, value in row.items():
            kinds.setdefault(name, set()).add(_kind(value))
    if not kinds:
        raise failure("data-empty", f"{part.label} holds no row", location=Location(part.label))
    return pa.schema([pa.field(name, _type(found - {"null"})) for name, found in kinds.items()])


def batches_of(part: Part, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some columns; a key that a row lacks is missing."""
    whole = schema_of(part)
    schema = pa.schema([whole.field(name) for name in columns])
    waiting: list[Row] = []
    for row in _rows(part):
        waiting.append(row)
        if len(waiting) >= _ROWS:
            yield _batch(waiting, schema)
            waiting = []
    if waiting:
        yield _batch(waiting, schema)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer" if -_LARGEST <= value < _LARGEST else "text"
        case float():
            return "number"
        case str():
            return "text"
        case _:
            return "nested"


def _type(kinds: set[str]) -> pa.DataType:
    if "nested" in kinds:
        return pa.struct([])
    if not kinds:
        return pa.null()
    if kinds == {"integer"}:
        return pa.int64()
    if kinds <= {"integer", "number"}:
        return pa.float64()
    return pa.bool_() if kinds == {"boolean"} else pa.string()


def _batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array([_spelt(row.get(field.name)) for row in rows], pa.string())
            if pa.types.is_string(field.type)
            else pa.array([row.get(field.name) for row in rows], field.type)
            for field in schema
        ],
        schema=schema,
    )


def _spelt(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _rows(part: Part) -> Iterator[Row]:
    encoding = encoding_of(part.open, part.label)
    with as_utf8(part.open(), encoding) as stream:
        start = stream.peek(16) if hasattr(stream, "peek") else b""
        if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"["):
            yield from _array(part, stream.read(_ARRAY_BYTES + 1))
            return
        for number, line in enumerate(stream, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip():
                continue
            row = _parsed(part, text, number)
            if not isinstance(row, dict):
                raise _bad(part, number, f"line {number} of {part.label} is no object", "write one object a line")
            yield row


def _array(part: Part, data: bytes) -> list[Row]:
    if len(data) > _ARRAY_BYTES:
        said = f"{part.label} is one JSON array of more than {_ARRAY_BYTES:,} bytes"
        raise failure("data-too-large", said, location=Location(part.label), hint="write one object a line")
    rows = _parsed(part, data.removeprefix(b"\xef\xbb\xbf"), 1)
    odd = next((index for index, row in enumerate(rows, start=1) if not isinstance(row, dict)), None)
    if odd is not None:
        raise _bad(part, 1, f"item {odd} of the array of {part.label} is no object", "write an array of objects")
    found: list[Row] = rows
    return found


def _parsed(part: Part, text: bytes, line: int) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            # The numbers that orjson does not take: longer than 64 bits, NaN and Infinity, as pandas writes them.
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            whole = line == 1 and text.strip() == b"{"
            hint = "write one object a line" if whole else None
            raise _bad(part, line, f"line {line} of {part.label} is not JSON: {error}", hint) from None


def _bad(part: Part, line: int, said: str, hint: str | None) -> ModelOpsError:
    return failure("data-unreadable", said, location=Location(part.label, line, 1), hint=hint)
