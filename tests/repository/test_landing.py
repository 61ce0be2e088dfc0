"""Landing on a shared branch: compare-and-swap, retries, and the checked-out files."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from git_world import ADA, BOB, NOON, World, commit, git, lonely, write
from kill.ends import processes
from modelops.errors import Exit, ModelOpsError
from modelops.repository import Landing, Repository, Swap
from waiting import PATIENCE, wait_for

APPEND = """
import sys
from datetime import UTC, datetime
from modelops.repository import Landing, Person, Repository
folder, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
repository = Repository.discover(folder)
def change(tip):
    number = len(repository.paths(tip, "releases/")) + 1
    return Landing({f"releases/{number}": name.encode()}, f"Release {number} by {name}")
for _ in range(count):
    print(repository.land("main", change, Person(name, f"{name}@example.com"), datetime.now(UTC)), flush=True)
"""


def adding(path: str, data: bytes = b"1\n") -> Callable[[str], Landing]:
    return lambda tip: Landing({path: data}, f"Add {path}")


def test_a_commit_lands_on_the_remote_and_the_checked_out_branch_follows(world: World) -> None:
    """The remote, the tracking branch, the local branch and its files all have the new commit."""
    repository = world.clone("a")
    landed = repository.land("main", adding("models/new.yaml"), BOB, NOON)
    assert landed == world.tip() == repository.tip("main") == repository.head()
    assert (repository.root / "models/new.yaml").read_text() == "1\n"
    assert repository.dirty_paths() == ()


def test_nothing_to_do_lands_nothing(world: World) -> None:
    """No change, and a change that is there already, leave the branch as it is."""
    repository = world.clone("a")
    tip = world.tip()
    assert repository.land("main", lambda _: None, ADA, NOON) is None
    assert repository.land("main", adding("models/a/model.yaml", b"a: 1\n"), ADA, NOON) is None
    assert world.tip() == tip


def test_who_loses_the_race_is_asked_again_on_the_new_tip(world: World) -> None:
    """A push in between makes the change be computed again; nothing of the other is lost."""
    slow, fast = world.clone("slow"), world.clone("fast", BOB)
    asked: list[str] = []

    def change(tip: str) -> Landing:
        asked.append(tip)
        if len(asked) == 1:
            fast.land("main", adding("fast"), BOB, NOON)
        return Landing({"count": str(len(slow.paths(tip))).encode()}, "Count")

    landed = slow.land("main", change, ADA, NOON)
    assert landed == world.tip()
    assert len(asked) == 2
    assert asked[1] == slow.commit(landed).parents[0] == fast.head()
    assert slow.read(landed, "count") == b"2"


def test_giving_up_after_some_attempts_is_worth_a_retry(world: World) -> None:
    """A branch that moves under every attempt ends as a failure of the world."""
    slow, fast = world.clone("slow"), world.clone("fast", BOB)
    number = iter(range(100))

    def change(tip: str) -> Landing:
        fast.land("main", adding(f"fast-{next(number)}"), BOB, NOON)
        return Landing({"slow": b"1"}, "Slow")

    with pytest.raises(ModelOpsError) as caught:
        slow.land("main", change, ADA, NOON, attempts=2)
    assert (caught.value.problems[0].code, caught.value.exit) == ("push-rejected", Exit.WORLD)
    assert caught.value.retryable
    assert next(number) == 2


@pytest.mark.parametrize("shared", [True, False], ids=["two-clones", "one-clone"])
def test_two_processes_landing_at_once_both_succeed(world: World, shared: bool) -> None:
    """Numbers given out on the tip are all different and none is missing."""
    folders = [world.clone("a").root, world.clone("b").root if shared else world.folder / "a"]
    workers = [
        subprocess.Popen([sys.executable, "-c", APPEND, str(folder), name, "4"], stdout=subprocess.PIPE, text=True)
        for folder, name in zip(folders, ("ann", "ben"), strict=True)
    ]
    landed = [line for worker in workers for line in worker.communicate(timeout=PATIENCE)[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(set(landed)) == 8
    reader = world.clone("reader")
    owners = [reader.read("HEAD", f"releases/{number}") for number in range(1, 9)]
    assert owners.count(b"ann") == owners.count(b"ben") == 4


def test_a_protected_branch_is_not_tried_again(world: World) -> None:
    """A refusal by the remote's own rules is told with what the remote said."""
    hook = world.remote / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'only by pull request' >&2\nexit 1\n")
    hook.chmod(0o755)
    repository = world.clone("a")
    asked: list[str] = []

    def change(tip: str) -> Landing:
        asked.append(tip)
        return Landing({"x": b"1"}, "X")

    with pytest.raises(ModelOpsError) as caught:
        repository.land("main", change, ADA, NOON)
    problem = caught.value.problems[0]
    assert (problem.code, caught.value.exit, len(asked)) == ("push-rejected", Exit.WORLD, 1)
    assert "only by pull request" in problem.message
    assert "pull request" in (problem.hint or "")


