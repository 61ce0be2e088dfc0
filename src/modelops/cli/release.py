"""`modelops release`: number, sign and commit what passed."""

from __future__ import annotations

import click

from modelops.cli.output import confirm, emit, note, output_option, yes_option
from modelops.errors import Exit, ModelOpsError


@click.command("release")
@click.argument("models", nargs=-1)
@yes_option
@output_option
def command(models: tuple[str, ...], yes: bool, output: str) -> int:
    """Release MODELS (all that have no release for their inputs when none is named)."""
    from modelops.cli import show_problems
    from modelops.reconcile.actions import Release, describe
    from modelops.reconcile.building import plan_models
    from modelops.reconcile.releasing import release
    from modelops.reconcile.workspace import model_entry, open_workspace

    workspace = open_workspace()
    tip, graph = workspace.desired()
    for name in models:
        model_entry(graph, name)
    entries = plan_models(workspace, graph, tip, models or tuple(graph.models))
    if not entries:
        emit(output, [], "nothing to do: every model has a release for its inputs")
        return Exit.OK
    for entry in entries:
        note(f"+ {describe(entry)}")
    confirm("Carry this out?", yes)
    done: list[dict[str, str]] = []
    code = Exit.OK
    for entry in entries:
        if not isinstance(entry, Release):
            continue
        try:
            done.append({"model": entry.model, "result": release(workspace, entry.model)})
        except ModelOpsError as error:
            # One model that may not be released must not keep the others from it.
            show_problems(error.problems)
            done.append({"model": entry.model, "result": error.problems[0].message})
            code = max(code, error.exit)
    emit(output, done, lambda: "\n".join(row["result"] for row in done))
    return code
