"""The embedded forge: pull requests in git, by compare-and-swap."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from git_world import ADA, BOB, NOON, World, commit, git, lonely
from modelops import plugins
from modelops.errors import Exit, ModelOpsError
from modelops.forges import PullRequest
from modelops.forges.embedded import REF, Embedded
from modelops.repository import Person, Repository

LATER = NOON + timedelta(hours=1)


def forge_of(repository: Repository) -> Embedded:
    module = plugins.load("forges", "embedded")
    opened = module.open(module.Params(), repository)
    assert isinstance(opened, Embedded)
    return opened


@pytest.fixture
def ada(world: World) -> Embedded:
    return forge_of(world.clone("ada"))


@pytest.fixture
def bob(world: World, ada: Embedded) -> Embedded:
    return forge_of(world.clone("bob", BOB))


def propose(world: World, forge: Embedded, source: str = "change", path: str = "new.yaml") -> PullRequest:
    world.branch(forge.repository, source, {path: f"{source}\n"})
    return forge.open(title=f"Add {path}", body="Because.", source=source, as_="ada", now=NOON, labels=["model"])


def code_of(action: Callable[[], object]) -> tuple[str, Exit]:
    with pytest.raises(ModelOpsError) as caught:
        action()
    return caught.value.problems[0].code, caught.value.exit


def test_opening_says_what_is_proposed_by_whom(world: World, ada: Embedded, bob: Embedded) -> None:
    """What one clone opens the other one sees, with head, base and pushers from git."""
    base = world.tip()
    opened = propose(world, ada)
    assert opened == PullRequest(
        number=1,
        title="Add new.yaml",
        body="Because.",
        author="ada",
        source="change",
        target="main",
        head=world.tip("change"),
        base=base,
        state="open",
        pushers=("ada",),
        labels=("model",),
    )
    assert bob.get(1) == opened
    assert bob.list() == (opened,)
    assert bob.list("merged") == ()


@pytest.mark.parametrize(
    ("source", "title", "expected"),
    [
        ("main", "T", ("source-is-target", Exit.USAGE)),
        ("absent", "T", ("no-such-branch", Exit.FILES)),
        ("--upload-pack=x", "T", ("bad-ref", Exit.USAGE)),
        ("same", "T", ("nothing-to-merge", Exit.NO)),
        ("change", "T", ("pull-exists", Exit.USAGE)),
        ("other", "two\nlines", ("bad-title", Exit.USAGE)),
        ("other", " ", ("bad-title", Exit.USAGE)),
    ],
)
def test_what_cannot_be_opened(
    world: World, ada: Embedded, source: str, title: str, expected: tuple[str, Exit]
) -> None:
    """A pull request needs a pushed branch with something new and a title; one branch has one at a time."""
    git(ada.repository.root, "push", "--quiet", "origin", "main:same")
    propose(world, ada)
    assert code_of(lambda: ada.open(title=title, body="", source=source, as_="ada", now=NOON)) == expected
    assert len(ada.list("all")) == 1


@pytest.mark.parametrize("login", ["", "-x", "a b", "a\nb", "ada@example.com", "x" * 80])
def test_a_login_is_a_plain_word(ada: Embedded, login: str) -> None:
    """Who one declares to be cannot carry other text into git."""
    assert code_of(lambda: ada.comment(1, "k", "b", as_=login, now=NOON)) == ("bad-login", Exit.USAGE)


def test_the_head_is_the_tip_of_the_branch_and_everyone_who_pushed_is_remembered(world: World, ada: Embedded) -> None:
    """New commits move the head; whoever wrote, committed or paired is a pusher, even after a forced push."""
    opened = propose(world, ada)
    folder = ada.repository.root
    git(folder, "-c", "user.name=Eve", "-c", "user.email=eve@example.com", "commit", "--allow-empty", "-qm",
        "Eve's\n\nCo-authored-by: Mal <mal@example.com>")  # fmt: skip
    git(folder, "push", "--quiet", "origin", "change")
    live = ada.get(1)
    assert live.head == world.tip("change") != opened.head
    assert live.pushers == ("ada", "eve", "mal")
    assert [pull.number for pull in ada.sync()] == [1]
    git(folder, "push", "--quiet", "--force", "origin", f"{opened.head}:refs/heads/change")
    assert ada.get(1).head == opened.head
    assert ada.get(1).pushers == ("ada", "eve", "mal")


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
    assert live.pushers == ("ada",)
    assert live.base == world.tip()


def test_reviews_are_bound_to_the_head_they_saw(world: World, ada: Embedded, bob: Embedded) -> None:
    """A review names the exact commit; a head that moved since it was looked at is not reviewed unseen."""
    opened = propose(world, ada)
    reviewed = bob.review(1, "approved", as_="bob", now=LATER, body="Good")
    (review,) = reviewed.reviews
    assert (review.login, review.state, review.commit, review.body) == ("bob", "approved", opened.head, "Good")
    assert review.submitted_at == "2026-03-01T13:00:00Z"
    commit(ada.repository.root, {"more": "1"})
    git(ada.repository.root, "push", "--quiet", "origin", "change")
    assert bob.get(1).reviews[0].commit == opened.head != bob.get(1).head
    moved = code_of(lambda: bob.review(1, "approved", as_="bob", now=LATER, head=opened.head))
    assert moved == ("head-moved", Exit.NO)
    assert len(bob.review(1, "changes-requested", as_="bob", now=LATER, body="Hm").reviews) == 2


def test_nobody_reviews_their_own(world: World, ada: Embedded) -> None:
    """The author may comment but neither approve nor request changes; unknown words are no reviews."""
    propose(world, ada)
    assert code_of(lambda: ada.review(1, "approved", as_="Ada", now=LATER)) == ("self-review", Exit.NO)
    assert code_of(lambda: ada.review(1, "lgtm", as_="bob", now=LATER)) == ("bad-review", Exit.USAGE)
    assert ada.review(1, "commented", as_="ada", now=LATER, body="Note").reviews[0].state == "commented"


def test_a_comment_is_replaced_where_it_stands_by_its_key(world: World, ada: Embedded) -> None:
    """The same key updates in place, another adds, and saying the same again changes nothing in git."""
    propose(world, ada)
    for key, body in (("plan", "first"), ("report", "r"), ("plan", "second")):
        ada.comment(1, key, body, as_="modelops", now=LATER)
    assert [(one.key, one.body) for one in ada.get(1).comments] == [("plan", "second"), ("report", "r")]
    before = git(world.remote, "rev-parse", REF)
    ada.comment(1, "plan", "second", as_="modelops", now=LATER + timedelta(days=1))
    assert git(world.remote, "rev-parse", REF) == before


def test_a_check_says_something_about_one_head_only(world: World, ada: Embedded) -> None:
    """A new head has no checks until they are set again."""
    propose(world, ada)
    ada.check(1, "gates", "failure")
    ada.check(1, "gates", "success")
    assert ada.get(1).checks == (("gates", "success"),)
    commit(ada.repository.root, {"more": "1"})
    git(ada.repository.root, "push", "--quiet", "origin", "change")
    assert ada.get(1).checks == ()


def test_merging_makes_a_merge_commit_and_deletes_the_branch(world: World, ada: Embedded, bob: Embedded) -> None:
    """The merge has target and head as parents, names the pull request, and is by who merged."""
    opened = propose(world, ada)
    base = world.tip()
    merged = bob.merge(1, as_="bob", now=LATER)
    assert (merged.state, merged.merged_by, merged.head, merged.base) == ("merged", "bob", opened.head, base)
    assert merged.merge == world.tip() == bob.repository.tip("main") == bob.repository.head()
    info = bob.repository.commit("HEAD")
    assert info.parents == (base, opened.head)
    assert (info.author, info.committer, info.time) == (BOB, BOB, LATER)
    message = git(world.remote, "log", "-1", "--format=%B", "main")
    assert message == "Merge pull request #1 from change\n\nAdd new.yaml"
    assert git(world.remote, "branch", "--list", "change") == ""
    assert ada.get(1) == merged
    assert ada.list() == ()
    assert (bob.repository.root / "new.yaml").exists()


def test_a_stale_base_is_merged_with_what_the_target_has_now(world: World, ada: Embedded, bob: Embedded) -> None:
    """Two pull requests on different files merge one after the other without a rebase."""
    propose(world, ada, "one", "one.yaml")
    propose(world, ada, "two", "two.yaml")
    ada.merge(2, as_="bob", now=LATER)
    ada.merge(1, as_="cy", now=LATER)
    assert {"one.yaml", "two.yaml"} <= set(ada.repository.paths(world.tip()))
    assert ada.repository.commit(world.tip()).author == Person("cy", "cy@modelops.invalid")


def test_a_conflict_is_refused_and_nothing_moves(world: World, ada: Embedded) -> None:
    """Both sides changed one file: the file is named, the pull request stays open."""
    propose(world, ada, "one", "same.yaml")
    propose(world, ada, "two", "same.yaml")
    ada.merge(1, as_="bob", now=LATER)
    tip = world.tip()
    with pytest.raises(ModelOpsError, match=r"same\.yaml") as caught:
        ada.merge(2, as_="bob", now=LATER)
    assert caught.value.problems[0].code == "merge-conflict"
    assert world.tip() == tip
    assert ada.get(2).state == "open"


def test_what_cannot_be_merged(world: World, ada: Embedded) -> None:
    """Closed, merged, unknown, empty, moved or branchless pull requests are refused by name."""
    opened = propose(world, ada, "one", "one.yaml")
    assert code_of(lambda: ada.merge(7, as_="bob", now=LATER)) == ("no-such-pull", Exit.USAGE)
    assert code_of(lambda: ada.merge(1, as_="bob", now=LATER, head="0" * 40)) == ("head-moved", Exit.NO)
    git(ada.repository.root, "push", "--quiet", "origin", ":one")
    assert code_of(lambda: ada.merge(1, as_="bob", now=LATER)) == ("no-such-branch", Exit.FILES)
    git(ada.repository.root, "push", "--quiet", "origin", f"{opened.head}:refs/heads/one", f"{opened.head}:main")
    assert code_of(lambda: ada.merge(1, as_="bob", now=LATER)) == ("nothing-to-merge", Exit.NO)
    ada.close(1)
    assert code_of(lambda: ada.merge(1, as_="bob", now=LATER)) == ("pull-not-open", Exit.NO)
    assert code_of(lambda: ada.review(1, "approved", as_="bob", now=LATER)) == ("pull-not-open", Exit.NO)


def test_closing_names_the_successor_and_is_final(world: World, ada: Embedded) -> None:
    """A superseded pull request points to the newer one; closing again is nothing; a merged one cannot be closed."""
    propose(world, ada, "one", "one.yaml")
    propose(world, ada, "two", "two.yaml")
    closed = ada.close(1, superseded_by=2)
    assert (closed.state, closed.superseded_by) == ("closed", 2)
    assert ada.close(1) == closed
    reopened = ada.open(title="Again", body="", source="one", as_="ada", now=LATER)
    assert reopened.number == 3
    ada.merge(2, as_="bob", now=LATER)
    assert code_of(lambda: ada.close(2)) == ("pull-not-open", Exit.NO)
    assert [pull.state for pull in ada.list("all")] == ["closed", "merged", "open"]
    ada.comment(2, "after", "still possible", as_="bob", now=LATER)


def test_the_pull_request_behind_a_commit_is_found(world: World, ada: Embedded, bob: Embedded) -> None:
    """Its merge and every commit that it brought lead to it; direct commits and strangers to none."""
    before = world.tip()
    opened = propose(world, ada)
    merged = ada.merge(1, as_="bob", now=LATER)
    git(ada.repository.root, "switch", "--quiet", "main")
    git(ada.repository.root, "merge", "--quiet", "--ff-only", "origin/main")
    direct = commit(ada.repository.root, {"direct": "1"})
    git(ada.repository.root, "push", "--quiet", "origin", "main")
    assert merged.merge is not None
    assert bob.merged_with(merged.merge) == merged
    assert bob.merged_with(opened.head) == merged
    assert bob.merged_with(direct) is None
    assert bob.merged_with(before) is None
    stranger = bob.repository.commit_files(None, {"x": b"1"}, "Stranger\n", BOB, NOON)
    assert bob.merged_with(stranger) is None


def test_a_repository_without_a_remote_is_its_own_forge(tmp_path: Path) -> None:
    """Branches, pull requests and merges work the same; the checked-out files follow, a checked-out source stays."""
    repository = lonely(tmp_path / "r")
    forge = forge_of(repository)
    git(repository.root, "switch", "--quiet", "-c", "topic")
    head = commit(repository.root, {"topic.yaml": "1"})
    git(repository.root, "switch", "--quiet", "main")
    opened = forge.open(title="Topic", body="", source="topic", as_="ada", now=NOON)
    assert opened.head == head
    forge.review(1, "approved", as_="bob", now=LATER)
    merged = forge.merge(1, as_="bob", now=LATER)
    assert repository.head() == merged.merge
    assert (repository.root / "topic.yaml").exists()
    assert repository.dirty_paths() == ()
    assert repository.find_tip("topic") is None

    told: list[str] = []
    repository.warn = told.append
    git(repository.root, "switch", "--quiet", "-c", "here")
    commit(repository.root, {"here.yaml": "1"})
    forge.open(title="Here", body="", source="here", as_="ada", now=NOON)
    forge.merge(2, as_="bob", now=LATER)
    assert repository.branch == "here"
    assert told == ["branch 'here' stays: a branch that is checked out cannot be deleted"]


OPEN = """
import sys
from datetime import UTC, datetime
from modelops.forges.embedded import Params, open
from modelops.repository import Repository
forge = open(Params(), Repository.discover(sys.argv[1]))
for source in sys.argv[3:]:
    print(forge.open(title=source, body="", source=source, as_=sys.argv[2], now=datetime.now(UTC)).number, flush=True)
