"""Forges: each file talks to one host of pull requests.

A forge file exposes ``Params`` and ``open(params, opening)``, which returns a Forge. A forge finds pull requests by
label and source, knows people by an id that never changes, and does what it is asked at most once: whoever repeats a
call is told how things stand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from modelops.forges._block import read_block, without_block, write_block
from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.kinds import AnyResource
from modelops.spec.meta import Plugin, Strict

if TYPE_CHECKING:
    from modelops.clock import Clock
    from modelops.repository import Repository

__all__ = [
    "MACHINE",
    "PROTOCOL",
    "Account",
    "Addresses",
    "Annotation",
    "Check",
    "Comment",
    "Decision",
    "Deployed",
    "Examined",
    "Explanation",
    "Forge",
    "ForgeModule",
    "Heard",
    "Job",
    "Jobs",
    "Opened",
    "Opening",
    "Point",
    "PullRequest",
    "Review",
    "Shows",
    "State",
    "Teams",
    "bind",
    "read_block",
    "without_block",
    "write_block",
]

MACHINE = "modelops"
"""The login of the loop itself, on a forge where one says who one is."""

Decision = Literal["approved", "changes-requested", "commented"]
State = Literal["open", "merged", "closed"]


@dataclass(frozen=True, slots=True)
class Account:
    """Who somebody is on a forge.

    ``id`` never changes and is never given to somebody else; ``login`` is what they are called today. An empty id is
    somebody whom the forge cannot tell: a deleted account, or a commit with an address that is nobody's.
    """

    id: str
    login: str
    machine: bool = False

    def __str__(self) -> str:
        return self.login


@dataclass(frozen=True, slots=True)
class Review:
    """One review: who said what about which exact head, and when (ISO 8601).

    ``dismissed`` is a decision that was taken back; what the same person decided before it does not return. ``base`` is
    the commit that the target had then, so that what was looked at is known; None where a forge does not keep it.
    """

    by: Account
    state: Literal[Decision, "dismissed"]
    commit: str
    submitted_at: str
    body: str = ""
    base: str | None = None


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment that its author updates in place by its key."""

    key: str
    by: Account
    body: str


@dataclass(frozen=True, slots=True)
class Check:
    """What a named check concluded about the head."""

    name: str
    conclusion: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a check says about a line of a file of the project; lines count from 1."""

    path: str
    line: int
    level: Literal["failure", "warning", "notice"]
    message: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a check says beside its conclusion: a title in one line, Markdown, and where all of it can be read."""

    title: str
    summary: str = ""
    annotations: tuple[Annotation, ...] = ()
    url: str = ""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as the forge holds it.

    ``head`` is the newest commit of the branch ``source``, once merged the one that was merged; ``base`` is the commit
    of ``target`` that the forge compares it with, which a forge may not keep up with the branch. ``merge`` is the
    commit that the merge made. All three are in the clone: a forge fetches what it speaks of. Labels and branches are
    for people and for finding, they prove nothing.
    """

    number: int
    title: str
    body: str
    author: Account
    source: str
    target: str
    head: str
    base: str
    state: State
    opened_at: str
    labels: tuple[str, ...] = ()
    merge: str | None = None
    merged_by: Account | None = None
    closed_by: Account | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as it came: what was asked, and the SHA-256 of the bytes that were answered."""

    call: str
    digest: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The pull request that asks for something, and whether it did so already."""

    pull: PullRequest
    already: bool


class Forge(Protocol):
    """Pull requests of one repository, read and changed as one account.

    Every change may be said twice: the second time it finds its work done and returns what is there. What is there but
    differs from what was asked (another head, another state) is refused with the reason.
    """

    def whoami(self) -> Account:
        """Return the account that changes are made as."""
        ...

    def get(self, number: int) -> PullRequest:
        """Return one pull request."""
        ...

    def find(
        self,
        *,
        label: str | None = None,
        source: str | None = None,
        head: str | None = None,
        state: State | Literal["all"] = "open",
        limit: int | None = None,
    ) -> tuple[PullRequest, ...]:
        """Return the pull requests with a label, from a branch, with a head and in a state, the newest first."""
        ...

    def queued(self, commit: str) -> tuple[PullRequest, str] | None:
        """Return the pull request that a merge queue tries as this commit, and the commit it is tried on.

        Both commits are in the clone. None for any other commit, and on a forge without queues.
        """
        ...

    def other_targets(self, pull: PullRequest, commit: str) -> tuple[str, ...]:
        """Return the branches beside its target that a commit, or what else its branch had, was to be merged into.

        A pull request counts in whatever state it is. A target that it had before, and that the forge does not name,
        is told in words. None on a forge that runs nothing, or where each is merged into the project's branch.
        """
        ...

    def merged_with(self, commit: str) -> PullRequest | None:
        """Return the pull request whose merge brought a commit to the project's branch, if any."""
        ...

    def reviews(self, number: int) -> tuple[Review, ...]:
        """Return the reviews, the oldest first; none was given after the merge."""
        ...

    def comments(self, number: int) -> tuple[Comment, ...]:
        """Return the comments, the oldest first."""
        ...

    def checks(self, number: int) -> tuple[Check, ...]:
        """Return the checks of the present head, by name."""
        ...

    def involved(self, pull: PullRequest, base: str) -> tuple[Account, ...]:
        """Return everyone who is known to have opened, written, committed or pushed what is not in ``base``.

        The pull request is one that this forge has just returned, and ``base`` a commit that the clone has.
        Somebody whom the forge cannot tell is among them with an empty id.
        """
        ...

    def heard(self, pull: PullRequest) -> tuple[Heard, ...]:
        """Return what was answered about a pull request since this forge was opened: of each call the last answer.

        It is what a record of approvals rests on, and is signed with it. Nothing is asked.
        """
        ...

    def open(
        self,
        *,
        title: str,
        body: str,
        source: str,
        labels: Sequence[str] = (),
        unless: Callable[[PullRequest], bool] | None = None,
    ) -> Opened:
        """Open a pull request from an already pushed branch to the project's branch.

        A branch has one open pull request at a time, and an open one that ``unless`` is true of asks for the same: in
        both cases that one is returned. Of several who open at once, one opens and the others are told. A forge that
        cannot look and open in one step looks again afterwards, and closes its own for the older one.
        """
        ...

    def review(self, number: int, state: Decision, *, head: str, body: str = "") -> Review:
        """Review the exact head; who has decided the same of it before, on the same target, adds nothing."""
        ...

    def comment(self, number: int, key: str, body: str) -> None:
        """Write a comment; the account's own one with the same key is replaced where it stands."""
        ...

    def check(
        self, number: int, name: str, conclusion: str, *, commit: str | None = None, said: Explanation | None = None
    ) -> None:
        """Set the conclusion of a named check for the head, or for another commit that is tried for it.

        ``pending`` is no conclusion yet. What is said already is not said again.
        """
        ...

    def merge(self, number: int, *, head: str, base: str | None = None) -> PullRequest:
        """Merge the exact head with a merge commit and delete its branch; what was judged is what is merged.

        With ``base``, only if the target is still there (else ``base-moved``), as what merging makes depends on it; a
        forge that cannot merge so looks right before. No attribute or setting of anybody decides what the merge holds.
        One that is merged with this head already is finished (its branch is deleted) and returned.
        """
        ...

    def close(self, number: int) -> PullRequest:
        """Close without merging."""
        ...

    @property
    def inscribes(self) -> bool:
        """Tell whether ``put`` makes commits anew, so that of a signature only what is in the message is kept."""
        ...

    def put(self, tip: str, commit: str) -> str | None:
        """Put a commit of the clone, made on ``tip``, on the project's branch; return the id that it has there.

        None when the branch is no longer at ``tip``. Tree, parent and message are kept. Where the branch takes changes
        by pull requests alone it is ``branch-protected``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a forge that shows deployments says of a release in an environment; success takes the traffic."""

    release: int
    state: Literal["in_progress", "success"]
    description: str


