"""The objects of each model: manifests as a file holds them, and as the API server is given them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from modelops.errors import Exit, failure
from modelops.spec.address import Address
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.routing import FILE_NAME, Route, RoutingTable, table_text
from modelops.targets import Deployable
from modelops.targets.kubernetes.names import ENVIRONMENT, MANAGED, MODEL, PART, name_of, selector_of
from modelops.targets.kubernetes.params import Params
from modelops.targets.kubernetes.reconciler import reconciler_objects

__all__ = [
    "ADMIN_PORT",
    "LOG",
    "PORT",
    "Object",
    "keeps_log",
    "manifests",
    "objects_of",
    "render",
    "routes_name",
    "table_of",
]

PORT, GRPC_PORT, ADMIN_PORT = 8080, 8081, 8082
NOTICE_SECONDS = 10
"""How long a pod that ends still takes connections: everybody who routes to it has heard of its end by then."""
PROBE_SECONDS = 3
"""How long a probe waits for its answer."""
USER = 10001
LOG = "/var/lib/modelops"
_STORE = "/srv/store"
_LOG_NAME = "MODELOPS_LOG_NAME"
Object = dict[str, Any]


def _value(text: str) -> str:
    """Return what a label can hold of a text: 63 characters, the first and the last of them letters or digits."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text)[:63].strip("-_.")


def _labels(environment: str, model: str, spec: ModelSpec | None, route: Route) -> dict[str, str]:
    """Return what an object is about; a label holds 63 characters, so the digest is cut to 32 hexadecimal digits."""
    stable, *on_trial = route.arms
    labels = selector_of(environment, model) | {
        **MANAGED,
        MODEL: _value(model.replace("/", ".")),
        ENVIRONMENT: environment,
        # Git may name it no longer, and it goes on until that is judged.
        **({"modelops.dev/owner": _value(spec.owner)} if spec is not None else {}),
        "modelops.dev/release": str(stable.release),
        "modelops.dev/digest": stable.digest.removeprefix("sha256:")[:32],
    }
    return labels | {f"modelops.dev/{arm.name}": str(arm.release) for arm in on_trial}


def _metadata(params: Params, name: str, labels: Mapping[str, str], model: str, route: Route) -> Object:
    whole = {MODEL: model}
    whole |= {f"modelops.dev/{arm.name}-artifact": arm.digest for arm in route.arms}
    return {"name": name, "namespace": params.namespace, "labels": dict(labels), "annotations": whole}


def _ports(params: Params) -> list[tuple[str, int]]:
    return [("http", PORT)] + ([("grpc", GRPC_PORT)] if params.grpc else [])


def _probe(path: str, period: int, failures: int) -> Object:
    # A node that is busy answers late, and is not better off for a server that has to start anew.
    said = {"periodSeconds": period, "timeoutSeconds": PROBE_SECONDS, "failureThreshold": failures}
    return {"httpGet": {"path": path, "port": "http"}, **said}


def _variables(params: Params, table: RoutingTable, store: Address) -> Object:
    # With a volume of its own a pod that comes again goes on in its files; otherwise no two pods have files of a name.
    field = "metadata.name" if params.log_storage is not None else "metadata.uid"
    own = {"name": _LOG_NAME, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": field}}}
    named = [(params.key_secret, key.variable) for key in table.keys or () if key.variable is not None]
    named += [(params.store_secret, variable) for variable in store.variables]
    found = [{"name": n, "valueFrom": {"secretKeyRef": {"name": secret, "key": n}}} for secret, n in named]
    found = [*([own] if params.log_claim is None else []), *found]
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
            *("--admin-port", str(ADMIN_PORT), "--notice", str(NOTICE_SECONDS)),
            *(("--log-name", f"$({_LOG_NAME})") if params.log_claim is None else ()),
            *("--table", f"/etc/modelops/{FILE_NAME}", "--runtime", LOG, "--store", address),
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
            {"name": "log", "mountPath": LOG},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod
        ],
    }


