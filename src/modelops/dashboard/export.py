"""The pages as a folder: everything that git says at one commit, the same bytes each time, replaced in one step."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from modelops import __version__
from modelops.dashboard import links
from modelops.dashboard.pages import STATIC, Pages, static
from modelops.errors import Exit, ModelOpsError, failure
from modelops.files import advice, sync

__all__ = ["MARK", "Exported", "export"]

MARK = "modelops-dashboard.json"
"""The file that lists what was exported into a folder: it may be replaced if it has nothing else."""
_NAMED = 3
_LOCK = ".lock"
_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2)."""
_HERE = -100
"""AT_FDCWD: paths are relative to the working folder."""


class _Mark(msgspec.Struct, frozen=True):
    """What was exported: of which commit, which files, and by which version."""

    commit: str
    files: list[str]
    modelops: str


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the commit, how many pages and files, how many bytes, and whether it was the same before."""

    commit: str
    pages: int
    files: int
    bytes: int


def export(pages: Pages, folder: Path) -> Exported:
    """Write every page that can be reached from home into a folder, which is replaced as a whole or not at all.

    A folder that has anything which its mark does not list is left alone (``foreign-folder``). Being killed leaves
    the old folder; what was half written then goes with the next export.
    """
    folder = folder.resolve()
    _require_ours(folder)
    commit = pages.house.look().tip
    try:
        with _incoming(folder) as fresh:
            count = _write(pages, fresh)
            written = [path for path in sorted(fresh.rglob("*")) if path.is_file() and path != fresh / _LOCK]
            mark = _Mark(commit, [path.relative_to(fresh).as_posix() for path in written], __version__)
            _file(fresh / MARK, msgspec.json.encode(mark) + b"\n")
            sizes = [path.stat().st_size for path in (*written, fresh / MARK)]
            # Writing takes a while, in which somebody may have put something there.
            _require_ours(folder)
            _replace(folder, fresh)
    except OSError as error:
        message = f"{error.filename or folder} cannot be written: {error.strerror}"
        hint = advice(error, "the folder is as it was: run the same command again")
        raise failure("export-unwritable", message, exit=Exit.WORLD, retryable=True, hint=hint) from None
    return Exported(commit, count, len(sizes), sum(sizes))


def _require_ours(folder: Path) -> None:
    """Refuse a folder that holds anything but what its mark lists: all of it goes when it is replaced."""
    try:
        other = _others(folder, _listed(folder)) if folder.exists() else []
    except NotADirectoryError:
        raise _foreign(folder, "is no folder") from None
    except OSError as error:
        raise failure("export-unwritable", f"{folder} cannot be read: {error.strerror}", exit=Exit.WORLD) from None
    if other:
        more = f" and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
        raise _foreign(folder, f"has files that were not exported: {', '.join(other[:_NAMED])}{more}")


def _listed(folder: Path) -> frozenset[str]:
    """Return the paths that an export wrote into a folder, none where no export can be told by its mark."""
    try:
        mark = msgspec.json.decode((folder / MARK).read_bytes(), type=_Mark)
    except (FileNotFoundError, IsADirectoryError, msgspec.DecodeError):
        return frozenset()
    return frozenset((*mark.files, MARK))


def _others(folder: Path, listed: frozenset[str]) -> list[str]:
    """Return what lies in a folder and is not listed, by path; of a folder of which nothing is, its name alone."""
    above = {str(parent) for path in listed for parent in PurePosixPath(path).parents}
    other, todo = [], [folder]
    while todo:
        for entry in todo.pop().iterdir():
            path, is_folder = entry.relative_to(folder).as_posix(), entry.is_dir() and not entry.is_symlink()
            if is_folder and path in above:
                todo.append(entry)
            elif is_folder or path not in listed:
                other.append(path + "/" * is_folder)
    return sorted(other)


def _foreign(folder: Path, why: str) -> ModelOpsError:
    hint = "name a new or empty folder, or move these away: all of a folder is replaced; add them to a copy of it"
    return failure("foreign-folder", f"{folder} {why}", exit=Exit.USAGE, hint=hint)


@contextmanager
def _incoming(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside the one that it will replace; those of writers that were killed go first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name[:100]}.incoming-"
    for left in folder.parent.glob(f"{prefix}*"):
        _sweep(left)
    fresh = folder.parent / f"{prefix}{secrets.token_hex(8)}"
    fresh.mkdir()
    try:
        with (fresh / _LOCK).open("xb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _sweep(left: Path) -> None:
    """Remove what nobody writes any more."""
    with suppress(OSError):
        if not (left / _LOCK).exists():
            shutil.rmtree(left)
            return
        with (left / _LOCK).open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)


def _write(pages: Pages, fresh: Path) -> int:
    for path in STATIC:
        _file(fresh / path, static(path))
    seen, todo = {links.HOME}, [links.HOME]
    while todo:
        here = todo.pop()
        page = pages.page(here)
        if page.status >= 500:
            raise failure("nothing-to-export", f"{here} cannot be made", exit=Exit.FILES, hint="see modelops status")
        _file(fresh / here, page.html.encode("utf-8", "replace"))
        for there in sorted(page.leads - seen):
            seen.add(there)
            todo.append(there)
    return len(seen)


def _file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _replace(folder: Path, fresh: Path) -> None:
    """Let the fresh folder be the one of the name; where there was one, both change places in one step."""
    (fresh / _LOCK).unlink()
    if not folder.exists():
        fresh.rename(folder)
    elif not _exchanged(fresh, folder):
        # Not every file system changes places in one step: for an instant there is none then, and never a half one.
        aside = fresh.with_name(f"{fresh.name}-old")
        folder.rename(aside)
        fresh.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    sync(folder.parent)


def _exchanged(one: Path, other: Path) -> bool:
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(other))
