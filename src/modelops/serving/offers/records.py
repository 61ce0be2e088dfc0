"""Rows as records, ``{"amount": 3.5, "country": "DE"}``, for callers who do not think in tensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import orjson

from modelops.artifacts import Outputs
from modelops.serving.forms import Form, Takes, body_of
from modelops.serving.http import Answer, Request
from modelops.serving.inputs import SHOWN, Binder
from modelops.serving.once import check_once
from modelops.serving.outputs import Encoder
from modelops.serving.protocol import InferRequest, Parameters, Tensor, refusal, shown

__all__ = ["INVOCATIONS", "RECORDS", "records_of", "rows_of", "tensors_of"]

LISTS = ("records", "instances", "inputs", "dataframe_records")
"""Names under which other servers' clients send a list of records."""
SPLIT = "dataframe_split"
_KINDS: Mapping[frozenset[type], str] = {
    frozenset((float,)): "FP64",
    frozenset((int,)): "INT64",
    frozenset((int, float)): "FP64",
    frozenset((bool,)): "BOOL",
    frozenset((str,)): "BYTES",
}
_RANGE = range(-(1 << 63), 1 << 63)


def _read(request: Request, model: Takes) -> InferRequest:
    body = body_of(request)
    try:
        # NaN and Infinity are no JSON; an absent value is null.
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise refusal(f"the request is not valid JSON: {error}") from None
    records, rest = _unwrapped(given)
    check_once(body, _keys_of(records, rest))
    if not records:
        raise refusal("the request has no records")
    id, parameters = rest.get("id"), rest.get("parameters")
    if id is not None and not isinstance(id, str):
        raise refusal(f"the id of the request is {_shown(id)}, not a text")
    if parameters is not None:
        _check_parameters(parameters)
    return InferRequest(tensors_of(records, model.declared, model.known), id, parameters)


def _check_parameters(value: Any) -> None:
    try:
        msgspec.convert(value, Parameters)
    except msgspec.ValidationError as error:
        said = "the parameters of the request are not an object of texts, numbers and truths"
        raise refusal(f"{said}: {error}") from None


def _unwrapped(given: Any) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    """Return the records of a body, and what stands beside them."""
    if isinstance(given, list):
        return _checked(given), {}
    if not isinstance(given, dict):
        raise refusal("the request is neither a record nor a list of records")
    for name in LISTS:
        if isinstance(given.get(name), list):
            return _checked(given[name]), given
    split = given.get(SPLIT)
    if isinstance(split, dict):
        return _from_split(split), given
    return [given], {}


def _keys_of(records: Sequence[Mapping[str, Any]], rest: Mapping[str, Any]) -> int:
    """Return how many keys a body had, in all its objects."""
    objects = [rest, *(each for each in (rest.get("parameters"), rest.get(SPLIT)) if isinstance(each, dict))]
    return sum(map(len, objects)) + (0 if SPLIT in rest else sum(map(len, records)))


def records_of(given: Any) -> list[dict[str, Any]]:
    """Return the records of a document, however they are wrapped."""
    return _unwrapped(given)[0]


def _checked(rows: list[Any]) -> list[dict[str, Any]]:
    wrong = next((row for row, each in enumerate(rows) if not isinstance(each, dict)), None)
    if wrong is not None:
        raise refusal(f"row {wrong} is not a record: it is {_shown(rows[wrong])}")
    return rows


def _from_split(split: Mapping[str, Any]) -> list[dict[str, Any]]:
    names, data = split.get("columns"), split.get("data")
    if not isinstance(names, list) or not isinstance(data, list) or not all(isinstance(name, str) for name in names):
        raise refusal(f"{SPLIT} has columns, a list of names, and data, a list of rows")
    if len(set(names)) < len(names):
        raise refusal(f"{SPLIT} names a column twice")
    for row, values in enumerate(data):
        if not isinstance(values, list) or len(values) != len(names):
            raise refusal(f"row {row} of {SPLIT} is not a list of {len(names)} values")
    return [dict(zip(names, values, strict=True)) for values in data]


