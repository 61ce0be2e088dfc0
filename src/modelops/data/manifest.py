"""Pinning files: a sorted manifest of (path, size, SHA-256) under one root digest, and a stat cache for no-ops."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec
import orjson
from pydantic import TypeAdapter

from modelops.digests import digest_bytes
from modelops.errors import Exit, failure
from modelops.spec.kinds.data_snapshot import SnapshotFile

__all__ = [
    "Found",
    "StatCache",
    "check_path",
    "digests_of",
    "hash_file",
    "hash_files",
    "manifest_bytes",
    "pinned_root",
    "root_of",
    "walk",
]

Progress = Callable[[int], None]
"""Called with the number of bytes that have been hashed or copied since the last call."""

_MANIFEST: TypeAdapter[tuple[SnapshotFile, ...]] = TypeAdapter(tuple[SnapshotFile, ...])
_WHOLE = 1 << 20
_BUFFER = 1 << 20
_FINE_TICK_NS = 20_000_000
_COARSE_TICK_NS = 2_000_000_000


def manifest_bytes(files: Iterable[SnapshotFile]) -> bytes:
    """Return the canonical manifest: one JSON array ``[path, size, sha256]`` a line, sorted by path."""
    return _canonical((file.path, file.size, file.sha256) for file in files)


def _canonical(rows: Iterable[tuple[str, int, str]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in sorted(rows))


def root_of(files: Iterable[SnapshotFile]) -> str:
    """Return ``sha256:<hex>`` of the canonical manifest."""
    return digest_bytes(manifest_bytes(files))


def pinned_root(files: Iterable[Found], digests: Iterable[str]) -> str:
    """Return the root of files and their digests, as ``root_of`` would of their manifest."""
    rows = ((file.path, file.size, digest) for file, digest in zip(files, digests, strict=True))
    return digest_bytes(_canonical(rows))


def check_path(path: str) -> None:
    """Refuse a manifest path that is absolute, leads out of its folder, or is not in its one canonical spelling."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or str(pure) != path or "\0" in path:
        raise failure("bad-file-path", f"{path!r} is not a relative path below the folder of the data")


class Found(NamedTuple):
    """A file below a folder, with what its inode says; a tuple because a data set may have very many of them."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int

    @property
    def signature(self) -> tuple[int, int, int, int]:
        """What changes when the content changes: size, modification time, inode, status change time."""
        return self[1:]


def found(path: str, stat: os.stat_result) -> Found:
    """Return the facts of one file."""
    return Found(path, stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns)


def walk(folder: Path, wanted: Callable[[str], bool]) -> list[Found]:
    """Return the wanted files below a folder, sorted; names that begin with a dot or an underscore are not data."""

    def below(directory: str, prefix: str) -> Iterator[Found]:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith((".", "_")):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from below(entry.path, f"{prefix}{entry.name}/")
                elif wanted(entry.name) and entry.is_file():
                    yield found(prefix + entry.name, entry.stat())

    files = sorted(below(str(folder), ""), key=lambda file: file.path)
    for file in files:
        if not file.path.isascii() and not _is_unicode(file.path):
            raise failure("bad-file-path", f"the name of {file.path!r} in {folder} is not UTF-8")
    return files


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def hash_file(path: Path, progress: Progress | None = None) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb", buffering=0) as file:
        data = file.read(_WHOLE)
        digest = hashlib.sha256(data)
        if len(data) == _WHOLE:
            # hashlib.file_digest allocates its buffer per file, which costs more than hashing a small one.
            view = memoryview(bytearray(_BUFFER))
            while size := file.readinto(view):
                digest.update(view[:size])
                if progress is not None:
                    progress(size)
    if progress is not None:
        progress(len(data))
    return digest.hexdigest()


class _Entries(msgspec.Struct, array_like=True):
    tick: int
    files: dict[str, tuple[int, int, int, int, str]]


@dataclass
class StatCache:
    """SHA-256 by (size, mtime, inode, ctime) for the files below one folder, kept in one compact file.

    An entry is trusted only if the file was last changed before the clock tick of the file system in which the entry
    was written: a later change within that tick would leave the same times.
    """

    file: Path
    _known: dict[str, tuple[int, int, int, int, str]] = field(default_factory=dict)
    _tick: int = 0

    @classmethod
    def open(cls, cache: Path, folder: Path) -> StatCache:
        """Open the cache of a folder; an unreadable one is an empty one."""
        key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
        self = cls(cache / "stat" / f"{key}.msgpack")
        try:
            entries = msgspec.msgpack.decode(self.file.read_bytes(), type=_Entries)
        except (OSError, msgspec.DecodeError):
            return self
        self._known, self._tick = entries.files, entries.tick
        return self

    def lookup(self, file: Found) -> str | None:
        """Return the SHA-256 of an unchanged file."""
        known = self._known.get(file.path)
        if known is None or known[:4] != file[1:]:
            return None
        changed = max(file.mtime_ns, file.ctime_ns)
        # File systems that keep whole seconds (FAT, some network mounts) tick in steps of up to two seconds.
        margin = _COARSE_TICK_NS if changed % 1_000_000_000 == 0 else _FINE_TICK_NS
        return known[4] if changed + margin < self._tick else None

    def store(self, hashed: dict[str, tuple[Found, str]], tick: int) -> None:
        """Replace the cache's file at once; a folder that cannot be written only costs time."""
        entries = _Entries(tick, {path: (*file.signature, digest) for path, (file, digest) in hashed.items()})
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.file.parent, delete=False) as temporary:
                temporary.write(msgspec.msgpack.encode(entries))
            Path(temporary.name).replace(self.file)
        except OSError:
            return

    def tick(self) -> int:
        """Return the present time in nanoseconds by the clock that the file system stamps files with."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.file.parent) as probe:
                return os.fstat(probe.fileno()).st_mtime_ns
        except OSError:
            return 0


def hash_files(
    folder: Path, files: Sequence[Found], cache: Path, progress: Progress | None = None
) -> tuple[SnapshotFile, ...]:
    """Return the manifest of files below a folder."""
    digests = digests_of(folder, files, cache, progress)
    # Validating all at once is several times as fast as one by one.
    return _MANIFEST.validate_python(
        [{"path": file.path, "size": file.size, "sha256": digest} for file, digest in zip(files, digests, strict=True)]
    )


def digests_of(folder: Path, files: Sequence[Found], cache: Path, progress: Progress | None = None) -> list[str]:
    """Return the SHA-256 of each file, hashing only those whose stat changed since the last time.

    One thread: on two cores more threads measured no faster, since a core hashes as fast as it is fed.
    """
    remembered = StatCache.open(cache, folder)
    known = [remembered.lookup(file) for file in files]
    tick = remembered.tick() if None in known else 0
    digests = [
        _hash_stable(folder / file.path, file, progress) if digest is None else digest
        for file, digest in zip(files, known, strict=True)
    ]
    if None in known:
        remembered.store({file.path: (file, digest) for file, digest in zip(files, digests, strict=True)}, tick)
    return digests


def _hash_stable(path: Path, file: Found, progress: Progress | None) -> str:
    try:
        digest = hash_file(path, progress)
        after = found(file.path, path.stat())
    except OSError as error:
        raise failure("data-unreadable", f"{path} cannot be read: {error.strerror}", exit=Exit.WORLD) from None
    if after.signature != file.signature:
        raise failure("data-changed", f"{path} changed while it was being hashed", hint="take the snapshot again")
    return digest
