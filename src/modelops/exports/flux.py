"""The export `flux`: the source and the Kustomization by which Flux applies what `modelops render` writes.

The source is a GitRepository, or for what was pushed as an OCI artifact (`flux push artifact`) an OCIRepository.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, model_validator

from modelops.exports import View
from modelops.exports._sources import Folder, Revision
from modelops.spec.layout import dns_label
from modelops.spec.meta import Digest, Name, Strict
from modelops.targets.kubernetes.params import ObjectName

__all__ = ["Params", "files"]

Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]*(s|m|h)$", description="a number with s, m or h")]


_ROUTES = {"paths": ["/spec/rules"], "target": {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}}


class Params(Strict):
    """Where the rendered manifests are committed, and where they go.

    ``repository``, ``branch`` and ``path`` say where ``modelops render ENV --target kubernetes`` was committed;
    ``namespace`` is where the workloads go, ``fluxNamespace`` where Flux looks for its own objects. ``secret`` holds
    what the repository asks for. A ``repository`` that begins with oci:// holds artifacts: ``tag`` names the one that
    is applied, or ``digest`` for ever the same; ``insecure`` asks it without TLS, for a registry of a test. With
    ``leaveRoutes`` the rules of HTTPRoutes are left as they are, for those whose weights another controller moves, such
    as Argo Rollouts; that needs a kustomize-controller from 1.9 on.
    """

    repository: Annotated[str, Field(pattern=r"^(https?|ssh|oci)://")]
    path: Folder
    branch: Revision = "main"
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")] | None = None
    digest: Digest | None = None
    insecure: bool = False
    namespace: Name = "models"
    flux_namespace: Name = "flux-system"
    secret: ObjectName | None = None
    interval: Duration = "1m"
    leave_routes: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if not self.repository.startswith("oci://"):
            if self.tag is not None or self.digest is not None or self.insecure:
                raise ValueError("tag, digest and insecure are for artifacts: a repository that begins with oci://")
            return self
        if "branch" in self.model_fields_set:
            raise ValueError("an artifact has no branch: name its tag or its digest")
        if (self.tag is None) == (self.digest is None):
            raise ValueError("which artifact is applied is said by its tag or by its digest: name one of the two")
        return self


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return the two objects of an environment in one file."""
    name = dns_label(f"modelops-{view.environment}")
    metadata = {
        "name": name,
        "namespace": params.flux_namespace,
        "labels": {"app.kubernetes.io/managed-by": "modelops"},
    }
    source = {"apiVersion": "source.toolkit.fluxcd.io/v1", **_source(params), "metadata": metadata}
    apply = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": metadata,
        "spec": {
            "interval": params.interval,
            "sourceRef": {"kind": source["kind"], "name": name},
            "path": f"./{params.path.strip('/')}",
            "targetNamespace": params.namespace,
            "prune": True,
            "wait": True,
            **({"ignore": [_ROUTES]} if params.leave_routes else {}),
        },
    }
    dumped = [yaml.safe_dump(one, sort_keys=False, allow_unicode=True, width=1000) for one in (source, apply)]
    return {f"{name}.yaml": "---\n".join(dumped)}


def _source(params: Params) -> dict[str, Any]:
    access = {"secretRef": {"name": params.secret}} if params.secret is not None else {}
    spec: dict[str, Any] = {"interval": params.interval, "url": params.repository}
    if not params.repository.startswith("oci://"):
        return {"kind": "GitRepository", "spec": {**spec, "ref": {"branch": params.branch}, **access}}
    which = {"digest": params.digest} if params.digest is not None else {"tag": params.tag}
    plain = {"insecure": True} if params.insecure else {}
    return {"kind": "OCIRepository", "spec": {**spec, "ref": which, **access, **plain}}
