"""The parameters of the target `kubernetes`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from modelops.spec.meta import Name, Origin, Strict

__all__ = ["Bytes", "Cores", "ObjectName", "Params", "Pinned", "Reconciler", "require_order"]


def _as_text(value: Any) -> Any:
    """Kubernetes takes a number for a quantity as well: 0.5 is 500m."""
    return f"{value}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _some(quantity: str) -> str:
    if not quantity.strip("0.kmMGTPi"):
        raise ValueError("it should be above 0")
    return quantity


def _quantity(pattern: str, said: str) -> tuple[object, ...]:
    """Return what is asked of a quantity: a text of a form, or a number, above 0."""
    text = {"type": "string", "pattern": pattern, "description": said}
    either = WithJsonSchema({"anyOf": [text, {"type": "number", "exclusiveMinimum": 0}]})
    return Field(pattern=pattern, description=said), BeforeValidator(_as_text), AfterValidator(_some), either


_HOST, _PART = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"

Cores = Annotated[str, *_quantity(r"^[0-9]+(\.[0-9]+)?m?$", "cores, as 500m or 2")]
Bytes = Annotated[str, *_quantity(r"^[0-9]+(\.[0-9]+)?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$", "bytes, as 512Mi or 2G")]
Pinned = Annotated[
    str,
    Field(
        pattern=rf"^({_HOST}(:[0-9]+)?/)?{_PART}(/{_PART})*(:{_TAG})?@sha256:[0-9a-f]{{64}}$",
        description="as registry.example.com/modelops@sha256:…",
    ),
]
ObjectName = Annotated[
    str,
    Field(
        pattern=rf"^{_LABEL}(\.{_LABEL})*$",
        max_length=253,
        description="as a part of a DNS name: lower-case letters, digits, hyphens and dots",
    ),
]


def require_order(minimum: int, maximum: int) -> None:
    """Refuse fewer pods under load than at rest."""
    if minimum > maximum:
        raise ValueError(f"minimumReplicas, {minimum}, is more than maximumReplicas, {maximum}")


class Reconciler(Strict):
    """Who reconciles from within the cluster: ``image`` has git and modelops, ``repository`` is what it clones.

    ``secret`` is the Secret whose entries it has as variables: the signing key, and what the forge and the store ask
    for. ``deployKeySecret`` has the private key ``ssh-privatekey`` for a repository that is reached by SSH, and its
    ``known_hosts``. It looks again every ``intervalSeconds``.
    """

    image: Pinned
    repository: Annotated[str, Field(pattern=r"^(https://|ssh://|git@)[A-Za-z0-9][^\s]*$")]
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = "main"
    secret: ObjectName | None = None
    deploy_key_secret: ObjectName | None = None
    interval_seconds: Annotated[int, Field(ge=5, le=86_400)] = 60
    storage: Bytes = "10Gi"
    memory: Bytes = "2Gi"


class Params(Strict):
    """Where the workloads go and what they run.

    With ``apply: server-side`` modelops applies the objects itself and looks after them; without it they are rendered
    for a GitOps tool or a person. ``context`` names a context of the kubeconfig; without it the current one counts, or
    the service account of the pod. ``conflicts`` says what happens where another field manager holds a field that git
    has a value for: it is told, or overwritten. ``url`` is where callers reach the models, as a gateway routes them.
    ``reconciler`` asks for the objects of a reconciler within the cluster.

    ``image`` is the server's image, pinned by digest; ``storeClaim`` a PersistentVolumeClaim that holds the folder
    with the artifacts, mounted read-only, where the project's store is a folder. ``logStorage`` gives each pod a
    volume of that size for its prediction log, which stays when the pod goes, of ``logStorageClass``; ``logClaim``
    names one PersistentVolumeClaim that all pods share, of a file system with locks. Without either the log lives
    and dies with its pod, and ``log: acknowledged`` is refused. ``ingressNamespace`` is the namespace that may call
    the models; without it only their own may. ``monitoringNamespace`` is that of a Prometheus, which may ask as
    well. ``keySecret`` is the Secret that holds the API keys which the access policy names by variable.
    ``storeSecret`` is the Secret that holds the credentials which the store names by variable. With ``grpc`` the
    protocol is answered over gRPC as well, on port 8081, if the image has grpcio. Pages of ``corsOrigins`` may ask
    from a browser. Where ``minimumReplicas`` and ``maximumReplicas`` are the same there are always so many pods,
    and no autoscaler.
    """

    image: Pinned
    apply: Literal["server-side"] | None = None
    context: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    conflicts: Literal["refuse", "overwrite"] = "refuse"
    url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$")] | None = None
    reconciler: Reconciler | None = None
    store_claim: ObjectName | None = None
    namespace: Name = "models"
    log_claim: ObjectName | None = None
    log_storage: Bytes | None = None
    log_storage_class: ObjectName | None = None
    ingress_namespace: Name | None = None
    monitoring_namespace: Name | None = None
    key_secret: ObjectName = "modelops-api-keys"  # noqa: S105 - the name of a Secret
    store_secret: ObjectName = "modelops-store"  # noqa: S105 - the name of a Secret
    grpc: bool = False
    patience_seconds: Annotated[int, Field(ge=5, le=3600)] = 180
    cors_origins: tuple[Origin, ...] = ()
    minimum_replicas: Annotated[int, Field(ge=1)] = 2
    maximum_replicas: Annotated[int, Field(ge=1)] = 6
    cpu: Cores = "500m"
    memory: Bytes = "512Mi"
    target_cpu_percent: Annotated[int, Field(ge=1, le=100)] = 70

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.log_claim is not None and self.log_storage is not None:
            raise ValueError("logClaim is one volume for all pods, logStorage one for each: name one of them")
        if self.log_storage_class is not None and self.log_storage is None:
            raise ValueError("logStorageClass is the class of logStorage, which is not there")
        require_order(self.minimum_replicas, self.maximum_replicas)
        return self
