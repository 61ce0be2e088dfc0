"""GitHub's own description of its API, and what it says of requests and answers: fields it does not name are wrong.

The description is a part of the one that GitHub publishes (`tests/assets/github/trim.py` says which and how). Its
schemas are open; here they are closed, so that a misspelt field of a request and an invented one of an answer are told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

DESCRIPTION = Path(__file__).parent / "assets" / "github" / "description.json"
_SCHEMAS = "#/components/schemas/"
_OPEN = "~open"
_BRANCHES = ("allOf", "oneOf", "anyOf")


@cache
def description() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    return loaded


def closed(schema: Any, *, top: bool = True) -> Any:
    """Return an OpenAPI 3.0 schema as JSON Schema that knows only the fields it names.

    Parts of one object are closed together, by what stands around them.
    """
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"] + ("" if top else _OPEN)}
    made = {key: value for key, value in schema.items() if key not in (*_BRANCHES, "nullable", "discriminator")}
    own = "properties" in schema
    if own:
        made["properties"] = {key: closed(value) for key, value in schema["properties"].items()}
    if "items" in schema:
        made["items"] = closed(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = closed(schema["additionalProperties"])
    elif own:
        made.pop("additionalProperties", None)
    for key in _BRANCHES:
        if key in schema:
            made[key] = [closed(each, top=top and not own and key != "allOf") for each in schema[key]]
    if top and (own or "allOf" in schema) and not isinstance(schema.get("additionalProperties"), dict):
        made["unevaluatedProperties"] = False
    made.pop("format", None)
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") else made


@cache
def _definitions() -> dict[str, Any]:
    schemas = description()["components"]["schemas"]
    opened = {name + _OPEN: closed(schema, top=False) for name, schema in schemas.items()}
    return {"components": {"schemas": {name: closed(schema) for name, schema in schemas.items()} | opened}}


@dataclass(frozen=True)
class Operation:
    """One call of the API: its path with names in braces, its method, and what the description says of it."""

    path: str
    method: str

    @property
    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = description()["paths"][self.path][self.method]
        return found

    def parameters(self, place: str) -> dict[str, Any]:
        """Return the parameters of the path or the query by name."""
        found = [*description()["paths"][self.path].get("parameters", ()), *self.said.get("parameters", ())]
        whole = [resolved(each) for each in found]
        return {each["name"]: each for each in whole if each["in"] == place}

    def schema_of(self, status: int) -> dict[str, Any] | None:
        """Return what the description says of the body of an answer; None for one without."""
        answer = resolved(self.said["responses"][str(status)])
        content = answer.get("content", {}).get("application/json")
        return None if content is None else content["schema"]


def resolved(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reference to a component means."""
    if "$ref" not in node:
        return dict(node)
    _, _, shelf, name = node["$ref"].split("/", 3)
    found: dict[str, Any] = description()["components"][shelf][name]
    return found


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    # What is written out comes before what is a name: /pulls/comments before /pulls/{number}.
    paths = sorted(description()["paths"], key=lambda path: (path.count("{"), path))
    found = []
    for path in paths:
        # A name of a ref may have slashes in it; no other value has.
        pattern = re.sub(r"\\\{(\w+)\\\}", lambda m: "(.+)" if m[1] == "ref" else "([^/]+)", re.escape(path))
        found.append((re.compile(pattern), path))
    return found


def operation(method: str, path: str) -> Operation | None:
    """Return which call a request is, None for one that the description does not have."""
    for pattern, name in _patterns():
        if pattern.fullmatch(path) and method.lower() in description()["paths"][name]:
            return Operation(name, method.lower())
    return None


@cache
def _validator(text: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(text), **_definitions()})


def _wrong(schema: Any, value: Any) -> str | None:
    found = best_match(_validator(json.dumps(closed(schema), sort_keys=True)).iter_errors(value))
    return None if found is None else f"{found.json_path}: {found.message[:400]}"


def wrong_request(method: str, path: str, query: Mapping[str, str], body: Any) -> str | None:
    """Return what is wrong with a request by the description, None if nothing is."""
    called = operation(method, path)
    if called is None:
        return f"{method} {path} is not in the description: add it to tests/assets/github/trim.py"
    allowed = called.parameters("query")
    for name, value in query.items():
        if name not in allowed:
            return f"{called.method} {called.path} has no parameter {name!r}"
        schema = resolved(allowed[name]["schema"]) if "$ref" in allowed[name]["schema"] else allowed[name]["schema"]
        typed: Any = int(value) if schema.get("type") == "integer" and value.isdecimal() else unquote(value)
        if told := _wrong(schema, typed):
            return f"{called.path}?{name}: {told}"
    wanted = called.said.get("requestBody", {})
    content = wanted.get("content", {}).get("application/json")
    if content is None:
        return f"{called.path} takes no body" if body else None
    if body is None:
        return f"{called.path} needs a body" if wanted.get("required") else None
    told = _wrong(content["schema"], body)
    return f"{called.method} {called.path}: {told}" if told else None


def wrong_answer(method: str, path: str, status: int, document: Any) -> str | None:
    """Return what is wrong with an answer that is no error, None if nothing is."""
    called = operation(method, path)
    if called is None:
        return f"{method} {path} is not in the description"
    if str(status) not in called.said["responses"]:
        return f"{called.method} {called.path} never answers {status}"
    schema = called.schema_of(status)
    if isinstance(document, list):
        # Of a long list the ends are looked at: all of 250 commits would take longer than a client waits.
        document = [*document[:3], *document[3:][-3:]]
    if schema is None:
        return None if document is None else f"{called.path} answers {status} without a body"
    told = _wrong(schema, document)
    return f"{called.method} {called.path}: {told}" if told else None


def filled(schema: Mapping[str, Any], given: Any) -> Any:
    """Return a value with every field that a schema requires: what is given, else the plainest that fits."""
    schema = resolved(schema)
    if isinstance(given, dict):
        parts = [schema, *(resolved(each) for each in schema.get("allOf", ()))]
        for one in schema.get("oneOf", ()) if "properties" not in schema else ():
            parts = [resolved(one)]
            break
        fields = {name: each for part in parts for name, each in part.get("properties", {}).items()}
        required = {name for part in parts for name in part.get("required", ())}
        made = {name: _plainest(fields[name]) for name in required if name not in given and name in fields}
        return made | {name: filled(fields.get(name, {}), value) for name, value in given.items()}
    if isinstance(given, list):
        return [filled(schema.get("items", {}), each) for each in given]
    return given


def _plainest(schema: Mapping[str, Any]) -> Any:
    schema = resolved(schema)
    if schema.get("nullable"):
        return None
    if "enum" in schema:
        return schema["enum"][0]
    for key in _BRANCHES:
        if key in schema and "properties" not in schema:
            return _plainest(schema[key][0]) if key != "allOf" else filled(schema, {})
    match schema.get("type"):
        case "object":
            return filled(schema, {})
        case "array":
            return []
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case _:
            return {"uri": "https://github.example/it", "date-time": "2026-03-01T12:00:00Z"}.get(
                schema.get("format", ""), ""
            )


def whole(method: str, path: str, status: int, document: Any) -> Any:
    """Return an answer with all that GitHub's has beside what somebody asked about."""
    called = operation(method, path)
    schema = called.schema_of(status) if called is not None and str(status) in called.said["responses"] else None
    return document if schema is None else filled(schema, document)
