"""The runner `kubernetes` with real pods on one node: a rollout, and the log of all pods."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster_world import ApiServer, api_server, needs_node
from engine_world import Engine, engine, needs_engine
from modelops import logs
from modelops.spec.routing import Route, RouteArm, RoutingTable, table_digest
from modelops.stores import Store
from modelops.targets import Deployable, Site, kubernetes
from modelops.targets.kubernetes.params import Params
from registry_world import BINARY, needs_registry, registry
from targets.engine_box import BODY
from targets.test_render import MODEL
from waiting import PATIENCE, wait_for

pytestmark = [needs_node, needs_engine, needs_registry, pytest.mark.slow]

_RUNC = """#!{python}
import json, os, pathlib, sys
# A root without CAP_SYS_RESOURCE may not give a process what a kubelet asks for its pods.
words = sys.argv[1:]
for at, word in enumerate(words):
    if word == "--bundle":
        file = pathlib.Path(words[at + 1], "config.json")
        said = json.loads(file.read_bytes())
        if (said["process"].get("oomScoreAdj") or 0) < 0:
            said["process"]["oomScoreAdj"] = 0
            file.write_text(json.dumps(said))
os.execvp("runc", ["runc", *words])
"""


@dataclass
class Node:
    """A cluster of one node, and an image of a server that the node can have."""

    server: ApiServer
    engine: Engine
    image: str


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    assert BINARY is not None, "it was looked for before"
    runtime = tmp_path_factory.mktemp("runc") / "runc"
    runtime.write_text(_RUNC.format(python=Path(sys.executable).resolve()))
    runtime.chmod(0o755)
    with engine(str(runtime)) as found, registry(tmp_path_factory.mktemp("registry")) as host:
        repository = f"{host}/modelops-tests"
        with found.client() as client:
            image = client.images.get(found.image)
            image.tag(repository, "tests")
            client.images.push(repository, "tests")
            pushed = client.images.get(found.image).attrs["RepoDigests"]
            pause = client.containers.create(found.image, entrypoint=["python", "-c", "import signal; signal.pause()"])
            # What holds a pod's network only has to wait.
            changes = ['ENTRYPOINT ["python", "-c", "import signal; signal.pause()"]', "CMD []"]
            pause.commit("modelops-tests-pause", "1", changes="\n".join(changes))
            pause.remove()
        with api_server() as server:
            server.start_node(found.host, "modelops-tests-pause:1")
            yield Node(server, found, next(each for each in pushed if each.startswith(repository)))


@dataclass
class Box:
    """An environment of its own in a namespace of its own."""

    node: Node
    site: Site
    namespace: str
    digests: list[str]

    def params(self, **more: object) -> Params:
        said = {"image": self.node.image, "apply": "server-side", "namespace": self.namespace, "storeClaim": "store"}
        said |= {"minimumReplicas": 2, "maximumReplicas": 2, "cpu": "50m", "memory": "300Mi"}
        return Params.model_validate_json(json.dumps({**said, **more}))

    def table(self, candidate: float = 0.0, release: int = 1) -> RoutingTable:
        arms = [RouteArm(name="stable", release=release, digest=self.digests[release - 1], weight=1.0 - candidate)]
        if candidate:
            arms.append(RouteArm(name="candidate", release=2, digest=self.digests[1], weight=candidate))
        return RoutingTable(environment="staging", models={"fraud": Route(arms=tuple(arms), salt="abc")})

    def apply(self, table: RoutingTable, **more: object) -> None:
        found = kubernetes.apply(self.params(**more), self.site, table)
        assert (found.running, found.table, found.routes) == (True, table_digest(table), table)

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return the pods that are not on their way out."""
        with self.node.server.cluster(self.namespace) as cluster:
            found = cluster.listed("Pod")
        return {each["metadata"]["name"]: each for each in found if "deletionTimestamp" not in each["metadata"]}

    def restarts(self) -> dict[str, int]:
        """Return how often each pod's server was started anew."""
        return {
            name: sum(each["restartCount"] for each in pod["status"]["containerStatuses"])
            for name, pod in self.pods().items()
        }

    def ask(self, pod: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(pod["status"]["podIP"], 8080, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("POST", "/v2/models/fraud/infer", BODY, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            found: dict[str, Any] = json.loads(body)
            return found

    def logged(self, id: str) -> bool:
        """Tell whether the log, brought up to date, has a prediction."""
        reference = logs.bind(kubernetes.logs(self.params(), self.site))
        return reference.module.open(reference.params).find(id) is not None


@pytest.fixture
def box(node: Node, store: Store, digests: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    monkeypatch.setenv("KUBECONFIG", node.server.kubeconfig())
    namespace = node.server.namespace()
    assert store.address.folder is not None, "the tests' store is a folder"
    # What a test makes is for its user alone, and the pods have another one.
    folder = Path(tempfile.mkdtemp(prefix="mos-"))
    shutil.copytree(store.address.folder, folder, dirs_exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with node.server.cluster(namespace) as cluster:
        modes = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"store-{namespace}"},
            "spec": {
                **modes,
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": namespace, "name": "store"},
            },
        }
        cluster.ask_raw("POST", "/api/v1/persistentvolumes", volume)
        claim = {**modes, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": f"store-{namespace}"}
        cluster.create(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "store"}, "spec": claim}
        )

    def deployable(table: RoutingTable) -> Deployable:
        def nothing() -> Any:
            raise AssertionError("nobody asks for it")

        models = dict.fromkeys(table.models, MODEL)
        return Deployable(table=table, models=models, releases={}, lock=nothing, store=store.address, wheel=nothing)

    site = Site("staging", tmp_path / "runtime", store.address, deployable=deployable)
    made = Box(node, site, namespace, digests)
    yield made
    kubernetes.stop(made.params(), made.site)
    wait_for(lambda: not made.pods())
    shutil.rmtree(folder)


def test_a_rollout_restarts_nothing_and_is_in_effect_when_every_pod_says_so(box: Box) -> None:
    """Steps move by the ConfigMap alone; right after each, nothing differs; all pods answer with the new table."""
    box.apply(box.table())
    first = box.restarts()
    assert len(first) == 2
    for weight in (0.1, 0.5):
        box.apply(box.table(weight))
        observed = kubernetes.observe(box.params(), box.site)
        assert (observed.table, observed.changed) == (table_digest(box.table(weight)), ())
        assert {(arm.arm, arm.release, arm.ready) for arm in observed.arms} == {
            ("stable", 1, True),
            ("candidate", 2, True),
        }
    assert box.restarts() == first
    answers = [box.ask(pod) for pod in box.pods().values()]
    # Both pods log under names of their own, and the copy has the rows of both.
    assert all(box.logged(answer["parameters"]["prediction_id"]) for answer in answers)
    box.apply(box.table(release=2))
    assert {box.ask(pod)["parameters"]["release"] for pod in box.pods().values()} == {2}
    assert box.restarts() == first
