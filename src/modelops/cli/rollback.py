"""`modelops rollback`: back to the last stable release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelops.cli.output import confirm, emit, note, output_option, yes_option

if TYPE_CHECKING:
    from modelops.reconcile.rollback import RolledBack
    from modelops.reconcile.workspace import Workspace


def _given(_: click.Context, __: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("say why: it is recorded")
    return value.strip()


reason_option = click.option("--reason", required=True, callback=_given, help="Why; it is recorded.")


@click.command("rollback")
@click.argument("model")
@click.option("--environment", "-e", required=True, metavar="ENV", help="Where.")
@reason_option
@yes_option
@output_option
def command(model: str, environment: str, reason: str, yes: bool, output: str) -> int:
    """Return MODEL to its last stable release in an environment at once, without analysis, and record it."""
    from modelops.reconcile.rollback import rollback
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    confirm(f"Roll {model} in {environment} back without analysis?", yes)
    return carry_out(workspace, environment, rollback(workspace, model, environment, reason), output)


def carry_out(workspace: Workspace, environment: str, done: RolledBack, output: str) -> int:
    """Let the runtime follow a rollback at once, and say what happened."""
    from modelops.cli.reconcile import show_result
    from modelops.reconcile.loop import reconcile

    withdrawn = " and ".join(map(str, done.withdrawn))
    stable = f"release {done.stable} is stable" if done.stable is not None else "no release is stable"
    note(f"release {withdrawn} is withdrawn, {stable}: commit {done.commit[:10]}")
    result = reconcile(workspace, environment, say=note)
    if output == "json":
        data = {
            "withdrawn": list(done.withdrawn),
            "stable": done.stable,
            "commit": done.commit,
            "done": list(result.done),
        }
        emit(output, data, "")
        return int(result.exit)
    return show_result(result, output)
