"""`modelops deliver`: from merged to running, as far as it goes without anybody's word, and then ask for that word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modelops.cli._names import models
from modelops.cli._working import doing, working
from modelops.cli.output import confirm, emit, in_haste, note, output_option, say, tell_fence, yes_option
from modelops.errors import Exit, ModelOpsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelops.project.workspace import Workspace
    from modelops.reconcile.loop import Result


@click.command("deliver")
@click.argument("models", nargs=-1, shell_complete=models)
@yes_option
@output_option
@working("looking at what has to be delivered")
def command(models: tuple[str, ...], yes: bool, output: str) -> int:
    """Release what was merged of MODELS (all unless named), make it run where it may, and ask for the next promotion.

    It is `release`, then `reconcile` of each environment that takes releases by itself, in the order of promotion, then
    `promote` for the first that takes them by pull request. What is done already is not done again.

    An environment is made to match git as a whole: MODELS are those that are released and promoted. One that cannot be
    reconciled keeps nothing else from being delivered.
    """
    from modelops.changes.releasing import tag_releases
    from modelops.cli import show_problems
    from modelops.cli.release import carry_out
    from modelops.governance.judged import desired
    from modelops.project.workspace import model_entry, open_workspace
    from modelops.reconcile.proposed import plan_models
    from modelops.views.plan import entries_text
    from modelops.views.proposals import delivery as view

    workspace = open_workspace(heard=tell_fence(), doing=doing)
    tip, graph = desired(workspace)
    for name in models:
        model_entry(graph, name)
    names = models or tuple(graph.models)
    entries = plan_models(workspace, graph, tip, names)
    chain = sorted((one for one in graph.environments.values() if one.spec.order is not None), key=_order)
    by_itself = [one.name for one in chain if one.spec.promotion == "automatic"]
    asked = next((one.name for one in chain if one.spec.promotion == "pull-request"), None)
    note(entries_text(entries) if entries else "nothing to release: every model has a release for its inputs")
    note(view.intention(by_itself, asked))
    confirm("Carry this out?", yes)
    # A release whose maker was killed before it was tagged is no entry any more.
    tag_releases(workspace, graph, names)
    released, code = carry_out(workspace, entries)
    results, failed = [], {}
    for name in by_itself:
        try:
            results.append(_reconciled(name))
            code = max(code, results[-1].exit)
        except ModelOpsError as error:
            # What was released is told, and what other environments wait for is done.
            show_problems(error.problems)
            failed[name] = error
            code = max(code, error.exit)
    proposals, worst = _proposals(asked, models) if asked is not None else ([], Exit.OK)
    # Files of the branch that is checked out follow what was committed on the way.
    workspace.repository.follow(workspace.branch, note)
    emit(
        output,
        view.data(released, results, failed, proposals),
        lambda: view.text(released, results, failed, proposals, asked),
    )
    return max(code, worst)


def _order(one: Any) -> tuple[int, str]:
    return one.spec.order or 0, one.name


def _reconciled(environment: str) -> Result:
    """Make one environment match git, as `reconcile` does."""
    from modelops.cli import show_problems
    from modelops.cli.reconcile import tell
    from modelops.project.workspace import open_workspace
    from modelops.reconcile import loop
    from modelops.views.pull_requests import LOOP

    workspace: Workspace = open_workspace(heard=tell_fence(), doing=doing)
    began = workspace.clock()
    with in_haste():
        result = loop.reconcile(workspace, environment, LOOP, say=say)
    show_problems(result.problems)
    tell(workspace, result, began)
    return result


def _proposals(environment: str, names: Sequence[str]) -> tuple[list[Any], Exit]:
    """Open the pull requests of the models that proved themselves before an environment."""
    from modelops.cli import show_problems
    from modelops.cli.promote import propose_due
    from modelops.project.workspace import open_workspace

    try:
        return propose_due(open_workspace(), environment, names)
    except ModelOpsError as error:
        show_problems(error.problems)
        return [], error.exit
