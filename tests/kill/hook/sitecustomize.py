"""Counts what a Python process does to the world, and may end its process group there.

On ``PYTHONPATH``. ``KILL_EVENTS`` names a file that gets one line per event; ``KILL_AT`` is the number of the event at
which SIGKILL goes to the whole group. Events: a process started, a rename, a removal, a folder made, a connection, a
database opened, a lock taken, a file opened for writing, and the time just before and just after each fsync.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

EVENTS = frozenset({
    "subprocess.Popen", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink",
    "socket.connect", "sqlite3.connect", "shutil.rmtree", "fcntl.flock", "fcntl.lockf",
})  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Counter:
    """Counts events, writes them down and kills at one of them."""

    def __init__(self, kill_at: int, log: str) -> None:
        self.kill_at = kill_at
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else None
        self.count = 0

    def hit(self, name: str, words: object) -> None:
        self.count += 1
        if self.log is not None:
            os.write(self.log, f"{name} {words!r}"[:300].replace("\n", " ").encode() + b"\n")
        if self.count == self.kill_at:
            os.killpg(os.getpgrp(), signal.SIGKILL)

    def audit(self, event: str, words: Sequence[Any]) -> None:
        """Count what changes the world, as an audit hook."""
        if event in EVENTS:
            self.hit(event, words)
        elif event == "open" and writes(*words[:3]):
            self.hit("open for writing", words[0])

    def watch_fsync(self) -> None:
        """Count the time before and after each fsync, which no audit event tells."""
        real = os.fsync

        def fsync(fd: int) -> None:
            self.hit("before fsync", fd)
            real(fd)
            self.hit("after fsync", fd)

        os.fsync = fsync


def writes(path: object, mode: object, flags: object) -> bool:
    """Tell whether a file of the world is opened for writing; caches of bytecode and devices do not count."""
    if not isinstance(path, str | bytes):
        return False
    if os.fsdecode(path).startswith("/dev/") or "__pycache__" in os.fsdecode(path):
        return False
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & WRITING)


if "KILL_AT" in os.environ or "KILL_EVENTS" in os.environ:
    counter = Counter(int(os.environ.get("KILL_AT", "0")), os.environ.get("KILL_EVENTS", ""))
    counter.watch_fsync()
    sys.addaudithook(counter.audit)
