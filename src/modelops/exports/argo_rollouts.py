"""The export `argo-rollouts`: a Rollout for each model, whose canary Argo Rollouts moves and judges by Prometheus.

Its pods hold one release each: the candidate where git names one, else stable. The steps are those of the plan, with
the weights that modelops would give; after each of them the guards are asked once, by e-values that keep the plan's
alpha over the whole rollout (Bonferroni over steps and guards). Too few requests are inconclusive: the rollout pauses
until a person acts. What git says when it is over is a person's commit: `stable` becomes the release, or `candidate`
goes. Without a candidate there are no steps, so that a way back is at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from modelops.exports import ModelView, Trial, View
from modelops.exports._judging import Check, checks, guards_of, plan_of, seconds_of, unjudged
from modelops.exports._pods import Object, alone, lasting, name_of, objects_for, release_name
from modelops.exports._routes import percents
from modelops.exports._watched import Watched, files_of
from modelops.exports._ways import http_route, match_of, service_ref
from modelops.spec.routing import Route, RouteArm
from modelops.strategies.canary import Params as Canary
from modelops.targets import Deployable
from modelops.targets.kubernetes.objects import routes_name

__all__ = ["Params", "files"]

PLUGIN = "argoproj-labs/gatewayAPI"


class Params(Watched):
    """What pods run, which gateway leads to them, and which Prometheus is asked.

    Argo Rollouts needs its Gateway API plugin.
    """


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return the objects of each model in its folder."""
    return files_of(view, partial(_objects, params, view))


def _objects(
    params: Params, view: View, deployable: Deployable, known: ModelView | None, model: str, route: Route
) -> dict[str, Object]:
    trial = plan_of(known, route, "Argo Rollouts")
    name = name_of(view.environment, model)
    newest = next((arm for arm in route.arms if arm.name == "candidate"), route.arms[0])
    made = _of_release(params, view, deployable, model, route, newest)
    others = [arm for arm in route.arms if arm != newest]
    configs = {f"configmap-{newest.release}": made["configmap"]}
    configs |= {
        # What the pods of the other release read stays as long as they may run.
        f"configmap-{arm.release}": _of_release(params, view, deployable, model, route, arm)["configmap"]
        for arm in others
    }
    services = {f"service-{which}": lasting(made["service"], f"{name}-{which}") for which in ("stable", "canary")}
    refs = [service_ref(f"{name}-{which}", 80) | {"weight": w} for which, w in (("stable", 100), ("canary", 0))]
    rules = [{"matches": [match_of(params, model)], "backendRefs": refs}]
    found = {
        **configs,
        "rollout": _rollout(params, known, trial, name, made["deployment"]),
        **services,
        "httproute": http_route(params, params.namespace, view, model, 0, rules),
        "poddisruptionbudget": lasting(made["poddisruptionbudget"]),
        "networkpolicy": lasting(made["networkpolicy"]),
    }
    if "horizontalpodautoscaler" in made:
        found["horizontalpodautoscaler"] = _scaled(made["horizontalpodautoscaler"])
    if trial is not None and known is not None:
        found |= dict(_templates(params, view, known, name, *trial))
    return found


def _of_release(
    params: Params, view: View, deployable: Deployable, model: str, route: Route, arm: RouteArm
) -> dict[str, Object]:
    """Return the objects of a model with one release; the ConfigMap of its routes is that of the release."""
    hint = "run it by the target kubernetes, with logStorage"
    made = objects_for(params, deployable, model, alone(route, arm), hint)
    config = {**made["configmap"]}
    config["metadata"] = {
        **config["metadata"],
        "name": routes_name(release_name(view.environment, model, arm.release)),
    }
    pod = made["deployment"]["spec"]["template"]["spec"]
    volumes = [
        {"name": "routes", "configMap": {"name": config["metadata"]["name"]}} if each["name"] == "routes" else each
        for each in pod["volumes"]
    ]
    template = {**made["deployment"]["spec"]["template"], "spec": {**pod, "volumes": volumes}}
    spec = {**made["deployment"]["spec"], "template": template}
    return {**made, "configmap": config, "deployment": {**made["deployment"], "spec": spec}}


