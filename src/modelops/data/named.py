"""Snapshots by name, in the folder of a model: found, taken once, and made the ones that the model is trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelops.data.acquire import Place
from modelops.data.manifest import Progress
from modelops.data.snapshot import Wanted, pin, take, wanted_by
from modelops.errors import Exit, Location, failure
from modelops.fence import Held, Terms
from modelops.project.settings import settings_on_disk
from modelops.project.state import cache_in, state_of
from modelops.repository import Repository
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, Source
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.layout import MODEL, MODELS, SNAPSHOT, model_folder
from modelops.spec.load import load_resource, require_names
from modelops.spec.yaml.dump import dump
from modelops.spec.yaml.edit import set_value
from modelops.stores import Store

__all__ = ["ModelData", "Taking", "model_data", "models_with_data", "set_snapshot", "take_named"]


@dataclass(frozen=True)
class ModelData:
    """Where a model's snapshots are; read without the rest of the repository, which may not be valid yet.

    ``open_store`` is asked only for data that lie in the store.
    """

    repository: Repository
    model: str
    open_store: Callable[[], Store]
    heard: Callable[[Held], None] = lambda held: None

    @property
    def root(self) -> Path:
        """The top of the work tree."""
        return self.repository.root

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.root / model_folder(self.model)

    @property
    def cache(self) -> Path:
        """What can be deleted at any time."""
        return cache_in(state_of(self.repository))

    def path(self, name: str) -> str:
        """Return the path of a snapshot's file; what is no name is refused before anything is written there."""
        require_names(self.model, name)
        return SNAPSHOT.path(self.model, name)

    @property
    def model_path(self) -> str:
        """The path of the model's own file."""
        return MODEL.path(self.model)

    def committed(self, path: str, limit: int) -> bytes | None:
        """Return what a clone of HEAD has at a path, None for nothing and for more bytes than a limit."""
        tip = self.repository.find("HEAD")
        blob = self.repository.blob_id(tip, path) if tip is not None else None
        found = self.repository.blobs([blob], limit)[blob] if blob is not None else None
        return found if isinstance(found, bytes) else None

    def model_spec(self) -> ModelSpec | None:
        """Return the model of the work tree, if it has its file already."""
        file = self.root / self.model_path
        spec: ModelSpec | None = load_resource(file.read_bytes(), self.model_path).spec if file.is_file() else None
        return spec

    def snapshot(self, name: str) -> DataSnapshotSpec | None:
        """Return a snapshot of the work tree, if there is one of that name."""
        file, path = self.root / self.path(name), self.path(name)
        spec: DataSnapshotSpec | None = load_resource(file.read_bytes(), path).spec if file.is_file() else None
        return spec

    def named(self, name: str | None) -> tuple[str, DataSnapshotSpec]:
        """Return a snapshot by name, or the one that the model is trained on."""
        if name is None:
            model = self.model_spec()
            if model is None:
                raise failure("unknown-model", f"there is no {self.model_path}", exit=Exit.USAGE)
            name = model.data.snapshot
        found = self.snapshot(name)
        if found is None:
            known = ", ".join(self.names()) or "none"
            said = f"{self.model} has no snapshot {name!r}"
            raise failure("unknown-snapshot", said, exit=Exit.USAGE, hint=f"snapshots here: {known}")
        return name, found

    @property
    def locations(self) -> tuple[str, ...]:
        """Where data may lie outside of the repository, as the Project of the work tree says."""
        return settings_on_disk(self.root).spec.data_locations

    @property
    def terms(self) -> Terms:
        """What the Project of the work tree demands of the fence around a data command."""
        return Terms(settings_on_disk(self.root).spec.fence.require, heard=self.heard)

    def places(self, spec: DataSnapshotSpec) -> dict[str, Any]:
        """Return where things are, as the data functions take it; the store only where it is needed."""
        return {
            "repository_root": self.root,
            "model_folder": self.folder,
            "cache": self.cache,
            "store": self.open_store() if spec.source.type == "store" else None,
            "locations": self.locations,
            "terms": self.terms,
        }

    def with_store(self, spec: DataSnapshotSpec) -> dict[str, Any]:
        """Return where things are with the store, which may make good what a source has lost."""
        return self.places(spec) | {"store": self.open_store()}

    def names(self) -> list[str]:
        """Return the names of the model's snapshots in the work tree."""
        return sorted(file.stem for file in self.folder.glob("data/*.yaml"))


