"""The same loop on a Docker engine: git, rollouts, log, audits and the way back are those of `local`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine_world import Engine, engine, needs_engine
from reconcile.docker_world import OnDocker, on_docker
from reconcile.loop_world import MODEL, World

pytestmark = [needs_engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    with engine() as found:
        yield found


@pytest.fixture
def world(
    running: Engine, stages: Callable[[str], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OnDocker]:
    """Return a repository with release 1 stable in production, which ran on this machine before."""
    monkeypatch.setenv("DOCKER_HOST", running.host)
    made = on_docker(running, stages("second").copy(tmp_path / "world"))
    yield made
    made.stop()
    running.clear(made.prefix)


def test_from_a_candidate_to_stable_and_back(world: OnDocker) -> None:
    """Canary without a restart, stable by a commit, a prediction proven, drift looked for, and the way back."""
    assert [each["type"] for each in world.reconcile()["conditions"]] == ["Ready"]
    assert world.release_answering() == 1
    before = world.containers()
    assert len(before) == 2
    world.promote()
    world.reconcile()
    answers = world.ask(150)
    assert {status for status, _ in answers} == {200}
    world.reconcile()
    assert {body["parameters"]["release"] for _, body in answers} == {1, 2}
    world.ask(80)
    world.reconcile()
    assert (world.deployment()["stable"], world.deployment()["candidate"]) == (2, None)
    assert world.release_answering() == 2
    assert world.containers() == before
    assert world.reconcile()["done"] == []

    id = answers[0][1]["parameters"]["prediction_id"]
    told = world.ok("audit", "prediction", id, "-o", "json").json
    assert str(answers[0][1]["parameters"]["release"]) in json.dumps(told)
    monitored = world.run("monitor", "production", "--yes")
    assert (monitored.code in (0, 1), "233" in monitored.out or "rows" in monitored.out) == (True, True), monitored
    (row,) = (row for row in world.ok("status", "-o", "json").json if row["environment"] == "production")
    assert (row["target"], row["running"], row["synced"]) == ("docker", True, True)

    world.ok("rollback", MODEL, "--environment", "production", "--reason", "complaints", "--yes")
    assert world.release_answering() == 1
    assert world.containers() == before
    world.ok("reconcile", "production", "--stop", "--yes")
    assert world.containers() == {}


def test_an_engine_out_of_reach_is_one_environment_s_trouble(world: OnDocker) -> None:
    """Status tells it in one line and shows the others; the verbs that need it exit with 4 and change nothing."""
    world.engine = Engine(f"unix://{world.folder}/none.sock")
    before = world.tip()
    rows = {row["environment"]: row for row in world.ok("status", "-o", "json").json}
    assert set(rows) == {"staging", "production"}
    assert "no Docker engine answers" in json.dumps(rows["production"])
    assert "no Docker engine answers" not in json.dumps(rows["staging"])
    done = world.run("reconcile", "production", "--yes")
    assert (done.code, "[engine-unreachable]" in done.err) == (4, True), done.err
    assert world.tip() == before
