"""Alerts of the monitor: models whose input has drifted or whose metric has fallen, and those that are well again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from modelops.alerts import Happening
from modelops.changes.retraining import Watched
from modelops.errors import ModelOpsError, Problem
from modelops.monitoring import WindowReport
from modelops.monitoring.exposing import expose_windows
from modelops.monitoring.report import worst
from modelops.monitoring.telling import Cause, Memory, Seen, tell
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph
from modelops.spec.layout import Seat

__all__ = ["tell_of_windows"]

_NAMED = 5
"""So many drifted features are called by name."""


def tell_of_windows(
    workspace: Workspace, name: str, watched: Sequence[Watched], began: datetime
) -> tuple[Problem, ...]:
    """Tell people, and Prometheus, what the monitor found; return what went wrong with the telling."""

    def look(graph: Graph, memory: Memory) -> Seen:
        causes = [cause for found in watched for cause in _causes(found)]
        return Seen(workspace.tip(), tuple(causes), _well(watched))

    problems = tell(workspace, name, "monitor", began, look)
    _, graph = workspace.known()
    looked_at = [
        model
        for model, entry in graph.models.items()
        if entry.monitor is not None and name in entry.deployments and entry.deployments[name].spec.stable is not None
    ]
    try:
        expose_windows(workspace.site(name).runtime, [found.report for found in watched], looked_at, workspace.clock())
    except ModelOpsError as error:
        return (*problems, *error.problems)
    return problems


def _drift(report: WindowReport) -> str:
    scores = (score for feature in report.features for score in feature.scores.values())
    return worst([*report.scores.values(), *scores])


def _well(watched: Sequence[Watched]) -> dict[Happening, set[Seat]]:
    """Return what is known to be well: too few rows or labels say nothing."""
    well: dict[Happening, set[Seat]] = {"drift": set(), "performance": set(), "inputs": set(), "silent": set()}
    for found in watched:
        seat, performance = found.seat, found.report.performance
        if _drift(found.report) in ("none", "warn"):
            well["drift"].add(seat)
            if not _raised(found.report):
                well["inputs"].add(seat)
        if performance is not None and performance.verdict == "pass":
            well["performance"].add(seat)
        if not found.silent:
            well["silent"].add(seat)
    return well


def _raised(report: WindowReport) -> dict[str, str]:
    """Return the features that a fault of the data shows in, and what it is, most rows first.

    Values beyond the range of the training are none: that is how a drift begins.
    """
    found = [
        (rate.value - rate.reference, feature.name, f"{feature.name} {what} in {rate.value:.1%} of rows")
        for feature in report.features
        for rate, what in ((feature.missing, "is missing"), (feature.unseen, "has unseen values"))
        if rate is not None and rate.raised
    ]
    return {name: said for _, name, said in sorted(found, reverse=True)}


def _causes(found: Watched) -> list[Cause]:
    report, seat = found.report, found.seat
    if found.pull is not None:
        then = f"review pull request {found.pull.number}: {found.pull.title}"
    elif found.lacks:
        then = found.lacks
    elif found.decision is not None:
        then = f"retraining: {found.decision.reason}"
    else:
        then = f"modelops monitor {seat.environment} --model {seat.model} shows the scores"
    causes, faults, drifted = [], _raised(report), report.drifted
    # What is missing has drifted too: the fault is the cause, and the drift below it no second one.
    explained = bool(drifted) and set(drifted) <= faults.keys() and worst(report.scores.values()) != "alert"
    if _drift(report) == "alert" and not explained:
        named = ", ".join(drifted[:_NAMED]) + (f" and {len(drifted) - _NAMED} more" if len(drifted) > _NAMED else "")
        said = f"the input of {seat} has drifted: {named}" if drifted else f"the answers of {seat} have drifted"
        causes.append(Cause("drift", seat, "drift", said, then, found.release))
    if report.performance is not None and report.performance.verdict == "fail":
        said = f"the performance of {seat} fell: {report.performance.reason}"
        causes.append(Cause("performance", seat, report.performance.metric, said, then, found.release))
    if faults:
        named = "; ".join([*faults.values()][:_NAMED]) + (
            f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        )
        said = f"the inputs of {seat} are not like those of its training: {named}"
        causes.append(Cause("inputs", seat, "inputs", said, "ask whoever sends the data", found.release))
    if found.silent:
        said = f"{seat} is silent: {found.silent}"
        causes.append(Cause("silent", seat, "silent", said, "see who calls it: modelops status", found.release))
    return causes
