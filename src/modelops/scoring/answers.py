"""Who answers: a server, or a release that is loaded here. Either way each row gets the same fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, get_args
from urllib.parse import quote

import numpy as np

from modelops.artifacts import Input, Predictor
from modelops.artifacts.predictor import MODEL_ERRORS
from modelops.errors import Exit, ModelOpsError, failure
from modelops.scoring.rows import Inputs, Part, Record
from modelops.serving.asking.blame import callers_fault
from modelops.serving.asking.infer import sanitized
from modelops.serving.client.connection import Server
from modelops.serving.inputs import Binder
from modelops.serving.offers.records import rows_of, tensors_of
from modelops.serving.outputs import Encoder
from modelops.serving.protocol import InferRequest
from modelops.spec.meta import FeatureType

__all__ = ["Answering", "FromRelease", "FromServer", "Kind"]

Kind = Literal["number", "integer", "boolean", "string"]
"""The type of a field of an answer, as JSON names it."""
BATCH_ROWS = 500
"""Rows that a server is asked about at once."""


class Answering(Protocol):
    """Answers parts of a file; ``fields`` are the names and types of what each row gets."""

    @property
    def inputs(self) -> Inputs:
        """What has to be in the file."""
        ...

    @property
    def fields(self) -> Mapping[str, Kind]:
        """Names and types of the answers."""
        ...

    def answer(self, part: Part) -> list[Record]:
        """Return one record per row, in order."""
        ...


class FromRelease:
    """A release that is loaded in this process; nothing is logged, and no server is asked."""

    def __init__(self, predictor: Predictor, release: int, formats: Mapping[str, str | None]) -> None:
        signature = predictor.signature
        self._predictor = predictor
        self._release = release
        self._binder, self._encoder = Binder(signature, predictor.takes_matrix), Encoder(signature)
        self.inputs = Inputs(signature.features, signature.text, formats)
        types: Mapping[str, Kind] = {"INT64": "integer", "BOOL": "boolean", "BYTES": "string"}
        label = None if signature.task == "regression" else types[self._encoder.label_type]
        classes = self._encoder.class_names if signature.task == "multiclass-classification" else ()
        self.fields: Mapping[str, Kind] = {**_fields(label, classes), "release": "integer"}

    def answer(self, part: Part) -> list[Record]:
        """Bind the rows as the server does, and predict."""
        binder, names = self._binder, set(self._binder.names)
        try:
            bound = binder.bind(InferRequest(tensors_of(part.records, binder.declared, names)), names)
        except ModelOpsError as error:
            raise _at(part, error) from None
        try:
            predictor = self._predictor
            matrix = bound.matrix
            outputs = predictor.predict_columns(bound.columns) if matrix is None else predictor.predict_matrix(matrix)
        except MODEL_ERRORS as error:
            raise _at(part, callers_fault(binder.names, {}, bound, error) or error) from None
        if not np.isfinite(outputs.scores).all():
            raise _at(part, failure("bad-prediction", "the prediction is not a finite number"))
        return [{**flattened(row), "release": self._release} for row in rows_of("", self._encoder, outputs)]


def _at(part: Part, error: BaseException) -> ModelOpsError:
    """Return the error of a part of a file; rows count from 1 in the file and from 0 in what a part says."""
    known = isinstance(error, ModelOpsError)
    said = error.first.message if isinstance(error, ModelOpsError) else f"the model fails: {sanitized(error)}"
    place = f"rows {part.first} to {part.first + len(part.records) - 1}"
    hint = "`row` counts from 0 within them" if known and ", row " in said else None
    return failure("not-predicted", f"{place}: {said}", exit=Exit.FILES, hint=hint)


class FromServer:
    """A server that is asked over HTTP; the answers are logged there, and take feedback under their ids."""

    def __init__(self, server: Server, model: str) -> None:
        self._server = server
        self._path = f"/v2/models/{quote(model)}"
        document = server.ask(f"{self._path}/openapi.json")
        schemas = document["components"]["schemas"]
        prefix = model.replace("/", ".")
        record, answer = schemas[f"{prefix}.Record"], schemas[f"{prefix}.Prediction"]["properties"]
        features = tuple(
            Input(name=name, type=_type_of(described), nullable=name not in record["required"])
            for name, described in record["properties"].items()
        )
        self.inputs = Inputs(features)
        label = answer["label"]["type"] if "label" in answer else None
        classes = answer["probabilities"]["properties"] if "probabilities" in answer else ()
        own: Mapping[str, Kind] = {"release": "integer", "prediction_id": "string"}
        self.fields: Mapping[str, Kind] = {**_fields(label, classes), **own}

    def answer(self, part: Part) -> list[Record]:
        """Ask about a few rows at a time."""
        found: list[Record] = []
        for start in range(0, len(part.records), BATCH_ROWS):
            told = self._server.ask(f"{self._path}/predict", list(part.records[start : start + BATCH_ROWS]))
            release = int(told["model_version"])
            for row in told["predictions"]:
                found.append({**flattened(row), "release": release, "prediction_id": row["id"]})
        return found


def _type_of(described: Mapping[str, Any]) -> FeatureType:
    """Return the type of an input by its JSON Schema."""
    kind = described["type"][0] if isinstance(described["type"], list) else described["type"]
    if kind == "string":
        return "datetime" if described.get("format") == "date-time" else "category"
    found: FeatureType = kind
    if found not in get_args(FeatureType):
        raise failure("bad-answer", f"the server describes an input of the type {kind!r}", exit=Exit.WORLD)
    return found


def _fields(label: Kind | None, classes: Iterable[str]) -> dict[str, Kind]:
    if label is None:
        return {"prediction": "number"}
    names = [f"probability_{name}" for name in classes] or ["probability"]
    return {"prediction": label, **dict.fromkeys(names, "number")}


def flattened(row: Mapping[str, Any]) -> Record:
    """Return the prediction of one row as fields of a table."""
    if "prediction" in row:
        return {"prediction": row["prediction"]}
    if "probability" in row:
        return {"prediction": row["label"], "probability": row["probability"]}
    return {"prediction": row["label"], **{f"probability_{name}": each for name, each in row["probabilities"].items()}}
