"""The parameters of the target `kubernetes`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelops.spec.meta import Name, Origin, Strict

__all__ = ["Params", "Pinned", "Quantity", "Reconciler"]

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
Pinned = Annotated[str, Field(pattern=r"^[^@\s]+@sha256:[0-9a-f]{64}$")]


class Reconciler(Strict):
    """Who reconciles from within the cluster: ``image`` has git and modelops, ``repository`` is what it clones.

    ``secret`` is the Secret whose entries it has as variables: the signing key, and what the forge and the store ask
    for. ``deployKeySecret`` has the private key ``ssh-privatekey`` for a repository that is reached by SSH, and its
    ``known_hosts``. It looks again every ``intervalSeconds``.
    """

    image: Pinned
    repository: Annotated[str, Field(pattern=r"^(https://|ssh://|git@)[A-Za-z0-9][^\s]*$")]
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = "main"
    secret: Name | None = None
    deploy_key_secret: Name | None = None
    interval_seconds: Annotated[int, Field(ge=5, le=86_400)] = 60
    storage: Quantity = "10Gi"
    memory: Quantity = "2Gi"


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
    store_claim: Name | None = None
    namespace: Name = "models"
    log_claim: Name | None = None
    log_storage: Quantity | None = None
    log_storage_class: Name | None = None
    ingress_namespace: Name | None = None
    monitoring_namespace: Name | None = None
    key_secret: Name = "modelops-api-keys"  # noqa: S105 - the name of a Secret
    store_secret: Name = "modelops-store"  # noqa: S105 - the name of a Secret
    grpc: bool = False
    patience_seconds: Annotated[int, Field(ge=5, le=3600)] = 180
    cors_origins: tuple[Origin, ...] = ()
    minimum_replicas: Annotated[int, Field(ge=1)] = 2
    maximum_replicas: Annotated[int, Field(ge=1)] = 6
    cpu: str = "500m"
    memory: str = "512Mi"
    target_cpu_percent: Annotated[int, Field(ge=1, le=100)] = 70

    @model_validator(mode="after")
    def _one_log(self) -> Self:
        if self.log_claim is not None and self.log_storage is not None:
            raise ValueError("logClaim is one volume for all pods, logStorage one for each: name one of them")
        if self.log_storage_class is not None and self.log_storage is None:
            raise ValueError("logStorageClass is the class of logStorage, which is not there")
        return self
