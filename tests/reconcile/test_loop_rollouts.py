"""Rollouts under real traffic, and the emergency path back."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from git_world import git
from modelops.governance.promotions import covering_promotion
from modelops.spec.layout import Seat
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import on_trial, outcomes, weights

Live = Callable[[str], World]


def test_a_good_candidate_becomes_stable_by_a_commit(live: Live) -> None:
    """It holds without data, takes more traffic step by step, and ends as stable in git with its evidence."""
    world = on_trial(live, "second", 2)
    assert world.reconcile()["done"] == []
    assert {status for status, _ in world.ask(150)} == {200}
    world.reconcile()
    assert weights(world) == {1: 0.4, 2: 0.6}
    assert world.deployment()["stable"] == 1
    world.ask(80)
    found = world.reconcile()
    assert [condition["type"] for condition in found["conditions"]] == ["Ready"]
    assert (world.deployment()["stable"], world.deployment()["candidate"]) == (2, None)
    assert weights(world) == {2: 1.0}
    assert outcomes(world, 2) == ["succeeded"]
    assert (
        git(world.remote, "log", "-1", "--format=%an %s", "main") == "modelops churn release 2 is stable in production"
    )
    assert world.run("plan", "production", "--exit-code").code == 0
    assert not (world.runtime() / "rollouts" / f"{MODEL}.json").exists()

    # The way back: the previous release at once, with a record, and the withdrawn one denied.
    done = world.ok("rollback", MODEL, "--environment", "production", "--reason", "complaints", "--yes")
    assert "release 2 is withdrawn, release 1 is stable" in done.err
    assert world.release_answering() == 1
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"]) == (1, None)
    assert [dict(denied) for denied in deployment["denied"]] == [{"release": 2, "reason": "ada: complaints"}]
    _, graph = world.workspace().desired()
    record = covering_promotion(graph, Seat(MODEL, "production"), 1)
    assert record is not None
    assert (record.spec.path, record.spec.reason) == ("emergency", "ada: complaints")
    assert world.run("plan", "production", "--exit-code").code == 0
    refused = world.run("promote", MODEL, "--to", "production", "--release", "2", "--yes")
    assert (refused.code, "[release-denied]" in refused.err) == (1, True)

    before = world.tip()
    done = world.ok("rollback", MODEL, "--environment", "production", "--reason", "again", "--yes")
    assert "release 2 was withdrawn already by Ada" in done.err
    assert world.tip() == before


def test_an_erroring_candidate_is_withdrawn(live: Live) -> None:
    """Its traffic leaves before the commit says so; it is denied, and not taken again."""
    world = on_trial(live, "third", 3)
    statuses = {status for status, _ in world.ask(80, strange=True)}
    assert statuses == {200, 500}
    done = world.reconcile()["done"]
    back = next(index for index, line in enumerate(done) if "release 1 100%" in line)
    committed = next(index for index, line in enumerate(done) if "rollback, commit" in line)
    assert back < committed
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"]) == (1, None)
    assert "errors: candidate" in deployment["denied"][0]["reason"]
    assert outcomes(world, 3) == ["failed"]
    assert {status for status, _ in world.ask(80, strange=True)} == {200}
    refused = world.run("promote", MODEL, "--to", "production", "--release", "3", "--yes")
    assert (refused.code, "[release-denied]" in refused.err) == (1, True)
    assert world.run("plan", "production", "--exit-code").code == 0


def test_a_failing_candidate_loses_its_traffic_while_main_is_broken(live: Live) -> None:
    """Somebody broke another file: the pass ends with 3, the traffic leaves all the same, and git says so later."""
    world = on_trial(live, "third", 3)
    world.ask(80, strange=True)
    world.push({"policies/rules/broken.yaml": "kind: [\n"}, "Break main")
    refused = world.run("reconcile", "production", "--yes")
    assert (refused.code, "policies/rules/broken.yaml:" in refused.err) == (3, True)
    assert weights(world) == {1: 1.0}
    assert {status for status, _ in world.ask(80, strange=True)} == {200}
    assert world.run("reconcile", "production", "--yes").code == 3
    world.push({"policies/rules/broken.yaml": None}, "Repair main")
    world.reconcile()
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"], deployment["denied"][0]["release"]) == (1, None, 3)
    assert outcomes(world, 3) == ["failed"]


def test_a_deleted_runtime_starts_the_rollout_again(live: Live) -> None:
    """Losing the runtime in the middle of a rollout leads back to its first step, never to all of the traffic."""
    world = on_trial(live, "second", 2)
    world.ask(150)
    world.reconcile()
    assert weights(world)[2] == 0.6
    world.kill()
    shutil.rmtree(world.runtime())
    found = world.reconcile()
    assert weights(world) == {1: 0.7, 2: 0.3}
    assert found["conditions"][0]["type"] == "Reconciling"
    assert world.deployment()["stable"] == 1


def test_rollback_during_a_rollout_withdraws_the_candidate(live: Live) -> None:
    """The stable release keeps its place and takes all of the traffic; the candidate is denied."""
    world = on_trial(live, "second", 2)
    world.ok("rollback", MODEL, "--environment", "production", "--reason", "a bad feeling", "--yes")
    assert weights(world) == {1: 1.0}
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"]) == (1, None)
    assert deployment["denied"][0]["release"] == 2
    assert outcomes(world, 2) == ["aborted"]
    assert world.run("plan", "production", "--exit-code").code == 0


def test_a_newer_promotion_supersedes_the_older(live: Live) -> None:
    """It closes the open pull request for the same model and environment; a foreign one with that label stays open."""
    world = live("third")
    other = world.propose({"models/other.txt": "x\n"}, "other", "Promote other")
    workspace = world.workspace()
    workspace.forge.close(other.number)
    world.push({"models/other.txt": "y\n"}, "again", "other")
    labels = (f"promote:{MODEL}:production", "promote:other:production")
    other = workspace.forge.open(title="Promote other", body="", source="other", labels=labels).pull
    first = world.ok("promote", MODEL, "--to", "production", "--release", "2", "--yes", "-o", "json").json
    second = world.ok("promote", MODEL, "--to", "production", "--release", "3", "--yes", "-o", "json").json
    assert (first["superseded"], second["superseded"]) == ([], [first["pullRequest"]])
    forge = world.workspace().forge
    old = forge.get(first["pullRequest"])
    said = [comment.body for comment in forge.comments(old.number)]
    assert (old.state, said) == ("closed", [f"Superseded by #{second['pullRequest']}."])
    assert forge.get(other.number).state == "open"
    # Asked again, by whomever, the open one is kept with the head that people may have approved, and says so.
    head = forge.get(second["pullRequest"]).head
    again = world.ok("promote", MODEL, "--to", "production", "--release", "3", "--yes", "-o", "json").json
    assert (again["pullRequest"], again["superseded"], again["already"]) == (second["pullRequest"], [], True)
    assert forge.get(second["pullRequest"]).head == head
    said_so = world.ok("promote", MODEL, "--to", "production", "--release", "3", "--yes").out
    assert said_so.startswith(f"pull request {second['pullRequest']} asks for it already: ")
