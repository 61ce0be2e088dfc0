"""From the tensors of a request to the columns that a release predicts from, checked against its signature."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import msgspec
import numpy as np
import orjson

from modelops.artifacts import Signature
from modelops.clock import parse_instant
from modelops.errors import ModelOpsError
from modelops.serving.protocol import FLOATS, INTEGERS, STEP, InferRequest, Tensor, refusal
from modelops.spec.texts.reading import EPOCHS, UNFIT, TextReading, numbers_of

__all__ = ["MATRIX", "SHOWN", "Binder", "Bound"]

Array = np.ndarray[Any, Any]

MATRIX = "features"
"""Name of the single tensor of shape [n, k] that holds all features of a numeric model."""

_NUMERIC = FLOATS | INTEGERS
_DATATYPES: dict[str, frozenset[str]] = {
    "number": _NUMERIC,
    "integer": _NUMERIC,
    "boolean": _NUMERIC | {"BOOL"},
    "category": frozenset({"BYTES"}),
    "datetime": _NUMERIC | {"BYTES"},
}
# A single value of exactly this type is what the frame and the log hold; no conversion is needed.
_ROWS = 1024
"""So many rows are turned at once: the interpreter does nothing else meanwhile."""
_EXACT = {"number": float, "integer": int, "boolean": bool}
SHOWN = 12
"""Inputs that a sentence names."""
EXAMPLES: Mapping[str, Any] = {
    "number": 3.5,
    "integer": 3,
    "boolean": True,
    "category": "text",
    "datetime": "2026-01-31T12:00:00Z",
}
"""A value of each type, made up: those of real rows are not everybody's."""
_INT64 = range(-(1 << 63), 1 << 63)
"""What an integer may be; the log holds no other."""
_DECLARED = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "category": "BYTES", "datetime": "BYTES"}


@dataclass(slots=True)
class Bound:
    """Rows ready to be predicted: the frame's values as a matrix or by feature; and the values to log, by row."""

    rows: int
    logged: Sequence[Sequence[Any]]
    matrix: Array | None
    columns: dict[str, Array]


