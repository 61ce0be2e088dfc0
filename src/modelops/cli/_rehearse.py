"""`modelops rollout rehearse`: let a release answer what was logged of late, offline, before anybody meets it."""

from __future__ import annotations

import click

from modelops.cli._names import environments, models, releases
from modelops.cli.output import emit, note, output_option


@click.command("rehearse")
@click.argument("model", shell_complete=models)
@click.argument("number", metavar="RELEASE", type=click.IntRange(min=1), shell_complete=releases)
@click.argument("environment", required=False, shell_complete=environments)
@click.option("--days", type=click.FloatRange(0, min_open=True), default=7.0, show_default=True, help="How far back.")
@click.option(
    "--rows", type=click.IntRange(min=100), default=20_000, show_default=True, help="Draw so many answers of more."
)
@click.option("--log", "exported", metavar="DIRECTORY", help="Read what `audit export ENVIRONMENT DIRECTORY` wrote.")
@output_option
def command(
    model: str, number: int, environment: str | None, days: float, rows: int, exported: str | None, output: str
) -> int:
    """Answer the logged traffic of the last days with a RELEASE of MODEL, and compare with what was answered.

    Nothing is deployed and nothing is sent. Without an ENVIRONMENT it is the last one that logged anything. Exit code
    1: there is no log to rehearse on, or the release can answer nothing of it.
    """
    from modelops.governance.judged import known
    from modelops.logs.exported import whole
    from modelops.project.workspace import open_workspace
    from modelops.rollouts.rehearsing import rehearse
    from modelops.views.trials import rehearsal as view

    log = whole(exported) if exported is not None else None
    workspace = open_workspace()
    _, graph = known(workspace)
    found = rehearse(workspace, graph, model, number, environment, days=days, most=rows, log=log, say=note)
    emit(output, view.data(found), lambda: view.text(found))
    return 0 if found.answered else 1
