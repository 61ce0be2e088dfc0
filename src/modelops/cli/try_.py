"""`modelops try`: variants of a model side by side, before any pull request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli._names import models
from modelops.cli.output import emit, note, output_option, say, tell_fence
from modelops.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelops.changes.tries.trying import Tried
    from modelops.project.workspace import Workspace


@click.command("try")
@click.argument("model", shell_complete=models)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE[,VALUE]",
    help="Values of a parameter; of several parameters every combination is tried.",
)
@click.option(
    "--variants",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A YAML or JSON file with a list `variants`, each a mapping of parameters.",
)
@click.option(
    "--by", "metric", metavar="METRIC", help="What the best is chosen by; the task's first metric by default."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="How many at once; as many as the machine has room for."
)
@click.option("--dirty", is_flag=True, help="Read the work tree instead of the last commit.")
@click.option("--branch", metavar="NAME", help="Make a branch of the best, if it is not the model as it is.")
@output_option
def command(
    model: str,
    settings: tuple[str, ...],
    file: Path | None,
    metric: str | None,
    jobs: int | None,
    dirty: bool,
    branch: str | None,
    output: str,
) -> int:
    """Train variants of MODEL on this machine and hold each against the model as it is, on the same test rows.

    Every variant is a run of the ledger, failed ones too, and none is trained twice. Exits with 1 when one failed, or
    when --branch finds nothing better than the model as it is.
    """
    from modelops.changes.tries.comparing import beside, best, find_runs
    from modelops.governance.judged import by_approved_project
    from modelops.project.workspace import open_workspace
    from modelops.views.trials import runs as view

    workspace = open_workspace(dirty=dirty, heard=tell_fence())
    if branch is not None and dirty:
        raise click.UsageError("a branch begins at a commit: leave out --dirty, or --branch")
    by_approved_project(workspace)
    tried, metric = _tried(workspace, model, settings, file, metric, jobs, dirty)
    found = beside(workspace.store, find_runs(workspace, [one.run for one in tried if one.run is not None]))
    chosen = best(found, metric)
    number = chosen.run.id if chosen is not None else None
    looks = _looks(workspace, model, tried)
    emit(
        output,
        view.compared_data(found, metric, looks, number),
        lambda: view.tried_text(found, metric, looks, number),
    )
    code = Exit.NO if any(one.record is None for one in tried) else Exit.OK
    if branch is None:
        return code
    return max(code, _branch(workspace, branch, tried, number))


def _tried(
    workspace: Workspace,
    model: str,
    settings: Sequence[str],
    file: Path | None,
    metric: str | None,
    jobs: int | None,
    dirty: bool,
) -> tuple[tuple[Tried, ...], str]:
    """Train what is asked for, and return it with the metric that puts it in order."""
    from modelops.changes.tries.comparing import chosen_metric
    from modelops.changes.tries.trying import at_once, try_variants
    from modelops.changes.tries.variants import require_known, variants
    from modelops.governance.waivers import require_sound
    from modelops.project.workspace import model_entry
    from modelops.views.trials import runs as view

    revision = None if dirty else workspace.repository.head()
    graph = workspace.graph(revision)
    spec = model_entry(graph, model).model.spec
    by = chosen_metric(spec.task, metric)
    present = spec.training.parameters
    wanted = variants(settings, file, present)
    require_known(wanted, present, workspace.code(revision, model))
    require_sound(workspace, graph, workspace.repository.head(), model)
    many = jobs or at_once(spec.training.threads, spec.training.memory_mib << 20)
    word = "variant" if len(wanted) == 1 else "variants"
    note(f"{len(wanted)} {word} of {model}, the model as it is among them, {min(many, len(wanted))} at once")
    done: list[None] = []

    def tell(one: Tried) -> None:
        done.append(None)
        say(f"[{len(done)}/{len(wanted)}] {view.tried_line(one, by)}")

    return try_variants(workspace, graph, model, revision, wanted, jobs=many, tell=tell), by


def _looks(workspace: Workspace, model: str, tried: Sequence[Tried]) -> int:
    from modelops import training

    roots = {one.record.data_root for one in tried if one.record is not None}
    return max((len(training.looks(workspace.ledger, model, root)) for root in roots), default=0)


def _branch(workspace: Workspace, branch: str, tried: Sequence[Tried], best: int | None) -> int:
    """Make a branch of the best run, and say what that is."""
    from modelops.changes.tries.branching import branch_of
    from modelops.changes.tries.comparing import find_runs
    from modelops.views.trials import runs as view

    if best is None or best == tried[0].run:
        note("no variant is better than the model as it is, so no branch was made")
        return Exit.NO
    (run,) = find_runs(workspace, [best])
    note(view.branched_text(branch_of(workspace, run, branch)))
    return Exit.OK
