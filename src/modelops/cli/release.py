"""`modelops release`: number, sign and commit what passed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from modelops.cli._names import models
from modelops.cli._working import doing, working
from modelops.cli.output import confirm, emit, note, output_option, tell_fence, yes_option
from modelops.errors import Exit, ModelOpsError, Problem

if TYPE_CHECKING:
    from modelops.project.workspace import Workspace
    from modelops.reconcile.actions import Entry


@click.command("release")
@click.argument("models", nargs=-1, shell_complete=models)
@yes_option
@output_option
@working("looking at what has to be released")
def command(models: tuple[str, ...], yes: bool, output: str) -> int:
    """Release MODELS (all that have no release for their inputs when none is named)."""
    from modelops.changes.releasing import tag_releases
    from modelops.governance.judged import desired
    from modelops.project.workspace import model_entry, open_workspace
    from modelops.reconcile.proposed import plan_models
    from modelops.views.plan import entries_text

    workspace = open_workspace(heard=tell_fence(), doing=doing)
    tip, graph = desired(workspace)
    for name in models:
        model_entry(graph, name)
    names = models or tuple(graph.models)
    entries = plan_models(workspace, graph, tip, names)
    if not entries:
        if yes:
            tag_releases(workspace, graph, names)
        # A release that was pushed before this process was killed is on main, and not yet in the files.
        workspace.repository.follow(workspace.branch, note)
        emit(output, [], "nothing to do: every model has a release for its inputs")
        return Exit.OK
    note(entries_text(entries))
    confirm("Carry this out?", yes)
    tag_releases(workspace, graph, names)
    done, code = carry_out(workspace, entries)
    emit(output, done, lambda: "\n".join(row["result"] for row in done))
    return code


def carry_out(workspace: Workspace, entries: Sequence[Entry]) -> tuple[list[dict[str, str]], Exit]:
    """Release what was planned, each model apart; return what became of each, and the worst exit code."""
    from modelops.changes.releasing import release
    from modelops.cli import show_problems
    from modelops.project.workspace import model_entry
    from modelops.reconcile.actions import Blocked, Release
    from modelops.views.release import question

    done: list[dict[str, str]] = []
    code = Exit.OK
    for entry in entries:
        if isinstance(entry, Blocked):
            show_problems([Problem(entry.code, entry.reason, hint=entry.hint)])
            code = max(code, entry.exit)
        if not isinstance(entry, Release):
            continue
        try:
            done.append({"model": entry.model, "result": release(workspace, entry.model)})
            newest = model_entry(workspace.known()[1], entry.model).releases
            if newest and (asked := question(newest[max(newest)].spec.metrics)):
                note(f"{entry.model}: {asked}")
        except ModelOpsError as error:
            # One model that may not be released must not keep the others from it.
            show_problems(error.problems)
            done.append({"model": entry.model, "result": error.first.message})
            code = max(code, error.exit)
    return done, code
