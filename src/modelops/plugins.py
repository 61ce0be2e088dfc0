"""Shelves: a directory whose file names are the keys, plus one entry-point group per shelf for third parties."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Generic, TypeVar

from modelops.errors import Exit, ModelOpsError, failure

P = TypeVar("P")
SHELVES = ("gates", "strategies", "targets", "drift", "stores", "forges", "logs", "exports", "alerts", "runtimes")


@dataclass(frozen=True, slots=True)
class Bound(Generic[P]):
    """A plugin with its validated parameters: ``module`` has the type of its shelf's Protocol.

    Each shelf offers ``bind``, which takes what a file names and returns this, or says what is wrong and in which line.
    """

    key: str
    module: P
    params: Any


def built_in(shelf: str) -> frozenset[str]:
    """Return the keys of modelops' own files on a shelf."""
    package = importlib.import_module(f"modelops.{shelf}")
    return frozenset(
        info.name.replace("_", "-") for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")
    )


def _third_party(shelf: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=f"modelops.{shelf}")}


@cache
def keys(shelf: str) -> tuple[str, ...]:
    """Return the kebab-case keys that ``type:`` may take on a shelf, sorted."""
    if shelf not in SHELVES:
        raise ValueError(f"no shelf named {shelf!r}")
    return tuple(sorted(built_in(shelf) | set(_third_party(shelf))))


@cache
def load(shelf: str, key: str) -> ModuleType:
    """Import one plugin of a shelf and nothing else; an unknown key is an error that names the nearest one."""
    if key not in keys(shelf):
        near = get_close_matches(key, keys(shelf), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(keys(shelf))}"
        raise failure("unknown-plugin", f"{key!r} is not one of the {shelf}", exit=Exit.FILES, hint=hint)
    if key in built_in(shelf):
        return importlib.import_module(f"modelops.{shelf}.{key.replace('-', '_')}")
    return _checked(shelf, key, _third_party(shelf)[key])


def missing(shelf: str, module: object) -> list[str]:
    """Return the names that the shelf's Protocol asks for and a module does not have, sorted."""
    protocol = importlib.import_module(f"modelops.{shelf}").PROTOCOL
    asked = {name for name in (*protocol.__annotations__, *vars(protocol)) if not name.startswith("_")}
    return sorted(name for name in asked if not hasattr(module, name))


def _checked(shelf: str, key: str, entry: EntryPoint) -> ModuleType:
    """Return a third party's module once it has what the shelf asks of its files; our own are checked by type."""
    try:
        module = entry.load()
    except (ImportError, AttributeError) as error:
        raise _bad(shelf, key, f"cannot be imported from {entry.value!r}: {error}") from None
    if not isinstance(module, ModuleType):
        raise _bad(shelf, key, "is not a module")
    absent = missing(shelf, module)
    if absent:
        raise _bad(shelf, key, f"lacks {', '.join(absent)}")
    return module


def _bad(shelf: str, key: str, what: str) -> ModelOpsError:
    hint = "it is another package's; ask its authors, or install a version for this modelops"
    return failure("bad-plugin", f"the entry point modelops.{shelf}:{key} {what}", exit=Exit.FILES, hint=hint)
