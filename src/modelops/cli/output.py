"""What every verb prints with: data to standard output as text or JSON, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

output_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the result."
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def note(message: str) -> None:
    """Say something that is not data."""
    click.echo(message, err=True)


def colored(text: str, color: str, *, bold: bool = False) -> str:
    """Colour a text for a terminal; NO_COLOR and non-terminals get it plain."""
    if os.environ.get("NO_COLOR") or (not sys.stdout.isatty() and not os.environ.get("FORCE_COLOR")):
        return text
    return click.style(text, fg=color, bold=bold)


def emit(output: str, data: Any, text: str | Callable[[], str]) -> None:
    """Print a result as JSON (sorted keys, one document) or as the text made for people."""
    if output == "json":
        click.echo(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, default=str))
        return
    rendered = text() if callable(text) else text
    if rendered:
        click.echo(rendered)


def save(path: Path, text: str) -> None:
    """Write a file that the caller named; a place that cannot be written is the caller's to change."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        from modelops.errors import Exit, failure

        message = f"{path} cannot be written: {error.strerror}"
        raise failure("unwritable", message, exit=Exit.WORLD, hint="choose another path") from None


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an aligned plain-text table without borders."""
    cells = [[str(header) for header in headers], *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def confirm(question: str, yes: bool) -> None:
    """Ask before a change; without a terminal and without --yes that is a usage error."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this changes something: pass --yes when no one can answer")
    click.confirm(question, abort=True, err=True)
