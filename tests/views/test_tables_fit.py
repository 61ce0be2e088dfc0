"""A table on a terminal fits its width and loses nothing; anywhere else a row is a line."""

from __future__ import annotations

import sys

import pytest

from modelops.views.terminal import table

ROWS = [
    ("fraud-detection", "3", "sha256:" + "ab" * 32, "amount drifted: PSI 1.545 is above 0.25 and above chance (0.054)"),
    ("churn", "12", "-", "in sync"),
]
HEADERS = ("MODEL", "RELEASE", "ARTIFACT", "MESSAGE")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let standard output be a terminal."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    return monkeypatch


@pytest.mark.parametrize("width", [60, 80, 100, 500])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(width: int, terminal: pytest.MonkeyPatch) -> None:
    """Long cells go on below in their own column; the letters of each column are those of its cells."""
    terminal.setenv("COLUMNS", "500")
    whole = table(HEADERS, ROWS)
    terminal.setenv("COLUMNS", str(width))
    lines = table(HEADERS, ROWS).split("\n")
    assert max(map(len, lines)) <= width
    starts = [lines[0].index(header) for header in HEADERS]
    ends = [*starts[1:], None]
    for column, (start, end) in enumerate(zip(starts, ends, strict=True)):
        told = "".join(line[start:end] for line in lines).replace(" ", "")
        assert told == "".join(row[column] for row in (HEADERS, *ROWS)).replace(" ", "")
    assert ("\n".join(lines) == whole) == (width == 500)


def test_a_pipe_gets_a_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """However narrow the terminal is that a program was started in."""
    monkeypatch.setenv("COLUMNS", "40")
    assert len(table(HEADERS, ROWS).split("\n")) == 3


def test_what_no_wrapping_helps_is_left_as_it_is(terminal: pytest.MonkeyPatch) -> None:
    """Columns that are narrow already are not made unreadable."""
    terminal.setenv("COLUMNS", "20")
    assert len(table(("A" * 10, "B" * 10, "C" * 10), [("1", "2", "3")]).split("\n")) == 2
