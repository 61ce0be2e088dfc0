"""What an API server may answer, and whose the objects are that it has: by answers that are written down here."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelops import logs
from modelops.errors import ModelOpsError
from modelops.spec.routing import RoutingTable
from modelops.targets import Place, kubernetes
from modelops.targets.kubernetes import applied
from modelops.targets.kubernetes.cluster import connected
from modelops.targets.kubernetes.names import Owner, name_of
from modelops.targets.kubernetes.params import Params

pytest.importorskip("kubernetes")
IMAGE = "registry.example/modelops@sha256:" + "a" * 64
MINE, OTHERS = "a project", "another project"
ENVIRONMENT, MODEL = "production", "crm/churn"


@dataclass
class Answers:
    """An API server that has some objects by their paths, and takes none; ``says`` is what it says to everything."""

    kubeconfig: Path
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    says: tuple[int, bytes] | None = None
    written: list[str] = field(default_factory=list)

    def has(self, kind: str, plural: str, name: str, labels: dict[str, str]) -> None:
        """Let an object be there."""
        group = {"leases": "/apis/coordination.k8s.io/v1"}.get(plural, "/api/v1")
        metadata = {"name": name, "namespace": "models", "labels": labels, "resourceVersion": "7", "uid": "u"}
        made = {"apiVersion": group.partition("/api")[2].lstrip("s/") or "v1", "kind": kind, "metadata": metadata}
        self.objects[f"{group}/namespaces/models/{plural}/{name}"] = {**made, "data": {}, "spec": {}}

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        """Return what is said to a request."""
        if method != "GET":
            dry = "dryRun=All" in query or (method == "DELETE" and json.loads(body).get("dryRun") == ["All"])
            self.written.append(f"{'try ' * dry}{method} {path.rpartition('/')[2]}")
        if self.says is not None:
            return self.says
        found = self.objects.get(path)
        return (200, json.dumps(found).encode()) if found is not None else (404, b'{"kind": "Status"}')


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    found = Answers(tmp_path / "kubeconfig")

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            path, _, query = self.path.partition("?")
            status, body = found.answer(self.command, path, query, sent)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{listening.server_port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
        }
        found.kubeconfig.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(found.kubeconfig))
        yield found
        listening.shutdown()
        thread.join()


def params() -> Params:
    return Params.model_validate_json(json.dumps({"image": IMAGE, "apply": "server-side"}))


def place(folder: Path) -> Place:
    return Place(ENVIRONMENT, folder / ENVIRONMENT, repository=lambda: MINE)


def recall(folder: Path) -> None:
    kubernetes.recall(params(), place(folder), MODEL)


def remember(folder: Path) -> None:
    kubernetes.remember(params(), place(folder), MODEL, b"{}")


def forget(folder: Path) -> None:
    kubernetes.remember(params(), place(folder), MODEL, None)


def reserve(folder: Path) -> None:
    with kubernetes.reserved(params(), place(folder)):
        pass


def read(folder: Path) -> None:
    reference = logs.bind(kubernetes.logs(params(), place(folder)))
    reference.module.open(reference.params)


def end(folder: Path) -> None:
    kubernetes.stop(params(), place(folder))


_INVENTORY = ("ConfigMap", "configmaps", Owner(ENVIRONMENT, MINE).inventory)
_ROLLOUT = ("ConfigMap", "configmaps", f"{name_of(ENVIRONMENT, MODEL)}-rollout")
_LEASE = ("Lease", "leases", Owner(ENVIRONMENT, MINE).lease)


@pytest.mark.parametrize("whose", ["another project", "somebody else"])
@pytest.mark.parametrize(
    ("act", "named"),
    [
        (recall, _ROLLOUT),
        (remember, _ROLLOUT),
        (forget, _ROLLOUT),
        (reserve, _LEASE),
        (read, _INVENTORY),
        (end, _INVENTORY),
    ],
)
def test_what_has_our_name_and_is_anothers_is_neither_read_nor_written(
    server: Answers, tmp_path: Path, act: Any, named: tuple[str, str, str], whose: str
) -> None:
    """A rollout, a Lease, an inventory or the pods behind it: all of another one's are left alone, and that is told."""
    server.has(*named, Owner(ENVIRONMENT, OTHERS).labels if whose == "another project" else {})
    with pytest.raises(ModelOpsError, match=f"{named[0]} {named[2]} of the namespace models is of .*{whose}") as error:
        act(tmp_path)
    assert (error.value.first.code, error.value.exit) == ("name-taken", 4)
    assert server.written == []


