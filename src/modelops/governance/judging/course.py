"""What was found on the way along a branch: which commits count and why, and the violations that are open.

All of it can be written down and read back: a machine goes on from where it was, by what it signed itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelops.clock import format_instant
from modelops.repository import Repository
from modelops.repository.steps import Step

__all__ = ["Cleared", "Course", "Held", "Kind", "Violation", "violation_of"]

Kind = Literal["root", "pull", "loop", "back", "free", "idle", "violation"]
"""What a commit is: of the beginning, a pull request's, the loop's, a way back, one that the policy asks nobody about,
one that changes nothing, or none of these."""
_LETTERS: Mapping[Kind, str] = {
    "root": "R",
    "pull": "P",
    "loop": "L",
    "back": "B",
    "free": "F",
    "idle": "I",
    "violation": "V",
}
_FILES_NAMED = 3


@dataclass(frozen=True, slots=True)
class Violation:
    """A commit that nobody approved: who made it, which rule it breaks, and what each file was before that it changed.

    ``files`` are those that are as it left them, ``touched`` names the first of all that it changed, ``count`` says of
    how many.
    """

    commit: str
    parent: str
    author: str
    time: str
    subject: str
    code: str
    reason: str
    files: Mapping[str, tuple[str, str]]
    touched: tuple[str, ...]
    count: int
    merge: bool = False

    def changed(self, repository: Repository) -> tuple[str, ...]:
        """Return all the files that it changes."""
        return repository.changed_paths(self.parent, self.commit)

    @property
    def paths(self) -> str:
        """The files that it changes, in words."""
        more = self.count - len(self.touched)
        return ", ".join(self.touched) + (f" and {more} more" if more else "")


def violation_of(step: Step, code: str, reason: str) -> Violation:
    """Return what a commit amounts to that breaks a rule."""
    paths = sorted(step.changes)
    return Violation(
        commit=step.id,
        parent=step.parents[0] if step.parents else "",
        author=str(step.author),
        time=format_instant(step.time),
        subject=step.subject,
        code=code,
        reason=reason,
        files={path: step.changes[path].before for path in paths},
        touched=tuple(paths[:_FILES_NAMED]),
        count=len(paths),
        merge=len(step.parents) > 1,
    )


@dataclass(frozen=True, slots=True)
class Held:
    """A file that open violations changed: what it was before the first of them, and what it is now.

    On what is ``mixed`` an approved change was made since, so that neither the one nor the other is what was approved.
    """

    base: tuple[str, str]
    now: tuple[str, str]
    mixed: bool = False

    @property
    def counts(self) -> bool:
        """Whether the file is what was approved after all."""
        return self.now == self.base and not self.mixed


@dataclass(frozen=True, slots=True)
class Cleared:
    """A violation that a reviewed pull request named, which one that was, and what it was merged with."""

    commit: str
    pull: int
    merge: str


@dataclass
class Course:
    """A branch as it was judged from ``start`` (None: its first commit) up to ``tip``.

    ``kinds`` has a letter for each commit on the way; ``begun`` says that there is an approval policy, before which
    nobody can have approved anything.
    """

    tip: str | None = None
    start: str | None = None
    begun: bool = False
    kinds: list[str] = field(default_factory=list)
    open: list[Violation] = field(default_factory=list)
    cleared: list[Cleared] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)

    def copy(self) -> Course:
        """Return an own copy, which goes its own way."""
        own = {name: value.copy() for name in ("kinds", "open", "cleared", "held") for value in [getattr(self, name)]}
        return replace(self, **own)

    def went(self, step: Step, kind: Kind) -> None:
        """Go on by one commit, whatever it did to the files that are held."""
        self.tip = step.id
        self.kinds.append(_LETTERS[kind])

    def broken(self, step: Step, found: Violation) -> None:
        """Go on by a violation."""
        for path, change in step.changes.items():
            before = self.held.get(path)
            fresh = Held(change.before, change.after)
            self.held[path] = fresh if before is None else replace(before, now=change.after)
        self.open.append(found)
        self.went(step, "violation")

    def allowed(self, step: Step, kind: Kind, whole: Collection[str] = ()) -> None:
        """Go on by a commit that counts; the ``whole`` files were written anew from what was approved."""
        for path, change in step.changes.items():
            before = self.held.get(path)
            if before is None:
                continue
            if path in whole or before.counts or change.after == before.base:
                del self.held[path]
                self.open = [_without(one, path) for one in self.open]
            else:
                self.held[path] = replace(before, now=change.after, mixed=True)
        self.went(step, kind)

    def clear(self, commit: str, pull: int, merge: str) -> None:
        """Take a violation off, as a reviewed pull request has taken it on."""
        gone = next(one for one in self.open if one.commit == commit)
        self.open.remove(gone)
        for path in gone.files:
            first = next((one for one in self.open if path in one.files), None)
            if first is None:
                self.held.pop(path, None)
            elif path in self.held:
                self.held[path] = replace(self.held[path], base=first.files[path])
        self.cleared.append(Cleared(commit, pull, merge))

    @property
    def astray(self) -> dict[str, Held]:
        """The files that are not what was approved."""
        return {path: found for path, found in self.held.items() if not found.counts}

    @property
    def in_force(self) -> tuple[Violation, ...]:
        """The open violations of which something is there still."""
        astray = self.astray
        return tuple(one for one in self.open if not astray.keys().isdisjoint(one.files))

    def astray_at(self, path: str) -> Violation | None:
        """Return the first violation that a file is not what was approved by; None where it is."""
        found = self.held.get(path)
        if found is None or found.counts:
            return None
        return next((one for one in self.open if path in one.files), None)

    @property
    def proven(self) -> str | None:
        """The newest commit up to which nothing is open; None is before the first one."""
        return self.open[0].parent if self.open else self.tip

    def counted(self, last: int | None = None) -> dict[str, int]:
        """Return how many commits of each kind there are among the last so many, or among all."""
        kinds = self.kinds if last is None else self.kinds[-last:] if last else []
        return {kind: count for kind, letter in _LETTERS.items() if (count := kinds.count(letter))}

    def data(self) -> dict[str, Any]:
        """Return the course as plain values."""
        return {
            "tip": self.tip,
            "start": self.start,
            "begun": self.begun,
            "kinds": "".join(self.kinds),
            "open": [
                {
                    **{name: getattr(one, name) for name in Violation.__slots__},
                    "files": {path: list(before) for path, before in one.files.items()},
                    "touched": list(one.touched),
                }
                for one in self.open
            ],
            "cleared": [[one.commit, one.pull, one.merge] for one in self.cleared],
            "held": {path: [list(one.base), list(one.now), one.mixed] for path, one in self.held.items()},
        }

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Course:
        """Return the course that plain values are of; anything else is a ValueError, KeyError or TypeError."""
        return cls(
            tip=data["tip"],
            start=data["start"],
            begun=bool(data["begun"]),
            kinds=list(str(data["kinds"])),
            open=[_violation(one) for one in data["open"]],
            cleared=[Cleared(str(commit), int(pull), str(merge)) for commit, pull, merge in data["cleared"]],
            held={
                path: Held(_pair(base), _pair(now), bool(mixed)) for path, (base, now, mixed) in data["held"].items()
            },
        )


def _without(found: Violation, path: str) -> Violation:
    return replace(found, files={other: before for other, before in found.files.items() if other != path})


def _pair(value: Any) -> tuple[str, str]:
    mode, id = value
    return str(mode), str(id)


def _violation(data: Mapping[str, Any]) -> Violation:
    files = {path: _pair(before) for path, before in data["files"].items()}
    return Violation(**{**data, "files": files, "touched": tuple(data["touched"])})
