"""Threat 16: whoever may force-push drops what was recorded, or tells another past."""

from __future__ import annotations

from git_world import git
from world.conftest import Put


def test_a_withdrawal_that_is_pushed_away_arms_nothing(put: Put) -> None:
    """A machine that saw the withdrawal names the rewrite and sends the release nothing; with it back, all is well."""
    world = put(on_trial=False)
    assert world.planned() == [(2, 1.0)]
    tip = git(world.origin, "rev-parse", "main")
    git(world.origin, "update-ref", "refs/heads/main", "main~1")
    for _ in range(2):
        planned = world.run("plan", "production")
        assert "main was rewritten" in planned.out + planned.err
        assert "release 3 to" not in planned.out
        assert world.planned() == [(2, 1.0)]
    git(world.origin, "update-ref", "refs/heads/main", tip)
    assert world.planned() == [(2, 1.0)]


def test_another_past_is_not_taken_for_this_one(put: Put) -> None:
    """All commits written anew, with another author: the machine that knows the old line says so and goes nowhere."""
    world = put(on_trial=False)
    world.run("plan", "production")
    tip = git(world.origin, "rev-parse", "main")
    tree = git(world.origin, "rev-parse", "main^{tree}")
    alone = world.git("commit-tree", tree, "-m", "All at once")
    git(world.root, "push", "-q", str(world.origin), f"{alone}:refs/heads/other")
    git(world.origin, "update-ref", "refs/heads/main", alone)
    ended = world.run("plan", "production")
    assert 3 not in [release for release, _ in world.planned()]
    assert "main was rewritten" in ended.out + ended.err
    git(world.root, "push", "-q", "--force", world.remote, f"{tip}:refs/heads/main")
    assert "rewritten" not in world.run("plan", "production").out


def test_a_clone_without_memory_needs_proof_in_git(put: Put) -> None:
    """A fresh clone of a branch pressed into one commit serves no candidate whose trial nothing shows."""
    world = put(on_trial=False)
    tree = git(world.origin, "rev-parse", "main^{tree}")
    alone = world.git("commit-tree", tree, "-m", "All at once")
    git(world.root, "push", "-q", "--force", world.remote, f"{alone}:refs/heads/main")
    fresh = world.another("fresh")
    assert 3 not in [release for release, _ in fresh.planned()]
