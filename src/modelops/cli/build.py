"""`modelops build`: train, evaluate and judge."""

from __future__ import annotations

from pathlib import Path

import click

from modelops.cli.output import emit, note, output_option, save, tell_fence
from modelops.errors import Exit


@click.command("build")
@click.argument("models", nargs=-1)
@click.option(
    "--since", metavar="REV", help="Models that merging this into REV changes, as merged; judged by the policies there."
)
@click.option("--dirty", is_flag=True, help="Read the work tree instead of the last commit.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write what a reviewer reads, as Markdown."
)
@click.option("--pull-request", type=int, metavar="N", help="Comment the report on this pull request, in place.")
@output_option
def command(
    models: tuple[str, ...], since: str | None, dirty: bool, report: Path | None, pull_request: int | None, output: str
) -> int:
    """Train, evaluate and judge MODELS (all that have no release for their inputs when none is named)."""
    from modelops.changes.proposal import build_change
    from modelops.governance.judged import by_approved_project
    from modelops.project.workspace import MACHINE, open_workspace
    from modelops.reconcile.proposed import to_build
    from modelops.views import release as view

    workspace = open_workspace(dirty=dirty, heard=tell_fence())
    by_approved_project(workspace)
    if pull_request is not None:
        workspace.forge_as(MACHINE.name).get(pull_request)  # Before a minute of training, not after it.
    names = to_build(workspace, models, since=since, dirty=dirty, say=note)
    built = build_change(workspace, names, since=since, dirty=dirty, say=note)
    if report is not None:
        save(report, "\n\n".join(map(view.markdown, built)) + "\n")
        note(f"wrote {report}")
    if pull_request is not None and built:
        forge = workspace.forge_as(MACHINE.name)
        forge.comment(pull_request, "modelops/build", view.comment(built))
        ok = all(found.judged.passed for found in built)
        forge.check(pull_request, "modelops/gates", "success" if ok else "failure")
    emit(output, view.data(built), lambda: view.text(built))
    return Exit.OK if all(found.judged.passed for found in built) else Exit.NO
