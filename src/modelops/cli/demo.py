"""`modelops demo`: the whole story on one machine, offline, in logical time."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from modelops.errors import Exit, failure


@click.command("demo")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave the repository in this folder to look around in.",
)
def command(keep: Path | None) -> int:
    """Tell the whole story: propose, approve, release, deploy, drift, retrain, canary, rollback, audit."""
    from modelops.demo.story import tell

    if keep is None:
        with tempfile.TemporaryDirectory(prefix="modelops-demo-") as folder:
            return tell(Path(folder), _run, kept=False)
    try:
        if keep.exists() and any(keep.iterdir()):
            raise failure("folder-not-empty", f"{keep} is not empty", exit=Exit.USAGE, hint="name a new folder")
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = f"{keep} cannot be made: {error.strerror}"
        raise failure("unwritable", said, exit=Exit.WORLD, hint="name another folder") from None
    return tell(keep.resolve(), _run, kept=True)


def _run(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a verb as the command line does; only the start of another Python is saved."""
    from modelops.cli import main

    output, errors = io.StringIO(), io.StringIO()
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            main(words)
    except SystemExit as end:
        return int(end.code or 0), output.getvalue(), errors.getvalue()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return 0, output.getvalue(), errors.getvalue()
