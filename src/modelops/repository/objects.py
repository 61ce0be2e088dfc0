"""Reading a revision: trees by one ls-tree, the bytes of files through the one process that reads objects."""

from __future__ import annotations

import hashlib
import os
import posixpath
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.repository.inside import Inside
from modelops.repository.names import check_path
from modelops.repository.process import Git
from modelops.repository.reader import Reader

MAXIMUM_BYTES = 8 << 20
"""No file that modelops reads from git is larger; the parser of specs sets its own, lower limit."""

_LINK = "120000"
_FILES = frozenset({"100644", "100755", _LINK})
_HOPS = 8
_LISTED = 200_000
"""How many paths the kept listings of trees may hold together."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree."""

    mode: str
    id: str


@dataclass(frozen=True)
class Listing:
    """The files of a tree by path."""

    entries: Mapping[str, Entry]

    @cached_property
    def _sorted(self) -> Sequence[str]:
        return sorted(self.entries)

    @cached_property
    def ids(self) -> Mapping[str, str]:
        """The blob of each file."""
        return {path: entry.id for path, entry in self.entries.items()}

    def below(self, prefix: str) -> Listing:
        """Return the files below a folder, or the one file of that name."""
        name = prefix.rstrip("/")
        first, end = (bisect_left(self._sorted, name + mark) for mark in ("/", chr(ord("/") + 1)))
        found = [name] if prefix == name and name in self.entries else []
        return Listing({path: self.entries[path] for path in [*found, *self._sorted[first:end]]})


