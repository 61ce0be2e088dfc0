"""Every state of a clone that stands in the way gets a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from git_world import ADA, World, commit, git, lonely, write
from modelops.errors import Exit, ModelOpsError
from modelops.repository import Repository


def problem_of(action: Callable[[], object]) -> tuple[str, Exit, str, str]:
    with pytest.raises(ModelOpsError) as caught:
        action()
    problem = caught.value.problems[0]
    return problem.code, caught.value.exit, problem.message, problem.hint or ""


def test_a_folder_without_git(tmp_path: Path) -> None:
    """Outside a repository the hint says how to make one."""
    code, exit, _, hint = problem_of(lambda: Repository.discover(tmp_path))
    assert (code, exit) == ("not-a-repository", Exit.FILES)
    assert "git init" in hint
    assert problem_of(lambda: Repository.discover(tmp_path / "none"))[0] == "not-a-repository"


def test_a_bare_repository(world: World) -> None:
    """A bare repository is recognised, and the hint is to clone it."""
    code, _, message, hint = problem_of(lambda: Repository.discover(world.remote))
    assert code == "not-a-repository"
    assert "bare" in message
    assert "git clone" in hint


def test_the_folder_of_git_itself(tmp_path: Path) -> None:
    """Inside .git there are no files to work on."""
    inside = lonely(tmp_path / "r").root / ".git" / "objects"
    code, exit, _, hint = problem_of(lambda: Repository.discover(inside))
    assert (code, exit) == ("not-a-repository", Exit.FILES)
    assert "holds .git" in hint


def test_no_commit_yet(tmp_path: Path) -> None:
    """A repository that was just made has nothing to read."""
    code, exit, _, hint = problem_of(Repository.create(tmp_path / "new").head)
    assert (code, exit) == ("no-commits", Exit.FILES)
    assert "git commit" in hint


def test_detached_head(world: World) -> None:
    """Reading works on a detached HEAD; what needs a branch says how to get one."""
    repository = world.clone("a")
    assert repository.require_branch() == "main"
    git(repository.root, "checkout", "--quiet", "--detach")
    assert repository.branch is None
    assert repository.paths("HEAD")
    code, exit, message, hint = problem_of(repository.require_branch)
    assert (code, exit) == ("detached-head", Exit.FILES)
    assert repository.head()[:12] in message
    assert "git switch" in hint


def test_shallow_clone(world: World, tmp_path: Path) -> None:
    """A shallow clone answers what it has and refuses questions about history."""
    full = world.clone("a")
    commit(full.root, {"more": "x"})
    git(full.root, "push", "--quiet")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{world.remote}", "shallow")
    shallow = Repository.discover(tmp_path / "shallow")
    assert shallow.is_shallow
    assert not full.is_shallow
    assert "more" in shallow.paths("HEAD")
    assert shallow.log(limit=1)[0].id == shallow.head()
    for action in (shallow.log, shallow.require_history, lambda: shallow.line("main", "models/")):
        code, exit, _, hint = problem_of(action)
        assert (code, exit) == ("shallow-clone", Exit.FILES)
        assert "git fetch --unshallow" in hint
    older = full.resolve("HEAD~1")
    for action in (lambda: shallow.resolve("HEAD~1"), lambda: shallow.paths(older)):
        assert problem_of(action)[0] == "shallow-clone"


def test_dirty_work_tree(tmp_path: Path) -> None:
    """Changed, staged, removed and untracked files are named; paths limit the question."""
    repository = lonely(tmp_path / "r", {"models/a.yaml": "a", "models/b.yaml": "b", "docs/c": "c"})
    assert repository.dirty_paths() == ()
    write(repository.root, {"models/a.yaml": "changed", "models/new/deep.yaml": "n", "docs/staged": "s"})
    git(repository.root, "add", "docs/staged")
    (repository.root / "models/b.yaml").unlink()
    assert repository.dirty_paths() == ("docs/staged", "models/a.yaml", "models/b.yaml", "models/new/deep.yaml")
    assert repository.dirty_paths(["docs"]) == ("docs/staged",)
    assert repository.dirty_paths(["docs/c"]) == ()


def test_no_remote(tmp_path: Path) -> None:
    """Without a remote local branches are the truth, and fetching is nothing."""
    repository = lonely(tmp_path / "r")
    repository.fetch()
    assert not repository.has_remote
    assert repository.tip("main") == repository.head()


def test_a_branch_that_is_not_on_the_remote(world: World) -> None:
    """A local branch is not shared until it is pushed."""
    repository = world.clone("a")
    git(repository.root, "branch", "mine")
    assert repository.find_tip("mine") is None
    assert repository.find_local("mine") == repository.head()
    code, exit, message, hint = problem_of(lambda: repository.tip("mine"))
    assert (code, exit) == ("no-such-branch", Exit.FILES)
    assert "'mine'" in message
    assert "git push -u origin mine" in hint


def test_an_unreachable_remote_keeps_its_password(world: World) -> None:
    """A failed fetch is the world's, worth a retry, and never shows credentials."""
    repository = world.clone("a")
    git(repository.root, "remote", "set-url", "origin", "http://ada:hunter2@127.0.0.1:9/r.git")
    with pytest.raises(ModelOpsError) as caught:
        repository.fetch()
    assert caught.value.problems[0].code == "remote-unreachable"
    assert caught.value.exit == Exit.WORLD
    assert caught.value.retryable
    assert "hunter2" not in str(caught.value)


def test_no_identity(tmp_path: Path) -> None:
    """Who commits must be known; the hint holds the commands."""
    repository = lonely(tmp_path / "r")
    assert repository.user() == ADA
    git(repository.root, "config", "--unset", "user.email")
    assert repository.find_user() is None
    code, exit, message, hint = problem_of(repository.user)
    assert (code, exit) == ("no-identity", Exit.FILES)
    assert "user.email is not set" in message
    assert "git config --global user.email" in hint


def test_another_remote_can_be_named(world: World) -> None:
    """The project may call its remote by another name than origin."""
    repository = world.clone("a")
    git(repository.root, "remote", "rename", "origin", "upstream")
    assert not Repository.discover(repository.root).has_remote
    named = Repository.discover(repository.root, remote="upstream")
    named.fetch()
    assert named.tip("main") == world.tip()


def test_git_cannot_be_handed_an_option_as_an_address(tmp_path: Path) -> None:
    """An address that starts with a dash is refused before git sees it."""
    assert problem_of(lambda: Repository.clone("--upload-pack=touch x", tmp_path / "c"))[0] == "bad-ref"
    code, exit, *_ = problem_of(lambda: Repository.clone(str(tmp_path / "none"), tmp_path / "c"))
    assert (code, exit) == ("git-failed", Exit.WORLD)
