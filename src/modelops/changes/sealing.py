"""Sealing the prediction log: what the loop signs of it, and what it remembers of that where no server writes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from modelops.audit import Dropped, KnownLog
from modelops.audit.seals import Seals, read_seals, remembered, sealed_line, seals_ref
from modelops.clock import format_instant, parse_instant
from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.evidence import Keyring
from modelops.files import write_atomically
from modelops.logs import Log, RuntimeLog
from modelops.predictions import Examined, Flaw, Mark
from modelops.predictions.carried import seals_beside
from modelops.project.state import seals_in
from modelops.project.target import target_of
from modelops.project.workspace import MACHINE, Workspace
from modelops.repository import Swap
from modelops.spec.graph import Graph

__all__ = [
    "SEAL_EVERY",
    "Sealed",
    "export_log",
    "known_log",
    "seal_before_dropping",
    "seal_log",
    "seal_when_due",
]

SEAL_EVERY = timedelta(hours=1)
"""How often a pass looks whether the log has more than was sealed; what is younger is chained only."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Sealed:
    """How many seals there are now, which parts the new one is about, and the parts that it leaves out as flawed."""

    number: int
    parts: tuple[str, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    untold: ModelOpsError | None = None


def log_name(workspace: Workspace) -> str:
    """Return what tells the logs of this clone on this machine from those of all others."""
    return hashlib.sha256(f"{platform.node()}:{workspace.state.resolve()}".encode()).hexdigest()[:12]


def _keys(workspace: Workspace) -> Keyring | tuple[Problem, ...]:
    """Return the keys that count for seals, which lie in no commit, or why there are none."""
    try:
        return workspace.trust(workspace.tip()).keyring.whenever()
    except ModelOpsError as error:
        return error.problems


def known_log(workspace: Workspace, environment: str, log: Log, path: Path | None = None) -> KnownLog:
    """Return a log with its seals, from a file or from where this clone keeps them, and what is remembered of them."""
    path = path if path is not None and path.is_file() else seals_in(workspace.state, environment)
    seals = read_seals(path.read_bytes() if path.is_file() else None, _keys(workspace), str(path))
    known = remembered(workspace.repository, environment, seals.log or log_name(workspace))
    return KnownLog(environment, log, seals, known)


def export_log(workspace: Workspace, name: str, log: RuntimeLog, directory: Path, until: datetime) -> tuple[Path, ...]:
    """Export the whole days of a log before an instant, and its seals, by which the rows can be held to the log."""
    written = log.export(directory, until)
    seals = seals_in(workspace.state, name)
    if seals.is_file() and directory.is_dir():
        write_atomically(seals_beside(directory), seals.read_bytes())
    return written


def seal_when_due(workspace: Workspace, graph: Graph, name: str) -> tuple[Problem, ...]:
    """Seal the log of an environment if nobody has looked for an hour; return what is wrong."""
    looked = seals_in(workspace.state, name).with_suffix(".looked")
    now = workspace.clock()
    with suppress(OSError, ModelOpsError):
        if timedelta(0) <= now - parse_instant(looked.read_text(encoding="utf-8")) < SEAL_EVERY:
            return ()
    try:
        sealed = seal_log(workspace, graph, name)
        write_atomically(looked, format_instant(now).encode())
    except ModelOpsError as error:
        return error.problems
    wrong = sorted({flaw.segment for flaw in sealed.flaws})
    flawed = [
        Problem(
            "log-flawed",
            f"the prediction log of {name} was meddled with, and is not sealed where it was: {', '.join(wrong)}",
            hint=f"modelops audit log {name} says what is wrong",
        )
    ]
    return (*(flawed if wrong else ()), *(sealed.untold.problems if sealed.untold is not None else ()))


def seal_before_dropping(workspace: Workspace, graph: Graph, name: str, names: Sequence[str], kept_days: float) -> None:
    """Sign what is about to be dropped by rule, so that it is told apart from what somebody removed."""
    if names:
        seal_log(workspace, graph, name, dropping=names, kept_days=kept_days)


def seal_log(
    workspace: Workspace, graph: Graph, name: str, *, dropping: Sequence[str] = (), kept_days: float = 0.0
) -> Sealed:
    """Sign how far the chains of an environment's log are, if they are further than the last seal says.

    A part that is flawed keeps the seal that it has. ``dropping`` are parts that are about to be dropped by a rule of
    ``kept_days``. What was sealed is remembered in the repository; where that fails, the next time makes up for it.
    """
    log = target_of(workspace, graph, name).log()
    path = seals_in(workspace.state, name)
    with _alone(path):
        data = path.read_bytes() if path.is_file() else None
        seals = _sound(workspace, name, data, path)
        found = log.grown(seals.marks)
        marks = [each.mark for each in found if each.mark is not None and not each.flaws]
        flaws = tuple(flaw for each in found for flaw in each.flaws)
        at = format_instant(workspace.clock())
        dropped = _dropped(log, seals, marks, [each for each in dropping if each not in seals.dropped], kept_days, at)
        if not marks and not dropped:
            return Sealed(seals.number, (), flaws)
        line, digest = sealed_line(seals, log_name(workspace), name, marks, dropped, at, workspace.signer)
        write_atomically(path, (data or b"") + line)
    number = seals.number + 1
    parts = tuple(mark.name for mark in marks)
    try:
        _remember(workspace, name, seals.log or log_name(workspace), number, digest, at)
    except ModelOpsError as error:
        return Sealed(number, parts, flaws, error)
    return Sealed(number, parts, flaws)


def _sound(workspace: Workspace, name: str, data: bytes | None, path: Path) -> Seals:
    """Return what was sealed so far; what is not believed is not built on."""
    where = Location(str(path))
    seals = read_seals(data, _keys(workspace), str(path))
    if seals.trust.status == "refused":
        reasons = "; ".join(seals.trust.problems)
        raise failure(
            "seals-broken", f"the seals of the prediction log of {name} do not hold: {reasons}", location=where
        )
    known = remembered(workspace.repository, name, seals.log or log_name(workspace))
    if known is not None and known.contradicts(seals):
        raise failure(
            "seals-broken",
            f"{known.number} seals of the prediction log of {name} are remembered, and the {seals.number} here are not "
            "those",
            exit=Exit.NO,
            location=where,
            hint="bring the file back that was here",
        )
    return seals


def _dropped(
    log: RuntimeLog, seals: Seals, marks: Sequence[Mark], names: Sequence[str], kept_days: float, at: str
) -> list[Dropped]:
    known = {**seals.marks, **{mark.name: mark for mark in marks}}
    unknown: dict[str, Examined] = {}
    if any(name not in known for name in names):
        unknown = {each.name: each for each in log.examine({})}
    dropped = []
    for name in names:
        mark = known.get(name)
        if mark is not None:
            dropped.append(Dropped(name, mark.answers, mark.links[0], mark.first, mark.last, kept_days, at))
        else:
            # Not chained, or flawed: that it was there is all that can be said.
            rows = unknown[name].rows if name in unknown else 0
            dropped.append(Dropped(name, rows, "", None, None, kept_days, at))
    return dropped


def _remember(workspace: Workspace, name: str, log: str, number: int, digest: str, at: str) -> None:
    """Put the hash of the newest seal where nobody who writes the log can, beside those of other machines."""
    repository, ref = workspace.repository, seals_ref(name)
    seal = json.dumps({"number": number, "digest": digest, "sealedAt": at}, sort_keys=True).encode() + b"\n"
    for _ in range(_TRIES):
        base = repository.find_ref(ref)
        message = f"Remember seal {number} of the log of {name}"
        commit = repository.commit_files(base, {f"{log}.json": seal}, message, MACHINE, workspace.clock())
        if commit == base or repository.swap(Swap(ref, base, commit), message=message):
            return
        repository.fetch()
    raise failure(
        "push-rejected",
        f"{ref} moved again and again",
        exit=Exit.WORLD,
        retryable=True,
        hint="the next pass tries again",
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time add to the seals of a log."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as error:
        message = f"{path.parent} cannot be written: {error.strerror}"
        raise failure("seals-unwritable", message, exit=Exit.WORLD, retryable=True) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
