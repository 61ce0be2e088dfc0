"""What merging makes: the same commit on every machine, in every kind of clone."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_world import ADA, NOON, World, commit, git, identify
from modelops.errors import ModelOpsError
from modelops.repository import Repository

LINES = "".join(f"{number}\n" for number in range(9))


@pytest.fixture
def apart(tmp_path: Path) -> World:
    """Return a world in which main and the branch change have both changed one file."""
    world = World(tmp_path, {"a": LINES, ".gitattributes": "a merge=binary -diff\n"})
    folder = world.clone("ada").root
    git(folder, "switch", "--quiet", "-c", "change")
    commit(folder, {"a": LINES.replace("8", "eight")})
    git(folder, "push", "--quiet", "origin", "change")
    git(folder, "switch", "--quiet", "main")
    commit(folder, {"a": LINES.replace("0", "zero")})
    git(folder, "push", "--quiet", "origin", "main")
    return world


def test_every_clone_makes_the_same(apart: World) -> None:
    """Settings and people of two clones leave the commit as it is; no ref and no file moves."""
    made = set()
    for name in ("one", "two"):
        repository = apart.clone(name)
        git(repository.root, "config", "merge.renames", str(name == "one").lower())
        git(repository.root, "config", "user.name", name)
        git(repository.root, "config", "i18n.commitEncoding", "latin1")
        before = git(repository.root, "for-each-ref"), git(repository.root, "status", "--porcelain")
        made.add(repository.merged("origin/main", "origin/change"))
        assert (git(repository.root, "for-each-ref"), git(repository.root, "status", "--porcelain")) == before
    assert len(made) == 1
    assert repository.read(made.pop(), "a") == LINES.replace("0", "zero").replace("8", "eight").encode()


def test_one_that_holds_the_other_is_the_result(apart: World) -> None:
    """Nothing is made where nothing has to be merged."""
    repository = apart.clone("one")
    base, head = repository.tip("main"), repository.resolve("origin/main~1")
    assert repository.merged(head, base) == base == repository.merged(base, head)


def test_a_clone_without_blobs_gets_those_that_it_takes(apart: World, tmp_path: Path) -> None:
    """A partial clone knows from where, though nothing of its settings is used."""
    git(apart.remote, "config", "uploadpack.allowFilter", "true")
    git(apart.remote, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(tmp_path, "clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{apart.remote}", "partial")
    partial = Repository.discover(tmp_path / "partial")
    whole = apart.clone("whole")
    assert partial.merged("origin/main", "origin/change") == whole.merged("origin/main", "origin/change")


def test_a_linked_work_tree_makes_the_same(apart: World, tmp_path: Path) -> None:
    """Its objects are those of the first one."""
    repository = apart.clone("one")
    git(repository.root, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    linked = Repository.discover(tmp_path / "linked")
    assert linked.merged("origin/main", "origin/change") == repository.merged("origin/main", "origin/change")


def test_objects_of_another_algorithm_are_merged(tmp_path: Path) -> None:
    """A repository of SHA-256 stays one."""
    git(tmp_path, "init", "--quiet", "-b", "main", "--object-format=sha256", "r")
    identify(tmp_path / "r", ADA)
    commit(tmp_path / "r", {"a": LINES})
    repository = Repository.discover(tmp_path / "r")
    base = repository.head()
    one = repository.commit_files(base, {"b": b"1\n"}, "One", ADA, NOON)
    other = repository.commit_files(base, {"c": b"1\n"}, "Other", ADA, NOON)
    made = repository.merged(one, other)
    assert len(made) == 64
    assert set(repository.paths(made)) == {"a", "b", "c"}
    assert b"".join(repository.compare(one, made).texts).count(b"\n+1\n") == 1


def test_a_clone_that_lacks_the_past_says_so(apart: World, tmp_path: Path) -> None:
    """What cannot be known is not guessed."""
    git(tmp_path, "clone", "--quiet", "--depth", "1", "--no-single-branch", f"file://{apart.remote}", "shallow")
    with pytest.raises(ModelOpsError) as caught:
        Repository.discover(tmp_path / "shallow").merged("origin/main", "origin/change")
    assert caught.value.first.code == "shallow-clone"
