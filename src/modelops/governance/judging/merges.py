"""How pull requests came to the branch: by a merge, squashed or rebased, and whether that is what was approved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import Forge, PullRequest
from modelops.governance.approvals import Judged, classify, judge_pull, judge_whole, models_at, policy_at, risks_at
from modelops.repository import Repository
from modelops.repository.merging import CONFLICT, UNRELATED
from modelops.repository.steps import Step

__all__ = ["Arrival", "arrivals", "clears", "judge_arrival", "judge_clearing", "merged_pulls", "names_in"]

_ONE_BY_ONE = 20
"""How many commits the forge is asked about one by one; of more than that all its merged pull requests are listed."""
_NAMED = re.compile(r"(?:This reverts commit|^Clears:)\s+([0-9a-f]{10,64})\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A pull request that is on the branch's line from one place to another: many where it was rebased."""

    pull: PullRequest
    first: int
    last: int


def merged_pulls(forge: Forge, steps: Iterable[Step]) -> dict[str, PullRequest]:
    """Return the pull requests that brought some commits, by the commit that their merge made."""
    asked = [step.id for step in steps]
    if not asked:
        return {}
    if len(asked) > _ONE_BY_ONE:
        return {pull.merge: pull for pull in forge.find(state="merged") if pull.merge is not None}
    found = (forge.merged_with(commit) for commit in asked)
    return {pull.merge: pull for pull in found if pull is not None and pull.merge is not None}


def arrivals(
    repository: Repository, steps: Sequence[Step], pulls: Mapping[str, PullRequest]
) -> tuple[dict[int, Arrival], frozenset[int]]:
    """Return the pull requests among steps by their last place, and the places that belong to a later one's."""
    found: dict[int, Arrival] = {}
    inner: set[int] = set()
    for at, step in enumerate(steps):
        pull = pulls.get(step.id)
        if pull is None or not step.parents:
            continue
        first = at if len(step.parents) > 1 else _first_of_rebased(repository, steps, at, pull)
        found[at] = Arrival(pull, first, at)
        inner |= set(range(first, at))
    return found, frozenset(inner)


def _first_of_rebased(repository: Repository, steps: Sequence[Step], at: int, pull: PullRequest) -> int:
    """Return where the commits of a pull request begin that is one commit on the line, or as many as it had itself."""
    step = steps[at]
    if _made(repository, step, pull) == step.tree:
        return at
    count = len([each for each in repository.log(revision=pull.head, excluding=[step.parents[0]]) if _single(each)])
    first = at - count + 1
    alone = 0 <= first < at and all(len(each.parents) == 1 for each in steps[first : at + 1])
    return first if alone and _made(repository, steps[first], pull) == step.tree else at


def _single(commit: object) -> bool:
    return len(getattr(commit, "parents", ())) == 1


def _made(repository: Repository, first: Step, pull: PullRequest) -> str | None:
    """Return the tree that merging a pull request into what was there before it gives."""
    try:
        return repository.tree_id(repository.merged(first.parents[0], pull.head), "")
    except ModelOpsError as error:
        if error.first.code in (CONFLICT, UNRELATED):
            return None
        raise


def judge_arrival(
    repository: Repository,
    forge: Forge,
    arrival: Arrival,
    steps: Sequence[Step],
    policies: str | None,
    tiers: Sequence[str] = (),
) -> ModelOpsError | None:
    """Return why a merged pull request does not count, None where it does.

    What the branch has must be what merging the approved head gives, whoever merged it and in whichever way.
    """
    first, last, pull = steps[arrival.first], steps[arrival.last], arrival.pull
    base = first.parents[0]
    if len(last.parents) > 2 or (len(last.parents) == 2 and last.parents[1] != pull.head):
        said = f"the merge of pull request #{pull.number} brings more than its head {pull.head[:10]}"
        return failure("merge-altered", said, exit=Exit.NO)
    made = _made(repository, first, pull)
    if made != last.tree:
        said = ", ".join(_altered(repository, pull, steps[arrival.first : arrival.last + 1]))
        why = f"is not what was approved: {said}" if made is not None else f"hides how a conflict was settled: {said}"
        return failure("merge-altered", f"what pull request #{pull.number} was merged as {why}", exit=Exit.NO)
    policy, verdict = judge_whole(repository, forge, pull, base, policies, tiers=tiers)
    if policy is None or not verdict.ok:
        why = "; ".join(verdict.reasons)
        said = f"pull request #{pull.number} was merged without the approvals it needs: {why}"
        return failure("approval-missing", said, exit=Exit.NO)
    return None


def _altered(repository: Repository, pull: PullRequest, steps: Sequence[Step]) -> list[str]:
    """Return the first paths at which the branch differs from what the pull request has there."""
    changed = {path: change.after[1] for step in steps for path, change in step.changes.items()}
    theirs = repository.paths(pull.head)
    found = [path for path, id in sorted(changed.items()) if theirs.get(path, "") != id]
    return found[:3] or sorted(changed)[:3] or ["nothing of it is there"]


def names_in(messages: Iterable[str]) -> frozenset[str]:
    """Return the commits that messages say they revert or clear."""
    return frozenset(name for message in messages for name in _NAMED.findall(message))


def clears(repository: Repository, pull: PullRequest, base: str, commits: Iterable[str]) -> tuple[str, ...]:
    """Return which of some commits the own commits of a pull request name.

    Its branch must have them, so that whoever approved the head could be shown them: a name of what was pushed after
    the review is not one that was reviewed. A name that may mean several clears none of them.
    """
    every = tuple(commits)
    meant = [
        [commit for commit in every if commit.startswith(name)]
        for name in names_in(repository.messages(base, pull.head))
    ]
    named = {found[0] for found in meant if len(found) == 1}
    return tuple(commit for commit in every if commit in named and repository.is_ancestor(commit, pull.head))


def judge_clearing(
    repository: Repository,
    forge: Forge,
    pull: PullRequest,
    base: str,
    cleared: tuple[str, str],
    paths: Iterable[str],
    policies: str | None,
    tiers: Sequence[str] = (),
) -> bool:
    """Tell whether a pull request has the approvals, too, that what it clears would have needed.

    ``cleared`` is the commit and the one before it. Whoever wrote or committed it cannot approve it either.
    """
    policy = policy_at(repository, policies or base)
    if policy is None:
        return False
    changes = classify(paths, models_at(repository, base, pull.head))
    risks = risks_at(repository, {change.model for change in changes}, base, pull.head, *tiers)
    involved = forge.involved(pull, base)
    commit, parent = cleared
    involved = (*involved, *forge.involved(replace(pull, head=commit), parent))
    return judge_pull(policy, Judged(pull, forge.reviews(pull.number), involved), changes, risks).ok
