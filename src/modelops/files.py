"""Files that are replaced whole or not at all, and what writers that were killed left behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from modelops.errors import Exit, ModelOpsError, failure

__all__ = ["advice", "identity", "replacing", "sweep", "sync", "unwritable", "write_atomically"]

# Version 0.1.0 wrote `.<name>.<process>`, in a store `.incoming-<process>-<random>`, and locked neither.
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.([0-9]+)(?:-[0-9a-f]{16})?|\.incoming-([0-9]+)-[0-9a-f]{16}")
_LONG_SECONDS = 86_400.0


def advice(error: OSError, otherwise: str) -> str:
    """Return what a person can do about a system call that failed."""
    match error.errno:
        case errno.EMFILE | errno.ENFILE:
            return "let this process open more files: ulimit -n 4096"
        case errno.ENOSPC | errno.EDQUOT:
            return f"free disk space; {otherwise}"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"repair the permissions; {otherwise}"
        case _:
            return f"free disk space or repair the permissions; {otherwise}"


def unwritable(path: Path, error: OSError) -> ModelOpsError:
    """Return the error for a file that could not be written."""
    return failure(
        "runtime-unwritable",
        f"cannot write {path}: {error.strerror}",
        exit=Exit.WORLD,
        retryable=True,
        hint=advice(error, "the next pass goes on from here"),
    )


def identity(folder: Path) -> str | None:
    """Return what tells a folder of this machine from every other, however its path is spelt; None if there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return f"{found.st_dev}:{found.st_ino}"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's content so that a reader sees the old or the new one, also after a crash.

    What an earlier writer of the same file left behind when it was killed goes with it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path.parent, path.name) as (file, commit):
            file.write(data)
            commit(path)
        sweep(path.parent, path.name)
    except OSError as error:
        raise unwritable(path, error) from error


@contextlib.contextmanager
def replacing(folder: Path, name: str) -> Iterator[tuple[BinaryIO, Callable[[Path], None]]]:
    """Yield a new file of a folder and the function that makes it, durably and in one step, the file of a path.

    Its name is ``.<name>.<process>-<random>``. It is locked until it has its path or is gone, so that ``sweep`` knows
    it from one whose writer was killed, whatever host or container that ran in.
    """
    incoming, file = _created(folder, name)
    try:
        with file:

            def commit(path: Path) -> None:
                file.flush()
                os.fsync(file.fileno())
                incoming.replace(path)
                sync(path.parent)

            yield file, commit
    finally:
        # On a full or broken disk the first error is the one to tell.
        with contextlib.suppress(OSError):
            incoming.unlink(missing_ok=True)


def _created(folder: Path, name: str) -> tuple[Path, BinaryIO]:
    while True:
        incoming = folder / f".{name}.{os.getpid()}-{secrets.token_hex(8)}"
        # The umask decides who may read it, as for any other file of the user.
        file = incoming.open("xb")
        # Where a file system has no locks, nobody can take this for a leftover either.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_nlink:
            return incoming, file
        file.close()  # swept between its creation and its lock


def sync(folder: Path) -> None:
    """Flush a rename to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, name: str | None = None) -> tuple[str, ...]:
    """Remove what killed writers left in a folder, of one file or of all; return the names.

    A file that is locked, or whose process lives here and began it today, stays: somebody writes it.
    """
    removed = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            found = _LEFTOVER.fullmatch(entry.name)
            if found is None or name not in (None, found["name"] or "incoming"):
                continue
            if not _being_written(entry, int(found[2] or found[3])) and _removed(Path(entry.path)):
                removed.append(entry.name)
    return tuple(removed)


def _being_written(entry: os.DirEntry[str], process: int) -> bool:
    try:
        if time.time() - entry.stat(follow_symlinks=False).st_mtime > _LONG_SECONDS:
            return False  # another process has the number by now
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # it is gone, or its process is somebody else's
    return True


def _removed(path: Path) -> bool:
    """Remove a file that nobody holds locked; one that cannot be looked at or removed stays."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
