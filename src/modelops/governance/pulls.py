"""Opening the pull requests that verbs and the loop ask with: one for one thing, however often it is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelops.errors import ModelOpsError
from modelops.forges import Check, Comment, Forge, Opened, PullRequest, Review
from modelops.governance.approvals import ApprovalVerdict, judge_whole
from modelops.governance.asks import Ask, asks_for, overtaken
from modelops.governance.judged import policies_at, signed_fact
from modelops.governance.judging.facts import signed_step
from modelops.governance.results import Result, base_of, policy_digest, result_of
from modelops.project.workspace import Workspace
from modelops.repository import Repository
from modelops.repository.steps import Step

__all__ = ["Discussion", "Look", "discussion", "judge_open", "look", "open_pull", "same_change", "superseding", "void"]


_SIGNED = "the loop signed it, and it counts by that: nobody has to approve it"


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


def judge_open(workspace: Workspace, forge: Forge, pull: PullRequest, base: str) -> ApprovalVerdict:
    """Judge what a pull request makes of a base now, or made of it: by its approvals, or as what the loop signed.

    What the loop signed needs nobody, until it asks for something else in its place.
    """
    if pull.state != "closed" and pull.target == workspace.branch:
        signed = signed_fact(workspace, base, pull.head, pull.merge)
        if signed is not None:
            other = superseding(workspace, forge, base, pull, signed) if pull.state == "open" else None
            said = (
                _SIGNED
                if other is None
                else f"the loop has signed #{other.number} since, which is to be merged instead"
            )
            result = result_of(workspace.repository, pull, base)
            return ApprovalVerdict(other is None, (), (said,), result=result, signed=True)
    policies = policies_at(workspace, base)
    return judge_whole(workspace.repository, forge, pull, base, policies, now=workspace.clock())[1]


def superseding(workspace: Workspace, forge: Forge, base: str, pull: PullRequest, signed: Step) -> PullRequest | None:
    """Return the open pull request of what the loop signed later, or just then, of a file that this one changes."""
    for other in forge.find():
        if other.head == pull.head or other.target != pull.target:
            continue
        step = signed_step(workspace.repository, base, other.head)
        if (
            step is not None
            and step.time >= signed.time
            and not step.changes.keys().isdisjoint(signed.changes)
            and dict(step.changes) != dict(signed.changes)
            and signed_fact(workspace, base, other.head) is not None
        ):
            return other
    return None


def look(workspace: Workspace, forge: Forge, pull: PullRequest) -> Look:
    """Look at a pull request as it is judged."""
    repository = workspace.repository
    base = base_of(repository, pull)
    moved = pull.state == "open" and not repository.is_ancestor(base, pull.head)
    if pull.state == "closed":
        return Look(result_of(repository, pull, base), None, policy_digest(repository, base), moved)
    verdict = judge_open(workspace, forge, pull, base)
    result = verdict.result or result_of(repository, pull, base)
    return Look(result, verdict, policy_digest(repository, base), moved)


def void(shown: Look, given: Review) -> str | None:
    """Say why an approval counts for nothing, None where it counts for some rule, or is none."""
    verdict = shown.verdict
    if given.state != "approved" or verdict is None or (verdict.signed and verdict.ok):
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
