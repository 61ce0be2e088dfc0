"""What the runtimes of trees share: whose a model is, refusing files, and checks of what a library would not check."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from modelops.errors import Exit, ModelOpsError, failure

__all__ = [
    "answering",
    "bad",
    "by_column",
    "check_branches",
    "column_kinds",
    "document",
    "is_of",
    "library",
    "limited",
    "loading",
]

Array = np.ndarray[Any, Any]

MAXIMUM_BYTES = 1 << 30
"""No file of a part is larger than this."""


def is_of(found: Any, *packages: str) -> bool:
    """Tell whether an object's own class is one of some packages, without importing them."""
    return not isinstance(found, type) and type(found).__module__.partition(".")[0] in packages


def library(name: str) -> Any:
    """Return a library, which only those need whose models it serves; one that is not there is said in words."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise failure(
            "library-missing",
            f"the model needs {name}, which cannot be imported: {' '.join(str(error).split())[:160]}",
            exit=Exit.WORLD,
            hint="install what the lock of the release pins",
        ) from None


def bad(what: str) -> ModelOpsError:
    """Return the error about a file that is no model."""
    return failure("bad-model", f"the model is refused: {what}")


def limited(data: bytes, what: str) -> bytes:
    """Return the bytes of a file that is not too large."""
    if not data or len(data) > MAXIMUM_BYTES:
        raise bad(f"{what} has {len(data)} bytes, of at most {MAXIMUM_BYTES >> 20} MiB")
    return data


def document(data: bytes, what: str) -> dict[str, Any]:
    """Return a file that is a JSON object."""
    try:
        found = json.loads(limited(data, what))
    except (ValueError, RecursionError):
        raise bad(f"{what} is not JSON") from None
    if not isinstance(found, dict):
        raise bad(f"{what} is not a JSON object")
    return found


@contextmanager
def loading(what: str, *own: type[Exception]) -> Iterator[None]:
    """Turn what goes wrong with a file into the error about it: what is not there, of another type, or refused.

    ``own`` are the errors of the library.
    """
    expected: tuple[type[Exception], ...] = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError)
    expected = (*expected, TypeError, ValueError, *own)
    try:
        yield
    except ModelOpsError:
        raise
    except expected as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise bad(f"{what} cannot be loaded: {type(error).__name__}: {said}") from None


@contextmanager
def answering(*own: type[Exception]) -> Iterator[None]:
    """Turn a library's own errors about rows into the one that Python has for values."""
    try:
        yield
    except own as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None


def check_branches(left: Array, right: Array, inner: Array, count: int) -> None:
    """Refuse a tree in which a walk from its first node could leave it or not end: each node has one parent at most."""
    children = np.concatenate([left[inner], right[inner]])
    outside = (children <= 0) | (children >= count)
    if outside.any() or len(np.unique(children)) != len(children):
        raise bad("a node of a tree points outside of it or back")


def check_columns(columns: Array, width: int) -> None:
    """Refuse a split on a column that does not exist."""
    if ((columns < 0) | (columns >= width)).any():
        raise bad("a tree splits on a column that does not exist")


def column_kinds(rows: Any) -> bool:
    """Tell whether rows are a frame with columns of text."""
    return hasattr(rows, "dtypes") and hasattr(rows, "columns") and any(kind.kind == "O" for kind in rows.dtypes)


def by_column(rows: Any, *, categories: bool) -> Any:
    """Return rows as a library of trees takes them: one array, or a frame whose texts are categories of pandas."""
    if not hasattr(rows, "columns"):
        return rows
    if not column_kinds(rows):
        return rows.to_numpy(dtype=np.float64)
    if not categories:
        names = [str(name) for name, kind in rows.dtypes.items() if kind.kind == "O"]
        raise ValueError(f"it was not fitted on columns of text, such as {names[0]!r}")
    return rows.astype({name: "category" for name, kind in rows.dtypes.items() if kind.kind == "O"})