def tensors_of(
    records: Sequence[Mapping[str, Any]], declared: Mapping[str, str], known: Collection[str]
) -> list[Tensor]:
    """Return one tensor per feature; what a record leaves out or gives as null is a missing value.

    Columns keep the order of ``declared``, the datatypes of the model's features by name, then that in which records
    name others; ``known`` are the inputs that some arm of the model takes.
    """
    named = dict.fromkeys(declared)
    for record in records:
        named.update(dict.fromkeys(record))
    count, tensors = len(records), []
    for name in named:
        values = [record.get(name) for record in records]
        if name not in known:
            values = [next((value for value in values if value is not None), None)]
        tensors.append(Tensor(name, [count], _kind(name, values, declared.get(name, "BYTES")), values))
    return tensors


def _kind(name: str, values: Sequence[Any], declared: str) -> str:
    found = set(map(type, values)) - {type(None)}
    if not found:
        return declared
    kind = _KINDS.get(frozenset(found))
    if kind == "INT64" or (kind == "FP64" and int in found):
        row = next((row for row, value in enumerate(values) if type(value) is int and value not in _RANGE), None)
        if row is not None:
            raise refusal(f"{name[:80]!r}, row {row}: {_shown(values[row])} is out of range")
    if kind is not None:
        return kind
    if found <= {int, float, bool, str}:
        raise refusal(f"{name[:80]!r} is {' in some rows and '.join(sorted(_WORDS[each] for each in found))} in others")
    row = next(row for row, value in enumerate(values) if type(value) in (list, dict))
    raise refusal(f"{name[:80]!r}, row {row}: {_shown(values[row])} is not one value")


_WORDS: Mapping[type, str] = {int: "a number", float: "a number", bool: "true or false", str: "a text"}


def _shown(value: object) -> str:
    return shown(value, lambda one: orjson.dumps(one).decode())


def _wanted(binder: Binder) -> str:
    example = binder.example()
    shown = json.dumps(dict(islice(example.items(), SHOWN)), ensure_ascii=False)
    more = f" and {len(example) - SHOWN} more" if len(example) > SHOWN else ""
    return f"send a record like {shown}{more}, or a list of them"


def _write(head: dict[str, Any], request: InferRequest, encoder: Encoder, outputs: Outputs) -> Answer:
    head["predictions"] = rows = rows_of(head["parameters"]["prediction_id"], encoder, outputs)
    for row in filter(None, head["parameters"].get("review", "").split(",")):
        rows[int(row)]["review"] = True
    for row, reasons in zip(rows, orjson.loads(head["parameters"].pop("reasons", "[]")), strict=False):
        row |= {} if reasons is None else {"reasons": reasons}
    return Answer(200, orjson.dumps(head))


def rows_of(id: str, encoder: Encoder, outputs: Outputs) -> list[dict[str, Any]]:
    """Return one object per row, each with the id under which it is logged and takes feedback."""
    scores = outputs.scores.tolist()
    ids = [id] if len(scores) == 1 else [f"{id}.{row}" for row in range(len(scores))]
    if encoder.task == "regression":
        return [{"id": each, "prediction": score} for each, score in zip(ids, scores, strict=True)]
    labels = encoder.labels(outputs)
    if encoder.task == "binary-classification":
        rows = zip(ids, labels, scores, strict=True)
        return [{"id": each, "label": label, "probability": score} for each, label, score in rows]
    names = encoder.class_names
    return [
        {"id": each, "label": label, "probabilities": dict(zip(names, row, strict=True))}
        for each, label, row in zip(ids, labels, scores, strict=True)
    ]


def _write_invocations(_: dict[str, Any], request: InferRequest, encoder: Encoder, outputs: Outputs) -> Answer:
    values = outputs.scores.tolist() if encoder.task == "regression" else encoder.labels(outputs)
    return Answer(200, orjson.dumps({"predictions": values}))


_Write = Callable[[dict[str, Any], InferRequest, Encoder, Outputs], Answer]
RECORDS = Form(_read, _write, _wanted, "records")
"""Rows in and rows out."""
INVOCATIONS = Form(_read, _write_invocations, _wanted, "records", tells=False)
"""Rows in, and out what MLflow's server answers: the labels, or the predicted numbers."""