def test_a_pre_push_hook_that_says_no_is_named(world: World) -> None:
    """The clone's own hook stops the push, and the message says that it was the hook."""
    repository = world.clone("a")
    hook = repository.root / ".git/hooks/pre-push"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(ModelOpsError, match="pre-push hook") as caught:
        repository.land("main", adding("x"), ADA, NOON)
    assert caught.value.problems[0].code == "push-rejected"


def test_a_remote_that_is_not_bare_is_explained(tmp_path: Path) -> None:
    """Pushing into someone's checked-out branch is refused by git; the hint says how to have a proper remote."""
    lonely(tmp_path / "origin")
    git(tmp_path, "clone", "--quiet", "origin", "clone")
    with pytest.raises(ModelOpsError) as caught:
        Repository.discover(tmp_path / "clone").land("main", adding("x"), ADA, NOON)
    assert caught.value.problems[0].code == "push-rejected"
    assert "git clone --bare" in (caught.value.problems[0].hint or "")


def test_local_work_in_the_way_is_left_alone_and_told(world: World) -> None:
    """The commit lands on the remote; a checked-out file with other changes keeps them and the branch stays."""
    repository = world.clone("a")
    write(repository.root, {"models/a/model.yaml": "mine\n"})
    before, told = repository.head(), list[str]()
    landed = repository.land("main", adding("models/a/model.yaml", b"theirs\n"), BOB, NOON, warn=told.append)
    assert landed == world.tip()
    assert repository.head() == before
    assert (repository.root / "models/a/model.yaml").read_text() == "mine\n"
    assert len(told) == 1
    assert "git pull" in told[0]


def test_local_work_elsewhere_does_not_stop_the_branch_from_following(world: World) -> None:
    """Changes in files that the commit does not touch stay, and the branch moves."""
    repository = world.clone("a")
    write(repository.root, {"models/a/model.yaml": "mine\n", "notes": "n"})
    told: list[str] = []
    assert repository.land("main", adding("other"), BOB, NOON, warn=told.append) == repository.head()
    assert repository.dirty_paths() == ("models/a/model.yaml", "notes")
    assert told == []


def test_local_commits_are_not_pushed_along(world: World) -> None:
    """A commit that the user did not push stays the user's; the landed one goes on the shared tip."""
    repository = world.clone("a")
    mine = commit(repository.root, {"mine": "m"})
    landed = repository.land("main", adding("x"), BOB, NOON)
    assert repository.head() == mine
    assert landed is not None
    assert "mine" not in repository.paths(landed)


def test_another_branch_than_the_checked_out_one_moves_no_file(world: World) -> None:
    """Landing on main while a topic branch is checked out leaves the files alone."""
    repository = world.clone("a")
    git(repository.root, "switch", "--quiet", "-c", "topic")
    repository.land("main", adding("x"), ADA, NOON)
    assert not (repository.root / "x").exists()
    assert repository.dirty_paths() == ()


def test_a_linked_work_tree_follows_too(world: World) -> None:
    """The branch follows where it is checked out, be it in another work tree of the same repository."""
    repository = world.clone("a")
    git(repository.root, "switch", "--quiet", "-c", "topic")
    git(repository.root, "worktree", "add", "--quiet", "../linked", "main")
    linked = Repository.discover(world.folder / "linked")
    repository.land("main", adding("x"), ADA, NOON)
    assert (linked.root / "x").exists()
    assert linked.dirty_paths() == ()


