"""The closed set of kinds: a file here is a kind.

A kind's file exposes ``<Kind>Spec``, ``PLACE`` (where its files lie), ``IMMUTABLE`` where a merged file may not change,
``STALLS = False`` where no model waits until a wrong file of it is right, and ``problems(resource, around)`` where
there is something to hold it against.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from modelops.errors import Problem
from modelops.spec.around import Around
from modelops.spec.layout import Place
from modelops.spec.meta import Strict
from modelops.spec.resource import AnyResource, Resource

__all__ = [
    "IMMUTABLE_KINDS",
    "KINDS",
    "PLACES",
    "STALLING_KINDS",
    "AnyResource",
    "Kind",
    "Resource",
    "place",
    "problems_of",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind, as its file describes it."""

    name: str
    spec: type[Strict]
    place: Place
    immutable: bool
    stalls: bool
    problems: Callable[[AnyResource, Around], Iterator[Problem]] | None


def _kind(module_name: str) -> Kind:
    module = importlib.import_module(f"{__name__}.{module_name}")
    name = "".join(word.capitalize() for word in module_name.split("_"))
    immutable, stalls = getattr(module, "IMMUTABLE", False), getattr(module, "STALLS", True)
    return Kind(
        name, getattr(module, f"{name}Spec"), module.PLACE, immutable, stalls, getattr(module, "problems", None)
    )


def _order(kind: Kind) -> tuple[bool, bool, str]:
    """Return the order in which places are tried: a folder that is named data/ can still be a model's own."""
    return kind.name != "Model", "{name}" not in kind.place.template, kind.name


_ALL = {kind.name: kind for kind in sorted((_kind(info.name) for info in pkgutil.iter_modules(__path__)), key=_order)}
KINDS: dict[str, type[Strict]] = {name: kind.spec for name, kind in _ALL.items()}
PLACES: dict[str, Place] = {name: kind.place for name, kind in _ALL.items()}
_PARTS = [(name, where, *where.parts()) for name, where in PLACES.items()]
IMMUTABLE_KINDS = frozenset(name for name, kind in _ALL.items() if kind.immutable)
STALLING_KINDS = frozenset(name for name, kind in _ALL.items() if kind.stalls)


@lru_cache(maxsize=100_000)
def place(path: str) -> tuple[str, str | None, str] | None:
    """Return (kind, model, name) for a repository path, or None when no kind lives there."""
    for name, where, top, middle, end in _PARTS:
        # Most paths can be told from most places by the parts of them that are the same for all.
        found = where.parse(path) if path.startswith(top) and middle in path and path.endswith(end) else None
        if found is not None:
            return name, *found
    return None


def problems_of(resource: AnyResource, around: Around) -> Iterator[Problem]:
    """Yield what a file says about others that does not hold."""
    check = _ALL[resource.kind].problems
    if check is not None:
        yield from check(resource, around)
