"""`modelops init`: a new repository, an example model, or a model from your own data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import click

from modelops.cli.output import emit, note, output_option


@click.command("init")
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--example", metavar="NAME", help="Add an example model, such as fraud-detection.")
@click.option("--model", metavar="NAME", help="Scaffold a model of this name from --data.")
@click.option("--data", metavar="PATH", help="A file of data, a folder or a pattern of them, or the URL of one.")
@click.option("--target", metavar="COLUMN", help="The column to predict.")
@click.option("--time", metavar="COLUMN", help="The event time; the last rows become the test part.")
@click.option("--id", "identity", metavar="COLUMN", help="The row identity; its hash decides which rows test.")
@click.option("--weight", metavar="COLUMN", help="What each row counts for, in training and in every metric.")
@click.option("--decimal", type=click.Choice([".", ","]), help="The decimal mark of CSV files, where two readings fit.")
@click.option(
    "--missing",
    multiple=True,
    metavar="WORD",
    help="A word for missing, not the usual ones; COLUMN=WORD for one column.",
)
@click.option("--encoding", metavar="NAME", help="The encoding of text files, where their bytes do not tell.")
@click.option("--sheet", metavar="NAME", help="The sheet of a workbook, where it has several.")
@click.option(
    "--feature", "features", multiple=True, metavar="COLUMN[:TYPE]", help="A feature, whatever it looks like."
)
@click.option("--exclude", multiple=True, metavar="COLUMN", help="A column that is to be no feature; repeat for more.")
@click.option("--task", type=click.Choice(["binary-classification", "multiclass-classification", "regression"]))
@click.option("--positive", metavar="LABEL", help="The label that counts as positive in a binary task.")
@click.option("--risk", type=click.Choice(["minimal", "limited", "high"]), default="limited", show_default=True)
@click.option("--owner", metavar="TEAM", help="Who answers for the model; your git name unless given.")
@click.option("--github", is_flag=True, help="Set it up on the GitHub that its remote is; said again, what is left.")
@click.option("--approver", "approvers", multiple=True, metavar="LOGIN", help="Who may approve; repeat for more.")
@click.option(
    "--app", type=click.IntRange(min=1), metavar="NUMBER", help="The App ID of your GitHub App, with --github."
)
@output_option
def command(
    directory: Path | None,
    example: str | None,
    model: str | None,
    data: str | None,
    target: str | None,
    time: str | None,
    identity: str | None,
    weight: str | None,
    decimal: str | None,
    missing: tuple[str, ...],
    encoding: str | None,
    sheet: str | None,
    features: tuple[str, ...],
    exclude: tuple[str, ...],
    task: str | None,
    positive: str | None,
    risk: str,
    owner: str | None,
    github: bool,
    approvers: tuple[str, ...],
    app: int | None,
    output: str,
) -> int:
    """Scaffold DIRECTORY (this folder unless given): policies where there are none yet, then a model.

    Nothing that exists is overwritten, nothing is left behind by a failure, and what is inferred has its reasons.
    """
    from modelops.scaffold.example import add_example
    from modelops.scaffold.own import Order, add_model
    from modelops.scaffold.policies import add_repository
    from modelops.scaffold.result import Result
    from modelops.scaffold.site import already_initialised, open_site, require_new_model
    from modelops.scaffold.surroundings.first_hour import add_readme, hour_of, next_steps
    from modelops.views import scaffolding as view

    if example and model:
        raise click.UsageError("--example and --model exclude each other")
    given = {
        "--data": data, "--target": target, "--time": time, "--id": identity, "--decimal": decimal, "--task": task,
        "--positive": positive, "--missing": missing, "--encoding": encoding, "--sheet": sheet, "--feature": features,
        "--exclude": exclude, "--weight": weight,
    }  # fmt: skip
    _require_whole(model, given, github, app)
    with ExitStack() as undo:
        site = open_site(directory, undo)
        fresh = not site.initialised
        hub = None
        if github:
            from modelops.scaffold.surroundings.hub import hub_of

            hub = hub_of(site)
        if not fresh and not example and not model and not github:
            raise already_initialised(site)
        if example or model:
            require_new_model(site, example or model or "")
        result = Result(str(site.root))
        if fresh:
            add_repository(site, approvers, result)
        if example:
            add_example(site, example, result, note)
        if model and data and target:
            order = Order(
                model, data, target, time, identity, task, positive, risk, owner, decimal, missing or None, features,
                exclude, encoding, sheet, weight,
            )  # fmt: skip
            add_model(site, order, result)
        if hub is not None:
            from modelops.scaffold.surroundings.github import add_github, remaining

            app = add_github(site, hub, result, app)
        hour = hour_of(site)
        if fresh:
            add_readme(site, result, hour)
        result.next = next_steps(result, hour) if hub is None else remaining(site, hub, hour, result, app)
        undo.pop_all()
    emit(output, view.data(result), lambda: view.text(result))
    return 0


def _require_whole(model: str | None, given: Mapping[str, object], github: bool, app: int | None) -> None:
    """Refuse an option without the one that it is about."""
    if app is not None and not github:
        raise click.UsageError("--app needs --github")
    if model and not (given["--data"] and given["--target"]):
        raise click.UsageError("--model needs --data and --target")
    if not model and any(given.values()):
        raise click.UsageError(f"{next(name for name, value in given.items() if value)} needs --model")
