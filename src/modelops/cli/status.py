"""`modelops status`: how it stands."""

from __future__ import annotations

import click

from modelops.cli._names import models
from modelops.cli.output import emit, in_haste, note, output_option


@click.command("status")
@click.argument("model", required=False, shell_complete=models)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Runs to show.")
@output_option
@in_haste()
def command(model: str | None, limit: int, output: str) -> int:
    """Show every environment, or the environments, releases and runs of MODEL."""
    from modelops.governance.judged import unapproved
    from modelops.project.workspace import open_workspace
    from modelops.reconcile.status import stalled_nowhere, status_of_environments, status_of_model
    from modelops.views import status as view

    workspace = open_workspace()
    if workspace.project.signing.simulated_clock:
        note("time given by the environment: this repository signs for a test or a demonstration, and marks it")
    if model is None:
        environments = status_of_environments(workspace)
        found_open = unapproved(workspace)
        emit(output, view.data(environments, found_open), lambda: view.text(environments, found_open))
        for problem in stalled_nowhere(workspace):
            note(f"on {workspace.branch}, and deployed nowhere: {problem}")
    else:
        found = status_of_model(workspace, model, limit)
        emit(output, view.model_data(found), lambda: view.model_text(found))
    return 0
