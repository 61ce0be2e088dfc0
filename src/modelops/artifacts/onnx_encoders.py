"""Encoders of categories in ONNX: tables that are read off the fitted encoder itself, value by value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import Array, Graph, Table, not_exportable

__all__ = ["discretizer", "one_hot", "ordinal"]

UNKNOWN = "\u2603 unknown"
MAXIMUM_CELLS = 4_000_000
"""Largest table of categories that is written."""

_REFUSED = 1 << 40


@dataclass(frozen=True, slots=True)
class _Coding:
    """One column's values and the number that each becomes; without ``unknown`` any other value is refused."""

    keys: list[Any]
    codes: Array
    unknown: Array | None


def ordinal(graph: Graph, encoder: Any, table: Table) -> Table:
    """Write an OrdinalEncoder or TargetEncoder: every column becomes one number, or one per class."""
    text = graph.is_text(table)
    found = [_read(encoder, column, text) for column in range(len(encoder.categories_))]
    outputs = found[0][0].shape[1]
    wide = outputs // len(found)
    codings = []
    for output in range(outputs):
        known, unknown = found[output // wide]
        other = None if unknown is None else unknown[output]
        codings.append(_Coding(_keys(encoder, output // wide, text), known[:, output], other))
    repeated = table.take([output // wide for output in range(outputs)])
    return graph.table(_codes(graph, repeated, codings, text), outputs)


def one_hot(graph: Graph, encoder: Any, table: Table) -> Table:
    """Write a OneHotEncoder: each value becomes the number of its output column, compared with all of them."""
    text = graph.is_text(table)
    widths = [int(width) for width in encoder._n_features_outs]
    starts = np.concatenate([[0], np.cumsum(widths)]).astype(int)
    codings = []
    for column in range(len(widths)):
        known, unknown = _read(encoder, column, text)
        mine = slice(starts[column], starts[column + 1])
        slots = _slots(known[:, mine], starts[column])
        other = None if unknown is None else _slots(unknown[mine].reshape(1, -1), starts[column])[0]
        codings.append(_Coding(_keys(encoder, column, text), slots, other))
    found = _codes(graph, table, codings, text)
    if len(widths) > 1:
        found = graph.pick(found, np.repeat(np.arange(len(widths)), widths))
    ones = graph.node("Equal", found, graph.row(np.arange(starts[-1])))
    return graph.table(graph.cast(ones), int(starts[-1]))


def discretizer(graph: Graph, step: Any, table: Table) -> Table:
    """Write a KBinsDiscretizer: the bin is the number of inner edges that are not above the value."""
    inner = [np.asarray(edges[1:-1], dtype=np.float64) for edges in step.bin_edges_]
    counts = [len(edges) for edges in inner]
    owner = np.repeat(np.arange(len(inner)), counts)
    value = graph.matrix(table)
    if not len(owner):
        raise not_exportable("a discretizer with one bin per column has no exact form in ONNX")
    over = graph.node("GreaterOrEqual", graph.pick(value, owner), graph.row(np.concatenate(inner)))
    members = (owner.reshape(-1, 1) == np.arange(len(inner))).astype(np.float64)
    bins = graph.table(graph.node("MatMul", graph.cast(over), graph.numbers(members)), len(inner))
    return bins if step.encode == "ordinal" else one_hot(graph, step._encoder, bins)


def _slots(rows: Array, start: int) -> Array:
    """Return the output column that is set in each row, -1 where none is."""
    if not rows.shape[1]:
        return np.full(len(rows), -1.0)
    return np.where(rows.any(axis=1), rows.argmax(axis=1) + start, -1).astype(np.float64)


def _keys(encoder: Any, column: int, text: bool) -> list[Any]:
    keys = list(encoder.categories_[column])
    if text and not all(isinstance(key, str) for key in keys):
        raise not_exportable("an encoder whose categories are not all text has no exact form in ONNX")
    return [str(key) for key in keys] if text else [math.nan if key != key else float(key) for key in keys]


def _read(encoder: Any, column: int, text: bool) -> tuple[Array, Array | None]:
    """Return what the encoder makes of each known value of a column, shape (k, outputs), and of an unknown one."""
    first = [categories[0] for categories in encoder.categories_]
    keys = _keys(encoder, column, text)
    if len(keys) * len(first) > MAXIMUM_CELLS:
        raise not_exportable("an encoder of so many categories has no exact form in ONNX")
    rows = np.empty((len(keys), len(first)), dtype=object if text else np.float64)
    rows[:] = np.array(first, dtype=rows.dtype)
    rows[:, column] = keys
    known = _dense(encoder.transform(rows))
    other = rows[:1].copy()
    finite = [] if text else [abs(key) for key in keys if key == key]
    other[0, column] = UNKNOWN if text else 2 * max(finite, default=0.0) + 1
    try:
        return known, _dense(encoder.transform(other))[0]
    except ValueError:
        return known, None


def _dense(output: Any) -> Array:
    return np.asarray(output.toarray() if hasattr(output, "toarray") else output, dtype=np.float64)


def _codes(graph: Graph, table: Table, codings: list[_Coding], text: bool) -> str:
    """Return the float64 tensor of the codes of each column; a refused value ends the run with an error.

    All columns share one dictionary from values to numbers; a second table holds the code of each number by column.
    """
    numbers: dict[Any, int] = {}
    for coding in codings:
        for key in coding.keys:
            numbers.setdefault(key, len(numbers))
    width = len(numbers) + 1
    if width * len(codings) > MAXIMUM_CELLS:
        raise not_exportable("an encoder of so many categories has no exact form in ONNX")
    value = graph.tensor(table)
    refused = [coding.unknown is None for coding in codings]
    if len(codings) == 1 and not any(refused):
        return _encode(graph, value, codings[0].keys, codings[0].codes, codings[0].unknown, text)
    codes = np.zeros((len(codings), width))
    places = np.arange(codes.size).reshape(codes.shape)
    for row, coding in enumerate(codings):
        known = [numbers[key] for key in coding.keys]
        codes[row] = 0.0 if coding.unknown is None else coding.unknown
        codes[row, known] = coding.codes
        if coding.unknown is None:
            unknown = np.setdiff1d(np.arange(width), known)
            places[row, unknown] = _REFUSED
    ids = np.arange(width, dtype=np.int64)
    found = _encode(graph, value, list(numbers), ids[:-1], ids[-1], text)
    if len(codings) > 1:
        offsets = width * np.arange(len(codings), dtype=np.int64).reshape(1, -1)
        found = graph.node("Add", found, graph.constant(offsets))
    if any(refused):
        # A number outside the last table makes the runtime refuse the row, as scikit-learn does.
        found = graph.node("Gather", graph.constant(places.reshape(-1)), found, axis=0)
    names = " or ".join(repr(name) for name, out in zip(table.names, refused, strict=False) if out)
    label = f"known values of {names}" if names else ""
    return graph.node("Gather", graph.numbers(codes.reshape(-1)), found, axis=0, label=label)


def _encode(graph: Graph, value: str, keys: list[Any], codes: Array, unknown: Any, text: bool) -> str:
    from onnx import TensorProto, helper

    kind = TensorProto.INT64 if codes.dtype.kind == "i" else TensorProto.DOUBLE
    source = TensorProto.STRING if text else TensorProto.DOUBLE
    return graph.node(
        "LabelEncoder",
        value,
        keys_tensor=helper.make_tensor("keys", source, [len(keys)], [key.encode() for key in keys] if text else keys),
        values_tensor=helper.make_tensor("values", kind, [len(codes)], codes.tolist()),
        default_tensor=helper.make_tensor("default", kind, [1], [unknown]),
    )
