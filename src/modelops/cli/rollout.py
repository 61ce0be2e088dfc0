"""`modelops rollout`: how a rollout stands, and what a person may do to it."""

from __future__ import annotations

import importlib
from typing import Literal

import click

from modelops.cli.output import confirm, emit, note, output_option, yes_option
from modelops.cli.rollback import reason_option

COMMANDS = ("status", "pause", "resume", "promote", "abort", "replay", "simulate")
_model = click.argument("model")
_environment = click.argument("environment")


class Commands(click.Group):
    """The commands of this file, and the simulation from its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; the simulation is imported when it is asked for."""
        if cmd_name == "simulate":
            found: click.Command = importlib.import_module("modelops.cli._simulate").command
            return found
        return super().get_command(ctx, cmd_name)


@click.group("rollout", cls=Commands)
def command() -> None:
    """Show and steer rollouts: what they wait for, pause, resume, promote, abort, replay, simulate."""


@command.command()
@_model
@_environment
@output_option
def status(model: str, environment: str, output: str) -> int:
    """Show the arms, weights, step and guards of MODEL's rollout in ENVIRONMENT, and what it waits for."""
    from modelops.reconcile.rollout_status import rollout_status, rollout_text
    from modelops.reconcile.workspace import open_workspace

    found = rollout_status(open_workspace(), model, environment)
    emit(output, found, lambda: rollout_text(found))
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
    from modelops.reconcile.steering import steer
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    confirm(f"Record in git that the rollout of {model} in {environment} is {outcome}?", yes)
    done = steer(workspace, model, environment, outcome, reason)
    data = {"model": model, "environment": environment, "outcome": outcome, "commit": done.commit}
    emit(output, data, f"the rollout of {model} in {environment} is {outcome}: commit {done.commit[:10]}")
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
    from modelops.reconcile.steering import promote_now
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    confirm(f"Open a pull request that ends the rollout of {model} in {environment}?", yes)
    pull = promote_now(workspace, model, environment, number, reason)
    emit(
        output,
        {"pullRequest": pull.number, "branch": pull.source, "title": pull.title},
        f"pull request {pull.number}: {pull.title}",
    )
    return 0


@command.command()
@_model
@_environment
@reason_option
@yes_option
@output_option
def abort(model: str, environment: str, reason: str, yes: bool, output: str) -> int:
    """Withdraw and deny everything of MODEL that is on trial in ENVIRONMENT; stable takes the traffic at once."""
    from modelops.cli.rollback import carry_out
    from modelops.reconcile.rollback import abort as withdraw
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    confirm(f"Withdraw and deny what is on trial of {model} in {environment}?", yes)
    return carry_out(workspace, environment, withdraw(workspace, model, environment, reason), output)


@command.command()
@_model
@_environment
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="A parameter of the strategy to change.")
@click.option("--salt", help="Which rollout, by its salt; the running or the newest one if not given.")
@click.option("--every", type=click.IntRange(min=1), default=50, show_default=True, help="Look after so many requests.")
@output_option
def replay(model: str, environment: str, changes: tuple[str, ...], salt: str | None, every: int, output: str) -> int:
    """Decide a rollout again from the prediction log, look by look, and compare with what was decided."""
    from modelops.reconcile.replay import replay_rollout, replay_text
    from modelops.reconcile.workspace import open_workspace

    found = replay_rollout(open_workspace(), model, environment, changes=changes, salt=salt, every=every, say=note)
    emit(output, found, lambda: replay_text(found))
    return 0 if found["agrees"] else 1
