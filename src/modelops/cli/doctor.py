"""`modelops doctor`: what this machine keeps, measured, and how the repository is set up where others work in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelops.cli.output import emit, output_option
from modelops.errors import Exit, ModelOpsError

if TYPE_CHECKING:
    from modelops.forges import Point


def _living() -> tuple[Point, ...] | None:
    """Return how the repository around this folder is set up; None outside of one, or where nothing can be."""
    from modelops.forges import Point
    from modelops.governance.judged import by_approved_project
    from modelops.project.examining import examine
    from modelops.project.workspace import open_workspace

    try:
        workspace = open_workspace()
    except ModelOpsError:
        return None
    if workspace.repository.find("HEAD") is None:
        # Nothing is committed yet, so that nothing says which forge it is.
        return None
    try:
        away = workspace.reach()
        # What nobody approved does not say to whom a token is told.
        by_approved_project(workspace)
    except ModelOpsError as error:
        return (Point("project", "fails", error.first.message, error.first.hint),)
    return examine(workspace, away)


@click.command("doctor")
@output_option
def command(output: str) -> int:
    """Measure how far this machine fences code of the repository, say where keys lie, and examine the repository.

    A program behind the fence really tries the ways out. Where pull requests are GitHub's, the settings there are
    held against what approvals rely on, each with the command that mends it.

    Exits with 0 when everything holds, 1 when something does not, and 4 when nothing fails and something cannot be
    seen with this token.
    """
    from modelops.fence.trial import measure
    from modelops.project.protection import key_places, private_places, required_here
    from modelops.views.proofs import fence, repository

    held, found = measure(private_places())
    required, keys = required_here(), key_places()
    points = _living()
    data = fence.data(held, found, required, keys)
    if points is not None:
        data["repository"] = repository.data(points)

    def text() -> str:
        parts = [fence.text(held, found, required, keys), *([repository.text(points)] if points is not None else [])]
        return "\n\n".join(parts)

    emit(output, data, text)
    if not all(one.holds for one in found):
        return Exit.NO
    return repository.exit_of(points or ())
