"""Placing a snapshot's verified files on this machine, and checking the source against the snapshot."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from modelops.data.acquire import Limits, Place, confine, download, file_url, local_folder, run_command, scratch
from modelops.data.manifest import Progress, check_path, digests_of, found, hash_file, pinned_root, root_of
from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.fence import Terms
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, SnapshotFile, Source
from modelops.stores import Store

__all__ = ["adopt", "materialise", "placed", "verify", "verify_folder"]

_CHUNK = 1 << 20
_LOST = frozenset({"data-missing", "data-changed", "data-truncated", "data-unreachable", "data-unreadable"})
"""What a source may say of a file that the store can make good."""


def check_manifest(spec: DataSnapshotSpec) -> None:
    """Refuse a snapshot whose manifest does not give its root, or names a path outside its folder."""
    for file in spec.files:
        check_path(file.path)
    if len({file.path for file in spec.files}) < len(spec.files):
        raise failure("snapshot-root", "the snapshot lists a path twice")
    actual = root_of(spec.files)
    if actual != spec.root:
        raise failure(
            "snapshot-root",
            f"the snapshot's files give {actual}, its root says {spec.root}",
            hint="snapshots never change",
        )


def placed(cache: Path, root: str) -> Path:
    """Return the folder in which the files of a root digest are kept."""
    return cache / "data" / root.removeprefix("sha256:")


def materialise(
    spec: DataSnapshotSpec,
    *,
    repository_root: Path,
    model_folder: Path,
    cache: Path,
    store: Store | None = None,
    limits: Limits | None = None,
    locations: Sequence[str] = (),
    terms: Terms = Terms(),
) -> Path:
    """Return a folder that holds exactly the snapshot's files, every byte verified.

    The folder is keyed by the root digest and appears whole or not at all. One that exists is checked against its stat
    cache, so a file that was edited in it is noticed and the folder is made again. ``locations`` are the prefixes
    outside of the repository that the Project allows.
    """
    check_manifest(spec)
    place = Place(repository_root, model_folder, cache, store, limits or Limits(), tuple(locations), terms)
    folder = placed(cache, spec.root)
    if _intact(folder, spec, cache):
        return folder
    with scratch(cache, spec.root.removeprefix("sha256:")) as work:
        if _intact(folder, spec, cache):
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        filled = work / "files"
        filled.mkdir()
        _fill(spec, place, filled, work)
        filled.rename(folder)
    _intact(folder, spec, cache)
    return folder


def adopt(work: Path, root: str, cache: Path) -> Path:
    """Move a folder of files that were just hashed to its place in the cache; one that is there already stays."""
    folder = placed(cache, root)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            work.rename(folder)
        except OSError as error:
            if not folder.exists():
                raise failure("cache-unwritable", f"{folder}: {error.strerror}", exit=Exit.WORLD) from None
    return folder


def _intact(folder: Path, spec: DataSnapshotSpec, cache: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        files = [found(file.path, (folder / file.path).stat()) for file in spec.files]
    except OSError:
        return False
    if any(file.size != pinned.size for file, pinned in zip(files, spec.files, strict=True)):
        return False
    return pinned_root(files, digests_of(folder, files, cache)) == spec.root


def _fill(spec: DataSnapshotSpec, place: Place, folder: Path, work: Path) -> None:
    """Fill a folder with the snapshot's files, verified while they are written.

    What another snapshot brought is taken first. What the source does not have any more, or has changed, comes from the
    store, if somebody pushed it: the bytes are those that were pinned, wherever they lie.
    """
    wanted = [file for file in spec.files if not _linked(file, folder / file.path, place.cache)]
    if spec.source.type == "store":
        for file in wanted:
            _fetch(file, folder / file.path, place.required_store())
    elif spec.source.type == "command":
        _made(spec.source, wanted, place, folder, work)
    else:
        _read(spec, wanted, place, folder)
    for file in wanted:
        _share(file, folder / file.path, place.cache)


def _made(source: Source, wanted: Sequence[SnapshotFile], place: Place, folder: Path, work: Path) -> None:
    """Take what a command wrote from the store if it is all there, else run the command again."""
    if not wanted:
        return
    if all(_in_store(file, place) for file in wanted):
        for file in wanted:
            _fetch(file, folder / file.path, place.required_store())
        return
    output = work / "output"
    run_command(source, place, output)
    for file in wanted:
        _copy(file, output / file.path, folder / file.path)


def _read(spec: DataSnapshotSpec, wanted: Sequence[SnapshotFile], place: Place, folder: Path) -> None:
    local = local_folder(spec.source, place)
    if local is not None:
        confine(local, (file.path for file in spec.files), place)
    for file in wanted:
        target = folder / file.path
        try:
            if local is not None:
                _copy(file, local / file.path, target)
            else:
                download(file_url(spec.source.location or "", file.path), target, place.limits, expected=file.size)
                _accept(file, target, hash_file(target))
        except ModelOpsError as error:
            if error.first.code not in _LOST or not _in_store(file, place):
                raise
            target.unlink(missing_ok=True)
            _fetch(file, target, place.required_store())


def _in_store(file: SnapshotFile, place: Place) -> bool:
    """Tell whether the store has a file; one that cannot be asked has nothing for us."""
    try:
        return place.store is not None and place.store.has(f"sha256:{file.sha256}")
    except ModelOpsError:
        return False


def _fetch(file: SnapshotFile, target: Path, store: Store) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    store.fetch(f"sha256:{file.sha256}", target)
    _accept(file, target, hash_file(target))


def _shared(file: SnapshotFile, cache: Path) -> Path:
    return cache / "data" / ".files" / file.sha256[:2] / file.sha256


def _linked(file: SnapshotFile, target: Path, cache: Path) -> bool:
    """Put the file of the cache's one copy there, as a link to it; what changed in the cache goes."""
    shared = _shared(file, cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if shared.stat().st_size == file.size and hash_file(shared) == file.sha256:
            target.hardlink_to(shared)
            return True
        shared.unlink(missing_ok=True)
    except OSError:
        pass
    return False


def _share(file: SnapshotFile, target: Path, cache: Path) -> None:
    """Keep the one copy of a file that all snapshots with it share; a file system without links keeps more."""
    shared = _shared(file, cache)
    with contextlib.suppress(OSError):
        shared.parent.mkdir(parents=True, exist_ok=True)
        shared.hardlink_to(target)


def _copy(file: SnapshotFile, origin: Path, target: Path) -> None:
    """Copy and hash in one pass, so that what was verified is what was written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    try:
        with origin.open("rb", buffering=0) as reading, target.open("wb") as writing:
            while (data := reading.read(_CHUNK)) and size <= file.size:
                digest.update(data)
                writing.write(data)
                size += len(data)
    except FileNotFoundError:
        raise ModelOpsError(_gone(file, origin)) from None
    _accept(file, target, digest.hexdigest(), shown=origin)


def _accept(file: SnapshotFile, target: Path, digest: str, shown: Path | None = None) -> None:
    size = target.stat().st_size
    if digest != file.sha256 or size != file.size:
        raise ModelOpsError(_different(file, size, str(shown or file.path)))
    target.chmod(0o444)


def _gone(file: SnapshotFile, origin: Path | str) -> Problem:
    return Problem("data-missing", f"{file.path} of the snapshot is missing: {origin}", Location(file.path))


def _different(file: SnapshotFile, size: int, shown: str) -> Problem:
    if size < file.size:
        said = f"{shown} is truncated: {size:,} bytes, the snapshot has {file.size:,}"
        return Problem("data-truncated", said, Location(file.path))
    grown = f" and has {size:,} bytes instead of {file.size:,}" if size != file.size else ""
    hint = "a snapshot never changes: restore the file, or take a new snapshot under another name"
    return Problem("data-changed", f"{shown} is not what the snapshot pinned{grown}", Location(file.path), hint=hint)


def verify(
    spec: DataSnapshotSpec,
    *,
    repository_root: Path,
    model_folder: Path,
    cache: Path,
    store: Store | None = None,
    limits: Limits | None = None,
    locations: Sequence[str] = (),
    terms: Terms = Terms(),
    progress: Progress | None = None,
) -> tuple[Problem, ...]:
    """Compare the source with the snapshot and name every file that changed, is missing, or was truncated.

    Local files are read where they are (unchanged ones only by stat), URLs are downloaded, commands run again.
    """
    check_manifest(spec)
    place = Place(repository_root, model_folder, cache, store, limits or Limits(), tuple(locations), terms)
    local = local_folder(spec.source, place)
    if local is not None:
        confine(local, (file.path for file in spec.files), place)
        return verify_folder(spec, local, cache, progress)
    with scratch(cache, "verify") as work:
        if spec.source.type == "command":
            run_command(spec.source, place, work / "output")
            return verify_folder(spec, work / "output", work, progress)
        return tuple(_verify_remote(spec, place, work))


def verify_folder(spec: DataSnapshotSpec, folder: Path, cache: Path, progress: Progress | None) -> tuple[Problem, ...]:
    """Compare files of this machine with the snapshot; unchanged ones are known by their stat."""
    problems: list[Problem] = []
    present = []
    for file in spec.files:
        try:
            stat = os.stat(f"{folder}/{file.path}")  # noqa: PTH116 - pathlib triples the time for 20,000 files
        except FileNotFoundError:
            problems.append(_gone(file, folder / file.path))
            continue
        except OSError as error:
            raise failure("data-unreadable", f"{folder / file.path}: {error.strerror}", exit=Exit.WORLD) from None
        if stat.st_size < file.size:
            problems.append(_different(file, stat.st_size, str(folder / file.path)))
        else:
            present.append(found(file.path, stat))
    pinned = {file.path: file for file in spec.files}
    for actual, digest in zip(present, digests_of(folder, present, cache, progress), strict=True):
        file = pinned[actual.path]
        if (actual.size, digest) != (file.size, file.sha256):
            problems.append(_different(file, actual.size, str(folder / actual.path)))
    return tuple(sorted(problems, key=lambda problem: str(problem.location)))


def _verify_remote(spec: DataSnapshotSpec, place: Place, work: Path) -> Iterator[Problem]:
    for index, file in enumerate(spec.files):
        target = work / str(index)
        try:
            if spec.source.type == "store":
                store = place.required_store()
                if not store.has(f"sha256:{file.sha256}"):
                    yield _gone(file, "it is not in the store")
                    continue
                store.fetch(f"sha256:{file.sha256}", target)
            else:
                download(file_url(spec.source.location or "", file.path), target, place.limits)
        except ModelOpsError as error:
            if error.first.code == "digest-mismatch":
                yield _different(file, file.size, file.path)
                continue
            if error.first.code in ("data-missing", "not-in-store"):
                yield _gone(file, error.first.message)
                continue
            raise
        size = target.stat().st_size
        if size != file.size or hash_file(target) != file.sha256:
            yield _different(file, size, file.path)
        target.unlink()
