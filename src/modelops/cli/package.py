"""`modelops package`: build the image of a release."""

from __future__ import annotations

from pathlib import Path

import click

from modelops.cli._names import models, releases
from modelops.cli._working import working
from modelops.cli.output import emit, note, output_option
from modelops.errors import Exit


@click.command("package")
@click.argument("model", shell_complete=models)
@click.argument("release", type=click.IntRange(min=1), shell_complete=releases)
@click.option("--target", default="docker", show_default=True, metavar="TYPE", help="Which target's image.")
@click.option("--base", metavar="IMAGE@sha256:…", help="The base image, in place of that of the lock's Python.")
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter of the target; repeatable.")
@click.option("--push", metavar="REPOSITORY", help="Push the image there, such as registry.example.com/models/churn.")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the build and the bill of materials; one below the state folder if not said.",
)
@click.option("--files-only", is_flag=True, help="Write the files for another builder; ask no engine.")
@output_option
@working("putting the files of the image together")
def command(
    model: str,
    release: int,
    target: str,
    base: str | None,
    params: tuple[str, ...],
    push: str | None,
    folder: Path | None,
    files_only: bool,
    output: str,
) -> int:
    """Build an image of RELEASE of MODEL: artifact, packages by hash, modelops and routes in it, a server that starts.

    The bill of materials (CycloneDX) lies beside the files that it is built from. Equal releases give equal files.
    """
    from modelops import targets
    from modelops.changes.packaging import SBOM, made, package
    from modelops.project.workspace import open_workspace
    from modelops.reconcile.render import from_options, given, write
    from modelops.views import packages as view

    if files_only and push is not None:
        raise click.UsageError("--files-only builds nothing, so there is nothing to --push")
    asked = given(params) | ({"base": base} if base is not None else {})
    bound = from_options(targets.bind, target, asked)
    workspace = open_workspace()
    found = package(workspace, model, release, bound)
    place = folder or workspace.state / "packages" / f"{model.replace('/', '__')}-{release}"
    write(place, {**found.packed.files, SBOM: found.sbom})
    built = None if files_only else made(found, bound, push, note)
    emit(output, view.data(found, built, place), lambda: view.text(found, built, place))
    return Exit.OK
