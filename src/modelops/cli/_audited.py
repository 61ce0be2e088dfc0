"""What an answer of ``modelops audit`` is written to: a page, Markdown or JSON, with when and of what it was asked."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelops.cli.output import as_json, note, save

if TYPE_CHECKING:
    from modelops.audit import ReleaseAnswer
    from modelops.metrics.curves import Curves
    from modelops.project.workspace import Workspace
    from modelops.spec.kinds.model import Task
    from modelops.views.reports.audited import Answer

__all__ = ["Drawn", "drawn_of", "write_report"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the pictures of a release need beside its answer: its curves, or why there are none, and its task."""

    curves: Curves | str | None = None
    task: Task | None = None


def drawn_of(workspace: Workspace, answer: ReleaseAnswer) -> Drawn:
    """Return what is drawn of a release, as far as the branch and the store have it."""
    from modelops.errors import ModelOpsError
    from modelops.spec.kinds.release import ReleaseSpec
    from modelops.spec.load import load_resource
    from modelops.training.answers import curves_of_release

    entry = workspace.known()[1].models.get(answer.model)
    task = entry.model.spec.task if entry is not None else None
    try:
        found = load_resource(workspace.repository.read(answer.revision, answer.file), answer.file)
    except ModelOpsError as error:
        return Drawn(str(error.first.message), task)
    if not isinstance(found.spec, ReleaseSpec):
        return Drawn("its file is of another kind", task)
    return Drawn(curves_of_release(workspace.store, found.spec), task)


def write_report(
    path: Path,
    workspace: Workspace,
    at: datetime,
    answer: Answer,
    plain: Mapping[str, Any],
    drawn: Drawn | None = None,
) -> None:
    """Write the report of an answer in the form that the ending of its file asks for; ``plain`` is its JSON."""
    from modelops.clock import format_instant
    from modelops.views.reports import audited as view

    asked = view.Asked(format_instant(at), workspace.tip(), workspace.branch, _again())
    shown = drawn or Drawn()
    match path.suffix.lower():
        case ".json":
            text = as_json(view.data(plain, asked)) + "\n"
        case ".md":
            text = view.markdown(view.report(answer, asked, shown.curves))
        case _:
            from modelops.dashboard.reports import audited

            text = audited(answer, asked, shown.curves, shown.task)
    save(path, text)
    note(f"wrote {path}")


def _again() -> str:
    """Return the line that asks the same again: the verb with its arguments and the options that were given."""
    context = click.get_current_context()
    words = [context.command_path]
    for one in context.command.params:
        value = context.params.get(one.name or "")
        if one.name in ("report", "output") or value is None or value == ():
            continue
        given = value if isinstance(value, tuple) else (value,)
        option = isinstance(one, click.Option)
        words += [f"{one.opts[0]} {shlex.quote(str(each))}" if option else shlex.quote(str(each)) for each in given]
    return " ".join(words)
