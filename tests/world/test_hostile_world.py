"""One seat's trouble is one seat's: what other people do wrong, and how a repository is set up, changes no answer.

Each trouble of ``hostile`` is put into a world in the middle of a rollout. What is not mended yet is marked.
"""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from git_world import git
from modelops import predictions
from world import hostile as troubles
from world.conftest import Put
from world.hostile import MODEL, PRODUCTION, PROJECT, TROUBLES, Hostile, Trouble
from world.shop import STRICT, Ended, customers, write_rows

ON_TRIAL = [(2, 0.7), (3, 0.3)]


def each(*among: Trouble) -> list[Any]:
    """Return troubles as parameters."""
    return [pytest.param(trouble, id=trouble.__name__) for trouble in among or TROUBLES]


def said_of_model(world: Hostile) -> dict[str, Any]:
    """Return what the verbs that read say about our model."""
    states = {state["environment"]: state for state in json.loads(world.ok("status", "-o", "json").out)}
    audited = json.loads(world.ok("audit", "environment", "production", "--at", "2026-05-01", "-o", "json").out)
    return {
        **{f"plan {name}": world.planned(name) for name in ("staging", "production")},
        **{
            f"conditions in {name}": [
                (said["type"], said["reason"]) for said in states[name]["conditions"] if said["model"] == MODEL
            ]
            for name in ("staging", "production")
        },
        "audit": [found["stable"]["release"] for found in audited["models"] if found["model"] == MODEL],
        "rollout": world.ok("rollout", "status", MODEL, "production").out,
    }


