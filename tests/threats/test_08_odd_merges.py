"""Threat 8: pull requests that come to the branch otherwise than as the forge's plain merge of what was approved.

Squashed and rebased ones count if the branch then has what merging the approved head gives. A merge by hand, one that
brings more than was approved, one that hides how a conflict was settled, and one with more parents do not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from git_world import ADA, BOB, NOON, World, commit, git, write
from modelops.clock import format_instant
from modelops.forges.embedded import Embedded
from modelops.governance.judged import Judgement, judgement
from modelops.project.workspace import Workspace
from modelops.repository import Repository

APPROVALS = """apiVersion: modelops/v1
kind: ApprovalPolicy
metadata:
  name: approvals
spec:
  groups:
    reviewers: [ada, bob, grace]
  rules:
    - {change: model, approvers: ["group:reviewers"], minimum: 1}
    - {change: policy, approvers: ["group:reviewers"], minimum: 1}
    - {change: promotion, approvers: ["group:reviewers"], minimum: 1}
"""
FILES = {
    "policies/approvals.yaml": APPROVALS,
    "policies/project.yaml": "apiVersion: modelops/v1\nkind: Project\nmetadata:\n  name: project\nspec: {}\n",
    "models/a/train.py": "one\ntwo\nthree\nfour\nfive\nsix\nseven\n",
    "models/a/model.yaml": "a: 1\n",
    "requirements.lock": "numpy==1\n",
}


class Line:
    """A remote with a policy, and what its people do to the branch; one command of git at a time."""

    def __init__(self, folder: Path, files: dict[str, str] = FILES) -> None:
        self.world = World(folder, files)
        self.repository = self.world.clone("ada")
        self.root = self.repository.root
        self.folder = folder

    def forge(self, login: str = "ada") -> Embedded:
        forge = self.workspace().forge_as(login)
        assert isinstance(forge, Embedded)
        return forge

    def workspace(self) -> Workspace:
        return Workspace(Repository.discover(self.root), {}, lambda: NOON)

    def judged(self) -> Judgement:
        workspace = self.workspace()
        workspace.fetch()
        return judgement(workspace)

    def asked(self, name: str, *steps: dict[str, str], approve: bool = True) -> tuple[int, str]:
        """Open a pull request of ada's with a commit for each step that bob approves; return its number and head."""
        git(self.root, "fetch", "-q")
        git(self.root, "switch", "-q", "-c", name, "origin/main")
        for files in steps:
            commit(self.root, files, f"Change {name}")
        git(self.root, "push", "-q", "origin", name)
        number = self.forge().open(title=name, body="", source=name).pull.number
        head = git(self.root, "rev-parse", "HEAD")
        if approve:
            self.forge("bob").review(number, "approved", head=head)
        git(self.root, "switch", "-q", "-C", "main", "origin/main")
        return number, head

    def merged_as(self, number: int, made: str) -> None:
        """Push what a pull request was merged as, and let the forge say so, as one that squashes or rebases does."""
        git(self.root, "push", "-q", "origin", f"{made}:refs/heads/main")
        said = {"state": "merged", "merge": made, "merged_by": "bob", "merged_at": format_instant(NOON)}
        self.forge("bob")._edit(number, lambda pull: said, "Merge #{number}")

    def codes(self) -> list[str]:
        return [one.code for one in self.judged().open]


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def edit(text: str, old: str, new: str) -> dict[str, str]:
    return {"models/a/train.py": text.replace(old, new)}


TRAIN = FILES["models/a/train.py"]


def test_a_plain_merge_counts_and_the_beginning_is_named(line: Line) -> None:
    """What the forge merges of an approved head is a pull request's; the first commit is the beginning."""
    number, head = line.asked("plain", edit(TRAIN, "one", "1"))
    line.forge("bob").merge(number, head=head)
    found = line.judged()
    assert (found.open, dict(found.commits), found.since) == ((), {"root": 1, "pull": 1}, None)


@pytest.mark.slow
def test_without_approval_it_does_not_count(line: Line) -> None:
    """A merge that nobody approved is a violation, whoever pressed the button."""
    number, head = line.asked("alone", edit(TRAIN, "one", "1"), approve=False)
    line.forge("bob").merge(number, head=head)
    assert line.codes() == ["approval-missing"]


