"""From a validator's complaint to a Problem that says where and what to do."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from modelops.errors import Location, Problem
from modelops.spec.yaml.document import Document

_SECRET = re.compile(r"secret|password|token|private|credential", re.IGNORECASE)
_TYPES = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "model_attributes": "a mapping",
    "none_required": "null",
}
_NO_WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def show(value: Any, dotted: str = "") -> str:
    """Return a value as a message may quote it: short, and not at all when its key speaks of a secret."""
    if _SECRET.search(dotted):
        return "the value"
    word = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, bool) or value is None else None
    text = word or (f"a list of {len(value)}" if isinstance(value, tuple | list) else repr(value))
    if isinstance(value, dict):
        text = "an empty mapping" if not value else f"a mapping of {', '.join(map(repr, list(value)[:3]))}"
    return text if len(text) <= 60 else text[:57] + "…"


def nearest(word: str, known: Iterable[str], what: str = "one of") -> str:
    """Return the hint for a name that does not exist: the nearest one, or all of them."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return "there is none"
    return f"{what}: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}"


def dotted_path(location: Iterable[str | int], prefix: str = "") -> str:
    """Return the dotted spelling of a validator's location."""
    path = prefix
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else part)
    return path


def _inside(annotation: Any, part: str | int) -> Any:
    """Return the annotation of one item of a container type, or Any."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _inside(arguments[0], part)
    if origin in (typing.Union, types.UnionType):
        found = (_inside(choice, part) for choice in arguments)
        return next((item for item in found if item is not Any), Any)
    if origin in (tuple, list) and arguments:
        return arguments[0] if isinstance(part, int) else _inside(arguments[0], part)
    if origin is dict:
        return arguments[1]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return next((item.annotation for name, item in fields.items() if part in (item.alias, name)), Any)
    return Any


def _keys(annotation: Any) -> list[str]:
    """Return the keys that a mapping of this annotation may have."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is not None:
        choices = arguments[:1] if origin is typing.Annotated else arguments
        return [key for choice in choices for key in _keys(choice)] if origin not in (tuple, list, dict) else []
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [item.alias or name for name, item in annotation.model_fields.items()]
    return []


def _written(value: Any, location: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], Any]:
    """Cut a validator's location (which names union members too) down to what the file holds."""
    path: list[str | int] = []
    for part in location:
        items: Any = value
        in_list = isinstance(value, tuple | list) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, dict) and part in value):
            value = items[part]
        elif isinstance(value, dict) and part == 0:
            # One stands for a list of one.
            continue
        else:
            break
        path.append(part)
    return tuple(path), value


def _type_hint(expected: str, value: Any, annotation: Any) -> str | None:
    of_list = expected == "a list"
    if isinstance(value, str) and "type" in _keys(_inside(annotation, 0) if of_list else annotation):
        return f"write `[{{type: {value}}}]`" if of_list else f"write `{{type: {value}}}`"
    if expected == "a text" and isinstance(value, int | float | bool):
        text = str(value).lower() if isinstance(value, bool) else value
        return f'quote it: "{text}"'
    if expected == "true or false" and isinstance(value, str):
        return f"write {_NO_WORDS[value.lower()]}" if value.lower() in _NO_WORDS else "write true or false, unquoted"
    if expected in ("a number", "a whole number") and isinstance(value, str):
        return "write a decimal number, unquoted"
    if expected == "a list":
        return "write `[a, b]`, or one `- item` a line"
    return None


def _complaint(error: Any, value: Any, dotted: str, annotation: Any) -> tuple[str, str, str | None]:
    """Return code, message and hint of one validation error other than an unknown or missing key."""
    kind, context, quoted = error["type"], error.get("ctx", {}), show(value, dotted)
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return "unknown-value", f"{quoted} is not allowed", nearest(str(value), allowed)
    if kind.endswith("_type") or kind == "none_required":
        expected = _TYPES.get(kind.removesuffix("_type"), kind)
        return "wrong-type", f"{quoted} is not {expected}", _type_hint(expected, value, annotation)
    if kind == "string_pattern_mismatch":
        description = _description(annotation)
        return "bad-value", f"{quoted} has the wrong form", description or f"it must match {context['pattern']}"
    if kind in ("too_short", "string_too_short"):
        return "bad-value", "it is empty" if not value else f"{quoted} is too short", "write at least one"
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return "out-of-range", f"{quoted} is out of range", error["msg"].replace("Input", "it")
    message = context["error"] if isinstance(context.get("error"), Exception) else error["msg"].replace("Input", "it")
    return "bad-value", f"{quoted}: {message}", None