def test_without_a_remote_branch_and_files_move_together(tmp_path: Path) -> None:
    """The local branch is the truth; added, changed and removed files follow it."""
    repository = lonely(tmp_path / "r", {"a": "1", "b": "1", "c/d": "1"})
    landed = repository.land(
        "main", lambda _: Landing({"a": b"2", "b": None, "c/d": None, "e/f": b"3"}, "Move"), ADA, NOON
    )
    assert repository.head() == landed
    assert repository.dirty_paths() == ()
    assert sorted(path for path in repository.work_tree_files([""], suffixes=None)) == ["a", "e/f"]


def test_without_a_remote_local_work_in_the_way_stays_and_is_told(tmp_path: Path) -> None:
    """The branch moves; changed, staged, removed and untracked files in its way keep the user's bytes."""
    names = ("changed", "staged", "removed", "clean", "gone")
    repository = lonely(tmp_path / "r", dict.fromkeys(names, "old"))
    write(repository.root, {"changed": "mine", "staged": "mine", "untracked": "mine"})
    (repository.root / "removed").unlink()
    git(repository.root, "add", "staged")
    files: dict[str, bytes | None] = dict.fromkeys((*names, "untracked", "added"), b"new")
    told: list[str] = []
    landed = repository.land("main", lambda _: Landing({**files, "gone": None}, "All"), BOB, NOON, warn=told.append)
    assert repository.head() == landed
    found = {path: data.decode() for path, data in repository.work_tree_files([""], suffixes=None).items()}
    assert found == {"changed": "mine", "staged": "mine", "untracked": "mine", "clean": "new", "added": "new"}
    assert git(repository.root, "show", ":staged") == "mine"
    assert repository.dirty_paths() == ("changed", "removed", "staged", "untracked")
    assert len(told) == 1
    assert all(name in told[0] for name in ("changed", "staged", "removed", "untracked"))
    assert "clean" not in told[0]


def test_a_branch_that_is_checked_out_is_not_deleted(tmp_path: Path) -> None:
    """Deleting the ground under the work tree is refused."""
    repository = lonely(tmp_path / "r")
    with pytest.raises(ModelOpsError) as caught:
        repository.delete_branch("main")
    assert caught.value.problems[0].code == "branch-checked-out"
    assert repository.tip("main") == repository.head()


def test_a_process_killed_before_the_files_followed_is_finished_by_the_next(tmp_path: Path) -> None:
    """With the branch moved and the files not yet, the next landing brings the files up first."""
    repository = lonely(tmp_path / "r")
    old = repository.head()
    new = repository.commit_files(old, {"x": b"1"}, "X\n", ADA, NOON)
    journal = repository.common / "modelops/moving.json"
    journal.parent.mkdir()
    journal.write_text(f'[["{repository.root}", "refs/heads/main", "{old}", "{new}"]]')
    git(repository.root, "update-ref", "refs/heads/main", new)
    assert repository.dirty_paths() == ("x",)
    repository.land("main", adding("y"), ADA, NOON)
    assert repository.dirty_paths() == ()
    assert (repository.root / "x").exists()
    assert not journal.exists()


def test_files_that_cannot_follow_now_follow_later(tmp_path: Path) -> None:
    """While another git holds the index, commits land and say so; the next landing brings all of their files."""
    repository = lonely(tmp_path / "r")
    lock = repository.root / ".git/index.lock"
    lock.touch()
    told: list[str] = []
    for name in ("x", "y"):
        assert repository.land("main", adding(name), ADA, NOON, warn=told.append) == repository.head()
    assert [("could not follow yet" in line, "index.lock" in line) for line in told] == [(True, True)] * 3
    lock.unlink()
    repository.land("main", adding("z"), ADA, NOON)
    assert repository.dirty_paths() == ()
    assert {"x", "y", "z"} <= {path.name for path in repository.root.iterdir()}


