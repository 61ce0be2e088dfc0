"""What every forge keeps: each check is a function of a fresh Ground, and fails by AssertionError.

A test of a forge builds a Ground (a remote that the forge serves, with clones of it for two people) and runs all of
them::

    @pytest.mark.parametrize("check", CHECKS)
    def test_my_forge(check, tmp_path):
        check(my_ground(tmp_path))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from modelops.errors import Exit, ModelOpsError
from modelops.forges import Forge, PullRequest, read_block, write_block
from modelops.repository import Repository

__all__ = ["CHECKS", "Ground", "Side"]


@dataclass(frozen=True)
class Side:
    """What one person has: a clone, and the forge opened from it as their account."""

    repository: Repository
    forge: Forge


@dataclass(frozen=True)
class Ground:
    """A repository on the forge, whose branch ``main`` has one commit and nobody protects, and two people's sides.

    ``machine`` is the loop's account, from the first person's clone. ``moment`` is when all of this happens.
    """

    ada: Side
    bob: Side
    machine: Side
    moment: datetime


def _propose(ground: Ground, source: str = "change", text: bytes = b"1\n", side: Side | None = None) -> str:
    """Push a branch with one new file and return its commit."""
    repository = (side or ground.ada).repository
    repository.fetch()
    person = repository.user()
    head = repository.commit_files(
        repository.tip("main"), {f"{source}.txt": text}, f"Propose {source}", person, ground.moment
    )
    repository.push_branch(source, head, expected=repository.find_tip(source))
    return head


def _open(ground: Ground, source: str = "change", labels: tuple[str, ...] = ()) -> PullRequest:
    _propose(ground, source)
    return ground.ada.forge.open(title=f"Add {source}", body="Because.", source=source, labels=labels).pull


def _refused(action: Callable[[], object], code: str, exit: Exit = Exit.NO) -> None:
    """Hold that something is refused with one code and exit code."""
    try:
        action()
    except ModelOpsError as error:
        found = (error.first.code, error.exit)
        assert found == (code, exit), f"refused with {found}, not with {(code, exit)}"
    else:
        raise AssertionError(f"it was done, and not refused with {code}")


def check_people_are_told_apart_by_id(ground: Ground) -> None:
    """Two people have two ids that say the same from every clone and day; the loop's account says what it is."""
    ada, bob = ground.ada.forge.whoami(), ground.bob.forge.whoami()
    assert ada.id
    assert bob.id
    assert ada.id != bob.id
    assert ada == ground.ada.forge.whoami()
    assert not ada.machine
    assert ground.machine.forge.whoami().machine
    assert _open(ground).author == ada
    assert ground.bob.forge.get(1).author.id == ada.id


def check_what_is_opened_is_seen_by_everyone(ground: Ground) -> None:
    """Number, words, branches, head, author and labels are the same from both clones."""
    head = _propose(ground)
    opened = ground.ada.forge.open(title="Add it", body="Because.", source="change", labels=("model",))
    pull = opened.pull
    assert not opened.already
    assert (pull.title, pull.body, pull.source, pull.target) == ("Add it", "Because.", "change", "main")
    assert (pull.head, pull.state, pull.labels, pull.merge, pull.merged_by) == (head, "open", ("model",), None, None)
    assert datetime.fromisoformat(pull.opened_at).tzinfo is not None
    assert ground.bob.forge.get(pull.number) == pull
    assert ground.bob.forge.find() == (pull,)


def check_a_branch_has_one_open_pull_request(ground: Ground) -> None:
    """Opening again, from any clone and in other words, gives the one that is open; after it is closed, a new one."""
    first = _open(ground)
    again = ground.bob.forge.open(title="Other words", body="", source="change")
    assert again.already
    assert again.pull == first
    ground.ada.forge.close(first.number)
    anew = ground.ada.forge.open(title="Anew", body="", source="change")
    assert not anew.already
    assert anew.pull.number > first.number


def check_what_asks_for_the_same_is_not_opened_twice(ground: Ground) -> None:
    """``unless`` decides among the open ones: what it is not true of, or is closed, keeps no other from opening."""
    first = _open(ground, "one")
    _propose(ground, "two", side=ground.bob)

    def same(pull: PullRequest) -> bool:
        return pull.title == "Add one"

    told = ground.bob.forge.open(title="Add two", body="", source="two", unless=same)
    assert told.already
    assert told.pull == first
    ground.ada.forge.close(first.number)
    opened = ground.bob.forge.open(title="Add two", body="", source="two", unless=same)
    assert not opened.already
    assert opened.pull.source == "two"


