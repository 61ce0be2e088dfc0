"""What differs between two commits, as nobody but its reader can change it.

Nothing in the repository or in a configuration says what is shown: no attributes, no text conversion, no external
program. A rename is what it is in git, one file less and one more, and both are shown whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from modelops.repository.process import Git

SHOWN_BYTES = 512 << 10
"""Up to this size, on both sides, a file is shown as text; beyond it is named with size and digest."""
DIGESTED_BYTES = 256 << 20
"""Up to this size a file that is not shown is told by its SHA-256, beyond by git's own digest alone."""

_CHUNK = 200
_SNIFFED = 8000
_LINK, _SUBMODULE, _NOTHING = "120000", "160000", "000000"
_TEXT = frozenset(
    (
        *("cfg", "csv", "dockerfile", "gitattributes", "gitignore", "gitmodules", "html", "ini", "ipynb", "j2", "js"),
        *("json", "jsonl", "lock", "md", "ps1", "py", "pyi", "r", "rst", "sh", "sql", "toml", "tsv", "txt", "yaml"),
        "yml",
    )
)
_ODD = bytes(code for code in range(32) if code not in b"\t\n\r\f") + b"\x7f"

Blobs = Callable[[Iterable[str], int], Mapping[str, bytes | int]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs: its mode and object before and after, ``000000`` and zeros where it is not there."""

    path: str
    old_mode: str
    mode: str
    old_id: str
    id: str

    @property
    def what(self) -> Literal["added", "removed", "changed"]:
        """What happened to the path."""
        return "added" if self.old_mode == _NOTHING else "removed" if self.mode == _NOTHING else "changed"

    @property
    def submodule(self) -> bool:
        """Whether it is, or was, a commit of another repository."""
        return _SUBMODULE in (self.old_mode, self.mode)

    @property
    def link(self) -> bool:
        """Whether it is, or was, a symbolic link."""
        return _LINK in (self.old_mode, self.mode)

    def objects(self) -> tuple[str, ...]:
        """Return the blobs before and after, where there are any."""
        sides = ((self.old_mode, self.old_id), (self.mode, self.id))
        return tuple(id for mode, id in sides if mode not in (_NOTHING, _SUBMODULE))


@dataclass(frozen=True, slots=True)
class Side:
    """How a file that is not shown as text looked: bytes and SHA-256, or git's digest of one that is very large."""

    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One difference; ``hidden`` says why its text is left out, and then ``sides`` are what it was and is."""

    difference: Difference
    hidden: Literal["binary", "large"] | None = None
    sides: tuple[Side, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences of two commits, which of them are renames (old to new path), and the text of all that is text."""

    shown: tuple[Shown, ...]
    renames: Mapping[str, str]
    texts: tuple[bytes, ...]


def differences(git: Git, base: str, head: str) -> tuple[Difference, ...]:
    """Return the paths that differ between two commits with what they are on both sides, sorted by path."""
    options = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-commit-id", "--ignore-submodules=none")
    words = git.checked("diff-tree", *options, base, head, "--").words()
    return tuple(_difference(*pair) for pair in zip(words[::2], words[1::2], strict=True))


def _difference(said: str, path: str) -> Difference:
    old_mode, mode, old_id, id, _ = said.removeprefix(":").split(" ")
    return Difference(path, old_mode, mode, old_id, id)


def compare(alone: Git, blobs: Blobs, base: str, head: str) -> Comparison:
    """Return what differs between two commits with the text of every file that has any; ``alone`` has no settings."""
    found = differences(alone, base, head)
    known = blobs((id for one in found for id in one.objects()), SHOWN_BYTES)
    shown = tuple(_shown(one, known, blobs) for one in found)
    texts = [one.difference.path for one in shown if one.hidden is None]
    return Comparison(shown, _renames(alone, base, head), tuple(_patches(alone, base, head, texts)))


def _shown(one: Difference, known: Mapping[str, bytes | int], blobs: Blobs) -> Shown:
    contents = [known[id] for id in one.objects()]
    whole = [each for each in contents if isinstance(each, bytes)]
    if len(whole) < len(contents):
        return Shown(one, "large", tuple(_side(id, blobs) for id in one.objects()))
    if one.link or all(is_text(one.path, each) for each in whole):
        return Shown(one)
    return Shown(one, "binary", tuple(_side(id, blobs) for id in one.objects()))


def _side(id: str, blobs: Blobs) -> Side:
    data = blobs([id], DIGESTED_BYTES)[id]
    if isinstance(data, int):
        return Side(data, f"git:{id}")
    return Side(len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")


def is_text(path: str, data: bytes) -> bool:
    """Tell whether a file is shown as text: everything is that could be read or run as such.

    Python refuses a null byte, so code has none; and what a file is called like text, or mostly is, is shown as it is.
    """
    name = path.rpartition("/")[2].lower()
    if b"\0" not in data[:_SNIFFED] or name.rpartition(".")[2] in _TEXT:
        return True
    odd = len(data) - len(data.translate(None, _ODD))
    odd += data.decode("utf-8", "replace").count("\ufffd")
    return odd * 10 <= len(data)


def _renames(alone: Git, base: str, head: str) -> dict[str, str]:
    options = ("-r", "-z", "--find-renames", "--diff-filter=R", "--name-status", "--no-commit-id")
    words = alone.checked("diff-tree", *options, base, head, "--").words()
    return dict(zip(words[1::3], words[2::3], strict=True))


def _patches(alone: Git, base: str, head: str, paths: list[str]) -> Iterator[bytes]:
    options = ("-r", "-p", "--text", "--abbrev=12", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv")
    for at in range(0, len(paths), _CHUNK):
        yield alone.checked(
            *("diff-tree", *options, "--no-commit-id", "--ignore-submodules=none", base, head, "--"),
            *paths[at : at + _CHUNK],
            environment={"GIT_LITERAL_PATHSPECS": "1"},
        ).output
