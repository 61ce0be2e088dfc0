"""The guard: a process of ours without a secret that starts code of the repository behind the fence and sees it end.

Where namespaces can be had, a process of two lines enters them and an init of two lines adopts what is started there;
when that init ends, the kernel ends all others of it. Elsewhere the guard itself adopts every orphan and ends them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from modelops.errors import Exit, failure
from modelops.fence.bounds import Bounds
from modelops.fence.closing import become_stranger, close
from modelops.fence.held import Held, missing
from modelops.fence.kernel import LINUX, PR_SET_CHILD_SUBREAPER, parent_death_signal, prctl
from modelops.fence.namespaces import enter, new_root
from modelops.fence.roots import roots, wanted
from modelops.fence.written import entries

__all__ = ["Running", "die_with", "start"]

_STRANGERS = 0x6D6F0000
"""User ids from here on belong to nobody; each run takes its own, so that two runs are strangers to each other."""

_NOBODY = 65534
_PATIENCE = 10.0


@dataclass
class Running:
    """Code that runs behind the fence, as its guard sees it."""

    pid: int
    init: int | None
    held: Held
    folder: Path
    status: int | None = None

    def poll(self) -> int | None:
        """Return the wait status once the code has ended and nothing of it is left, else None."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid and os.WIFSTOPPED(status):
                # It asked its guard to trace it, which nobody does who has work to do.
                self.end()
            elif pid:
                self.status = status
                self._clear()
        return self.status

    def wait(self, deadline: float) -> int | None:
        """Wait for the end until a time of ``time.monotonic``; None after everything was ended at the deadline."""
        pause = 0.002
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.end()
                return None
            time.sleep(pause)
            pause = min(0.05, pause * 1.5)
        return self.status

    def end(self) -> None:
        """End the code and whatever it started."""
        for pid in (self.init, self.pid):
            if pid is not None and self.status is None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)
        self._clear()

    def _clear(self) -> None:
        if not LINUX:
            # Nobody adopts orphans here: what stayed in the session of the code ends, and what left it is out of reach.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        end_descendants()
        if self.held.user is not None:
            # What is nested too deep for a path stays whose it is; nobody reads it.
            with suppress(OSError):
                own(self.folder, os.geteuid(), os.getegid())


