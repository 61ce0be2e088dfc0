"""`modelops rollback`: back to the last stable release."""

from __future__ import annotations

import click

from modelops.cli.output import confirm, emit, note, output_option, yes_option


@click.command("rollback")
@click.argument("model")
@click.option("--environment", "-e", required=True, metavar="ENV", help="Where.")
@click.option("--reason", required=True, help="Why; it is recorded.")
@yes_option
@output_option
def command(model: str, environment: str, reason: str, yes: bool, output: str) -> int:
    """Return MODEL to its last stable release in an environment at once, without analysis, and record it."""
    from modelops.cli.reconcile import show_result
    from modelops.reconcile.loop import reconcile
    from modelops.reconcile.rollback import rollback
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    confirm(f"Roll {model} in {environment} back without analysis?", yes)
    done = rollback(workspace, model, environment, reason)
    note(f"release {done.withdrawn} is withdrawn, release {done.stable} is stable: commit {done.commit[:10]}")
    result = reconcile(workspace, environment, say=note)
    if output == "json":
        data = {
            "withdrawn": done.withdrawn,
            "stable": done.stable,
            "commit": done.commit,
            "done": list(result.done),
        }
        emit(output, data, "")
        return int(result.exit)
    return show_result(result, output)
