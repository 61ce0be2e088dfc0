"""`modelops demo`: the whole story on one machine, offline, in logical time."""

from __future__ import annotations

import tempfile
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
    from modelops.cli._story import tell

    if keep is None:
        with tempfile.TemporaryDirectory(prefix="modelops-demo-") as folder:
            return tell(Path(folder), kept=False)
    if keep.exists() and any(keep.iterdir()):
        raise failure("folder-not-empty", f"{keep} is not empty", exit=Exit.USAGE, hint="name a new folder")
    keep.mkdir(parents=True, exist_ok=True)
    return tell(keep.resolve(), kept=True)
