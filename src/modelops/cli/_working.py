"""One line on a terminal that says what is being done and for how long, while nothing else is said."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from modelops.markup import plain

__all__ = ["aside", "doing", "over", "working"]

_AFTER, _EVERY = 1.0, 0.2
"""Seconds until the line is shown at all, and between its changes."""
_ERASE = "\r\x1b[2K"


class _Line:
    """The line, and the thread that keeps it; every write is under the lock, so that nothing is torn."""

    def __init__(self, stream: TextIO, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.RLock()
        self.text = what
        self._stream = stream
        self._clock = clock
        self._began = clock()
        self._shown = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _keep(self) -> None:
        while not self._over.wait(_EVERY):
            self.draw()

    def draw(self) -> None:
        """Show the line as it is now, once the work has taken long enough to be worth a word."""
        seconds = self._clock() - self._began
        with self.lock:
            if seconds < _AFTER or self._over.is_set():
                return
            # Slow to import, and most verbs are over before it is needed.
            import shutil

            took = f" {seconds:.0f} s"
            room = max(8, shutil.get_terminal_size().columns - 1 - len(took))
            text = plain(self.text)
            said = text if len(text) <= room else text[: room - 1] + "…"
            self._stream.write(f"{_ERASE}{said}{took}")
            self._stream.flush()
            self._shown = True

    def erase(self) -> None:
        with self.lock:
            if self._shown:
                self._stream.write(_ERASE)
                self._stream.flush()
                self._shown = False

    def end(self) -> None:
        self._over.set()
        self.erase()


_line: _Line | None = None


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal ``what`` is being done, from a second on; where nobody looks, nothing is written."""
    global _line
    if _line is not None or sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    _line = _Line(sys.stderr, what)
    _line.start()
    try:
        yield
    finally:
        over()


def doing(what: str) -> None:
    """Let the line say what is being done now."""
    line = _line
    if line is not None:
        line.text = what


def over() -> None:
    """Take the line away for good: what follows is the result."""
    global _line
    if _line is not None:
        _line.end()
        _line = None


@contextmanager
def aside() -> Iterator[None]:
    """Keep the line away while something else is written, or somebody is asked."""
    line = _line
    if line is None:
        yield
        return
    with line.lock:
        line.erase()
        yield
