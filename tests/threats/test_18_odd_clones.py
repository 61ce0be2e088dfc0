"""Threat 18: replaced objects, grafts, shallow clones and borrowed objects tell this clone another past."""

from __future__ import annotations

import json

import pytest

from git_world import git
from world.conftest import Put
from world.hostile import PRODUCTION, Hostile


@pytest.fixture
def world(put: Put) -> Hostile:
    """Return a calm repository in which release 2 is stable."""
    return put(on_trial=False)


def stable(world: Hostile) -> object:
    """Return the release that the environment's audit names today."""
    said = json.loads(world.run("audit", "environment", "production", "--at", world.now(), "-o", "json").out)
    return said["models"][0]["stable"]["release"]


def test_a_replaced_object_is_not_read(world: Hostile) -> None:
    """`git replace` shows people another file; what is planned and audited is the true one."""
    real = git(world.root, "rev-parse", f"main:{PRODUCTION}")
    text = git(world.root, "cat-file", "blob", real).replace("stable: 2", "stable: 1")
    (world.root / "fake").write_text(text)
    git(world.root, "replace", real, git(world.root, "hash-object", "-w", "fake"))
    (world.root / "fake").unlink()
    assert "stable: 1" in git(world.root, "show", f"main:{PRODUCTION}")
    assert world.planned() == [(2, 1.0)]
    assert stable(world) == 2


def test_a_graft_gives_no_other_parents(world: Hostile) -> None:
    """Parents from a file of this clone do not hide commits from the audit."""
    tip, root = git(world.root, "rev-parse", "main"), git(world.root, "rev-list", "--max-parents=0", "main")
    before = world.run("audit", "environment", "production", "--at", world.now()).out
    (world.root / ".git" / "info" / "grafts").write_text(f"{tip} {root}\n")
    assert stable(world) == 2
    assert world.run("audit", "environment", "production", "--at", world.now()).out == before


def test_a_shallow_clone_gives_no_verdict(world: Hostile) -> None:
    """Without the history there is no proof, and the hint says how to get it."""
    git(world.folder, "clone", "-q", "--depth", "1", f"file://{world.origin}", "shallow")
    world.clone = "shallow"
    ended = world.run("audit", "environment", "production", "--at", world.now())
    assert ended.code == 3
    assert "shallow-clone" in ended.err
    assert "git fetch --unshallow" in ended.err


def test_borrowed_objects_change_no_verdict(world: Hostile) -> None:
    """Objects of another repository that this clone was told to borrow are found, and say nothing about the branch."""
    other = world.folder / "other.git"
    git(world.folder, "init", "-q", "--bare", str(other))
    (world.folder / "evil").write_text("apiVersion: modelops/v1\nkind: Deployment\n")
    git(other, "hash-object", "-w", str(world.folder / "evil"))
    before = world.run("audit", "release", "churn", "2")
    (world.root / ".git" / "objects" / "info" / "alternates").write_text(f"{other}/objects\n")
    after = world.run("audit", "release", "churn", "2")
    assert (after.code, after.out) == (before.code, before.out) == (0, before.out)