def test_a_squashed_pull_request_counts(line: Line) -> None:
    """Two commits that became one are what was approved, also where the branch had moved meanwhile."""
    number, head = line.asked("squash", edit(TRAIN, "one", "1"), edit(TRAIN.replace("one", "1"), "two", "2"))
    other, its_head = line.asked("other", {"requirements.lock": "numpy==2\n"})
    line.forge("bob").merge(other, head=its_head)
    git(line.root, "pull", "-q", "--ff-only", "origin", "main")
    git(line.root, "merge", "-q", "--squash", head)
    made = commit(line.root, {}, "Squash it")
    line.merged_as(number, made)
    assert line.codes() == []
    assert line.judged().commits["pull"] == 2


def test_a_rebased_pull_request_counts_for_all_its_commits(line: Line) -> None:
    """Each of its commits is on the line then, and together they are what was approved."""
    number, head = line.asked("rebase", edit(TRAIN, "one", "1"), edit(TRAIN.replace("one", "1"), "two", "2"))
    other, its_head = line.asked("other", {"requirements.lock": "numpy==2\n"})
    line.forge("bob").merge(other, head=its_head)
    git(line.root, "fetch", "-q")
    git(line.root, "switch", "-q", "--detach", head)
    git(line.root, "rebase", "-q", "origin/main")
    line.merged_as(number, git(line.root, "rev-parse", "HEAD"))
    assert line.codes() == []
    assert line.judged().commits["pull"] == 3


@pytest.mark.slow
def test_a_squash_with_more_in_it_does_not_count(line: Line) -> None:
    """The forge says merged, and the file that nobody approved is named."""
    number, head = line.asked("squash", edit(TRAIN, "one", "1"))
    git(line.root, "merge", "-q", "--squash", head)
    made = commit(line.root, {"requirements.lock": "evil==1\n"}, "Squash it")
    line.merged_as(number, made)
    (found,) = line.judged().open
    assert (found.code, "requirements.lock" in found.reason) == ("merge-altered", True)


@pytest.mark.slow
def test_a_rebase_with_one_more_commit_does_not_count(line: Line) -> None:
    """Nothing of it counts: without what went before by itself, the rest is another change than was approved."""
    number, head = line.asked("rebase", edit(TRAIN, "one", "1"), edit(TRAIN.replace("one", "1"), "two", "2"))
    git(line.root, "switch", "-q", "--detach", f"{head}~1")
    commit(line.root, {"requirements.lock": "evil==1\n"}, "Slip in")
    git(line.root, "cherry-pick", head)
    line.merged_as(number, git(line.root, "rev-parse", "HEAD"))
    found = line.judged()
    assert [one.code for one in found.open] == ["no-pull-request", "no-pull-request", "approval-missing"]
    assert "the change of models/a/train.py is another now" in found.open[-1].reason
    assert "pull" not in found.commits


def test_an_evil_merge_names_what_it_adds(line: Line) -> None:
    """A merge commit with a file that neither side has is not what was approved."""
    number, head = line.asked("evil", edit(TRAIN, "one", "1"))
    git(line.root, "merge", "-q", "--no-ff", "--no-commit", head)
    made = commit(line.root, {"models/a/extra.py": "evil\n"}, "Merge it")
    line.merged_as(number, made)
    (found,) = line.judged().open
    assert (found.code, "models/a/extra.py" in found.reason) == ("merge-altered", True)


@pytest.mark.slow
def test_a_conflict_that_was_settled_by_hand_is_not_approved(line: Line) -> None:
    """How both sides were brought together was seen by nobody."""
    number, head = line.asked("conflict", edit(TRAIN, "one", "1"))
    other, its_head = line.asked("other", edit(TRAIN, "one", "uno"))
    line.forge("bob").merge(other, head=its_head)
    git(line.root, "pull", "-q", "--ff-only", "origin", "main")
    git(line.root, "merge", "-q", "--no-commit", "-s", "ours", head)
    made = commit(line.root, edit(TRAIN, "one", "evil"), "Settle it")
    line.merged_as(number, made)
    assert line.codes() == ["merge-altered"]