class Binder:
    """Binds requests to one release's signature; made once per loaded release."""

    def __init__(self, signature: Signature, takes_matrix: bool) -> None:
        self.names = tuple(feature.name for feature in signature.features)
        self.numeric = signature.numeric
        self._features = tuple((f.name, f.type, f.nullable, _DATATYPES[f.type]) for f in signature.features)
        self._text = signature.text
        self._missing = _missing_numbers(signature)
        self._takes_matrix = takes_matrix
        self._plain = all(f.type == "number" for f in signature.features)
        self._record = _record_of(self.names)

    def metadata(self) -> list[dict[str, Any]]:
        """Return the inputs as the protocol's metadata describes them."""
        return [{"name": name, "datatype": _DECLARED[kind], "shape": [-1]} for name, kind, _, _ in self._features]

    def is_matrix(self, request: InferRequest) -> bool:
        """Tell whether a request gives all features in one tensor."""
        return len(request.inputs) == 1 and request.inputs[0].name == MATRIX and self.names != (MATRIX,)

    def bind(self, request: InferRequest, known: Collection[str]) -> Bound:
        """Return the columns of a request; ``known`` are inputs that some arm of the model takes."""
        if self.is_matrix(request):
            return self._bind_matrix(request.inputs[0])
        tensors: dict[str, Tensor] = {}
        rows = request.inputs[0].shape[0]
        for tensor in request.inputs:
            name, shape = tensor.name, tensor.shape
            if name in tensors:
                raise refusal(f"input {name!r} is given twice")
            if name not in known:
                raise refusal(f"{name[:80]!r} is not an input of this model{_near(name[:80], self.names)}")
            if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
                raise refusal(f"input {name!r}: the shape {shape} is neither [n] nor [n, 1]")
            if shape[0] != rows:
                raise refusal(f"input {name!r} has {shape[0]} rows, {request.inputs[0].name!r} has {rows}")
            tensors[name] = tensor
        return self._bind_columns(tensors, rows)

    @property
    def features(self) -> Sequence[tuple[str, str, bool]]:
        """Name and type of every input, in order, and whether it may be missing."""
        return [(name, kind, nullable) for name, kind, nullable, _ in self._features]

    @property
    def declared(self) -> Mapping[str, str]:
        """Datatypes by name of the input, in order."""
        return {name: _DECLARED[kind] for name, kind, _, _ in self._features}

    def example(self) -> dict[str, Any]:
        """Return a record with a value of the right type for each input."""
        return {name: EXAMPLES[kind] for name, kind, _, _ in self._features}

    def wanted(self) -> str:
        """Say what a request has to hold, in the words that it would be written in."""
        shown = [f"{name} {_DECLARED[kind]}" for name, kind, _, _ in self._features[:SHOWN]]
        rest = len(self._features) - len(shown)
        more = [f"{rest} more"] if rest else []
        either = f", or one {MATRIX} FP64 of shape [n, {len(self.names)}]" if self.numeric else ""
        return f"the model takes {', '.join(shown + more)}, each of shape [n]{either}"

    def feature_json(self, row: Sequence[Any]) -> bytes:
        """Return a logged row as a JSON object."""
        if self._record is None:
            return orjson.dumps(dict(zip(self.names, row, strict=True)))
        return _ENCODE(self._record(*row))

    def _bind_columns(self, tensors: dict[str, Tensor], rows: int) -> Bound:
        values: list[Any] = []
        logged: list[Any] = []
        for name, kind, nullable, datatypes in self._features:
            tensor = tensors.get(name)
            if tensor is None:
                raise refusal(f"input {name!r} is missing", hint=self.wanted())
            if tensor.datatype not in datatypes and not (self._text is not None and tensor.datatype == "BYTES"):
                raise refusal(f"input {name!r} is {tensor.datatype}, the model takes {_DECLARED[kind]}")
            data = tensor.data or []
            exact = rows == 1 and type(data[0]) is _EXACT.get(kind) and name not in self._missing
            if exact and (kind != "integer" or data[0] in _INT64):
                values.append(data[0])
                logged.append(data[0])
                continue
            if self._text is not None:
                data = self._read(self._text, name, kind, tensor)
            array, shown = _convert(name, kind, nullable, data)
            values.append(array if rows > 1 else array[0])
            logged.append(shown if rows > 1 else shown[0])
        if rows == 1:
            return self._one(values, logged)
        by_row: list[Any] = []
        for start in range(0, rows, _ROWS):
            by_row += zip(*(each[start : start + _ROWS] for each in logged), strict=True)
        if self._takes_matrix:
            return Bound(rows, by_row, np.column_stack(values), {})
        return Bound(rows, by_row, None, dict(zip(self.names, values, strict=True)))

    def _read(self, text: TextReading, name: str, kind: str, tensor: Tensor) -> list[Any]:
        """Return values as the texts and numbers were read that the model was trained on."""
        data = tensor.data or []
        if kind == "category":
            return [text.read(value, name) if value else value for value in data]
        if name in text.columns and text.columns[name].format in _WRITTEN_AS_NUMBERS:
            data = [str(int(value)) if type(value) in (int, float) and value == value else value for value in data]
            data = [self._value(text, name, kind, row, value) for row, value in enumerate(data)]
        elif tensor.datatype == "BYTES":
            data = [self._value(text, name, kind, row, value) for row, value in enumerate(data)]
        missing = self._missing.get(name)
        return [None if value in missing else value for value in data] if missing else data

    def _value(self, text: TextReading, name: str, kind: Any, row: int, value: Any) -> Any:
        if type(value) is not str:
            return value
        try:
            found = text.value(name, kind, value)
        except (OverflowError, ValueError):
            # More digits than Python reads, or than a float has room for.
            raise _out_of_range(name, row, value) from None
        if found is UNFIT:
            what = "an ISO 8601 date or time" if kind == "datetime" else f"of type {kind}"
            raise refusal(f"input {name!r}, row {row}: {value[:40]!r} is not {what}, as the model's data are written")
        return found

    def _one(self, values: list[Any], logged: list[Any]) -> Bound:
        if self._takes_matrix:
            return Bound(1, [logged], _float_array("of this row", values).reshape(1, -1), {})
        columns = {
            name: np.array([value], dtype=object if kind == "category" else np.float64)
            for (name, kind, _, _), value in zip(self._features, values, strict=True)
        }
        return Bound(1, [logged], None, columns)

    def _unless_missing(self, position: int, value: Any) -> Any:
        return None if value in self._missing.get(self.names[position], ()) else value

    def _bind_matrix(self, tensor: Tensor) -> Bound:
        width = len(self.names)
        if not self.numeric:
            raise refusal(f"this model has categories: send one input per feature, not {MATRIX!r}")
        if len(tensor.shape) != 2 or tensor.shape[1] != width:
            raise refusal(f"input {MATRIX!r}: the shape {tensor.shape} is not [n, {width}]")
        if tensor.datatype not in _NUMERIC:
            raise refusal(f"input {MATRIX!r} is {tensor.datatype}, the model takes FP64")
        rows = tensor.shape[0]
        data = tensor.data or []
        if self._missing:
            data = [self._unless_missing(position % width, value) for position, value in enumerate(data)]
        if not self._plain or any(None in data[start : start + STEP] for start in range(0, len(data), STEP)):
            for position, (name, kind, nullable, _) in enumerate(self._features):
                _convert(name, kind, nullable, data[position::width])
        matrix = _float_array(MATRIX, data).reshape(rows, width)
        logged = [data] if rows == 1 else [data[start : start + width] for start in range(0, len(data), width)]
        if self._takes_matrix:
            return Bound(rows, logged, matrix, {})
        return Bound(rows, logged, None, dict(zip(self.names, matrix.T, strict=True)))


