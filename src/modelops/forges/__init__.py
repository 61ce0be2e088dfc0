"""Forges: each file talks to one host of pull requests.

A forge file exposes ``Params`` and ``open(params, repository)``, which returns a Forge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from modelops.spec.meta import Strict

if TYPE_CHECKING:
    from modelops.repository import Repository

__all__ = ["Comment", "Forge", "ForgeModule", "PullRequest", "Review"]


@dataclass(frozen=True, slots=True)
class Review:
    """One review: who said what about which exact head, and when (ISO 8601)."""

    login: str
    state: Literal["approved", "changes-requested", "commented"]
    commit: str
    submitted_at: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment that is updated in place by its key."""

    key: str
    login: str
    body: str


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as the forge holds it; ``head`` is the current head commit, ``merge`` the merge commit."""

    number: int
    title: str
    body: str
    author: str
    source: str
    target: str
    head: str
    base: str
    state: Literal["open", "merged", "closed"]
    pushers: tuple[str, ...] = ()
    merge: str | None = None
    merged_by: str | None = None
    labels: tuple[str, ...] = ()
    reviews: tuple[Review, ...] = ()
    comments: tuple[Comment, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    superseded_by: int | None = None


class Forge(Protocol):
    """Pull requests of one repository; ``as_`` arguments are logins."""

    def open(
        self, *, title: str, body: str, source: str, as_: str, now: datetime, labels: Sequence[str] = ()
    ) -> PullRequest:
        """Open a pull request from an already pushed branch ``source`` to the project's branch."""
        ...

    def get(self, number: int) -> PullRequest: ...

    def list(self, state: Literal["open", "merged", "closed", "all"] = "open") -> tuple[PullRequest, ...]: ...

    def merged_with(self, commit: str) -> PullRequest | None:
        """Return the pull request whose merge brought a commit to the project's branch, if any."""
        ...

    def comment(self, number: int, key: str, body: str, *, as_: str, now: datetime) -> None: ...

    def review(self, number: int, state: str, *, as_: str, now: datetime, body: str = "") -> PullRequest: ...

    def check(self, number: int, name: str, conclusion: str) -> None: ...

    def merge(self, number: int, *, as_: str, now: datetime, head: str | None = None) -> PullRequest:
        """Merge with a merge commit; with ``head``, only if that is still the head: what was judged is merged."""
        ...

    def close(self, number: int, *, superseded_by: int | None = None) -> PullRequest: ...


class ForgeModule(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def open(self, params: Any, repository: Repository) -> Forge: ...
