"""The runner `kubernetes` with real pods on one node: a rollout, and the log of all pods."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster_world import needs_node
from engine_world import needs_engine
from modelops import logs
from modelops.spec.routing import Route, RouteArm, RoutingTable, table_digest
from modelops.stores import Store
from modelops.targets import Deployable, Site, kubernetes
from modelops.targets.kubernetes.params import Params
from node_world import Node, one_node
from registry_world import needs_registry
from targets.engine_box import BODY
from targets.test_render import MODEL
from waiting import PATIENCE, wait_for

pytestmark = [needs_node, needs_engine, needs_registry, pytest.mark.slow]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with one_node(tmp_path_factory.mktemp("node")) as found:
        yield found


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
        return self.node.pods(self.namespace)

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

    def deployable(table: RoutingTable) -> Deployable:
        def nothing() -> Any:
            raise AssertionError("nobody asks for it")

        models = dict.fromkeys(table.models, MODEL)
        return Deployable(table=table, models=models, releases={}, lock=nothing, store=store.address, wheel=nothing)

    site = Site("staging", tmp_path / "runtime", store.address, deployable=deployable)
    made = Box(node, site, namespace, digests)
    with node.claim(namespace, "store", store.address.folder):
        yield made
        kubernetes.stop(made.params(), made.site)
        wait_for(lambda: not made.pods())


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
