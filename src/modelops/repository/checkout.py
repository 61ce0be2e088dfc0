"""The checked-out files: reading them safely, and bringing them up to a branch that moved without losing local work."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.repository.names import check_path
from modelops.repository.objects import MAXIMUM_BYTES, list_tree
from modelops.repository.process import Git
from modelops.repository.refs import Swap, local_ref, swap_local

Warn = Callable[[str], None]

_SKIPPED = frozenset({".git", ".modelops", "__pycache__"})


def read_work_tree(root: Path, prefixes: Sequence[str], suffixes: Sequence[str] | None) -> dict[str, bytes]:
    """Return the files below some folders (or single files) by path; every file that must not be read is reported."""
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    real_root = Path(os.path.realpath(root))
    for prefix in prefixes:
        start = check_path(prefix.rstrip("/")) if prefix.strip("/") else ""
        for path in _walk(real_root, start, problems):
            if suffixes is None or path.endswith(tuple(suffixes)):
                problem = _read_into(found, real_root, path)
                problems.extend([problem] if problem else [])
    if problems:
        raise ModelOpsError(*problems)
    return dict(sorted(found.items()))


def _walk(root: Path, path: str, problems: list[Problem]) -> Iterator[str]:
    place = root / path if path else root
    if place.is_symlink() and place.is_dir():
        problems.append(_refused(path, "a symbolic link to a folder"))
        return
    if not place.is_dir():
        if place.is_symlink() or place.exists():
            yield path
        return
    with os.scandir(place) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            inner = f"{path}/{entry.name}" if path else entry.name
            if entry.name in _SKIPPED:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(root, inner, problems)
            elif entry.is_symlink() and entry.is_dir():
                problems.append(_refused(inner, "a symbolic link to a folder"))
            else:
                yield inner


def _refused(path: str, what: str) -> Problem:
    return Problem("symlink-refused", f"{path} is {what}", Location(path), hint="replace the link by what it leads to")


def _read_into(found: dict[str, bytes], root: Path, path: str) -> Problem | None:
    real = Path(os.path.realpath(root / path))
    if not real.is_relative_to(root):
        return _refused(path, "a symbolic link that leads out of the repository")
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Problem("file-unreadable", f"{path} cannot be read: {error.strerror}", Location(path))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Problem("not-a-regular-file", f"{path} is not a regular file", Location(path))
        if status.st_size > MAXIMUM_BYTES:
            message = f"{path} holds {status.st_size} bytes; the limit is {MAXIMUM_BYTES}"
            return Problem("file-too-large", message, Location(path))
        found[path] = file.read(MAXIMUM_BYTES + 1)
    return None


def worktree_of(git: Git, branch: str) -> Path | None:
    """Return the folder that has a branch checked out, if any (a repository can have several work trees)."""
    folder: Path | None = None
    for field in git.checked("worktree", "list", "--porcelain", "-z").words():
        key, _, value = field.partition(" ")
        if key == "worktree":
            folder = Path(value)
        elif key == "branch" and value == f"refs/heads/{branch}":
            return folder
    return None


def follow_remote(git: Git, branch: str, commit: str, warn: Warn) -> None:
    """Fast-forward a checked-out branch to a commit that was pushed; local work that is in the way stays as it is."""
    folder = worktree_of(git, branch)
    if folder is None or not folder.is_dir():
        return
    result = Git(folder).run("merge", "--ff-only", "--quiet", "--no-overwrite-ignore", commit)
    if result.code:
        warn(
            f"{branch} moved to {commit[:12]} on the remote, but the checked-out branch stays where it is "
            f"because of local work; run `git pull` when it is committed"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def swap_with_work_tree(git: Git, common: Path, swaps: Sequence[Swap], message: str, warn: Warn) -> bool:
    """Move refs of a repository without a remote; the work trees that have them checked out follow.

    The refs move first, in one transaction. A journal beside them lets the next call finish the work trees if this
    process is killed in between.
    """
    folder = common / "modelops"
    journal = folder / "moving.json"
    try:
        with _locked(folder):
            _finish(git, journal, warn)
            places = {swap: worktree_of(git, swap.ref.removeprefix("refs/heads/")) for swap in swaps}
            moves = [[str(place), swap.ref, swap.old, swap.new] for swap, place in places.items() if place]
            if any(new is None for *_, new in moves):
                raise failure("branch-checked-out", "a branch that is checked out cannot be deleted", exit=Exit.USAGE)
            if moves:
                partial = journal.with_suffix(".partial")
                partial.write_text(json.dumps(moves), encoding="utf-8")
                partial.replace(journal)
            moved = swap_local(git, swaps, message)
            _finish(git, journal, warn)
            return moved
    except OSError as error:
        raise failure(
            "repository-unwritable",
            f"{error.filename or folder} cannot be written: {error.strerror}",
            exit=Exit.WORLD,
            hint="check the permissions and the free space of the repository",
            retryable=True,
        ) from None


def _finish(git: Git, journal: Path, warn: Warn) -> None:
    """Bring work trees up to the refs that a journal says moved; moves that did not happen are forgotten."""
    if not journal.exists():
        return
    for place, ref, old, new in json.loads(journal.read_text(encoding="utf-8")):
        if old is not None and Path(place).is_dir() and local_ref(git, ref) == new:
            left = bring_up(Git(Path(place)), old, new)
            if left:
                warn(
                    f"{ref.removeprefix('refs/heads/')} moved to {new[:12]}; local work in {', '.join(left)} stays "
                    f"as it is and now differs from it: look at `git diff HEAD -- {left[0]}` before you commit"
                )
    journal.unlink()


def bring_up(git: Git, old: str, new: str) -> tuple[str, ...]:
    """Move index and work tree from one commit to another and return the paths left alone for their local changes."""
    git.run("update-index", "-q", "--refresh")
    if git.run("read-tree", "-m", "-u", old, new).code == 0:
        return ()
    return _bring_up_each(git, old, new)


def _bring_up_each(git: Git, old: str, new: str) -> tuple[str, ...]:
    before, after = list_tree(git, old), list_tree(git, new)
    staged: dict[str, str] = {}
    for line in git.checked("ls-files", "-s", "-z").words():
        head, path = line.split("\t", 1)
        staged[path] = head.split(" ")[1]
    left: list[str] = []
    refreshed: list[str] = []
    lines: list[str] = []
    for path in sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)):
        was, will = before.get(path), after.get(path)
        if staged.get(path) == (will.id if will else None):
            continue
        if staged.get(path) != (was.id if was else None):
            left.append(path)
            continue
        lines.append(f"{will.mode} {will.id}\t{path}" if will else f"0 {'0' * 40}\t{path}")
        if _file_id(git, path) == (was.id if was else None):
            refreshed.append(path)
        else:
            left.append(path)
    if lines:
        git.checked("update-index", "-z", "--index-info", input="\0".join([*lines, ""]).encode())
    for path in refreshed:
        if path not in after:
            (git.root / path).unlink()
    present = "\0".join([*(path for path in refreshed if path in after), ""]).encode()
    git.checked("checkout-index", "--force", "--quiet", "-z", "--stdin", input=present)
    return tuple(left)


def _file_id(git: Git, path: str) -> str | None:
    place = git.root / path
    if not place.is_symlink() and not place.exists():
        return None
    return git.run("hash-object", f"--path={path}", "--", path).text or "unreadable"