def check_what_cannot_be_opened(ground: Ground) -> None:
    """A pull request needs a pushed branch, other than its target, with something new."""
    forge = ground.ada.forge
    _refused(lambda: forge.open(title="T", body="", source="main"), "source-is-target", Exit.USAGE)
    _refused(lambda: forge.open(title="T", body="", source="absent"), "no-such-branch", Exit.FILES)
    repository = ground.ada.repository
    repository.push_branch("same", repository.tip("main"))
    _refused(lambda: forge.open(title="T", body="", source="same"), "nothing-to-merge")
    assert forge.find(state="all") == ()


def check_pull_requests_are_found(ground: Ground) -> None:
    """By label, by branch and by state, all of which must hold; the newest first, and no more than asked for."""
    one, two = _open(ground, "one", ("red", "round")), _open(ground, "two", ("red",))
    forge = ground.bob.forge
    assert forge.find(label="red") == (two, one)
    assert forge.find(label="round") == (one,)
    assert forge.find(label="re") == ()
    assert forge.find(source="two") == (two,)
    assert forge.find(source="two", label="round") == ()
    assert forge.find(state="all", limit=1) == (two,)
    assert forge.find(head=one.head) == (one,)
    assert forge.find(head="0" * 40) == ()
    assert forge.queued(one.head) is None
    assert forge.other_targets(one, one.head) == ()
    forge.close(one.number)
    assert forge.find(label="red") == (two,)
    assert [pull.number for pull in forge.find(label="round", state="closed")] == [one.number]
    assert forge.find(state="merged") == ()


def check_the_head_follows_the_branch(ground: Ground) -> None:
    """A push moves the head, and its commits are in the clone of whoever asks."""
    pull = _open(ground)
    head = _propose(ground, text=b"2\n")
    seen = ground.bob.forge.get(pull.number)
    assert seen.head == head != pull.head
    assert ground.bob.repository.read(head, "change.txt") == b"2\n"


def check_reviews_are_of_the_exact_head(ground: Ground) -> None:
    """A review names the commit it saw and its author by id; a head that is not there any more is refused."""
    pull = _open(ground)
    review = ground.bob.forge.review(pull.number, "approved", head=pull.head, body="Good")
    assert (review.by, review.state, review.commit) == (ground.bob.forge.whoami(), "approved", pull.head)
    assert ground.ada.forge.reviews(pull.number) == (review,)
    _propose(ground, text=b"2\n")
    _refused(lambda: ground.bob.forge.review(pull.number, "approved", head=pull.head), "head-moved")
    assert ground.ada.forge.reviews(pull.number) == (review,)


def check_a_decision_said_twice_is_one_decision(ground: Ground) -> None:
    """The same word about the same head adds nothing; another word does, and the first one after that does again."""
    pull = _open(ground)

    def say(state: Literal["approved", "changes-requested"], body: str = "") -> None:
        ground.bob.forge.review(pull.number, state, head=pull.head, body=body)

    say("approved", "Good")
    say("approved", "Good")
    say("approved")
    assert len(ground.ada.forge.reviews(pull.number)) == 1
    say("changes-requested", "Wait")
    say("changes-requested", "Wait")
    say("approved", "Good")
    found = [review.state for review in ground.ada.forge.reviews(pull.number)]
    assert found == ["approved", "changes-requested", "approved"]


def check_nobody_decides_about_their_own(ground: Ground) -> None:
    """The author may comment, but neither approve nor request changes."""
    pull = _open(ground)
    _refused(lambda: ground.ada.forge.review(pull.number, "approved", head=pull.head), "self-review")
    assert ground.ada.forge.review(pull.number, "commented", head=pull.head, body="Note").state == "commented"


def check_comments_are_updated_where_they_stand(ground: Ground) -> None:
    """One's own comment with the same key is replaced in its place; another's with that key is left alone."""
    pull = _open(ground)
    for key, body in (("plan", "first"), ("report", "r"), ("plan", "second"), ("plan", "second")):
        ground.machine.forge.comment(pull.number, key, body)
    ground.bob.forge.comment(pull.number, "plan", "mine")
    machine, bob = ground.machine.forge.whoami(), ground.bob.forge.whoami()
    found = [(one.key, one.body, one.by.id) for one in ground.ada.forge.comments(pull.number)]
    assert found == [("plan", "second", machine.id), ("report", "r", machine.id), ("plan", "mine", bob.id)]


def check_a_check_speaks_of_one_head(ground: Ground) -> None:
    """The last conclusion counts, and a new head has none."""
    pull = _open(ground)
    for conclusion in ("failure", "success", "success"):
        ground.machine.forge.check(pull.number, "gates", conclusion)
    assert [(one.name, one.conclusion) for one in ground.bob.forge.checks(pull.number)] == [("gates", "success")]
    _propose(ground, text=b"2\n")
    assert ground.bob.forge.checks(pull.number) == ()


