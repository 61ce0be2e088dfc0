"""The folder of one build: gone when the build ends, however it ends; what a killed one left goes with the next."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelops.errors import Exit, failure
from modelops.fence.written import remove

__all__ = ["folder_for_a_build"]

_PREFIX = "build-"


@contextmanager
def folder_for_a_build(scratch: Path) -> Iterator[Path]:
    """Make a folder below ``scratch`` for the time of a build, after removing those whose builds are dead.

    A folder that cannot be made is ``scratch-unwritable``.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        folder, lock = _made(scratch)
    except OSError as error:
        raise failure(
            "scratch-unwritable", f"the folder {scratch} cannot be written: {error}", exit=Exit.WORLD
        ) from None
    try:
        yield folder
    finally:
        remove(folder)
        os.close(lock)


def _made(scratch: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor whose lock says that its build lives; the kernel drops it at death."""
    guard = os.open(scratch, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Nobody else sweeps between the making of our folder and its lock.
        if _locked(guard, fcntl.LOCK_EX):
            for old in scratch.glob(f"{_PREFIX}*"):
                _remove_if_dead(old)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=scratch))
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return folder, lock
    finally:
        os.close(guard)


def _remove_if_dead(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            remove(folder)
    finally:
        os.close(lock)


def _locked(descriptor: int, how: int) -> bool:
    """Take a lock; False when another build has it, or the file system has no locks and nothing can be said."""
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True
