"""What GitHub's documents say, in the words of all forges: accounts, reviews and comments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import Account, Comment, PullRequest, Review

__all__ = [
    "LONGEST",
    "STATES",
    "account_of",
    "by_address",
    "comment_of",
    "cut",
    "moved",
    "not_open",
    "review_of",
    "trailers",
    "with_key",
]

LONGEST = 65_536
"""Characters of a body or a comment."""
_MARKER = re.compile(r"\n*<!-- modelops-comment (\S{1,200}) -->\s*\Z")
_NOREPLY = re.compile(r"(\d+)\+([^@]+)@(.+)")
_TRAILER = re.compile(r"^co-authored-by:\s*(.*?)\s*<([^<>\s]+)>\s*$", re.IGNORECASE | re.MULTILINE)
STATES: dict[str, Literal["approved", "changes-requested", "commented", "dismissed"]] = {
    "APPROVED": "approved",
    "CHANGES_REQUESTED": "changes-requested",
    "COMMENTED": "commented",
    "DISMISSED": "dismissed",
}


def trailers(message: str) -> list[tuple[str, str]]:
    """Return names and addresses of those whom a message names as its authors, too."""
    return _TRAILER.findall(message)


def review_of(one: Mapping[str, Any]) -> Review:
    """Return a review that was given."""
    return Review(
        by=account_of(one.get("user")),
        state=STATES[one["state"]],
        commit=one.get("commit_id") or "",
        submitted_at=one["submitted_at"],
        body=(one.get("body") or "").replace("\r\n", "\n"),
    )


def account_of(user: Mapping[str, Any] | None, otherwise: str = "ghost") -> Account:
    """Return an account; whoever is deleted or not known has an empty id, and GitHub's ghost is nobody."""
    if not user or user.get("id") is None:
        return Account("", otherwise)
    login = str(user.get("login") or "")
    return Account(str(user["id"]), login, user.get("type") == "Bot" or login.endswith("[bot]"))


def by_address(name: str, address: str, noreply: str) -> Account:
    """Return the account that an address of GitHub's own stands for; ``noreply`` is the host of such addresses."""
    found = _NOREPLY.fullmatch(address)
    if found is None or found.group(3).lower() != noreply:
        return Account("", f"{name} <{address}>")
    return Account(found.group(1), found.group(2))


def comment_of(one: Mapping[str, Any]) -> Comment:
    """Return a comment, with the key that its marker names."""
    text = (one.get("body") or "").replace("\r\n", "\n")
    marked = _MARKER.search(text)
    key, body = (marked.group(1), text[: marked.start()]) if marked else ("", text)
    return Comment(key, account_of(one.get("user")), body)


def with_key(body: str, key: str) -> str:
    """Return a body that is found again by its key."""
    marker = f"\n\n<!-- modelops-comment {key} -->"
    return cut(body, len(marker)) + marker


def cut(body: str, room: int = 0) -> str:
    """Return a text that GitHub takes; its limit counts characters."""
    more = "\n\n… the rest does not fit into a comment."
    return body if len(body) <= LONGEST - room else body[: LONGEST - room - len(more)] + more


def not_open(pull: PullRequest) -> ModelOpsError:
    """Say that a pull request is not open any more, and by whom."""
    who = pull.merged_by or pull.closed_by
    by = f" (by {who})" if who else ""
    return failure("pull-not-open", f"pull request #{pull.number} is {pull.state}{by}", exit=Exit.NO)


def moved(pull: PullRequest, head: str) -> ModelOpsError:
    """Say that the head of a pull request is not the one that was spoken of."""
    said = f"the head of #{pull.number} is {pull.head[:12]}, not {head[:12]}"
    return failure(
        "head-moved", said, exit=Exit.NO, hint=f"look at it again: modelops pr view {pull.number}", retryable=True
    )
