"""The embedded forge: pull requests in git, by compare-and-swap."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forges.forge_world import LATER, forge_of
from git_world import ADA, BOB, NOON, World, commit, git, lonely
from kill.ends import processes
from modelops.errors import Exit, ModelOpsError
from modelops.forges import Account, PullRequest
from modelops.forges.embedded import REF, Embedded, Params
from modelops.repository import Person
from waiting import PATIENCE, wait_for


@pytest.fixture
def ada(world: World) -> Embedded:
    return forge_of(world.clone("ada"))


@pytest.fixture
def bob(world: World, ada: Embedded) -> Embedded:
    return forge_of(world.clone("bob", BOB))


def propose(world: World, forge: Embedded, source: str = "change", path: str = "new.yaml") -> PullRequest:
    world.branch(forge.repository, source, {path: f"{source}\n"})
    return forge.open(title=f"Add {path}", body="Because.", source=source, labels=["model"]).pull


def merge(forge: Embedded, number: int, login: str = "bob") -> PullRequest:
    """Merge what is there now, as somebody, an hour later."""
    return forge_of(forge.repository, login, LATER).merge(number, head=forge.get(number).head)


def logins(forge: Embedded) -> list[str]:
    pull = forge.get(1)
    return [one.login for one in forge.involved(pull, pull.base)]


def code_of(action: Callable[[], object]) -> tuple[str, Exit]:
    with pytest.raises(ModelOpsError) as caught:
        action()
    return caught.value.problems[0].code, caught.value.exit


@pytest.mark.parametrize(
    ("source", "title", "expected"),
    [
        ("main", "T", ("source-is-target", Exit.USAGE)),
        ("absent", "T", ("no-such-branch", Exit.FILES)),
        ("--upload-pack=x", "T", ("bad-ref", Exit.USAGE)),
        ("same", "T", ("nothing-to-merge", Exit.NO)),
        ("other", "two\nlines", ("bad-title", Exit.USAGE)),
        ("other", " ", ("bad-title", Exit.USAGE)),
    ],
)
def test_what_cannot_be_opened(
    world: World, ada: Embedded, source: str, title: str, expected: tuple[str, Exit]
) -> None:
    """A pull request needs a pushed branch with something new, and a title of one line."""
    git(ada.repository.root, "push", "--quiet", "origin", "main:same")
    world.branch(ada.repository, "other", {"o.txt": "1"})
    assert code_of(lambda: ada.open(title=title, body="", source=source)) == expected
    assert len(ada.find(state="all")) == 0


@pytest.mark.parametrize("login", ["", "-x", "a b", "a\nb", "ada@example.com", "x" * 80])
def test_a_login_is_a_plain_word(ada: Embedded, login: str) -> None:
    """Who one declares to be cannot carry other text into git."""
    assert code_of(lambda: forge_of(ada.repository, login or "-").comment(1, "k", "b")) == ("bad-login", Exit.USAGE)


def test_the_head_is_the_tip_of_the_branch_and_everyone_who_pushed_is_remembered(world: World, ada: Embedded) -> None:
    """New commits move the head; whoever wrote, committed or paired is a pusher, even after a forced push."""
    opened = propose(world, ada)
    folder = ada.repository.root
    git(folder, "-c", "user.name=Eve", "-c", "user.email=eve@example.com", "commit", "--allow-empty", "-qm",
        "Eve's\n\nCo-authored-by: Mal <mal@example.com>")  # fmt: skip
    git(folder, "push", "--quiet", "origin", "change")
    live = ada.get(1)
    assert live.head == world.tip("change") != opened.head
    assert logins(ada) == ["ada", "eve", "mal"]
    ada.comment(1, "seen", "Eve has pushed")
    git(folder, "push", "--quiet", "--force", "origin", f"{opened.head}:refs/heads/change")
    assert ada.get(1).head == opened.head
    assert logins(ada) == ["ada", "eve", "mal"]


def test_commits_of_the_target_are_not_pushes(world: World, ada: Embedded, bob: Embedded) -> None:
    """Bob's commit on main, merged into the branch by Ada, does not make Bob a pusher."""
    propose(world, ada)
    bob.repository.land(
        "main", lambda _: __import__("modelops.repository").repository.Landing({"b": b"1"}, "B"), BOB, NOON
    )
    git(ada.repository.root, "fetch", "--quiet")
    git(ada.repository.root, "merge", "--quiet", "--no-edit", "origin/main")
    git(ada.repository.root, "push", "--quiet", "origin", "change")
    live = ada.get(1)
    assert logins(ada) == ["ada"]
    assert live.base == world.tip()


