"""The export `argo-cd`: the Application by which Argo CD applies what `modelops render` writes for Kubernetes.

With `clusters` it is an ApplicationSet, which makes an Application in each cluster that Argo CD knows by these labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, model_validator

from modelops.exports import View
from modelops.exports._sources import Folder, Revision
from modelops.spec.layout import RENDERED, dns_label
from modelops.spec.meta import Name, Strict

__all__ = ["Params", "files"]


class Params(Strict):
    """Where the rendered manifests are committed, and where they go.

    ``repository``, ``revision`` and ``path`` say where ``modelops render ENV --target kubernetes`` was committed;
    ``namespace`` and ``server`` the cluster it is for, or ``clusters`` the labels of the clusters. ``argoNamespace`` is
    where Argo CD looks for Applications. Without ``automated`` a person presses Sync. With ``leaveRoutes`` the rules of
    HTTPRoutes are left as they are, for those whose weights another controller moves, such as Argo Rollouts.
    """

    repository: Annotated[str, Field(pattern=r"^((https?|ssh|oci)://|[A-Za-z0-9._-]+@)[A-Za-z0-9][^\s]*$")]
    path: Folder
    revision: Revision = "main"
    namespace: Name = "models"
    server: Annotated[str, Field(pattern=r"^https?://[^\s/]")] = "https://kubernetes.default.svc"
    project: Name = "default"
    argo_namespace: Name = "argocd"
    automated: bool = True
    clusters: dict[str, str] = {}
    leave_routes: bool = False

    @model_validator(mode="after")
    def _plain(self) -> Self:
        if not self.clusters:
            return self
        if "server" in self.model_fields_set:
            raise ValueError("server is one cluster, clusters are the labels of many: name one of the two")
        for text in (self.repository, self.revision, self.path, self.project):
            if "{{" in text:
                raise ValueError(f"{text!r} is a template in an ApplicationSet")
        return self


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
    sync: dict[str, Any] = {"automated": {"prune": True, "selfHeal": True}} if params.automated else {}
    if params.leave_routes:
        # All rules or none: with a part of a list that is ignored, the rest of it is never applied either.
        route = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "jsonPointers": ["/spec/rules"]}
        spec["ignoreDifferences"] = [route]
        sync["syncOptions"] = ["RespectIgnoreDifferences=true"]
    if sync:
        spec["syncPolicy"] = sync
    name = dns_label(f"modelops-{view.environment}")
    metadata = {
        "name": name,
        "namespace": params.argo_namespace,
        "labels": {"app.kubernetes.io/managed-by": "modelops"},
    }
    application = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata, "spec": spec}
    if params.clusters:
        application |= {"kind": "ApplicationSet", "spec": _everywhere(params, metadata, spec)}
    return {f"{name}.yaml": yaml.safe_dump(application, sort_keys=False, allow_unicode=True, width=1000)}


def _everywhere(params: Params, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of an ApplicationSet: an Application in each cluster, called by the cluster.

    The name that Argo CD makes of a cluster's is not injective, and an Application's has 63 characters: which it is
    says the digest of the cluster's own name.
    """
    name = f"{dns_label(metadata['name'], 40)}-{{{{ .name | sha256sum | trunc 12 }}}}"
    destination = {**spec["destination"], "server": "{{ .server }}"}
    return {
        "goTemplate": True,
        "goTemplateOptions": ["missingkey=error"],
        "generators": [{"clusters": {"selector": {"matchLabels": params.clusters}}}],
        "template": {
            "metadata": {"name": name, "labels": metadata["labels"]},
            "spec": {**spec, "destination": destination},
        },
    }
