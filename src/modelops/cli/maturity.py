"""`modelops maturity`: how far a repository and its models are automated, by facts in git and evidence."""

from __future__ import annotations

from pathlib import Path

import click

from modelops.cli._names import models
from modelops.cli.output import emit, output_option, save


@click.command("maturity")
@click.argument("model", required=False, shell_complete=models)
@click.option(
    "--badge",
    "badges",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Also write the level as a badge: .svg a picture, .json for a badge service; may be repeated.",
)
@output_option
def command(model: str | None, badges: tuple[Path, ...], output: str) -> int:
    """Show the level 0 to 4 of the repository and of every model, or of MODEL, and what is missing for the next one.

    Every criterion is a fact of the newest commit or of signed evidence; what git cannot know is called not observable.
    """
    for path in badges:
        if path.suffix not in (".svg", ".json"):
            raise click.BadParameter(f"{path} ends with neither .svg nor .json", param_hint="--badge")
    from modelops.maturity.report import report
    from modelops.project.workspace import open_workspace
    from modelops.views import maturity as view

    found = report(open_workspace(), None if model is None else [model])
    emit(output, view.data(found), lambda: view.text(found))
    for path in badges:
        save(path, view.badge_svg(found) if path.suffix == ".svg" else view.badge_json(found))
    return 0
