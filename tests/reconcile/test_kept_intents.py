"""What is decided while git cannot be told: kept in order, pushed first, and carried out only while it still holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from git_world import git
from modelops.reconcile.loop import watch
from modelops.views.pull_requests import LOOP
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import on_trial
from reconcile.test_emergency import BACK, condition, shares, stable_second, without_remote

Live = Callable[[str], World]
PAUSE = ("rollout", "pause", MODEL, "production", "--reason", "wait", "--yes")
RESUME = ("rollout", "resume", MODEL, "production", "--reason", "go on", "--yes")
PASS = ("reconcile", "production", "--yes")


def third_on_trial(live: Live) -> World:
    """Return a world in which 2 is stable in production and 3 on trial, as main and the runtime say."""
    world = live("third")
    world.promote("--release", "2")
    world.reconcile()
    end_well(world)
    world.reconcile()
    world.promote("--release", "3")
    world.reconcile()
    assert shares(world) == {2: 0.7, 3: 0.3}
    return world


def end_well(world: World, **where: Any) -> None:
    """Let people make stable what is on trial."""
    done = world.run("rollout", "promote", MODEL, "production", "--reason", "we know it", "--yes", **where)
    assert done.code == 0, done.err
    world.merge(max(pull.number for pull in world.workspace().forge.find()))


def waiting(world: World) -> list[str]:
    """Return the verbs of what is kept, in its order."""
    return [json.loads(path.read_text())["verb"] for path in sorted((world.runtime() / "pending").glob("*.json"))]


def test_a_later_decision_loses_none_before_it(live: Live) -> None:
    """A rollback and a further one, both without the remote: git hears both; a pause in between has nothing to hold."""
    world = third_on_trial(live)
    back = without_remote(world)
    world.run(*BACK)
    assert shares(world) == {2: 1.0}
    paused = world.run(*PAUSE)
    assert (paused.code, "no release of churn is on trial" in paused.err) == (1, True)
    assert shares(world) == {2: 1.0}
    world.run(*BACK, "--to", "1")
    assert (shares(world), waiting(world)) == ({1: 1.0}, ["rollback", "rollback"])
    back()
    assert world.reconcile()["conditions"][0]["type"] == "Ready"
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"]) == (1, None)
    assert [one["release"] for one in deployment["denied"]] == [3, 2]
    assert (shares(world), waiting(world)) == ({1: 1.0}, [])


def test_verbs_push_what_is_kept_first(live: Live) -> None:
    """With the remote back, a further rollback goes on from the kept one, without a pass between."""
    world = third_on_trial(live)
    back = without_remote(world)
    world.run(*BACK)
    back()
    done = world.ok(*BACK, "--to", "1")
    assert "is in git now" in done.err
    assert "release 2 is withdrawn, release 1 is stable: commit" in done.err
    assert (world.deployment()["stable"], shares(world), waiting(world)) == (1, {1: 1.0}, [])


def test_watching_says_what_it_pushed(live: Live) -> None:
    """A pass of the watch tells of it as any other pass does."""
    world = on_trial(live, "second", 2)
    back = without_remote(world)
    world.run(*BACK)
    back()
    said: list[str] = []
    watch(world.workspace(), "production", LOOP, 0, lambda found: None, passes=1, say=said.append)
    assert any("is in git now" in sentence for sentence in said)
    assert world.deployment()["candidate"] is None


def test_a_kept_pause_says_so_and_ends_with_the_trial_it_was_for(live: Live) -> None:
    """Somebody withdrew the trial meanwhile: the pause is forgotten, that is said, and the next trial is not paused."""
    world = on_trial(live, "third", 2)
    other = world.clone("other")
    back = without_remote(world)
    said = world.run(*PAUSE).err
    assert "the rollout is paused" in said
    assert "kept on this machine" in said
    back()
    world.run("rollout", "abort", MODEL, "production", "--reason", "I saw it", "--yes", root=other)
    done = world.ok(*PASS)
    assert "is forgotten: it was for stable 1, candidate 2, and main says stable 1 now" in done.err
    assert waiting(world) == []
    world.promote("--release", "3")
    world.reconcile()
    assert (shares(world), world.deployment()["paused"]) == ({1: 0.7, 3: 0.3}, False)
    assert "forgotten" not in world.ok(*PASS).err
    world.run("reconcile", "production", "--stop", "--yes", root=other)


def test_resume_forgets_a_kept_pause(live: Live) -> None:
    """Without the remote and with it: what git never knew is only forgotten, and nothing pauses afterwards."""
    world = on_trial(live, "second", 2)
    back = without_remote(world)
    world.run(*PAUSE)
    assert condition(world)["reason"] == "kept-here"
    assert "is forgotten; git never knew of it" in world.ok(*RESUME).err + world.ok(*PAUSE).out + world.ok(*RESUME).out
    world.run(*PAUSE)
    back()
    assert "is forgotten; git never knew of it" in world.ok(*RESUME).out
    world.reconcile()
    assert (world.deployment()["paused"], waiting(world)) == (False, [])


def test_a_pause_without_the_remote_is_pushed_once_it_is_back(live: Live) -> None:
    """Said twice, it is kept once."""
    world = on_trial(live, "second", 2)
    back = without_remote(world)
    world.run(*PAUSE)
    world.run(*PAUSE)
    assert waiting(world) == ["pause"]
    back()
    world.reconcile()
    assert (world.deployment()["paused"], waiting(world)) == (True, [])


def test_what_was_approved_since_is_not_taken_away(live: Live) -> None:
    """A kept rollback of what people made stable meanwhile is neither pushed nor laid over what runs; that is said."""
    world = third_on_trial(live)
    other = world.clone("other")
    back = without_remote(world)
    world.run(*BACK)
    back()
    end_well(world, root=other)
    git(world.root, "fetch", "-q")
    assert world.run("plan", "production", "-o", "json").json["entries"][0]["release"] == 3
    done = world.ok(*PASS)
    assert "is forgotten: it was for stable 2, candidate 3, and main says stable 3 now" in done.err
    assert "modelops rollback churn -e production --to RELEASE" in done.err
    assert (world.deployment()["stable"], shares(world), waiting(world)) == (3, {3: 1.0}, [])
    world.ok(*BACK, "--to", "1")
    assert shares(world) == {1: 1.0}


@pytest.mark.parametrize("missing", ["the signing key", "git's user"])
def test_what_git_lacks_keeps_no_traffic_on_what_harms(live: Live, missing: str) -> None:
    """Without a key or a name a withdrawal is kept and the traffic leaves; code and words say what is missing."""
    world = on_trial(live, "second", 2)
    key = next((world.root / ".modelops" / "keys").glob("*.pem"))
    if missing == "git's user":
        git(world.root, "config", "--unset", "user.email")
    else:
        key.rename(key.with_suffix(".away"))
    done = world.run(*BACK)
    assert done.code == 3, done.err
    assert "kept on this machine" in done.err
    assert ("user.email is not set" if missing == "git's user" else key.name) in done.err
    assert (shares(world), waiting(world)) == ({1: 1.0}, ["rollback"])
    if missing == "git's user":
        git(world.root, "config", "user.email", "ada@example.com")
    else:
        key.with_suffix(".away").rename(key)
    world.reconcile()
    assert (world.deployment()["candidate"], shares(world), waiting(world)) == (None, {1: 1.0}, [])


WRONG: list[dict[str, Any]] = [
    {"model": ["x"]},
    {"stable": "1"},
    {"verb": "nuke"},
    {"leaves": [7]},
    {"verb": "pause", "leaves": []},
    {"stable": 2},
    {"more": 1},
]


def test_a_file_that_no_verb_wrote_is_ignored_once(live: Live) -> None:
    """Neither a plan nor a pass fails over it; the pass says so and sets it aside; a release that is not is no goal."""
    world = stable_second(live)
    folder = world.runtime() / "pending"
    folder.mkdir(exist_ok=True)
    good = {"verb": "rollback", "model": MODEL, "environment": "production", "arms": {"stable": 2}, "leaves": [2]}
    good |= {"stable": 1, "reason": "x", "by": "ada", "at": "2026-01-01T00:00:00Z"}
    for at, change in enumerate(WRONG):
        (folder / f"churn-{at:06d}.json").write_text(json.dumps(good | change))
    (folder / "broken.json").write_text("[")
    assert world.run("plan", "production", "--exit-code").code == 0
    done = world.ok(*PASS)
    assert done.err.count("holds nothing that a person decided here") == len(WRONG) + 1
    assert "holds nothing" not in world.ok(*PASS).err
    (folder / "churn.json").write_text(json.dumps(good | {"stable": 99}))
    assert "churn has no release 99" in world.ok(*PASS).err
    assert (shares(world), world.deployment()["stable"]) == ({2: 1.0}, 2)


def test_the_loop_withdrew_it_and_a_person_is_asked_which_way(live: Live) -> None:
    """What the loop withdrew a person need not have seen: both ways are named, and nothing is done."""
    world = third_on_trial(live)
    for _ in range(3):
        world.ask(60, strange=True)
        world.run(*PASS)
        if shares(world) == {2: 1.0}:
            break
    world.at("2026-05-01T12:00:00Z")
    asked = world.run(*BACK)
    assert asked.code == 1
    assert "release 3 was withdrawn already by modelops" in asked.err
    assert "2026-03-" in asked.err
    assert "--to 2" in asked.err
    assert "--to 1" in asked.err
    assert shares(world) == {2: 1.0}
    assert "takes all the traffic already" in world.ok(*BACK, "--to", "2").err
    world.ok(*BACK, "--to", "1")
    assert shares(world) == {1: 1.0}
