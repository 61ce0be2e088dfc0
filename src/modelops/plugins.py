"""Shelves: a directory whose file names are the keys, plus one entry-point group per shelf for third parties."""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from modelops.errors import Exit, failure

SHELVES = ("gates", "strategies", "targets", "drift", "stores", "forges")


def _built_in(shelf: str) -> frozenset[str]:
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
    return tuple(sorted(_built_in(shelf) | set(_third_party(shelf))))


@cache
def load(shelf: str, key: str) -> ModuleType:
    """Import one plugin of a shelf and nothing else; an unknown key is an error that names the nearest one."""
    if key not in keys(shelf):
        near = get_close_matches(key, keys(shelf), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(keys(shelf))}"
        raise failure("unknown-plugin", f"{key!r} is not one of the {shelf}", exit=Exit.FILES, hint=hint)
    if key in _built_in(shelf):
        return importlib.import_module(f"modelops.{shelf}.{key.replace('-', '_')}")
    module = _third_party(shelf)[key].load()
    if not isinstance(module, ModuleType):
        raise failure("bad-plugin", f"the entry point modelops.{shelf}:{key} is not a module", exit=Exit.FILES)
    return module