_ENCODE = msgspec.json.Encoder().encode


def _record_of(names: Sequence[str]) -> type[msgspec.Struct] | None:
    """Return the class of a row, which is written in half the time of a dictionary; None for names it cannot have."""
    fields = [f"f{position}" for position in range(len(names))]
    try:
        return msgspec.defstruct("Features", fields, rename=dict(zip(fields, names, strict=True)), gc=False)
    except ValueError:
        return None


_WRITTEN_AS_NUMBERS = frozenset({"%Y%m%d", *EPOCHS})
"""Forms of dates that are numbers, also where they come as numbers."""


def _missing_numbers(signature: Signature) -> dict[str, tuple[float, ...]]:
    """Return the numbers that stand for a missing value, by feature."""
    text = signature.text
    if text is None:
        return {}
    numeric = [feature.name for feature in signature.features if feature.type in ("number", "integer")]
    found = {name: numbers_of(text.missing_in(name)) for name in numeric}
    return {name: numbers for name, numbers in found.items() if numbers}


def _convert(name: str, kind: str, nullable: bool, values: list[Any]) -> tuple[Array, list[Any]]:
    """Return the frame's array of one feature, and its values as they are logged (missing is None)."""
    if kind == "category":
        return _categories(name, nullable, values)
    if not nullable and None in values:
        raise _missing(name, values.index(None))
    if kind == "number":
        return _float_array(name, values), values
    if kind == "datetime":
        seconds = [_seconds(name, value) if type(value) is str else value for value in values]
        if not nullable and None in seconds:
            raise _missing(name, seconds.index(None))
        return _float_array(name, seconds), values
    fits = _is_whole if kind == "integer" else _is_truth
    for row, value in enumerate(values):
        if value is not None and not fits(value):
            raise refusal(f"input {name!r}, row {row}: {value!r} is not of type {kind}")
        if value is not None and kind == "integer" and int(value) not in _INT64:
            raise _out_of_range(name, row, value)
    array = _float_array(name, values)
    return array, values if kind == "integer" else [None if value is None else bool(value) for value in values]


def _categories(name: str, nullable: bool, values: list[Any]) -> tuple[Array, list[Any]]:
    listed = [value or None for value in values]
    if not nullable and None in listed:
        raise _missing(name, listed.index(None))
    array = np.empty(len(values), dtype=object)
    array[:] = [value or "" for value in values]
    return array, listed


def _is_whole(value: float) -> bool:
    return type(value) is int or float(value).is_integer()


def _is_truth(value: float) -> bool:
    return value in (0, 1)


def _float_array(name: str, values: list[Any]) -> Array:
    try:
        if len(values) <= STEP:
            return np.array(values, dtype=np.float64)
        array = np.empty(len(values))
        for start in range(0, len(values), STEP):
            array[start : start + STEP] = values[start : start + STEP]
        return array
    except OverflowError:
        raise refusal(f"input {name!r} holds a number that is out of range") from None


def _seconds(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        return parse_instant(text).timestamp()
    except (ModelOpsError, OverflowError):
        raise refusal(f"input {name!r}: {text[:40]!r} is not an ISO 8601 date or time") from None


def _missing(name: str, row: int) -> ModelOpsError:
    return refusal(
        f"input {name!r}, row {row}: the value is missing and the feature is not nullable",
        hint="no value of it was missing in training: send one, or release a model whose feature is nullable",
    )


def _out_of_range(name: str, row: int, value: Any) -> ModelOpsError:
    shown = value if type(value) is str else repr(value)
    return refusal(f"input {name!r}, row {row}: {shown[:40]} is out of range of INT64")


def _near(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f", did you mean {near[0]!r}?" if near else f"; its inputs are {', '.join(names[:12])}"