class Objects:
    """What one clone holds; a commit never changes, so that the last few listings of trees are kept."""

    def __init__(self, git: Git, reader: Reader, inside: Inside = Inside()) -> None:
        """``inside`` names the paths; no link may leave its folder."""
        self._inside, self._within = inside, inside.down("")
        self._git = git
        self._reader = reader
        self._listings: OrderedDict[tuple[str, str], Listing] = OrderedDict()

    def paths(self, commit: str, prefix: str) -> Mapping[str, str]:
        """Return the blobs of the files below a folder of the project, or of the one file, by path."""
        found = self._files(commit, self._inside.down(prefix)).ids
        return found if not self._within else {self._inside.up(path): id for path, id in found.items()}

    def _files(self, commit: str, prefix: str = "") -> Listing:
        """Return the files below a folder (or the one file) of a commit, by path; submodules are left out."""
        place = check_path(prefix.rstrip("/")) + ("/" if prefix.endswith("/") else "") if prefix else ""
        if place and (commit, "") in self._listings:
            return self._listing(commit, "").below(place)
        return self._listing(commit, place)

    def _listing(self, commit: str, place: str) -> Listing:
        key = (commit, place)
        if key not in self._listings:
            self._listings[key] = Listing(list_tree(self._git, *key))
            while len(self._listings) > 1 and self._listed() > _LISTED:
                self._listings.popitem(last=False)
        self._listings.move_to_end(key)
        return self._listings[key]

    def _listed(self) -> int:
        return sum(len(listing.entries) + 1 for listing in self._listings.values())

    def read(self, commit: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of files of a commit, by path; every path that is not in it is reported."""
        ids = self.ids(commit, paths)
        contents = self.blobs(ids.values())
        return {path: contents[id] for path, id in ids.items()}

    def ids(self, commit: str, paths: Iterable[str]) -> dict[str, str]:
        """Return the blobs of files of a commit, by path; links are followed, and what is not there is reported."""
        named = {self._inside.down(check_path(path)): path for path in paths}
        if not named:
            return {}
        with self._inside.told():
            return {named[path]: id for path, id in self._found(commit, list(named)).items()}

    def _found(self, commit: str, wanted: Sequence[str]) -> dict[str, str]:
        tree = self._around(commit, wanted)
        missing = [path for path in wanted if path not in tree]
        if missing:
            raise ModelOpsError(
                *(Problem("no-such-file", f"{path} is not in this revision", Location(path)) for path in missing)
            )
        return {path: tree[path].id if tree[path].mode != _LINK else self._follow(path, tree).id for path in wanted}

    def _around(self, commit: str, paths: Sequence[str]) -> Mapping[str, Entry]:
        """Return as much of a tree as it takes to read some files of it: links may lead anywhere."""
        if len(paths) > 1 or (commit, "") in self._listings:
            return self._files(commit).entries
        alone = self._files(commit, paths[0]).entries
        return self._files(commit).entries if any(entry.mode == _LINK for entry in alone.values()) else alone

    def _follow(self, path: str, tree: Mapping[str, Entry]) -> Entry:
        """Return the regular file that a symbolic link inside the tree leads to."""
        place = path
        for _ in range(_HOPS):
            entry = tree.get(place)
            if entry is None or not place.startswith(self._within):
                break
            if entry.mode != _LINK:
                return entry
            goal = os.fsdecode(self.blobs([entry.id])[entry.id])
            place = posixpath.normpath(posixpath.join(posixpath.dirname(place), goal))
        raise failure(
            "symlink-refused",
            f"{path} is a symbolic link that leads to no file of the repository",
            location=Location(path),
            hint="replace the link by the file",
        )

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of many blobs; one that is too large is an error, as is one that is not here."""
        contents: dict[str, bytes] = {}
        for id, data in self.blobs_within(ids, MAXIMUM_BYTES).items():
            if isinstance(data, int):
                raise failure("file-too-large", f"git object {id} holds {data} bytes; the limit is {MAXIMUM_BYTES}")
            contents[id] = data
        return contents

    def blobs_within(self, ids: Iterable[str], limit: int) -> dict[str, bytes | int]:
        """Return the bytes of many blobs, of those over a limit only their size; one that is not here is an error."""
        contents: dict[str, bytes | int] = {}
        for id, found in self._reader.contents(ids, limit).items():
            if found is None:
                raise failure(
                    "object-missing",
                    f"git object {id} is not in this clone",
                    exit=Exit.WORLD,
                    hint="run `git fetch`, or `git fsck` when it should be here",
                )
            contents[id] = found.size if found.data is None else found.data
        return contents

    def tree_id(self, commit: str, path: str) -> str | None:
        """Return the id of a folder's tree in a commit, None when there is none; "" is all that the commit holds."""
        inner = path.strip("/")
        name = f"{commit}:{self._inside.down(check_path(inner))}" if inner else f"{commit}^{{tree}}"
        (found,) = self._reader.find([name])
        return found.id if found is not None and found.type == "tree" else None

    def blob_id(self, commit: str, path: str) -> str | None:
        """Return the blob that is at a path of a commit, without a listing of it; None where there is none."""
        (found,) = self._reader.find([f"{commit}:{self._inside.down(check_path(path))}"])
        return found.id if found is not None and found.type == "blob" else None


def list_tree(git: Git, commit: str, place: str = "") -> dict[str, Entry]:
    """Return the files of a commit below a folder, or the one file; submodules are left out."""
    result = git.checked("ls-tree", "-r", "-z", "--full-tree", commit, *([place] if place else []))
    entries: dict[str, Entry] = {}
    for line in result.words():
        head, path = line.split("\t", 1)
        mode, _, id = head.split(" ")
        if mode in _FILES:
            entries[path] = Entry(mode, id)
    return entries


def tree_of(files: Mapping[str, bytes], algorithm: str) -> str:
    """Return the id of the tree that holds exactly these files, none executable, without storing it."""
    folders: dict[str, dict[str, bytes]] = {}
    here: list[tuple[bytes, bytes]] = []
    for path, data in files.items():
        name, _, rest = check_path(path).partition("/")
        if rest:
            folders.setdefault(name, {})[rest] = data
        else:
            here.append((os.fsencode(name), b"100644 %s\0%s" % (os.fsencode(name), _hash("blob", data, algorithm))))
    for name, inner in folders.items():
        id = bytes.fromhex(tree_of(inner, algorithm))
        # Git sorts a folder as if its name ended with a slash.
        here.append((os.fsencode(name) + b"/", b"40000 %s\0%s" % (os.fsencode(name), id)))
    return _hash("tree", b"".join(entry for _, entry in sorted(here)), algorithm).hex()


def _hash(type: str, data: bytes, algorithm: str) -> bytes:
    return hashlib.new(algorithm, b"%s %d\0" % (type.encode(), len(data)) + data, usedforsecurity=False).digest()
