"""`modelops promote`: open the one-line pull request."""

from __future__ import annotations

import click

from modelops.cli.output import confirm, emit, note, output_option, yes_option


@click.command("promote")
@click.argument("model")
@click.option("--to", "environment", required=True, metavar="ENV", help="The environment to enter.")
@click.option("--release", "number", type=click.IntRange(min=1), help="Which release; the newest when not given.")
@click.option("--challenger", is_flag=True, help="Put it on trial beside the candidate, where the strategy allows.")
@yes_option
@output_option
def command(model: str, environment: str, number: int | None, challenger: bool, yes: bool, output: str) -> int:
    """Open the pull request that makes a release of MODEL the candidate of an environment."""
    from modelops.governance.proposals import propose
    from modelops.project.workspace import open_workspace
    from modelops.spec.layout import Seat
    from modelops.views.proposals import promotion as view

    workspace = open_workspace()
    confirm(f"Open a pull request that promotes {model} to {environment}?", yes)
    proposal = propose(workspace, Seat(model, environment), number, view.markdown, challenger=challenger, say=note)
    emit(output, view.data(proposal), view.text(proposal))
    return 0
