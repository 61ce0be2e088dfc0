"""`modelops promote`: open the one-line pull request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from modelops.cli._names import environments, models
from modelops.cli.output import confirm, emit, note, output_option, yes_option

if TYPE_CHECKING:
    from modelops.errors import Exit
    from modelops.governance.proposals import Proposal
    from modelops.project.workspace import Workspace


@click.command("promote")
@click.argument("model", required=False, shell_complete=models)
@click.option(
    "--to", "environment", required=True, metavar="ENV", help="The environment to enter.", shell_complete=environments
)
@click.option("--release", "number", type=click.IntRange(min=1), help="Which release; the newest when not given.")
@click.option("--challenger", is_flag=True, help="Put it on trial beside the candidate, where the strategy allows.")
@click.option("--due", is_flag=True, help="Every model whose stable release of the environment before is newer.")
@yes_option
@output_option
def command(
    model: str | None, environment: str, number: int | None, challenger: bool, due: bool, yes: bool, output: str
) -> int:
    """Open the pull request that makes a release of MODEL the candidate of an environment."""
    from modelops.governance.judged import desired
    from modelops.governance.proposals import propose
    from modelops.project.workspace import environment as seat_of
    from modelops.project.workspace import model_entry, open_workspace
    from modelops.spec.layout import Seat
    from modelops.views.proposals import promotion as view

    if due == (model is not None) or (due and (number is not None or challenger)):
        raise click.UsageError("name a MODEL, or say --due alone for every one that is ready")
    workspace = open_workspace()
    if due:
        return _propose_due(environment, yes, output)
    assert model is not None
    # What does not exist is told before anybody is asked.
    _, graph = desired(workspace)
    model_entry(graph, model)
    seat_of(graph, environment)
    confirm(f"Open a pull request that promotes {model} to {environment}?", yes)
    proposal = propose(workspace, Seat(model, environment), number, view.markdown, challenger=challenger, say=note)
    emit(output, view.data(proposal), view.text(proposal))
    return 0


def _propose_due(name: str, yes: bool, output: str) -> int:
    """Open the pull requests of every model that is ready."""
    from modelops.governance.proposals import due
    from modelops.project.workspace import environment, open_workspace
    from modelops.views.proposals import promotion as view

    workspace = open_workspace()
    environment(workspace.desired()[1], name)
    found = due(workspace, name)
    if found:
        confirm(f"Open pull requests that promote {', '.join(model for model, _ in found)} to {name}?", yes)
    proposals, code = propose_due(workspace, name, [model for model, _ in found])
    nothing = f"nothing is due: {name} has what proved itself before it, or it is on trial"
    emit(output, [view.data(one) for one in proposals], lambda: "\n".join(map(view.text, proposals)) or nothing)
    return code


def propose_due(workspace: Workspace, name: str, models: Sequence[str]) -> tuple[list[Proposal], Exit]:
    """Open the pull requests of models that are ready, all unless named; what is refused is told, and is no failure."""
    from modelops.cli import show_problems
    from modelops.errors import Exit, ModelOpsError
    from modelops.governance.proposals import due, propose
    from modelops.spec.layout import Seat
    from modelops.views.proposals import promotion as view

    proposals: list[Proposal] = []
    code = Exit.OK
    for model, number in due(workspace, name):
        if models and model not in models:
            continue
        try:
            proposals.append(propose(workspace, Seat(model, name), number, view.markdown, say=note))
        except ModelOpsError as error:
            show_problems(error.problems)
            code = max(code, error.exit if error.exit is not Exit.NO else Exit.OK)
    return proposals, code
