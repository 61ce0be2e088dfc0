"""Pull requests as the forge knows them, and who writes those that the loop opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelops.forges import Account, Opened, PullRequest, Review, without_block
from modelops.governance.approvals import RuleVerdict
from modelops.governance.pulls import Discussion, Look
from modelops.markup import plain
from modelops.reconcile.actions import Removal, Texts, describe, to_dict
from modelops.views.proposals import ending, restoration
from modelops.views.terminal import table

LOOP = Texts(ending=ending.markdown, restoration=restoration.markdown)
"""What writes the pull requests of the loop."""

_HEADERS = ("number", "state", "author", "source", "head", "title")


def line(pull: PullRequest) -> str:
    """Return a pull request in one line."""
    return plain(f"#{pull.number} {pull.title} ({pull.source} into {pull.target}, {pull.state})")


def opened_text(opened: Opened) -> str:
    """Return which pull request asks for something."""
    asks = " asks for it already" if opened.already else ""
    return f"pull request {opened.pull.number}{asks}: {plain(opened.pull.title)}"


def opened_data(opened: Opened) -> dict[str, Any]:
    """Return which pull request asks for something."""
    pull = opened.pull
    return {"pullRequest": pull.number, "branch": pull.source, "title": pull.title, "already": opened.already}


def list_text(pulls: Sequence[PullRequest], state: str) -> str:
    """Return a row for each pull request of a state, or of all."""
    rows = [
        tuple(map(plain, (f"#{one.number}", one.state, one.author.login, one.source, one.head[:12], one.title)))
        for one in pulls
    ]
    return table(_HEADERS, rows) if rows else f"no {'' if state == 'all' else f'{state} '}pull request"


def list_data(pulls: Sequence[PullRequest]) -> list[dict[str, Any]]:
    """Return pull requests without what was said about them."""
    return [_summary(pull) for pull in pulls]


def _summary(pull: PullRequest) -> dict[str, Any]:
    return {
        "number": pull.number,
        "title": pull.title,
        "body": pull.body,
        "state": pull.state,
        "author": pull.author.login,
        "authorId": pull.author.id,
        "source": pull.source,
        "target": pull.target,
        "head": pull.head,
        "base": pull.base,
        "openedAt": pull.opened_at,
        "labels": list(pull.labels),
        "merge": pull.merge,
        "mergedBy": pull.merged_by.login if pull.merged_by else None,
        "closedBy": pull.closed_by.login if pull.closed_by else None,
    }


def data(said: Discussion, seen: Look | None = None, gone: Sequence[Removal] = ()) -> dict[str, Any]:
    """Return a pull request with its reviews, comments and checks; where asked for, what it changes and may."""
    found = _summary(said.pull) | {
        "checks": {check.name: check.conclusion for check in said.checks},
        "reviews": [
            {
                **_by(review.by),
                "state": review.state,
                "commit": review.commit,
                "submittedAt": review.submitted_at,
                "body": review.body,
            }
            for review in said.reviews
        ],
        "comments": [{"key": one.key, **_by(one.by), "body": one.body} for one in said.comments],
    }
    return found | (_look(seen) | {"removes": [to_dict(one) for one in gone]} if seen is not None else {})


def _look(seen: Look) -> dict[str, Any]:
    """Return what a reviewer says yes to, and what the policy asks for it."""
    result, verdict = seen.result, seen.verdict
    found: dict[str, Any] = {
        "files": list(result.paths),
        "result": {"tree": result.tree, "base": result.base, "trouble": result.trouble},
        "baseMoved": seen.moved,
        "policy": seen.policy,
    }
    if verdict is None:
        return found
    risks = dict(verdict.risks)
    return found | {
        "approved": verdict.ok,
        "reasons": list(verdict.reasons),
        "changes": [
            {
                "change": one.kind,
                "model": one.model,
                "environment": one.environment,
                "risk": risks.get(one.model or ""),
            }
            for one in verdict.changes
        ],
        "rules": [_rule(one) for one in verdict.rules],
    }


def _rule(rule: RuleVerdict) -> dict[str, Any]:
    until = dict(rule.until)
    return {
        "change": rule.change,
        "environment": rule.environment,
        "minimum": rule.minimum,
        "approvers": list(rule.approvers),
        "met": rule.ok,
        "approvals": [
            {"login": one.login, "submittedAt": one.submitted_at, "until": until.get(one.login)} for one in rule.counted
        ],
    }


def _by(account: Account) -> dict[str, Any]:
    return {"login": account.login, "id": account.id}


def text(said: Discussion, seen: Look, gone: Sequence[Removal] = ()) -> str:
    """Return what a pull request changes, who reviewed it, and whether it may be merged."""
    pull = said.pull
    lines = [line(pull), plain(f"author {pull.author}, head {pull.head[:12]}, base {pull.base[:12]}")]
    lines += [plain(f"merged by {pull.merged_by} as {pull.merge[:12]}")] if pull.merge else []
    lines += [plain(f"closed by {pull.closed_by}")] if pull.closed_by else []
    body = without_block(pull.body)
    lines += ["", *_paragraphs(body)] if body else []
    lines += ["", *_seen_text(pull, seen), "files:", *(f"  {plain(path)}" for path in seen.result.paths)]
    lines += ["takes away:", *(f"  {plain(describe(one))}" for one in gone)] if gone else []
    lines += ["checks:", *(f"  {plain(f'{one.name}: {one.conclusion}')}" for one in said.checks)] if said.checks else []
    lines += ["reviews:"] if said.reviews else []
    for one in said.reviews:
        told = f"{one.by.login} {one.state} {one.commit[:12]} {one.submitted_at} {one.body}"
        lines.append(f"  {plain(told)}")
    if seen.verdict is not None:
        lines.append(f"approvals: {'enough' if seen.verdict.ok else 'not enough'}")
        lines += [f"  {plain(reason)}" for reason in seen.verdict.reasons]
        ends = dict.fromkeys(
            f"that of {who} counts until {end}" for one in seen.verdict.rules for who, end in one.until
        )
        lines += [f"  {plain(end)}" for end in ends]
    for comment in said.comments:
        lines += ["", plain(f"{comment.by.login}:"), *_paragraphs(comment.body)]
    return "\n".join(lines)


def _seen_text(pull: PullRequest, seen: Look) -> list[str]:
    """Return what is approved, in words: the tree, what it was made of, and what it changes."""
    result, verdict = seen.result, seen.verdict
    lines = []
    if result.tree is not None:
        how = "its merge" if pull.merge else "merging"
        lines.append(plain(f"result {result.tree[:12]}: what {how} makes of {pull.target} at {result.base[:12]}"))
    if seen.moved:
        lines.append(plain(f"{pull.target} has moved on since it was branched off; the result has both"))
    lines += [plain(f"NOT TO BE APPROVED: {result.trouble}")] if result.trouble is not None else []
    if verdict is not None and verdict.changes:
        risks = dict(verdict.risks)
        of = [f"{one}" + (f" ({risks[one.model]} risk)" if one.model in risks else "") for one in verdict.changes]
        lines += ["changes:", *(f"  {plain(each)}" for each in of)]
    return lines


def _paragraphs(text: str) -> list[str]:
    """Return a text of somebody else line by line, so that no line of it steers a terminal."""
    return [plain(each) for each in text.splitlines()]


def review_text(number: int, given: Review, void: str | None, *, already: bool = False) -> str:
    """Return what somebody said of a pull request, and why it counts for nothing where it does."""
    at = f"#{number} at {given.commit[:12]}"
    if void is not None:
        return plain(f"the approval of {given.by} of {at} counts for nothing: {void}")
    return plain(f"{given.by} {given.state.replace('-', ' ')} {at}{' already' if already else ''}")


def merged_text(before: PullRequest, merged: PullRequest) -> str:
    """Return that a pull request was merged, now or before."""
    commit = (merged.merge or "")[:12]
    if before.state == "merged":
        return plain(f"#{merged.number} was merged by {merged.merged_by} already, as {commit}")
    return f"merged {line(merged)} as {commit}"


def closed_text(before: PullRequest, pull: PullRequest) -> str:
    """Return that a pull request was closed, now or before."""
    by = f" by {pull.closed_by}" if pull.closed_by else ""
    return f"closed {line(pull)}" if before.state == "open" else plain(f"#{pull.number} was closed{by} already")
