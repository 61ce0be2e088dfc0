"""Snapshots on their way: what was sent to the store, what came from it, and where files are."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelops.data.travelling import Pushed, Whereabouts
from modelops.errors import Problem
from modelops.markup import plain
from modelops.views.terminal import table

_SHOWN = 5
"""Files to get back that are named each for itself."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A snapshot that was pushed."""

    model: str
    name: str
    pushed: Pushed


@dataclass(frozen=True, slots=True)
class Pulled:
    """A snapshot that was pulled: files put back where their source lies, and what else lies there."""

    model: str
    name: str
    files: int
    restored: tuple[str, ...]
    other: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Where a snapshot is; ``current`` tells whether its model is trained on it.

    ``lost`` are the files, seen from here, that git has as they were pinned and the work tree has not.
    """

    model: str
    name: str
    current: bool
    where: Whereabouts
    lost: tuple[str, ...] = ()


def sent_text(done: Sequence[Sent]) -> str:
    """Return what was sent, a line a snapshot."""
    lines = [f"{one.model} {one.name}: {_pushed(one.pushed)}" for one in done]
    return "\n".join(map(plain, lines)) or "there is no snapshot to push"


def _pushed(pushed: Pushed) -> str:
    if not pushed.sent:
        return f"the store has {_files(pushed.there, 'all ')} already"
    there = f", already there: {pushed.there}" if pushed.there else ""
    return f"{_files(pushed.sent)} sent ({bytes_text(pushed.sent_bytes)}){there}"


def _files(count: int, many: str = "") -> str:
    return "1 file" if count == 1 else f"{many}{count} files"


def sent_data(done: Sequence[Sent]) -> list[dict[str, Any]]:
    """Return what was sent."""
    return [
        {
            "model": one.model,
            "snapshot": one.name,
            "sent": one.pushed.sent,
            "sentBytes": one.pushed.sent_bytes,
            "there": one.pushed.there,
        }
        for one in done
    ]


def pulled_text(done: Sequence[Pulled]) -> str:
    """Return what came, a line a snapshot and one for each file that was put back."""
    lines = []
    for one in done:
        lines.append(plain(f"{one.model} {one.name}: {_files(one.files)} verified, where builds find them"))
        lines += [f"  {plain(f'put back {path}')}" for path in one.restored]
    return "\n".join(lines) or "there is no snapshot to pull"


def pulled_data(done: Sequence[Pulled]) -> list[dict[str, Any]]:
    """Return what came."""
    return [
        {
            "model": one.model,
            "snapshot": one.name,
            "files": one.files,
            "restored": list(one.restored),
            "different": [str(problem.location) for problem in one.other],
        }
        for one in done
    ]


def status_text(found: Sequence[Found]) -> str:
    """Return where every snapshot is, and what to do about those that only this machine has."""
    if not found:
        return "there is no snapshot"
    rows = [
        (
            plain(one.model),
            plain(one.name) + (" *" if one.current else ""),
            one.where.files,
            bytes_text(one.where.size),
            "not asked" if one.where.source == "unasked" else one.where.source,
            "yes" if one.where.in_git else "no",
            "yes" if one.where.cached else "no",
            _stored(one.where),
        )
        for one in found
    ]
    lines = [table(("model", "snapshot", "files", "size", "source", "in git", "cached", "in the store"), rows)]
    if any(one.current for one in found):
        lines.append("* what the model is trained on")
    troubles = dict.fromkeys(one.where.trouble for one in found if one.where.trouble)
    lines += [f"the store could not be asked: {plain(trouble)}" for trouble in troubles]
    lines += [
        f"{plain(one.model)} {plain(one.name)} is neither in git nor in the store, so no clone can rebuild what was "
        f"trained on it unless its source stays as it is: modelops data push {plain(one.model)} {plain(one.name)}"
        for one in found
        if one.where.travels is False
    ]
    lines += [
        f"{plain(one.model)} {plain(one.name)} is in git as it was pinned: git checkout -- {plain(_several(one.lost))}"
        for one in found
        if one.lost
    ]
    return "\n".join(lines)


def _several(paths: Sequence[str]) -> str:
    """Return paths for a shell, a few of them: their folder may hold what is somebody's own work."""
    more = len(paths) - _SHOWN
    return shlex.join(paths[:_SHOWN]) + (f", and {more} more" if more > 0 else "")


def _stored(where: Whereabouts) -> str:
    if where.stored is None:
        return "not known"
    if where.stored == where.files:
        return "yes"
    return f"{where.stored} of {where.files}" if where.stored else "no"


def status_data(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Return where every snapshot is."""
    return [
        {
            "model": one.model,
            "snapshot": one.name,
            "current": one.current,
            "files": one.where.files,
            "bytes": one.where.size,
            "source": one.where.source,
            "inGit": one.where.in_git,
            "cached": one.where.cached,
            "inStore": one.where.stored,
            "travels": one.where.travels,
            **({"trouble": one.where.trouble} if one.where.trouble else {}),
        }
        for one in found
    ]


def bytes_text(size: int) -> str:
    """Return a number of bytes with the unit in which it is read most easily."""
    value, units = float(size), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
