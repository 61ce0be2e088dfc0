"""What texts for a terminal share: colour where there is a terminal, and tables that line up."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

import click


def colored(text: str, color: str, *, bold: bool = False) -> str:
    """Colour a text for a terminal; NO_COLOR and non-terminals get it plain."""
    if os.environ.get("NO_COLOR") or (not sys.stdout.isatty() and not os.environ.get("FORCE_COLOR")):
        return text
    return click.style(text, fg=color, bold=bold)


def uncolored(text: str) -> str:
    """Return a text of a view as it is written to a file, whatever the terminal shows."""
    return click.unstyle(text)


_LEAST = 12
"""Characters below which a column is made no narrower."""


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an aligned plain-text table without borders, on a terminal one that fits its width.

    What is too long there goes on below, in its own column; what is written to a file or a pipe has one line a row.
    """
    cells = [[str(header) for header in headers], *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    room = _room()
    if room is not None:
        widths = _fitted(widths, room)
    return "\n".join(line for row in cells for line in _lines(row, widths))


def _room() -> int | None:
    """Return how many characters a line of the terminal has, None where nothing is."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    # Slow to import, and most of what is printed is read by programs.
    import shutil

    return shutil.get_terminal_size().columns


def _fitted(widths: Sequence[int], room: int) -> list[int]:
    """Return widths that fit a room, the widest made narrower first; as they were where nothing helps."""
    found, gaps = list(widths), 2 * (len(widths) - 1)
    while sum(found) + gaps > room:
        widest = max(range(len(found)), key=found.__getitem__)
        if found[widest] <= _LEAST:
            return list(widths)
        found[widest] -= 1
    return found


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield a row of a table as as many lines as its longest cell needs."""
    if all(len(cell) <= width for cell, width in zip(row, widths, strict=True)):
        parts = [[cell] for cell in row]
    else:
        import textwrap

        parts = [
            [cell] if len(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False)
            for cell, width in zip(row, widths, strict=True)
        ]
    for cells in zip_longest(*parts, fillvalue=""):
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
