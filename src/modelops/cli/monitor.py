"""`modelops monitor`: score recent traffic and act on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli._names import environments, models
from modelops.cli._working import working
from modelops.cli.output import as_json, confirm, emit, note, output_option, report_option, save, yes_option
from modelops.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelops.changes.retraining import Watched


@click.command("monitor")
@click.argument("environment", shell_complete=environments)
@click.option("--model", help="Only this model.", shell_complete=models)
@report_option
@click.option("--retrain", is_flag=True, help="Ask for a retraining of the model now; needs --model.")
@yes_option
@output_option
@working("scoring what was asked and answered")
def command(environment: str, model: str | None, report: Path | None, retrain: bool, yes: bool, output: str) -> int:
    """Score the recent traffic of ENVIRONMENT and open a retraining pull request when it is due.

    Exits with 1 when drift or a fallen metric was found, and when traffic is missing that should be there.
    """
    from modelops.changes.alerting import tell_of_windows
    from modelops.changes.retraining import watch_environment
    from modelops.cli import show_problems
    from modelops.project.workspace import open_workspace
    from modelops.views import monitor as view
    from modelops.views.proposals import postmortem, retraining

    if retrain and model is None:
        raise click.UsageError("--retrain asks for the retraining of one model: add --model")
    workspace = open_workspace()
    asked = f", and ask for a retraining of {model}" if retrain else ""
    confirm(f"Score {environment} and open retraining pull requests that are due{asked}?", yes)
    began = workspace.clock()
    watched = watch_environment(
        workspace, environment, retraining.markdown, postmortem.markdown, model, retrain=retrain
    )
    emit(output, view.data(environment, watched), lambda: view.text(environment, watched))
    if report is not None:
        save(report, _written(report, environment, watched))
        note(f"wrote {report}")
    show_problems(tell_of_windows(workspace, environment, watched, began))
    return Exit.NO if any(found.report.level == "alert" or found.silent for found in watched) else Exit.OK


def _written(path: Path, environment: str, watched: Sequence[Watched]) -> str:
    """Return the report in the form that the file's ending asks for."""
    from modelops.views import monitor
    from modelops.views.reports import monitored as view

    match path.suffix.lower():
        case ".json":
            return as_json(monitor.data(environment, watched)) + "\n"
        case ".md":
            return view.markdown(environment, watched)
        case _:
            from modelops.dashboard.reports import monitored

            return monitored(environment, watched)
