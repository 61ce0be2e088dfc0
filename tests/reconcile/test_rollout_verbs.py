"""`modelops rollout`: what a person sees of a rollout, and what they may do to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from git_world import git
from modelops.governance.promotions import covering_promotion
from modelops.spec.layout import Seat
from reconcile.loop_world import MODEL, START, World
from reconcile.rollout_world import HERE, on_trial, outcomes, said, weights

Live = Callable[[str], World]


def test_status_pause_and_resume(live: Live) -> None:
    """A paused rollout waits with enough data, says so, and goes on when it is resumed; each is signed and recorded."""
    world = on_trial(live, "second", 2)
    world.ask(150)
    world.ok("rollout", "pause", *HERE, "--reason", "fair week", "--yes")
    assert world.deployment()["paused"] is True
    found = world.reconcile()
    assert found["done"] == []
    assert "the rollout is paused; it would advance" in found["conditions"][0]["message"]
    status = world.ok("rollout", "status", *HERE, "-o", "json").json
    assert (status["paused"], status["rollout"]["step"], status["strategy"]) == (True, 1, "canary")
    assert [(arm["arm"], arm["release"], arm["weight"]) for arm in status["arms"]] == [
        ("stable", 1, 0.7),
        ("candidate", 2, 0.3),
    ]
    assert sum(arm["requests"] for arm in status["arms"]) == 150
    assert {check["name"] for check in status["checks"]} >= {"errors"}
    text = world.ok("rollout", "status", *HERE).out
    assert "candidate: release 2, 30.0% of the traffic" in text
    assert "paused" in text

    world.ok("rollout", "resume", *HERE, "--reason", "over", "--yes")
    assert world.deployment()["paused"] is False
    world.reconcile()
    assert weights(world) == {1: 0.4, 2: 0.6}
    assert [(one["outcome"], one["reason"], one["by"]) for one in said(world, 2)] == [
        ("paused", "ada: fair week", "ada"),
        ("resumed", "ada: over", "ada"),
    ]


@pytest.mark.slow
def test_harm_ends_a_paused_rollout(live: Live) -> None:
    """A pause protects nobody from a failing candidate: its traffic goes back, and the pause ends with the rollout."""
    world = on_trial(live, "third", 3)
    world.ok("rollout", "pause", *HERE, "--reason", "fair week", "--yes")
    world.ask(80, strange=True)
    world.reconcile()
    assert weights(world) == {1: 1.0}
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"], deployment["paused"]) == (1, None, False)
    assert outcomes(world, 3) == ["paused", "failed"]


def test_abort_withdraws_and_denies(live: Live) -> None:
    """The traffic leaves with the verb, from a paused rollout too; said again, it says who did it, and does nothing."""
    world = on_trial(live, "second", 2)
    world.ok("rollout", "pause", *HERE, "--reason", "a look", "--yes")
    done = world.ok("rollout", "abort", *HERE, "--reason", "a bad feeling", "--yes")
    assert "release 2 is withdrawn, release 1 is stable" in done.err
    assert weights(world) == {1: 1.0}
    deployment = world.deployment()
    assert (deployment["candidate"], deployment["paused"], deployment["denied"][0]["release"]) == (None, False, 2)
    assert outcomes(world, 2) == ["paused", "aborted"]
    before = world.tip()
    again = world.ok("rollout", "abort", *HERE, "--reason", "again", "--yes")
    assert "release 2 was withdrawn already by Ada" in again.err
    assert world.tip() == before


@pytest.mark.slow
def test_a_first_candidate_can_be_withdrawn(live: Live) -> None:
    """Where nothing was ever stable, an abort leaves nothing deployed, and the release denied."""
    world = live("released")
    world.promote()
    done = world.ok("rollout", "abort", *HERE, "--reason", "too early", "--yes")
    assert "release 1 is withdrawn, no release is stable" in done.err
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"], deployment["denied"][0]["release"]) == (None, None, 1)
    assert world.run("plan", "production", "--exit-code").code == 0


def test_a_person_promotes_by_pull_request(live: Live) -> None:
    """The candidate becomes stable without waiting, once others approve; without approvals nothing moves."""
    world = on_trial(live, "second", 2)
    asked = world.ok("rollout", "promote", *HERE, "--reason", "we know it", "--yes", "-o", "json").json
    same = world.ok("rollout", "promote", *HERE, "--reason", "again", "--yes", "-o", "json").json
    assert same["pullRequest"] == asked["pullRequest"]
    assert weights(world) == {1: 0.7, 2: 0.3}
    world.merge(asked["pullRequest"])
    world.reconcile()
    assert weights(world) == {2: 1.0}
    assert (world.deployment()["stable"], world.deployment()["candidate"]) == (2, None)
    _, graph = world.workspace().desired()
    record = covering_promotion(graph, Seat(MODEL, "production"), 2)
    assert record is not None
    assert record.spec.path == "pull-request"
    assert [one.login for one in record.spec.approvals] == ["grace"]
    assert world.run("plan", "production", "--exit-code").code == 0
    assert world.run("audit", "environment", "production", "--at", START).code == 0


def test_a_promotion_without_approvals_is_refused(live: Live) -> None:
    """A merged end of a rollout that nobody approved moves no traffic and says what is missing."""
    world = on_trial(live, "second", 2)
    asked = world.ok("rollout", "promote", *HERE, "--reason", "we know it", "--yes", "-o", "json").json
    world.merge(asked["pullRequest"], approve=False)
    found = world.reconcile(code=1)
    assert found["conditions"][0]["reason"] == "approval-missing"
    assert weights(world) == {1: 0.7, 2: 0.3}


WRONG = [
    (("status", "nobody", "production"), 2, "[unknown-model]"),
    (("status", MODEL, "mars"), 2, "[unknown-environment]"),
    (("pause", *HERE, "--reason", "x", "--yes"), 1, "[no-rollout]"),
    (("resume", *HERE, "--reason", "x", "--yes"), 1, "[no-rollout]"),
    (("pause", *HERE, "--yes"), 2, "--reason"),
    (("promote", *HERE, "--reason", "x", "--yes"), 1, "[no-rollout]"),
    (("abort", *HERE, "--reason", "x", "--yes"), 1, "[no-rollout]"),
    (("replay", *HERE), 1, "[no-rollout-recorded]"),
    (("replay", *HERE, "--salt", "feed"), 2, "[no-rollout-recorded]"),
    (("fly", *HERE), 2, "fly"),
]


def test_what_cannot_be_done_is_said(live: Live) -> None:
    """Every command answers a wrong request with its exit code and the reason."""
    world = live("promoted")
    for words, code, text in WRONG:
        done = world.run("rollout", *words)
        assert (done.code, text in done.err) == (code, True), (words, done.err)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("rollout", "pause", *HERE), ("rollback", MODEL, "--environment", "production")])
def test_a_reason_says_something(live: Live, words: tuple[str, ...]) -> None:
    """What is recorded for whoever asks later may not be blank."""
    done = live("promoted").run(*words, "--reason", " ", "--yes")
    assert (done.code, "say why" in done.err) == (2, True)


@pytest.mark.slow
def test_a_release_that_is_not_on_trial_cannot_be_promoted(live: Live) -> None:
    """The ones that are on trial are named."""
    world = on_trial(live, "second", 2)
    done = world.run("rollout", "promote", *HERE, "--release", "1", "--reason", "x", "--yes")
    assert (done.code, "[not-on-trial]" in done.err, "on trial: 2" in done.err) == (2, True, True)
    done = world.run("rollout", "resume", *HERE, "--reason", "x", "--yes")
    assert (done.code, "is not paused" in done.out, "since commit" in done.out) == (0, True, False)
    world.ok("rollout", "pause", *HERE, "--reason", "x", "--yes")
    paused = git(world.remote, "rev-parse", "--short=10", "main")
    world.push({"README": "x"}, "Something else")
    again = world.ok("rollout", "pause", *HERE, "--reason", "x", "--yes")
    assert f"is paused already, since commit {paused} by Ada" in again.out
