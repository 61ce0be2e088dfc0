"""modelops predict: a file in, the same rows with predictions out."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli._names import environments, models
from modelops.cli._server import KEY_VARIABLE, address
from modelops.cli.output import emit, note, output_option
from modelops.errors import Exit, failure

if TYPE_CHECKING:
    from modelops.data.numbers import Decimal
    from modelops.scoring.answers import Answering


@click.command("predict")
@click.argument("model", shell_complete=models)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option(
    "--env",
    "environment",
    metavar="ENV",
    help="Ask the server of this environment on this machine.",
    shell_complete=environments,
)
@click.option("--url", help="Ask the server at this address.")
@click.option("--release", "number", type=click.IntRange(min=1), help="Use this release; by default the newest one.")
@click.option("--only", is_flag=True, help="Leave out the columns of FILE.")
@click.option("--decimal", type=click.Choice([".", ","]), help="The decimal mark of the numbers in FILE.")
@click.option("--encoding", metavar="NAME", help="The encoding of FILE, where its bytes do not tell.")
@click.option("--sheet", metavar="NAME", help="The sheet of a workbook, where it has several.")
@output_option
def command(
    model: str,
    file: Path,
    out: Path | None,
    environment: str | None,
    url: str | None,
    number: int | None,
    only: bool,
    decimal: Decimal | None,
    encoding: str | None,
    sheet: str | None,
    output: str,
) -> int:
    """Predict every row of FILE with MODEL.

    FILE is CSV, Parquet, a workbook or JSON (a list of records, or one a line in .jsonl); OUT is one of these but a
    workbook, by its name. Without OUT the rows are printed, as CSV or with --output json as JSON. Columns that the
    model does not take come along; the answers are prediction, probability where there are classes, and release.

    A release is loaded in this process and nothing is logged. With --env or --url a server answers: the rows are routed
    and logged as all others, and each has its prediction_id for feedback. An API key is taken from MODELOPS_API_KEY.
    """
    if (environment is not None) + (url is not None) + (number is not None) > 1:
        raise click.UsageError("pass one of --env, --url and --release")
    if not file.is_file():
        raise click.BadParameter(f"there is no file {file}", param_hint="FILE")
    from modelops.scoring.files import score, score_into
    from modelops.scoring.rows import Said
    from modelops.views import scoring as view

    said = Said(decimal, encoding, sheet)
    with _answering(model, environment, url, number) as answering:
        if out is None:
            # Printed when it is whole, as a file is written.
            printed, suffix = io.BytesIO(), ".json" if output == "json" else ".csv"
            found = score_into(file, printed, suffix, answering, only=only, said=said)
            click.echo(printed.getvalue().decode(), nl=False)
            note(view.text(found, model))
        else:
            found = score(file, out, answering, only=only, said=said)
            emit(output, view.data(found, model), lambda: view.text(found, model))
    return Exit.OK


@contextmanager
def _answering(model: str, environment: str | None, url: str | None, number: int | None) -> Iterator[Answering]:
    from modelops.scoring.answers import FromServer
    from modelops.serving.client.connection import Server

    if environment is None and url is None:
        yield _release(model, number)
        return
    hint = "nothing was written; what was answered is in the server's log"
    where = url or address(environment or "")
    with Server(where, os.environ.get(KEY_VARIABLE), code="not-predicted", hint=hint) as server:
        yield FromServer(server, model)


def _release(model: str, number: int | None) -> Answering:
    """Load a release from the store of the repository around us."""
    from modelops.artifacts import load_predictor, open_artifact
    from modelops.project.workspace import model_entry, open_workspace
    from modelops.scoring.answers import FromRelease

    workspace = open_workspace()
    _, graph = workspace.known()
    entry = model_entry(graph, model)
    wanted = number if number is not None else max(entry.releases, default=0)
    if wanted not in entry.releases:
        known = ", ".join(map(str, sorted(entry.releases))) or "none"
        said = f"{model} has no release {wanted}" if wanted else f"{model} has no release yet"
        raise failure("unknown-release", said, exit=Exit.USAGE, hint=f"releases: {known}")
    release = entry.releases[wanted].spec
    snapshot = entry.snapshots.get(release.data.snapshot)
    formats = {column.name: column.format for column in snapshot.spec.columns} if snapshot is not None else {}
    return FromRelease(load_predictor(open_artifact(workspace.store, release.artifact.digest)), wanted, formats)
