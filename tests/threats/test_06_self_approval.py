"""Threat 6: whoever made a change, or a part of it, is counted among those who approved it."""

from __future__ import annotations

from pathlib import Path

import pytest

from forges.forge_world import forge_of
from git_world import git
from modelops.errors import ModelOpsError
from threats.proposals import APPROVALS, CODE, POLICY, Stage, verb

ANYBODY = POLICY.replace("[ada, grace]", "[ada, grace, mallory, 'helper[bot]', modelops]")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a world in which mallory and machines are among those whom the policy names."""
    return Stage(tmp_path, {APPROVALS: ANYBODY})


def refused(stage: Stage, number: int, *logins: str) -> str:
    """Let people approve, and return why a pull request is not approved by that."""
    for login in logins:
        stage.approve(number, login)
    verdict = stage.judge(number)
    assert not verdict.ok
    assert not verdict.counted
    return "; ".join(verdict.reasons)


def test_whoever_opened_it_cannot_decide_about_it(stage: Stage) -> None:
    """In whichever case the login is written."""
    stage.branch("feature", {CODE: "x\n"}, "ada")
    pull = stage.open("feature", "mallory")
    for login in ("mallory", "Mallory", "MALLORY"):
        with pytest.raises(ModelOpsError) as caught:
            stage.approve(pull.number, login)
        assert caught.value.first.code == "self-review"


@pytest.mark.parametrize(
    "identity",
    [
        "Mallory <mallory@example.com>",
        "M <MALLORY@elsewhere.example>",
        "M <123456+mallory@users.noreply.example.com>",
    ],
)
def test_whoever_wrote_or_committed_a_part_of_it_does_not_count(stage: Stage, identity: str) -> None:
    """As author, as committer and as co-author, by any address that stands for the login, whoever opened it."""
    name, _, address = identity.removesuffix(">").partition(" <")
    someone = {"name": name, "email": address}
    for number, role in enumerate(("author", "committer", "co-author")):
        git(stage.root, "switch", "--quiet", "--force-create", f"by-{role}", "origin/main")
        (stage.root / CODE).write_text(f"{number}\n")
        message = "Change" + (f"\n\nCo-authored-by: {identity}\n" if role == "co-author" else "")
        settings = [f"{role}.{key}={value}" for key, value in someone.items() if role != "co-author"]
        options = [
            part for setting in ("user.name=Eve", "user.email=eve@example.com", *settings) for part in ("-c", setting)
        ]
        git(stage.root, *options, "commit", "--quiet", "--all", "-m", message)
        pull = stage.open(f"by-{role}", "eve")
        assert "mallory opened, wrote, committed or pushed a part of it" in refused(stage, pull.number, "mallory")


def test_whoever_merged_a_part_of_it_into_the_branch_does_not_count(stage: Stage) -> None:
    """A merge of main into the branch is a commit of whoever made it."""
    stage.branch("feature", {CODE: "x\n"}, "ada")
    pull = stage.open("feature", "ada")
    stage.pushed({"models/other/train.py": "x\n"})
    git(stage.root, "switch", "--quiet", "feature")
    who = ("-c", "user.name=Mallory", "-c", "user.email=mallory@example.com")
    git(stage.root, *who, "merge", "--quiet", "--no-ff", "-m", "Update", "origin/main")
    git(stage.root, "push", "--quiet", "origin", "feature")
    assert "mallory opened, wrote" in refused(stage, pull.number, "mallory")


def test_a_push_that_was_taken_back_is_remembered(stage: Stage) -> None:
    """Commits that a forced push took away were seen, so whoever made them had a hand in it."""
    stage.branch("feature", {CODE: "x\n"}, "ada")
    pull = stage.open("feature", "ada")
    first = git(stage.root, "rev-parse", "HEAD")
    stage.commit({CODE: "y\n"}, "mallory")
    git(stage.root, "push", "--quiet", "origin", "feature")
    # Seen by whoever writes about it meanwhile.
    forge_of(stage.repository, "eve").comment(pull.number, "note", "Seen")
    git(stage.root, "push", "--quiet", "--force", "origin", f"{first}:refs/heads/feature")
    assert "mallory opened, wrote, committed or pushed" in refused(stage, pull.number, "mallory")
    stage.approve(pull.number, "grace")
    assert stage.judge(pull.number).ok


def test_machines_do_not_approve(stage: Stage) -> None:
    """Neither the loop nor a bot counts, though the policy names them."""
    stage.branch("feature", {CODE: "x\n"}, "ada")
    pull = stage.open("feature", "ada")
    said = refused(stage, pull.number, "modelops", "helper[bot]")
    assert "modelops is a machine" in said
    assert "helper[bot] is a machine" in said


def test_an_approval_after_the_merge_is_none(stage: Stage) -> None:
    """What was merged without approvals stays so: nobody approves it afterwards."""
    stage.branch("feature", {CODE: "x\n"}, "eve")
    pull = stage.open("feature", "eve")
    merged = stage.merge(pull.number)
    with pytest.raises(ModelOpsError) as caught:
        stage.approve(pull.number, "grace")
    assert caught.value.first.code == "pull-not-open"
    assert not stage.judge(merged).ok


def test_the_verb_says_who_is_missing(stage: Stage) -> None:
    """Merge refuses, names who could approve, and view says why an approval does not count."""
    stage.branch("feature", {CODE: "x\n"}, "mallory")
    pull = stage.open("feature", "eve")
    stage.approve(pull.number, "mallory")
    answer = verb(stage, "pr", "merge", str(pull.number), "--as", "eve")
    assert (answer.code, "ask ada, grace" in answer.err) == (1, True)
    assert "mallory opened, wrote" in verb(stage, "pr", "view", str(pull.number)).out
