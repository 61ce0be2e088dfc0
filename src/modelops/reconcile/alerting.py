"""Alerts of a pass: seats that stalled or are well again, and releases that a rollout withdrew and denied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from modelops.errors import ModelOpsError, Problem
from modelops.evidence import ROLLOUT_OUTCOME, check_promotion
from modelops.governance.promotions import covering_promotion, promotion_evidence
from modelops.monitoring.telling import Cause, Memory, Seen, tell
from modelops.project.workspace import MACHINE, Workspace, trusted
from modelops.reconcile.actions import Blocked
from modelops.reconcile.loop import Condition, Result
from modelops.spec.graph import Graph
from modelops.spec.layout import Seat

__all__ = ["tell_of_pass"]


def tell_of_pass(workspace: Workspace, result: Result, began: datetime) -> tuple[Problem, ...]:
    """Tell people what a pass that began then came to; return what went wrong with the telling."""
    name = result.plan.environment

    def look(graph: Graph, memory: Memory) -> Seen:
        stalled = (_stalled(result, condition) for condition in result.conditions if condition.type == "Stalled")
        well = {Seat(each.model, name) for each in result.conditions if _is_well(each)}
        tip = workspace.tip()
        withdrawn = (_withdrawn(each) for each in _denied(workspace, graph, tip, name, memory))
        return Seen(tip, (*stalled, *withdrawn), {"stalled": well})

    return tell(workspace, name, "reconcile", began, look)


def _is_well(condition: Condition) -> bool:
    """Tell whether nothing keeps a seat from going on; of one that another reconciler holds, it will say so."""
    return condition.type == "Ready" or (condition.type == "Reconciling" and condition.reason != "held")


def _stalled(result: Result, condition: Condition) -> Cause:
    name = result.plan.environment
    blocked = (
        entry for entry in result.plan.entries if isinstance(entry, Blocked) and entry.seat.model == condition.model
    )
    told = (problem.hint for problem in result.problems if problem.code == condition.reason and problem.hint)
    hint = next((entry.hint for entry in blocked if entry.code == condition.reason), None) or next(told, None)
    seat = Seat(condition.model, name)
    then = hint or f"modelops status says how {name} stands; modelops reconcile {name} tries again"
    return Cause("stalled", seat, condition.reason, f"{seat} is stalled: {condition.message}", then)


@dataclass(frozen=True, slots=True)
class _Denial:
    """A release that a rollout denied here, as its signed evidence says."""

    seat: Seat
    release: int
    at: str
    reason: str


def _denied(workspace: Workspace, graph: Graph, tip: str, name: str, memory: Memory) -> Iterator[_Denial]:
    """Yield the denials that came since alerts are sent here, and those that somebody still has to be told of.

    Evidence is read of these alone. What a person denied, and what is older, is no news.
    """
    untold = {(key.model, key.release) for key, told in memory.told.items() if key.release and told.at is None}
    for model, entry in graph.models.items():
        deployment = entry.deployments.get(name)
        denied = {each.release: f"{model} {each.release}" for each in deployment.spec.denied} if deployment else {}
        memory.known -= {mark for mark in memory.known if mark.split()[0] == model} - {*denied.values()}
        for release, mark in denied.items():
            if mark in memory.known and (model, release) not in untold:
                continue
            memory.known.add(mark)
            found = _outcome(workspace, graph, tip, Seat(model, name), release)
            if found is not None and str(found["at"]) >= memory.began:
                yield _Denial(Seat(model, name), release, str(found["at"]), str(found["reason"]))


def _outcome(workspace: Workspace, graph: Graph, tip: str, seat: Seat, release: int) -> Any:
    """Return what the loop signed about the failure of a release, None where a person denied it, or nobody signed."""
    record = covering_promotion(graph, seat, release)
    if record is None:
        return None
    try:
        said = check_promotion(
            record, promotion_evidence(workspace, tip, seat.model, record.name), trusted(workspace, tip)
        )
    except ModelOpsError:
        return None
    outcomes = [each.predicate for each in said if each.predicate_type == ROLLOUT_OUTCOME]
    mine = [each for each in outcomes if each.get("outcome") == "failed" and each.get("by") == MACHINE.name]
    return mine[-1] if mine else None


def _withdrawn(denial: _Denial) -> Cause:
    seat = denial.seat
    return Cause(
        "rolled-back",
        seat,
        "rollout-failed",
        f"release {denial.release} of {seat} was withdrawn and is denied there: {denial.reason}",
        f"modelops rollout replay {seat.model} {seat.environment} shows what decided it",
        denial.release,
        denial.at,
    )
