"""The digest of what an estimator has learnt: its arrays and fitted numbers, whatever else its file holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["parameters_digest"]

Array = np.ndarray[Any, Any]
_DEPTH = 64


def parameters_digest(estimator: Any) -> str:
    """Return the digest of all arrays and floating-point numbers below an estimator, by where they are.

    Whole numbers and texts are settings or counts, such as the number of threads of the machine that trained: two
    estimators that differ in those alone have learnt the same. Trees are compared field by field, without the bytes
    between the fields.
    """
    hasher = hashlib.sha256()
    for path, value in _values(estimator, "", {}, _DEPTH):
        data = np.ascontiguousarray(value)
        hasher.update(f"{path}\0{data.dtype.str}\0{data.shape}\0".encode())
        hasher.update(data.tobytes())
    return "sha256:" + hasher.hexdigest()


def _values(item: Any, path: str, seen: dict[int, Any], depth: int) -> Iterator[tuple[str, Array]]:
    """Yield arrays and numbers with their paths, each object once.

    ``seen`` keeps the objects: a tree makes its arrays when it is asked, and one that is gone would lend its id to the
    next.
    """
    if isinstance(item, (float, np.floating)):
        yield path, np.asarray(item, dtype=np.float64)
        return
    if isinstance(item, (str, bytes, int, bool, type(None), np.generic)) or id(item) in seen or not depth:
        return
    seen[id(item)] = item
    if isinstance(item, np.ndarray) and item.dtype.names:
        for name in item.dtype.names:
            yield f"{path}.{name}", item[name]
    elif isinstance(item, np.ndarray) and item.dtype != object:
        yield path, item
    else:
        for name, inner in _parts(item):
            yield from _values(inner, f"{path}.{name}", seen, depth - 1)


def _parts(item: Any) -> list[tuple[str, Any]]:
    """Return what an object consists of, by name and in one order."""
    if isinstance(item, Mapping):
        return sorted(((str(key), value) for key, value in item.items()), key=lambda pair: pair[0])
    if isinstance(item, np.ndarray):
        return [(str(index), value) for index, value in enumerate(item.flat)]
    if isinstance(item, (list, tuple)):
        return [(str(index), value) for index, value in enumerate(item)]
    state = getattr(item, "__dict__", None)
    if not isinstance(state, dict) and type(item).__module__ == "sklearn.tree._tree":
        state = item.__getstate__()
    return sorted(state.items()) if isinstance(state, dict) else []
