"""The runner `docker` on a real engine: what it promises, what it survives, and what it says of what it cannot."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from engine_world import Engine, engine, needs_engine
from modelops import logs
from modelops.conformance.targets import RUNNER_CHECKS, Ground
from modelops.errors import ModelOpsError
from modelops.spec.routing import Route, RouteArm, RoutingTable, table_digest
from modelops.stores import Store
from modelops.targets import Site, docker
from modelops.targets.docker.params import Params
from registry_world import free_port
from serving.served_models import open_store, pack_model
from waiting import PATIENCE, wait_for

pytestmark = needs_engine
BODY = json.dumps(
    {"inputs": [{"name": each, "shape": [1], "datatype": "FP64", "data": [0.5]} for each in ("x", "y")]}
).encode()


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    """Return an engine; what it runs is removed at the end."""
    with engine() as found:
        yield found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def digests(store: Store) -> list[str]:
    """Return two releases of a model."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=60), random.normal(size=60)
    signature = {
        "model": "fraud",
        "task": "binary-classification",
        "features": [("x", "number", False), ("y", "number", False)],
        "classes": (0, 1),
        "positive": 1,
    }
    rows = {"x": x.tolist(), "y": y.tolist()}
    target = (x + y > 0).astype(int)
    return [pack_model(store, LogisticRegression(C=c), rows, target, dict(signature)) for c in (1.0, 0.1)]


