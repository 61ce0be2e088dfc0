"""The environment lock that releases were made with, as git has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

from modelops.digests import digest_bytes
from modelops.errors import Exit, failure
from modelops.project.workspace import Workspace
from modelops.spec import layout
from modelops.spec.kinds.release import ReleaseSpec

__all__ = ["lock_of"]


def lock_of(workspace: Workspace, tip: str, releases: Mapping[tuple[str, int], ReleaseSpec]) -> bytes:
    """Return the environment lock that releases were made with, as one server answers for all of them.

    What ONNX Runtime serves computes the same in any environment, so the newest of their locks is good for all. What
    Python code serves needs the very versions that it was checked with.
    """
    exact = {key: each for key, each in releases.items() if each.artifact.engine != "onnx"}
    chosen = exact or releases
    if not chosen:
        return workspace.lock(tip)
    by_lock = {each.environment_lock: key for key, each in sorted(exact.items())}
    if len(by_lock) > 1:
        named = " and ".join(f"{model} {number}" for model, number in list(by_lock.values())[:2])
        raise failure(
            "locks-differ",
            f"{named} are served by Python code and were made with different environment locks",
            exit=Exit.NO,
            hint="release one of them again with the lock of today, or run them in environments of their own",
        )
    newest = reduce(_newer(workspace), (each.code.commit for _, each in sorted(chosen.items())))
    lock, wanted = workspace.lock(newest), {e.environment_lock for e in chosen.values() if e.code.commit == newest}
    if digest_bytes(lock) not in wanted:
        raise failure(
            "lock-changed",
            f"{layout.LOCK} of {newest[:12]} is not the environment lock that was released",
            exit=Exit.NO,
            hint="the clone lacks a commit or was rewritten: fetch it whole",
        )
    return lock


def _newer(workspace: Workspace) -> Callable[[str, str], str]:
    return lambda one, other: other if workspace.repository.is_ancestor(one, other) else one