@runtime_checkable
class Shows(Protocol):
    """A forge that shows what is deployed."""

    def deployed(
        self, environment: str, model: str, commit: str, arms: Sequence[Deployed], failed: Collection[int]
    ) -> int:
        """Show the arms of a model, and of its other releases that they failed or are gone; return what was written."""
        ...


@runtime_checkable
class Addresses(Protocol):
    """A forge that knows by its address whose a commit is."""

    def address(self, account: Account) -> str:
        """Return the mail address by which a commit is known to be an account's."""
        ...


@runtime_checkable
class Teams(Protocol):
    """A forge that knows teams of people."""

    def team(self, name: str) -> tuple[Account, ...]:
        """Return who is in a team now, by its name there; it is asked once, and among what was heard of a pull request.

        One that is not there, or that may not be read, is an error that names the team or the permission.
        """
        ...


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that the loop relies on: it holds, or fails with what mends it, or cannot be seen."""

    name: str
    state: Literal["holds", "fails", "unseen"]
    said: str
    mend: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job that speaks to the forge: the permissions of its token, None where it asks for none, and its variables.

    ``commits`` is one that puts on the branch what the loop decides, ``tells`` one that writes the checks.
    """

    permissions: Mapping[str, str] | None
    variables: frozenset[str] = frozenset()
    commits: bool = True
    tells: bool = False


Jobs = Mapping[str, Job]
"""By what a job is called."""


@runtime_checkable
class Examined(Protocol):
    """A forge with settings of its own, on which it depends what a review is worth."""

    def examine(self, secrets: Sequence[str], jobs: Jobs) -> tuple[Point, ...]:
        """Return how the repository is set up there; ``secrets`` are the names of those that sign.

        ``jobs`` are those that commit what the loop decides, and those that write the checks.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """What a forge is opened with.

    ``branch`` is the project's. ``acting`` is who one says one is: a login, or None for the person that git knows. A
    forge where people prove who they are goes by the proof in ``environ``, and its ``whoami`` says who that is.
    """

    repository: Repository
    branch: str
    clock: Clock
    environ: Mapping[str, str]
    acting: str | None = None


class ForgeModule(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def open(self, params: Any, opening: Opening) -> Forge: ...


PROTOCOL = ForgeModule
"""What every file of this shelf is held against."""


def bind(plugin: Plugin, resource: AnyResource | None = None, dotted: str = "") -> Bound[ForgeModule]:
    """Return a forge with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("forges", plugin, resource, dotted)