def test_merging_makes_a_merge_commit_and_deletes_the_branch(world: World, ada: Embedded, bob: Embedded) -> None:
    """The merge has target and head as parents, names the pull request, and is by who merged."""
    opened = propose(world, ada)
    base = world.tip()
    merged = merge(bob, 1)
    assert (merged.state, str(merged.merged_by), merged.head, merged.base) == ("merged", "bob", opened.head, base)
    assert merged.merge == world.tip() == bob.repository.tip("main") == bob.repository.head()
    info = bob.repository.commit("HEAD")
    assert info.parents == (base, opened.head)
    assert (info.author, info.committer, info.time) == (BOB, BOB, LATER)
    message = git(world.remote, "log", "-1", "--format=%B", "main")
    assert message == "Merge pull request #1 from change\n\nAdd new.yaml"
    assert git(world.remote, "branch", "--list", "change") == ""
    assert ada.get(1) == merged
    assert ada.find() == ()
    assert (bob.repository.root / "new.yaml").exists()


def test_a_stale_base_is_merged_with_what_the_target_has_now(world: World, ada: Embedded, bob: Embedded) -> None:
    """Two pull requests on different files merge one after the other without a rebase."""
    propose(world, ada, "one", "one.yaml")
    propose(world, ada, "two", "two.yaml")
    merge(ada, 2)
    merge(ada, 1, "cy")
    assert {"one.yaml", "two.yaml"} <= set(ada.repository.paths(world.tip()))
    assert ada.repository.commit(world.tip()).author == Person("cy", "cy@modelops.invalid")


def test_a_conflict_is_refused_and_nothing_moves(world: World, ada: Embedded) -> None:
    """Both sides changed one file: the file is named, the pull request stays open."""
    propose(world, ada, "one", "same.yaml")
    propose(world, ada, "two", "same.yaml")
    merge(ada, 1)
    tip = world.tip()
    with pytest.raises(ModelOpsError, match=r"same\.yaml") as caught:
        merge(ada, 2)
    assert caught.value.problems[0].code == "merge-conflict"
    assert world.tip() == tip
    assert ada.get(2).state == "open"


def test_what_cannot_be_merged(world: World, ada: Embedded) -> None:
    """Closed, merged, unknown, empty, moved or branchless pull requests are refused by name."""
    opened = propose(world, ada, "one", "one.yaml")
    assert code_of(lambda: merge(ada, 7)) == ("no-such-pull", Exit.USAGE)
    assert code_of(lambda: ada.merge(1, head="0" * 40)) == ("head-moved", Exit.NO)
    git(ada.repository.root, "push", "--quiet", "origin", ":one")
    assert code_of(lambda: merge(ada, 1)) == ("no-such-branch", Exit.FILES)
    git(ada.repository.root, "push", "--quiet", "origin", f"{opened.head}:refs/heads/one", f"{opened.head}:main")
    assert code_of(lambda: merge(ada, 1)) == ("nothing-to-merge", Exit.NO)
    ada.close(1)
    assert code_of(lambda: merge(ada, 1)) == ("pull-not-open", Exit.NO)


def test_a_repository_without_a_remote_is_its_own_forge(tmp_path: Path) -> None:
    """Branches, pull requests and merges work the same; the checked-out files follow, a checked-out source stays."""
    repository = lonely(tmp_path / "r")
    forge = forge_of(repository)
    git(repository.root, "switch", "--quiet", "-c", "topic")
    head = commit(repository.root, {"topic.yaml": "1"})
    git(repository.root, "switch", "--quiet", "main")
    opened = forge.open(title="Topic", body="", source="topic").pull
    assert opened.head == head
    forge_of(repository, "bob", LATER).review(1, "approved", head=opened.head)
    merged = merge(forge, 1)
    assert repository.head() == merged.merge
    assert (repository.root / "topic.yaml").exists()
    assert repository.dirty_paths() == ()
    assert repository.find_tip("topic") is None

    told: list[str] = []
    repository.warn = told.append
    git(repository.root, "switch", "--quiet", "-c", "here")
    commit(repository.root, {"here.yaml": "1"})
    forge.open(title="Here", body="", source="here")
    merge(forge, 2)
    assert repository.branch == "here"
    assert told == ["branch 'here' stays: a branch that is checked out cannot be deleted"]