def model_data(
    repository: Repository,
    model: str,
    open_store: Callable[[], Store],
    heard: Callable[[Held], None] = lambda held: None,
) -> ModelData:
    """Return the data of a model whose folder is there; another one is an error that lists those that are."""
    require_names(model)
    found = ModelData(repository, model, open_store, heard)
    if not found.folder.is_dir():
        known = ", ".join(sorted(folder.name for folder in (repository.root / MODELS).glob("*/"))) or "none"
        raise failure(
            "unknown-model", f"there is no folder {model_folder(model)}", exit=Exit.USAGE, hint=f"models here: {known}"
        )
    return found


def models_with_data(root: Path) -> list[str]:
    """Return the models of a work tree that have a snapshot."""
    paths = (file.relative_to(root).as_posix() for file in (root / MODELS).glob("**/data/*.yaml"))
    found = (SNAPSHOT.parse(path) for path in paths)
    return sorted({str(one[0]) for one in found if one is not None})


@dataclass(frozen=True)
class Taking:
    """What is to be pinned under a name; ``wanted`` counts where no model says it."""

    name: str
    source: Source
    paths: Sequence[str]
    wanted: Wanted
    reason: str = ""


def take_named(place: ModelData, taking: Taking, progress: Progress | None = None) -> tuple[DataSnapshotSpec, bool]:
    """Return the snapshot of a name, and whether its file was written; one that is there never changes its meaning."""
    model, existing = place.model_spec(), place.snapshot(taking.name)
    wanted = (
        replace(
            taking.wanted, **{name: getattr(wanted_by(model), name) for name in ("target", "time", "features", "types")}
        )
        if model is not None
        else taking.wanted
    )
    if existing is not None and _unchanged(place, existing, taking, wanted, progress):
        return existing, False
    previous = existing or (place.snapshot(model.data.snapshot) if model is not None else None)
    taken = take(
        taking.source,
        repository_root=place.root,
        model_folder=place.folder,
        cache=place.cache,
        paths=tuple(taking.paths),
        wanted=wanted,
        previous=previous,
        reason=taking.reason or (existing.reason if existing is not None else ""),
        locations=place.locations,
        terms=place.terms,
        progress=progress,
    )
    if existing == taken:
        return taken, False
    path = place.path(taking.name)
    if existing is not None:
        raise failure(
            "immutable-changed",
            f"the snapshot {taking.name!r} exists and pins other data ({existing.root}, now {taken.root})"
            if existing.root != taken.root
            else f"the snapshot {taking.name!r} exists and describes the same data differently",
            location=Location(path),
            hint="a snapshot never changes: choose another --name",
        )
    file = place.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(dump("DataSnapshot", taking.name, taken, path=path))
    return taken, True


def _unchanged(
    place: ModelData, existing: DataSnapshotSpec, taking: Taking, wanted: Wanted, progress: Progress | None
) -> bool:
    """Tell without measuring whether local files are what the snapshot pins already."""
    if (existing.source, existing.target) != (taking.source, wanted.target):
        return False
    at = Place(place.root, place.folder, place.cache, locations=place.locations)
    return pin(taking.source, at, tuple(taking.paths), progress) == existing.root


def set_snapshot(place: ModelData, name: str) -> bool:
    """Make a snapshot the one that the model is trained on; tell whether that changed its file."""
    model = place.model_spec()
    if model is None or model.data.snapshot == name:
        return False
    file = place.root / place.model_path
    file.write_bytes(set_value(file.read_bytes(), "spec.data.snapshot", name, place.model_path))
    return True