@pytest.mark.slow
def test_a_merge_of_another_head_does_not_count(line: Line) -> None:
    """What was pushed after the approval is merged by hand, and the forge is told that it was this pull request."""
    number, head = line.asked("moved", edit(TRAIN, "one", "1"))
    git(line.root, "switch", "-q", "--detach", head)
    commit(line.root, edit(TRAIN, "one", "evil"), "One more")
    more = git(line.root, "rev-parse", "HEAD")
    git(line.root, "switch", "-q", "main")
    git(line.root, "merge", "-q", "--no-ff", "--no-edit", more)
    line.merged_as(number, git(line.root, "rev-parse", "HEAD"))
    assert line.codes() == ["merge-altered"]


def test_a_merge_by_hand_is_a_direct_push(line: Line) -> None:
    """Without a pull request a merge is as good as any push, though its branch is fine."""
    git(line.root, "switch", "-q", "-c", "side")
    commit(line.root, edit(TRAIN, "one", "1"), "Side")
    git(line.root, "switch", "-q", "main")
    git(line.root, "merge", "-q", "--no-ff", "--no-edit", "side")
    git(line.root, "push", "-q", "origin", "main")
    assert line.codes() == ["no-pull-request"]


@pytest.mark.slow
def test_an_octopus_with_an_approved_arm_does_not_count(line: Line) -> None:
    """Three parents are more than a forge merges, whatever one of them has been approved as."""
    number, head = line.asked("arm", edit(TRAIN, "one", "1"))
    git(line.root, "switch", "-q", "-c", "other", "main")
    other = commit(line.root, {"requirements.lock": "evil==1\n"}, "Another arm")
    git(line.root, "switch", "-q", "main")
    git(line.root, "merge", "-q", "--no-ff", "--no-edit", head, other)
    line.merged_as(number, git(line.root, "rev-parse", "HEAD"))
    assert line.codes() == ["merge-altered"]


def test_what_changes_nothing_is_no_violation(line: Line) -> None:
    """An empty commit, and one that only marks something as merged, leave every file as it was approved."""
    git(line.root, "commit", "-q", "--allow-empty", "-m", "Nothing")
    git(line.root, "switch", "-q", "-c", "side", "HEAD~1")
    commit(line.root, edit(TRAIN, "one", "1"), "Side")
    git(line.root, "switch", "-q", "main")
    git(line.root, "merge", "-q", "--no-ff", "--no-edit", "-s", "ours", "side")
    git(line.root, "push", "-q", "origin", "main")
    found = line.judged()
    assert (found.open, found.commits["idle"]) == ((), 2)


@pytest.mark.slow
def test_modes_links_and_submodules_count_as_changes(line: Line) -> None:
    """A file that becomes executable, a link or another repository was changed, though its bytes are the same."""
    (line.root / "requirements.lock").chmod(0o755)
    commit(line.root, {}, "Executable")
    (line.root / "models/a/model.yaml").unlink()
    (line.root / "models/a/model.yaml").symlink_to("train.py")
    commit(line.root, {}, "Link")
    git(line.root, "update-index", "--add", "--cacheinfo", f"160000,{line.world.first},models/a/sub")
    git(line.root, "commit", "-q", "-m", "Another repository")
    git(line.root, "push", "-q", "origin", "main")
    assert line.codes() == ["no-pull-request"] * 3


@pytest.mark.slow
def test_whoever_made_it_cannot_approve_its_clearing(line: Line) -> None:
    """Bob pushed it, ada asks to take it on: bob's yes does not count, grace's does."""
    git(line.root, "config", "user.name", BOB.name)
    git(line.root, "config", "user.email", BOB.email)
    bad = commit(line.root, {"requirements.lock": "numpy==3\n"}, "Bump")
    git(line.root, "push", "-q", "origin", "main")
    git(line.root, "config", "user.name", ADA.name)
    git(line.root, "config", "user.email", ADA.email)
    for name, who, left in (("first", "bob", 1), ("second", "grace", 0)):
        git(line.root, "fetch", "-q")
        git(line.root, "switch", "-q", "-c", name, "origin/main")
        write(line.root, {f"{name}.md": "words\n"})
        commit(line.root, {}, f"Take it on\n\nClears: {bad[:12]}")
        git(line.root, "push", "-q", "origin", name)
        number = line.forge().open(title=name, body="", source=name).pull.number
        head = git(line.root, "rev-parse", "HEAD")
        line.forge(who).review(number, "approved", head=head)
        line.forge(who).merge(number, head=head)
        assert len(line.judged().open) == left


