"""A branch's own line of commits, from its tip along first parents: read once, then only what is new of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from modelops.repository.history import instant
from modelops.repository.inside import Inside
from modelops.repository.process import Git

_HEADER = ("%H", "%P", "%ct", "%s")
_SUBMODULE = b"160000"


@dataclass(frozen=True, slots=True)
class Version:
    """What a file became by one commit of the line; ``parent`` is the line's commit before it.

    A merge brings what it changed against its first parent. ``blob`` is None where the file was removed.
    """

    commit: str
    parent: str | None
    time: datetime
    subject: str
    blob: str | None


@dataclass(frozen=True)
class Line:
    """The line of one tip: the place of each commit, counted from the root, and the versions of each file of a folder.

    Of an earlier tip the mappings hold what came after it, too; ``top`` is the tip's own place.
    """

    tip: str
    top: int
    places: Mapping[str, int]
    files: Mapping[str, tuple[Version, ...]]
    dates: Sequence[tuple[str, datetime]]
    """Every commit with its committer's date, from the root; of an earlier tip also what came after it."""

    def versions(self, path: str) -> tuple[Version, ...]:
        """Return what a file became, newest first, removals included."""
        found = self.files.get(path, ())
        if self.top + 1 == len(self.places):
            return found
        return tuple(version for version in found if self.places[version.commit] <= self.top)

    def to(self, tip: str) -> Line | None:
        """Return the line of an earlier tip, or None when that is not on this line."""
        place = self.places.get(tip)
        return (
            Line(tip, place, self.places, self.files, self.dates) if place is not None and place <= self.top else None
        )


def read_line(git: Git, tip: str, folder: str, known: Line | None = None, inside: Inside = Inside()) -> Line:
    """Return the whole line of a tip; what ``known``, a whole line itself, has of it is not read again.

    ``inside`` names the paths.
    """
    steps = list(_steps(_walk(git, tip, inside.down(folder), known.tip if known is not None else None)))
    if known is not None and (not steps or steps[-1][0].parent != known.tip):
        # The branch was rewritten, or its old tip came in by a merge: its own line is another one.
        return read_line(git, tip, folder, None, inside)
    places = dict(known.places) if known is not None else {}
    fresh: dict[str, list[Version]] = {}
    for step, changed in steps:
        for path, blob in changed:
            version = Version(step.commit, step.parent, step.time, step.subject, blob)
            fresh.setdefault(inside.up(path), []).append(version)
    places |= {step.commit: place for place, (step, _) in enumerate(reversed(steps), len(places))}
    files = dict(known.files) if known is not None else {}
    files |= {path: (*versions, *files.get(path, ())) for path, versions in fresh.items()}
    dates = [*(known.dates if known is not None else ()), *((step.commit, step.time) for step, _ in reversed(steps))]
    return Line(tip, len(places) - 1, places, files, dates)


def _walk(git: Git, tip: str, folder: str, known: str | None) -> list[bytes]:
    # sparse: the commits that change nothing in the folder are told, too, as the line is made of all of them.
    return git.checked(
        *("log", "--first-parent", "--sparse", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-follow"),
        *("--diff-merges=first-parent", "--no-show-signature", "--no-color", f"--format={'%x00'.join(_HEADER)}"),
        *(tip, *([f"^{known}"] if known else []), "--", folder),
        environment={"GIT_LITERAL_PATHSPECS": "1"},
    ).output.split(b"\0")


def _steps(words: list[bytes]) -> Iterator[tuple[Version, list[tuple[str, str | None]]]]:
    """Yield each commit, as a version of nothing, with the files that it changed and their blobs, newest first."""
    at = 0
    while at + len(_HEADER) <= len(words):
        id, parents, seconds, subject = words[at : at + len(_HEADER)]
        at += len(_HEADER)
        changed: list[tuple[str, str | None]] = []
        # ":100644 100644 <old blob> <new blob> M", then the path; the first one comes after a new line.
        while at < len(words) and words[at].lstrip(b"\n").startswith(b":"):
            _, mode, _, blob, _ = words[at].split(b" ")
            gone = mode == _SUBMODULE or not blob.strip(b"0")
            changed.append((os.fsdecode(words[at + 1]), None if gone else blob.decode()))
            at += 2
        parent = parents.split(b" ", 1)[0].decode() or None
        yield Version(id.decode(), parent, instant(seconds.decode()), subject.decode("utf-8", "replace"), None), changed
