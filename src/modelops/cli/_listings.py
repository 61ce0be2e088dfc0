"""The questions of ``modelops audit`` about many releases or predictions at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli._logs import asked_by, exported_logs, log_option, logs_here
from modelops.cli.output import emit, in_haste, output_option

if TYPE_CHECKING:
    from modelops.audit.records import Records
    from modelops.project.workspace import Workspace

__all__ = ["COMMANDS"]

_DATE = "ISO 8601 date or instant; without an offset it is UTC."


def _opened() -> tuple[Workspace, Records]:
    """Return the workspace and the records of its tip: whatever else is told with them has to be of that commit."""
    from modelops.audit.records import Records
    from modelops.project.workspace import open_workspace

    workspace = open_workspace()
    return workspace, Records(workspace.repository, workspace.tip(), asked_by(workspace))


def _records() -> Records:
    return _opened()[1]


@click.command("package")
@click.argument("name")
@click.argument("versions", required=False, default="")
@output_option
@in_haste()
def package_command(name: str, versions: str, output: str) -> int:
    """Tell which releases were built with package NAME, and where they run: the impact of an advisory.

    VERSIONS is a specifier such as '<2.1' or '>=1,<1.5'; without one every version counts. Ends with 1 where
    one of them runs, one runs of which it is not known, or a record is not proven.
    """
    from modelops.audit.listings import dependents_of_package
    from modelops.views.proofs import listings as view

    answer = dependents_of_package(_records(), name, versions)
    emit(output, view.data(answer), lambda: view.text(answer))
    return 0 if answer.ok else 1


@click.command("source")
@click.argument("source")
@output_option
@in_haste()
def source_command(source: str, output: str) -> int:
    """Tell which releases were trained on data that names SOURCE as upstream, and where they run.

    Ends with 1 where one of them runs, one runs of which it is not known, or a record is not proven.
    """
    from modelops.audit.listings import dependents_of_source
    from modelops.views.proofs import listings as view

    answer = dependents_of_source(_records(), source)
    emit(output, view.data(answer), lambda: view.text(answer))
    return 0 if answer.ok else 1


@click.command("approvals")
@click.option("--since", metavar="DATE", help=f"From this on. {_DATE}")
@click.option("--until", metavar="DATE", help=f"Before this. {_DATE}")
@click.option("--who", metavar="LOGIN", help="By this person alone.")
@output_option
@in_haste()
def approvals_command(since: str | None, until: str | None, who: str | None, output: str) -> int:
    """Tell who approved which release, or which promotion, over a period.

    Models that are gone count. Ends with 1 where a record is not proven or cannot be read, and names it.
    """
    from modelops.audit.listings import approvals_between
    from modelops.clock import parse_instant
    from modelops.views.proofs import listings as view

    begin, end = (None if text is None else parse_instant(text) for text in (since, until))
    answer = approvals_between(_records(), begin, end, who)
    emit(output, view.data(answer), lambda: view.text(answer))
    return 0 if answer.ok else 1


@click.command("gates")
@click.option(
    "--verdict",
    "words",
    multiple=True,
    type=click.Choice(["fail", "inconclusive", "no-data"]),
    help="Only these; repeatable. All three by default.",
)
@output_option
@in_haste()
def gates_command(words: tuple[str, ...], output: str) -> int:
    """Tell every verdict of every release that is no pass, why it was released all the same, and where it runs.

    Ends with 1 where such a release runs, or a record is not proven.
    """
    from modelops.audit.listings import unpassed
    from modelops.views.proofs import listings as view

    answer = unpassed(_records(), words or ("fail", "inconclusive", "no-data"))
    emit(output, view.data(answer), lambda: view.text(answer))
    return 0 if answer.ok else 1


@click.command("waivers")
@output_option
@in_haste()
def waivers_command(output: str) -> int:
    """Tell how every waiver stands, and everything that one ever let through, with who granted it and why.

    Ends with 1 where the policies cannot be read that say how waivers stand, or a record is not proven; the rest is
    told all the same.
    """
    from modelops.audit.listings import uses_of_waivers
    from modelops.errors import ModelOpsError
    from modelops.governance.waivers import standings
    from modelops.views.proofs import listings as view

    workspace, records = _opened()
    used, tip = uses_of_waivers(records), records.revision
    try:
        standing, unread = standings(workspace, workspace.graph(tip), tip), None
    except ModelOpsError as error:
        standing, unread = (), str(error.first)
    emit(output, view.waivers_data(standing, used, unread), lambda: view.waivers_text(standing, used, unread))
    return 0 if unread is None and used.ok else 1


@click.command("entity")
@click.argument("entity")
@click.option("--on", "day", metavar="DATE", help="Only on this day, in UTC.")
@click.option("--model", help="Only by this model.")
@log_option
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many are listed.")
@output_option
def entity_command(
    entity: str, day: str | None, model: str | None, exported: tuple[str, ...], limit: int, output: str
) -> int:
    """Tell what was answered about ENTITY, on a day or ever, by the logs of this machine and by exports.

    Ends with 1 where nothing was.
    """
    from datetime import timedelta

    from modelops.audit import of_entity, to_dict
    from modelops.clock import parse_instant
    from modelops.project.retired import retired_models
    from modelops.views.proofs import listings as view

    workspace, records = _opened()
    begin = None if day is None else parse_instant(day).replace(hour=0, minute=0, second=0, microsecond=0)
    period = (None, None) if begin is None else (begin, begin + timedelta(days=1))
    known = {name for _, name, _ in records.places("Model")}
    known |= set(retired_models(workspace.repository, records.revision))
    logs = [*logs_here(workspace), *exported_logs(workspace, exported)]
    found, count = of_entity(logs, sorted(known) if model is None else [model], entity, limit, *period)
    answer = {"entity": entity, "count": count, "predictions": [to_dict(one) for one in found]}
    emit(output, answer, lambda: view.entity_text(found, count))
    return 0 if count else 1


@click.command("case")
@click.argument("id")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--artifact", is_flag=True, help="The files of the model, too.")
@log_option
@output_option
def case_command(id: str, directory: Path, artifact: bool, exported: tuple[str, ...], output: str) -> int:
    """Write everything about prediction ID into DIRECTORY, signed: `openssl` and `sha256sum` alone can check it.

    It is written whatever is proven; ends with 1 where not everything is, as `audit prediction` does.
    """
    from modelops.artifacts import open_artifact
    from modelops.audit import Rescorer, prediction_in
    from modelops.audit.case import case_files, write_case

    workspace, records = _opened()
    logs = [*logs_here(workspace), *exported_logs(workspace, exported)]
    answer = prediction_in(records, id, logs=logs, rescorer=Rescorer(lambda: workspace.store))
    opened = None
    if artifact and answer.made_by is not None:
        opened = open_artifact(workspace.store, answer.made_by.artifact)
    files = case_files(records, answer, workspace.signer, workspace.clock(), opened)
    write_case(files, directory)
    told = {"directory": str(directory), "files": sorted(files), "ok": answer.ok}
    proven = "everything in it is proven" if answer.ok else "NOT everything in it is proven: see answer.json"
    emit(output, told, lambda: f"{directory}: {len(files)} files, README.txt says how to check them; {proven}")
    return 0 if answer.ok else 1


COMMANDS = (
    case_command,
    package_command,
    source_command,
    approvals_command,
    gates_command,
    waivers_command,
    entity_command,
)