def test_files_that_wait_are_not_forgotten_by_other_moves(tmp_path: Path) -> None:
    """A ref without a work tree that moves meanwhile, or a move that loses its race, leaves waiting files waiting."""
    repository = lonely(tmp_path / "r")
    lock = repository.root / ".git/index.lock"
    lock.touch()
    commit = repository.land("main", adding("x"), ADA, NOON, warn=lambda line: None)
    assert repository.swap(Swap("refs/modelops/test", None, commit), warn=lambda line: None)
    assert not repository.swap(Swap("refs/heads/main", "1" * 40, commit), warn=lambda line: None)
    lock.unlink()
    assert repository.swap(Swap("refs/modelops/other", None, commit))
    assert (repository.root / "x").exists()
    assert repository.dirty_paths() == ()


def test_a_journal_of_a_move_that_never_happened_is_forgotten(tmp_path: Path) -> None:
    """A process killed before the branch moved leaves nothing behind that matters."""
    repository = lonely(tmp_path / "r")
    new = repository.commit_files("HEAD", {"x": b"1"}, "X\n", ADA, NOON)
    journal = repository.common / "modelops/moving.json"
    journal.parent.mkdir()
    journal.write_text(f'[["{repository.root}", "refs/heads/main", "{repository.head()}", "{new}"]]')
    assert repository.swap(Swap("refs/modelops/test", None, new))
    assert repository.dirty_paths() == ()
    assert not (repository.root / "x").exists()
    assert not journal.exists()


@pytest.mark.parametrize("shared", [True, False], ids=["remote", "no-remote"])
def test_kill_at_any_moment_leaves_no_half_state(tmp_path: Path, shared: bool) -> None:
    """After kill -9 at several moments, history is whole, numbers have no gap and the files are clean."""
    repository = World(tmp_path).clone("r") if shared else lonely(tmp_path / "r")
    for number in range(4):
        worker = subprocess.Popen(
            [sys.executable, "-c", APPEND, str(repository.root), "kit", "50"], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        assert len(worker.stdout.readline().strip()) == 40
        time.sleep(0.017 * number)
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        # The git that it had started was not killed and may still be at work; the reader is ours.
        wait_for(lambda: all("cat-file" in line for _, line in processes(tmp_path)))
    last = repository.land("main", adding("last"), ADA, NOON)
    assert last is not None
    releases = repository.paths(last, "releases/")
    assert set(releases) == {f"releases/{number}" for number in range(1, len(releases) + 1)}
    assert len(releases) >= 4
    git(repository.root, "fsck", "--strict")
    if not shared:
        assert repository.dirty_paths() == ()


def test_several_refs_move_together_or_not_at_all(world: World) -> None:
    """One ref that is elsewhere than expected keeps all of them where they are, with and without a remote."""
    for repository in (world.clone("a"), lonely(world.folder / "alone")):
        base = repository.head()
        new = repository.commit_files(base, {"x": b"1"}, "X\n", ADA, NOON)
        other = repository.commit_files(base, {"y": b"1"}, "Y\n", ADA, NOON)
        wrong = [Swap("refs/heads/topic", None, new), Swap("refs/heads/main", other, new)]
        assert not repository.swap(*wrong)
        assert repository.find_tip("topic") is None
        assert repository.swap(Swap("refs/heads/topic", None, new), Swap("refs/heads/main", base, new))
        assert repository.tip("topic") == repository.tip("main") == repository.head() == new
        assert repository.swap(Swap("refs/modelops/x", None, base))
        assert repository.find_ref("refs/modelops/x") == base
        repository.fetch()
        assert repository.find_ref("refs/modelops/x") == base


def test_a_read_only_repository_is_the_worlds_failure(tmp_path: Path) -> None:
    """When nothing can be stored the message says so and nothing moved."""
    repository = lonely(tmp_path / "r")
    head = repository.head()
    (repository.common / "modelops").write_text("in the way of the folder")
    with pytest.raises(ModelOpsError) as caught:
        repository.land("main", adding("x"), ADA, NOON)
    assert (caught.value.problems[0].code, caught.value.exit) == ("repository-unwritable", Exit.WORLD)
    assert repository.head() == head
