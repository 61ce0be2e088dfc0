"""What the loop signed and a pull request brought: where a branch takes nothing else, somebody only merges it.

It counts by its signature, as if the loop had put it there itself, and needs no approval. The merge must change exactly
what the signed commit changed, and find what that one found: the files that it changes, and what the environments that
it is about are told to do. It must come soon, so that what was decided otherwise since cannot be brought for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from modelops.evidence import Keyring
from modelops.governance.judging.loop_commits import Told, told
from modelops.project.trust import TrustChain
from modelops.repository import Repository
from modelops.repository.objects import MAXIMUM_BYTES
from modelops.repository.steps import Step
from modelops.spec.kinds import place
from modelops.spec.layout import DEPLOYMENT, POLICIES, promoted

__all__ = ["FACTS", "LASTS", "signed_step", "still_counts", "told_facts"]

FACTS = "modelops/facts"
"""The label of such pull requests, and what their branches begin with."""


LASTS = timedelta(days=3)
"""How long after it was signed a fact may be merged; it is asked for anew when half of that is over."""


def signed_step(repository: Repository, base: str, head: str) -> Step | None:
    """Return the one commit that a head has beyond what ``base`` has, where it is a single one."""
    found = repository.find(head)
    parents = repository.commit(found).parents if found is not None else ()
    if len(parents) != 1 or not repository.is_ancestor(parents[0], base) or repository.is_ancestor(head, base):
        return None
    (step,) = repository.steps(head, parents[0])
    return step


def still_counts(repository: Repository, tip: str, head: str, now: datetime | None) -> bool:
    """Tell whether a head found what is at a tip, by the policies there, and not long before ``now``."""
    step = signed_step(repository, tip, head)
    if step is None or step.parent is None or (now is not None and now - step.time > LASTS / 2):
        return False
    same = all((repository.blob_id(tip, path) or "") == change.before[1] for path, change in step.changes.items())
    return same and not _moved(repository, step, tip) and not _policies(repository, step.parent, tip)


def _policies(repository: Repository, found: str, tip: str) -> bool:
    folder = POLICIES.rstrip("/")
    return repository.tree_id(found, folder) != repository.tree_id(tip, folder)


def _moved(repository: Repository, signed: Step, base: str) -> str | None:
    """Return the file of an environment that says something else at a base than a signed commit found there."""
    assert signed.parent is not None, "it is made on a commit of the branch"
    seats = {seat for path in signed.changes if (seat := _seat(path)) is not None}
    files = (DEPLOYMENT.path(*seat) for seat in sorted(seats))
    return next(
        (path for path in files if repository.blob_id(signed.parent, path) != repository.blob_id(base, path)), None
    )


def _seat(path: str) -> tuple[str, str] | None:
    """Return the model and the environment that a file is about."""
    found = place(path)
    if found is not None and found[0] == "Deployment":
        return str(found[1]), found[2]
    if found is not None and found[0] == "Promotion":
        return str(found[1]), found[2].rpartition("-")[0]
    return promoted(path)


def told_facts(
    repository: Repository,
    step: Step,
    head: str,
    trust: TrustChain | None,
    keyring: Keyring | None,
    stands: Callable[[str], bytes | None],
    merged: datetime,
) -> Told:
    """Tell whether a commit of the line brought what the loop signed as ``head``, and what is wrong with that.

    ``merged`` is when it came, or when it would.
    """
    parent = step.parent
    signed = signed_step(repository, parent, head) if parent is not None else None
    if signed is None or dict(signed.changes) != dict(step.changes):
        return Told(False)
    assert parent is not None, "what was signed was made on it, or before it"
    data = repository.blobs([head], MAXIMUM_BYTES)[head]
    found = told(repository, step, data, trust, keyring, stands)
    if not found.counts:
        return found
    if merged - signed.time > LASTS:
        return Told(True, f"it was signed more than {LASTS.days} days before")
    moved = _moved(repository, signed, parent)
    return Told(True, f"{moved} says something else than when it was signed") if moved is not None else found
