"""Pods of one release that Prometheus looks at, for tools that judge by what it finds."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from modelops.errors import Exit, failure
from modelops.exports import View
from modelops.exports._judging import Url
from modelops.exports._pods import Object, Pods
from modelops.exports._ways import Way
from modelops.spec.meta import Name
from modelops.targets import Deployable

__all__ = ["Watched", "pod_monitor"]


class Watched(Pods, Way):
    """What pods run, which gateway leads to them, and which Prometheus is asked."""

    prometheus: Url = Field(description="address of Prometheus within the cluster")
    monitor_labels: dict[str, str] = Field({}, description="labels by which it chooses its PodMonitors")
    metrics_secret: Name | None = Field(
        None, description="the Secret whose entry `key` is an API key with the scope admin, where access is limited"
    )
    minimum_minutes: float = Field(5.0, ge=1, description="how long a step lasts at least, so as to be seen")


def pod_monitor(params: Watched, view: View, deployable: Deployable, name: str, selector: Object) -> Object:
    """Return what makes the Prometheus operator scrape the pods of a model."""
    access: dict[str, Any] = {}
    if deployable.table.keys is not None:
        if params.metrics_secret is None:
            said = f"{view.environment} has an access policy, and Prometheus has no key that may read the metrics"
            hint = "keep one with the scope admin in a Secret, as its entry key, and pass metricsSecret=NAME"
            raise failure("bad-param", said, exit=Exit.USAGE, hint=hint)
        credentials = {"name": params.metrics_secret, "key": "key"}
        access = {"authorization": {"type": "Bearer", "credentials": credentials}}
    endpoint = {
        "port": "http",
        "path": "/metrics",
        "scheme": "http",
        "interval": "15s",
        "relabelings": [{"action": "replace", "targetLabel": "environment", "replacement": view.environment}],
        **access,
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {
            "name": name,
            "namespace": params.namespace,
            "labels": {
                **params.monitor_labels,
                "app.kubernetes.io/managed-by": "modelops",
                "modelops.dev/environment": view.environment,
            },
        },
        "spec": {"selector": selector, "podMetricsEndpoints": [endpoint]},
    }
