"""The checked-out files: reading them safely, and bringing them up to a branch that moved without losing local work."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.repository.names import check_path
from modelops.repository.objects import MAXIMUM_BYTES, list_tree
from modelops.repository.process import Git
from modelops.repository.refs import Swap, local_ref, swap_local
from modelops.spec.layout import CACHE, STATE

Warn = Callable[[str], None]

_HEADS = "refs/heads/"
_SKIPPED = frozenset({".git", STATE, CACHE})


def read_work_tree(
    root: Path, prefixes: Sequence[str], suffixes: Sequence[str] | None, limit: int = MAXIMUM_BYTES
) -> dict[str, bytes]:
    """Return the files below some folders (or single files) by path; every file that must not be read is reported."""
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    real_root = Path(os.path.realpath(root))
    for prefix in prefixes:
        start = check_path(prefix.rstrip("/")) if prefix.strip("/") else ""
        for path, _ in _walk(real_root, start, problems):
            if suffixes is None or path.endswith(tuple(suffixes)):
                try:
                    found[path] = read_regular(str(real_root), path, limit, partial(_too_large, limit=limit))
                except ModelOpsError as error:
                    problems.extend(error.problems)
    if problems:
        raise ModelOpsError(*problems)
    return dict(sorted(found.items()))


def _walk(root: Path, path: str, problems: list[Problem]) -> Iterator[tuple[str, bool]]:
    """Yield the files below a path, and whether each is a symbolic link; folders are entered only if they are none."""
    place = root / path if path else root
    if place.is_symlink() and place.is_dir():
        problems.append(_refused(path, "a symbolic link to a folder"))
    elif Path(os.path.realpath(place.parent)) != place.parent and place != root:
        problems.append(_refused(path, "below a symbolic link to a folder"))
    elif place.is_dir():
        yield from _walk_folder(str(place), f"{path}/" if path else "", problems)
    elif place.is_symlink() or place.exists():
        yield path, place.is_symlink()


def _walk_folder(folder: str, prefix: str, problems: list[Problem]) -> Iterator[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            inner = prefix + entry.name
            if entry.name in _SKIPPED:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk_folder(entry.path, f"{inner}/", problems)
            elif not entry.is_symlink():
                yield inner, False
            elif entry.is_dir():
                problems.append(_refused(inner, "a symbolic link to a folder"))
            else:
                yield inner, True


def _refused(path: str, what: str) -> Problem:
    return Problem("symlink-refused", f"{path} is {what}", Location(path), hint="replace the link by what it leads to")


def walk(root: Path, path: str, problems: list[Problem]) -> Iterator[str]:
    """Yield in order what may be read below a folder; links to folders, and links that lead out, become problems."""
    real = Path(os.path.realpath(root))
    for found, linked in sorted(_walk(real, path, problems)):
        if linked and not Path(os.path.realpath(real / found)).is_relative_to(real):
            problems.append(_refused(found, "a symbolic link that leads out of the repository"))
        else:
            yield found


def _too_large(path: str, size: int, limit: int = MAXIMUM_BYTES) -> ModelOpsError:
    message = f"{path} holds {size} bytes; the limit is {limit}"
    return failure("file-too-large", message, location=Location(path))


def read_regular(
    root: str, path: str, limit: int = MAXIMUM_BYTES, too_large: Callable[[str, int], ModelOpsError] = _too_large
) -> bytes:
    """Return the bytes of a regular file that was found by ``walk`` below a real folder; its size is asked first."""
    descriptor = _open(root, path)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise failure("not-a-regular-file", f"{path} is not a regular file", location=Location(path))
        if status.st_size > limit:
            raise too_large(path, status.st_size)
        return os.read(descriptor, status.st_size + 1)
    finally:
        os.close(descriptor)


def _open(root: str, path: str) -> int:
    # Without O_NONBLOCK, opening a pipe would wait for its writer.
    how, real = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW, f"{root}/{path}"
    for _ in range(2):
        try:
            return os.open(real, how)
        except OSError as error:
            if error.errno != errno.ELOOP or real != f"{root}/{path}":
                said = f"{path} cannot be read: {error.strerror}"
                raise failure("file-unreadable", said, location=Location(path)) from None
        real = os.path.realpath(real)
        if not real.startswith(root + "/"):
            break
    raise ModelOpsError(_refused(path, "a symbolic link that leads out of the repository"))


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


def mirror(git: Git, here: str, swap: Swap, warn: Warn) -> None:
    """Let what this clone knows of the remote, and the checked-out branch, follow a push; ``here`` is the known ref."""
    # Another process may have fetched something newer meanwhile: then its value stays.
    if swap.new is None:
        git.run("update-ref", "-d", here, *([swap.old] if swap.old else []))
    else:
        git.run("update-ref", here, swap.new, swap.old or "")
    if swap.new and swap.ref.startswith(_HEADS):
        follow_remote(git, swap.ref.removeprefix(_HEADS), swap.new, warn)


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
            waiting = _finish(git, journal, warn)
            # What waits stays noted: of two moves of one ref only that which its branch shows is made.
            _note(journal, [*waiting, *_moves(git, swaps, waiting)])
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


Move = Sequence[str | None]
"""A work tree, the ref it has checked out, the commit its files are at, and the commit the ref moves to."""


def _moves(git: Git, swaps: Sequence[Swap], waiting: Sequence[Move]) -> list[Move]:
    """Return what work trees must do after some swaps; files still waiting for an earlier move start where they are."""
    behind = {(place, ref): old for place, ref, old, _ in waiting}
    moves: list[Move] = []
    for swap in swaps:
        place = worktree_of(git, swap.ref.removeprefix("refs/heads/"))
        if place is None:
            continue
        if swap.new is None:
            raise failure("branch-checked-out", "a branch that is checked out cannot be deleted", exit=Exit.USAGE)
        moves.append((str(place), swap.ref, behind.get((str(place), swap.ref), swap.old), swap.new))
    return moves


def _note(journal: Path, moves: Sequence[Move]) -> None:
    if moves:
        partial = journal.with_suffix(".partial")
        partial.write_text(json.dumps(moves), encoding="utf-8")
        partial.replace(journal)
    else:
        journal.unlink(missing_ok=True)


def _finish(git: Git, journal: Path, warn: Warn) -> list[Move]:
    """Bring work trees up to the refs that a journal says moved and return those that could not follow yet.

    Moves that did not happen are forgotten.
    """
    waiting: list[Move] = []
    for move in json.loads(journal.read_text(encoding="utf-8")) if journal.exists() else []:
        place, ref, old, new = move
        if old is None or not Path(place).is_dir() or local_ref(git, ref) != new:
            continue
        branch = ref.removeprefix("refs/heads/")
        try:
            left = bring_up(Git(Path(place)), old, new)
        except ModelOpsError as error:
            # Another git holds the index: the commit has landed, and whoever comes next brings the files up.
            waiting.append(move)
            warn(f"{branch} moved to {new[:12]}, but its files could not follow yet: {error.first.message}")
            continue
        if left:
            warn(
                f"{branch} moved to {new[:12]}; local work in {', '.join(left)} stays as it is and differs from it: "
                f"look at `git diff HEAD -- {left[0]}` before you commit"
            )
    _note(journal, waiting)
    return waiting


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
