"""How rollouts end beside a commit: by a pull request, by holding, by an alert; and how they are decided again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from modelops.governance.promotions import covering_promotion
from modelops.spec.layout import Seat
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import CANARY, HERE, begun, message, outcomes, planned, said, weights

Live = Callable[[str], World]


def through(world: World) -> dict[str, Any]:
    """Send enough traffic for both steps of the canary and return the last pass."""
    world.ask(150)
    world.reconcile()
    assert weights(world) == {1: 0.4, 2: 0.6}
    world.ask(80)
    return world.reconcile()


def test_a_plan_can_leave_the_end_to_a_person(live: Live) -> None:
    """The success opens one pull request with the evidence; the traffic stays until that is merged and recorded."""
    world = begun(live, "second", 2, "  onSuccess: pull-request\n")
    found = through(world)
    assert "asks a person to make release 2 stable" in message(found)
    assert weights(world) == {1: 0.4, 2: 0.6}
    assert world.deployment()["candidate"] == 2
    (pull,) = world.workspace().forge.find()
    assert (pull.author.login, pull.title) == ("modelops", "Make churn release 2 stable in production")
    assert "| 2 |" in pull.body
    assert "errors" in pull.body
    # Again and again, also after the runtime forgot that it asked: one pull request.
    assert world.reconcile()["done"] == []
    assert len(world.workspace().forge.find(state="all")) == pull.number
    status = world.ok("rollout", "status", *HERE, "-o", "json").json
    assert status["rollout"]["pullRequest"]["number"] == pull.number

    world.merge(pull.number)
    found = world.reconcile()
    assert message(found).startswith("Ready")
    assert weights(world) == {2: 1.0}
    assert (world.deployment()["stable"], world.deployment()["candidate"]) == (2, None)
    _, graph = world.workspace().desired()
    record = covering_promotion(graph, Seat(MODEL, "production"), 2)
    assert record is not None
    assert (record.spec.path, record.spec.pull_request is not None) == ("pull-request", True)
    assert [one.login for one in record.spec.approvals] == ["grace"]
    assert world.run("plan", "production", "--exit-code").code == 0


@pytest.mark.slow
def test_a_declined_end_blocks_until_somebody_acts(live: Live) -> None:
    """A closed pull request leaves the traffic and says what to do; an abort ends it."""
    world = begun(live, "second", 2, "  onSuccess: pull-request\n")
    through(world)
    (pull,) = world.workspace().forge.find()
    world.workspace().forge.close(pull.number)
    found = world.reconcile(code=1)
    assert "promotion-declined" in message(found)
    assert weights(world) == {1: 0.4, 2: 0.6}
    # A person may ask again, and change their mind.
    again = world.ok("rollout", "promote", *HERE, "--reason", "after all", "--yes", "-o", "json").json
    assert again["pullRequest"] != pull.number
    assert "asks a person" in message(world.reconcile())
    world.ok("rollout", "abort", *HERE, "--reason", "declined", "--yes")
    assert weights(world) == {1: 1.0}
    assert world.deployment()["denied"][0]["release"] == 2
    assert world.workspace().forge.find() == ()


@pytest.mark.slow
def test_what_changed_meanwhile_is_written_into_the_pull_request(live: Live) -> None:
    """A pause while it is open touches the same files: the head is written again, so that it can be merged."""
    world = begun(live, "second", 2, "  onSuccess: pull-request\n")
    through(world)
    (before,) = world.workspace().forge.find()
    world.ok("rollout", "pause", *HERE, "--reason", "a look", "--yes")
    assert "paused" in message(world.reconcile())
    world.ok("rollout", "resume", *HERE, "--reason", "fine", "--yes")
    world.reconcile()
    (after,) = world.workspace().forge.find()
    assert (after.number, after.head == before.head) == (before.number, False)
    world.merge(after.number)
    assert message(world.reconcile()).startswith("Ready")


@pytest.mark.slow
def test_harm_while_a_person_is_asked_sends_the_traffic_back(live: Live) -> None:
    """The judge goes on looking until the pull request is merged; then it is closed."""
    world = begun(live, "third", 3, "  onSuccess: pull-request\n")
    world.ask(150)
    world.reconcile()
    world.ask(80)
    assert "asks a person" in message(world.reconcile())
    assert {status for status, _ in world.ask(150, strange=True)} == {200, 500}
    world.reconcile()
    assert weights(world) == {1: 1.0}
    assert world.deployment()["denied"][0]["release"] == 3
    (left,) = world.workspace().forge.find()
    assert left.title == "Take churn back to the inputs of release 1"
    assert outcomes(world, 3) == ["failed"]


def test_an_alert_is_reported_and_ends_nothing(live: Live) -> None:
    """onFailure: alert keeps the traffic, names the failed guard in the condition, and goes on."""
    world = begun(live, "third", 3, "  onFailure: alert\n")
    world.ask(150, strange=True)
    found = world.reconcile()
    assert "guard-failed: " in message(found)
    assert "errors" in message(found)
    assert world.deployment()["candidate"] == 3
    assert weights(world)[3] > 0


@pytest.mark.slow
def test_a_hold_leaves_everything_to_a_person(live: Live) -> None:
    """onFailure: hold keeps the traffic and blocks with the way out."""
    world = begun(live, "third", 3, "  onFailure: hold\n")
    world.ask(80, strange=True)
    found = world.reconcile(code=1)
    assert "rollout-held" in message(found)
    assert weights(world) == {1: 0.7, 3: 0.3}
    world.ok("rollout", "abort", *HERE, "--reason", "held", "--yes")
    assert weights(world) == {1: 1.0}


def test_a_rollout_is_decided_again_from_the_log(live: Live) -> None:
    """While it runs and after it ended, with its own thresholds and with others; the evidence holds every number."""
    world = begun(live, "second", 2)
    through(world)
    (ended,) = said(world, 2)
    told = ended["rollout"]
    assert [(each["action"], each["step"]) for each in told["decisions"]] == [
        ("begin", 0),
        ("advance", 1),
        ("promote", 2),
    ]
    assert told["firstStep"] == 1
    for each in told["decisions"][1:]:
        assert each["strategy"] == told["strategy"]["digest"]
        assert each["version"]
        assert each["since"] <= each["until"]
        assert {check["name"] for check in each["checks"]} >= {"errors"}
        assert all(check["threshold"] is not None for check in each["checks"] if check["verdict"] == "pass")
    found = world.ok("rollout", "replay", *HERE, "-o", "json").json
    assert (found["agrees"], found["recorded"]["outcome"], found["replayed"]["outcome"]) == (
        True,
        "succeeded",
        "succeeded",
    )
    assert [step["again"]["action"] for step in found["steps"]] == ["advance", "promote"]
    assert found["steps"][0]["requests"] == 150
    # The log survives the state of the rollout and is not changed by deciding again.
    assert not (world.runtime() / "rollouts" / f"{MODEL}.json").exists()

    more = world.run("rollout", "replay", *HERE, "--set", "steps[1].minRequests=5000", "-o", "json")
    assert more.code == 1
    assert json.loads(more.out)["steps"][1]["again"]["action"] == "hold"
    text = world.run("rollout", "replay", *HERE, "--set", "steps[1].minRequests=5000").out
    assert "not the same" in text
    for change, code in (("steps[1].minRequests=none", 2), ("steps[9].weight=1", 2), ("nonsense", 2), ("speed=1", 2)):
        assert world.run("rollout", "replay", *HERE, "--set", change).code == code, change


@pytest.mark.slow
def test_a_failure_is_decided_again(live: Live) -> None:
    """The replay rolls back where the rollout did, and holds with a threshold that nothing reaches."""
    world = begun(live, "third", 3)
    world.ask(80, strange=True)
    world.reconcile()
    found = world.ok("rollout", "replay", *HERE, "--every", "5", "-o", "json").json
    assert (found["agrees"], found["replayed"]["outcome"]) == (True, "failed")
    assert found["steps"][0]["again"]["requests"] < 80
    kinder = world.run("rollout", "replay", *HERE, "--set", "errors=null", "--set", "scores=null", "-o", "json")
    assert (kinder.code, json.loads(kinder.out)["agrees"]) == (1, False)


@pytest.mark.slow
def test_a_lost_state_asks_no_second_time(live: Live) -> None:
    """A runtime that lost its rollout after asking begins again at the first step, and the pull request stays one."""
    world = begun(live, "second", 2, "  onSuccess: pull-request\n")
    through(world)
    shutil.rmtree(world.runtime() / "rollouts")
    world.reconcile()
    assert len(world.workspace().forge.find()) == 1


@pytest.mark.slow
def test_another_plan_or_another_time_begins_again(live: Live) -> None:
    """A plan edited in flight, and a release that was withdrawn, cleared and promoted again, count no old answers."""
    world = begun(live, "second", 2)
    world.ask(150)
    world.reconcile()
    assert weights(world) == {1: 0.4, 2: 0.6}
    salts = {world.routes()["models"][MODEL]["salt"]}
    planned(world, strategy=CANARY.replace("0.6", "0.5"))
    assert "answered nothing in this step" in message(world.reconcile())
    assert weights(world) == {1: 0.7, 2: 0.3}
    salts.add(world.routes()["models"][MODEL]["salt"])
    world.ask(150)
    world.reconcile()
    assert weights(world) == {1: 0.5, 2: 0.5}
    world.ok("rollout", "abort", *HERE, "--reason", "a look", "--yes")
    path = f"models/{MODEL}/environments/production.yaml"
    text = world.show(path)
    world.merge(world.propose({path: text[: text.index("  denied")].rstrip() + "\n"}, "clear").number)
    world.promote("--release", "2")
    assert "answered nothing in this step" in message(world.reconcile())
    assert weights(world) == {1: 0.7, 2: 0.3}
    salts.add(world.routes()["models"][MODEL]["salt"])
    assert len(salts) == 3
