"""Alerts of the monitor: models whose input has drifted or whose metric has fallen, and those that are well again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from modelops.alerts import Happening
from modelops.changes.retraining import Watched
from modelops.changes.triaging import kept_of
from modelops.errors import ModelOpsError, Problem
from modelops.monitoring import triage
from modelops.monitoring.exposing import expose_windows
from modelops.monitoring.telling import Cause, Memory, Seen, tell
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph
from modelops.spec.layout import Seat

__all__ = ["tell_of_windows"]

_KINDS: dict[Happening, triage.Kind] = {
    "drift": "drift",
    "performance": "performance",
    "inputs": "data",
    "silent": "silent",
}
"""What has to be well for an event to be over."""


def tell_of_windows(
    workspace: Workspace, name: str, watched: Sequence[Watched], began: datetime
) -> tuple[Problem, ...]:
    """Tell people, and Prometheus, what the monitor found; return what went wrong with the telling."""

    def look(graph: Graph, memory: Memory) -> Seen:
        # As they are now: another monitor may have closed meanwhile what this one saw open.
        site = workspace.site(name)
        now = [replace(found, kept=kept_of(site, found.seat.model)) for found in watched]
        causes = [cause for found in now for cause in _causes(found)]
        return Seen(workspace.tip(), tuple(causes), _over(now))

    problems = tell(workspace, name, "monitor", began, look)
    _, graph = workspace.known()
    looked_at = [
        model
        for model, entry in graph.models.items()
        if entry.monitor is not None and name in entry.deployments and entry.deployments[name].spec.stable is not None
    ]
    try:
        kept = {found.seat.model: found.kept for found in watched}
        reports = [found.report for found in watched]
        expose_windows(workspace.site(name).runtime, reports, looked_at, workspace.clock(), kept)
    except ModelOpsError as error:
        return (*problems, *error.problems)
    return problems


def _over(watched: Sequence[Watched]) -> dict[Happening, set[Seat]]:
    """Return what is over: no incident of it is open, and the look knows that it is well, or closed the last one."""
    over: dict[Happening, set[Seat]] = {event: set() for event in (*_KINDS, "burn", "slow-burn", "anomaly")}
    for found in watched:
        known = triage.well(found.report, found.silent)
        going = {event for one in found.kept.incidents if one.open for event in one.events}
        closed = {event for one in found.kept.incidents if not one.open for event in one.events}
        for event in over:
            if event not in going and (event in closed or _KINDS.get(event) in known):
                over[event].add(found.seat)
    return over


def _causes(found: Watched) -> list[Cause]:
    """Return the open incidents of a seat as what people are told."""
    seat, causes = found.seat, []
    for one in found.kept.incidents:
        if one.open:
            likely = f"; likely cause: {one.cause}" if one.cause else ""
            said = f"{seat}: {one.said}{likely}"
            causes.append(Cause(one.event, seat, one.code, said, _next(found, one), one.release))
    return causes


def _next(found: Watched, one: triage.Incident) -> str:
    """Say what is to be done about an incident."""
    seat = found.seat
    if one.kind == "data":
        kept_out = "; nothing is trained on these rows" if one.rows else ""
        return f"ask whoever sends the data{kept_out}"
    if one.kind == "silent":
        return "see who calls it: modelops status"
    if one.kind in ("drift", "performance", "quality"):
        if found.pull is not None:
            return f"review pull request {found.pull.number}: {found.pull.title}"
        if found.lacks:
            return found.lacks
        if found.decision is not None:
            return f"retraining: {found.decision.reason}"
    return f"modelops monitor {seat.environment} --model {seat.model} shows what it is made of"
