"""JSON Schemas of the kinds, for editors and for other tools."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from modelops import plugins
from modelops.spec.graph import records_of, shelves_of
from modelops.spec.kinds import KINDS
from modelops.spec.meta import API_VERSION, Metadata, Strict

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _definitions(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a model's schema with its definitions moved into the shared ones."""
    schema = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions.update(schema.pop("$defs", {}))
    return schema


def _with_params(plugin: dict[str, Any], shelf: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a plugin's place: one alternative for each file of the shelf, with its parameters."""
    choices = []
    for key in plugins.keys(shelf):
        params: type[BaseModel] = plugins.load(shelf, key).Params
        own: dict[str, Any] = {}
        schema = _definitions(params, own)
        name = f"{shelf}.{key}"
        # Two plugins may call different records by one name.
        definitions.update({f"{name}.{inner}": _renamed(value, name, own) for inner, value in own.items()})
        definitions[name] = _renamed(schema, name, own)
        required = ["type", "params"] if schema.get("required") else ["type"]
        choices.append(
            {
                "title": key,
                "description": schema.get("description", ""),
                "properties": {"type": {"const": key}, "params": {"$ref": f"#/$defs/{name}"}},
                "required": required,
            }
        )
    return {**plugin, "oneOf": choices} if choices else plugin


def _renamed(schema: Any, prefix: str, own: dict[str, Any]) -> Any:
    """Return a schema whose references lead to the prefixed names of its definitions."""
    if isinstance(schema, dict):
        return {
            key: f"#/$defs/{prefix}.{value.rpartition('/')[2]}"
            if key == "$ref" and isinstance(value, str) and value.rpartition("/")[2] in own
            else _renamed(value, prefix, own)
            for key, value in schema.items()
        }
    return [_renamed(item, prefix, own) for item in schema] if isinstance(schema, list) else schema


def _fill(record: type[Strict], schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Put the parameters of every plugin into the schema of a record, and of the records in it, that name one."""
    for _, field, shelf in shelves_of(record):
        place = schema["properties"][field]
        if place.get("type") == "array":
            name = place["items"]["$ref"].rpartition("/")[2]
            definitions[name] = _with_params(definitions[name], shelf, definitions)
        else:
            # What may be left out is a choice of the plugin and nothing.
            place.pop("anyOf", place.pop("$ref", None))
            base = {**definitions["Plugin"], **place}
            schema["properties"][field] = _with_params(base, shelf, definitions)
    for _, _, inner in records_of(record):
        _fill(inner, definitions[inner.__name__], definitions)


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a kind's files; the parameters of every plugin are part of it."""
    definitions: dict[str, Any] = {}
    spec = _definitions(KINDS[kind], definitions)
    _fill(KINDS[kind], spec, definitions)
    return {
        "$schema": DIALECT,
        "$id": f"modelops/v1/{kind}",
        "title": kind,
        "description": spec.get("description", ""),
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind},
            "metadata": _definitions(Metadata, definitions),
            "spec": spec,
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }
