"""`modelops rollback`: back to the last stable release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from modelops.cli._names import environments, models
from modelops.cli.output import confirm, emit, note, output_option, say, yes_option

if TYPE_CHECKING:
    from modelops.governance.pending import RolledBack
    from modelops.project.workspace import Workspace
    from modelops.spec.layout import Seat


def _given(_: click.Context, __: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("say why: it is recorded")
    return value.strip()


reason_option = click.option("--reason", required=True, callback=_given, help="Why; it is recorded.")


to_option = click.option(
    "--to",
    type=click.IntRange(min=1),
    metavar="RELEASE",
    help="The release that takes all the traffic then; what is on trial leaves, else one step back, when not given.",
)


@click.command("rollback")
@click.argument("model", shell_complete=models)
@click.option("--environment", "-e", required=True, metavar="ENV", help="Where.", shell_complete=environments)
@to_option
@reason_option
@click.option("--propose", is_flag=True, help="Open the pull request that does it, and change nothing yet.")
@yes_option
@output_option
def command(model: str, environment: str, to: int | None, reason: str, propose: bool, yes: bool, output: str) -> int:
    """Return MODEL to its last stable release in an environment at once, without analysis, and record it.

    It needs neither the remote nor the rest of the repository; said twice, it is done once.
    """
    if propose:
        return _propose(model, environment, reason, yes, output, to)
    return retreat(model, environment, "rollback", reason, yes, output, to)


def _propose(model: str, environment: str, reason: str, yes: bool, output: str, to: int | None) -> int:
    """Open the pull request of a rollback; what is gone already needs none."""
    from modelops.governance.pending import Intent
    from modelops.governance.proposals import propose_return
    from modelops.governance.rollback import intended
    from modelops.project.workspace import open_workspace
    from modelops.spec.layout import Seat
    from modelops.views import pull_requests as pulls
    from modelops.views import rollback as view

    workspace = open_workspace()
    workspace.desired()
    found = intended(workspace, Seat(model, environment), "rollback", reason, to)
    if not isinstance(found, Intent):
        emit(output, view.data(found, None), view.text(found))
        return 0
    confirm(f"Open a pull request that takes {model} back in {environment}?", yes)
    opened = propose_return(workspace, found)
    said = "is open already:" if opened.already else "opened"
    emit(output, {"pullRequest": opened.pull.number, "branch": opened.pull.source}, f"{said} {pulls.line(opened.pull)}")
    return 0


def retreat(
    model: str,
    environment: str,
    verb: Literal["rollback", "abort"],
    reason: str,
    yes: bool,
    output: str,
    to: int | None = None,
) -> int:
    """Carry out a way back, and let the runtime follow at once."""
    from modelops.governance.emergency import carry_out
    from modelops.governance.pending import Intent
    from modelops.governance.rollback import intended
    from modelops.project.workspace import open_workspace
    from modelops.spec.layout import Seat

    workspace = open_workspace()
    learn(workspace, environment)
    found = intended(workspace, Seat(model, environment), verb, reason, to)
    if isinstance(found, Intent):
        gone = " and ".join(map(str, found.leaves))
        then = f"release {found.stable} takes the traffic" if found.stable else "no release takes the traffic"
        what = f"Withdraw and deny release {gone} of {model} in {environment} without analysis"
        confirm(f"{what}; {then}?", yes)
        found = carry_out(workspace, found)
    return follow(workspace, Seat(model, environment), found, output)


def learn(workspace: Workspace, environment: str) -> None:
    """Learn what the remote has, and tell it first what is kept here; say so where it cannot be asked."""
    from modelops.governance.emergency import push_kept

    away = workspace.reach()
    if away is not None:
        note(f"{away.first.message}; this goes by what was last fetched")
    else:
        push_kept(workspace, environment, say)


def follow(workspace: Workspace, seat: Seat, done: RolledBack, output: str) -> int:
    """Let the runtime follow what was decided at once, and say what happened.

    The exit code is that of this model: what stalls others, and a remote that hears of it later, are told beside it.
    """
    from modelops.cli import show_problems
    from modelops.cli.reconcile import show_result
    from modelops.errors import Exit
    from modelops.project.target import rendered_by
    from modelops.reconcile.loop import reconcile
    from modelops.views import rollback as view
    from modelops.views.pull_requests import LOOP

    note(view.text(done))
    if done.waits is not None and done.waits.exit is not Exit.WORLD:
        show_problems(done.waits.problems)
    environment = seat.environment
    target = rendered_by(workspace.known()[1], environment)
    if target is not None:
        note(f"{environment} is rendered by {target}: modelops render {environment} -o DIR writes what is right now")
    result = reconcile(workspace, environment, LOOP, say=say) if target is None else None
    if output == "json":
        emit(output, view.data(done, result), "")
    elif result is not None:
        show_result(result, output)
    waits = done.waits is not None and (result is None or not result.failed)
    missing = done.waits.exit if done.waits is not None and done.waits.exit is not Exit.WORLD else Exit.OK
    return int(max(missing, result.exit_of(seat.model) if result is not None and not waits else Exit.OK))
