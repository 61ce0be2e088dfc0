"""How long predictions are kept: by the environment, and never shorter than somebody looks back."""

from __future__ import annotations

from datetime import timedelta

from modelops.changes.sealing import seal_before_dropping
from modelops.clock import parse_instant
from modelops.monitoring.anomalies import BACK
from modelops.project.target import site_of, target_of
from modelops.project.workspace import Workspace, environment
from modelops.rollouts.memory import read_rollout
from modelops.spec.graph import Graph


def forget_old_predictions(workspace: Workspace, graph: Graph, name: str) -> None:
    """Drop the days of the prediction log that the environment does not keep and that nobody needs."""
    days = environment(graph, name).spec.log_days
    if days is None:
        return
    site, now = site_of(workspace, name), workspace.clock()
    needed = 0.0
    for model, entry in graph.models.items():
        if name not in entry.deployments:
            continue
        if entry.monitor is not None:
            retraining, reference = entry.monitor.spec.retraining, entry.monitor.spec.reference
            back = entry.monitor.spec.window_days + (reference.cycle_days or 0.0) * reference.cycles
            objectives = entry.monitor.spec.objectives
            needed = max(needed, back, retraining.lookback_days if retraining else 0.0)
            needed = max(needed, objectives.period_days if objectives else 0.0)
            if entry.monitor.spec.anomalies is not None:
                needed = max(needed, BACK / timedelta(days=1))
        state = read_rollout(site, model)
        if state is not None:
            needed = max(needed, (now - parse_instant(state.steps[0].started)) / timedelta(days=1))
    log = target_of(workspace, graph, name).log()
    kept = max(days, needed)
    seal_before_dropping(workspace, graph, name, log.expired(now, days=kept), kept)
    log.retain(now, days=kept)
