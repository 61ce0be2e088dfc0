"""On a terminal one line says what is being done and for how long; anywhere else nothing is written for it."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from modelops.cli import _working
from modelops.cli._working import doing, working
from modelops.cli.output import emit, note
from views.loop_answers import HOSTILE
from waiting import wait_for

ERASE = "\r\x1b[2K"


class Terminal:
    """A terminal of 80 columns that standard error leads to, and everything that was ever written to it."""

    def __init__(self) -> None:
        self.mine, theirs = pty.openpty()
        os.set_blocking(self.mine, False)
        self.stream = os.fdopen(theirs, "w", encoding="utf-8")
        self.seen = ""

    def has(self, text: str) -> bool:
        with suppress(BlockingIOError):
            self.seen += os.read(self.mine, 1 << 16).decode()
        return text in self.seen

    @contextmanager
    def as_stderr(self) -> Iterator[None]:
        # pytest sets its own between a fixture and its test.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", self.stream)
            yield

    def close(self) -> None:
        self.stream.close()
        os.close(self.mine)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Return a terminal on which everything is worth a word at once."""
    made = Terminal()
    monkeypatch.setattr(_working, "_AFTER", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    yield made
    made.close()


def test_a_terminal_is_told_what_is_being_done(terminal: Terminal) -> None:
    """The line follows the work, makes room for what is said for good, and is gone when the work is over."""
    with terminal.as_stderr(), working("reading rows"):
        wait_for(lambda: terminal.has("reading rows 0 s"))
        doing(f"training {HOSTILE}")
        wait_for(lambda: terminal.has("training "))
        note("released churn 1")
        wait_for(lambda: terminal.has(f"{ERASE}released churn 1\r\n"))
        shown = len(terminal.seen)
        wait_for(lambda: terminal.has("training ") and len(terminal.seen) > shown)
    wait_for(lambda: terminal.has("") and terminal.seen.endswith(ERASE))
    assert "\x1b[2J" not in terminal.seen
    assert "\u202e" not in terminal.seen


def test_a_result_ends_it(terminal: Terminal) -> None:
    """Once the result is printed, the line does not come back over it."""
    with terminal.as_stderr(), working("reading rows"):
        wait_for(lambda: terminal.has("reading rows"))
        emit("text", {}, "the answer")
        assert _working._line is None


def test_a_long_word_fits_the_width(terminal: Terminal) -> None:
    """What is longer than the terminal is cut, as a line that wraps could not be taken away again."""
    with terminal.as_stderr(), working("x" * 300):
        wait_for(lambda: terminal.has("… 0 s"))
    assert max(len(each) for each in terminal.seen.split(ERASE)) == 79


def test_nothing_is_written_where_nobody_looks(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, a file and a dumb terminal get what they got before, and no thread is started."""
    piped = io.StringIO()
    monkeypatch.setattr(sys, "stderr", piped)
    with working("reading rows"):
        assert _working._line is None
    assert piped.getvalue() == ""
    monkeypatch.setenv("TERM", "dumb")
    with terminal.as_stderr(), working("reading rows"):
        doing("training")
        assert _working._line is None
    assert terminal.seen == ""
