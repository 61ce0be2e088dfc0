"""A repository that people propose changes to: ada and grace review models, barbara the policies, mallory may push."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from forges.forge_world import forge_of
from git_world import NOON, World, git
from modelops.cli import main
from modelops.forges import PullRequest
from modelops.governance.approvals import ApprovalVerdict, judge_whole
from modelops.governance.results import base_of
from modelops.repository import Repository

GATE, CODE, SPEC = "policies/gates/standard.yaml", "models/churn/train.py", "models/churn/model.yaml"
APPROVALS, TRUST = "policies/approvals.yaml", "policies/trust.yaml"
POLICY = """\
apiVersion: modelops/v1
kind: ApprovalPolicy
metadata:
  name: approvals
spec:
  groups:
    reviewers: [ada, grace]
    risk: [barbara]
  rules:
    - change: model
      approvers: [group:reviewers]
    - change: promotion
      approvers: [group:reviewers]
    - change: policy
      approvers: [group:risk]
"""
LINES = "".join(f"line {number}\n" for number in range(20))
FILES = {APPROVALS: POLICY, TRUST: "keys: old\n", GATE: "minimum: 0.85\n", CODE: LINES, SPEC: "words: few\n"}


class Stage:
    """A remote, one clone that everybody acts from, and the forge as each of them."""

    def __init__(self, folder: Path, files: Mapping[str, str] | None = None, *, alone: bool = False) -> None:
        self.world = World(folder, {**({} if alone else FILES), **(files or {})})
        self.repository: Repository = self.world.clone("work")
        self.root = self.repository.root

    def commit(self, files: Mapping[str, str | bytes | None], by: str = "mallory", message: str = "Change") -> str:
        """Commit files on what is checked out, as somebody; None removes one."""
        for path, data in files.items():
            place = self.root / path
            if data is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data if isinstance(data, bytes) else data.encode())
        git(self.root, "add", "--all", "--force", ".")
        git(self.root, *_as(by), "commit", "--quiet", "--allow-empty", "-m", message)
        return git(self.root, "rev-parse", "HEAD")

    def branch(self, name: str, files: Mapping[str, str | bytes | None], by: str = "mallory", start: str = "") -> str:
        """Make a branch off main (or another commit) with one commit."""
        git(self.root, "fetch", "--quiet")
        git(self.root, "switch", "--quiet", "--force-create", name, start or "origin/main")
        return self.commit(files, by)

    def crossing(self, name: str, tree: str, parents: tuple[str, ...], by: str = "mallory") -> str:
        """Make a branch whose tip merges commits into any tree."""
        options = [part for parent in parents for part in ("-p", parent)]
        made = git(self.root, *_as(by), "commit-tree", f"{tree}^{{tree}}", *options, "-m", "Merge")
        git(self.root, "switch", "--quiet", "--force-create", name, made)
        return made

    def open(self, branch: str, by: str = "mallory") -> PullRequest:
        """Push a branch and open its pull request."""
        git(self.root, "push", "--quiet", "--force", "origin", branch)
        self.repository.fetch()
        return forge_of(self.repository, by).open(title=f"Propose {branch}", body="", source=branch).pull

    def get(self, number: int) -> PullRequest:
        """Return a pull request as it is now."""
        return forge_of(self.repository).get(number)

    def approve(self, number: int, *logins: str, when: datetime = NOON) -> None:
        """Approve what a pull request makes now, as some people."""
        for login in logins:
            forge = forge_of(self.repository, login, when)
            forge.review(number, "approved", head=forge.get(number).head)

    def merge(self, number: int, when: datetime = NOON) -> PullRequest:
        """Merge as the forge does it for anybody who may push, whatever was approved."""
        forge = forge_of(self.repository, "mallory", when)
        return forge.merge(number, head=forge.get(number).head)

    def judge(self, pull: PullRequest | int, now: datetime = NOON) -> ApprovalVerdict:
        """Judge a pull request as the verbs and the walk along the branch do."""
        found = self.get(pull) if isinstance(pull, int) else pull
        base = base_of(self.repository, found)
        return judge_whole(self.repository, forge_of(self.repository), found, base, now=now)[1]

    def proposed_and_merged(self, branch: str, files: Mapping[str, str | bytes | None], *logins: str) -> PullRequest:
        """Bring a change to main by a pull request that some people approved."""
        self.branch(branch, files, "ada")
        pull = self.open(branch, "ada")
        self.approve(pull.number, *logins)
        assert self.judge(pull.number).ok
        return self.merge(pull.number)

    def pushed(self, files: Mapping[str, str | bytes | None], by: str = "grace") -> str:
        """Let main move on by a commit of somebody."""
        made = self.branch("moving", files, by)
        git(self.root, "push", "--quiet", "origin", "moving:main")
        self.repository.fetch()
        return made

    def by_hand(self, pull: PullRequest, commit: str) -> PullRequest:
        """Return a pull request as a forge has it that took a commit of somebody's own making for its merge."""
        return replace(pull, state="merged", merge=commit)


def _as(login: str) -> tuple[str, ...]:
    return ("-c", f"user.name={login.title()}", "-c", f"user.email={login}@example.com")


@dataclass(frozen=True)
class Answer:
    """What a verb printed, and how it ended."""

    code: int
    out: str
    err: str


def verb(stage: Stage, *arguments: str) -> Answer:
    """Run modelops in the clone, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("MODELOPS_CLOCK", "2026-03-01T12:00:00Z")
        patch.chdir(stage.root)
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
    return Answer(int(caught.value.code or 0), out.getvalue(), err.getvalue())
