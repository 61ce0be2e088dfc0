"""The export `flux`: the GitRepository and Kustomization by which Flux applies what `modelops render` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import yaml
from pydantic import Field

from modelops.exports import View
from modelops.spec.layout import dns_label
from modelops.spec.meta import Name, Strict

__all__ = ["Params", "files"]

Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]*(s|m|h)$", description="a number with s, m or h")]


class Params(Strict):
    """Where the rendered manifests are committed, and where they go.

    ``repository``, ``branch`` and ``path`` say where ``modelops render ENV --target kubernetes`` was committed;
    ``namespace`` is where the workloads go, ``fluxNamespace`` where Flux looks for its own objects. ``secret`` holds
    what the repository asks for.
    """

    repository: Annotated[str, Field(pattern=r"^(https?|ssh)://")]
    path: str
    branch: str = "main"
    namespace: Name = "models"
    flux_namespace: Name = "flux-system"
    secret: Name | None = None
    interval: Duration = "1m"


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return the two objects of an environment in one file."""
    name = dns_label(f"modelops-{view.environment}")
    metadata = {
        "name": name,
        "namespace": params.flux_namespace,
        "labels": {"app.kubernetes.io/managed-by": "modelops"},
    }
    access = {"secretRef": {"name": params.secret}} if params.secret is not None else {}
    source = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": metadata,
        "spec": {"interval": params.interval, "url": params.repository, "ref": {"branch": params.branch}, **access},
    }
    apply = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": metadata,
        "spec": {
            "interval": params.interval,
            "sourceRef": {"kind": "GitRepository", "name": name},
            "path": f"./{params.path.strip('/')}",
            "targetNamespace": params.namespace,
            "prune": True,
            "wait": True,
        },
    }
    dumped = [yaml.safe_dump(one, sort_keys=False, allow_unicode=True, width=1000) for one in (source, apply)]
    return {f"{name}.yaml": "---\n".join(dumped)}
