"""Threat 10: an approval of one thing is used for another: a later head, a moved base, another policy, another year."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from forges.forge_world import forge_of
from git_world import ADA, NOON, git
from modelops.errors import ModelOpsError
from modelops.forges import Forge, PullRequest, Review
from modelops.governance.approvals import ApprovalVerdict, judge_whole
from modelops.repository import Swap
from threats.proposals import APPROVALS, CODE, GATE, LINES, POLICY, SPEC, Stage, verb

DAY = timedelta(days=1)
NEW = LINES.replace("line 3\n", "seed 9\n")


def approved(stage: Stage, files: dict[str, str | bytes | None] | None = None, by: str = "ada") -> PullRequest:
    """Open a pull request for a model and have it approved."""
    stage.branch("feature", files or {CODE: NEW})
    pull = stage.open("feature")
    stage.approve(pull.number, by)
    assert stage.judge(pull.number).ok
    return pull


def said(verdict: ApprovalVerdict) -> str:
    """Return the reasons of a refusal."""
    assert not verdict.ok
    return "; ".join(verdict.reasons)


def test_an_approval_is_of_one_head(tmp_path: Path) -> None:
    """One more commit needs another look."""
    stage = Stage(tmp_path)
    pull = approved(stage)
    stage.commit({CODE: NEW + "more\n"})
    git(stage.root, "push", "--quiet", "origin", "feature")
    assert "but the head is" in said(stage.judge(pull.number))


def test_other_merges_take_no_approval_back(tmp_path: Path) -> None:
    """While the same change is made to the same files, main may move on as it likes."""
    stage = Stage(tmp_path)
    pull = approved(stage)
    stage.pushed({SPEC: "words: more\n", GATE: "minimum: 0.95\n", "models/other/train.py": "x\n"})
    assert stage.judge(pull.number).ok
    shown = verb(stage, "pr", "view", str(pull.number)).out
    assert "main has moved on since it was branched off; the result has both" in shown
    assert verb(stage, "pr", "merge", str(pull.number), "--as", "mallory").code == 0
    assert stage.judge(pull.number).ok


def test_another_change_of_the_same_file_asks_for_another_look(tmp_path: Path) -> None:
    """Main changed lines of a file that was approved: the file will be another one, and whoever looks again says so."""
    stage = Stage(tmp_path)
    pull = approved(stage)
    stage.pushed({CODE: LINES.replace("line 15\n", "fifteen\n")})
    assert f"the change of {CODE} is another now" in said(stage.judge(pull.number))
    refused = verb(stage, "pr", "merge", str(pull.number), "--as", "mallory")
    assert (refused.code, "ada has to look again" in refused.err) == (1, True)
    # The same word of the same head is another decision now.
    assert "already" not in verb(stage, "pr", "review", str(pull.number), "--approve", "--as", "ada").out
    assert "already" in verb(stage, "pr", "review", str(pull.number), "--approve", "--as", "ada").out
    assert verb(stage, "pr", "merge", str(pull.number), "--as", "mallory").code == 0
    assert stage.judge(pull.number).ok


def test_a_change_that_became_a_step_back_asks_for_another_look(tmp_path: Path) -> None:
    """A head that holds and undoes an open pull request undoes a merged one once that is in."""
    stage = Stage(tmp_path)
    stage.branch("policy", {GATE: "minimum: 0.95\n"}, "ada")
    policy = stage.open("policy", "ada")
    stage.branch("feature", {CODE: NEW}, start="policy")
    stage.commit({GATE: "minimum: 0.85\n"})
    pull = stage.open("feature")
    stage.approve(pull.number, "grace")
    before = stage.judge(pull.number)
    assert before.result is not None
    assert (before.ok, before.result.paths) == (True, (CODE,))
    stage.approve(policy.number, "barbara")
    stage.merge(policy.number)
    after = stage.judge(pull.number)
    assert after.result is not None
    assert after.result.paths == (CODE, GATE)
    assert f"the change of {GATE} is another now" in said(after)


def test_a_result_that_is_the_same_from_another_base_is_another_change(tmp_path: Path) -> None:
    """Raising a limit from 0.85 to 0.90 was approved; lowering it from 0.95 to 0.90 was not."""
    stage = Stage(tmp_path)
    stage.branch("higher", {GATE: "minimum: 0.95\n"}, "ada")
    git(stage.root, "push", "--quiet", "origin", "higher")
    stage.branch("feature", {GATE: "minimum: 0.90\n"}, start="higher")
    pull = stage.open("feature")
    stage.approve(pull.number, "barbara")
    assert stage.judge(pull.number).ok
    git(stage.root, "push", "--quiet", "origin", "higher:main")
    assert f"the change of {GATE} is another now" in said(stage.judge(pull.number))


def test_another_policy_of_approvals_asks_for_another_look(tmp_path: Path) -> None:
    """Who may approve changed after the approval: its reason names both digests, before the merge and after it."""
    stage = Stage(tmp_path)
    pull = approved(stage)
    stage.pushed({APPROVALS: POLICY.replace("[ada, grace]", "[ada, grace, eve]")})
    assert f"{APPROVALS} has changed since" in said(stage.judge(pull.number))
    merged = stage.merge(pull.number)
    assert f"{APPROVALS} has changed since" in said(stage.judge(merged))


def test_an_approval_of_a_conflict_is_of_nothing(tmp_path: Path) -> None:
    """What could not be merged when it was approved was not looked at as it is now."""
    stage = Stage(tmp_path)
    stage.pushed({CODE: LINES.replace("line 3\n", "three\n")})
    stage.branch("feature", {CODE: NEW}, start=stage.world.first)
    pull = stage.open("feature")
    stage.approve(pull.number, "ada")
    assert "cannot be merged" in said(stage.judge(pull.number))
    stage.pushed({CODE: LINES})
    assert "could not be merged into" in said(stage.judge(pull.number))


EXPIRING = POLICY.replace("  groups:", "  expiresDays: 30\n  groups:")


def test_an_approval_expires_as_the_policy_says(tmp_path: Path) -> None:
    """It counts so many days, is told until when, and what was merged in time was merged rightly for ever."""
    stage = Stage(tmp_path, {APPROVALS: EXPIRING})
    pull = approved(stage)
    assert "that of ada counts until 2026-03-31T12:00:00Z" in verb(stage, "pr", "view", str(pull.number)).out
    assert stage.judge(pull.number, NOON + 30 * DAY - timedelta(seconds=1)).ok
    late = said(stage.judge(pull.number, NOON + 30 * DAY))
    assert "the approval of ada expired on 2026-03-31T12:00:00Z; it counted 30 days" in late
    merged = stage.merge(pull.number, NOON + 29 * DAY)
    assert stage.judge(merged, NOON + 900 * DAY).ok


def test_a_merge_after_the_end_of_an_approval_is_judged_so(tmp_path: Path) -> None:
    """Merging past the verb, as whoever may push can, gives an approval no longer life."""
    stage = Stage(tmp_path, {APPROVALS: EXPIRING})
    pull = approved(stage)
    assert "expired on" in said(stage.judge(stage.merge(pull.number, NOON + 31 * DAY)))


def test_a_rule_may_say_another_time_than_the_policy(tmp_path: Path) -> None:
    """The rule's own days count, shorter or longer, for its change alone."""
    rule = "    - change: model\n      approvers: [group:reviewers]\n"
    assert rule in EXPIRING
    stage = Stage(tmp_path, {APPROVALS: EXPIRING.replace(rule, f"{rule}      expiresDays: 2\n")})
    pull = approved(stage, {CODE: NEW}, "grace")
    assert stage.judge(pull.number, NOON + DAY).ok
    assert "it counted 2 days" in said(stage.judge(pull.number, NOON + 2 * DAY))


