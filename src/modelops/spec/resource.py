"""A validated document: its kind, its place in the tree, its spec, and the marks of every node in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from modelops.errors import Location, Problem
from modelops.spec.meta import Metadata, Strict

__all__ = ["AnyResource", "Resource", "at"]

S = TypeVar("S", bound=Strict)


@dataclass(frozen=True, slots=True)
class Resource(Generic[S]):
    """A validated document: its kind, its place in the tree, its spec, and the marks of every node in it.

    ``name`` is the identity from the path: the model's name for Model, RolloutPlan and Monitor; the file's (or for a
    release the folder's) own name otherwise. ``model`` is the model whose folder holds the file, if any. ``marks``
    maps a dotted path such as ``spec.gates[0].params`` to the location of its value.
    """

    kind: str
    name: str
    model: str | None
    path: str
    metadata: Metadata
    spec: S
    digest: str
    marks: Mapping[str, Location]

    def where(self, dotted: str) -> Location:
        """Return the location of a dotted path, or of its nearest ancestor that was written."""
        while dotted and dotted not in self.marks:
            dotted = re.sub(r"(\.[^.\[]+|\[\d+\]|^[^.\[]+)$", "", dotted)
        return self.marks.get(dotted, Location(self.path))


AnyResource = Resource[Any]


def at(resource: AnyResource, dotted: str, code: str, message: str, hint: str | None = None) -> Problem:
    """Return a Problem at the place of a value in a resource."""
    return Problem(code, message, resource.where(dotted), dotted, hint)