REACHABLE = tuple(trouble for trouble in TROUBLES if trouble is not troubles.unreachable)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what is said where nothing is wrong."""
    return said_of_model(troubles.hostile(tmp_path_factory.mktemp("undisturbed") / "world"))


@pytest.mark.parametrize("trouble", each(*REACHABLE))
def test_reading_verbs_answer(put: Put, undisturbed: dict[str, Any], trouble: Trouble) -> None:
    """Status, plan, audit and the state of the rollout say of our model what they say in a calm world."""
    assert undisturbed["plan production"] == ON_TRIAL
    assert said_of_model(put(trouble)) == undisturbed


def test_status_needs_no_remote(put: Put) -> None:
    """With the remote gone, status tells what this clone knows."""
    told = json.loads(put(troubles.unreachable).ok("status", "-o", "json").out)
    assert {"staging", "production"} <= {state["environment"] for state in told}


def label_the_rest(world: Hostile) -> None:
    """Let the truth of every answer come: the rows that were labelled in the story are in its snapshot already."""
    folder = world.runtime() / "predictions"
    found = predictions.read_window(folder, MODEL, columns=("id", "truth", "label")).to_pylist()
    at = datetime.fromisoformat(world.now()).timestamp()
    with predictions.PredictionLog(folder) as log:
        log.feedback([(row["id"], row["label"], at, MODEL) for row in found if row["truth"] is None and row["label"]])


@pytest.mark.parametrize("trouble", each(*REACHABLE))
def test_drift_is_answered(put: Put, trouble: Trouble) -> None:
    """The monitor finds drift and opens one retraining pull request where pull requests are listed."""
    world = put(trouble)
    label_the_rest(world)
    before = world.pulls()
    assert world.run("monitor", "production", "--yes").code == 1
    (number,) = set(world.pulls(f"retrain:{MODEL}")) - set(before)
    assert world.run("monitor", "production", "--yes").code in (0, 1)
    assert set(world.pulls()) == {*before, number}


@pytest.mark.parametrize("trouble", each(*(t for t in REACHABLE if t is not troubles.protected)))
def test_a_promotion_is_proposed_and_merged(put: Put, trouble: Trouble) -> None:
    """The pull request of a promotion is listed, approved and merged, and the plan then begins its rollout."""
    world = put(trouble, on_trial=False)
    number = world.promote("--release", "1")
    assert number in world.pulls()
    world.accept(number)
    assert "candidate: 1" in world.deployment()
    entries = json.loads(world.run("plan", "production", "-o", "json").out)["entries"]
    assert {"RecordPromotion"} <= {entry["action"] for entry in entries}


def test_a_rendered_environment_is_not_stopped(put: Put) -> None:
    """What runs elsewhere cannot be ended from here; that is said, and is no fault of ours."""
    assert put(troubles.in_a_box).run("reconcile", "box", "--stop", "--yes").code in (0, 2)


def test_a_file_goes_through_the_newest_release(put: Put, tmp_path: Path) -> None:
    """Rows of a file come back with the predictions of the release that the store holds, without a server."""
    write_rows(tmp_path / "rows.csv", customers(30, 9))
    ended = put().ok("predict", MODEL, str(tmp_path / "rows.csv"))
    head, *rows = ended.out.splitlines()
    assert head.split(",")[-3:] == ['"prediction"', '"probability"', '"release"']
    assert {row.rpartition(",")[2] for row in rows} == {"3"}
    assert (len(rows), ended.err) == (30, f"30 rows predicted by {MODEL}, release 3\n")


def test_wrong_settings_are_named(put: Put) -> None:
    """A wrong forge that nobody approved is named and not believed: pull requests are asked for where they were."""
    world = put()
    text = world.text(PROJECT).replace("forge: {type: embedded}", "forge: {type: embedded, params: {branch: 5}}")
    world.push("Slip", {PROJECT: text})
    world.ok("pr", "list")
    assert "policies/project.yaml: nobody approved" in world.run("status").out


def test_a_proposed_setting_counts_when_it_is_merged(put: Put) -> None:
    """A branch that proposes another name for the remote opens its pull request where all others are."""
    world = put()
    world.home()
    world.edit(PROJECT, ("remote: origin", "remote: elsewhere"))
    number = world.propose("rename", "Call the remote elsewhere")
    world.home()
    assert number in world.pulls()
    assert number in world.another().pulls()


def at_the_second(world: Hostile) -> None:
    """Main is where release 2 had just become stable."""
    words = ("log", "--format=%H", "-n", "1", "--grep", f"^{MODEL} release 2 is stable in production$", "main")
    git(world.origin, "update-ref", "refs/heads/main", git(world.origin, *words))
    world.git("fetch", "-q")
    world.git("reset", "-q", "--hard", "origin/main")


@pytest.mark.slow
def test_a_reverted_promotion_is_a_rollback(put: Put) -> None:
    """`git revert` of the commit that made a release stable gives the traffic to the one before."""
    world = put(at_the_second)
    world.git("revert", "--no-edit", "HEAD")
    world.git("push", "-q", "origin", "main")
    assert "stable: 1" in world.deployment()
    world.reconcile()
    assert world.arms() == [(1, 1.0)]


@pytest.mark.slow
def test_a_hand_that_goes_back_is_a_rollback(put: Put) -> None:
    """A direct change that only sets stable to a release which was stable there is the emergency path, and recorded."""
    world = put(on_trial=False)
    world.push("Back", {PRODUCTION: world.text(PRODUCTION).replace("stable: 2", "stable: 1")})
    world.reconcile()
    assert world.arms() == [(1, 1.0)]
    assert "emergency" in world.text(f"models/{MODEL}/promotions/production-4.yaml")


def test_a_hand_that_goes_forward_is_refused(put: Put) -> None:
    """A direct change to a release that was never stable there moves nothing."""
    world = put()
    text = world.text(PRODUCTION).replace("stable: 2", "stable: 3").replace("  candidate: 3\n", "")
    world.push("Forward", {PRODUCTION: text})
    assert (3, 1.0) not in world.planned()


def test_a_rewritten_branch_moves_nothing_forward(put: Put) -> None:
    """When the commit that denied a release is pushed away, the release is not tried again."""
    world = put(on_trial=False)
    assert world.planned() == [(2, 1.0)]
    git(world.origin, "update-ref", "refs/heads/main", "main~1")
    assert 3 not in [release for release, _ in world.planned()]


def emergency(world: Hostile, trouble: Trouble) -> None:
    """While release 3 is on trial and served, something goes wrong; take it away, then end everything."""
    world.reconcile()
    assert world.arms() == ON_TRIAL
    trouble(world)
    ended = world.run("rollout", "abort", MODEL, "production", "--reason", "it harms", "--yes")
    assert world.arms() == [(2, 1.0)], ended.err
    assert ended.code in (0, 4), ended.err
    assert world.run("status").code == 0
    stopped = world.run("reconcile", "production", "--stop", "--yes")
    assert stopped.code == 0, stopped.err
    assert world.servers() == []


@pytest.mark.parametrize("trouble", each(troubles.neighbours_model, troubles.unreachable))
def test_emergency_exits_are_open(put: Put, trouble: Trouble) -> None:
    """Abort, status and --stop work whatever else is wrong."""
    emergency(put(), trouble)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", each())
def test_all_emergency_exits_are_open(put: Put, trouble: Trouble) -> None:
    """The same in every trouble."""
    emergency(put(), trouble)


def rolled_back(world: Hostile) -> Ended:
    """Roll back our model in production."""
    return world.run("rollback", MODEL, "--environment", "production", "--reason", "it harms", "--yes")


@pytest.mark.slow
@pytest.mark.parametrize("trouble", each())
def test_a_rollback_needs_nobody_else(put: Put, trouble: Trouble) -> None:
    """Rollback leaves the release on trial and returns all traffic to the stable one."""
    world = put()
    world.reconcile()
    trouble(world)
    ended = rolled_back(world)
    assert world.arms() == [(2, 1.0)], ended.err
    assert ended.code in (0, 4), ended.err


@pytest.mark.slow
def test_a_rollback_said_twice_goes_back_once(put: Put) -> None:
    """The second time it says that it was done, and the stable release stays."""
    world = put()
    assert [rolled_back(world).code for _ in range(2)] == [0, 0]
    assert world.arms() == [(2, 1.0)]
    assert "stable: 2" in world.deployment()
    assert "release: 2" not in world.deployment()


@pytest.mark.slow
def test_an_approved_promotion_is_served_though_main_is_protected(put: Put) -> None:
    """The record of a merged promotion waits for who may push; the traffic does not."""
    world = put(on_trial=False)
    world.accept(world.promote("--release", "1"))
    world.protect()
    world.run("reconcile", "production", "--yes")
    assert [release for release, _ in world.arms()] == [2, 1]
    world.protect(on=False)
    world.reconcile()
    assert "production-1" in world.ok("audit", "release", MODEL, "1").out


@pytest.mark.slow
def test_two_monitors_open_one_pull_request(put: Put) -> None:
    """Two clones that see the same drift a second apart propose one retraining."""
    world = put(on_trial=False)
    other = world.another()
    hook = world.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nsleep 2\n", encoding="utf-8")
    running = []
    for number, clone in enumerate((world, other)):
        instant = {"MODELOPS_CLOCK": f"2026-05-06T12:00:0{number}Z"}
        words = [*clone.program, "monitor", "production", "--yes"]
        running.append(subprocess.Popen(words, cwd=clone.root, env=clone.environ(instant), stderr=subprocess.DEVNULL))
    assert [process.wait() for process in running] == [1, 1]
    assert len(world.pulls(f"retrain:{MODEL}")) == 1


@pytest.mark.slow
def test_a_repaired_model_is_released(put: Put) -> None:
    """A model whose file was wrong on main for a while is released once it is right."""
    world = put(on_trial=False)
    path = f"models/{MODEL}/model.yaml"
    good = world.text(path)
    world.settle("break", {path: good.replace("owner: ada", "owner: ''")})
    world.settle("repair", {path: good.replace("C: 1.0", "C: 0.9")})
    world.release()
    assert f"models/{MODEL}/releases/4/release.yaml" in git(world.origin, "ls-tree", "-r", "--name-only", "main")


TOGETHER = (
    troubles.called_upstream,
    troubles.called_trunk,
    troubles.neighbours_model,
    troubles.once_invalid,
    troubles.in_a_box,
    troubles.foreign_label,
    troubles.clock_jumps,
)


def all_of_them(world: Hostile) -> None:
    """Everything that a repository may have at once."""
    for trouble in TOGETHER:
        trouble(world)


STORY_IN = (*(t for t in REACHABLE if t not in (troubles.protected, troubles.unmerged_settings)), all_of_them)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", each(*STORY_IN))
def test_the_whole_story(put: Put, trouble: Trouble) -> None:
    """Proposed, built, approved, released, promoted, tried, stable, rolled back and audited as in a calm world."""
    world = put(trouble, on_trial=False)
    world.home()
    world.edit(f"models/{MODEL}/train.py", STRICT[::-1])
    world.change("lenient", ("C: 1.0", "C: 0.8"))
    assert world.arms("staging") == [(4, 1.0)]
    number = world.promote()
    world.approve(number)
    world.ok("pr", "merge", str(number))
    world.home()
    world.reconcile(codes=(0, 1, 3))
    assert [release for release, _ in world.arms()] == [2, 4]
    for seed in range(8):
        world.ask(customers(120, 50 + seed, fee=75.0))
        world.reconcile(codes=(0, 1, 3))
        if "stable: 4" in world.deployment():
            break
    assert world.arms() == [(4, 1.0)]
    assert rolled_back(world).code in (0, 1)
    assert world.arms() == [(2, 1.0)]
    assert "evidence verified" in world.ok("audit", "environment", "production", "--at", world.now()).out
    assert world.run("status").code == 0
    world.ok("reconcile", "production", "--stop", "--yes")
    assert world.servers()[1:] == []
