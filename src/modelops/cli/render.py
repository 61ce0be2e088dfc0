"""`modelops render`: write what a GitOps tool or a person applies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from modelops.cli._names import environments
from modelops.cli.output import note
from modelops.errors import Exit


@click.command("render")
@click.argument("environment", shell_complete=environments)
@click.option(
    *("-o", "--output", "--to", "folder"),
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to fill.",
)
@click.option("--target", metavar="TYPE", help="Render for this target instead of the environment's own.")
@click.option("--export", metavar="KEY", help="Write what another tool needs to know instead.")
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter of either; repeatable.")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 when the folder differs.")
def command(
    environment: str, folder: Path, target: str | None, export: str | None, params: tuple[str, ...], check: bool
) -> int:
    """Write the files that make another runtime match what git says about ENVIRONMENT, or that tell others of it.

    Every target and every export has a folder of its own: what an earlier run wrote there and is no longer wanted goes.
    """
    from modelops import plugins
    from modelops.project.workspace import open_workspace
    from modelops.reconcile.exporting import exported
    from modelops.reconcile.render import differences, rendered, write

    if target is not None and export is not None:
        raise click.UsageError("--target and --export exclude each other")
    if export is not None and export not in plugins.keys("exports"):
        known = ", ".join(plugins.keys("exports"))
        raise click.BadParameter(f"{export!r} is not one of the exports: {known}", param_hint="--export")
    if target is not None and target not in plugins.keys("targets"):
        known = ", ".join(plugins.keys("targets"))
        raise click.BadParameter(f"{target!r} is not one of the targets: {known}", param_hint="--target")
    workspace = open_workspace()
    files: Mapping[str, str | bytes]
    if export is not None:
        files = exported(workspace, environment, export, params)
    else:
        files = rendered(workspace, environment, target, params)
    if check:
        different = differences(folder, files)
        for path, what in different:
            click.echo(f"{what}: {folder / path}")
        note("in sync" if not different else f"out of sync: run modelops render {environment} -o {folder}")
        return Exit.NO if different else Exit.OK
    for path in write(folder, files):
        click.echo(str(folder / path))
    return Exit.OK
