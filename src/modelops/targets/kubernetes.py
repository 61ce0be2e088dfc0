"""The target `kubernetes`: manifests for a GitOps tool or a person to apply; rendering only."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any

import yaml
from pydantic import Field

from modelops.errors import Exit, failure
from modelops.spec.address import Address
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.meta import Name, Origin, Strict
from modelops.spec.routing import FILE_NAME, Route, RoutingTable, table_text
from modelops.targets import Deployable

PORT, GRPC_PORT = 8080, 8081
NOTICE_SECONDS = 10
"""How long a pod that ends still takes connections: everybody who routes to it has heard of its end by then."""
USER = 10001
_STORE = "/srv/store"
_READABLE = 43
"""How much of a name is for people; with the hash it stays within the 52 characters that a StatefulSet may have."""
Object = dict[str, Any]


class Params(Strict):
    """Where the workloads go and what they run.

    ``image`` is the server's image, pinned by digest; ``storeClaim`` a PersistentVolumeClaim that holds the folder with
    the artifacts, mounted read-only, where the project's store is a folder; ``logClaim`` one for the prediction log,
    without which the log lives and dies with its pod. ``ingressNamespace`` is the namespace that may call the models;
    without it only their own may. ``keySecret`` is the Secret that holds the API keys which the access policy names by
    variable. ``storeSecret`` is the Secret that holds the credentials which the store names by variable. With
    ``grpc`` the protocol is answered over gRPC as well, on port 8081, if the image has grpcio. Pages of
    ``corsOrigins`` may ask from a browser.
    """

    image: Annotated[str, Field(pattern=r"^[^@\s]+@sha256:[0-9a-f]{64}$")]
    store_claim: Name | None = None
    namespace: Name = "models"
    log_claim: Name | None = None
    ingress_namespace: Name | None = None
    key_secret: Name = "modelops-api-keys"  # noqa: S105 - the name of a Secret
    store_secret: Name = "modelops-store"  # noqa: S105 - the name of a Secret
    grpc: bool = False
    cors_origins: tuple[Origin, ...] = ()
    minimum_replicas: Annotated[int, Field(ge=1)] = 2
    maximum_replicas: Annotated[int, Field(ge=1)] = 6
    cpu: str = "500m"
    memory: str = "512Mi"
    target_cpu_percent: Annotated[int, Field(ge=1, le=100)] = 70


def _name(environment: str, model: str) -> str:
    """Return the name that the objects of one model in one environment have, and no others in the cluster.

    Joined names alone are not enough: ``a/b`` and ``a-b`` are two models, and ``a`` in ``b-staging`` is not ``a-b`` in
    ``staging``. What is read is cut to what a Service and the revisions of a workload leave room for.
    """
    told = f"{model.replace('/', '-')}-{environment}"
    if told[0].isdigit():
        # The name of a Service begins with a letter.
        told = f"m-{told}"
    return f"{told[:_READABLE].rstrip('-')}-{sha256(f'{environment}/{model}'.encode()).hexdigest()[:8]}"


def _selector(environment: str, model: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "modelops", "app.kubernetes.io/instance": _name(environment, model)}


def _value(text: str) -> str:
    """Return what a label can hold of a text: 63 characters, the first and the last of them letters or digits."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text)[:63].strip("-_.")


def _labels(environment: str, model: str, spec: ModelSpec, route: Route) -> dict[str, str]:
    """Return what an object is about; a label holds 63 characters, so the digest is cut to 32 hexadecimal digits."""
    stable, *on_trial = route.arms
    labels = _selector(environment, model) | {
        "app.kubernetes.io/managed-by": "modelops",
        "modelops.dev/model": _value(model.replace("/", ".")),
        "modelops.dev/environment": environment,
        "modelops.dev/owner": _value(spec.owner),
        "modelops.dev/release": str(stable.release),
        "modelops.dev/digest": stable.digest.removeprefix("sha256:")[:32],
    }
    return labels | {f"modelops.dev/{arm.name}": str(arm.release) for arm in on_trial}


def _metadata(params: Params, name: str, labels: Mapping[str, str], model: str, route: Route) -> Object:
    whole = {"modelops.dev/model": model}
    whole |= {f"modelops.dev/{arm.name}-artifact": arm.digest for arm in route.arms}
    return {"name": name, "namespace": params.namespace, "labels": dict(labels), "annotations": whole}


def _ports(params: Params) -> list[tuple[str, int]]:
    return [("http", PORT)] + ([("grpc", GRPC_PORT)] if params.grpc else [])


def _probe(path: str, period: int, failures: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": period, "failureThreshold": failures}


def _variables(params: Params, table: RoutingTable, store: Address) -> Object:
    named = [(params.key_secret, key.variable) for key in table.keys or () if key.variable is not None]
    named += [(params.store_secret, variable) for variable in store.variables]
    found = [{"name": n, "valueFrom": {"secretKeyRef": {"name": secret, "key": n}}} for secret, n in named]
    return {"env": found} if found else {}


def _container(params: Params, table: RoutingTable, store: Address) -> Object:
    environment = table.environment
    address = store.text if store.folder is None else store.mounted(_STORE)
    return {
        "name": "server",
        "image": params.image,
        **_variables(params, table, store),
        "args": [
            *("serve", environment, "--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 - inside its own pod
            *(("--grpc-port", str(GRPC_PORT)) if params.grpc else ()),
            *(each for origin in params.cors_origins for each in ("--cors", origin)),
            *("--notice", str(NOTICE_SECONDS)),
            *("--table", f"/etc/modelops/{FILE_NAME}", "--runtime", "/var/lib/modelops", "--store", address),
        ],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _ports(params)],
        "resources": {
            "requests": {"cpu": params.cpu, "memory": params.memory},
            "limits": {"memory": params.memory},
        },
        "startupProbe": _probe("/v2/health/ready", 2, 60),
        "readinessProbe": _probe("/v2/health/ready", 5, 2),
        "livenessProbe": _probe("/v2/health/live", 10, 3),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "routes", "mountPath": "/etc/modelops", "readOnly": True},
            *([{"name": "store", "mountPath": _STORE, "readOnly": True}] if store.folder is not None else []),
            {"name": "log", "mountPath": "/var/lib/modelops"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod
        ],
    }


