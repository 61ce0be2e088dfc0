"""A branch's own commits one by one, each with all that it changed: what a judgement of the branch looks at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from modelops.repository.history import Person, instant
from modelops.repository.inside import Inside
from modelops.repository.process import Git
from modelops.spec.layout import governs_all

__all__ = ["Change", "Step", "messages", "read_steps"]

_HEADER = ("%H", "%T", "%P", "%an", "%ae", "%cn", "%ce", "%ct", "%s")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a path: git's mode and object before and after, both empty where there is nothing."""

    before: tuple[str, str]
    after: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One commit of the line, and what it changed against its first parent."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    time: datetime
    subject: str
    changes: Mapping[str, Change]

    @property
    def parent(self) -> str | None:
        """The line's commit before it."""
        return self.parents[0] if self.parents else None


def read_steps(git: Git, tip: str, since: str | None, inside: Inside = Inside()) -> tuple[Step, ...]:
    """Return the commits of a tip's line after ``since`` (None: all of them), the oldest first, by one git process.

    ``inside`` names the paths; of what lies outside of the project only what runs on the forge counts.
    Where ``since`` is not on the line, the first of them has another parent.
    """
    words = git.checked(
        *("log", "--first-parent", "--sparse", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-follow"),
        *("--diff-merges=first-parent", "--no-show-signature", "--no-color", f"--format={'%x00'.join(_HEADER)}"),
        *("--root", tip, *([f"^{since}"] if since else []), "--"),
    ).output.split(b"\0")
    steps: list[Step] = []
    at = 0
    while at + len(_HEADER) <= len(words):
        header = [word.decode("utf-8", "replace") for word in words[at : at + len(_HEADER)]]
        at += len(_HEADER)
        changes: dict[str, Change] = {}
        # ":100644 100644 <old blob> <new blob> M", then the path; the first one comes after a new line.
        while at < len(words) and words[at].lstrip(b"\n").startswith(b":"):
            old_mode, mode, old, new, _ = words[at].decode().lstrip("\n:").split(" ")
            path = inside.up(os.fsdecode(words[at + 1]))
            if not path.startswith("../") or governs_all(path):
                changes[path] = Change(_there(old_mode, old), _there(mode, new))
            at += 2
        steps.append(_step(header, changes))
    return tuple(reversed(steps))


def _there(mode: str, id: str) -> tuple[str, str]:
    return (mode, id) if id.strip("0") else ("", "")


def _step(header: list[str], changes: Mapping[str, Change]) -> Step:
    id, tree, parents, author, author_email, committer, committer_email, seconds, subject = header
    who, by = Person(author, author_email), Person(committer, committer_email)
    return Step(id.strip("\n"), tree, tuple(parents.split()), who, by, instant(seconds), subject, changes)


def messages(git: Git, base: str, head: str) -> tuple[str, ...]:
    """Return the whole messages of the commits that are in ``head`` and not in ``base``, the newest first."""
    output = git.checked("log", "-z", "--no-show-signature", "--no-color", "--format=%B", head, f"^{base}", "--").output
    return tuple(output.decode("utf-8", "replace").split("\0")) if output else ()