def _scaled(autoscaler: Object) -> Object:
    target = {**autoscaler["spec"]["scaleTargetRef"], "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
    return {**lasting(autoscaler), "spec": {**autoscaler["spec"], "scaleTargetRef": target}}


def _rollout(
    params: Params, known: ModelView | None, trial: tuple[Trial, Canary] | None, name: str, deployment: Object
) -> Object:
    traffic: dict[str, Any] = {"plugins": {PLUGIN: {"httpRoute": name, "namespace": params.namespace}}}
    canary: dict[str, Any] = {"stableService": f"{name}-stable", "canaryService": f"{name}-canary"}
    metadata, paused = lasting(deployment)["metadata"], {}
    if trial is not None and known is not None:
        canary["steps"] = _steps(params, known, name, *trial)
        paused = {"paused": True} if trial[0].paused else {}
        if silent := unjudged(known, trial[1]):
            metadata["annotations"]["modelops.dev/not-judged"] = ", ".join(silent)
    kept = {key: deployment["spec"][key] for key in ("replicas", "selector", "template") if key in deployment["spec"]}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": metadata,
        "spec": {
            **kept,
            **paused,
            "revisionHistoryLimit": 3,
            # Pods that never become ready send the traffic back; left alone Argo Rollouts would wait for ever.
            "progressDeadlineSeconds": 600,
            "progressDeadlineAbort": True,
            "strategy": {"canary": {**canary, "trafficRouting": traffic}},
        },
    }


def _steps(params: Params, known: ModelView, name: str, trial: Trial, plan: Canary) -> list[Object]:
    """Return the steps: a weight, the time in which it is watched, and the judgement.

    The plugin gives stable what is left of 100, whatever weights are said to sum to.
    """
    dry = [{"metricName": each} for each in guards_of(known, plan)] if trial.on_failure == "alert" else []
    steps: list[Object] = []
    for number, weight in enumerate(percents(trial, "the Gateway API plugin of Argo Rollouts"), start=1):
        seconds = seconds_of(trial, trial.stages[number - 1], params.minimum_minutes)
        analysis = {"templates": [{"templateName": f"{name}-step-{number}"}], **({"dryRun": dry} if dry else {})}
        steps += [{"setWeight": weight}, {"pause": {"duration": f"{seconds}s"}}, {"analysis": analysis}]
    if trial.on_success == "pull-request":
        steps.append({"pause": {}})
    return steps


def _templates(
    params: Params, view: View, known: ModelView, name: str, trial: Trial, plan: Canary
) -> Iterator[tuple[str, Object]]:
    for number, stage in enumerate(trial.stages, start=1):
        seconds = seconds_of(trial, stage, params.minimum_minutes)
        asked = checks(view.environment, known, plan, stage, seconds, len(trial.stages), stage.requests)
        yield (
            f"analysistemplate-{number}",
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "AnalysisTemplate",
                "metadata": {
                    "name": f"{name}-step-{number}",
                    "namespace": params.namespace,
                    "labels": {"app.kubernetes.io/managed-by": "modelops"},
                    "annotations": {"modelops.dev/model": known.name},
                },
                "spec": {"metrics": [_metric(params, trial, check) for check in asked]},
            },
        )


def _metric(params: Params, trial: Trial, check: Check) -> Object:
    """Return a metric with both conditions, as one alone takes what cannot be measured for the other.

    A failure that a person is to act on is no failure there: inconclusive pauses, and failed aborts.
    """
    there = "len(result) > 0 && !isNaN(result[0])"
    if check.limit is None:
        success, failed = f"{there} && result[0] >= {check.minimum}", "false"
    else:
        success = f"{there} && result[0] < {check.limit:.9g}"
        failed = f"{there} && result[0] >= {check.limit:.9g}" if trial.on_failure != "hold" else "false"
    return {
        "name": check.name,
        "count": 1,
        "successCondition": success,
        "failureCondition": failed,
        "failureLimit": 0,
        "inconclusiveLimit": 0,
        "provider": {"prometheus": {"address": params.prometheus, "query": check.query}},
    }
