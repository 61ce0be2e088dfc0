"""From the tensors of a request to the columns that a release predicts from, checked against its signature."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import orjson

from modelops.artifacts import Signature
from modelops.clock import parse_instant
from modelops.errors import ModelOpsError
from modelops.serving.protocol import FLOATS, INTEGERS, InferRequest, Tensor, refusal

__all__ = ["MATRIX", "Binder", "Bound"]

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
_EXACT = {"number": float, "integer": int, "boolean": bool}
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
        self._takes_matrix = takes_matrix
        self._plain = all(f.type == "number" for f in signature.features)

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
                raise refusal(f"{name[:80]!r} is not an input of this model{_near(name, self.names)}")
            if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
                raise refusal(f"input {name!r}: the shape {shape} is neither [n] nor [n, 1]")
            if shape[0] != rows:
                raise refusal(f"input {name!r} has {shape[0]} rows, {request.inputs[0].name!r} has {rows}")
            tensors[name] = tensor
        return self._bind_columns(tensors, rows)

    def feature_json(self, row: Sequence[Any]) -> bytes:
        """Return a logged row as a JSON object."""
        return orjson.dumps(dict(zip(self.names, row, strict=True)))

    def _bind_columns(self, tensors: dict[str, Tensor], rows: int) -> Bound:
        values: list[Any] = []
        logged: list[Any] = []
        for name, kind, nullable, datatypes in self._features:
            tensor = tensors.get(name)
            if tensor is None:
                raise refusal(f"input {name!r} is missing")
            if tensor.datatype not in datatypes:
                raise refusal(f"input {name!r} is {tensor.datatype}, the model takes {_DECLARED[kind]}")
            data = tensor.data or []
            if rows == 1 and type(data[0]) is _EXACT.get(kind):
                values.append(data[0])
                logged.append(data[0])
                continue
            array, shown = _convert(name, kind, nullable, data)
            values.append(array if rows > 1 else array[0])
            logged.append(shown if rows > 1 else shown[0])
        if rows == 1:
            return self._one(values, logged)
        by_row = list(zip(*logged, strict=True))
        if self._takes_matrix:
            return Bound(rows, by_row, np.column_stack(values), {})
        return Bound(rows, by_row, None, dict(zip(self.names, values, strict=True)))

    def _one(self, values: list[Any], logged: list[Any]) -> Bound:
        if self._takes_matrix:
            return Bound(1, [logged], _float_array("of this row", values).reshape(1, -1), {})
        columns = {
            name: np.array([value], dtype=object if kind == "category" else np.float64)
            for (name, kind, _, _), value in zip(self._features, values, strict=True)
        }
        return Bound(1, [logged], None, columns)

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
        if not self._plain or None in data:
            for position, (name, kind, nullable, _) in enumerate(self._features):
                _convert(name, kind, nullable, data[position::width])
        matrix = _float_array(MATRIX, data).reshape(rows, width)
        logged = [data] if rows == 1 else [data[start : start + width] for start in range(0, len(data), width)]
        if self._takes_matrix:
            return Bound(rows, logged, matrix, {})
        return Bound(rows, logged, None, dict(zip(self.names, matrix.T, strict=True)))


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
        return np.array(values, dtype=np.float64)
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
    return refusal(f"input {name!r}, row {row}: the value is missing and the feature is not nullable")


def _near(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f", did you mean {near[0]!r}?" if near else f"; its inputs are {', '.join(names[:12])}"
