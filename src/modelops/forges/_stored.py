"""Pull requests as the embedded forge stores them: one JSON file each. What any version has written is read for ever.

The first version knew people by login alone, which still is all that there is to know of them here.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import Decision, Heard, State
from modelops.spec.meta import Strict

REF = "refs/modelops/pulls"
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}(\[bot\])?")


def _instant(text: str) -> str:
    datetime.fromisoformat(text)
    return text


class StoredReview(Strict):
    """One review."""

    login: str
    state: Decision
    commit: str
    submitted_at: str
    body: str = ""
    base: str | None = Field(default=None, description="0.1.0 did not write it")


class StoredComment(Strict):
    """One comment."""

    key: str
    login: str
    body: str
    updated_at: str


class StoredCheck(Strict):
    """What a check said about one commit."""

    conclusion: str
    commit: str


class StoredPull(Strict):
    """One pull request as its JSON file holds it."""

    number: int
    title: str
    body: str
    author: str
    source: str
    target: str
    head: str
    base: str
    state: State
    opened_at: Annotated[str, AfterValidator(_instant)]
    pushers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    reviews: tuple[StoredReview, ...] = ()
    comments: tuple[StoredComment, ...] = ()
    checks: dict[str, StoredCheck] = Field(default_factory=dict)
    merge: str | None = None
    merged_by: str | None = None
    merged_at: str | None = None
    closed_by: str | None = None
    superseded_by: int | None = Field(default=None, description="written by 0.1.0; a comment says it now")


Pulls = dict[int, StoredPull]


def file_of(pull: StoredPull) -> dict[str, bytes | None]:
    """Return the file of a pull request."""
    data = pull.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {f"{pull.number}.json": (json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()}


def checked_login(login: str) -> str:
    """Return a login, or refuse what is none."""
    if not _LOGIN.fullmatch(login):
        raise failure("bad-login", f"{login!r} is not a login", exit=Exit.USAGE, hint="use letters and digits")
    return login


def checked_title(title: str) -> str:
    """Return a title without spaces around it, or refuse what is none."""
    title = title.strip()
    if not title or not title.isprintable():
        raise failure("bad-title", f"{title!r} is not a title", exit=Exit.USAGE, hint="write one line of text")
    return title


def heard_of(pull: StoredPull | None) -> tuple[Heard, ...]:
    """Return the digest of the file of a pull request, if there is one."""
    files = file_of(pull) if pull is not None else {}
    return tuple(Heard(f"{REF} {path}", digest_bytes(data)) for path, data in files.items() if data is not None)


def not_open(pull: StoredPull) -> ModelOpsError:
    """Return the refusal to change what is merged or closed."""
    who = pull.merged_by or pull.closed_by
    by = f" (by {who})" if who else ""
    return failure("pull-not-open", f"pull request #{pull.number} is {pull.state}{by}", exit=Exit.NO)


def parse(path: str, data: bytes) -> StoredPull:
    """Read the file of a pull request; one that is not whole is named and never guessed."""
    try:
        pull = StoredPull.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise failure(
            "pulls-corrupt",
            f"{REF}:{path} is not a pull request: {place}: {first['msg']}",
            hint=f"look at `git log {REF}` and set the ref back to the last good commit",
        ) from None
    if path != f"{pull.number}.json":
        raise failure("pulls-corrupt", f"{REF}:{path} holds pull request {pull.number}")
    return pull


def require_head(pull: StoredPull, head: str) -> None:
    """Refuse another head than the one that a pull request has."""
    if pull.head != head:
        now = "it was merged at" if pull.state == "merged" else "its head is"
        raise failure(
            "head-moved",
            f"#{pull.number} is not at {head[:12]}: {now} {pull.head[:12]}",
            exit=Exit.NO,
            hint=f"look at it again: modelops pr view {pull.number}",
            retryable=True,
        )


def require_base(pull: StoredPull, base: str | None) -> None:
    """Refuse another base than the one that the target has, if one is given."""
    if base not in (None, pull.base):
        raise failure(
            "base-moved",
            f"{pull.target} is not at {str(base)[:12]} any more, so merging #{pull.number} makes something else",
            exit=Exit.NO,
            hint=f"look at it again: modelops pr view {pull.number}",
            retryable=True,
        )
