"""The API server: how it is reached, and what its answers mean. The official client is imported nowhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from modelops.errors import Exit, ModelOpsError, failure
from modelops.targets.kubernetes.names import named
from modelops.targets.kubernetes.params import Params

__all__ = ["MANAGER", "Cluster", "connected", "is_gone", "is_late", "told"]

SECONDS = 30.0
"""How long one answer of the API server is waited for."""
MANAGER = "modelops"
"""The field manager: who the API server says holds what was applied here."""
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ConfigMap": ("configmaps", ("v1",)),
    "Deployment": ("deployments", ("apps/v1",)),
    "StatefulSet": ("statefulsets", ("apps/v1",)),
    "Service": ("services", ("v1",)),
    "HorizontalPodAutoscaler": ("horizontalpodautoscalers", ("autoscaling/v2", "autoscaling/v2beta2")),
    "PodDisruptionBudget": ("poddisruptionbudgets", ("policy/v1", "policy/v1beta1")),
    "NetworkPolicy": ("networkpolicies", ("networking.k8s.io/v1",)),
    "Lease": ("leases", ("coordination.k8s.io/v1",)),
    "Pod": ("pods", ("v1",)),
    "Event": ("events", ("v1",)),
    "PersistentVolumeClaim": ("persistentvolumeclaims", ("v1",)),
}
"""What is asked for: each kind by its resource, and the versions that are known here, the newest first."""
_GONE, _LATE = "object-gone", "changed-meanwhile"
_UNHEALTHY_SINCE = 27
"""The minor version from which a budget can say what becomes of pods that are not ready."""


def is_gone(error: ModelOpsError) -> bool:
    """Tell whether it is because the object is not there; a namespace that is not there is something else."""
    return error.first.code == _GONE


def is_late(error: ModelOpsError) -> bool:
    """Tell whether it is because somebody else has written the object, or made it, since it was looked at."""
    return error.first.code == _LATE


@dataclass
class Cluster:
    """A connection to the API server, for one namespace."""

    api: Any
    namespace: str
    server: str
    _served: dict[str, Any] = field(default_factory=dict)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, None where there is none."""
        try:
            return self._call("GET", kind, name)
        except ModelOpsError as error:
            if is_gone(error):
                return None
            raise

    def listed(self, kind: str, selector: str = "", **query: str) -> list[dict[str, Any]]:
        """Return the objects of a kind that have some labels."""
        found: list[dict[str, Any]] = []
        asked = {**query, "limit": "500", **({"labelSelector": selector} if selector else {})}
        while True:
            told = self._call("GET", kind, query=asked)
            # What is in a list does not say what it is.
            found += [{"apiVersion": told["apiVersion"], "kind": kind, **each} for each in told.get("items") or ()]
            more = (told.get("metadata") or {}).get("continue")
            if not more:
                return found
            asked = {**asked, "continue": more}

    def apply(self, wanted: Mapping[str, Any], *, force: bool = False, dry: bool = False) -> dict[str, Any]:
        """Apply an object on the server's side, as the field manager that all of ours have."""
        query = {"fieldManager": MANAGER, "force": "true" if force else "false", **({"dryRun": "All"} if dry else {})}
        return self._call(
            *("PATCH", wanted["kind"], wanted["metadata"]["name"], wanted, query, "application/apply-patch+yaml")
        )

    def create(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object that is not there yet."""
        return self._call("POST", wanted["kind"], None, wanted, {"fieldManager": MANAGER})

    def replace(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Put an object in the place of the one that has its resourceVersion, and of no other."""
        return self._call("PUT", wanted["kind"], wanted["metadata"]["name"], wanted, {"fieldManager": MANAGER})

    def annotate(self, kind: str, name: str, annotations: Mapping[str, str | None]) -> dict[str, Any]:
        """Set annotations of an object, and nothing else of it."""
        body = {"metadata": {"annotations": dict(annotations)}}
        return self._call("PATCH", kind, name, body, {"fieldManager": MANAGER}, "application/merge-patch+json")

    def delete(self, live: Mapping[str, Any], *, dry: bool = False) -> None:
        """Delete the very object that was looked at, and what it made; one that has gone meanwhile is no error."""
        metadata = live["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            # Beside a body, what a query says of it is passed over.
            **({"dryRun": ["All"]} if dry else {}),
        }
        try:
            self._call("DELETE", live["kind"], metadata["name"], body)
        except ModelOpsError as error:
            if not is_gone(error):
                raise

    def ask_raw(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """Ask for what is of no namespace: versions, and what one may do."""
        return self._send(method, path, body, query or {}, "application/json", path)

    def version_of(self, kind: str) -> str:
        """Return the version in which the API server has a kind: the newest that both know."""
        if kind not in self._served:
            known = _KINDS[kind][1]
            self._served[kind] = known[0] if len(known) == 1 else self._newest(kind, known)
        return str(self._served[kind])

    def _newest(self, kind: str, known: tuple[str, ...]) -> str:
        group = known[0].partition("/")[0]
        try:
            offered = [each["groupVersion"] for each in self.ask_raw("GET", f"/apis/{group}")["versions"]]
        except ModelOpsError as error:
            if not is_gone(error):
                raise
            offered = []
        found = [version for version in known if version in offered]
        if not found:
            raise failure(
                "kind-not-served",
                f"the API server at {self.server} has no {kind} of {' or '.join(known)}",
                exit=Exit.WORLD,
                hint="the cluster is older than Kubernetes 1.20, or leaves that group out",
            )
        return found[0]

    def fitted(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return an object as this API server knows it: in its version, without what came later."""
        made = {**wanted, "apiVersion": self.version_of(wanted["kind"])}
        if wanted["kind"] == "PodDisruptionBudget" and self.minor < _UNHEALTHY_SINCE:
            said = wanted["spec"].items()
            made["spec"] = {key: value for key, value in said if key != "unhealthyPodEvictionPolicy"}
        return made

    @property
    def minor(self) -> int:
        """The minor version of the API server."""
        if "minor" not in self._served:
            said = str(self.ask_raw("GET", "/version").get("minor") or "")
            self._served["minor"] = int("".join(each for each in said if each.isdigit()) or 0)
        return int(self._served["minor"])

    def path(self, kind: str, name: str | None = None) -> str:
        """Return the path of an object, or of all of a kind in the namespace."""
        version = self.version_of(kind)
        top = f"/apis/{version}" if "/" in version else f"/api/{version}"
        return f"{top}/namespaces/{self.namespace}/{_KINDS[kind][0]}" + (f"/{name}" if name is not None else "")

    def _call(
        self,
        method: str,
        kind: str,
        name: str | None = None,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        what = named(kind, name, self.namespace) if name is not None else f"{kind}s of the namespace {self.namespace}"
        found: dict[str, Any] = self._send(method, self.path(kind, name), body, query or {}, content, what)
        return found

    def _send(self, method: str, path: str, body: Any, query: Mapping[str, str], content: str, what: str) -> Any:
        headers = {"Accept": "application/json", "Content-Type": content}
        headers["User-Agent"] = "modelops"
        pairs: list[Any] = []
        self.api.update_params_for_auth(headers, pairs, ["BearerToken"], path, method, body)
        url = self.api.configuration.host + path + (f"?{urlencode({**query, **dict(pairs)})}" if query or pairs else "")
        data = json.dumps(body).encode() if body is not None else None
        pool = self.api.rest_client.pool_manager
        answer = pool.request(method, url, body=data, headers=headers, timeout=SECONDS, retries=False)
        try:
            said = json.loads(answer.data)
        except (ValueError, RecursionError):
            said = None
        if answer.status >= 300:
            words = {"message": f"status {answer.status}: {answer.data[:200].decode('utf-8', 'replace')}"}
            raise told(answer.status, said if isinstance(said, dict) else words, what, self.namespace)
        if not isinstance(said, dict):
            raise failure(
                "no-api-server",
                f"what answers at {self.server} is no Kubernetes API server: asked for {what} it says no JSON object",
                exit=Exit.WORLD,
                retryable=True,
                hint="the server of the kubeconfig may be a proxy or a page to sign in at: kubectl cluster-info",
            )
        return said


def _modules() -> tuple[Any, Any]:
    try:
        from kubernetes import client, config
    except ImportError:
        raise failure(
            "no-kubernetes-client",
            "the target kubernetes speaks to a cluster by the Kubernetes client for Python, which is not installed",
            exit=Exit.WORLD,
            hint="pip install 'modelops[kubernetes]'",
        ) from None
    return client, config


@contextmanager
def connected(params: Params, environ: Mapping[str, str] = os.environ) -> Iterator[Cluster]:
    """Yield a connection by the kubeconfig, or by the service account of the pod that this runs in.

    Raises
    ------
    ModelOpsError
        ``no-kubeconfig`` where nothing says how a cluster is reached, ``cluster-unreachable`` where nobody answers, and
        what the API server refuses by the error that says why; all exit 4.
    """
    client, config = _modules()
    import urllib3
    import yaml

    settings = client.Configuration()
    settings.retries = False
    file = environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    try:
        inside = _SERVICE_ACCOUNT.exists() and params.context is None and not environ.get("KUBECONFIG")
        if inside:
            config.load_incluster_config(client_configuration=settings)
        else:
            config.load_kube_config(config_file=file, context=params.context, client_configuration=settings)
    except (
        config.ConfigException,
        OSError,
        yaml.YAMLError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as error:
        # What is said of a file that cannot be parsed shows lines of it, and there are keys in it.
        wrong = not isinstance(error, config.ConfigException | OSError)
        raise failure(
            "no-kubeconfig",
            f"nothing says how the cluster is reached: {f'{file} is no kubeconfig' if wrong else error}",
            exit=Exit.WORLD,
            hint="set KUBECONFIG to a file that has the context, see: kubectl config get-contexts",
        ) from None
    with client.ApiClient(settings) as api:
        cluster = Cluster(api, params.namespace, settings.host)
        try:
            yield cluster
        except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            raise failure(
                "cluster-unreachable",
                f"no Kubernetes API server answers at {settings.host}: {_last(error)}",
                exit=Exit.WORLD,
                retryable=True,
                hint="what runs goes on meanwhile, by the routes that it has; the next pass tries again",
            ) from None
        finally:
            api.rest_client.pool_manager.clear()


def _last(error: BaseException) -> str:
    """Return what lies at the bottom of an error of the transport."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


def told(status: int, said: Mapping[str, Any], what: str, namespace: str) -> ModelOpsError:
    """Return the error for what the API server refuses: what was asked of which object, why, and what to do."""
    words = str(said.get("message") or f"status {status}")
    details = said.get("details") or {}
    code, hint = "cluster-refused", "the API server's words say what it wants; the next pass tries again"
    if status == 401:
        code, hint = "cluster-denied", "renew the credentials of the kubeconfig, or of the service account"
    elif status == 429 or status >= 500:
        code, hint = "cluster-busy", "the API server has too much to do, or is ill; the next pass tries again"
    elif "exceeded quota" in words:
        code, hint = "quota-exceeded", f"kubectl describe quota --namespace {namespace}; the next pass tries again"
    elif status == 403 and " cannot " in words:
        code = "cluster-forbidden"
        hint = (
            f"give that right in a Role of {namespace}: docs/how-to/run-an-environment-on-kubernetes.md has the whole"
        )
    elif status == 404 and details.get("kind") == "namespaces":
        code = "namespace-missing"
        hint = f"kubectl create namespace {namespace}, or name another one: namespace, in the target's parameters"
    elif status == 404:
        code, hint = _GONE, "somebody removed it meanwhile; the next pass makes it again"
    elif status == 409 and details.get("causes"):
        return _conflict(details["causes"], what)
    elif status == 409:
        code, hint = _LATE, "somebody else wrote it since it was looked at; the next pass looks again"
    elif "field is immutable" in words or "updates to statefulset spec" in words:
        hint = f"what it has cannot be changed: kubectl delete --cascade=orphan {what}; the next pass makes it again"
    return failure(code, f"{what}: {words[:600]}", exit=Exit.WORLD, retryable=True, hint=hint)


def _conflict(causes: Sequence[Mapping[str, Any]], what: str) -> ModelOpsError:
    """Return the error for fields that others hold: who, which ones, and the ways out."""
    others: dict[str, list[str]] = {}
    for cause in causes:
        who = str(cause.get("message") or "").removeprefix("conflict with ").split(" using ")[0].strip('"')
        others.setdefault(who or "another manager", []).append(str(cause.get("field") or "?").lstrip("."))
    held = "; ".join(f"{who} holds {', '.join(sorted(fields))}" for who, fields in sorted(others.items()))
    return failure(
        "field-conflict",
        f"{what}: {held}, and git has another value",
        exit=Exit.WORLD,
        retryable=True,
        hint="undo it there, or write it into git; conflicts: overwrite in the target's params takes such fields back",
    )
