"""What `render` writes for a cluster, on a real one: accepted, run, called, scraped, rolled and drained."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from cluster_world import edit, needs_services
from engine_world import needs_engine
from modelops.errors import ModelOpsError
from modelops.predictions import count
from modelops.spec.layout import PREDICTIONS
from modelops.targets.kubernetes.names import name_of
from modelops.targets.kubernetes.workloads import is_ready, rolling
from node_world import Node, one_node
from reconcile.conftest import *  # noqa: F403 - the stages of a small repository, with their fixtures
from reconcile.loop_world import MODEL, World
from registry_world import free_port, needs_registry
from targets.engine_box import Callers
from waiting import PATIENCE, wait_for

pytestmark = [needs_services, needs_engine, needs_registry, pytest.mark.slow]

NAME = name_of("production", MODEL)
INFER = f"/v2/models/{MODEL}/infer"
BODY = json.dumps(
    {
        "inputs": [
            {"name": "amount", "shape": [1], "datatype": "FP64", "data": [0.5]},
            {"name": "country", "shape": [1], "datatype": "BYTES", "data": ["DE"]},
        ],
        "parameters": {"entity_id": "c1"},
    }
).encode()
KINDS = ["ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"]
Object = dict[str, Any]


@dataclass
class Rendered:
    """A release's environment as files, and the namespace that they were applied to."""

    node: Node
    world: World
    namespace: str
    files: dict[str, Object]
    log: Path
    address: str = ""

    def applied(self, *, dry: bool = False) -> dict[str, Object]:
        """Apply every object on the server's side, in the version that it has; return them by their kind."""
        with self.node.server.cluster(self.namespace) as cluster:
            return {made["kind"]: cluster.apply(cluster.fitted(made), dry=dry) for made in self.files.values()}

    def get(self, kind: str) -> Object:
        with self.node.server.cluster(self.namespace) as cluster:
            found = cluster.get(kind, NAME)
        assert found is not None, f"there is no {kind} {NAME}"
        return found

    def ready(self) -> dict[str, Object]:
        return {name: pod for name, pod in self.node.pods(self.namespace).items() if is_ready(pod)}

    def settled(self) -> bool:
        """Tell whether two pods answer, all of the newest generation."""
        return len(self.ready()) == 2 == len(self.node.pods(self.namespace)) and not rolling(self.get("Deployment"))

    def ask(self) -> Object:
        with contextlib.closing(http.client.HTTPConnection(self.address, 80, timeout=PATIENCE)) as connection:
            connection.request("POST", INFER, BODY, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            found: Object = json.loads(body)
            return found

    def called(self) -> Callers:
        return Callers(self.address, 80, INFER, BODY)

    def restarted(self) -> None:
        """Roll the pods as `kubectl rollout restart` does, and wait until that is done."""
        before = self.ready()

        def mark(live: Object) -> None:
            annotations = live["spec"]["template"]["metadata"].setdefault("annotations", {})
            annotations["kubectl.kubernetes.io/restartedAt"] = str(time.time_ns())

        with self.node.server.cluster(self.namespace) as cluster:
            edit(cluster, "Deployment", NAME, mark, "kubectl-rollout")
        wait_for(lambda: self.settled() and not set(before) & set(self.ready()))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with one_node(tmp_path_factory.mktemp("node")) as found:
        yield found


@pytest.fixture(scope="module")
def rendered(
    node: Node, stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rendered]:
    """Render release 1 of a model that logs before it answers, apply it, and wait for its pods."""
    world = stages("second").copy(tmp_path_factory.mktemp("rendered"))
    namespace = node.server.namespace()
    said = {"image": node.image, "namespace": namespace, "storeClaim": "store", "logClaim": "log"}
    said |= {"cpu": "50m", "memory": "300Mi", "monitoringNamespace": "monitoring"}
    target = f"target: {json.dumps({'type': 'kubernetes', 'params': said})}"
    path = "policies/environments/production.yaml"
    world.approved({path: re.sub(r"target: .*", target, world.show(path)) + "\n"}, "Use a cluster")
    folder = world.folder / "out"
    world.ok("render", "production", "--output", str(folder))
    files = {file.stem: yaml.safe_load(file.read_text()) for file in sorted(folder.rglob("*.yaml"))}
    with node.claim(namespace, "store", world.root / ".modelops" / "store"), node.claim(namespace, "log") as log:
        made = Rendered(node, world, namespace, files, log)
        assert sorted(made.applied(dry=True)) == KINDS
        assert node.pods(namespace) == {}
        made.applied()
        wait_for(made.settled)
        made.address = made.get("Service")["spec"]["clusterIP"]
        wait_for(lambda: _answers(made))
        yield made
        with node.server.cluster(namespace) as cluster:
            for one in made.files.values():
                cluster.ask_raw("DELETE", cluster.path(one["kind"], one["metadata"]["name"]))
        wait_for(lambda: not node.pods(namespace))


def _answers(made: Rendered) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return bool(made.ask())
    return False


def test_what_is_applied_twice_changes_nothing(rendered: Rendered) -> None:
    """Every kind is taken by the API server, and applied again nothing has another version: no diff stays for ever."""
    first, second = rendered.applied(), rendered.applied()
    versions = [{kind: each["metadata"]["resourceVersion"] for kind, each in one.items()} for one in (first, second)]
    assert sorted(versions[0]) == KINDS
    # Controllers write a status of their own.
    written = ("ConfigMap", "NetworkPolicy", "Service")
    assert {kind: versions[0][kind] for kind in written} == {kind: versions[1][kind] for kind in written}
    assert {kind: each["metadata"].get("generation") for kind, each in first.items()} == {
        kind: each["metadata"].get("generation") for kind, each in second.items()
    }


def test_pods_run_bounded_and_answer_through_their_service(rendered: Rendered) -> None:
    """The autoscaler has two pods; neither is root nor writes elsewhere; the Service answers with the release."""
    assert rendered.get("HorizontalPodAutoscaler")["status"]["desiredReplicas"] == 2
    assert rendered.ask()["parameters"]["release"] == 1
    with rendered.node.engine.client() as client:
        found = [one for one in client.containers.list() if one.labels.get("io.kubernetes.container.name") == "server"]
        assert len(found) == 2
        for one in found:
            host = one.attrs["HostConfig"]
            assert (one.attrs["Config"]["User"].partition(":")[0], host["ReadonlyRootfs"]) == ("10001", True)
            assert (host["CapDrop"], host["Memory"]) == (["ALL"], 300 << 20)
            assert "no-new-privileges" in host["SecurityOpt"]
            tried = one.exec_run(["python", "-c", "open('/srv/x', 'w')"])
            assert b"Read-only file system" in tried.output


def test_a_prometheus_scrapes_the_pods_of_the_exported_monitor(rendered: Rendered, tmp_path: Path) -> None:
    """By the labels, the port and the path of the exported PodMonitor each pod is up, and has counted its requests."""
    if shutil.which("prometheus") is None:
        pytest.skip("no Prometheus here (Debian: prometheus)")
    words = ("--export", "prometheus", "--param", "form=operator", "--param", f"namespace={rendered.namespace}")
    rendered.world.ok("render", "production", "--to", str(tmp_path / "out"), *words)
    monitor = yaml.safe_load((tmp_path / "out" / "production" / "podmonitor.yaml").read_text())["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]

    selects = ",".join(f"{key}={value}" for key, value in monitor["selector"]["matchLabels"].items())
    with rendered.node.server.cluster(rendered.namespace) as cluster:
        targets = [
            f"{pod['status']['podIP']}:{port['containerPort']}"
            for pod in cluster.listed("Pod", selects)
            for container in pod["spec"]["containers"]
            for port in container["ports"]
            if port["name"] == endpoint["port"]
        ]
    job = {
        "job_name": "pods",
        "metrics_path": endpoint["path"],
        "scheme": endpoint["scheme"],
        "scrape_interval": "1s",
        "static_configs": [{"targets": targets}],
    }
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    address = f"127.0.0.1:{free_port()}"
    with (tmp_path / "log").open("wb") as log:
        options = ["--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
        process = subprocess.Popen(["prometheus", *options], cwd=tmp_path, stdout=log, stderr=log)

        def found(query: str) -> list[float]:
            with contextlib.suppress(OSError), urlopen(f"http://{address}/api/v1/query?query={quote(query)}") as answer:
                return [float(one["value"][1]) for one in json.load(answer)["data"]["result"]]
            return []

        try:
            wait_for(lambda: found("up") == [1.0, 1.0])
            before = sum(found("modelops_requests_total"))
            for _ in range(10):
                rendered.ask()
            wait_for(lambda: sum(found("modelops_requests_total")) >= before + 10)
        finally:
            process.terminate()
            process.wait()


def test_rolls_and_drains_refuse_nobody(rendered: Rendered) -> None:
    """Under traffic through the Service all pods are rolled and then evicted: each request is answered, and logged."""
    before = rows(rendered)
    with rendered.called() as callers:
        for _ in range(3):
            rendered.restarted()
            callers.more()
        for name in sorted(rendered.ready()):
            wait_for(lambda name=name: evicted(rendered, name))  # type: ignore[misc]
            wait_for(rendered.settled)
            callers.more()
    print(f"3 rolls, 2 evictions, {callers.answered} requests answered, {len(callers.lost)} lost")
    assert callers.lost == []
    assert rows(rendered) - before == callers.answered


def rows(rendered: Rendered) -> int:
    """Return how many predictions the volume of the log has."""
    return count(rendered.log / PREDICTIONS, MODEL)


def evicted(rendered: Rendered, pod: str) -> bool:
    """Ask for a pod to go, as a drain of its node does; the budget may have it wait."""
    with rendered.node.server.cluster(rendered.namespace) as cluster:
        version = cluster.version_of("PodDisruptionBudget")
        asked = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": pod, "namespace": cluster.namespace}}
        try:
            cluster.ask_raw("POST", f"{cluster.path('Pod', pod)}/eviction", asked)
        except ModelOpsError as error:
            if "disruption budget" not in str(error):
                raise
            return False
    return True