def status(code: int, message: str, **more: object) -> tuple[int, bytes]:
    return code, json.dumps({"kind": "Status", "status": "Failure", "message": message, **more}).encode()


@pytest.mark.parametrize(
    ("says", "code", "words"),
    [
        (status(401, "Unauthorized"), "cluster-denied", "Unauthorized"),
        (status(409, "object is being deleted"), "changed-meanwhile", "object is being deleted"),
        (status(422, "spec.replicas: Invalid value"), "cluster-refused", "Invalid value"),
        (status(429, "Too many requests, please try again later."), "cluster-busy", "Too many requests"),
        (status(500, "etcdserver: request timed out"), "cluster-busy", "etcdserver"),
        ((503, b"<html>upstream is away</html>"), "cluster-busy", "status 503: <html>upstream is away"),
        ((302, b""), "cluster-refused", "status 302"),
        ((200, b"<html>sign in</html>"), "no-api-server", "is no Kubernetes API server"),
        ((200, b""), "no-api-server", "is no Kubernetes API server"),
        ((200, b"[1]"), "no-api-server", "is no Kubernetes API server"),
        ((200, b"[" * 100_000), "no-api-server", "is no Kubernetes API server"),
    ],
    ids=lambda said: str(said)[:40],
)
@pytest.mark.parametrize("act", [recall, reserve, read, end])
def test_whatever_is_answered_is_told_and_is_tried_again(
    server: Answers, tmp_path: Path, act: Any, says: tuple[int, bytes], code: str, words: str
) -> None:
    """No answer is taken for an empty cluster, and none ends a watch."""
    server.says = says
    with pytest.raises(ModelOpsError, match=words) as error:
        act(tmp_path)
    assert (error.value.first.code, error.value.exit, error.value.retryable) == (code, 4, True)


@pytest.mark.parametrize(
    "text", ["{", "clusters: 3", "- a\n- b", "\0", "a: &a [*a]", "users: [{name: u, user: {token: s3cr3t"]
)
def test_a_file_that_is_no_kubeconfig_is_told_and_not_shown(server: Answers, tmp_path: Path, text: str) -> None:
    """The file is named; of what is in it nothing is said."""
    server.kubeconfig.write_text(text)
    with pytest.raises(ModelOpsError, match="nothing says how the cluster is reached") as error:
        recall(tmp_path)
    assert error.value.first.code == "no-kubeconfig"
    assert "s3cr3t" not in error.value.first.message


def test_a_kubeconfig_that_may_not_be_read_is_told(server: Answers, tmp_path: Path) -> None:
    """A folder in its place is no defect of the program."""
    server.kubeconfig.unlink()
    server.kubeconfig.mkdir()
    with pytest.raises(ModelOpsError) as error:
        recall(tmp_path)
    assert error.value.first.code == "no-kubeconfig"


@pytest.mark.parametrize(
    ("says", "done"),
    [
        (status(403, 'User "a" cannot delete resource "services"'), ["try DELETE old"]),
        ((200, b"{}"), ["try DELETE old", "DELETE old", f"PATCH {_INVENTORY[2]}"]),
    ],
    ids=["it may not", "it may"],
)
def test_what_may_not_be_removed_is_told_before_anything_is_written(
    server: Answers, says: tuple[int, bytes], done: list[str]
) -> None:
    """The right to remove is tried like all others, with nothing written."""
    owner, metadata = Owner(ENVIRONMENT, MINE), {"namespace": "models", "resourceVersion": "7", "uid": "u"}
    old = {"kind": "Service", "metadata": {**metadata, "name": "old"}}
    listed = {"objects.json": json.dumps([["Service", "old"]])}
    inventory = {"kind": "ConfigMap", "metadata": {**metadata, "name": owner.inventory}, "data": listed}
    state = applied.State(owner, inventory, {("Service", "old"): old})
    server.says = says
    table = RoutingTable(environment=ENVIRONMENT, models={})
    with connected(params()) as cluster, contextlib.ExitStack() as refused:
        if says[0] == 403:
            refused.enter_context(pytest.raises(ModelOpsError, match="cannot delete"))
        applied.apply_objects(cluster, state, table, [], overwrite=False, term=None)
    assert server.written == done
