"""Pods that answer for a model: as the target `kubernetes` has them, in the objects of other tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from pydantic import Field, model_validator

from modelops.errors import Exit, failure
from modelops.exports import View
from modelops.spec.meta import Name, Strict
from modelops.spec.routing import Route, RouteArm
from modelops.targets import Deployable
from modelops.targets.kubernetes.names import ENVIRONMENT, MANAGED, MODEL, name_of, release_name
from modelops.targets.kubernetes.objects import Object, manifests, objects_of, routes_name
from modelops.targets.kubernetes.params import Bytes, Cores, ObjectName, Pinned, require_order
from modelops.targets.kubernetes.params import Params as Target

__all__ = [
    "Object",
    "Pods",
    "alone",
    "arms_alone",
    "lasting",
    "manifests",
    "name_of",
    "objects_for",
    "release_name",
    "renamed",
]


_LASTING = {*MANAGED, ENVIRONMENT, MODEL, "modelops.dev/owner"}


class Pods(Strict):
    """What pods run, as in the target kubernetes.

    ``image`` is the server's image, pinned by its digest. ``namespace`` is that of the objects. ``keySecret`` is the
    Secret with the API keys that git names by variable. ``storeSecret`` is the Secret with the credentials of the
    store.
    """

    image: Pinned
    namespace: Name = "models"
    ingress_namespace: Name | None = Field(None, description="namespace that may call; their own if not said")
    monitoring_namespace: Name | None = Field(None, description="namespace of a Prometheus, which may ask as well")
    key_secret: ObjectName = "modelops-api-keys"  # noqa: S105 - the name of a Secret
    store_secret: ObjectName = "modelops-store"  # noqa: S105 - the name of a Secret
    cpu: Cores = Field("500m", description="CPU request of a pod")
    memory: Bytes = Field("512Mi", description="memory request and limit of a pod")
    minimum_replicas: int = Field(2, ge=1, description="pods at rest")
    maximum_replicas: int = Field(6, ge=1, description="pods under load")
    target_cpu_percent: int = Field(70, ge=1, le=100, description="CPU use at which pods are added")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        require_order(self.minimum_replicas, self.maximum_replicas)
        return self

    def target(self) -> Target:
        """Return them as parameters of the target kubernetes."""
        names = Pods.model_fields
        return Target(**{name: getattr(self, name) for name in names})


def alone(route: Route, arm: RouteArm) -> Route:
    """Return the route of pods that hold one release alone: it has all that reaches them.

    It is called stable there, whatever it is beside others: a pod is not made anew when its release is promoted.
    """
    only = arm.model_copy(update={"name": "stable", "weight": 1.0, "shadow": 0.0})
    return route.model_copy(update={"arms": (only,), "step": 0})


def arms_alone(view: View, route: Route, model: str) -> dict[str, Route]:
    """Return the routes of the arms of a model by the name of the pods that hold each release alone."""
    return {release_name(view.environment, model, arm.release): alone(route, arm) for arm in route.arms}


def objects_for(pods: Pods, deployable: Deployable, model: str, route: Route, hint: str) -> dict[str, Object]:
    """Return the objects of a model that is answered by a route, as the target kubernetes has them.

    What cannot be with pods that keep nothing is refused; ``hint`` says where it can be.
    """
    if route.log == "acknowledged":
        raise failure(
            "log-not-kept",
            f"{model} has log: acknowledged, and the log of its pods goes when they go",
            exit=Exit.USAGE,
            hint=f"{hint}; or log: buffered in model.yaml",
        )
    store = deployable.store
    if store.folder is not None:
        raise failure(
            "store-not-reached",
            f"the store {store.text} is a folder, which pods of a cluster do not have",
            exit=Exit.USAGE,
            hint="keep the artifacts in a registry: spec.store of the Project",
        )
    table = deployable.table.model_copy(update={"models": {**deployable.table.models, model: route}})
    return objects_of(pods.target(), replace(deployable, table=table), model)


def lasting(made: Object, name: str | None = None) -> Object:
    """Return an object that is of no release: what it is about is said, but not which release answers."""
    metadata = made["metadata"]
    labels = {key: value for key, value in metadata["labels"].items() if key in _LASTING}
    annotations = {MODEL: metadata["annotations"][MODEL]}
    said = {"name": name or metadata["name"], "namespace": metadata["namespace"], "labels": labels}
    return {**made, "metadata": {**said, "annotations": annotations}}


def renamed(objects: Mapping[str, Object], before: str, name: str, selector: Mapping[str, str]) -> dict[str, Object]:
    """Return objects under another name, with pods that have other labels; what belongs together still does."""
    names = {before: name, routes_name(before): routes_name(name)}
    pods = objects["deployment"]["spec"]["selector"]["matchLabels"]

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {key: other(each) for key, each in value.items() if (key, each) not in pods.items()}
            return kept if len(kept) == len(value) else {**selector, **kept}
        if isinstance(value, list):
            return [other(each) for each in value]
        return names.get(value, value) if isinstance(value, str) else value

    return {kind: other(made) for kind, made in objects.items()}
