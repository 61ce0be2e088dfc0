"""`modelops build`: train, evaluate and judge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli._names import models
from modelops.cli._working import doing, working
from modelops.cli.output import as_json, emit, note, output_option, report_file, save, tell_fence
from modelops.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelops.changes.proposal import Built
    from modelops.project.workspace import Workspace


@click.command("build")
@click.argument("models", nargs=-1, shell_complete=models)
@click.option(
    "--since", metavar="REV", help="Models that merging this into REV changes, as merged; judged by the policies there."
)
@click.option("--dirty", is_flag=True, help="Read the work tree instead of the last commit.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=report_file,
    help="Write a report, by the ending of FILE: .html as one page with pictures that needs nothing else, .md what a "
    "reviewer reads, or .json.",
)
@click.option(
    "--pull-request",
    type=int,
    metavar="N",
    help="Comment the report on this pull request, in place. It is what is built, unless --since is given.",
)
@output_option
@working("looking at what has to be built")
def command(
    models: tuple[str, ...], since: str | None, dirty: bool, report: Path | None, pull_request: int | None, output: str
) -> int:
    """Train, evaluate and judge MODELS (all that have no release for their inputs when none is named)."""
    from modelops.changes.proposal import build_change
    from modelops.governance.judged import by_approved_project
    from modelops.project.workspace import MACHINE, open_workspace
    from modelops.reconcile.proposed import to_build
    from modelops.views import release as view

    workspace = open_workspace(dirty=dirty, heard=tell_fence(), doing=doing)
    by_approved_project(workspace)
    head = None
    if pull_request is not None:
        pull = workspace.forge_as(MACHINE.name).get(pull_request)  # Before a minute of training, not after it.
        if since is None and not dirty:
            since, head = workspace.repository.tip(pull.target), pull.head
    names = to_build(workspace, models, since=since, dirty=dirty, say=note, head=head)
    built = build_change(workspace, names, since=since, dirty=dirty, say=note, head=head)
    if report is not None:
        save(report, _written(report, workspace, built))
        note(f"wrote {report}")
    if pull_request is not None and built:
        forge = workspace.forge_as(MACHINE.name)
        forge.comment(pull_request, "modelops/build", view.comment(built))
        ok = all(found.judged.passed for found in built)
        forge.check(pull_request, "modelops/gates", "success" if ok else "failure")
    emit(output, view.data(built), lambda: view.text(built))
    return Exit.OK if all(found.judged.passed for found in built) else Exit.NO


def _written(path: Path, workspace: Workspace, built: Sequence[Built]) -> str:
    """Return the report in the form that the file's ending asks for; curves are those of the stored answers."""
    from modelops.training.answers import curves_of
    from modelops.views.reports import built as view

    drawn = {one.judged.model.name: curves_of(workspace.store, one.judged.record) for one in built}
    match path.suffix.lower():
        case ".json":
            return as_json(view.data(built, drawn)) + "\n"
        case ".md":
            return view.markdown(built, drawn)
        case _:
            from modelops.dashboard.reports import built as page

            return page(built, drawn)