def _description(annotation: Any) -> str | None:
    arguments = typing.get_args(annotation)
    found = (getattr(item, "description", None) for item in arguments)
    return next((text for text in found if text), None) or next(filter(None, map(_description, arguments)), None)


def _annotation_at(model: type[BaseModel], path: Iterable[str | int]) -> Any:
    annotation: Any = model
    for part in path:
        annotation = _inside(annotation, part)
    return annotation


def _record(model: type[BaseModel], path: tuple[str | int, ...]) -> Any:
    """Return the annotation of the mapping that the last part of a path is a key of; one stands for a list of one."""
    annotation = _annotation_at(model, path[:-1])
    listed = typing.get_origin(annotation) in (tuple, list) and isinstance(path[-1], str)
    return _inside(annotation, 0) if listed else annotation


def _raw_annotation(model: type[BaseModel], path: tuple[str | int, ...]) -> Any:
    """Return the annotation with the metadata that pydantic moves into the field."""
    annotation = _annotation_at(model, path)
    owner = _record(model, path) if path else None
    if isinstance(owner, type) and issubclass(owner, BaseModel):
        field = next((item for name, item in owner.model_fields.items() if path[-1] in (item.alias, name)), None)
        if field is not None and field.description:
            return typing.Annotated[annotation, field]
    return annotation


def _unknown_key(model: type[BaseModel], path: tuple[str | int, ...]) -> tuple[str, str, str]:
    key = str(path[-1])
    known = _keys(_record(model, path))
    camel = to_camel(key)
    hint = f"keys are camelCase: {camel!r}" if camel in known and camel != key else nearest(key, known, "keys here")
    return "unknown-key", f"{key!r} is not a key here", hint


def _length(found: Any, context: Mapping[str, Any]) -> int:
    """Return how many items a list was given; one stands for a list of one."""
    return 1 if isinstance(found, dict) and context.get("field_type") != "Dictionary" else len(found)


def explain(
    error: ValidationError, model: type[BaseModel], value: Any, document: Document, prefix: str
) -> list[Problem]:
    """Return one Problem for each place that a validation found wrong.

    ``value`` is what was validated and ``prefix`` its dotted path in the document. Members of a union that all refuse
    the same value are one Problem.
    """
    problems: dict[str, Problem] = {}
    for detail in error.errors(include_url=False, include_input=False):
        location = detail["loc"]
        path, found = _written(value, location)
        if detail["type"] == "missing":
            dotted = dotted_path(path, prefix)
            key = str(location[-1])
            where = document.keys.get(dotted) or document.marks.get(dotted) or Location(document.path, 1, 1)
            message = f"the key {key!r} is missing"
            problems[f"{dotted}.{key}"] = Problem("missing-key", message, where, dotted, f"add `{key}:`")
            continue
        dotted = dotted_path(path, prefix)
        where = document.marks.get(dotted) or Location(document.path, 1, 1)
        if detail["type"] == "extra_forbidden":
            where = document.keys.get(dotted, where)
            code, message, hint = _unknown_key(model, path)
            problems.setdefault(dotted, Problem(code, message, where, dotted, hint))
            continue
        if detail["type"] == "too_short" and _length(found, detail["ctx"]) >= detail["ctx"]["min_length"]:
            # Its items are wrong, not missing; each has its own Problem.
            continue
        told = _complaint(detail, found, dotted, _raw_annotation(model, path))
        problems.setdefault(dotted, Problem(told[0], told[1], where, dotted, told[2]))
    return list(problems.values())
