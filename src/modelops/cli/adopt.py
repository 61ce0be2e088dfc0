"""`modelops adopt`: a proposed model from a notebook, a script or a kept model, read without running it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from modelops.cli.output import emit, output_option


@click.command("adopt")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", help="The model's name; that of the file unless given.")
@click.option(
    "--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="The rows it is trained on; what the code reads unless given.",
)  # fmt: skip
@click.option("--label", metavar="COLUMN", help="The column to predict; what the code fits unless given.")
@click.option("--estimator", metavar="NAME", help="Which estimator is the model, where the code fits several.")
@click.option("--time", metavar="COLUMN", help="The event time; the last rows become the test part.")
@click.option("--id", "identity", metavar="COLUMN", help="The row identity; its hash decides which rows test.")
@click.option("--risk", type=click.Choice(["minimal", "limited", "high"]), default="limited", show_default=True)
@click.option("--owner", metavar="TEAM", help="Who answers for the model; your git name unless given.")
@click.option("--approver", "approvers", multiple=True, metavar="LOGIN", help="Who may approve; repeat for more.")
@output_option
def command(
    source: Path,
    model: str | None,
    data: Path | None,
    label: str | None,
    estimator: str | None,
    time: str | None,
    identity: str | None,
    risk: str,
    owner: str | None,
    approvers: tuple[str, ...],
    output: str,
) -> int:
    """Make a proposed model of SOURCE: a notebook (.ipynb), a script (.py), or a model kept by skops or MLflow.

    What MLflow has is named mlflow:runs/RUN, mlflow:runs/RUN/MODEL, mlflow:models/NAME/VERSION or
    mlflow:models/NAME@ALIAS; the folder of a model, with its file MLmodel, is adopted as well.

    SOURCE is read, never run, and no pickle is opened. What can be read becomes the model: estimator and parameters,
    features, label, task, test part, metric. What cannot is named with its cell and line, and stands in train.py too.
    """
    from modelops.scaffold.adopting.proposing import Asked, adopt, name_from, require_readable
    from modelops.scaffold.policies import add_repository
    from modelops.scaffold.result import Result
    from modelops.scaffold.site import open_site, require_new_model
    from modelops.scaffold.surroundings.first_hour import add_readme, hour_of, next_steps
    from modelops.views import scaffolding as view

    require_readable(source)
    name = model or name_from(source)
    with ExitStack() as undo:
        site = open_site(None, undo)
        fresh = not site.initialised
        require_new_model(site, name)
        result = Result(str(site.root))
        if fresh:
            add_repository(site, approvers, result)
        adopt(site, Asked(source, name, data, label, estimator, time, identity, risk, owner), result)
        hour = hour_of(site)
        if fresh:
            add_readme(site, result, hour)
        result.next = next_steps(result, hour)
        undo.pop_all()
    emit(output, view.data(result), lambda: view.text(result))
    return 0
