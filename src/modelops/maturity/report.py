"""The whole answer: the repository and every model of one commit."""

from __future__ import annotations

from collections.abc import Sequence

from modelops import audit
from modelops.audit.moments import read_moments
from modelops.errors import ModelOpsError
from modelops.governance.judged import known, unapproved_commits
from modelops.maturity import Report
from modelops.maturity.model import Told, of_model
from modelops.maturity.repository import of_repository
from modelops.project.state import accepted_roots
from modelops.project.workspace import Workspace, model_entry
from modelops.spec.graph import Graph
from modelops.spec.layout import Seat

__all__ = ["report"]


def report(workspace: Workspace, models: Sequence[str] | None = None) -> Report:
    """Return how mature the branch is as far as it is known here, and each model of it, or of some."""
    tip, graph = known(workspace)
    names = sorted({*graph.models, *graph.stalled_models}) if models is None else list(models)
    for name in names if models is not None else ():
        model_entry(graph, name)
    away = unapproved_commits(workspace)
    accepted = accepted_roots(workspace.state, workspace.environ)
    asked = audit.Asked(workspace.clock(), accepted, away, workspace.standing(tip).unapproved)
    seats = [Seat(name, where) for name in names if name in graph.models for where in graph.models[name].deployments]
    moments = read_moments(workspace.repository, tip, seats)
    told = _told(workspace, graph, asked)
    found = tuple(of_model(workspace, graph, tip, name, told, moments, asked) for name in names)
    running = frozenset(seat.model for seat in seats if _runs(graph, seat))
    return Report(tip, of_repository(workspace, graph, tip), found, running)


def _runs(graph: Graph, seat: Seat) -> bool:
    return graph.models[seat.model].deployments[seat.environment].spec.stable is not None


def _told(workspace: Workspace, graph: Graph, asked: audit.Asked) -> Told:
    """Return what the auditor says of every seat now; of an environment that he cannot tell of there is nothing."""
    found: dict[Seat, audit.ModelThere] = {}
    for name in graph.environments:
        try:
            answer = audit.environment(workspace.repository, name, asked.now, branch=workspace.branch, asked=asked)
        except ModelOpsError:
            continue
        found |= {Seat(one.model, name): one for one in answer.models}
    return found
