"""What every verb prints with: data to standard output as text or JSON, everything else to standard error."""

from __future__ import annotations

import codecs
import gc
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelops.cli._working import aside, over
from modelops.markup import escaped_in_json, plain, shown

if TYPE_CHECKING:
    from modelops.fence import Held

output_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the result."
)
REPORTS = (".html", ".md", ".json")
"""The forms of a report, by the ending of its file."""
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def speak_anywhere() -> None:
    """Let nothing that is printed fail on the encoding of the terminal: what it has no letter for is escaped.

    ASCII is what a container says that was told nothing, so it gets UTF-8. Names of files that are no text are printed
    as the bytes that they are.
    """
    codecs.register_error("modelops", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            known = codecs.lookup(stream.encoding).name
            stream.reconfigure(encoding="utf-8" if known == "ascii" else known, errors="modelops")


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    parts = [
        bytes([ord(each) - 0xDC00]) if 0xDC80 <= ord(each) <= 0xDCFF else each.encode("ascii", "backslashreplace")
        for each in error.object[error.start : error.end]
    ]
    return b"".join(parts), error.end


def _ascii_only() -> bool:
    """Tell whether JSON has to spell other letters by its own escapes, so that it is still JSON."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name != "utf-8"


@contextmanager
def in_haste() -> Iterator[None]:
    """Spare a short run two costs: walks of the cycle collector, and pydantic's search for plugins of its own.

    The collector finds nothing here (what is checked is freed by its counts), and the search opens the metadata of
    every installed distribution.
    """
    enabled = gc.isenabled()
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def note(message: str) -> None:
    """Say something that is not data; what foreign words are in it steer neither terminal nor runner."""
    with aside():
        click.echo(shown(message), err=True)


def say(message: str) -> None:
    """Say in one line what is being done; values of files and callers steer no terminal."""
    note(plain(message))


def tell_fence() -> Callable[[Held], None]:
    """Return what says once what the fence around the repository's code did not keep, if anything."""
    said: set[str] = set()

    def tell(held: Held) -> None:
        from modelops.views.proofs.fence import weak

        text = weak(held)
        if text is not None and text not in said:
            said.add(text)
            note(f"warning: {text}")

    return tell


def as_json(data: Any, *, ascii_only: bool = False) -> str:
    """Return a result as one document of JSON, keys sorted, no character in it that is not seen."""
    return escaped_in_json(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=ascii_only, default=str))


def emit(output: str, data: Any, text: str | Callable[[], str]) -> None:
    """Print a result as JSON (sorted keys, one document) or as the text made for people."""
    over()
    if output == "json":
        click.echo(as_json(data, ascii_only=_ascii_only()))
        return
    rendered = text() if callable(text) else text
    if rendered:
        click.echo(rendered)


def save(path: Path, text: str) -> None:
    """Write a file that the caller named, whole or not at all; one that cannot be written is the caller's to change.

    A link is followed, and what is no file, such as a pipe, is written to.
    """
    from modelops.errors import Exit, failure
    from modelops.files import replacing, sweep

    data = text.encode("utf-8", "backslashreplace")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        there = path.resolve()
        with replacing(there.parent, there.name) as (file, commit):
            file.write(data)
            commit(there)
        sweep(there.parent, there.name)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise failure("unwritable", message, exit=Exit.WORLD, hint="choose another path") from None


def report_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a report that could not be written before anything is done for it; its ending says in which form."""
    if value is None:
        return None
    if value.suffix.lower() not in REPORTS:
        ending = f"ends in {value.suffix}" if value.suffix else "has no ending"
        raise click.BadParameter(
            f"{value} {ending}; a report is {', '.join(REPORTS[:-1])} or {REPORTS[-1]}", ctx, param
        )
    if not value.parent.is_dir():
        raise click.BadParameter(f"{value.parent} is not a folder", ctx, param)
    return value


report_option = click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=report_file,
    help="Write a report, by the ending of FILE: .html as one page that needs nothing else, .md or .json.",
)


def confirm(question: str, yes: bool) -> None:
    """Ask before a change; without a terminal and without --yes that is a usage error."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this changes something: pass --yes when no one can answer")
    with aside():
        click.confirm(question, abort=True, err=True)