def _workload(
    params: Params, table: RoutingTable, store: Address, name: str, selector: Mapping[str, str], metadata: Object
) -> Object:
    """Return the workload: a StatefulSet where each pod has a volume of its own for its log, else a Deployment.

    The autoscaler owns the number of replicas, so it is written here only where there is none. The pod's own labels
    leave out release and digest: a new release changes the ConfigMap, which the server watches, and restarts nothing.
    """
    own = params.log_storage is not None
    log: Object = {"persistentVolumeClaim": {"claimName": params.log_claim}} if params.log_claim else {"emptyDir": {}}
    template = {
        "metadata": {"labels": dict(selector) | MANAGED | {PART: table.environment}},
        "spec": {
            "automountServiceAccountToken": False,
            # Variables for each port of each Service in the namespace: nobody reads them, and thousands keep a process
            # from being started at all.
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                # A volume of a log that is large already is not walked through before each start.
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            # Longer than the server waits for balancers and then gives its own requests.
            "terminationGracePeriodSeconds": NOTICE_SECONDS + 40,
            # One node that is lost is not all of them, where there are several.
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": dict(selector)},
                }
            ],
            "containers": [_container(params, table, store)],
            "volumes": [
                {"name": "routes", "configMap": {"name": routes_name(name)}},
                *_store_volume(params, store),
                *([] if own else [{"name": "log", **log}]),
                # Models that are functions, and some of CatBoost, are unpacked there.
                {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            ],
        },
    }
    fixed = {"replicas": params.minimum_replicas} if _fixed(params) else {}
    spec: Object = {**fixed, "selector": {"matchLabels": dict(selector)}, "template": template}
    if own:
        claim: Object = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": params.log_storage}},
            **({"storageClassName": params.log_storage_class} if params.log_storage_class is not None else {}),
        }
        spec |= {
            "serviceName": name,
            # None has to wait for another one; what is rolled goes one by one all the same.
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "volumeClaimTemplates": [{"metadata": {"name": "log"}, "spec": claim}],
        }
    else:
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    kind = "StatefulSet" if own else "Deployment"
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def _fixed(params: Params) -> bool:
    """Tell whether the number of pods is always the same."""
    return params.maximum_replicas <= params.minimum_replicas


def keeps_log(params: Params) -> bool:
    """Tell whether the log of a pod outlives it."""
    return params.log_storage is not None or params.log_claim is not None


def _kept(params: Params, model: str, route: Route) -> None:
    """Refuse a log that is on disk before the caller is answered on a disk that goes with its pod."""
    if route.log == "acknowledged" and not keeps_log(params):
        raise failure(
            "log-not-kept",
            f"{model} has log: acknowledged, and the log of its pods goes when they go",
            exit=Exit.USAGE,
            hint="give each pod a volume: logStorage: 10Gi in the target's parameters, or log: buffered in model.yaml",
        )


def routes_name(name: str) -> str:
    """Return the ConfigMap that the pods of a workload read their routes from."""
    return f"{name}-routes"


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


def _autoscaler(params: Params, kind: str, name: str, metadata: Object) -> Object:
    utilization = {"type": "Utilization", "averageUtilization": params.target_cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name},
            "minReplicas": params.minimum_replicas,
            "maxReplicas": params.maximum_replicas,
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


def _of_namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _network_policy(params: Params, store: Address, selector: Mapping[str, str], metadata: Object) -> Object:
    """Return who may talk to the model, and that the server itself calls nobody but its store."""
    peers: list[Object] = [{"podSelector": {}}]
    if params.ingress_namespace is not None:
        peers = [_of_namespace(params.ingress_namespace)]
    if params.monitoring_namespace is not None:
        peers.append(_of_namespace(params.monitoring_namespace))
    ports = [{"protocol": "TCP", "port": port} for _, port in _ports(params)]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {
            "podSelector": {"matchLabels": dict(selector)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": ports}],
            **_egress(store),
        },
    }


def table_of(table: RoutingTable, model: str) -> RoutingTable:
    """Return the routing table that the servers of one model read: its route, and the keys of who may use it."""
    keys = table.keys
    if keys is not None:
        keys = tuple(key for key in keys if model in key.models or "*" in key.models)
    return RoutingTable(environment=table.environment, models={model: table.models[model]}, keys=keys)


def objects_of(params: Params, desired: Deployable, model: str) -> dict[str, Object]:
    """Return the objects of one model by what their files are called, in the order in which they are applied."""
    environment, route = desired.table.environment, desired.table.models[model]
    _kept(params, model, route)
    name, selector = name_of(environment, model), selector_of(environment, model)
    labels = _labels(environment, model, desired.models.get(model), route)
    metadata = _metadata(params, name, labels, model, route)
    table = table_of(desired.table, model)
    workload = _workload(params, table, desired.store, name, selector, metadata)
    scaled = (
        {} if _fixed(params) else {"horizontalpodautoscaler": _autoscaler(params, workload["kind"], name, metadata)}
    )
    return {
        "configmap": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(params, routes_name(name), labels, model, route),
            "data": {FILE_NAME: table_text(table)},
        },
        workload["kind"].lower(): workload,
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
        **scaled,
        # One at a time may go for a drain, also where there is one alone: what may never go holds the node up for ever.
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


def manifests(objects: Mapping[str, Object]) -> dict[str, str]:
    """Return objects as YAML, by the paths of their files."""
    return {
        f"{path}.yaml": yaml.dump(
            made, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
        )
        for path, made in objects.items()
    }


def render(params: Params, desired: Deployable) -> Mapping[str, str | bytes]:
    """Return one manifest per object, in the folder of its model; who reconciles has the folder of the environment.

    Where modelops applies the objects of the models itself, they are shown as it applies them.
    """
    made = {
        f"{model}/{kind}": each
        for model in sorted(desired.table.models)
        for kind, each in objects_of(params, desired, model).items()
    }
    if params.reconciler is not None:
        made |= {
            # No model is called so: its name would begin with a letter or a digit.
            f"_reconciler/{kind}": each
            for kind, each in reconciler_objects(params, desired.table.environment).items()
        }
    return manifests(made)
