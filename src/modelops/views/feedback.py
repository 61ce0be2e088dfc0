"""What became of labels that were told to a server."""

from __future__ import annotations

from typing import Any

from modelops.markup import plain
from modelops.serving.client.telling import Report
from modelops.views.terminal import table

_SHOWN = 20


def data(report: Report) -> dict[str, Any]:
    """Return the counts, all of them, and the problems."""
    names = ("labels", "accepted", "replaced", "unknown", "refused")
    return {name: report.counts[name] for name in names} | {"problems": report.problems}


def text(report: Report) -> str:
    """Return one line of counts and the first problems."""
    c = report.counts
    said = f"{c['labels']} labels: {c['accepted']} accepted ({c['replaced']} of them replaced another label), "
    said += f"{c['unknown']} of unknown predictions, {c['refused']} refused"
    if report.problems:
        shown = [(p["line"], plain(p["id"])[:40], plain(p["error"])) for p in report.problems[:_SHOWN]]
        said += "\n" + table(("LINE", "ID", "PROBLEM"), shown)
    if len(report.problems) > _SHOWN:
        said += f"\n… and {len(report.problems) - _SHOWN} more; --output json lists them all"
    return said
