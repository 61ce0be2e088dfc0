"""What a pull request makes of its base: the thing that is shown, classified and approved.

Before the merge it is computed, afterwards it is the tree that the merge really has. What the branch proposes is not
looked at by itself: where histories cross, or the base moved, or the merge was made by hand, that is something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError
from modelops.forges import PullRequest, Review
from modelops.repository import Repository
from modelops.repository.differences import SHOWN_BYTES, Comparison, Difference, Shown, Side
from modelops.repository.merging import CONFLICT, UNRELATED
from modelops.spec.layout import APPROVALS

__all__ = [
    "SHOWN_BYTES",
    "Comparison",
    "Difference",
    "Result",
    "Shown",
    "Side",
    "base_of",
    "named",
    "policy_digest",
    "result_of",
    "why_stale",
]

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Result:
    """What a pull request makes of a base commit.

    ``commit`` holds it (None where there is nothing to look at), ``tree`` is the id of its tree, ``paths`` are those
    that differ from the base. ``trouble`` says why it cannot be approved, whoever says yes.
    """

    base: str
    commit: str | None
    tree: str | None
    paths: tuple[str, ...]
    trouble: str | None = None


def base_of(repository: Repository, pull: PullRequest) -> str:
    """Return the commit that a pull request is held against: what its target has now, or had before the merge."""
    if pull.state == "merged" and pull.merge is not None:
        return next(iter(repository.commit(pull.merge).parents), pull.base)
    return pull.base if pull.state == "closed" else repository.tip(pull.target)


def result_of(repository: Repository, pull: PullRequest, base: str) -> Result:
    """Return what a pull request makes of ``base``: of its target, or of its merge's first parent once merged.

    A merge whose tree is not what merging makes by itself holds what no review was shown: its paths are named.
    """
    try:
        expected = repository.merged(base, pull.head)
    except ModelOpsError as error:
        if error.first.code not in (CONFLICT, UNRELATED):
            raise
        expected = None
        trouble = f"it cannot be merged: {error.first.message}"
    if pull.state != "merged":
        return _result(repository, base, expected) if expected else Result(base, None, None, (), trouble)
    made = pull.merge
    if made is None or not repository.is_ancestor(base, made):
        return Result(base, None, None, (), f"it was not merged into {base[:12]}")
    if expected is None:
        return _result(repository, base, made, f"it was merged by hand, as {made[:12]}: {trouble}")
    foreign = repository.changed_paths(expected, made)
    if foreign:
        said = f"its merge {made[:12]} changes {named(foreign)} otherwise than merging does, which nobody was shown"
        return _result(repository, base, made, said)
    return _result(repository, base, made)


def _result(repository: Repository, base: str, commit: str, trouble: str | None = None) -> Result:
    tree = repository.tree_id(commit, "")
    return Result(base, commit, tree, repository.changed_paths(base, commit), trouble)


def named(paths: tuple[str, ...]) -> str:
    """Return some paths in words: the first few, and how many more there are."""
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more


def why_stale(repository: Repository, pull: PullRequest, result: Result) -> Callable[[Review], str | None]:
    """Return what tells why an approval of the head does not speak of a result, None where it does.

    It stands while the policy of approvals is the same, and every path of the result differs from the base by the same
    change as when it was given: other merges into the target take nothing back. A forge that does not say what its
    target was then is taken at what it shows: what the branch changed since it left the target.
    """
    known: dict[str | None, str | None] = {}

    def why(review: Review) -> str | None:
        if review.base not in known:
            known[review.base] = _why(repository, pull, result, review.base)
        return known[review.base]

    return why


def _why(repository: Repository, pull: PullRequest, result: Result, seen: str | None) -> str | None:
    if result.commit is None or seen == result.base:
        return None
    if seen is None:
        forks = repository.merge_bases(result.base, pull.head)
        if len(forks) > 1:
            return "its history crosses that of the target, and the forge does not say what was shown then"
        seen = forks[0]
    if repository.find(seen) is None:
        return f"it was shown on {seen[:12]}, a commit that is not here"
    then, now = policy_digest(repository, seen), policy_digest(repository, result.base)
    if then != now:
        return f"{APPROVALS.path()} has changed since ({_short(then)} then, {_short(now)} now)"
    try:
        was = set(repository.differences(seen, repository.merged(seen, pull.head)))
    except ModelOpsError:
        return f"it could not be merged into {seen[:12]} then"
    changed = was ^ set(repository.differences(result.base, result.commit))
    paths = tuple(sorted({each.path for each in changed}))
    return f"the target moved from {seen[:12]}, and the change of {named(paths)} is another now" if paths else None


def policy_digest(repository: Repository, commit: str) -> str | None:
    """Return the digest of the approval policy of a commit, as a file; None where there is none."""
    path = APPROVALS.path()
    return digest_bytes(repository.read(commit, path)) if path in repository.paths(commit, path) else None


def _short(digest: str | None) -> str:
    return digest.removeprefix("sha256:")[:12] if digest else "none"
