"""modelops feedback: tell a server the truth about what it predicted, from a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from modelops.cli._names import environments, models
from modelops.cli._server import KEY_VARIABLE, address
from modelops.cli.output import emit, output_option
from modelops.errors import Exit

_MANY = 500
"""From this many labels on, a terminal is shown how far they are."""


@click.command("feedback")
@click.argument("environment", metavar="ENV", shell_complete=environments)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--model", help="The model that predicted; not needed where ENV serves one model.", shell_complete=models)
@click.option("--url", help="Address of the server; by default that of ENV on this machine.")
@output_option
def command(environment: str, file: Path, model: str | None, url: str | None, output: str) -> int:
    """Tell the server of ENV the true labels of its predictions.

    FILE has the columns id (of the prediction) and label, in any format that data come in. Sending a file again changes
    nothing; another label for the same prediction replaces the first. An API key is taken from
    MODELOPS_API_KEY. Exits with 1 when a label was not accepted.
    """
    if not file.is_file():
        raise click.BadParameter(f"there is no file {file}", param_hint="FILE")
    from modelops.data.labels import label_rows
    from modelops.serving.client.labels import Label
    from modelops.serving.client.telling import Teller, tell
    from modelops.views import feedback as view

    labels = [Label(*row) for row in label_rows(file)]
    shown = sys.stderr if sys.stderr.isatty() and len(labels) > _MANY else None
    with (
        Teller(url or address(environment), os.environ.get(KEY_VARIABLE)) as teller,
        click.progressbar(length=len(labels), label="labels", file=shown, hidden=shown is None) as bar,
    ):
        report = tell(teller, model, labels, bar.update)
    emit(output, view.data(report), lambda: view.text(report))
    return Exit.NO if report.problems else Exit.OK
