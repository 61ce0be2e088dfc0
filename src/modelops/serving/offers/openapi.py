"""The OpenAPI description of what is served: the types of inputs and outputs are those of the releases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args
from urllib.parse import quote

from modelops import __version__
from modelops.reasons.explanation import Method
from modelops.serving.inputs import Binder
from modelops.serving.outputs import Encoder
from modelops.serving.table import LoadedModel

__all__ = ["described", "record_schema"]

_TYPES: Mapping[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "category": {"type": "string"},
    "datetime": {"type": "string", "format": "date-time"},
}
_LABELS = {"INT64": "integer", "BOOL": "boolean", "BYTES": "string"}
_ERRORS = {
    "400": "The request is not one that the model can answer; the sentence says what it takes.",
    "401": "No API key, or one that is not known here.",
    "403": "The key may not do this.",
    "404": "There is no such model or version.",
    "429": "Over the rate or the budget of the key; Retry-After says when to come again.",
    "503": "Not ready, or too much waits; try again.",
}


def described(models: Iterable[LoadedModel], *, keyed: bool) -> dict[str, Any]:
    """Return one OpenAPI 3.1 document about the models; those of which nothing is loaded are left out.

    Where keys are asked for, ``keyed``, none is no way in.
    """
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {**_COMMON}
    for model in models:
        arm = model.main
        if arm is None:
            continue
        prefix = model.name.replace("/", ".")
        schemas |= _schemas(prefix, arm.binder, arm.encoder)
        paths |= _paths(model.name, prefix, arm.binder.example())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "modelops",
            "version": __version__,
            "description": "Predictions from rows as records, and the Open Inference Protocol v2 beside it.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {status: _refusal(said) for status, said in _ERRORS.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}] if keyed else [{}, {"key": []}],
    }


def record_schema(binder: Binder) -> dict[str, Any]:
    """Return the JSON Schema of one row; what may be missing may be left out or null."""
    properties: dict[str, Any] = {}
    for name, kind, nullable in binder.features:
        properties[name] = dict(_TYPES[kind])
        if nullable:
            properties[name]["type"] = [_TYPES[kind]["type"], "null"]
    required = [name for name, _, nullable in binder.features if not nullable]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _prediction(encoder: Encoder) -> dict[str, Any]:
    properties: dict[str, Any] = {"id": {"type": "string", "description": "Names this prediction in the log."}}
    if encoder.task == "regression":
        properties["prediction"] = {"type": "number"}
    else:
        properties["label"] = {"type": _LABELS[encoder.label_type], "enum": list(encoder.label_values)}
        share = {"type": "number", "minimum": 0, "maximum": 1}
        if encoder.task == "binary-classification":
            said = f"Of the class {encoder.class_names[1]}."
            properties["probability"] = {**share, "description": said}
        else:
            each = dict.fromkeys(encoder.class_names, share)
            properties["probabilities"] = {"type": "object", "properties": each, "required": list(each)}
    reviewed = {"type": "boolean", "description": "Drawn for review: its truth is wanted, whatever was answered."}
    more = {"review": reviewed, "reasons": _REASONS}
    return {"type": "object", "properties": properties | more, "required": list(properties)}


def _schemas(prefix: str, binder: Binder, encoder: Encoder) -> dict[str, Any]:
    record = {"$ref": f"#/components/schemas/{prefix}.Record"}
    rows = {"type": "array", "items": record, "minItems": 1}
    wrapped = {
        "type": "object",
        "properties": {
            "records": rows,
            "id": {"type": "string"},
            "parameters": {"$ref": "#/components/schemas/RequestParameters"},
        },
        "required": ["records"],
    }
    answered = {
        "type": "object",
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"$ref": "#/components/schemas/Parameters"},
            "predictions": {"type": "array", "items": {"$ref": f"#/components/schemas/{prefix}.Prediction"}},
        },
        "required": ["model_name", "model_version", "predictions"],
    }
    return {
        f"{prefix}.Record": record_schema(binder),
        f"{prefix}.Records": {"anyOf": [record, rows, wrapped]},
        f"{prefix}.Prediction": _prediction(encoder),
        f"{prefix}.Predictions": answered,
    }


def _paths(name: str, prefix: str, example: Mapping[str, Any]) -> dict[str, Any]:
    at = f"/v2/models/{quote(name)}"
    return {
        f"{at}/predict": {
            "post": _operation(f"Predict from rows of {name}", f"{prefix}.Records", f"{prefix}.Predictions", example)
        },
        f"{at}/infer": {
            "post": _operation(f"Predict from tensors of {name}", "InferRequest", "InferResponse"),
        },
        at: {"get": _operation(f"Versions, inputs and outputs of {name}", None, "Metadata")},
        f"{at}/ready": {"get": _operation(f"Whether {name} may be asked", None, "Ready")},
    }


def _operation(summary: str, takes: str | None, gives: str, example: Mapping[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": "The answer.", "content": _content(gives)},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _ERRORS},
        },
    }
    if takes is not None:
        content = _content(takes)
        if example is not None:
            content["application/json"]["example"] = dict(example)
        found["requestBody"] = {"required": True, "content": content}
    return found


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _refusal(said: str) -> dict[str, Any]:
    return {"description": said, "content": _content("Error")}


def _tensor(*more: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"type": "string"},
            "data": {"type": "array"},
            "parameters": {"$ref": "#/components/schemas/Parameters"},
        },
        "required": ["name", "shape", "datatype", *more],
    }


def _object(required: Iterable[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_TEXT: dict[str, Any] = {"type": "string"}
_REASONS: dict[str, Any] = {
    "type": "object",
    "description": "Why, where the parameter explain asked: baseline, contributions and rest add up to value.",
    "properties": {
        "method": {"type": "string", "enum": list(get_args(Method))},
        "scale": _TEXT,
        "label": _TEXT,
        "background": {"type": "integer"},
        "rounds": {"type": "integer"},
        "baseline": {"type": "number"},
        "value": {"type": "number"},
        "contributions": {
            "type": "array",
            "items": _object(
                ["feature", "contribution"],
                feature=_TEXT,
                value={},
                contribution={"type": "number"},
                error={"type": "number"},
            ),
        },
        "rest": {"type": "number"},
    },
    "required": ["method", "scale", "background", "baseline", "value", "contributions", "rest"],
}
_PARAMETERS: dict[str, Any] = {"$ref": "#/components/schemas/Parameters"}


def _several(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_COMMON: Mapping[str, Any] = {
    "Parameters": {
        "type": "object",
        "additionalProperties": {
            "type": ["string", "number", "boolean"],
            "minimum": -(1 << 63),
            "exclusiveMaximum": 1 << 63,
        },
    },
    "RequestParameters": {
        "allOf": [{"$ref": "#/components/schemas/Parameters"}],
        "properties": {
            "explain": {
                "type": ["boolean", "integer"],
                "description": "True for the reasons of each row, or how many features they are to name.",
            }
        },
    },
    "Error": _object(["error"], error=_TEXT),
    "Ready": _object(["name", "ready"], name=_TEXT, ready={"type": "boolean"}),
    "Metadata": _object(
        ["name", "versions", "platform", "inputs", "outputs"],
        name=_TEXT,
        versions=_several(_TEXT),
        platform=_TEXT,
        inputs=_several(_tensor()),
        outputs=_several(_tensor()),
    ),
    "InferRequest": _object(
        ["inputs"],
        id=_TEXT,
        parameters={"$ref": "#/components/schemas/RequestParameters"},
        inputs=_several(_tensor()),
        outputs=_several(_object(["name"], name=_TEXT, parameters=_PARAMETERS)),
    ),
    "InferResponse": _object(
        ["model_name", "outputs"],
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters=_PARAMETERS,
        outputs=_several(_tensor("data")),
    ),
}
