"""Snapshots between machines: their files in the store, under a name that keeps them there, and where they are now."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelops.data.acquire import Place, confine, local_folder, scratch
from modelops.data.manifest import Progress
from modelops.data.placing import placed, verify_folder
from modelops.errors import ModelOpsError, Problem, failure
from modelops.files import replacing, unwritable
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, SnapshotFile
from modelops.stores import Part, Store, keep

__all__ = ["Pushed", "Whereabouts", "data_reference", "hand_on", "push", "restore", "whereabouts"]

_ARTIFACT_TYPE = "application/vnd.modelops.data.v1"


def data_reference(root: str) -> str:
    """Return the name that a snapshot's files have in every store."""
    return f"data-{root.removeprefix('sha256:')}"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push sent, and what the store had already: files and their bytes."""

    sent: int
    sent_bytes: int
    there: int


def push(
    store: Store, folder: Path, root: str, files: Sequence[SnapshotFile], progress: Progress | None = None
) -> Pushed:
    """Put the files of a snapshot into a store, under a name, so that nobody cleans away what only git names.

    What is there already is not sent, so that a push which was broken off goes on where it was.
    """
    sent = size = 0
    for file in files:
        digest = f"sha256:{file.sha256}"
        if not store.has(digest):
            found = store.put_file(folder / file.path)
            if found != digest:
                raise failure("data-changed", f"{folder / file.path} changed while it was being sent")
            sent, size = sent + 1, size + file.size
        if progress is not None:
            progress(file.size)
    keep(store, data_reference(root), _ARTIFACT_TYPE, [Part(f.path, f"sha256:{f.sha256}", f.size) for f in files])
    return Pushed(sent, size, len(files) - sent)


def _stored(store: Store, root: str) -> frozenset[str]:
    """Return the digests of the files that the store names for a snapshot; nothing where it was never pushed whole."""
    found: set[str] = set()
    number = 0
    while True:
        manifest = store.resolve(f"{data_reference(root)}-{number}" if number else data_reference(root))
        if manifest is None:
            return frozenset(found)
        try:
            layers = json.loads(store.get(manifest))["layers"]
            found.update(str(layer["digest"]) for layer in layers)
        except (ValueError, KeyError, TypeError):
            return frozenset()
        number += 1


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the files of a snapshot are.

    ``source`` is ``unasked`` where only getting them would tell. ``in_git`` tells whether a clone has them, ``stored``
    counts those that the store has, None where it could not be asked; ``trouble`` says why not. ``lost`` are the files
    that are not at their source as they were pinned, though git has them so.
    """

    files: int
    size: int
    source: Literal["there", "changed", "missing", "unasked"]
    in_git: bool
    cached: bool
    stored: int | None
    trouble: str = ""
    lost: tuple[Path, ...] = ()

    @property
    def travels(self) -> bool | None:
        """Whether another machine gets these bytes from git or from the store; None where that is not known."""
        if self.in_git or self.stored == self.files:
            return True
        return None if self.stored is None else False


def whereabouts(spec: DataSnapshotSpec, place: Place, committed: Callable[[str, int], bytes | None]) -> Whereabouts:
    """Tell where a snapshot's files are, without fetching one.

    ``committed`` returns what a clone would have at a path, None for nothing and for more than so many bytes.
    """
    stored: int | None = None
    trouble = ""
    try:
        names = _stored(place.required_store(), spec.root)
        stored = sum(f"sha256:{file.sha256}" in names for file in spec.files)
    except ModelOpsError as error:
        trouble = error.first.message
    source, lost = _source(spec, place)
    in_git = _in_git(spec, place, committed)
    return Whereabouts(
        files=len(spec.files),
        size=sum(file.size for file in spec.files),
        source=source,
        in_git=in_git,
        cached=placed(place.cache, spec.root).is_dir(),
        stored=stored,
        trouble=trouble,
        lost=lost if in_git else (),
    )


def hand_on(
    spec: DataSnapshotSpec, place: Place, committed: Callable[[str, int], bytes | None], to: Store
) -> tuple[int, tuple[str, ...]]:
    """Copy the files of a snapshot that a clone does not have from the store to another one, verified.

    Returns how many files are there now, none where git has them, and the paths of those that are in neither store,
    which their source may have all the same.
    """
    if _in_git(spec, place, committed):
        return 0, ()
    store, missing = place.required_store(), []
    for file in spec.files:
        digest = f"sha256:{file.sha256}"
        if to.has(digest):
            continue
        if not store.has(digest):
            missing.append(file.path)
            continue
        with scratch(place.cache, "handing-on") as work:
            store.fetch(digest, work / "file")
            to.put_file(work / "file")
    return len(spec.files) - len(missing), tuple(missing)


def _in_git(spec: DataSnapshotSpec, place: Place, committed: Callable[[str, int], bytes | None]) -> bool:
    """Return whether a clone has the bytes that were pinned, whatever lies in this work tree."""
    local = local_folder(spec.source, place)
    if local is None or not local.is_relative_to(place.repository_root):
        return False
    prefix = local.relative_to(place.repository_root)
    for file in spec.files:
        found = committed((prefix / file.path).as_posix(), file.size)
        if found is None or len(found) != file.size or hashlib.sha256(found).hexdigest() != file.sha256:
            return False
    return True


def _source(
    spec: DataSnapshotSpec, place: Place
) -> tuple[Literal["there", "changed", "missing", "unasked"], tuple[Path, ...]]:
    """Return how a snapshot's source is, and which of its files are not there as they were pinned."""
    local = local_folder(spec.source, place)
    if local is None:
        return "unasked", ()
    lost: tuple[Path, ...] = ()
    try:
        confine(local, (file.path for file in spec.files), place)
        problems = verify_folder(spec, local, place.cache, None)
        codes = {problem.code for problem in problems}
        lost = tuple(local / problem.location.path for problem in problems if problem.location is not None)
    except ModelOpsError as error:
        codes = {error.first.code}
    if not codes:
        return "there", ()
    return ("missing" if codes <= {"data-missing"} else "changed"), lost


def restore(spec: DataSnapshotSpec, folder: Path, place: Place) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """Put files where their source says that they lie in the repository, as far as nothing lies there.

    Returns the paths that were written, and what is wrong with those where something else lies and stays.
    """
    local = local_folder(spec.source, place)
    if local is None or not local.is_relative_to(place.repository_root):
        return (), ()
    written = []
    for file in spec.files:
        target = local / file.path
        if not os.path.lexists(target):
            _copy(folder / file.path, target, place.repository_root)
            written.append(target.relative_to(place.repository_root).as_posix())
    confine(local, (file.path for file in spec.files), place)
    return tuple(written), verify_folder(spec, local, place.cache, None)


def _copy(origin: Path, target: Path, root: Path) -> None:
    """Write a file whole or not at all, below folders that are no links."""
    for parent in target.parents[: len(target.relative_to(root).parents) - 1]:
        if parent.is_symlink():
            raise failure("data-location", f"{parent} is a link, so no data are put below it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with origin.open("rb") as reading, replacing(target.parent, "incoming") as (writing, commit):
            shutil.copyfileobj(reading, writing, 1 << 20)
            commit(target)
    except OSError as error:
        raise unwritable(target, error) from None
