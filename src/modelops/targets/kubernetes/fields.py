"""Whose the fields of an object are, and how two states of it differ: what tells that somebody else has been there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from modelops.digests import digest_bytes
from modelops.targets.kubernetes.cluster import MANAGER
from modelops.targets.kubernetes.names import SPEC

__all__ = ["differences", "holders", "is_as_applied", "lost", "marked", "spelled"]


def marked(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the digest of all that is applied of it, as an annotation."""
    metadata = dict(wanted["metadata"])
    annotations = {key: each for key, each in (metadata.get("annotations") or {}).items() if key != SPEC}
    whole = {**wanted, "metadata": {**metadata, "annotations": annotations}}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {**wanted, "metadata": {**metadata, "annotations": {**annotations, SPEC: digest_bytes(text.encode())}}}


def is_as_applied(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell, without asking again, whether an object still has all that was applied of it, and that is what is wanted.

    The annotation says what was applied. Whoever changes a field of it takes the field from its manager, so that the
    API server's record of who holds what tells whether it still stands.
    """
    said = (live["metadata"].get("annotations") or {}).get(SPEC)
    return said == wanted["metadata"]["annotations"][SPEC] and not lost(wanted, live)


def _owned(live: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were applied here and are still held."""
    for each in live["metadata"].get("managedFields") or ():
        if each.get("manager") == MANAGER and each.get("operation") == "Apply" and not each.get("subresource"):
            return dict(each.get("fieldsV1") or {})
    return {}


def lost(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Return the fields that are wanted and that the API server does not record as ours, by their paths."""
    named = ("apiVersion", "kind")
    rest = {key: each for key, each in wanted.items() if key not in named}
    rest["metadata"] = {key: each for key, each in wanted["metadata"].items() if key in ("labels", "annotations")}
    return sorted(_missing(rest, _owned(live), ""))


def _missing(wanted: Any, owned: Mapping[str, Any], path: str) -> Iterator[str]:
    if isinstance(wanted, Mapping):
        for key, each in wanted.items():
            here = f"{path}.{key}".lstrip(".")
            below = owned.get(f"f:{key}")
            if below is None:
                # Of what is empty some versions of the API server write nothing down.
                yield from () if each in ({}, [], None) else (here,)
            elif below:
                yield from _missing(each, below, here)
    elif isinstance(wanted, list):
        for at, each in enumerate(wanted):
            below = _item(each, owned)
            if below is None:
                yield f"{path}[{_called(each, at)}]"
            else:
                yield from _missing(each, below, f"{path}[{_called(each, at)}]")


def _item(each: Any, owned: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what is held of an item of a list, which is found by its keys or by its value."""
    for key, below in owned.items():
        kind, _, text = key.partition(":")
        if kind == "k" and isinstance(each, Mapping):
            keys = json.loads(text)
            if all(each.get(name) == value for name, value in keys.items()):
                return dict(below)
        elif kind == "v" and json.loads(text) == each:
            return {}
    return None


def _called(each: Any, at: int) -> str:
    named = each.get("name") if isinstance(each, Mapping) else None
    return str(named) if named is not None else str(at)


_NOT_SAID = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
"""What the API server writes of its own accord."""


def differences(live: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    """Return where two states of an object differ, as ``path: now -> then``, its status left out."""
    one, other = (
        {
            **{key: each for key, each in state.items() if key != "status"},
            "metadata": {
                key: {name: said for name, said in each.items() if name != SPEC} if key == "annotations" else each
                for key, each in state["metadata"].items()
                if key not in _NOT_SAID
            },
        }
        for state in (live, then)
    )
    return list(_differ(one, other, ""))


_NOTHING = object()


def _differ(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from _differ(one.get(key, _NOTHING), other.get(key, _NOTHING), f"{path}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and _is_named(one) and _is_named(other):
        ones, others = ({each["name"]: each for each in side} for side in (one, other))
        for name in sorted({*ones, *others}):
            yield from _differ(ones.get(name, _NOTHING), others.get(name, _NOTHING), f"{path}[{name}]")
    elif one != other:
        yield f"{path}: {spelled(one)} -> {spelled(other)}"


def _is_named(items: list[Any]) -> bool:
    return all(isinstance(each, Mapping) and "name" in each for each in items)


def spelled(value: Any) -> str:
    """Return a value as people read it, cut where it is long."""
    if value is _NOTHING:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def holders(live: Mapping[str, Any], paths: list[str]) -> list[str]:
    """Return the managers other than ours that hold some of these fields now."""
    found = set()
    for each in live["metadata"].get("managedFields") or ():
        if each.get("manager") == MANAGER and each.get("operation") == "Apply":
            continue
        if any(_holds(each.get("fieldsV1") or {}, path) for path in paths):
            found.add(str(each.get("manager")))
    return sorted(found)


def _holds(owned: Mapping[str, Any], path: str) -> bool:
    """Tell whether a manager holds the field of a path or something in it."""
    parts = path.replace("[", ".[").split(".")
    # The keys of labels and annotations have dots of their own.
    if parts[0] == "metadata" and len(parts) > 2:
        parts = [*parts[:2], path.split(".", 2)[2]]
    for part in parts:
        if part.startswith("["):
            name = part[1:-1]
            below = next((sub for key, sub in owned.items() if key.startswith("k:") and _names(key, name)), None)
        else:
            below = owned.get(f"f:{part}")
        if below is None:
            return False
        owned = below
    return True


def _names(key: str, name: str) -> bool:
    return bool(json.loads(key[2:]).get("name") == name)