def die_with(parent: int) -> None:
    """End this guard, and all that it guards, when the process that started it ends.

    ``parent`` is its process id; when that ended before it could be asked for, the guard ends now.
    """

    def ended(number: int, frame: object) -> NoReturn:
        end_descendants()
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, ended)
    parent_death_signal(signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def start(bounds: Bounds) -> Running | None:
    """Fork, and return None behind the fence; the guard gets what runs there, with what holds.

    The strongest fence that the machine offers is closed; each that it refuses is said in ``held.why``. Promises that
    the terms demand and that do not hold raise ``fence-too-weak`` before a line of the repository's code has run.
    """
    if LINUX:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    sys.stdout.flush()
    sys.stderr.flush()
    why: tuple[tuple[str, str], ...] = ()
    for namespaces, user in _ways(bounds):
        if user is not None:
            try:
                own(bounds.inside, user, user)
            except OSError as error:
                why = (*why, ("stranger", f"{error.strerror}: {error.filename}"))
                continue
        report, told = os.pipe()
        heard, go = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(report)
            os.close(go)
            _inside(bounds, Held(why=why), namespaces, user, told, heard)
            return None
        os.close(told)
        os.close(heard)
        running = _started(bounds, pid, report, go)
        if isinstance(running, Running):
            return running
        means, said = running
        why = (*why, (means, said)) if means not in dict(why) else why
        if user is not None:
            own(bounds.inside, os.geteuid(), os.getegid())
    raise failure("fence-failed", f"the process that was to be fenced ended before it began: {why}", exit=Exit.WORLD)


def _ways(bounds: Bounds) -> Iterator[tuple[bool, int | None]]:
    """Yield the fences to try, the strongest first: with namespaces or not, as a stranger or as oneself."""
    strangers: list[int | None] = [None]
    if LINUX and os.geteuid() == 0 and bounds.offers("stranger"):
        strangers = [_STRANGERS + os.getpid() % 0x10000, _NOBODY, None]
    for namespaces in (True, False) if LINUX and bounds.offers("namespaces") else (False,):
        for user in strangers:
            yield namespaces, user


def _started(bounds: Bounds, pid: int, report: int, go: int) -> Running | tuple[str, str]:
    """Hear what a fork made of itself; let it go, or return which means failed it and why."""
    with os.fdopen(report) as lines:
        said = [json.loads(line) for line in lines]
    facts: dict[str, object] = {}
    for line in said:
        facts |= line
    if "held" not in facts:
        os.close(go)
        os.waitpid(pid, 0)
        end_descendants()
        return str(facts.get("means", "start")), str(facts.get("failed", "it ended without a word"))
    held = Held.parse(facts["held"])  # type: ignore[arg-type]
    init = facts.get("init")
    running = Running(pid, init if isinstance(init, int) else None, held, bounds.inside)
    lacking = missing(held, bounds.terms.require)
    if lacking:
        os.close(go)
        running.end()
        raise _too_weak(lacking, held)
    os.write(go, b"go")
    os.close(go)
    return running


def _too_weak(lacking: tuple[str, ...], held: Held) -> Exception:
    reasons = "; ".join(f"{means}: {text}" for means, text in held.why) or "this system is not Linux"
    return failure(
        "fence-too-weak",
        f"the project requires a fence that keeps {', '.join(lacking)}, and this machine offers none ({reasons})",
        exit=Exit.WORLD,
        dotted="spec.fence.require",
        hint="`modelops doctor` says what holds here and what to do; build on another machine",
    )


def _inside(bounds: Bounds, held: Held, namespaces: bool, user: int | None, told: int, heard: int) -> None:
    """Enter, close, tell what held and wait for the word; returns in the process that is to run the code."""
    guard = os.getppid()
    parent_death_signal(signal.SIGKILL)
    if os.getppid() != guard:
        os._exit(1)
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    means = "namespaces" if namespaces else "stranger"
    try:
        folder = Path(os.path.realpath(bounds.folder))
        read, named = roots(folder), wanted(folder)
        if namespaces:
            held = _entered(bounds, replace(held, namespaces=True), told, heard)
            held = replace(held, own_proc=new_root(read, named, str(folder), shared=bounds.programs))
            _adopt(told, heard)
        means = "stranger"
        if user is not None:
            become_stranger(user, (sys.executable, os.__file__, __file__, str(folder)))
            held = replace(held, user=user)
        parent_death_signal(signal.SIGKILL)
        means = "limits"
        held = close(bounds, read, held)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _tell(told, {"means": means, "failed": f"{error.strerror or error}{where}"})
        os._exit(1)
    _tell(told, {"held": held.dump()})
    os.close(told)
    if os.read(heard, 2) != b"go":
        os._exit(1)
    os.closerange(3, 1 << 16)


def _tell(pipe: int, facts: dict[str, object]) -> None:
    os.write(pipe, json.dumps(facts).encode() + b"\n")


def _entered(bounds: Bounds, held: Held, told: int, heard: int) -> Held:
    """Enter namespaces, and return in the first process there; this one waits for it and ends as the code ended."""
    enter(network=bounds.network)
    ended, status = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(ended)
        parent_death_signal(signal.SIGKILL)
        _STATUS.append(status)
        return held
    _tell(told, {"init": first})
    for descriptor in (told, heard, status):
        os.close(descriptor)
    os.waitpid(first, 0)
    _end_as(int(os.read(ended, 16) or b"9"))


_STATUS: list[int] = []
"""Where the first process of a namespace says how the code ended."""


def _adopt(told: int, heard: int) -> None:
    """Return in a child; this first process of the namespace buries what ends there, and ends with the code."""
    status = _STATUS.pop()
    child = os.fork()
    if child == 0:
        os.close(status)
        return
    os.close(told)
    os.close(heard)
    while True:
        pid, how = os.wait()
        if pid == child:
            os.write(status, str(how).encode())
            os._exit(0)


def _end_as(status: int) -> NoReturn:
    """End this process in the way that another one ended."""
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL) if os.WTERMSIG(status) != signal.SIGKILL else None
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def own(folder: Path, user: int, group: int) -> None:
    """Give a folder and all in it to a user; what has a second name elsewhere stays whose it is."""
    os.chown(folder, user, group, follow_symlinks=False)
    for entry in entries(folder):
        if entry.is_dir(follow_symlinks=False) or entry.stat(follow_symlinks=False).st_nlink == 1:
            os.chown(entry.path, user, group, follow_symlinks=False)


def end_descendants() -> None:
    """End every process that descends from this one, orphans included, until none is left."""
    deadline = time.monotonic() + _PATIENCE
    while (left := _descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.001)


def _descendants(top: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat") if LINUX else ():
        with suppress(OSError, ValueError):
            words = place.read_text(errors="replace").rpartition(")")[2].split()
            children.setdefault(int(words[1]), []).append(int(place.parent.name))
    found: list[int] = []
    waiting = [top]
    while waiting:
        waiting = [pid for parent in waiting for pid in children.get(parent, ())]
        found += waiting
    return found
