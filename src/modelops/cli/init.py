"""`modelops init`: a new repository, an example model, or a model from your own data."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from modelops.cli.output import emit, output_option


@click.command("init")
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--example", metavar="NAME", help="Add an example model, such as fraud-detection.")
@click.option("--model", metavar="NAME", help="Scaffold a model of this name from --data.")
@click.option("--data", metavar="PATH", help="CSV or Parquet: a file, a folder of them, or the URL of one.")
@click.option("--target", metavar="COLUMN", help="The column to predict.")
@click.option("--time", metavar="COLUMN", help="The event time; the last rows become the test part.")
@click.option("--id", "identity", metavar="COLUMN", help="The row identity; its hash decides which rows test.")
@click.option("--task", type=click.Choice(["binary-classification", "multiclass-classification", "regression"]))
@click.option("--positive", metavar="LABEL", help="The label that counts as positive in a binary task.")
@click.option("--risk", type=click.Choice(["minimal", "limited", "high"]), default="limited", show_default=True)
@click.option("--owner", metavar="TEAM", help="Who answers for the model; your git name unless given.")
@click.option("--approver", "approvers", multiple=True, metavar="LOGIN", help="Who may approve; repeat for more.")
@output_option
def command(
    directory: Path | None,
    example: str | None,
    model: str | None,
    data: str | None,
    target: str | None,
    time: str | None,
    identity: str | None,
    task: str | None,
    positive: str | None,
    risk: str,
    owner: str | None,
    approvers: tuple[str, ...],
    output: str,
) -> int:
    """Scaffold DIRECTORY (this folder unless given): policies and workflows where there are none yet, then a model.

    Nothing that exists is overwritten, and nothing is left behind by a failure. What is inferred from data is
    written down with the reasons, for review.
    """
    from modelops.cli import _scaffolding as scaffolding

    if example and model:
        raise click.UsageError("--example and --model exclude each other")
    given = {
        "--data": data, "--target": target, "--time": time, "--id": identity, "--task": task, "--positive": positive,
    }  # fmt: skip
    if model and not (data and target):
        raise click.UsageError("--model needs --data and --target")
    if not model and any(given.values()):
        raise click.UsageError(f"{next(name for name, value in given.items() if value)} needs --model")
    with ExitStack() as undo:
        site = scaffolding.open_site(directory, undo)
        fresh = not site.initialised
        if not fresh and not example and not model:
            raise scaffolding.already_initialised(site)
        if example or model:
            scaffolding.require_new_model(site, example or model or "")
        result = scaffolding.Result(str(site.root))
        if fresh:
            scaffolding.add_repository(site, approvers, result)
        if example:
            scaffolding.add_example(site, example, result)
        if model and data and target:
            order = scaffolding.Order(model, data, target, time, identity, task, positive, risk, owner)
            scaffolding.add_model(site, order, result)
        undo.pop_all()
    emit(output, result.to_dict(), result.text)
    return 0
