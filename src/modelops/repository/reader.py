"""One `git cat-file` that answers as long as a repository is open: objects and names without a process for each."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO

from modelops.repository.process import Git

_COMMAND = ("cat-file", "--batch-command")
_PART = 4096
"""Bytes of questions on the way at once: any pipe holds them, so that neither side ever waits for the other to read."""
_TRIES = 2
_LIFE = 3600.0
"""Seconds after which a new process answers, so that packs which others have removed meanwhile are let go."""
_KEPT = 32 << 20
"""Bytes of small blobs that are kept; an id stands for the same bytes for ever."""
_SMALL = 1 << 16


@dataclass(frozen=True, slots=True)
class Found:
    """An object that is here; ``data`` is None unless it was asked for and is within the limit."""

    id: str
    type: str
    size: int
    data: bytes | None = None


class Reader:
    """The objects of one repository, those that other processes write while it is open included.

    The process begins with the first question. It sees ends of file when this process ends in whatever way; a forked
    child leaves it alone and begins its own.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._lock = threading.RLock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._asked = False
        """Whether answers may be on the way that belong to no later question."""
        self._began = 0.0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._large: dict[str, Found] = {}
        weakref.finalize(self, _end, self._running)
        _OPEN.add(self)

    def close(self) -> None:
        """End the process; the next question begins another one."""
        with self._lock:
            _end(self._running)

    def find(self, names: Iterable[str]) -> list[Found | None]:
        """Return what each name stands for now, None where it stands for nothing or for more than one object."""
        return self._ask([b"info " + os.fsencode(name) + b"\n" for name in names], None)

    def contents(self, ids: Iterable[str], limit: int) -> dict[str, Found | None]:
        """Return objects by id, None where one is not here; one over the limit comes without its data."""
        wanted = list(dict.fromkeys(ids))
        with self._lock:
            found: dict[str, Found | None] = {id: one for id in wanted if (one := self._known(id, limit)) is not None}
            asked = [id for id in wanted if id not in found]
            for id, one in zip(asked, self._fresh(asked, limit), strict=True):
                found[id] = one
                self._keep(one)
        return {id: found[id] for id in wanted}

    def _known(self, id: str, limit: int) -> Found | None:
        if id in self._kept:
            self._kept.move_to_end(id)
            return Found(id, "blob", len(self._kept[id]), self._kept[id])
        large = self._large.get(id)
        return large if large is not None and large.size > limit else None

    def _fresh(self, ids: Sequence[str], limit: int) -> list[Found | None]:
        requests = [b"contents " + id.encode() + b"\n" for id in ids]
        found = self._ask(requests, limit)
        if None in found and self._running:
            # Somebody may have changed where objects lie (an alternate, a new pack folder) since the process began.
            self.close()
            found = self._ask(requests, limit)
        return found

    def _keep(self, found: Found | None) -> None:
        if found is not None and found.data is None:
            self._large[found.id] = found
        if found is None or found.data is None or found.type != "blob" or found.size > _SMALL:
            return
        self._kept[found.id] = found.data
        self._size += found.size
        while self._size > _KEPT:
            self._size -= len(self._kept.popitem(last=False)[1])

    def _ask(self, requests: Sequence[bytes], limit: int | None) -> list[Found | None]:
        """Return the answers to requests; a process that died is replaced, and its failure told by one that ends."""
        answers: list[Found | None] = []
        with self._lock:
            for _ in range(_TRIES):
                with contextlib.suppress(EOFError, OSError):
                    while len(answers) < len(requests):
                        self._exchange(requests, answers, limit)
                    return answers
            rest = requests[len(answers) :]
            stream = io.BytesIO(self._git.checked(*_COMMAND, input=b"".join(rest)).output)
            for _ in rest:
                answers.append(_take(stream, limit))
                _skip(stream, answers[-1], limit)
        return answers

    def _exchange(self, requests: Sequence[bytes], answers: list[Found | None], limit: int | None) -> None:
        """Send one part of the requests that have no answer yet, and take the answers."""
        process = self._process()
        part, size = 0, 0
        for request in requests[len(answers) :]:
            if part and size + len(request) > _PART:
                break
            part, size = part + 1, size + len(request)
        # An exception of whatever kind, an interrupt too, leaves this set. A ``finally`` would not do: CPython 3.13
        # does not guard the jumps of a loop, and an interrupt that arrives there passes it by.
        self._asked = True
        _write(process.stdin, b"".join(requests[len(answers) : len(answers) + part]))
        for _ in range(part):
            answers.append(found := _take(process.stdout, limit))
            if found is not None and limit is not None and found.data is None:
                # What is too large is not read; the process that is about to send it is of no more use.
                return self.close()
        self._asked = False

    def _process(self) -> subprocess.Popen[bytes]:
        if self._asked or time.monotonic() - self._began > _LIFE:
            self.close()
        if not self._running:
            self._running.append(self._git.start(*_COMMAND))
            self._asked = False
            self._began = time.monotonic()
        return self._running[0]

    def _let_go(self) -> None:
        """Leave the parent's process to the parent, in a forked child: neither hold its pipes nor wait for it."""
        self._lock = threading.RLock()
        for process in self._running:
            nothing = os.open(os.devnull, os.O_RDWR)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    os.dup2(nothing, pipe.fileno(), inheritable=False)
            os.close(nothing)
            process.returncode = 0
            # Never closed: another thread of the parent may have held the lock of its buffer when this child began.
            _LEFT.append(process)
        self._running.clear()


_OPEN: weakref.WeakSet[Reader] = weakref.WeakSet()
_LEFT: list[subprocess.Popen[bytes]] = []


def _in_child() -> None:
    for reader in list(_OPEN):
        reader._let_go()


os.register_at_fork(after_in_child=_in_child)


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    while running:
        process = running.pop()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write(pipe: IO[bytes] | None, data: bytes) -> None:
    assert pipe is not None
    while data:
        data = data[os.write(pipe.fileno(), data) :]


def _take(stream: IO[bytes] | None, limit: int | None) -> Found | None:
    """Take one answer from the stream; with a limit, its contents follow the first line."""
    assert stream is not None
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    if line.endswith((b" missing\n", b" ambiguous\n")):
        return None
    id, type, *size = line.decode().split(" ")
    if not size:
        # A submodule: its commit lies in another repository.
        return None
    found = Found(id, type, int(size[0]))
    if limit is None or found.size > limit:
        return found
    data = stream.read(found.size + 1)
    if len(data) <= found.size:
        raise EOFError
    return Found(id, type, found.size, data[:-1])


def _skip(stream: IO[bytes], found: Found | None, limit: int | None) -> None:
    if found is not None and limit is not None and found.data is None:
        stream.seek(found.size + 1, io.SEEK_CUR)
