"""`modelops runs`: what was built and tried on this machine."""

from __future__ import annotations

import click

from modelops.cli._names import models
from modelops.cli.output import emit, note, output_option
from modelops.errors import Exit

_numbers = click.argument("numbers", metavar="RUN...", type=click.IntRange(min=1), nargs=-1, required=True)


@click.group("runs")
def command() -> None:
    """List what was built and tried on this machine, compare runs, and make a branch of one."""


@command.command("list")
@click.argument("model", required=False, shell_complete=models)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Runs to show, the newest first."
)
@click.option("--failed", is_flag=True, help="Only those that failed.")
@output_option
def listed(model: str | None, limit: int, failed: bool, output: str) -> int:
    """List runs of MODEL or of all models, the newest first, failed ones too."""
    from modelops import training
    from modelops.project.workspace import open_workspace
    from modelops.views.trials import runs as view

    workspace = open_workspace()
    found = training.runs(workspace.ledger, model, 1_000_000 if failed else limit)
    found = tuple(one for one in found if one.outcome == "failed")[:limit] if failed else found
    emit(output, view.data(found), lambda: view.text(found))
    return 0


@command.command("compare")
@_numbers
@click.option("--by", "metric", metavar="METRIC", help="Only this metric.")
@output_option
def compared(numbers: tuple[int, ...], metric: str | None, output: str) -> int:
    """Show each RUN beside the first: what differs, what was measured, and how far apart they are on the same rows.

    Differences are paired: both answered the same test rows.
    """
    from modelops.changes.tries.comparing import beside, find_runs
    from modelops.errors import failure
    from modelops.metrics import NAMES
    from modelops.project.workspace import open_workspace
    from modelops.spec.explain import nearest
    from modelops.views.trials import runs as view

    if metric is not None and metric not in NAMES:
        raise failure("unknown-metric", f"there is no metric {metric!r}", exit=Exit.USAGE, hint=nearest(metric, NAMES))
    workspace = open_workspace()
    found = beside(workspace.store, find_runs(workspace, tuple(dict.fromkeys(numbers))))
    emit(output, view.compared_data(found, metric), lambda: view.compared_text(found, metric))
    return 0


@command.command("branch")
@click.argument("number", metavar="RUN", type=click.IntRange(min=1))
@click.option("--branch", metavar="NAME", help="What to call it; try-MODEL-RUN by default.")
@output_option
def branched(number: int, branch: str | None, output: str) -> int:
    """Make a branch of RUN: one commit on what is checked out, which sets its parameters in model.yaml.

    Nothing is checked out, and what the branch builds is what the run measured: it is in the store already.
    """
    from modelops.changes.tries.branching import branch_of
    from modelops.changes.tries.comparing import find_runs
    from modelops.governance.judged import by_approved_project
    from modelops.project.workspace import open_workspace
    from modelops.views.trials import runs as view

    workspace = open_workspace()
    by_approved_project(workspace)
    (run,) = find_runs(workspace, [number])
    if run.outcome == "failed":
        note(f"run {number} failed: {run.message}")
    found = branch_of(workspace, run, branch)
    emit(output, view.branched_data(found), lambda: view.branched_text(found))
    return 0
