"""`modelops monitor`: score recent traffic and act on it."""

from __future__ import annotations

import click

from modelops.cli.output import confirm, emit, output_option, yes_option
from modelops.errors import Exit


@click.command("monitor")
@click.argument("environment")
@click.option("--model", help="Only this model.")
@yes_option
@output_option
def command(environment: str, model: str | None, yes: bool, output: str) -> int:
    """Score the recent traffic of ENVIRONMENT and open a retraining pull request when it is due.

    Exits with 1 when drift or a fallen metric was found, and when traffic is missing that should be there.
    """
    from modelops.changes.alerting import tell_of_windows
    from modelops.changes.retraining import watch_environment
    from modelops.cli import show_problems
    from modelops.project.workspace import open_workspace
    from modelops.views import monitor as view
    from modelops.views.proposals import retraining

    workspace = open_workspace()
    confirm(f"Score {environment} and open retraining pull requests that are due?", yes)
    began = workspace.clock()
    watched = watch_environment(workspace, environment, retraining.markdown, model)
    emit(output, view.data(environment, watched), lambda: view.text(environment, watched))
    show_problems(tell_of_windows(workspace, environment, watched, began))
    return Exit.NO if any(found.report.level == "alert" or found.silent for found in watched) else Exit.OK