@pytest.mark.slow
def test_a_short_or_foreign_name_clears_nothing(line: Line) -> None:
    """Fewer than ten characters may mean many commits, and a name in a title or a body is not seen in git."""
    bad = commit(line.root, {"requirements.lock": "numpy==3\n"}, "Bump")
    git(line.root, "push", "-q", "origin", "main")
    git(line.root, "switch", "-q", "-c", "short", "main")
    commit(line.root, {"x.md": "x\n"}, f"Take it on\n\nClears: {bad[:7]}\nIt Clears: {bad}")
    git(line.root, "push", "-q", "origin", "short")
    number = line.forge().open(title=f"Clears: {bad[:12]}", body=f"Clears: {bad}", source="short").pull.number
    head = git(line.root, "rev-parse", "HEAD")
    line.forge("bob").review(number, "approved", head=head)
    line.forge("bob").merge(number, head=head)
    assert [one.commit for one in line.judged().open] == [bad]


def test_a_clearing_that_was_approved_before_the_push_clears_nothing(line: Line) -> None:
    """Whoever reviewed it could not be shown what it clears: the commit was not on the branch then, nor in the head."""
    bad = commit(line.root, {"requirements.lock": "numpy==3\n"}, "Bump")
    git(line.root, "switch", "-q", "-c", "early", "origin/main")
    commit(line.root, {"x.md": "x\n"}, f"Explain\n\nClears: {bad}")
    git(line.root, "push", "-q", "origin", "early")
    number = line.forge().open(title="Explain", body="", source="early").pull.number
    head = git(line.root, "rev-parse", "HEAD")
    line.forge("bob").review(number, "approved", head=head)
    git(line.root, "push", "-q", "origin", f"{bad}:refs/heads/main")
    line.forge("bob").merge(number, head=head)
    assert [one.commit for one in line.judged().open] == [bad]


TIERS = APPROVALS.replace(
    '    - {change: model, approvers: ["group:reviewers"], minimum: 1}\n',
    '    - {change: model, approvers: ["group:reviewers"], minimum: 1, risk: [minimal]}\n'
    '    - {change: model, approvers: ["group:reviewers"], minimum: 2, risk: [limited, high]}\n',
)


def spec_of(risk: str) -> str:
    """Return the spec of the model with a risk tier."""
    columns = "data: {snapshot: s, target: y, features: [{name: x, type: number}]}"
    head = "apiVersion: modelops/v1\nkind: Model\nmetadata:\n  name: a\nspec:\n  description: It is one.\n"
    rest = "task: binary-classification\n  intendedUse: To test.\n  gates: [g]"
    return f"{head}  owner: team\n  risk: {risk}\n  {rest}\n  {columns}\n"


def test_a_tier_that_was_pushed_lower_lets_nothing_in_meanwhile(tmp_path: Path) -> None:
    """The risk that somebody pushed away counts for what is merged until it is back, and for nobody's own commits."""
    line = Line(tmp_path, {**FILES, "policies/approvals.yaml": TIERS, "models/a/model.yaml": spec_of("high")})
    low = commit(line.root, {"models/a/model.yaml": spec_of("minimal")}, "Lower")
    git(line.root, "push", "-q", "origin", "main")
    number, head = line.asked("code", edit(TRAIN, "two", "2"))
    merged = line.forge("bob").merge(number, head=head).merge
    git(line.root, "pull", "-q", "--ff-only", "origin", "main")
    back = commit(line.root, {"models/a/model.yaml": spec_of("high")}, "Back")
    git(line.root, "push", "-q", "origin", "main")
    assert [one.commit for one in line.judged().open] == [low, merged, back]
