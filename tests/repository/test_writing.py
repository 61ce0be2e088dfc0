"""Commits by plumbing: exact trees, deterministic ids, and nothing of the user's touched."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from git_world import ADA, BOB, NOON, World, commit, git, lonely, write
from modelops.errors import Exit, ModelOpsError
from modelops.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return lonely(tmp_path / "r", {"models/a/model.yaml": "1\n", "run.sh": "#!/bin/sh\n", "keep": "k"})


def test_a_commit_touches_neither_work_tree_nor_index_nor_branch(repository: Repository) -> None:
    """Uncommitted and staged work is exactly as before."""
    write(repository.root, {"keep": "changed", "staged": "s"})
    git(repository.root, "add", "staged")
    before = (git(repository.root, "status", "--porcelain"), repository.head())
    made = repository.commit_files(
        "HEAD", {"models/a/model.yaml": b"2\r\n", "new/deep/f": b"\x00", "keep": None}, "Edit\n", BOB, NOON
    )
    assert (git(repository.root, "status", "--porcelain"), repository.head()) == before
    assert list(repository.paths(made)) == ["models/a/model.yaml", "new/deep/f", "run.sh"]
    assert repository.read(made, "models/a/model.yaml") == b"2\r\n"
    info = repository.commit(made)
    assert (info.parents, info.author, info.committer, info.time) == ((before[1],), BOB, BOB, NOON)


def test_the_same_change_is_the_same_commit(repository: Repository) -> None:
    """Ids follow from the arguments alone, so two machines make the same commit."""
    made = {repository.commit_files("HEAD", {"x": b"1"}, "Same\n", ADA, NOON) for _ in range(2)}
    assert len(made) == 1


def test_a_change_that_changes_nothing_returns_its_base(repository: Repository) -> None:
    """Writing what is there and removing what is not makes no commit."""
    head = repository.head()
    assert repository.commit_files(head, {"keep": b"k", "absent": None}, "Nothing\n", ADA, NOON) == head


def test_executable_files_stay_executable(repository: Repository) -> None:
    """New bytes do not take the mode of a file away."""
    (repository.root / "run.sh").chmod(0o755)
    commit(repository.root, {})
    made = repository.commit_files("HEAD", {"run.sh": b"#!/bin/bash\n", "keep": b"2"}, "Edit\n", ADA, NOON)
    modes = {line.split()[3]: line.split()[0] for line in git(repository.root, "ls-tree", made).splitlines()}
    assert (modes["run.sh"], modes["keep"]) == ("100755", "100644")


def test_a_folder_may_take_the_place_of_a_file_only_if_the_file_goes(repository: Repository) -> None:
    """A file and a folder of one name are an error unless the change removes the file."""
    with pytest.raises(ModelOpsError) as caught:
        repository.commit_files("HEAD", {"keep/inner": b"1"}, "Edit\n", ADA, NOON)
    assert caught.value.problems[0].code == "path-conflict"
    with pytest.raises(ModelOpsError, match="would be lost"):
        repository.commit_files("HEAD", {"models/a": b"1"}, "Edit\n", ADA, NOON)
    made = repository.commit_files("HEAD", {"keep/inner": b"1", "keep": None}, "Edit\n", ADA, NOON)
    assert repository.read(made, "keep/inner") == b"1"


@pytest.mark.parametrize("path", ["../out", "/abs", "-rf", ".git/hooks/pre-commit", "a/../../b", "a\x00b", "a/"])
def test_no_commit_writes_outside_the_tree(repository: Repository, path: str) -> None:
    """Paths that leave the repository, enter .git or look like options are refused before anything is stored."""
    with pytest.raises(ModelOpsError) as caught:
        repository.commit_files("HEAD", {path: b"x"}, "Edit\n", ADA, NOON)
    assert caught.value.problems[0].code == "bad-path"


def test_a_date_without_a_zone_is_a_defect_of_the_caller(repository: Repository) -> None:
    """Dates of commits never depend on the zone of the machine."""
    with pytest.raises(ValueError, match="time zone"):
        repository.commit_files("HEAD", {"x": b"1"}, "Edit\n", ADA, datetime(2026, 1, 1))


def test_a_merge_has_two_parents_and_both_changes(repository: Repository) -> None:
    """Merging needs no work tree; the parents are target first, source second."""
    base = repository.head()
    ours = repository.commit_files(base, {"ours": b"1"}, "Ours\n", ADA, NOON)
    theirs = repository.commit_files(base, {"theirs": b"2"}, "Theirs\n", BOB, NOON)
    merge = repository.merge_commits(ours, theirs, "Merge\n", BOB, NOON)
    assert repository.commit(merge).parents == (ours, theirs)
    assert {"ours", "theirs", "keep"} <= set(repository.paths(merge))
    assert repository.head() == base


def test_a_merge_conflict_names_the_files(repository: Repository) -> None:
    """Conflicting files are listed, files that merge are not, and the hint says how to resolve."""
    base = repository.head()
    ours = repository.commit_files(base, {"keep": b"1", "models/a/model.yaml": b"ours", "y": b"0"}, "O\n", ADA, NOON)
    theirs = repository.commit_files(
        base, {"keep": b"2", "models/a/model.yaml": b"theirs", "z": b"0"}, "T\n", BOB, NOON
    )
    with pytest.raises(ModelOpsError) as caught:
        repository.merge_commits(ours, theirs, "Merge\n", BOB, NOON)
    problem = caught.value.problems[0]
    assert (problem.code, caught.value.exit) == ("merge-conflict", Exit.FILES)
    assert problem.message == "both sides changed keep, models/a/model.yaml"
    assert "resolve the conflict" in (problem.hint or "")


def test_committing_the_work_tree_is_what_add_and_commit_do(tmp_path: Path) -> None:
    """The named files are committed on the branch with the given person and date; others stay as they are."""
    repository = Repository.create(tmp_path / "r", branch="trunk")
    write(repository.root, {"models/a.yaml": "a", "gone": "g", "later": "l"})
    repository.commit_work_tree(["models", "gone"], "Begin", ADA, NOON)
    (repository.root / "gone").unlink()
    made = repository.commit_work_tree(["gone"], "Remove", BOB, NOON)
    assert (repository.branch, repository.head()) == ("trunk", made)
    assert list(repository.paths(made)) == ["models/a.yaml"]
    assert repository.dirty_paths() == ("later",)
    assert (repository.commit(made).author, repository.commit(made).time) == (BOB, NOON)


def test_branches_are_pushed_and_deleted_only_from_where_they_are_expected(world: World) -> None:
    """Creating over an existing branch, and moving or deleting one that moved, is refused."""
    repository = world.clone("a")
    base = repository.head()
    one, two = (repository.commit_files(base, {"x": data}, "X\n", ADA, NOON) for data in (b"1", b"2"))
    repository.push_branch("topic", one)
    assert (world.tip("topic"), repository.tip("topic")) == (one, one)
    for expected in (None, base):
        with pytest.raises(ModelOpsError) as caught:
            repository.push_branch("topic", two, expected=expected)
        assert caught.value.problems[0].code == "push-rejected"
        assert caught.value.exit == Exit.WORLD
    repository.push_branch("topic", two, expected=one)
    with pytest.raises(ModelOpsError, match="moved and was not deleted"):
        repository.delete_branch("topic", expected=one)
    repository.delete_branch("topic")
    assert repository.find_tip("topic") is None
    assert git(world.remote, "branch", "--list", "topic") == ""
    repository.delete_branch("topic")