"""


def worker(folder: Path, login: str, *sources: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPEN, str(folder), login, *sources]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_machines_opening_at_once_get_different_numbers(world: World, ada: Embedded, bob: Embedded) -> None:
    """Every pull request gets a number of its own and none is lost."""
    sources = [f"s{number}" for number in range(6)]
    for source in sources:
        world.branch(ada.repository, source, {source: "1"})
    workers = [worker(ada.repository.root, "ada", *sources[:3]), worker(bob.repository.root, "bob", *sources[3:])]
    numbers = [int(line) for one in workers for line in one.communicate(timeout=60)[0].split()]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    assert sorted(pull.source for pull in ada.list()) == sources


def test_a_killed_process_leaves_whole_pull_requests(world: World, ada: Embedded) -> None:
    """After kill -9 in the middle of opening, what is recorded is complete and the work can go on."""
    sources = [f"s{number}" for number in range(6)]
    for source in sources:
        world.branch(ada.repository, source, {source: "1"})
    process = worker(ada.repository.root, "ada", *sources)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    time.sleep(0.03)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    opened = {pull.source for pull in ada.list()}
    for source in sources:
        if source not in opened:
            ada.open(title=source, body="", source=source, as_="ada", now=NOON)
    assert sorted(pull.source for pull in ada.list()) == sources
    assert [pull.number for pull in ada.list()] == [1, 2, 3, 4, 5, 6]
    git(world.remote, "fsck", "--strict")


def test_a_merge_that_the_remote_refuses_is_not_recorded(world: World, ada: Embedded) -> None:
    """Branch and pull request move in one transaction: a refused branch leaves the pull request open."""
    propose(world, ada)
    hook = world.remote / "hooks/update"
    hook.write_text('#!/bin/sh\n[ "$1" != refs/heads/main ]\n')
    hook.chmod(0o755)
    tip = world.tip()
    assert code_of(lambda: ada.merge(1, as_="bob", now=LATER)) == ("push-rejected", Exit.WORLD)
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
            ada.list()
        assert caught.value.problems[0].code == "pulls-corrupt"
        assert f"{REF}:{path}" in str(caught.value)


def test_the_record_is_readable_json_with_a_history(world: World, ada: Embedded) -> None:
    """Git alone shows every pull request and how it came to be."""
    propose(world, ada)
    ada.review(1, "approved", as_="bob", now=LATER)
    stored = json.loads(git(world.remote, "show", f"{REF}:1.json"))
    assert (stored["author"], stored["reviews"][0]["login"]) == ("ada", "bob")
    assert git(world.remote, "log", "--format=%s %an", REF).splitlines() == ["Review #1: approved bob", "Open #1 Ada"]


def test_the_target_branch_is_a_setting(world: World, ada: Embedded) -> None:
    """A project whose branch has another name merges into that one."""
    git(ada.repository.root, "push", "--quiet", "origin", "main:trunk")
    module = plugins.load("forges", "embedded")
    forge = module.open(module.Params(branch="trunk"), ada.repository)
    opened = propose(world, forge)
    assert replace(opened, head="").target == "trunk"
    forge.merge(1, as_="bob", now=LATER)
    assert world.tip("trunk") != world.tip("main")
