"""Reading what fenced code wrote: plain files of its own folder only, whatever it put there instead."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["entries", "not_plain", "read_written", "remove"]


def read_written(path: Path, limit: int) -> bytes:
    """Return the bytes of a plain file; a link, a pipe or one of more than ``limit`` bytes is an OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not _plain(status) or status.st_size > limit:
            raise OSError(errno.EINVAL, "it is no plain file of a fitting size", str(path))
        # A limit is no size: so much memory would be asked for at once. What grows meanwhile is not waited for.
        return file.read(status.st_size)


def not_plain(folder: Path) -> Iterator[str]:
    """Yield the paths below a folder that are neither folders nor plain files that have no second name elsewhere."""
    for entry in entries(folder):
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode) and not _plain(status):
            yield os.path.relpath(entry.path, folder)


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder, however deep it is; links are not followed."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def remove(folder: Path) -> None:
    """Remove a folder, however deep it is and whatever modes are in it; what cannot be removed stays."""
    with suppress(OSError, RecursionError):
        shutil.rmtree(folder)
    with suppress(OSError):
        _flatten(folder)


def _flatten(folder: Path) -> None:
    """Remove a folder from its top: what lies two below is moved up, so that no path grows."""
    mark, count = secrets.token_hex(8), 0
    while found := list(os.scandir(folder)):
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                Path(entry.path).unlink()
                continue
            Path(entry.path).chmod(0o700)
            for child in list(os.scandir(entry.path)):
                count += 1
                os.rename(child.path, f"{folder}/{mark}-{count}")  # noqa: PTH104 - may be very many
            Path(entry.path).rmdir()
    folder.rmdir()


def _plain(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
