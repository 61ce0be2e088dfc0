"""`modelops pr report`, `publish` and `approvals`: what a pull request is told, in two halves.

The first runs proposed code and holds no token, the second holds one and reads what the first left as data.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli.output import emit, note, output_option, save, say, tell_fence

if TYPE_CHECKING:
    from modelops.changes.report import Report
    from modelops.errors import ModelOpsError
    from modelops.governance.publishing import Place
    from modelops.project.workspace import Workspace
    from modelops.reconcile.measured import Measured


def _whole_id(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", value):
        raise click.BadParameter("a whole commit id is needed, 40 hexadecimal digits", ctx, param)
    return value


def _address(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value and not re.fullmatch(r"https?://[A-Za-z0-9./_~:%?=&#@+-]{1,500}", value):
        raise click.BadParameter(f"{value!r} is no address of a page", ctx, param)
    return value


_pull_option = click.option(
    "--pull", "number", type=click.IntRange(min=1), help="Only if it is this pull request's head."
)
_url_option = click.option("--details-url", "url", default="", callback=_address, help="Where the run can be read.")
_head_option = click.option(
    "--match-head-commit", "head", metavar="SHA", callback=_whole_id, help="The commit that was measured, in full."
)


@click.command()
@click.option("--since", required=True, metavar="REV", help="What it is to be merged into, such as origin/main.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where the report goes, as JSON."
)
@click.option("--build/--no-build", default=True, show_default=True, help="Build and judge the models that need it.")
@click.option("--summary", type=click.Path(dir_okay=False, path_type=Path), help="Append the report as Markdown.")
@output_option
def report(since: str, out: Path, build: bool, summary: Path | None, output: str) -> int:
    """Measure what merging the checked-out commit makes, and write it down for `pr publish`.

    Needs no forge and no token. The report is written whatever is found.
    """
    from modelops.changes.report import written
    from modelops.views.proposals import measured as view
    from modelops.views.proposals import published

    found = _measured(since, build=build)
    told = view.report(found)
    save(out, written(told))
    note(f"wrote {out}")
    if summary is not None:
        checked = published.gates(told, None, (), (), "")
        with summary.open("a", encoding="utf-8") as file:
            file.write(f"### {published.headline(checked)}\n\n{checked.said.summary}\n")
    for problem in found.problems:
        note(f"error: {problem}")
    for problem in found.warnings:
        note(f"warning: {problem}")
    emit(output, told.model_dump(mode="json", by_alias=True), lambda: view.text(told))
    return found.exit


def _measured(since: str, *, build: bool) -> Measured:
    """Measure the checked-out commit; what keeps the project from being opened is told of it, too."""
    from modelops.errors import ModelOpsError
    from modelops.governance.judged import by_approved_project
    from modelops.project.workspace import open_workspace
    from modelops.reconcile.measured import broken, measure
    from modelops.repository import Repository

    repository = Repository.discover(Path.cwd())
    head, base = repository.head(), repository.resolve(since)
    try:
        workspace = open_workspace(heard=tell_fence())
        by_approved_project(workspace)
    except ModelOpsError as error:
        return broken(head, base, error)
    return measure(workspace, since, build=build, say=say)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_head_option
@_pull_option
@click.option(
    "--head-branch", "branch", metavar="BRANCH", help="The branch that the run was on; of a fork OWNER:BRANCH."
)
@_url_option
@output_option
def publish(file: Path | None, head: str | None, number: int | None, branch: str | None, url: str, output: str) -> int:
    """Tell a pull request what was measured of it: one comment and two checks, brought up to date in place.

    FILE is a report of `pr report`; it is believed nothing. Without one it is said that there is none.
    """
    from modelops.governance import publishing
    from modelops.views.proposals import published as view

    if head is None:
        raise click.UsageError("--match-head-commit is needed: a report is of one commit, and the event says which")
    workspace = _open()
    found, why = _read(file, head)
    places = publishing.places(workspace.forge, head, number)
    stood = [(one, publishing.stand(workspace, one)) for one in places]
    if found is not None and (why := publishing.off_base(workspace, places, found.base)) is not None:
        found = None
    elsewhere = publishing.elsewhere(workspace.forge, places, branch) if found is not None else ()
    approved = [view.approvals(one.verdict, one.trouble, url) for _, one in stood]
    least, told = view.of_commit(approved), []
    for (place, one), mine in zip(stood, approved, strict=True):
        signed = one.verdict is not None and one.verdict.signed
        measured = view.gates(found, why, publishing.measuring(one), elsewhere, url)
        checked = view.signed_gates(url) if signed else measured
        checks = [
            (publishing.GATES_CHECK, checked.conclusion, checked.said),
            (publishing.APPROVALS_CHECK, least.conclusion, least.said),
        ]
        publishing.speak(workspace.forge, place, checks, view.comment(place.pull, found, checked, mine))
        told.append({**_place(place), "gates": checked.conclusion, "approvals": mine.conclusion})
    emit(output, told, lambda: "\n".join(map(view.line, told)))
    if why is not None:
        raise why
    return 0


def _read(file: Path | None, head: str) -> tuple[Report | None, ModelOpsError | None]:
    from modelops.changes.report import read_report
    from modelops.errors import ModelOpsError

    if file is None or not file.exists():
        note("the run that measures left no report")
        return None, None
    try:
        return read_report(file, head), None
    except ModelOpsError as error:
        return None, error


@click.command()
@click.argument("number", required=False, type=click.IntRange(min=1))
@_head_option
@_url_option
@output_option
def approvals(number: int | None, head: str | None, url: str, output: str) -> int:
    """Judge who has approved a pull request now, and say so in its check and in the comment, without measuring."""
    from modelops.governance import publishing
    from modelops.views.proposals import published as view

    if number is None and head is None:
        raise click.UsageError("name the pull request, or the commit that is its head with --match-head-commit")
    workspace = _open()
    stood = [(one, publishing.stand(workspace, one)) for one in publishing.places(workspace.forge, head, number)]
    approved = [view.approvals(one.verdict, one.trouble, url) for _, one in stood]
    least, told = view.of_commit(approved), []
    for (place, _), mine in zip(stood, approved, strict=True):
        body = publishing.renewed(workspace.forge, place, partial(view.renewed, approved=mine))
        check = (publishing.APPROVALS_CHECK, least.conclusion, least.said)
        publishing.speak(workspace.forge, place, [check], body)
        told.append({**_place(place), "approvals": mine.conclusion, "title": mine.said.title})
    emit(output, told, lambda: "\n".join(map(view.line, told)))
    return 0


def _place(place: Place) -> dict[str, object]:
    return {"pullRequest": place.pull.number, "commit": place.commit, "queued": place.base is not None}


def _open() -> Workspace:
    from modelops.governance.judged import by_approved_project
    from modelops.project.workspace import open_workspace

    workspace = open_workspace(warn=note)
    by_approved_project(workspace)
    return workspace
