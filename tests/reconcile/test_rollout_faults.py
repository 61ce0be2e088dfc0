"""What can go wrong in a rollout, and the stated outcome of each; stable answers throughout."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import AB_TEST, AFTER_ACTIONS, HERE, begun, killed, message, outcomes, weights

Live = Callable[[str], World]

TIMED = """  strategy:
    type: canary
    params:
      slow: null
      outcome: {required: true}
      steps:
        - {weight: 0.3, minRequests: 20, minMinutes: 10, deadlineMinutes: 120}
        - {weight: 0.6, minRequests: 20}
"""


@pytest.mark.slow
def test_a_clock_that_jumps_forward_skips_no_evidence(live: Live) -> None:
    """A year passes at once: without requests nothing moves, and without labels the deadline holds and says so."""
    world = begun(live, "second", 2, strategy=TIMED)
    world.at("2027-03-01T12:00:00Z")
    assert "no data" in message(world.reconcile())
    assert weights(world) == {1: 0.7, 2: 0.3}
    world.at("2026-03-01T12:30:00Z")
    assert {status for status, _ in world.ask(60)} == {200}
    # Labels that never come: it waits, and after the deadline holds for a person.
    world.reconcile()
    assert weights(world) == {1: 0.7, 2: 0.3}
    world.at("2026-03-01T15:00:00Z")
    assert "deadline" in message(world.reconcile())
    assert weights(world) == {1: 0.7, 2: 0.3}
    assert world.deployment()["stable"] == 1


def test_a_clock_that_jumps_backward_hides_no_harm(live: Live) -> None:
    """No minutes pass for a step that begins in the future, and a failing candidate is withdrawn all the same.

    Nothing is signed at a time before what it builds on, so git is told when the clock is right again.
    """
    world = begun(live, "third", 3, strategy=TIMED)
    world.at("2026-02-20T12:00:00Z")
    assert {status for status, _ in world.ask(60)} == {200}
    world.reconcile()
    assert weights(world) == {1: 0.7, 3: 0.3}
    world.ask(80, strange=True)
    assert "clock-behind" in str(world.reconcile(code=4))
    assert weights(world) == {1: 1.0}
    world.at("2026-03-01T12:30:00Z")
    world.reconcile()
    assert weights(world) == {1: 1.0}
    assert world.deployment()["denied"][0]["release"] == 3


@pytest.mark.slow
def test_an_arm_without_traffic_waits(live: Live) -> None:
    """All requests are of one entity, so that one arm gets none of them: nothing is decided."""
    world = begun(live, "second", 2)
    for _ in range(60):
        world.ask(1)
    found = world.reconcile()
    assert message(found).startswith("Reconciling rollout")
    assert weights(world) == {1: 0.7, 2: 0.3}


@pytest.mark.slow
def test_killed_before_the_end_is_committed(live: Live) -> None:
    """Killed after every action of the end of an experiment with a challenger, the next run ends it the same way."""
    world = begun(live, "third", 2, strategy=AB_TEST)
    world.promote("--release", "3", "--challenger")
    world.reconcile()
    world.ask(200, strange=True)
    world.reconcile()
    world.at("2026-03-01T14:00:00Z")
    times = 0
    while killed(world, AFTER_ACTIONS, 1):
        times += 1
        assert {status for status, _ in world.ask(5)} == {200}
    # The last one asks to take back the inputs of the release that failed.
    assert times == 5
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"], list(deployment["challengers"])) == (1, None, [])
    assert [denied["release"] for denied in deployment["denied"]] == [3]
    assert (outcomes(world, 2), outcomes(world, 3)) == (["withdrawn"], ["failed"])
    assert weights(world) == {1: 1.0}


@pytest.mark.slow
def test_an_abort_comes_before_a_decided_success(live: Live) -> None:
    """What was decided and not committed yet is overruled by git: the candidate is denied and its traffic leaves."""
    world = begun(live, "second", 2)
    world.ask(150)
    world.reconcile()
    world.ask(80)
    assert killed(world, AFTER_ACTIONS, 1)
    assert '"outcome": "promote"' in (world.runtime() / "rollouts" / f"{MODEL}.json").read_text()
    world.ok("rollout", "abort", *HERE, "--reason", "no", "--yes")
    assert weights(world) == {1: 1.0}
    deployment = world.deployment()
    assert (deployment["stable"], deployment["denied"][0]["release"]) == (1, 2)


def test_an_abort_before_the_rollout_begins(live: Live) -> None:
    """A merged promotion that no pass has seen yet never gets traffic."""
    world = live("second")
    world.reconcile()
    world.promote("--release", "2")
    world.ok("rollout", "abort", *HERE, "--reason", "no", "--yes")
    assert weights(world) == {1: 1.0}
    assert world.deployment()["candidate"] is None


@pytest.mark.slow
def test_an_abort_reaches_a_runtime_without_the_stable_release(live: Live) -> None:
    """The store has lost what is stable: the candidate's traffic goes to the stable release that is still loaded."""
    import shutil

    world = begun(live, "second", 2)
    shutil.rmtree(world.root / ".modelops" / "store")
    world.push({f"models/{MODEL}/train.py": "raise SystemExit(1)\n"}, "Break the training")
    world.ok("rollout", "abort", *HERE, "--reason", "no", "--yes")
    assert weights(world) == {1: 1.0}