class Speaking:
    """A forge that says of its reviews what a test wants it to."""

    def __init__(self, forge: Forge, **said: object) -> None:
        self.forge, self.said = forge, said

    def __getattr__(self, name: str) -> object:
        return getattr(self.forge, name)

    def reviews(self, number: int) -> tuple[Review, ...]:
        return tuple(replace(one, **self.said) for one in self.forge.reviews(number))  # type: ignore[arg-type]


def judged(stage: Stage, number: int, **said: object) -> ApprovalVerdict:
    """Judge an open pull request by a forge that says something else of its reviews."""
    forge: Forge = Speaking(forge_of(stage.repository), **said)  # type: ignore[assignment]
    base = stage.repository.tip("main")
    return judge_whole(stage.repository, forge, stage.get(number), base, now=NOON)[1]


@pytest.mark.parametrize("date", ["", "yesterday", "9999-12-31T23:59:59Z", "2026-04-01T00:00:00Z"])
def test_a_date_that_cannot_be_gives_no_longer_life(tmp_path: Path, date: str) -> None:
    """Where approvals expire, one without a date, or from the future, does not count."""
    stage = Stage(tmp_path, {APPROVALS: EXPIRING})
    pull = approved(stage)
    assert not judged(stage, pull.number, submitted_at=date).ok
    assert judged(stage, pull.number, submitted_at="2026-03-01T12:30:00Z").ok


