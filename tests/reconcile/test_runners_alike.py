"""One story for each strategy on every runner: the same steps and the same ends, whatever breaks between."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine_world import Engine, engine, needs_engine
from git_world import git
from kill.ends import end_processes
from reconcile.docker_world import OnDocker, on_docker
from reconcile.loop_world import MODEL, START, World
from reconcile.rollout_world import AB_TEST, AFTER_ACTIONS, CANARY, begun, killed, message, outcomes, weights
from reconcile.test_rollout_kinds import BANDIT, BLUE_GREEN
from reconcile.test_rollout_shadow import SHADOW, settled

pytestmark = pytest.mark.slow
Live = Callable[[str], World]
Weights = dict[int, float]


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    with engine() as found:
        yield found


@pytest.fixture(params=["local", pytest.param("docker", marks=needs_engine)])
def live(
    request: pytest.FixtureRequest,
    stages: Callable[[str], World],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Live]:
    """Return an own copy of a stage, whose production has a runner; what runs ends with the test."""
    worlds: list[World] = []

    def take(stage: str) -> World:
        world = stages(stage).copy(tmp_path / f"world-{len(worlds)}")
        if request.param == "docker":
            found: Engine = request.getfixturevalue("running")
            monkeypatch.setenv("DOCKER_HOST", found.host)
            world = on_docker(found, world)
        worlds.append(world)
        return world

    yield take
    for world in worlds:
        end_processes(world.folder)
        if isinstance(world, OnDocker):
            world.engine.clear(world.prefix)


def later(world: World, minutes: float) -> None:
    """Let time pass since the world began."""
    began = datetime.fromisoformat(START)
    world.at((began + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ"))


def lose(world: World) -> None:
    """Lose all of a runtime: what runs, what it has on disk, and what this machine knows of it."""
    if isinstance(world, OnDocker):
        world.lose()
    else:
        world.kill()
        shutil.rmtree(world.runtime())


def asked(world: World, count: int, *, strange: bool = False) -> None:
    world.ask(count, strange=strange)
    world.reconcile()


@dataclass(frozen=True)
class Story:
    """A strategy with a good candidate: its first step, what moves it on and where to, and what leads to its end."""

    plan: str
    first: Weights
    on: Callable[[World], None]
    then: Weights | None
    rest: Callable[[World], None]
    end: Weights
    outcome: str = "succeeded"


def asks(count: int) -> Callable[[World], None]:
    """Return what asks so often and lets the loop look."""
    return lambda world: asked(world, count)


def _labelled(world: World) -> None:
    world.label(world.ask(150))
    later(world, 30)
    world.reconcile()


def _watched(world: World) -> None:
    asked(world, 40)
    asked(world, 1)


def _shadowed(world: World) -> None:
    world.ask(60)
    settled(world, 60)
    world.reconcile()


def _past_its_deadline(world: World) -> None:
    asked(world, 120)
    later(world, 120)
    world.reconcile()


WARM, SWITCHED = {1: 1.0, 2: 0.0}, {1: 0.0, 2: 1.0}
EVEN = {1: 0.5, 2: 0.5}
STORIES = {
    "canary": Story(CANARY, {1: 0.7, 2: 0.3}, asks(150), {1: 0.4, 2: 0.6}, asks(80), {2: 1.0}),
    "blue-green": Story(BLUE_GREEN, WARM, asks(40), SWITCHED, _watched, {2: 1.0}),
    "shadow": Story(SHADOW, WARM, asks(20), WARM, _shadowed, {2: 1.0}),
    # Nothing tells the two apart: the deadline ends it, and the stable release stays.
    "ab-test": Story(AB_TEST, EVEN, asks(20), EVEN, _past_its_deadline, {1: 1.0}, "withdrawn"),
    # It goes on for as long as it may: its weights are drawn anew with what was earned.
    "bandit": Story(BANDIT, EVEN, _labelled, None, lambda world: None, {}),
}


@pytest.mark.parametrize("kind", STORIES)
def test_a_good_candidate_takes_its_steps(live: Live, kind: str) -> None:
    """Each strategy begins, moves on by what is seen, and ends in git and in the routes, as its plan says."""
    story = STORIES[kind]
    world = begun(live, "second", 2, strategy=story.plan)
    assert weights(world) == story.first
    story.on(world)
    found = weights(world)
    assert sum(found.values()) == pytest.approx(1)
    if story.then is None:
        assert found != story.first
        return
    assert found == story.then
    assert world.deployment()["stable"] == 1
    story.rest(world)
    assert weights(world) == story.end
    assert outcomes(world, 2) == [story.outcome]
    (stable,) = story.end
    assert (world.deployment()["stable"], world.deployment()["candidate"]) == (stable, None)
    assert world.release_answering() == stable
    assert message(world.reconcile()).startswith("Ready")
    assert world.run("plan", "production", "--exit-code").code == 0


@pytest.mark.parametrize("kind", ["canary", "blue-green", "ab-test", "shadow"])
def test_a_failing_candidate_is_withdrawn(live: Live, kind: str) -> None:
    """Errors of the candidate alone take its traffic away, deny it in git, and leave the stable release answering."""
    world = begun(live, "third", 3, strategy=STORIES[kind].plan)
    if kind == "blue-green":
        asked(world, 40)
        assert weights(world) == {1: 0.0, 3: 1.0}
    world.ask(150, strange=True)
    if kind == "shadow":
        settled(world, 150)
    world.reconcile()
    assert weights(world) == {1: 1.0}
    assert world.deployment()["stable"] == 1
    assert [each["release"] for each in world.deployment()["denied"]] == [3]
    assert outcomes(world, 3) == ["failed"]
    assert {status for status, _ in world.ask(20, strange=True)} == {200}


@pytest.mark.parametrize("kind", STORIES)
def test_a_lost_runtime_begins_again_and_ends_alike(live: Live, kind: str) -> None:
    """All of it lost in the middle, the rollout starts with its first step, and comes to the same end from there."""
    story = STORIES[kind]
    world = begun(live, "second", 2, strategy=story.plan)
    story.on(world)
    lose(world)
    found = world.reconcile()
    assert weights(world) == story.first
    assert found["conditions"][0]["type"] == "Reconciling"
    assert world.deployment()["stable"] == 1
    if story.then is not None:
        story.on(world)
        story.rest(world)
        assert weights(world) == story.end
        assert outcomes(world, 2) == [story.outcome]


def test_servers_that_died_come_back_with_the_step_of_before(live: Live) -> None:
    """What answers is gone and what is on disk is not: the next pass starts it with the weights that it had."""
    story = STORIES["canary"]
    world = begun(live, "second", 2, strategy=story.plan)
    story.on(world)
    world.kill()
    world.reconcile()
    assert weights(world) == story.then
    assert {status for status, _ in world.ask(20)} == {200}
    story.rest(world)
    assert weights(world) == story.end
    assert outcomes(world, 2) == ["succeeded"]


def test_killed_after_every_action_it_ends_alike(live: Live) -> None:
    """The loop is killed after each of its actions in each step of a canary: one outcome, one commit, the same end."""
    story = STORIES["canary"]
    world = live("second")
    world.promote("--release", "2")
    kills = 0
    for expected, requests in ((story.first, 150), (story.then, 80), (story.end, 0)):
        while killed(world, AFTER_ACTIONS, 1):
            kills += 1
        assert weights(world) == expected
        assert {status for status, _ in world.ask(requests)} <= {200}
    assert kills >= 3
    assert outcomes(world, 2) == ["succeeded"]
    log = git(world.remote, "log", "--format=%s", "main").splitlines()
    assert log.count(f"{MODEL} release 2 is stable in production") == 1
    assert world.release_answering() == 2
    assert message(world.reconcile()).startswith("Ready")
