"""The export `kserve`: InferenceServices that answer with what git names, and the ServingRuntime that they run in.

With `arms: together` a model is one InferenceService whose pods hold every arm and divide the traffic themselves, as
modelops does: each entity stays with its arm, under any strategy. With `arms: apart` each release is one of its own,
and who routes to them divides: the export `gateway-api`. KServe's own canary fields are never used: outside of its
Knative mode `canaryTrafficPercent` does nothing, and `canary` of 0.20 moves pods and no traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from modelops.exports import View
from modelops.exports._pods import Object, Pods, arms_alone, lasting, manifests, name_of, objects_for, renamed
from modelops.exports._routes import INSTEAD, STEP, Steps, gateway_divides, routes
from modelops.spec.layout import dns_label
from modelops.spec.routing import Route
from modelops.targets import Deployable
from modelops.targets.kubernetes.names import PART
from modelops.targets.kubernetes.objects import routes_name

__all__ = ["Params", "files"]

RUNTIME = "kserve-container"
"""What KServe looks for among the containers of a runtime."""


class Params(Pods):
    """Which KServe it is for, what its pods run, and whether the arms of a model are together or apart."""

    version: Literal["0.15", "0.16", "0.17", "0.18", "0.19", "0.20"] = Field("0.20", description="version of KServe")
    arms: Literal["together", "apart"] = Field("together", description="whether a model or each release has pods")
    steps: Steps = Field({}, description=STEP)


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return the objects of each model in its folder, and the runtime of the environment."""
    deployable = view.deployable()
    found: dict[str, Object] = {}
    runtime: Object | None = None
    models = {model.name: model for model in view.models}
    for model, route in routes(view, deployable, params.steps).items():
        served = {name_of(view.environment, model): route}
        if params.arms == "apart":
            if model in models:
                gateway_divides(models[model], route, INSTEAD)
            served = arms_alone(view, route, model)
        for name, each in served.items():
            objects = _objects(params, view, deployable, model, name, each)
            runtime = runtime or _runtime(params, view, objects["deployment"])
            release = f"/release-{each.arms[0].release}" if params.arms == "apart" else ""
            made = {**objects, "inferenceservice": _service(params, view, name, objects["deployment"])}
            kept = ("configmap", "inferenceservice", "poddisruptionbudget", "networkpolicy")
            found |= {f"{view.environment}/{model}{release}/{kind}": made[kind] for kind in kept}
    if runtime is None:
        runtime = _runtime(params, view, None)
    return manifests({f"{view.environment}/_runtime/servingruntime": runtime} | found)


def _objects(
    params: Params, view: View, deployable: Deployable, model: str, name: str, route: Route
) -> dict[str, Object]:
    hint = "run it by the target kubernetes, with logStorage"
    objects = objects_for(params, deployable, model, route, hint)
    selector = {"serving.kserve.io/inferenceservice": name}
    made = renamed(objects, name_of(view.environment, model), name, selector)
    return {kind: each if kind in ("configmap", "deployment") else lasting(each) for kind, each in made.items()}


def _runtime_name(view: View) -> str:
    return dns_label(f"modelops-{view.environment}")


def _runtime(params: Params, view: View, deployment: Object | None) -> Object:
    """Return the runtime, which holds all that is the same for every model of the environment.

    KServe reads the strings of a container as templates: nothing of a person's is among them.
    """
    pod = deployment["spec"]["template"]["spec"] if deployment is not None else {"containers": [{}], "volumes": []}
    container = {key: value for key, value in pod["containers"][0].items() if key not in ("name", "env")}
    mounts = [mount for mount in container.pop("volumeMounts", []) if mount["name"] != "routes"]
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {
            "name": _runtime_name(view),
            "namespace": params.namespace,
            "labels": {"app.kubernetes.io/managed-by": "modelops", "modelops.dev/environment": view.environment},
        },
        "spec": {
            # Named by each InferenceService, and chosen for nothing else.
            "supportedModelFormats": [{"name": "modelops", "version": "1", "autoSelect": False}],
            "protocolVersions": ["v2"],
            "multiModel": False,
            "containers": [
                {"name": RUNTIME, "image": params.image, **container, **({"volumeMounts": mounts} if mounts else {})}
            ],
            "volumes": [volume for volume in pod["volumes"] if volume["name"] != "routes"],
        },
    }


def _service(params: Params, view: View, name: str, deployment: Object) -> Object:
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    mode = "RawDeployment" if params.version == "0.15" else "Standard"
    # KServe gives labels and annotations on to the pods: one that names a release would restart them with each.
    metadata = lasting(deployment)["metadata"]
    metadata["labels"][PART] = view.environment
    if params.arms == "apart":
        # The way in is the route to all releases; KServe would open one to each.
        metadata["labels"]["networking.kserve.io/visibility"] = "cluster-local"
    metadata["annotations"]["serving.kserve.io/deploymentMode"] = mode
    kept = ("automountServiceAccountToken", "securityContext", "terminationGracePeriodSeconds")
    mount = {"name": "routes", "mountPath": "/etc/modelops", "readOnly": True}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {
            "predictor": {
                "minReplicas": params.minimum_replicas,
                "maxReplicas": max(params.minimum_replicas, params.maximum_replicas),
                "scaleMetric": "cpu",
                "scaleTarget": params.target_cpu_percent,
                "deploymentStrategy": deployment["spec"]["strategy"],
                **{key: pod[key] for key in kept},
                "model": {
                    "modelFormat": {"name": "modelops", "version": "1"},
                    "protocolVersion": "v2",
                    "runtime": _runtime_name(view),
                    **({"env": container["env"]} if "env" in container else {}),
                    "volumeMounts": [mount],
                },
                "volumes": [{"name": "routes", "configMap": {"name": routes_name(name)}}],
            }
        },
    }
