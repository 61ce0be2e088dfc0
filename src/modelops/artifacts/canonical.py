"""Canonical skops: the bytes of an estimator depend on the estimator alone, and loading trusts an exact list of types.

skops names objects by their address and stamps the time; here objects are numbered by first use, members carry no
time, sets are sorted and the padding of structured arrays is zero. The result is still a skops file.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelops.artifacts.allowed import ALLOWED_TYPES, EXPERIMENTAL_TYPES, HINTS
from modelops.artifacts.trees import check_trees
from modelops.errors import failure

__all__ = ["canonical", "dump_canonical", "load_canonical"]

_SCHEMA = "schema.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_VALUES = frozenset({"JsonNode", "TypeNode", "FunctionNode"})
"""Loaders of immutable values: whether two of them are one object is an accident of the interpreter."""


def dump_canonical(estimator: Any) -> tuple[bytes, tuple[str, ...]]:
    """Return the canonical skops bytes of an estimator and the types beyond skops' own that loading it needs.

    An object that skops cannot write raises ``unsupported-type``; a type outside the allow-list ``untrusted-type``.
    """
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    try:
        data = canonical(skops.io.dumps(estimator))
    except (TypeError, ValueError, AttributeError, UnsupportedTypeException, RecursionError) as error:
        raise failure(
            "unsupported-type",
            f"the estimator cannot be written without pickle: {_first_line(error)}",
            hint="choose another estimator; functions have to be those of scikit-learn and numpy",
        ) from None
    types = _types(skops.io.get_untrusted_types(data=data))
    _check_types(types)
    return data, types


def _types(found: Iterable[str]) -> tuple[str, ...]:
    """Return the types that a signature names, whatever of scikit-learn's experiments this process has enabled."""
    return tuple(sorted(set(found) - EXPERIMENTAL_TYPES))


def load_canonical(data: bytes, trusted: Iterable[str]) -> Any:
    """Load an estimator; its types must be exactly the trusted ones, and those on the allow-list.

    Raises ``untrusted-type``, ``crafted-tree`` for node indices out of range, or ``bad-model``.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    expected = tuple(sorted(trusted))
    _check_types(expected)
    try:
        found = _types(skops.io.get_untrusted_types(data=data))
        if found != expected:
            differing = sorted(set(found) ^ set(expected))[0]
            raise failure("untrusted-type", f"the model holds other types than its signature names: {differing}")
        estimator = skops.io.loads(data, trusted=[*expected, *sorted(EXPERIMENTAL_TYPES)])
    except UntrustedTypesFoundException as error:
        raise failure("untrusted-type", f"the model is refused: {_first_line(error)}") from None
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile, RecursionError) as error:
        raise failure("bad-model", f"the model cannot be loaded: {_first_line(error)}") from None
    check_trees(estimator)
    return estimator


def _check_types(types: Iterable[str]) -> None:
    refused = sorted(set(types) - ALLOWED_TYPES)
    if refused:
        hints = (hint for name in refused for start, hint in HINTS if name.startswith(start))
        hint = next(hints, "use scikit-learn, numpy and scipy only")
        raise failure(
            "untrusted-type", f"the estimator holds {', '.join(refused)}, which may not be loaded again", hint=hint
        )


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


@dataclass
class _Renaming:
    """Numbers for objects and members, given out in the order of first use."""

    source: zipfile.ZipFile
    objects: dict[int, int] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)

    def rewrite(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.rewrite(item) for item in node]
        if not isinstance(node, dict):
            return node
        loader = node.get("__loader__")
        if not isinstance(loader, str):
            return {key: self.rewrite(value) for key, value in node.items()}
        if loader == "SetNode":
            node = {**node, "content": sorted(node["content"], key=_without_identity)}
        result: dict[str, Any] = {}
        # "content" of a dict keeps its order, which pairs with its key types; the fields of a node have none.
        for key in sorted(node):
            value = node[key]
            if key == "__id__":
                if loader not in _VALUES:
                    result[key] = self.objects.setdefault(value, len(self.objects) + 1)
            elif key == "file" and isinstance(value, str):
                suffix = value.rpartition(".")[2]
                result[key] = self.members.setdefault(value, f"{len(self.members):06d}.{suffix}")
            else:
                result[key] = self.rewrite(value)
        return result


def canonical(data: bytes) -> bytes:
    """Return the canonical bytes of a skops file."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        renaming = _Renaming(source)
        schema = renaming.rewrite(json.loads(source.read(_SCHEMA)))
        for old, new in renaming.members.items():
            _write(archive, new, _member(source.read(old), new))
        _write(archive, _SCHEMA, json.dumps(schema, separators=(",", ":"), ensure_ascii=True).encode())
    return target.getvalue()


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


def _member(data: bytes, name: str) -> bytes:
    """Return an array's bytes with zero padding between the fields of its records, or any other member as it is."""
    if not name.endswith(".npy"):
        return data
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names is None:
        return data
    clean = np.zeros(array.shape, dtype=array.dtype)
    for column in array.dtype.names:
        clean[column] = array[column]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _without_identity(node: Any) -> str:
    """Return a sort key for the members of a set that ignores addresses."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(inner) for key, inner in value.items() if key != "__id__"}
        return [strip(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(strip(node), sort_keys=True)
