"""A real Kubernetes API server for tests: etcd and kube-apiserver of this machine, without nodes or controllers.

The programs are taken from the folder that KUBEBUILDER_ASSETS names, else from the PATH. What controllers and nodes
would say of objects, a test writes into their status, through the same API server.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from certificates import key_and_certificate
from modelops.targets.kubernetes.cluster import Cluster, connected
from modelops.targets.kubernetes.params import Params
from registry_world import free_port
from waiting import wait_for

IMAGE = "registry.example/modelops@sha256:" + "a" * 64
USERS = {"admin": "system:masters", "nobody": "visitors", "reconciler": "reconcilers"}


def _program(name: str) -> str | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    found = shutil.which(name, path=folder) if folder else None
    return found or shutil.which(name)


def _why_not(*more: str) -> str | None:
    missing = [name for name in ("kube-apiserver", "etcd", *more) if _program(name) is None]
    if missing:
        return f"no {' and no '.join(missing)} here: set KUBEBUILDER_ASSETS to the folder that has them"
    return None


needs_cluster = pytest.mark.skipif(_why_not() is not None, reason=_why_not() or "")
_NO_NODE = _why_not("kubelet", "kube-controller-manager", "kube-scheduler")
needs_node = pytest.mark.skipif(_NO_NODE is not None, reason=_NO_NODE or "")
_NO_SERVICES = _why_not("kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy")
needs_services = pytest.mark.skipif(_NO_SERVICES is not None, reason=_NO_SERVICES or "")


@dataclass
class ApiServer:
    """An API server of its own, and a kubeconfig for each of its users."""

    folder: Path
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    proxied: bool = False

    def kubeconfig(self, user: str = "admin") -> str:
        """Return the file with which a user speaks to it."""
        return str(self.folder / f"{user}.kubeconfig")

    @contextlib.contextmanager
    def cluster(self, namespace: str, user: str = "admin") -> Iterator[Cluster]:
        """Yield a connection of the product's own."""
        params = Params(image=IMAGE, namespace=namespace)
        with connected(params, {"KUBECONFIG": self.kubeconfig(user)}) as found:
            yield found

    def namespace(self) -> str:
        """Make a namespace that no other test has."""
        name = f"t{secrets.token_hex(4)}"
        with self.cluster(name) as cluster:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            cluster.ask_raw("POST", "/api/v1/namespaces", body)
        return name

    def start(self) -> None:
        """Start both and wait until they answer."""
        here = self.folder
        etcd = free_port()
        self._run(
            *("etcd", "--data-dir", f"{here}/etcd", "--unsafe-no-fsync=true"),
            *("--listen-client-urls", f"http://127.0.0.1:{etcd}"),
            *("--advertise-client-urls", f"http://127.0.0.1:{etcd}"),
            *("--listen-peer-urls", f"http://127.0.0.1:{free_port()}"),
        )
        self._run(
            *("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={self.port}"),
            *("--bind-address=127.0.0.1", f"--tls-cert-file={here}/cert.pem", f"--tls-private-key-file={here}/key.pem"),
            *("--service-account-issuer=https://kubernetes.default.svc", f"--cert-dir={here}"),
            *(f"--service-account-key-file={here}/key.pem", f"--service-account-signing-key-file={here}/key.pem"),
            *(f"--token-auth-file={here}/tokens.csv", "--authorization-mode=RBAC"),
            *("--service-cluster-ip-range=10.96.0.0/24", "--disable-admission-plugins=ServiceAccount"),
            "--kubelet-preferred-address-types=InternalIP",
        )
        wait_for(lambda: self._ended() or self._answers())
        if self._ended():
            last = (here / "log").read_text(errors="replace").strip().splitlines()[-1:]
            pytest.skip(f"no API server can be started here: {' '.join(last)[:200]}")

    def start_node(self, engine: str, pause: str) -> None:
        """Start the controllers, the scheduler and a node that runs pods on an engine; wait until it is ready.

        Where there is a kube-proxy, Services have addresses that this machine reaches.
        """
        here, config = self.folder, self.kubeconfig()
        self._run(
            *("kube-controller-manager", f"--kubeconfig={config}", "--leader-elect=false", "--bind-address=127.0.0.1"),
            *(f"--service-account-private-key-file={here}/key.pem", f"--cert-dir={here}/controllers", "--port=0"),
            *(f"--secure-port={free_port()}", "--controllers=*,-nodeipam,-cloud-node-lifecycle,-route,-service"),
        )
        self._run(
            *("kube-scheduler", f"--kubeconfig={config}", "--leader-elect=false", "--bind-address=127.0.0.1"),
            *("--port=0", f"--secure-port={free_port()}", f"--cert-dir={here}/scheduler"),
        )
        said = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failSwapOn": False,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "port": free_port(),
            "readOnlyPort": 0,
            "healthzPort": 0,
            "nodeStatusUpdateFrequency": "5s",
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
        }
        (here / "kubelet.yaml").write_text(yaml.safe_dump(said))
        address = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()[0]
        self._run(
            *("kubelet", f"--kubeconfig={config}", f"--config={here}/kubelet.yaml", f"--docker-endpoint={engine}"),
            *(f"--pod-infra-container-image={pause}", f"--root-dir={here}/kubelet", f"--cert-dir={here}/kubelet-pki"),
            *("--hostname-override=n1", f"--node-ip={address}", "--runtime-cgroups=/", "--kubelet-cgroups=/"),
        )
        if _program("kube-proxy") is not None:
            self._run(
                *("kube-proxy", f"--kubeconfig={config}", "--proxy-mode=iptables", "--hostname-override=n1"),
                *("--bind-address=127.0.0.1", "--conntrack-max-per-core=0", "--masquerade-all"),
                *(f"--{each}-bind-address=127.0.0.1:{free_port()}" for each in ("healthz", "metrics")),
            )
            self.proxied = True
        wait_for(lambda: self._ended() or self._has_node())
        if self._ended():
            last = (here / "log").read_text(errors="replace").strip().splitlines()[-1:]
            pytest.skip(f"no node can be started here: {' '.join(last)[:200]}")

    def _has_node(self) -> bool:
        with self.cluster("default") as cluster:
            for node in cluster.ask_raw("GET", "/api/v1/nodes").get("items") or ():
                if any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"]):
                    return True
        return False

    def _run(self, name: str, *words: str) -> None:
        program = _program(name)
        assert program is not None, "it was looked for before"
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [program, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder
            )
        self.processes.append(process)

    def _ended(self) -> bool:
        return any(process.poll() is not None for process in self.processes)

    def _answers(self) -> bool:
        from modelops.errors import ModelOpsError

        with contextlib.suppress(ModelOpsError), self.cluster("default") as cluster:
            # The namespaces come last: what asks for them finds all that it needs.
            return bool(cluster.ask_raw("GET", "/api/v1/namespaces/default"))
        return False

    def stop(self) -> None:
        """End all at once: one that is asked to end goes on for a while."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.processes.clear()
        if self.proxied:
            # The rules for its Services are the machine's.
            subprocess.run([str(_program("kube-proxy")), "--cleanup"], check=False, capture_output=True)


@contextlib.contextmanager
def api_server() -> Iterator[ApiServer]:
    """Yield an API server with three users: one that may do everything, and two that may do nothing yet."""
    folder = Path(tempfile.mkdtemp(prefix="moc-"))
    found = ApiServer(folder, free_port())
    (folder / "cert.pem").write_bytes(key_and_certificate(folder / "key.pem", "modelops-tests"))
    tokens = {user: secrets.token_hex(16) for user in USERS}
    lines = [f"{tokens[user]},{user},{user},{group}" for user, group in USERS.items()]
    (folder / "tokens.csv").write_text("\n".join(lines) + "\n")
    server = {"server": f"https://127.0.0.1:{found.port}", "certificate-authority": str(folder / "cert.pem")}
    for user in USERS:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": server}],
            "users": [{"name": user, "user": {"token": tokens[user]}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
        }
        Path(found.kubeconfig(user)).write_text(yaml.safe_dump(config))
    try:
        found.start()
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder, ignore_errors=True)


def say(cluster: Cluster, kind: str, name: str, status: Mapping[str, Any]) -> None:
    """Write the status of an object, as its controller or its node would."""
    path = cluster.path(kind, name)
    live = cluster.ask_raw("GET", path)
    cluster.ask_raw("PUT", f"{path}/status", {**live, "status": {**(live.get("status") or {}), **status}})


def edit(cluster: Cluster, kind: str, name: str, patch: Any, manager: str = "kubectl-edit") -> None:
    """Change an object as somebody else would, by hand."""
    path = cluster.path(kind, name)
    live = cluster.ask_raw("GET", path)
    changed = json.loads(json.dumps(live))
    patch(changed)
    cluster.ask_raw("PUT", path, changed, {"fieldManager": manager})
