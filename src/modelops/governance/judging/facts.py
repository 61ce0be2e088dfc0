"""What the loop signed and a pull request brought: where a branch takes nothing else, somebody only merges it.

It counts by its signature, as if the loop had put it there itself, and needs no approval. The merge must change exactly
what the signed commit changed, and find what that one found, so that nothing old can be brought again.
"""

from __future__ import annotations

from collections.abc import Callable

from modelops.evidence import Keyring
from modelops.governance.judging.loop_commits import Told, told
from modelops.project.trust import TrustChain
from modelops.repository import Repository
from modelops.repository.objects import MAXIMUM_BYTES
from modelops.repository.steps import Step

__all__ = ["FACTS", "still_counts", "told_facts"]

FACTS = "modelops/facts"
"""The label of such pull requests, and what their branches begin with."""


def signed_step(repository: Repository, base: str, head: str) -> Step | None:
    """Return the one commit that a head has beyond what ``base`` has, where it is a single one."""
    found = repository.find(head)
    parents = repository.commit(found).parents if found is not None else ()
    if len(parents) != 1 or not repository.is_ancestor(parents[0], base) or repository.is_ancestor(head, base):
        return None
    (step,) = repository.steps(head, parents[0])
    return step


def still_counts(repository: Repository, tip: str, head: str) -> bool:
    """Tell whether what a head changes is at a tip what the head found, so that it may be merged now."""
    step = signed_step(repository, tip, head)
    return step is not None and all(
        (repository.blob_id(tip, path) or "") == change.before[1] for path, change in step.changes.items()
    )


def told_facts(
    repository: Repository,
    step: Step,
    head: str,
    trust: TrustChain | None,
    keyring: Keyring | None,
    stands: Callable[[str], bytes | None],
) -> Told:
    """Tell whether a commit of the line brought what the loop signed as ``head``, and what is wrong with that."""
    parent = step.parent
    signed = signed_step(repository, parent, head) if parent is not None else None
    if signed is None or dict(signed.changes) != dict(step.changes):
        return Told(False)
    data = repository.blobs([head], MAXIMUM_BYTES)[head]
    return told(repository, step, data, trust, keyring, stands)
