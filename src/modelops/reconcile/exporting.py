"""Exporting: what other tools need to know about an environment, from what git says and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from modelops import exports, strategies
from modelops.exports import ModelView, Trial, View
from modelops.governance.judged import desired
from modelops.project.target import rendered_by
from modelops.project.workspace import Workspace, environment
from modelops.reconcile.render import deployable_of, from_options, given
from modelops.rollouts.state import arms_in_order
from modelops.spec.graph import Graph
from modelops.spec.kinds import Resource
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.strategies import Planned


def view_of(graph: Graph, name: str) -> View:
    """Return what git says about an environment; no store, runtime or rollout is asked."""
    direct = environment(graph, name).spec.rollout == "direct"
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
                    trial=None if direct else _trial(entry.rollout, deployment.spec, tuple(arms)),
                )
            )
    return View(name, tuple(models))


def _trial(plan: Resource[RolloutPlanSpec] | None, deployment: DeploymentSpec, arms: Sequence[str]) -> Trial | None:
    """Return how the arms beside stable are tried; the first release of all is tried against nothing."""
    if plan is None or deployment.stable is None or deployment.candidate is None:
        return None
    spec = plan.spec
    bound = strategies.bind(spec.strategy, plan, "spec.strategy")
    return Trial(
        strategy=bound.key,
        params=bound.params,
        stages=bound.module.stages(bound.params, arms) if isinstance(bound.module, Planned) else (),
        on_failure=spec.on_failure,
        on_success=spec.on_success,
        paused=deployment.paused,
        requests_per_hour=spec.expect.requests_per_hour if spec.expect is not None else None,
        where=plan.where,
    )


def exported(workspace: Workspace, name: str, key: str, params: Sequence[str]) -> Mapping[str, str]:
    """Return the files of an export; equal inputs give equal bytes."""
    _, graph = desired(workspace)
    view = replace(
        view_of(graph, name),
        deployable=lambda: deployable_of(workspace, name, trials=True),
        reconciled=rendered_by(graph, name) is None,
    )
    bound = from_options(exports.bind, key, given(params))
    return bound.module.files(bound.params, view)