def check_everyone_who_had_a_hand_in_it_is_known(ground: Ground) -> None:
    """Whoever opened it and whoever wrote what is new; not who wrote what the target has already."""
    pull = _open(ground)
    base = ground.ada.repository.tip("main")
    ada, bob = ground.ada.forge.whoami(), ground.bob.forge.whoami()
    seen = ground.bob.forge.get(pull.number)
    assert {one.id for one in ground.bob.forge.involved(seen, base)} == {ada.id}
    repository = ground.bob.repository
    repository.fetch()
    head = repository.commit_files(pull.head, {"more.txt": b"1\n"}, "More", repository.user(), ground.moment)
    repository.push_branch("change", head, expected=pull.head)
    pull = ground.ada.forge.get(pull.number)
    assert {one.id for one in ground.ada.forge.involved(pull, base)} == {ada.id, bob.id}


def check_the_exact_head_is_merged(ground: Ground) -> None:
    """The merge has the target and the head as parents, says who made it, and the branch is gone."""
    pull = _open(ground)
    base = ground.ada.repository.tip("main")
    newer = _propose(ground, text=b"2\n")
    _refused(lambda: ground.bob.forge.merge(pull.number, head=pull.head), "head-moved")
    merged = ground.bob.forge.merge(pull.number, head=newer)
    assert (merged.state, merged.head, merged.merged_by) == ("merged", newer, ground.bob.forge.whoami())
    repository = ground.ada.repository
    repository.fetch()
    assert repository.tip("main") == merged.merge
    assert merged.merge is not None
    assert repository.commit(merged.merge).parents == (base, newer)
    assert repository.find_tip("change") is None
    assert ground.ada.forge.get(pull.number) == merged


def _move(ground: Ground) -> str:
    """Let the target have another commit, and return it."""
    repository = ground.bob.repository
    repository.fetch()
    tip = repository.tip("main")
    moved = repository.commit_files(tip, {"moved.txt": b"1\n"}, "Move", repository.user(), ground.moment)
    repository.push_branch("main", moved, expected=tip)
    return moved


def check_a_review_says_what_the_target_was(ground: Ground) -> None:
    """It names the commit that the target had then, or none, and keeps it; of a moved target one decides anew."""
    pull = _open(ground)
    base = ground.ada.repository.tip("main")
    given = ground.bob.forge.review(pull.number, "approved", head=pull.head)
    assert given.base in (None, base)
    moved = _move(ground)
    assert ground.ada.forge.reviews(pull.number) == (given,)
    again = ground.bob.forge.review(pull.number, "approved", head=pull.head)
    if given.base is not None:
        assert again.base == moved
        assert ground.ada.forge.reviews(pull.number) == (given, again)


def check_nothing_is_decided_after_the_merge(ground: Ground) -> None:
    """Whoever has not decided before cannot approve what is merged already."""
    pull = _open(ground)
    ground.ada.forge.merge(pull.number, head=pull.head)
    _refused(lambda: ground.bob.forge.review(pull.number, "approved", head=pull.head), "pull-not-open")
    assert ground.ada.forge.reviews(pull.number) == ()


def check_what_was_judged_is_merged(ground: Ground) -> None:
    """A target that moved since is not merged into; what is merged is what merging the two commits makes."""
    pull = _open(ground)
    before = ground.ada.repository.tip("main")
    moved = _move(ground)
    _refused(lambda: ground.ada.forge.merge(pull.number, head=pull.head, base=before), "base-moved")
    assert ground.bob.forge.get(pull.number).state == "open"
    merged = ground.ada.forge.merge(pull.number, head=pull.head, base=moved)
    repository = ground.ada.repository
    repository.fetch()
    assert merged.merge is not None
    expected = repository.merged(moved, pull.head)
    assert repository.tree_id(merged.merge, "") == repository.tree_id(expected, "")


def check_a_merge_said_twice_is_one_merge(ground: Ground) -> None:
    """From any clone the second is told of the first and finishes what it left; another head is refused."""
    pull = _open(ground)
    merged = ground.bob.forge.merge(pull.number, head=pull.head)
    ground.bob.repository.push_branch("change", pull.head)
    assert ground.ada.forge.merge(pull.number, head=pull.head) == merged
    ground.ada.repository.fetch()
    assert ground.ada.repository.tip("main") == merged.merge
    assert ground.ada.repository.find_tip("change") is None
    _refused(lambda: ground.ada.forge.merge(pull.number, head="0" * 40), "head-moved")