def test_a_forge_that_does_not_keep_the_base_is_taken_at_what_it_shows(tmp_path: Path) -> None:
    """There an approval is of what the branch changed since it left main; other merges leave it, the same file not."""
    stage = Stage(tmp_path)
    pull = approved(stage)
    assert judged(stage, pull.number, base=None).ok
    stage.pushed({SPEC: "words: more\n"})
    assert judged(stage, pull.number, base=None).ok
    assert not judged(stage, pull.number, base="0" * 40).ok
    stage.pushed({CODE: LINES.replace("line 15\n", "fifteen\n")})
    assert "is another now" in said(judged(stage, pull.number, base=None))


def test_what_was_judged_is_what_is_merged(tmp_path: Path) -> None:
    """Whoever merges into a main that has moved on meanwhile is told so, and the verb judges anew."""
    stage = Stage(tmp_path)
    pull = approved(stage)
    base = stage.repository.tip("main")
    stage.pushed({CODE: LINES.replace("line 15\n", "fifteen\n")})
    with pytest.raises(ModelOpsError) as caught:
        forge_of(stage.repository, "mallory").merge(pull.number, head=pull.head, base=base)
    assert caught.value.first.code == "base-moved"
    assert stage.get(pull.number).state == "open"


def test_a_reviewer_may_name_the_result_that_was_seen(tmp_path: Path) -> None:
    """Between a look and a word main may move: with the tree that was looked at, the word is not of another."""
    stage = Stage(tmp_path)
    stage.branch("feature", {CODE: NEW})
    pull = stage.open("feature")
    verdict = stage.judge(pull.number)
    assert verdict.result is not None
    assert verdict.result.tree is not None
    words = ("pr", "review", str(pull.number), "--approve", "--as", "ada", "--match-result", verdict.result.tree[:12])
    stage.pushed({CODE: LINES.replace("line 15\n", "fifteen\n")})
    refused = verb(stage, *words)
    assert (refused.code, "[result-moved]" in refused.err) == (1, True)
    assert not stage.judge(pull.number).counted


def test_a_review_of_0_1_0_counts_for_what_was_merged(tmp_path: Path) -> None:
    """Its forge did not keep what the target had: what was merged with it stays approved."""
    stage = Stage(tmp_path)
    pull = approved(stage)
    stage.pushed({CODE: LINES.replace("line 15\n", "fifteen\n")})
    merged = stage.merge(pull.number)
    assert "is another now" in said(stage.judge(merged))
    ref = "refs/modelops/pulls"
    text = git(stage.world.remote, "show", f"{ref}:{pull.number}.json")
    old = "\n".join(line for line in text.splitlines() if '   "base":' not in line)
    assert old != text
    repository = stage.repository
    repository.fetch()
    tip = repository.find_ref(ref)
    commit = repository.commit_files(tip, {f"{pull.number}.json": old.encode()}, "Old", ADA, NOON)
    assert repository.swap(Swap(ref, tip, commit))
    assert stage.judge(stage.get(pull.number)).ok
