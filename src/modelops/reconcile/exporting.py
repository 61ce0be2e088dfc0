"""Exporting: what other tools need to know about an environment, from what git says and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelops import exports
from modelops.exports import ModelView, View
from modelops.governance.judged import desired
from modelops.project.workspace import Workspace, environment
from modelops.reconcile.render import from_options, given
from modelops.rollouts.state import arms_in_order
from modelops.spec.graph import Graph


def view_of(graph: Graph, name: str) -> View:
    """Return what git says about an environment; no store, runtime or rollout is asked."""
    environment(graph, name)
    models = []
    for model, entry in sorted(graph.models.items()):
        deployment = entry.deployments.get(name)
        if deployment is None:
            continue
        there, spec = deployment.spec, entry.model.spec
        arms = arms_in_order(there.stable, there.candidate, there.challengers)
        if arms:
            models.append(
                ModelView(
                    name=model,
                    description=spec.description,
                    owner=spec.owner,
                    risk=spec.risk,
                    task=spec.task,
                    latency_objective_ms=spec.serving.latency_objective_ms,
                    arms=arms,
                    monitored=entry.monitor is not None,
                    judged=entry.monitor is not None and entry.monitor.spec.performance is not None,
                    objectives=entry.monitor.spec.objectives if entry.monitor is not None else None,
                )
            )
    return View(name, tuple(models))


def exported(workspace: Workspace, name: str, key: str, params: Sequence[str]) -> Mapping[str, str]:
    """Return the files of an export; equal inputs give equal bytes."""
    _, graph = desired(workspace)
    view = view_of(graph, name)
    bound = from_options(exports.bind, key, given(params))
    return bound.module.files(bound.params, view)
