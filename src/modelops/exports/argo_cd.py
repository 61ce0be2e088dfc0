"""The export `argo-cd`: the Application by which Argo CD applies what `modelops render` writes for Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from modelops.exports import View
from modelops.spec.layout import RENDERED, dns_label
from modelops.spec.meta import Name, Strict

__all__ = ["Params", "files"]


class Params(Strict):
    """Where the rendered manifests are committed, and where they go.

    ``repository``, ``revision`` and ``path`` say where ``modelops render ENV --target kubernetes`` was committed;
    ``namespace`` and ``server`` the cluster it is for. ``argoNamespace`` is where Argo CD looks for Applications.
    Without ``automated`` a person presses Sync.
    """

    repository: str
    path: str
    revision: str = "main"
    namespace: Name = "models"
    server: str = "https://kubernetes.default.svc"
    project: str = "default"
    argo_namespace: Name = "argocd"
    automated: bool = True


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return the Application of an environment; its name is a label value there, so it has at most 63 characters."""
    spec: dict[str, Any] = {
        "project": params.project,
        "source": {
            "repoURL": params.repository,
            "targetRevision": params.revision,
            "path": params.path,
            # The list of what was rendered is JSON, which Argo CD would take for a manifest.
            "directory": {"recurse": True, "exclude": RENDERED},
        },
        "destination": {"server": params.server, "namespace": params.namespace},
    }
    if params.automated:
        spec["syncPolicy"] = {"automated": {"prune": True, "selfHeal": True}}
    name = dns_label(f"modelops-{view.environment}")
    application = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": name,
            "namespace": params.argo_namespace,
            "labels": {"app.kubernetes.io/managed-by": "modelops"},
        },
        "spec": spec,
    }
    return {f"{name}.yaml": yaml.safe_dump(application, sort_keys=False, allow_unicode=True, width=1000)}
