"""Opening the pull requests that verbs and the loop ask with: one for one thing, however often it is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from modelops.errors import ModelOpsError
from modelops.forges import Check, Comment, Forge, Opened, PullRequest, Review
from modelops.governance.approvals import ApprovalVerdict, judge_whole
from modelops.governance.asks import Ask, asks_for, overtaken
from modelops.governance.results import Result, base_of, policy_digest, result_of
from modelops.project.workspace import Workspace
from modelops.repository import Repository

__all__ = ["Discussion", "Look", "discussion", "look", "open_pull", "same_change", "void"]


@dataclass(frozen=True)
class Discussion:
    """A pull request with everything that the forge knows beside it."""

    pull: PullRequest
    checks: tuple[Check, ...]
    reviews: tuple[Review, ...]
    comments: tuple[Comment, ...]


def discussion(forge: Forge, pull: PullRequest) -> Discussion:
    """Return a pull request with its checks, reviews and comments."""
    number = pull.number
    return Discussion(pull, tuple(forge.checks(number)), tuple(forge.reviews(number)), tuple(forge.comments(number)))


@dataclass(frozen=True)
class Look:
    """What a reviewer looks at and says yes to: the result, what each rule says of it, and whether the base moved on.

    ``verdict`` is None for one that was closed; ``policy`` is the digest of what judges it.
    """

    result: Result
    verdict: ApprovalVerdict | None
    policy: str | None
    moved: bool


def look(repository: Repository, forge: Forge, pull: PullRequest, now: datetime, policies: str | None = None) -> Look:
    """Look at a pull request as it is judged; ``policies`` as for that."""
    base = base_of(repository, pull)
    moved = pull.state == "open" and not repository.is_ancestor(base, pull.head)
    if pull.state == "closed":
        return Look(result_of(repository, pull, base), None, policy_digest(repository, base), moved)
    _, verdict = judge_whole(repository, forge, pull, base, policies, now=now)
    result = verdict.result or result_of(repository, pull, base)
    return Look(result, verdict, policy_digest(repository, base), moved)


def void(shown: Look, given: Review) -> str | None:
    """Say why an approval counts for nothing, None where it counts for some rule, or is none."""
    verdict = shown.verdict
    if given.state != "approved" or verdict is None:
        return None
    login = given.by.login.lower()
    if any(one.login.lower() == login for one in verdict.counted):
        return None
    if shown.result.trouble is not None or not verdict.rules:
        return "; ".join(verdict.reasons) or "nobody may approve it"
    own = [reason for reason in verdict.reasons if given.by.login in reason]
    named = sorted({name for rule in verdict.rules for name in rule.approvers})
    if login not in named and f"id:{given.by.id.lower()}" not in named:
        return f"no rule names {given.by.login} as an approver, those named are {', '.join(named) or 'nobody'}"
    return "; ".join(own) or "whoever opened, wrote or pushed a change never counts as its approver"


def same_change(repository: Repository, tip: str, ask: Ask, path: str, data: bytes) -> Callable[[str], bool]:
    """Return what tells whether a head makes the very change that is asked, on what the branch has now."""

    def same(head: str) -> bool:
        if not asks_for(repository, tip, head, ask) or overtaken(repository, tip, head):
            return False
        return repository.read(head, path) == data

    return same


def open_pull(
    workspace: Workspace,
    branch: str,
    commit: str,
    title: str,
    body: str,
    label: str,
    login: str,
    same: Callable[[str], bool],
    unless: Callable[[PullRequest], bool] | None = None,
) -> Opened:
    """Push a branch and open its pull request.

    One that is open for the branch is kept: with its head where ``same`` is true of that, so that approvals of it
    stand, else with the new one. Whoever loses the race against another machine that pushes the same is told of its.
    """
    repository, forge = workspace.repository, workspace.forge_as(login)
    before = repository.find_tip(branch)
    if before is None or not same(before) or not forge.find(source=branch, limit=1):
        try:
            repository.push_branch(branch, commit, expected=before)
        except ModelOpsError:
            repository.fetch()
            now = repository.find_tip(branch)
            if now is None or not same(now):
                raise
    opened = forge.open(title=title, body=body, source=branch, labels=(label,), unless=unless)
    if opened.pull.source != branch:
        # Another machine asked for it from a branch of its own; this one would stay for ever.
        repository.delete_branch(branch, expected=commit)
    return opened