OPEN = """
import sys
from modelops.clock import clock_from
from modelops.forges import Opening
from modelops.forges.embedded import Params, open
from modelops.repository import Repository
forge = open(Params(), Opening(Repository.discover(sys.argv[1]), "main", clock_from(), {}, sys.argv[2]))
unless = (lambda pull: pull.title == "Same") if sys.argv[3] == "same" else None
for source in sys.argv[4:]:
    title = "Same" if unless else source
    print(forge.open(title=title, body="", source=source, unless=unless).pull.number, flush=True)
"""


def worker(folder: Path, login: str, how: str, *sources: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPEN, str(folder), login, how, *sources]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def numbers_of(*workers: subprocess.Popen[str]) -> list[int]:
    return sorted(int(line) for one in workers for line in one.communicate(timeout=PATIENCE)[0].split())


def test_two_machines_opening_at_once_get_different_numbers(world: World, ada: Embedded, bob: Embedded) -> None:
    """Every pull request gets a number of its own and none is lost."""
    sources = [f"s{number}" for number in range(6)]
    for source in sources:
        world.branch(ada.repository, source, {source: "1"})
    first = worker(ada.repository.root, "ada", "each", *sources[:3])
    second = worker(bob.repository.root, "bob", "each", *sources[3:])
    assert numbers_of(first, second) == [1, 2, 3, 4, 5, 6]
    assert sorted(pull.source for pull in ada.find()) == sources


@pytest.mark.parametrize("how", ["same", "each"])
def test_two_machines_asking_for_the_same_at_once_open_one(
    world: World, ada: Embedded, bob: Embedded, how: str
) -> None:
    """From two branches by the caller's word, or from one branch, both are told of one pull request."""
    for source in ("s0", "s1"):
        world.branch(ada.repository, source, {source: "1"})
    first = worker(ada.repository.root, "ada", how, "s0")
    second = worker(bob.repository.root, "bob", how, "s1" if how == "same" else "s0")
    assert numbers_of(first, second) == [1, 1]
    assert len(ada.find(state="all")) == 1


def test_a_killed_process_leaves_whole_pull_requests(world: World, ada: Embedded) -> None:
    """After kill -9 in the middle of opening, what is recorded is complete and the work can go on."""
    sources = [f"s{number}" for number in range(6)]
    for source in sources:
        world.branch(ada.repository, source, {source: "1"})
    process = worker(ada.repository.root, "ada", "each", *sources)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    time.sleep(0.03)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # The git that it had started was not killed and may still be at work; the readers are ours.
    wait_for(lambda: all("cat-file" in line for _, line in processes(world.folder)))
    opened = {pull.source for pull in ada.find()}
    for source in sources:
        if source not in opened:
            ada.open(title=source, body="", source=source)
    assert sorted(pull.source for pull in ada.find()) == sources
    assert [pull.number for pull in ada.find()] == [6, 5, 4, 3, 2, 1]
    git(world.remote, "fsck", "--strict")


def test_a_merge_that_the_remote_refuses_is_not_recorded(world: World, ada: Embedded) -> None:
    """Branch and pull request move in one transaction: a refused branch leaves the pull request open."""
    propose(world, ada)
    hook = world.remote / "hooks/update"
    hook.write_text('#!/bin/sh\n[ "$1" != refs/heads/main ]\n')
    hook.chmod(0o755)
    tip = world.tip()
    assert code_of(lambda: merge(ada, 1)) == ("push-rejected", Exit.WORLD)
    assert (world.tip(), ada.get(1).state) == (tip, "open")


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"number": 1}', b"\xff\xfe"], ids=["cut", "list", "empty", "binary"])
def test_a_damaged_record_is_named_and_never_guessed(world: World, ada: Embedded, data: bytes) -> None:
    """A record that is not a pull request, or another one's, stops every verb and says where it is."""
    propose(world, ada)
    tip = ada.repository.find_ref(REF)
    assert tip is not None
    good = ada.repository.read(tip, "1.json")
    for path, content in (("1.json", data), ("3.json", good), ("notes.txt", good)):
        bad = ada.repository.commit_files(tip, {path: content}, "Damage\n", ADA, NOON)
        git(ada.repository.root, "push", "--quiet", "--force", "origin", f"{bad}:{REF}")
        with pytest.raises(ModelOpsError) as caught:
            ada.find()
        assert caught.value.problems[0].code == "pulls-corrupt"
        assert f"{REF}:{path}" in str(caught.value)