@dataclass
class Box:
    """An environment of its own on the engine."""

    engine: Engine
    site: Site
    prefix: str
    port: int
    digests: list[str]
    more: dict[str, Any] = field(default_factory=dict)

    def params(self, **more: Any) -> Params:
        said = {"image": self.engine.image, "port": self.port, "prefix": self.prefix, **self.more, **more}
        return Params.model_validate_json(json.dumps(said))

    def table(self, candidate: float = 0.0, release: int = 1) -> RoutingTable:
        arms = [RouteArm(name="stable", release=release, digest=self.digests[release - 1], weight=1.0 - candidate)]
        if candidate:
            arms.append(RouteArm(name="candidate", release=2, digest=self.digests[1], weight=candidate))
        routes = {"fraud": Route(arms=tuple(arms), salt="abc", log="acknowledged")}
        return RoutingTable(environment="staging", models=routes)

    def apply(self, table: RoutingTable, **more: Any) -> None:
        found = docker.apply(self.params(**more), self.site, table)
        assert (found.running, found.table, found.routes) == (True, table_digest(table), table)

    def ids(self) -> dict[str, str]:
        """Return the running containers with when they were started."""
        with self.engine.client() as client:
            mine = [each for each in client.containers.list() if each.name.startswith(self.prefix)]
            return {each.name: each.attrs["State"]["StartedAt"] for each in mine}

    def ask(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("POST", "/v2/models/fraud/infer", BODY, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            found: dict[str, Any] = json.loads(body)
            return found


@pytest.fixture
def box(
    running: Engine, store: Store, digests: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Box]:
    monkeypatch.setenv("DOCKER_HOST", running.host)
    prefix = f"t{secrets.token_hex(4)}"
    made = Box(running, Site("staging", tmp_path / "runtime", store.address), prefix, free_port(), digests)
    yield made
    running.clear(prefix)


@dataclass
class Callers:
    """Threads that ask on connections that they keep, and count what is not answered."""

    box: Box
    many: int = 4
    answered: int = 0
    lost: list[str] = field(default_factory=list)

    def __enter__(self) -> Callers:
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(self.many)]
        for thread in self._threads:
            thread.start()
        wait_for(lambda: self.answered > 20)
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def more(self) -> None:
        """Wait until some more are answered."""
        before = self.answered
        wait_for(lambda: self.answered > before + 20 or self.lost)

    def _call(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.box.port, timeout=PATIENCE)
        while not self._ending.is_set():
            try:
                connection.request("POST", "/v2/models/fraud/infer", BODY, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    self.answered += 1
                else:
                    self.lost.append(f"{answer.status} {body[:80]!r}")
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
        connection.close()


@pytest.mark.parametrize("check", RUNNER_CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_what_every_runner_promises(box: Box, check: Callable[[Ground], None], tmp_path: Path) -> None:
    """The conformance suite of the shelf holds on a real engine."""
    said = box.params().model_dump(mode="json", by_alias=True, exclude_none=True)
    check(Ground(docker, said, tmp_path / "ground"))


def test_a_step_of_a_rollout_starts_nothing_anew(box: Box) -> None:
    """Weights move under load: the same containers answer, by the new table, and no request is lost."""
    box.apply(box.table())
    before = box.ids()
    assert len(before) == 2
    with Callers(box) as callers:
        for weight in (0.1, 0.5, 0.9):
            box.apply(box.table(weight))
            callers.more()
    assert callers.lost == []
    assert box.ids() == before
    log = logs.bind(docker.logs(box.params(), box.site))
    arms = log.module.open(log.params).window("fraud", columns=["arm"]).column("arm").to_pylist()
    assert len(arms) == callers.answered
    assert set(arms) == {"stable", "candidate"}


def swapped(box: Box, times: int) -> Callers:
    box.apply(box.table())
    with Callers(box) as callers:
        for number in range(1, times + 1):
            before = box.ids()
            box.apply(box.table(), memory=f"{512 + number}m")
            assert len(set(box.ids()) - set(before)) == 1
            assert len(box.ids()) == 2
            callers.more()
    return callers


def test_another_server_takes_over_without_a_lost_request(box: Box) -> None:
    """Other settings are another container: it answers before the old one ends, and every row is in the log."""
    callers = swapped(box, 2)
    assert callers.lost == []
    log = logs.bind(docker.logs(box.params(), box.site))
    assert log.module.open(log.params).window("fraud", columns=["row"]).num_rows == callers.answered


@pytest.mark.slow
def test_twenty_servers_take_over_without_a_lost_request(box: Box) -> None:
    """The same, twenty times."""
    callers = swapped(box, 20)
    print(f"20 swaps, {callers.answered} requests answered, {len(callers.lost)} lost")
    assert callers.lost == []


def test_containers_are_bounded(box: Box) -> None:
    """No root, no capability, no writable root, no new privileges; memory, processes and logs have an end."""
    box.apply(box.table(), cpus=1.5)
    with box.engine.client() as client:
        for name in box.ids():
            attributes = client.containers.get(name).attrs
            host = attributes["HostConfig"]
            assert attributes["Config"]["User"] == "10001:10001"
            assert (host["ReadonlyRootfs"], host["CapDrop"], host["Init"]) == (True, ["ALL"], True)
            assert host["SecurityOpt"] == ["no-new-privileges:true"]
            assert (host["Memory"], host["PidsLimit"], host["NanoCpus"]) == (512 << 20, 512, 1_500_000_000)
            assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
            assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_the_log_is_carried_once(box: Box) -> None:
    """What was predicted is found here, also after more of it, and after the containers have ended."""
    box.apply(box.table())
    reference = logs.bind(docker.logs(box.params(), box.site))

    def found(id: str) -> bool:
        return reference.module.open(reference.params).find(id) is not None

    first = box.ask()["parameters"]["prediction_id"]
    assert found(first)
    second = box.ask()["parameters"]["prediction_id"]
    assert found(first)
    assert found(second)
    docker.stop(box.params(), box.site)
    assert found(second)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["server", "front", "both", "state", "everything"])
def test_what_was_lost_is_made_again(box: Box, lost: str) -> None:
    """A removed container or volume is told, and one more apply answers as before; a lost log holds what was copied."""
    box.apply(box.table())
    id = box.ask()["parameters"]["prediction_id"]
    reference = logs.bind(docker.logs(box.params(), box.site))
    assert reference.module.open(reference.params).find(id) is not None
    with box.engine.client() as client:
        for name in box.ids():
            ahead = name.endswith("-front")
            if lost in ("both", "state", "everything") or (lost == "front") == ahead:
                client.containers.get(name).remove(force=True)
        for volume in client.volumes.list():
            if volume.name.startswith(box.prefix) and (lost == "everything" or volume.name.endswith(f"-{lost}")):
                volume.remove()
    observed = docker.observe(box.params(), box.site)
    assert not observed.running
    assert box.prefix in observed.message
    assert observed.routes == (box.table() if lost == "server" else None)
    box.apply(box.table())
    box.ask()
    assert reference.module.open(reference.params).find(id) is not None


@pytest.mark.slow
def test_a_killed_server_comes_back_by_itself(box: Box) -> None:
    """Callers wait while the engine starts it again; nobody has to look."""
    box.apply(box.table())
    (name,) = (each for each in box.ids() if not each.endswith("-front"))
    with box.engine.client() as client:
        inside = client.containers.get(name)
        pid = inside.attrs["State"]["Pid"]
    os.kill(pid, 9)
    wait_for(lambda: _answers(box))
    assert docker.observe(box.params(), box.site).running


def _answers(box: Box) -> bool:
    try:
        box.ask()
    except (OSError, http.client.HTTPException, AssertionError):
        return False
    return True


def test_a_taken_port_is_told_and_healed(box: Box) -> None:
    """Who has the port is not ours to end: exit 4, nothing half there, and the next apply goes on."""
    with socket.create_server(("127.0.0.1", box.port)):
        with pytest.raises(ModelOpsError, match="port-taken") as caught:
            box.apply(box.table())
        assert (caught.value.exit, caught.value.retryable) == (4, True)
        assert not docker.observe(box.params(), box.site).running
    box.apply(box.table())
    box.ask()


@pytest.mark.slow
def test_a_missing_image_leaves_what_runs(box: Box) -> None:
    """An image that nobody can pull is told, and the old server goes on."""
    box.apply(box.table())
    before = box.ids()
    with pytest.raises(ModelOpsError, match="image-missing") as caught:
        box.apply(box.table(), image=f"localhost:{free_port()}/none@sha256:{'0' * 64}")
    assert caught.value.exit == 4
    assert box.ids() == before
    box.ask()


def test_a_release_that_does_not_load_leaves_the_old_routes(box: Box, store: Store) -> None:
    """Bytes that are no model are refused with their reason, and callers are answered as before."""
    box.apply(box.table())
    broken = store.put(b"{}")
    box.digests = [broken, broken]
    with pytest.raises(ModelOpsError) as caught:
        docker.apply(box.params(), box.site, box.table())
    assert caught.value.first.code in ("table-refused", "bad-artifact")
    box.ask()


@pytest.mark.slow
def test_two_reconcilers_end_in_one_state(box: Box, tmp_path: Path) -> None:
    """Two machines apply at once: whoever is refused can do it again, and there is one front and one server."""
    other = Box(box.engine, Site("staging", tmp_path / "other", box.site.store), box.prefix, box.port, box.digests)
    codes: list[str] = []

    def work(one: Box) -> None:
        for _ in range(5):
            try:
                one.apply(one.table())
            except ModelOpsError as error:
                codes.append(error.first.code if error.retryable else str(error))
            else:
                return

    threads = [threading.Thread(target=work, args=(one,)) for one in (box, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    box.apply(box.table())
    assert len(box.ids()) == 2
    box.ask()
    assert set(codes) <= {"engine-refused", "server-silent"}


KILLED = """
import os, sys
import requests
from modelops.targets import Site, docker
from modelops.spec.address import Address
from modelops.spec.routing import RoutingTable
from modelops.targets.docker.params import Params
from pathlib import Path
left = int(sys.argv[4])
send = requests.Session.send
def counted(self, *given, **more):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    return send(self, *given, **more)
requests.Session.send = counted
params, table = Params.model_validate_json(sys.argv[1]), RoutingTable.model_validate_json(sys.argv[2])
docker.apply(params, Site("staging", Path(sys.argv[3]), Address(sys.argv[5])), table)
"""


@pytest.mark.slow
@pytest.mark.parametrize("every", [9, 1])
def test_killed_at_any_point_the_next_pass_ends_the_same(box: Box, every: int) -> None:
    """An apply is killed before its n-th question to the engine, for all n: what is there is taken up where it was."""
    said = box.params().model_dump_json(by_alias=True, exclude_none=True)
    point, table = 1, box.table(0.5)
    while True:
        words = [said, table.model_dump_json(by_alias=True), str(box.site.runtime), str(point), box.site.store.text]
        done = subprocess.run([sys.executable, "-c", KILLED, *words], check=False, capture_output=True, text=True)
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        box.apply(table)
        assert len(box.ids()) == 2
        box.ask()
        box.engine.clear(box.prefix)
        point += every
    assert point > 15


@pytest.mark.slow
def test_an_engine_that_is_away_and_back(box: Box) -> None:
    """While it is down that is exit 4 and no word about what runs; back again, everything answers without a pass."""
    if box.engine.own is None:
        pytest.skip("the engine of DOCKER_HOST is not ours to stop")
    box.apply(box.table(0.5))
    id = box.ask()["parameters"]["prediction_id"]
    box.engine.own.stop()
    try:
        for question in (docker.observe, docker.stop, docker.endpoint):
            with pytest.raises(ModelOpsError, match="engine-unreachable") as caught:
                question(box.params(), box.site)
            assert (caught.value.exit, caught.value.retryable) == (4, True)
        with pytest.raises(ModelOpsError, match="engine-unreachable"):
            box.apply(box.table())
    finally:
        box.engine.own.start()
    wait_for(lambda: _answers(box))
    wait_for(lambda: docker.observe(box.params(), box.site).running)
    observed = docker.observe(box.params(), box.site)
    assert (observed.routes, observed.table) == (box.table(0.5), table_digest(box.table(0.5)))
    reference = logs.bind(docker.logs(box.params(), box.site))
    assert reference.module.open(reference.params).find(id) is not None
