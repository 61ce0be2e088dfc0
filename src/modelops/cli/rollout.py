"""`modelops rollout`: how a rollout stands, and what a person may do to it."""

from __future__ import annotations

import importlib
from typing import Literal

import click

from modelops.cli._names import environments, models
from modelops.cli.output import confirm, emit, note, output_option, yes_option
from modelops.cli.rollback import reason_option

COMMANDS = ("status", "pause", "resume", "promote", "abort", "replay", "rehearse", "simulate")
_OWN_FILES = ("rehearse", "simulate")
_model = click.argument("model", shell_complete=models)
_environment = click.argument("environment", shell_complete=environments)


class Commands(click.Group):
    """The commands of this file, and those that have files of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; those of other files are imported when they are asked for."""
        if cmd_name in _OWN_FILES:
            found: click.Command = importlib.import_module(f"modelops.cli._{cmd_name}").command
            return found
        return super().get_command(ctx, cmd_name)


@click.group("rollout", cls=Commands)
def command() -> None:
    """Show and steer rollouts: status, pause, resume, promote, abort, replay, rehearse, simulate."""


@command.command()
@_model
@_environment
@output_option
def status(model: str, environment: str, output: str) -> int:
    """Show the arms, weights, step and guards of MODEL's rollout in ENVIRONMENT, and what it waits for."""
    from modelops.project.workspace import open_workspace
    from modelops.reconcile.rollout_status import rollout_status
    from modelops.spec.layout import Seat
    from modelops.views import rollout as view

    found = rollout_status(open_workspace(), Seat(model, environment))
    emit(output, view.data(found), lambda: view.text(found))
    return 0


@command.command()
@_model
@_environment
@reason_option
@yes_option
@output_option
def pause(model: str, environment: str, reason: str, yes: bool, output: str) -> int:
    """Keep MODEL's rollout in ENVIRONMENT where it is; harm still sends the traffic back."""
    return _steer(model, environment, "paused", reason, yes, output)


@command.command()
@_model
@_environment
@reason_option
@yes_option
@output_option
def resume(model: str, environment: str, reason: str, yes: bool, output: str) -> int:
    """Let a paused rollout of MODEL in ENVIRONMENT go on."""
    return _steer(model, environment, "resumed", reason, yes, output)


def _steer(
    model: str, environment: str, outcome: Literal["paused", "resumed"], reason: str, yes: bool, output: str
) -> int:
    from modelops.cli.rollback import follow, learn
    from modelops.governance.emergency import carry_out
    from modelops.governance.steering import paused, pausing, resume
    from modelops.project.workspace import open_workspace
    from modelops.spec.layout import Seat
    from modelops.views import rollout as views

    workspace = open_workspace()
    confirm(f"Record in git that the rollout of {model} in {environment} is {outcome}?", yes)
    if outcome == "paused":
        learn(workspace, environment)
        kept = carry_out(workspace, pausing(workspace, Seat(model, environment), reason))
        if kept.waits is not None:
            return follow(workspace, Seat(model, environment), kept, output)
        done = paused(workspace, Seat(model, environment), kept)
    else:
        done = resume(workspace, Seat(model, environment), reason)
    emit(output, views.steered_data(done), views.steered_text(done))
    return 0


@command.command()
@_model
@_environment
@click.option(
    "--release", "number", type=click.IntRange(min=1), help="Which release on trial; the candidate if not given."
)
@reason_option
@yes_option
@output_option
def promote(model: str, environment: str, number: int | None, reason: str, yes: bool, output: str) -> int:
    """Ask to make MODEL's release on trial stable in ENVIRONMENT now: opens the pull request that a person approves."""
    from modelops.governance.steering import promote_now
    from modelops.project.workspace import open_workspace
    from modelops.spec.layout import Seat
    from modelops.views import pull_requests as views
    from modelops.views.proposals import ending

    workspace = open_workspace()
    confirm(f"Open a pull request that ends the rollout of {model} in {environment}?", yes)
    opened = promote_now(workspace, Seat(model, environment), number, reason, ending.markdown)
    emit(output, views.opened_data(opened), views.opened_text(opened))
    return 0


@command.command()
@_model
@_environment
@reason_option
@yes_option
@output_option
def abort(model: str, environment: str, reason: str, yes: bool, output: str) -> int:
    """Withdraw and deny everything of MODEL that is on trial in ENVIRONMENT; stable takes the traffic at once."""
    from modelops.cli.rollback import retreat

    return retreat(model, environment, "abort", reason, yes, output)


@command.command()
@_model
@_environment
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="A parameter of the strategy to change.")
@click.option("--salt", help="Which rollout, by its salt; the running or the newest one if not given.")
@click.option("--every", type=click.IntRange(min=1), default=50, show_default=True, help="Look after so many requests.")
@click.option("--log", "exported", metavar="DIRECTORY", help="Read what `audit export ENVIRONMENT DIRECTORY` wrote.")
@output_option
def replay(
    model: str,
    environment: str,
    changes: tuple[str, ...],
    salt: str | None,
    every: int,
    exported: str | None,
    output: str,
) -> int:
    """Decide a rollout again from the prediction log, look by look, and compare with what was decided."""
    from modelops.governance.recorded import recorded_rollout
    from modelops.logs.exported import whole
    from modelops.project.workspace import open_workspace
    from modelops.rollouts.replay import replay_rollout
    from modelops.spec.layout import Seat
    from modelops.views.trials import replay as view

    log = whole(exported) if exported is not None else None
    workspace = open_workspace()
    rollout = recorded_rollout(workspace, Seat(model, environment), salt)
    found = replay_rollout(
        workspace, Seat(model, environment), rollout, changes=changes, every=every, log=log, say=note
    )
    emit(output, view.data(found), lambda: view.text(found))
    return 0 if found.agrees else 1
