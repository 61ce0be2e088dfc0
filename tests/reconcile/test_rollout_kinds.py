"""Every strategy once against a real server, and what a lost runtime does to each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from modelops.governance.promotions import covering_promotion
from modelops.rollouts.memory import read_rollout, write_rollout
from modelops.spec.layout import Seat
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import AB_TEST, HERE, begun, message, outcomes, weights

Live = Callable[[str], World]

BLUE_GREEN = """  strategy:
    type: blue-green
    params:
      {smokeRequests: 10, slow: null, baselineRequests: 20, minRequests: 20, watchMinutes: 0, keepWarmMinutes: 0,
       holdback: 0}
"""
BANDIT = """  strategy:
    type: bandit
    params: {reward: outcome, epochMinutes: 10, minUnits: 20, slow: null, scores: null, outcome: null}
"""


def later(world: World, instant: str) -> dict[str, Any]:
    world.at(instant)
    return world.reconcile()


def test_blue_green_switches_once_and_ends(live: Live) -> None:
    """Smoke requests while it is warm, one switch, a watch window, then stable; the old one is kept warm meanwhile."""
    world = begun(live, "second", 2, strategy=BLUE_GREEN)
    assert weights(world) == {1: 1.0, 2: 0.0}
    world.ask(40)
    world.reconcile()
    assert weights(world) == {1: 0.0, 2: 1.0}
    assert world.deployment()["stable"] == 1
    world.ask(40)
    world.reconcile()
    assert weights(world) == {1: 0.0, 2: 1.0}
    world.ask(1)
    found = world.reconcile()
    assert message(found).startswith("Ready"), found
    assert weights(world) == {2: 1.0}
    assert outcomes(world, 2) == ["succeeded"]


@pytest.mark.slow
def test_blue_green_switches_back(live: Live) -> None:
    """Errors after the switch send everybody back in one pass."""
    world = begun(live, "third", 3, strategy=BLUE_GREEN)
    world.ask(40)
    world.reconcile()
    assert weights(world) == {1: 0.0, 3: 1.0}
    world.ask(40, strange=True)
    world.reconcile()
    assert weights(world) == {1: 1.0}
    assert world.deployment()["denied"][0]["release"] == 3


@pytest.mark.slow
def test_an_experiment_with_a_challenger(live: Live) -> None:
    """Three arms answer, each of its own entities; the failing one is taken out, denied at the end, and recorded."""
    world = begun(live, "third", 2, strategy=AB_TEST)
    before = world.routes()["models"][MODEL]["salt"]
    pull = world.promote("--release", "3", "--challenger")
    assert pull.title == "Promote churn release 3 to production as a challenger"
    assert list(world.deployment()["challengers"]) == [3]
    world.reconcile()
    assert weights(world) == pytest.approx({1: 1 / 3, 2: 1 / 3, 3: 1 / 3})
    salt = world.routes()["models"][MODEL]["salt"]
    assert salt != before
    _, graph = world.workspace().desired()
    record = covering_promotion(graph, Seat(MODEL, "production"), 3)
    assert record is not None
    assert [one.login for one in record.spec.approvals] == ["grace"]
    refused = world.run("promote", MODEL, "--to", "production", "--release", "3", "--challenger", "--yes")
    assert (refused.code, "[already-there]" in refused.err) == (1, True)

    answers = world.ask(200, strange=True)
    assert {body["parameters"]["release"] for status, body in answers if status == 200} == {1, 2}
    world.reconcile()
    assert weights(world).get(3, 0.0) == 0.0
    assert world.routes()["models"][MODEL]["salt"] == salt
    stayed = {number: body["parameters"]["release"] for number, (status, body) in enumerate(answers) if status == 200}
    after = {number: body["parameters"]["release"] for number, (_, body) in enumerate(world.ask(200, strange=True))}
    assert {after[number] for number in stayed} == {1, 2}
    assert all(after[number] == release for number, release in stayed.items())
    found = later(world, "2026-03-01T14:00:00Z")
    assert message(found).startswith("Ready"), found
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"], list(deployment["challengers"])) == (1, None, [])
    assert [denied["release"] for denied in deployment["denied"]] == [3]
    assert (outcomes(world, 2), outcomes(world, 3)) == (["withdrawn"], ["failed"])
    assert world.run("plan", "production", "--exit-code").code == 0


@pytest.mark.slow
def test_a_winner_that_fails_while_a_person_is_asked(live: Live) -> None:
    """It is taken out and its pull request closed; the rollout goes on with the others."""
    world = begun(live, "third", 2, "  onSuccess: pull-request\n", AB_TEST)
    world.promote("--release", "3", "--challenger")
    world.reconcile()
    site = world.workspace().site("production")
    state = read_rollout(site, MODEL)
    assert state is not None
    write_rollout(site, MODEL, replace(state, outcome="promote", winner="challenger-3"))
    world.reconcile()
    (pull,) = world.workspace().forge.find()
    assert pull.title == "Make churn release 3 stable in production"
    world.ask(200, strange=True)
    world.reconcile()
    assert weights(world) == pytest.approx({1: 0.5, 2: 0.5, 3: 0.0})
    assert world.workspace().forge.find() == ()


@pytest.mark.parametrize(
    "kind",
    [pytest.param("canary", marks=pytest.mark.slow), "blue-green", pytest.param("ab-test", marks=pytest.mark.slow)],
)
def test_a_rebuilt_runtime_begins_again(live: Live, kind: str) -> None:
    """Whatever the strategy, losing the runtime leads to its first step, never to a candidate that nobody judged."""
    plans = {"blue-green": BLUE_GREEN, "ab-test": AB_TEST}
    world = begun(live, "second", 2, **({"strategy": plans[kind]} if kind in plans else {}))
    first = weights(world)
    world.ask(20 if kind == "ab-test" else 150)
    world.reconcile()
    if kind != "ab-test":
        assert weights(world) != first
    world.kill()
    shutil.rmtree(world.runtime())
    found = world.reconcile()
    assert weights(world) == first
    assert found["conditions"][0]["type"] == "Reconciling"
    assert world.deployment()["stable"] == 1


def test_a_challenger_needs_a_candidate_and_a_strategy_with_room(live: Live) -> None:
    """A canary takes two arms; without a candidate there is nothing to challenge."""
    world = live("third")
    alone = world.run("promote", MODEL, "--to", "production", "--release", "3", "--challenger", "--yes")
    assert (alone.code, "[no-candidate]" in alone.err) == (1, True)
    world.promote("--release", "2")
    full = world.run("promote", MODEL, "--to", "production", "--release", "3", "--challenger", "--yes")
    assert (full.code, "[too-many-arms]" in full.err) == (1, True)
    assert "ab-test or bandit would take it" in full.err


@pytest.mark.slow
def test_a_bandit_moves_with_its_rewards(live: Live) -> None:
    """After an epoch with rewards the weights are drawn anew, and a replay says what each arm would have earned."""
    world = begun(live, "second", 2, strategy=BANDIT)
    assert weights(world) == {1: 0.5, 2: 0.5}
    answers = world.ask(150)
    world.label(answers)
    found = later(world, "2026-03-01T12:30:00Z")
    assert any(line.startswith("churn in production: release 2 to ") for line in found["done"]), found
    assert sum(weights(world).values()) == pytest.approx(1)
    assert weights(world) != {1: 0.5, 2: 0.5}
    again = world.run("rollout", "replay", *HERE, "-o", "json")
    told = json.loads(again.out)
    assert [row["arm"] for row in told["values"]] == ["stable", "candidate"]
    assert told["steps"][0]["again"]["action"] == "advance"
    assert again.code == 0, told
    assert "value of candidate alone: ips" in world.ok("rollout", "replay", *HERE).out
