"""Reading a revision: trees by one ls-tree, any number of files by one `git cat-file --batch`."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.repository.names import check_path
from modelops.repository.process import Git

MAXIMUM_BYTES = 8 << 20
"""No file that modelops reads from git is larger; the parser of specs sets its own, lower limit."""

_LINK = "120000"
_FILES = frozenset({"100644", "100755", _LINK})
_HOPS = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree."""

    mode: str
    id: str


def list_tree(git: Git, commit: str, prefix: str = "") -> dict[str, Entry]:
    """Return the files below a folder (or the one file) of a commit, by path; submodules are left out."""
    place = [check_path(prefix.rstrip("/")) + ("/" if prefix.endswith("/") else "")] if prefix else []
    result = git.checked("ls-tree", "-r", "-z", "--full-tree", commit, *place)
    entries: dict[str, Entry] = {}
    for line in result.words():
        head, path = line.split("\t", 1)
        mode, _, id = head.split(" ")
        if mode in _FILES:
            entries[path] = Entry(mode, id)
    return entries


def tree_id(git: Git, commit: str, path: str) -> str | None:
    """Return the id of a folder's tree in a commit, or None when there is no such folder."""
    if not path.strip("/"):
        return git.checked("rev-parse", "--verify", f"{commit}^{{tree}}").text
    for line in git.checked("ls-tree", "-z", "--full-tree", commit, check_path(path.rstrip("/"))).words():
        _, type, id = line.split("\t", 1)[0].split(" ")
        if type == "tree":
            return id
    return None


def read_blobs(git: Git, ids: Iterable[str]) -> dict[str, bytes]:
    """Return the bytes of many blobs in two processes: one asks for the sizes, one for the contents."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return {}
    request = "".join(f"{id}\n" for id in wanted).encode()
    for line in git.checked("cat-file", "--batch-check", input=request).text.splitlines():
        id, type, *size = line.split(" ")
        if type == "missing":
            raise failure(
                "object-missing",
                f"git object {id} is not in this clone",
                exit=Exit.WORLD,
                hint="run `git fetch`, or `git fsck` when it should be here",
            )
        if int(size[0]) > MAXIMUM_BYTES:
            raise failure("file-too-large", f"git object {id} holds {size[0]} bytes; the limit is {MAXIMUM_BYTES}")
    stream = git.checked("cat-file", "--batch", input=request).output
    contents: dict[str, bytes] = {}
    position = 0
    for id in wanted:
        end = stream.index(b"\n", position)
        size_here = int(stream[position:end].rsplit(b" ", 1)[1])
        contents[id] = stream[end + 1 : end + 1 + size_here]
        position = end + 1 + size_here + 1
    return contents


def read_versions(git: Git, commits: Iterable[str], path: str) -> dict[str, bytes | None]:
    """Return the bytes that one file has in many commits, None where it is not there, in three processes at most."""
    wanted = list(dict.fromkeys(commits))
    request = "".join(f"{commit}:{check_path(path)}\n" for commit in wanted).encode()
    lines = git.checked("cat-file", "--batch-check", input=request).text.splitlines() if wanted else []
    ids = {
        commit: line.split(" ")[0] for commit, line in zip(wanted, lines, strict=True) if not line.endswith(" missing")
    }
    contents = read_blobs(git, ids.values())
    return {commit: contents[ids[commit]] if commit in ids else None for commit in wanted}


def _follow(git: Git, path: str, tree: Mapping[str, Entry]) -> Entry:
    """Return the regular file that a symbolic link inside the tree leads to."""
    place = path
    for _ in range(_HOPS):
        entry = tree.get(place)
        if entry is None:
            break
        if entry.mode != _LINK:
            return entry
        goal = os.fsdecode(read_blobs(git, [entry.id])[entry.id])
        place = posixpath.normpath(posixpath.join(posixpath.dirname(place), goal))
    raise failure(
        "symlink-refused",
        f"{path} is a symbolic link that leads to no file of the repository",
        location=Location(path),
        hint="replace the link by the file",
    )


def read_files(git: Git, paths: Iterable[str], tree: Mapping[str, Entry]) -> dict[str, bytes]:
    """Return the bytes of files of one tree, by path; every path that is not in it is reported."""
    wanted = [check_path(path) for path in dict.fromkeys(paths)]
    missing = [path for path in wanted if path not in tree]
    if missing:
        raise ModelOpsError(
            *(Problem("no-such-file", f"{path} is not in this revision", Location(path)) for path in missing)
        )
    ids = {path: tree[path].id if tree[path].mode != _LINK else _follow(git, path, tree).id for path in wanted}
    contents = read_blobs(git, ids.values())
    return {path: contents[id] for path, id in ids.items()}
