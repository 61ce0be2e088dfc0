"""The part of the GitHub for tests that are issues, beside pull requests; they are numbered from 1001 on here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from github_world import FakeGitHub

Reply = tuple[int, Any]
FIRST = 1001


def list_issues(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], *_: Any) -> Reply:
    """Return the issues with all labels and in a state, the newest first unless asked otherwise."""
    labels, state = {*filter(None, query.get("labels", "").split(","))}, query.get("state", "open")
    found = [
        one
        for one in fake.issues
        if labels <= {label["name"] for label in one["labels"]} and state in ("all", one["state"])
    ]
    return 200, found if query.get("direction") == "asc" else found[::-1]


def open_issue(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> Reply:
    """Open an issue; a label that there is not is made."""
    if len(body.get("body", "")) > 65_536 or len(body["title"]) > 256:
        return 422, {"message": "Validation Failed", "errors": [{"message": "body is too long"}]}
    labels = [{"name": name} for name in body.get("labels", ())]
    said = {"title": body["title"], "body": body.get("body"), "labels": labels}
    fake.issues.append({"number": FIRST + len(fake.issues), "state": "open", "state_reason": None, **said})
    return 201, fake.issues[-1]


def patch_issue(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: dict[str, Any], me: str) -> Reply:
    """Change an issue."""
    issue = fake.issues[int(match.group(1)) - FIRST]
    issue |= {key: body[key] for key in ("title", "body", "state", "state_reason") if key in body}
    return 200, issue


ROUTES = [
    (r"GET /issues", list_issues),
    (r"POST /issues", open_issue),
    (r"PATCH /issues/(\d+)", patch_issue),
]
NEEDED = (
    (r"GET .*/issues(/1\d{3}/comments)?", "issues=read"),
    (r"(POST|PATCH) .*/issues(/1\d{3}(/comments)?)?", "issues=write"),
)
"""What a token has to be allowed for a request about an issue."""
