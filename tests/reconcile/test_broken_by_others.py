"""What others broke, took away or slipped past a review: what runs goes on, and the ways back stay open."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import pytest

from git_world import git
from modelops.spec.layout import PROJECT, ReleaseFiles
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import on_trial
from reconcile.test_emergency import BACK, PRODUCTION, shares, stable_second

Live = Callable[[str], World]
Edits = Mapping[str, str | None]


def broken_deployment(world: World) -> Edits:
    return {PRODUCTION: "spec: [\n"}


def mistyped_deployment(world: World) -> Edits:
    return {PRODUCTION: world.show(PRODUCTION) + "\n  pausd: true\n"}


def deployment_of_nothing(world: World) -> Edits:
    return {PRODUCTION: world.show(PRODUCTION).replace("candidate: 2", "candidate: 99") + "\n"}


def no_release(world: World) -> Edits:
    return {ReleaseFiles(MODEL, 1).release: None}


def mistyped_release(world: World) -> Edits:
    path = ReleaseFiles(MODEL, 1).release
    return {path: world.show(path).replace("spec:", "spc:") + "\n"}


def no_snapshot(world: World) -> Edits:
    paths = git(world.remote, "ls-tree", "-r", "--name-only", "main", f"models/{MODEL}/data/").splitlines()
    return {path: None for path in paths if path.endswith(".yaml")}


def no_gates(world: World) -> Edits:
    paths = git(world.remote, "ls-tree", "-r", "--name-only", "main", "policies/gates/").splitlines()
    return dict.fromkeys(paths)


def another_branch(world: World) -> Edits:
    return {PROJECT.path(): world.show(PROJECT.path()).replace("spec: {", "spec: {branch: mian, ") + "\n"}


def another_remote(world: World) -> Edits:
    return {PROJECT.path(): world.show(PROJECT.path()).replace("spec: {", "spec: {remote: orign, ") + "\n"}


def never_right(world: World) -> Edits:
    plan = world.show(f"models/{MODEL}/rollout.yaml")
    return {"models/newbie/model.yaml": "spec: [\n", "models/newbie/rollout.yaml": plan.replace(MODEL, "newbie") + "\n"}


@pytest.mark.parametrize(
    "breaks",
    [
        broken_deployment,
        pytest.param(mistyped_deployment, marks=pytest.mark.slow),
        deployment_of_nothing,
        no_release,
        pytest.param(mistyped_release, marks=pytest.mark.slow),
        no_snapshot,
        pytest.param(no_gates, marks=pytest.mark.slow),
        another_branch,
        pytest.param(another_remote, marks=pytest.mark.slow),
        pytest.param(never_right, marks=pytest.mark.slow),
    ],
)
def test_what_runs_goes_on_and_a_rollback_is_open(live: Live, breaks: Callable[[World], Edits]) -> None:
    """A pass changes no share of the traffic; the rollback moves it, repairs what it edits, and is done once."""
    world = on_trial(live, "second", 2)
    world.reconcile()
    before = shares(world)
    tip = world.tip()
    world.push(breaks(world), "Break it")
    assert git(world.remote, "diff", "--stat", tip, world.tip())
    world.run("reconcile", "production", "--yes")
    assert shares(world) == before
    done = world.run(*BACK)
    assert "release 2 is withdrawn, release 1 is stable" in done.err, done.err
    assert shares(world) == {1: 1.0}
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"]) == (1, None)
    assert "Traceback" not in world.run(*BACK).err
    assert shares(world) == {1: 1.0}


def test_a_renamed_access_policy_lets_nobody_in(live: Live) -> None:
    """While the policy that an environment names is gone, callers need the keys that they needed before."""
    world = live("promoted")
    path = "policies/environments/production.yaml"
    digest = hashlib.sha256(b"secret").hexdigest()
    keys = "apiVersion: modelops/v1\nkind: AccessPolicy\nmetadata:\n  name: keys\nspec:\n  keys:\n"
    keys += f"    - {{name: shop, sha256: {digest}}}\n"
    world.approved({"policies/access/keys.yaml": keys, path: world.show(path) + "\n  access: keys\n"}, "Need keys")
    world.reconcile()
    needed = world.routes()["keys"]
    assert [key["name"] for key in needed] == ["shop"]
    world.push({"policies/access/keys.yaml": None, "policies/access/api-keys.yaml": keys}, "Rename it")
    world.run("reconcile", "production", "--yes")
    assert world.routes()["keys"] == needed


def test_what_was_pushed_once_is_no_release_to_go_back_to(live: Live) -> None:
    """A file that called a release stable proves nothing: neither said again, nor by --to, nor for what comes after."""
    world = live("third")
    text = world.show(PRODUCTION) + "\n"
    for number in (3, 1, 3):
        world.push({PRODUCTION: text.replace("stable: 1", f"stable: {number}")}, f"Set {number}")
        world.run("reconcile", "production", "--yes")
        assert shares(world) == {1: 1.0}
    done = world.run(*BACK, "--to", "3")
    assert (done.code, "[no-way-back]" in done.err) == (1, True)
    assert shares(world) == {1: 1.0}


def test_a_revert_clears_no_denial(live: Live) -> None:
    """Reverting a rollback would bring back what did harm: that is a change to review."""
    world = stable_second(live)
    world.ok(*BACK)
    git(world.root, "pull", "-q", "--ff-only")
    text = world.show(PRODUCTION).partition("  denied:")[0].replace("stable: 1", "stable: 2")
    (world.root / PRODUCTION).write_text(text)
    person = ("-c", "user.name=Grace", "-c", "user.email=grace@example.com")
    git(world.root, *person, "commit", "-qam", "Revert the rollback")
    git(world.root, "push", "-q", "origin", "HEAD:main")
    done = world.run("reconcile", "production", "--yes")
    assert (done.code, "it clears release 2, which is denied there" in done.out) == (1, True)
    assert shares(world) == {1: 1.0}
