"""`modelops reproduce`: rebuild a release and compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelops.cli._names import models, releases
from modelops.cli._working import doing, working
from modelops.cli.output import emit, output_option, tell_fence
from modelops.errors import Exit

if TYPE_CHECKING:
    from modelops.changes.reproduction import Level


@click.command("reproduce")
@click.argument("model", shell_complete=models)
@click.argument("number", type=click.IntRange(min=1), shell_complete=releases)
@click.option(
    "--level",
    type=click.Choice(["bytes", "parameters", "predictions", "metrics"]),
    default="predictions",
    show_default=True,
    help="How like the rebuild has to be for exit code 0, from the strictest on.",
)
@output_option
@working("putting data and code of the release in place")
def command(model: str, number: int, level: Level, output: str) -> int:
    """Rebuild release NUMBER of MODEL from git in a clean process, and say how like it is and which inputs differ."""
    from modelops.changes.reproduction import reproduce
    from modelops.project.workspace import open_workspace
    from modelops.views import reproduction as view

    found = reproduce(open_workspace(heard=tell_fence(), doing=doing), model, number)
    emit(output, view.data(found), lambda: view.text(found))
    return Exit.OK if found.reaches(level) else Exit.NO
