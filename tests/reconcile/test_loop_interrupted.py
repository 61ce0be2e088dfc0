"""Killed at any point, the loop ends where it would have ended: nothing lost, nothing done twice."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from git_world import git
from modelops.errors import Exit
from modelops.predictions import count
from modelops.spec.address import Address
from modelops.spec.load import load_resource
from modelops.targets import Site, local
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import AFTER_ACTIONS, killed
from waiting import PATIENCE, wait_for

Live = Callable[[str], World]

# Runs the loop and is killed, without a chance to tidy up, after so many actions.

# Runs the loop and is killed when it starts its n-th process or renames its n-th file.
AT_AN_EVENT = """
import os, signal, sys
from modelops.reconcile import loop
from modelops.views.pull_requests import LOOP
from modelops.project.workspace import open_workspace
workspace = open_workspace()
left = int(sys.argv[2])
def hook(event, args):
    global left
    if event in ("subprocess.Popen", "os.rename"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
loop.reconcile(workspace, sys.argv[1], LOOP)
"""


@pytest.fixture(scope="module")
def approved(stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world at rest in which the first promotion to production is merged and not reconciled."""
    world = stages("released").copy(tmp_path_factory.mktemp("approved"))
    world.promote()
    return world


@pytest.fixture
def copies(approved: World, tmp_path: Path) -> Iterator[Callable[[], World]]:
    made: list[World] = []

    def copy() -> World:
        made.append(approved.copy(tmp_path / str(len(made))))
        return made[-1]

    yield copy
    for world in made:
        world.stop()


def end(world: World) -> tuple[object, ...]:
    """Return the end state without what differs from run to run: signatures and ports."""
    tree = git(world.remote, "ls-tree", "-r", "main").splitlines()
    lines = {path: len(world.show(path).splitlines()) for path in map(_path, tree) if path.endswith(".intoto.jsonl")}
    rest = [line for line in tree if not line.endswith(".intoto.jsonl")]
    return rest, lines, world.routes(), git(world.remote, "rev-list", "--count", "main")


def _path(line: str) -> str:
    return line.split("\t")[1]


def one_champion(world: World) -> None:
    """See that git and the routes never name two releases that take all of the traffic."""
    routes = world.runtime() / "routes.json"
    if routes.exists():
        arms = json.loads(routes.read_text())["models"].get(MODEL, {"arms": [{"weight": 1, "name": "stable"}]})["arms"]
        assert sum(arm["weight"] for arm in arms) == 1
        assert sum(arm["name"] == "stable" for arm in arms) <= 1
    path = f"models/{MODEL}/environments/production.yaml"
    load_resource(world.show(path).encode(), path)


@pytest.fixture(scope="module")
def undisturbed(approved: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Return where the loop ends when nothing happens to it."""
    world = approved.copy(tmp_path_factory.mktemp("undisturbed"))
    try:
        world.reconcile()
        return end(world)
    finally:
        world.stop()


def test_killed_after_every_action(copies: Callable[[], World], undisturbed: tuple[object, ...]) -> None:
    """Killed after each single action and started again, the loop gets to the same end."""
    world = copies()
    times = 0
    while killed(world, AFTER_ACTIONS, 1):
        one_champion(world)
        times += 1
    assert times == 4
    assert end(world) == undisturbed
    assert world.release_answering() == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_killed_after_some_actions(copies: Callable[[], World], undisturbed: tuple[object, ...], number: int) -> None:
    """Killed after k actions, the next run does the rest and no more."""
    world = copies()
    assert killed(world, AFTER_ACTIONS, number)
    one_champion(world)
    assert len(world.reconcile()["done"]) == 4 - number
    assert end(world) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("first", range(3, 120, 9))
def test_killed_inside_an_action(copies: Callable[[], World], undisturbed: tuple[object, ...], first: int) -> None:
    """Killed between any two processes or files, between a push and what follows it too, it ends the same."""
    world = copies()
    killed(world, AT_AN_EVENT, first)
    one_champion(world)
    world.reconcile()
    assert end(world) == undisturbed
    assert world.release_answering() == 1
    site = Site("production", world.runtime(), Address(f"oci-layout:{world.root}/.modelops/store"))
    assert len(local.servers(site)) == 1


@pytest.mark.slow
def test_a_rollout_killed_after_every_action(live: Live) -> None:
    """A canary under traffic, killed after each action, becomes stable once and has one outcome."""
    world = live("second")
    world.promote("--release", "2")
    for _ in range(30):
        dead = killed(world, AFTER_ACTIONS, 1)
        one_champion(world)
        if world.deployment()["stable"] == 2 and not dead:
            break
        if not dead:
            world.ask(150)
    assert world.deployment()["candidate"] is None
    assert world.release_answering() == 2
    lines = world.show(f"models/{MODEL}/promotions/production-2.intoto.jsonl").splitlines()
    assert len(lines) == 2
    assert world.run("plan", "production", "--exit-code").code == 0


def test_a_killed_server_is_replaced(live: Live) -> None:
    """The next pass starts a new one on the same port with the same routes; the prediction log goes on."""
    world = live("promoted")
    world.reconcile()
    world.ask(5)
    before, url, routes = world.pid(), world.url(), world.routes()
    world.kill()
    found = world.reconcile()
    assert len(found["done"]) == 1
    assert (world.pid() != before, world.url(), world.routes()) == (True, url, routes)
    world.ask(1)
    assert count(world.runtime() / "predictions") == 6


def test_a_lease_dies_with_its_holder(live: Live) -> None:
    """While another process holds a model it is named and nothing is done; killed, it is in nobody's way."""
    world = live("released")
    world.promote()
    script = (
        "import sys, time\n"
        "from modelops.project.workspace import open_workspace\n"
        "from modelops.reconcile.lease import leases\n"
        "with leases(open_workspace().site('production'), ['churn']) as held:\n"
        "    print(held, flush=True)\n"
        "    time.sleep(600)\n"
    )
    holder = world.process("-c", script)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "{}\n"
    before = world.tip()
    found = world.reconcile()
    assert found["done"] == []
    assert f"process {holder.pid} on {socket.gethostname()}" in found["conditions"][0]["message"]
    assert world.tip() == before
    holder.kill()
    holder.communicate()
    assert world.reconcile()["conditions"][0]["type"] == "Ready"


def test_two_reconcilers_at_once(copies: Callable[[], World], undisturbed: tuple[object, ...]) -> None:
    """They share the work: every commit is made once, and both leave with an answer."""
    world = copies()
    processes = [world.process("-m", "modelops", "reconcile", "production", "--yes") for _ in range(2)]
    results = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    world.reconcile()
    assert end(world) == undisturbed


@pytest.mark.slow
def test_a_server_that_nobody_knows_of_is_found(live: Live) -> None:
    """A server whose starter was killed before it wrote the process id down is ended, and only that."""
    world = live("promoted")
    world.reconcile()
    bystander = subprocess.Popen(["python3", "-c", "import time; time.sleep(600)", str(world.runtime())])
    pid = world.pid()
    (world.runtime() / "server.json").unlink()
    try:
        world.reconcile()
        site = Site("production", world.runtime(), Address(f"oci-layout:{world.root}/.modelops/store"))
        assert local.servers(site) == [world.pid()] != [pid]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_stop_drains(live: Live) -> None:
    """Stopping an environment answers what runs and leaves the log whole."""
    world = live("promoted")
    world.reconcile()
    world.ask(20)
    assert world.run("reconcile", "production", "--stop", "--yes").code == Exit.OK
    site = Site("production", world.runtime(), Address(f"oci-layout:{world.root}/.modelops/store"))
    assert local.servers(site) == []
    assert count(world.runtime() / "predictions") == 20
    assert local.observe(local.Params(), site).running is False


def test_processes_are_found_without_proc(tmp_path: Path) -> None:
    """Where there is no /proc, ps tells the same about a process."""
    marker = str(tmp_path / "a folder with spaces")
    seen = marker.encode()
    process = subprocess.Popen(["sleep", "600", "--", marker], stderr=subprocess.DEVNULL)
    script = f"import time; '{marker}'; time.sleep(600)"
    python = subprocess.Popen(["python3", "-c", script])
    try:
        for folders in ((), (tmp_path / "no-proc",)):
            wait_for(lambda: python.pid in {pid for pid, line in local.command_lines(*folders) if seen in line})  # noqa: B023
    finally:
        for each in (process, python):
            each.kill()
            each.wait()
