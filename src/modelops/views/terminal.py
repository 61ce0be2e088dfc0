"""What texts for a terminal share: colour where there is a terminal, and tables that line up."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

import click


def colored(text: str, color: str, *, bold: bool = False) -> str:
    """Colour a text for a terminal; NO_COLOR and non-terminals get it plain."""
    if os.environ.get("NO_COLOR") or (not sys.stdout.isatty() and not os.environ.get("FORCE_COLOR")):
        return text
    return click.style(text, fg=color, bold=bold)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an aligned plain-text table without borders."""
    cells = [[str(header) for header in headers], *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