def check_what_is_not_open_is_not_changed(ground: Ground) -> None:
    """Closing is final and may be said twice; what is closed is not merged, what is merged is not closed."""
    one, two = _open(ground, "one"), _open(ground, "two")
    forge = ground.bob.forge
    closed = forge.close(one.number)
    assert (closed.state, closed.closed_by) == ("closed", forge.whoami())
    assert ground.ada.forge.close(one.number) == closed
    _refused(lambda: forge.merge(one.number, head=one.head), "pull-not-open")
    _refused(lambda: forge.review(one.number, "approved", head=one.head), "pull-not-open")
    forge.merge(two.number, head=two.head)
    _refused(lambda: forge.close(two.number), "pull-not-open")
    forge.comment(two.number, "after", "still possible")
    _refused(lambda: forge.get(99), "no-such-pull", Exit.USAGE)


def check_what_was_answered_is_known_by_its_digest(ground: Ground) -> None:
    """The answers that a judgement rests on have digests, which are others once somebody has reviewed."""
    pull = _open(ground)
    forge, base = ground.ada.forge, ground.ada.repository.tip("main")

    def answers() -> dict[str, str]:
        forge.reviews(forge.get(pull.number).number)
        forge.involved(pull, base)
        found = forge.heard(pull)
        assert all(one.digest.startswith("sha256:") and len(one.digest) == 71 for one in found)
        return {one.call: one.digest for one in found}

    before = answers()
    assert before
    assert answers() == before
    ground.bob.forge.review(pull.number, "approved", head=pull.head)
    assert answers() != before


def check_the_pull_request_behind_a_commit_is_found(ground: Ground) -> None:
    """Its merge and every commit that it brought lead to it; commits that came in another way to none."""
    before = ground.ada.repository.tip("main")
    pull = _open(ground)
    merged = ground.bob.forge.merge(pull.number, head=pull.head)
    assert merged.merge is not None
    repository = ground.ada.repository
    repository.fetch()
    direct = repository.commit_files(merged.merge, {"x": b"1"}, "Direct", repository.user(), ground.moment)
    repository.push_branch("main", direct, expected=merged.merge)
    assert ground.ada.forge.merged_with(merged.merge) == merged
    assert ground.bob.forge.merged_with(pull.head) == merged
    assert ground.bob.forge.merged_with(direct) is None
    assert ground.bob.forge.merged_with(before) is None


def check_a_body_comes_back_as_it_was(ground: Ground) -> None:
    """Markdown, other alphabets and the block for machines survive the forge."""
    facts = {"kind": "promotion", "model": "a/b", "text": "<!-- --> é 日本"}
    body = write_block("| a | b |\n| --- | --- |\n\n`ünï` 日本 <b> & <!-- modelops: {} -->", facts)
    _propose(ground)
    pull = ground.ada.forge.open(title="é 日本 <b>", body=body, source="change").pull
    seen = ground.bob.forge.get(pull.number)
    assert (seen.title, read_block(seen.body)) == ("é 日本 <b>", facts)
    assert seen.body.split() == body.split()


def check_a_commit_is_put_on_the_branch_once(ground: Ground) -> None:
    """A commit of the loop is on the branch with its files and its message, and a later one on the old tip is not."""
    repository, forge = ground.machine.repository, ground.machine.forge
    tip = repository.tip("main")
    one, other = (
        repository.commit_files(tip, {path: b"1\n"}, f"Put {path}\n", repository.user(), ground.moment)
        for path in ("one", "other")
    )
    there = forge.put(tip, one)
    assert there is not None, "the branch was still at the tip"
    assert forge.inscribes or there == one, "a commit that is not made anew keeps its id"
    assert forge.put(tip, other) is None, "the branch had moved"
    ground.bob.repository.fetch()
    (step,) = ground.bob.repository.steps(ground.bob.repository.tip("main"), tip)
    assert (step.id, step.parents, list(step.changes)) == (there, (tip,), ["one"])
    assert step.subject == "Put one"


CHECKS: tuple[Callable[[Ground], None], ...] = (
    check_people_are_told_apart_by_id,
    check_what_is_opened_is_seen_by_everyone,
    check_a_branch_has_one_open_pull_request,
    check_what_asks_for_the_same_is_not_opened_twice,
    check_what_cannot_be_opened,
    check_pull_requests_are_found,
    check_the_head_follows_the_branch,
    check_reviews_are_of_the_exact_head,
    check_a_decision_said_twice_is_one_decision,
    check_nobody_decides_about_their_own,
    check_comments_are_updated_where_they_stand,
    check_a_check_speaks_of_one_head,
    check_everyone_who_had_a_hand_in_it_is_known,
    check_the_exact_head_is_merged,
    check_a_review_says_what_the_target_was,
    check_nothing_is_decided_after_the_merge,
    check_what_was_answered_is_known_by_its_digest,
    check_what_was_judged_is_merged,
    check_a_merge_said_twice_is_one_merge,
    check_what_is_not_open_is_not_changed,
    check_the_pull_request_behind_a_commit_is_found,
    check_a_body_comes_back_as_it_was,
    check_a_commit_is_put_on_the_branch_once,
)
