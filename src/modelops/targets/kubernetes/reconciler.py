"""The objects of a reconciler within the cluster: what it may do there, and the pod that does it."""

from __future__ import annotations

from typing import Any

from modelops.targets.kubernetes.names import ENVIRONMENT, MANAGED, Owner
from modelops.targets.kubernetes.params import Params, Reconciler

__all__ = ["RULES", "reconciler_objects"]

_WORK = "/work/repository"
_USER = 10001
_APPLIED = ["get", "list", "create", "patch", "delete"]
RULES: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "patch", "update", "delete"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": _APPLIED},
    {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": _APPLIED},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": _APPLIED},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": _APPLIED},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": _APPLIED},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "patch"]},
    # Older servers take the one verb for a program that is run in a pod, newer ones the other.
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
    {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["list"]},
]
"""All that applying, observing and reading the log take, in one namespace; no Secret is among it."""


def reconciler_objects(params: Params, environment: str) -> dict[str, dict[str, Any]]:
    """Return the account, its rights and the pod of who reconciles an environment, by what their files are called."""
    asked = params.reconciler
    assert asked is not None, "it was asked for"
    name = f"{Owner(environment, '').stem}-reconciler"
    metadata = {"name": name, "namespace": params.namespace, "labels": {**MANAGED, ENVIRONMENT: environment}}
    group = "rbac.authorization.k8s.io"
    return {
        "serviceaccount": {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        "role": {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": RULES},
        "rolebinding": {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": params.namespace}],
        },
        "statefulset": _workload(asked, environment, name, metadata),
    }


def _workload(asked: Reconciler, environment: str, name: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the pod, of which there is one: a second one would wait for the Lease."""
    selector = {"app.kubernetes.io/name": "modelops-reconciler", "app.kubernetes.io/instance": name}
    git = ["git", "-C", _WORK]
    # Each can be done again: a pod that starts anew finds what the one before left.
    steps = [
        ["git", "init", "--quiet", f"--initial-branch={asked.branch}", _WORK],
        [*git, "config", "--replace-all", "remote.origin.url", asked.repository],
        [*git, "config", "--replace-all", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"],
        [*git, "fetch", "--quiet", "origin"],
        [*git, "checkout", "--quiet", "--force", "-B", asked.branch, f"refs/remotes/origin/{asked.branch}"],
    ]
    words = ["python", "-m", "modelops", "reconcile", environment]
    words += ["--watch", "--interval", str(asked.interval_seconds), "--yes"]
    common = {
        "image": asked.image,
        "env": _variables(asked),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "work", "mountPath": "/work"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod
            *([{"name": "key", "mountPath": "/etc/git-key", "readOnly": True}] if asked.deploy_key_secret else []),
        ],
        **({"envFrom": [{"secretRef": {"name": asked.secret}}]} if asked.secret is not None else {}),
    }
    resources = {"requests": {"cpu": "100m", "memory": asked.memory}, "limits": {"memory": asked.memory}}
    key = {"secretName": asked.deploy_key_secret, "defaultMode": 0o440}
    pod = {
        "serviceAccountName": name,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # A pass that is under way comes to its end.
        "terminationGracePeriodSeconds": 300,
        "initContainers": [
            {"name": f"git-{number}", "command": step, **common} for number, step in enumerate(steps, start=1)
        ],
        "containers": [
            {"name": "reconciler", "command": words, "workingDir": _WORK, "resources": resources, **common},
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            *([{"name": "key", "secret": key}] if asked.deploy_key_secret is not None else []),
        ],
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": asked.storage}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": {**selector, **MANAGED}}, "spec": pod},
            "volumeClaimTemplates": [{"metadata": {"name": "work"}, "spec": claim}],
        },
    }


def _variables(asked: Reconciler) -> list[dict[str, str]]:
    found = [{"name": "HOME", "value": "/work"}]
    if asked.deploy_key_secret is not None:
        ssh = "ssh -i /etc/git-key/ssh-privatekey -o IdentitiesOnly=yes -o UserKnownHostsFile=/etc/git-key/known_hosts"
        found.append({"name": "GIT_SSH_COMMAND", "value": f"{ssh} -o StrictHostKeyChecking=yes"})
    return found
