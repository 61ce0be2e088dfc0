"""`modelops promote`: open the one-line pull request."""

from __future__ import annotations

import click

from modelops.cli.output import confirm, emit, output_option, yes_option


@click.command("promote")
@click.argument("model")
@click.option("--to", "environment", required=True, metavar="ENV", help="The environment to enter.")
@click.option("--release", "number", type=click.IntRange(min=1), help="Which release; the newest when not given.")
@click.option("--challenger", is_flag=True, help="Put it on trial beside the candidate, for ab-test and bandit.")
@yes_option
@output_option
def command(model: str, environment: str, number: int | None, challenger: bool, yes: bool, output: str) -> int:
    """Open the pull request that makes a release of MODEL the candidate of an environment."""
    from modelops.reconcile.promotion import propose
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    confirm(f"Open a pull request that promotes {model} to {environment}?", yes)
    proposal = propose(workspace, model, environment, number, challenger=challenger)
    pull = proposal.pull
    data = {
        "pullRequest": pull.number,
        "branch": pull.source,
        "release": proposal.release,
        "superseded": list(proposal.superseded),
    }
    lines = [f"pull request {pull.number}: {pull.title}"]
    lines += [f"closed pull request {old}: superseded" for old in proposal.superseded]
    emit(output, data, "\n".join(lines))
    return 0
