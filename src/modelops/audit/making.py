"""How a release was made, as its evidence states it, and whether its code is still what was bound by SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from modelops.errors import Location, ModelOpsError, Problem
from modelops.evidence import PROVENANCE, Making, Statement, making_of
from modelops.repository import Repository
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.layout import in_model, model_folder

__all__ = ["changed_code", "made_of"]


def made_of(statements: Sequence[Statement]) -> Making | None:
    """Return how a release was made; None where its evidence is older than that, or proves nothing."""
    return next((making_of(one.predicate) for one in statements if one.predicate_type == PROVENANCE), None)


def changed_code(spec: ReleaseSpec, repository: Repository, statements: Sequence[Statement]) -> Problem | None:
    """Return what is wrong if the code at the release's commit has other bytes than its evidence binds by SHA-256.

    Git names files by SHA-1, of which two files can be made to have the same. Nothing is said where this clone lacks
    the commit, nor of a release whose evidence is older than these digests.
    """
    making = made_of(statements)
    if making is None:
        return None
    paths = {in_model(spec.model, path): digest for path, digest in making.code.items()}
    try:
        there = repository.paths(spec.code.commit, model_folder(spec.model))
        found = repository.read_many(spec.code.commit, [path for path in paths if path in there])
    except ModelOpsError:
        return None
    changed = [path for path, digest in sorted(paths.items()) if _digest(found.get(path)) != digest]
    if not changed:
        return None
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return Problem(
        "code-changed",
        f"{changed[0]}{more} at {spec.code.commit[:10]} is not the code that the evidence binds by SHA-256",
        Location(changed[0]),
        hint="git's own ids are of SHA-1: find out who pushed another file under the same one",
    )


def _digest(data: bytes | None) -> str | None:
    return hashlib.sha256(data).hexdigest() if data is not None else None
