"""`modelops status`: how it stands."""

from __future__ import annotations

import click

from modelops.cli.output import emit, output_option


@click.command("status")
@click.argument("model", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Runs to show.")
@output_option
def command(model: str | None, limit: int, output: str) -> int:
    """Show every environment, or the environments, releases and runs of MODEL."""
    from modelops.reconcile.status import environments_text, model_text, status_of_environments, status_of_model
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    if model is None:
        rows = status_of_environments(workspace)
        emit(output, rows, lambda: environments_text(rows))
    else:
        found = status_of_model(workspace, model, limit)
        emit(output, found, lambda: model_text(found))
    return 0
