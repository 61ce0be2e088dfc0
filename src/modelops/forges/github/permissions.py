"""What modelops may do on GitHub: one table for the App, for what a refusal says, and for the page that explains it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["FOR_TEAMS", "NEEDED", "PERMISSIONS", "Permission", "needed_for"]


@dataclass(frozen=True, slots=True)
class Permission:
    """How much of something the App may do, and for what: Markdown, as the page about it says."""

    level: Literal["read", "write"]
    purpose: str


PERMISSIONS: Mapping[str, Permission] = {
    "checks": Permission("write", "`modelops/gates` and `modelops/approvals`, which the ruleset takes from it alone"),
    "contents": Permission("write", "the commits on `main`, branches of pull requests; reading who pushed"),
    "deployments": Permission("write", "what GitHub shows as deployed"),
    "metadata": Permission("read", "the rules of the branch; every App has it"),
    "pull_requests": Permission("write", "promotions and retraining, comments, labels; reading reviews"),
}
FOR_TEAMS: Mapping[str, str] = {"members": "read"}
"""What else it takes where approvals name teams of the organisation."""
NEEDED: Mapping[str, str] = {name: one.level for name, one in PERMISSIONS.items()}
"""What the loop asks of an installation, and no more, whatever the App was given."""

_REPOSITORY = r"/repos/[^/]+/[^/]+"
_CALLS = (
    (r"GET /installation", "metadata=read"),
    (r"GET /check-runs/.*|GET /commits/[^/]+/check-runs", "checks=read"),
    (r"(POST|PATCH) /check-runs.*", "checks=write"),
    (r"GET /commits/[^/]+/status", "statuses=read"),
    (r"POST /statuses/.*", "statuses=write"),
    (r"GET /deployments.*", "deployments=read"),
    (r"POST /deployments.*", "deployments=write"),
    (r"PUT /pulls/\d+/merge", "contents=write"),
    (r"GET /commits/[^/]+/pulls|GET /(pulls|issues).*", "pull_requests=read"),
    (r"(POST|PATCH|PUT|DELETE) /(pulls|issues).*", "pull_requests=write"),
    (r"GET /(git/.*|activity|codeowners/errors)", "contents=read"),
    (r"(POST|PATCH|DELETE) /git/.*", "contents=write"),
    (r"GET /rules/.*|GET ", "metadata=read"),
)
"""What a call takes; of what is in no row nothing is said."""


def needed_for(method: str, path: str) -> str | None:
    """Return the permission that a call takes, as ``checks=write``; None for one that is not known here."""
    if re.search(r"/orgs/[^/]+/teams/", path):
        return "members=read"
    inside = re.sub(f"^.*?{_REPOSITORY}", "", path, count=1)
    if inside == path:
        return None
    return next((needed for form, needed in _CALLS if re.fullmatch(form, f"{method} {inside}")), None)
