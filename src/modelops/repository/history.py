"""Reading history: one plumbing call per question, never one process per commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr

from modelops.repository.names import check_path
from modelops.repository.process import Git

_FORMAT = "%x00".join(
    (
        *("%H", "%T", "%P", "%an", "%ae", "%at", "%cn", "%ce", "%ct", "%s"),
        "%(trailers:key=Co-authored-by,valueonly,separator=%x1f)",
    )
)
_FIELDS = 11
_LATEST = int(datetime(9000, 1, 1, tzinfo=UTC).timestamp())
"""The latest date of a commit: a period can still be added to it."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who a commit says it is from; git does not prove it."""

    name: str
    email: str

    @property
    def login(self) -> str:
        """The login that the e-mail address stands for: what is before the @ (of ``123+ada@…``, ``ada``)."""
        local = self.email.split("@", 1)[0].lower()
        number, plus, login = local.partition("+")
        return login if plus and number.isdigit() else local

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """One commit; ``time`` is the committer's date, ``authored`` the author's, both in UTC."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    authored: datetime
    committer: Person
    time: datetime
    subject: str
    co_authors: tuple[Person, ...] = ()

    @property
    def people(self) -> tuple[Person, ...]:
        """Everyone who had a hand in the commit: author, committer and co-authors."""
        return tuple(dict.fromkeys((self.author, self.committer, *self.co_authors)))


def instant(seconds: str) -> datetime:
    """Return a commit's date; one that no calendar has, which git takes from everybody, is the nearest that one has."""
    return datetime.fromtimestamp(min(max(int(seconds or 0), 0), _LATEST), UTC)


def _commit(fields: Sequence[str]) -> CommitInfo:
    id, tree, parents, author, author_email, authored, committer, committer_email, committed, subject, trailers = fields
    people = (parseaddr(trailer) for trailer in trailers.split("\x1f") if trailer)
    return CommitInfo(
        id=id,
        tree=tree,
        parents=tuple(parents.split()),
        author=Person(author, author_email),
        authored=instant(authored),
        committer=Person(committer, committer_email),
        time=instant(committed),
        subject=subject,
        co_authors=tuple(Person(name, email) for name, email in people),
    )


def log(
    git: Git,
    start: str,
    *,
    paths: Sequence[str] = (),
    excluding: Sequence[str] = (),
    first_parent: bool = False,
    limit: int | None = None,
) -> tuple[CommitInfo, ...]:
    """Return the commits reachable from ``start`` but from none of ``excluding``, newest first."""
    options = ["--first-parent"] if first_parent else []
    if limit is not None:
        options.append(f"--max-count={limit}")
    # diff-merges: a merge is listed for a path when it differs from its first parent there.
    result = git.checked(
        *("log", "-z", "--no-show-signature", "--no-color", f"--format={_FORMAT}", *options),
        *(start, *(f"^{commit}" for commit in excluding), "--"),
        *(check_path(path.rstrip("/")) for path in paths),
        environment={"GIT_LITERAL_PATHSPECS": "1"},
    )
    fields = result.output.decode("utf-8", "replace").split("\0")
    return tuple(_commit(fields[at : at + _FIELDS]) for at in range(0, len(fields) - 1, _FIELDS))


def merge_bases(git: Git, one: str, other: str) -> tuple[str, ...]:
    """Return the best common ancestors of two commits: one as a rule, several where their histories cross."""
    return tuple(git.run("merge-base", "--all", one, other).text.split())


def is_ancestor(git: Git, ancestor: str, descendant: str) -> bool:
    """Tell whether one commit is reachable from another (or is it)."""
    return ancestor == descendant or git.run("merge-base", "--is-ancestor", ancestor, descendant).code == 0


def changed_paths(git: Git, base: str, head: str) -> tuple[str, ...]:
    """Return the paths that differ between two commits, sorted; a rename counts as two."""
    if base == head:
        return ()
    options = ("-r", "-z", "--no-renames", "--name-only", "--no-commit-id", "--ignore-submodules=none")
    result = git.checked("diff-tree", *options, base, head, "--")
    return tuple(sorted(result.words()))


def brought_by(git: Git, commit: str, tip: str) -> str | None:
    """Return the commit on the first-parent line of ``tip`` whose merge brought ``commit`` there.

    A commit that is itself on that line was brought by itself; one that is not reachable by nothing.
    """
    if commit == tip:
        return commit
    if not is_ancestor(git, commit, tip):
        return None
    line = git.checked("rev-list", "--first-parent", tip, f"^{commit}^@", "--").text.split()
    if commit in line:
        return commit
    containing = set(git.checked("rev-list", "--ancestry-path", f"{commit}..{tip}", "--").text.split())
    return [candidate for candidate in line if candidate in containing][-1]
