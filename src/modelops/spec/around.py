"""What a file can be held against: the other files of its model, the policies, and every name there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelops.spec.resource import AnyResource

__all__ = ["Around", "Collection", "Folder", "Known", "Metrics", "collect"]

Metrics = Mapping[str, tuple[str, ...]]
"""The tasks of each metric, by its name."""


@dataclass(frozen=True, slots=True)
class Known:
    """Names that exist, as (kind, model, name), whether or not their files are valid; None when all were looked at.

    ``locations`` are those outside of the repository that the Project lists for data (None: not known). ``models`` are
    all models there are, also those that are not looked at now.
    """

    names: frozenset[tuple[str, str | None, str]]
    metrics: Metrics | None = None
    paths: frozenset[str] | None = None
    locations: tuple[str, ...] | None = None
    models: frozenset[str] = frozenset()

    def has(self, kind: str, model: str | None, name: str) -> bool:
        """Tell whether a file for this resource exists."""
        return (kind, model, name) in self.names

    def all(self, kind: str, model: str | None = None) -> list[str]:
        """Return the names of a kind, of one model or of the policies."""
        return [name for its_kind, its_model, name in self.names if its_kind == kind and its_model == model]


@dataclass(slots=True)
class Folder:
    """What was found of one model, complete or not."""

    name: str
    parts: dict[str, dict[str, AnyResource]] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, AnyResource]:
        """Return the resources of a kind by name."""
        return self.parts.get(kind, {})

    def only(self, kind: str) -> AnyResource | None:
        """Return the resource of a kind that a model has at most once."""
        return self.parts.get(kind, {}).get(self.name)


@dataclass(slots=True)
class Collection:
    """Resources by kind and name for the policies, and by model."""

    policies: dict[str, dict[str, AnyResource]] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, AnyResource]:
        """Return the policies of a kind by name."""
        return self.policies.get(kind, {})

    def risks(self) -> dict[str, str]:
        """Return the risk tier of every valid model by name."""
        found = ((name, folder.only("Model")) for name, folder in self.folders.items())
        return {name: model.spec.risk for name, model in found if model is not None}


def collect(resources: Iterable[AnyResource]) -> Collection:
    """Sort resources into the folders of models and the policies."""
    collection = Collection()
    for resource in resources:
        if resource.model is None:
            collection.policies.setdefault(resource.kind, {})[resource.name] = resource
            continue
        folder = collection.folders.get(resource.model)
        if folder is None:
            folder = collection.folders[resource.model] = Folder(resource.model)
        folder.parts.setdefault(resource.kind, {})[resource.name] = resource
    return collection


@dataclass(frozen=True, slots=True)
class Around:
    """What the check of one file may look at; ``folder`` is that of its model, empty for a policy."""

    folder: Folder
    policies: Collection
    known: Known

    def release_hint(self) -> str:
        """Return the releases that the model has, as a hint."""
        names = sorted((name for name in self.known.all("Release", self.folder.name) if name.isdigit()), key=int)
        if names:
            return f"releases: {', '.join(names[-12:])}"
        # A renamed model has none either: releases stay under the name that they were signed for.
        return "this model has no release of its own yet: write null until it has one, by modelops release"