def test_the_record_is_readable_json_with_a_history(world: World, ada: Embedded) -> None:
    """Git alone shows every pull request and how it came to be."""
    opened = propose(world, ada)
    forge_of(ada.repository, "bob").review(1, "approved", head=opened.head)
    stored = json.loads(git(world.remote, "show", f"{REF}:1.json"))
    assert (stored["author"], stored["reviews"][0]["login"]) == ("ada", "bob")
    assert git(world.remote, "log", "--format=%s %an", REF).splitlines() == ["Review #1: approved bob", "Open #1 Ada"]


def test_the_target_branch_is_a_setting(world: World, ada: Embedded) -> None:
    """A project whose branch has another name merges into that one."""
    git(ada.repository.root, "push", "--quiet", "origin", "main:trunk")
    forge = forge_of(ada.repository, params=Params(branch="trunk"))
    opened = propose(world, forge)
    assert opened.target == "trunk"
    forge_of(ada.repository, "bob", params=Params(branch="trunk")).merge(1, head=opened.head)
    assert world.tip("trunk") != world.tip("main")


HERE = Path(__file__).parent / "assets"


def test_pull_requests_of_the_first_version_are_read_for_ever(world: World, ada: Embedded) -> None:
    """Records that know people by login alone: the login is the id, and what was superseded still says by what."""
    files = {path.name: path.read_bytes() for path in sorted((HERE / "pulls-0.1.0").glob("*.json"))}
    stored = ada.repository.commit_files(None, dict(files), "Written by 0.1.0\n", ADA, NOON)
    git(ada.repository.root, "push", "--quiet", "origin", f"{stored}:{REF}")
    assert [(pull.number, pull.state) for pull in ada.find(state="all")] == [
        *((4, "open"), (3, "open"), (2, "closed"), (1, "merged")),
    ]
    merged = ada.get(1)
    assert merged.author == Account("ada", "Ada")
    assert merged.merged_by == Account("grace", "grace")
    assert [(review.by.id, review.state) for review in ada.reviews(1)] == [
        ("grace", "changes-requested"),
        ("grace", "approved"),
    ]
    assert [(one.key, one.by) for one in ada.comments(1)] == [("modelops/build", Account("modelops", "modelops", True))]
    assert ada.comments(2)[-1].body == "Superseded by #3."
    assert ada.find(label="promote:churn:production")[0].author.id == "ada"
    # What is not changed stays as it was written, and what is changed keeps what the first version wrote.
    forge_of(ada.repository, "grace").comment(3, "note", "Still here")
    assert {name: git(world.remote, "show", f"{REF}:{name}") for name in ("1.json", "2.json")} == {
        name: files[name].decode().strip() for name in ("1.json", "2.json")
    }
    assert json.loads(git(world.remote, "show", f"{REF}:3.json"))["labels"] == ["promote:churn:production"]


def test_a_merge_that_was_killed_is_finished_by_whoever_repeats_it(world: World, ada: Embedded, bob: Embedded) -> None:
    """The branch that the kill left is deleted, and the checked-out branch follows; one that went on stays."""
    opened = propose(world, ada)
    merged = merge(bob, 1)
    git(world.remote, "update-ref", "refs/heads/change", opened.head)
    again = forge_of(ada.repository).merge(1, head=opened.head)
    assert again == merged
    assert git(world.remote, "branch", "--list", "change") == ""
    git(ada.repository.root, "switch", "--quiet", "main")
    git(world.remote, "update-ref", "refs/heads/change", world.first)
    assert forge_of(ada.repository).merge(1, head=opened.head) == merged
    assert ada.repository.head() == merged.merge
    assert world.tip("change") == world.first


def test_a_record_without_a_time_is_named(world: World, ada: Embedded) -> None:
    """An instant that is none is a damaged record, and not a crash later on."""
    propose(world, ada)
    tip = ada.repository.find_ref(REF)
    assert tip is not None
    damaged = ada.repository.read(tip, "1.json").replace(b"2026-03-01T12:00:00Z", b"yesterday")
    bad = ada.repository.commit_files(tip, {"1.json": damaged}, "Damage\n", ADA, NOON)
    git(ada.repository.root, "push", "--quiet", "--force", "origin", f"{bad}:{REF}")
    assert code_of(lambda: ada.get(1)) == ("pulls-corrupt", Exit.FILES)
