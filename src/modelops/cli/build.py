"""`modelops build`: train, evaluate and judge."""

from __future__ import annotations

from pathlib import Path

import click

from modelops.cli.output import emit, note, output_option, save
from modelops.errors import Exit


@click.command("build")
@click.argument("models", nargs=-1)
@click.option(
    "--since", metavar="REV", help="Models changed since the merge base with REV, judged by the policies there."
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
    from modelops.reconcile.proposal import build_change, build_text
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    built = build_change(workspace, models, since=since, dirty=dirty, say=note)
    text = "\n\n".join(found.markdown for found in built)
    if report is not None:
        save(report, text + "\n")
        note(f"wrote {report}")
    if pull_request is not None and built:
        now = workspace.clock()
        workspace.forge.comment(pull_request, "modelops/build", text, as_="modelops", now=now)
        ok = all(found.judged.passed for found in built)
        workspace.forge.check(pull_request, "modelops/gates", "success" if ok else "failure")
    emit(output, [found.to_dict() for found in built], lambda: build_text(built))
    return Exit.OK if all(found.judged.passed for found in built) else Exit.NO
