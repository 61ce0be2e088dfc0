"""The export `flagger`: a Canary for each model, whose steps Flagger moves and judges by Prometheus.

Its pods hold one release each: the candidate where git names one, else stable. The weights are those of the plan.
Flagger has one interval for all steps: the longest of theirs, at which each guard is asked by an e-value that keeps the
plan's alpha over all looks that there can be. It never waits: too few requests are a failed check, and after as many
failed checks as fit into the shortest deadline it goes back. What git says when it is over is a person's commit.
Without a candidate nothing is judged, so that a way back is at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Self

from pydantic import model_validator

from modelops.exports import ModelView, Trial, View
from modelops.exports._judging import Check, checks, plan_of, seconds_of, unjudged
from modelops.exports._pods import Object, alone, lasting, name_of, objects_for, renamed
from modelops.exports._routes import RUN_IT, percents, refused
from modelops.exports._watched import Watched, files_of
from modelops.exports._ways import Host, host_of, parent_of
from modelops.spec.routing import Route
from modelops.strategies.canary import Params as Canary
from modelops.targets import Deployable

__all__ = ["Params", "files"]

LABEL = "app.kubernetes.io/name"
"""By what Flagger tells pods apart: its Services select by this label alone, so its value is of one model."""
_IDLE = 60


class Params(Watched):
    """What pods run, which gateway leads to them, and which Prometheus is asked.

    Flagger writes the route itself, by host name. ``domain`` is what follows the name of each model in its own.
    """

    domain: Host

    @model_validator(mode="after")
    def _scaled(self) -> Self:
        if self.maximum_replicas <= self.minimum_replicas:
            raise ValueError(
                "Flagger moves the pods of a release by its autoscaler: let maximumReplicas be above the minimum"
            )
        return self


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return the objects of each model in its folder."""
    return files_of(view, partial(_objects, params, view))


def _objects(
    params: Params, view: View, deployable: Deployable, known: ModelView | None, model: str, route: Route
) -> dict[str, Object]:
    trial = plan_of(known, route, "Flagger")
    name = name_of(view.environment, model)
    newest = next((arm for arm in route.arms if arm.name == "candidate"), route.arms[0])
    hint = "run it by the target kubernetes, with logStorage"
    made = objects_for(params, deployable, model, alone(route, newest), hint)
    made = renamed(made, name, name, {LABEL: name})
    # Flagger copies the Deployment: what is of its pods is of those of the copy, too.
    either = {"matchExpressions": [{"key": LABEL, "operator": "In", "values": [name, f"{name}-primary"]}]}
    policy = made["networkpolicy"]
    policy = {**policy, "spec": {**policy["spec"], "podSelector": either}}
    budget = made["poddisruptionbudget"]
    primary = {"matchLabels": {LABEL: f"{name}-primary"}}
    found = {
        "configmap": made["configmap"],
        "deployment": made["deployment"],
        "poddisruptionbudget": {**lasting(budget), "spec": {**budget["spec"], "selector": primary}},
        "networkpolicy": lasting(policy),
    }
    if "horizontalpodautoscaler" in made:
        found["horizontalpodautoscaler"] = lasting(made["horizontalpodautoscaler"])
    analysis: Object = {"interval": f"{_IDLE}s", "threshold": 1, "iterations": 1}
    silent: list[str] = []
    if trial is not None and known is not None:
        analysis, asked = _analysis(params, view, known, name, *trial)
        found |= asked
        silent = unjudged(known, trial[1])
    found["canary"] = _canary(params, model, name, made, analysis, trial[0] if trial is not None else None, silent)
    return found


def _canary(
    params: Params, model: str, name: str, made: Mapping[str, Object], analysis: Object, trial: Trial | None,
    silent: list[str],
) -> Object:  # fmt: skip
    metadata = lasting(made["deployment"])["metadata"]
    if silent:
        metadata["annotations"]["modelops.dev/not-judged"] = ", ".join(silent)
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": name}
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": metadata,
        "spec": {
            "provider": "gatewayapi:v1",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            **({"autoscalerRef": scaler} if "horizontalpodautoscaler" in made else {}),
            "progressDeadlineSeconds": 600,
            "service": {
                "port": 80,
                "targetPort": "http",
                "portDiscovery": False,
                "hosts": [host_of(params, model)],
                "gatewayRefs": [parent_of(params)],
            },
            **({"skipAnalysis": True} if trial is None else {}),
            **({"suspend": True} if trial is not None and trial.paused else {}),
            "analysis": analysis,
        },
    }


def _threshold(trial: Trial, plan: Canary, seconds: int) -> int:
    """Return after how many failed checks it goes back; a plan that would wait is refused, as Flagger cannot."""
    if trial.on_failure != "rollback":
        said = f"Flagger goes back whenever checks fail, and the plan says onFailure: {trial.on_failure}"
        raise refused(trial, "onFailure", said, f"say onFailure: rollback; or {RUN_IT}")
    if trial.on_success != "commit":
        said = "Flagger ends with a promotion, and the plan says onSuccess: pull-request"
        raise refused(trial, "onSuccess", said, f"say onSuccess: commit; or {RUN_IT}")
    deadlines = [step.deadline_minutes for step in plan.steps]
    if plan.on_deadline != "rollback" or None in deadlines:
        said = "Flagger goes back where too few requests come, and the plan holds"
        raise refused(
            trial,
            "strategy.params.onDeadline",
            said,
            f"say onDeadline: rollback, and deadlineMinutes in each step; or {RUN_IT}",
        )
    shortest = min(deadline for deadline in deadlines if deadline is not None)
    return max(1, math.floor(shortest * 60 / seconds))


def _analysis(
    params: Params, view: View, known: ModelView, name: str, trial: Trial, plan: Canary
) -> tuple[Object, dict[str, Object]]:
    """Return the analysis, and the templates of its metrics by what their files are called."""
    seconds = max(seconds_of(trial, stage, params.minimum_minutes) for stage in trial.stages)
    threshold = _threshold(trial, plan, seconds)
    heaviest = trial.stages[-1]
    requests = max(stage.requests for stage in trial.stages)
    # Each look takes a step forward or is one of those that failed: there are never more.
    looks = len(trial.stages) + threshold
    metrics, templates = [], {}
    for check in checks(view.environment, known, plan, heaviest, seconds, looks, requests):
        template = _template(params, known, f"{name}-{check.name}", check)
        templates[f"metrictemplate-{check.name}"] = template
        metrics.append(
            {
                "name": check.name,
                "interval": f"{seconds}s",
                "templateRef": {"name": template["metadata"]["name"], "namespace": params.namespace},
                "thresholdRange": {"min": check.minimum} if check.limit is None else {"max": check.limit},
            }
        )
    weights = percents(trial, "Flagger")
    analysis = {"interval": f"{seconds}s", "threshold": threshold, "stepWeights": weights, "metrics": metrics}
    return analysis, templates


def _template(params: Params, known: ModelView, name: str, check: Check) -> Object:
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {
            "name": name,
            "namespace": params.namespace,
            "labels": {"app.kubernetes.io/managed-by": "modelops"},
            "annotations": {"modelops.dev/model": known.name},
        },
        "spec": {"provider": {"type": "prometheus", "address": params.prometheus}, "query": check.query},
    }
