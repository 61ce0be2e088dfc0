"""The runner `docker` on a real engine: what it promises, what it survives, and what it says of what it cannot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine_world import needs_engine
from modelops import logs
from modelops.conformance.targets import RUNNER_CHECKS, Ground
from modelops.errors import ModelOpsError
from modelops.spec.routing import table_digest
from modelops.stores import Store
from modelops.targets import Site, docker
from registry_world import free_port
from targets.engine_box import Box, Callers, answers
from waiting import wait_for

pytestmark = [needs_engine, pytest.mark.slow]


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
    with Callers("127.0.0.1", box.port) as callers:
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
    with Callers("127.0.0.1", box.port) as callers:
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


def test_a_killed_server_comes_back_by_itself(box: Box) -> None:
    """Callers wait while the engine starts it again; nobody has to look."""
    box.apply(box.table())
    (name,) = (each for each in box.ids() if not each.endswith("-front"))
    with box.engine.client() as client:
        inside = client.containers.get(name)
        pid = inside.attrs["State"]["Pid"]
    os.kill(pid, 9)
    wait_for(lambda: answers(box))
    assert docker.observe(box.params(), box.site).running


def test_a_taken_port_is_told_and_healed(box: Box) -> None:
    """Who has the port is not ours to end: exit 4, nothing half there, and the next apply goes on."""
    with socket.create_server(("127.0.0.1", box.port)):
        with pytest.raises(ModelOpsError, match="port-taken") as caught:
            box.apply(box.table())
        assert (caught.value.exit, caught.value.retryable) == (4, True)
        assert not docker.observe(box.params(), box.site).running
    box.apply(box.table())
    box.ask()


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
    wait_for(lambda: answers(box))
    wait_for(lambda: docker.observe(box.params(), box.site).running)
    observed = docker.observe(box.params(), box.site)
    assert (observed.routes, observed.table) == (box.table(0.5), table_digest(box.table(0.5)))
    reference = logs.bind(docker.logs(box.params(), box.site))
    assert reference.module.open(reference.params).find(id) is not None