def _deployment(
    params: Params, table: RoutingTable, store: Address, name: str, selector: Mapping[str, str], metadata: Object
) -> Object:
    """Return the workload; the autoscaler owns the number of replicas, so it is not written here.

    The pod's own labels leave out release and digest: a new release changes the ConfigMap, which the server watches,
    and restarts nothing.
    """
    log: Object = {"persistentVolumeClaim": {"claimName": params.log_claim}} if params.log_claim else {"emptyDir": {}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": dict(selector)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": dict(selector) | {"app.kubernetes.io/managed-by": "modelops"}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": USER,
                        "runAsGroup": USER,
                        "fsGroup": USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    # Longer than the server waits for balancers and then gives its own requests.
                    "terminationGracePeriodSeconds": NOTICE_SECONDS + 40,
                    "containers": [_container(params, table, store)],
                    "volumes": [
                        {"name": "routes", "configMap": {"name": f"{name}-routes"}},
                        *_store_volume(params, store),
                        {"name": "log", **log},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                },
            },
        },
    }


def _store_volume(params: Params, store: Address) -> list[Object]:
    """Return the volume with the artifacts; a store that is no folder needs none."""
    if store.folder is None:
        return []
    if params.store_claim is None:
        raise failure(
            "store-claim-missing",
            f"the store {store.text} is a folder, and no storeClaim names a volume that holds it in the cluster",
            exit=Exit.USAGE,
            hint="pass --param storeClaim=NAME, or keep the artifacts in a registry: spec.store of the Project",
        )
    return [{"name": "store", "persistentVolumeClaim": {"claimName": params.store_claim, "readOnly": True}}]


def _autoscaler(params: Params, name: str, metadata: Object) -> Object:
    utilization = {"type": "Utilization", "averageUtilization": params.target_cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": params.minimum_replicas,
            "maxReplicas": max(params.minimum_replicas, params.maximum_replicas),
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}],
        },
    }


def _egress(store: Address) -> Object:
    """Return what may leave: what asks for names and for a store that is reached by network, or nothing.

    Nothing is said by leaving the rules out: an empty list is dropped by the API server, and would differ from what
    was applied for ever.
    """
    if not store.ports:
        return {}
    names = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    return {"egress": [{"ports": names}, {"ports": [{"protocol": "TCP", "port": port} for port in store.ports]}]}


def _network_policy(params: Params, store: Address, selector: Mapping[str, str], metadata: Object) -> Object:
    """Return who may talk to the model, and that the server itself calls nobody but its store."""
    peer: Object = {"podSelector": {}}
    if params.ingress_namespace is not None:
        peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": params.ingress_namespace}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {
            "podSelector": {"matchLabels": dict(selector)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [peer], "ports": [{"protocol": "TCP", "port": port} for _, port in _ports(params)]}],
            **_egress(store),
        },
    }


def _objects(params: Params, desired: Deployable, model: str, route: Route) -> dict[str, Object]:
    environment = desired.table.environment
    name, selector = _name(environment, model), _selector(environment, model)
    labels = _labels(environment, model, desired.models[model], route)
    metadata = _metadata(params, name, labels, model, route)
    keys = desired.table.keys
    if keys is not None:
        keys = tuple(key for key in keys if model in key.models or "*" in key.models)
    table = RoutingTable(environment=environment, models={model: route}, keys=keys)
    return {
        "configmap": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(params, f"{name}-routes", labels, model, route),
            "data": {FILE_NAME: table_text(table)},
        },
        "deployment": _deployment(params, table, desired.store, name, selector, metadata),
        "service": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "selector": selector,
                "ports": [
                    {"name": name, "port": 80 if name == "http" else port, "targetPort": name, "protocol": "TCP"}
                    for name, port in _ports(params)
                ],
            },
        },
        "horizontalpodautoscaler": _autoscaler(params, name, metadata),
        "poddisruptionbudget": {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": selector},
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        },
        "networkpolicy": _network_policy(params, desired.store, selector, metadata),
    }


class _Dumper(yaml.SafeDumper):
    """Writes shared parts out in full: an alias in a manifest is hard to read and refused by some tools."""

    def ignore_aliases(self, data: Any) -> bool:
        """Say that nothing is to be an alias."""
        return True


def render(params: Params, desired: Deployable) -> Mapping[str, str | bytes]:
    """Return one manifest per object, in the folder of its model."""
    return {
        f"{model}/{kind}.yaml": yaml.dump(
            made, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
        )
        for model, route in sorted(desired.table.models.items())
        for kind, made in _objects(params, desired, model, route).items()
    }
