"""What a build is compared with, brought to a machine that has no way to the project's store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from modelops.artifacts import BuildRecord
from modelops.changes.building import champion_of
from modelops.changes.proposal import proposed, selected
from modelops.errors import ModelOpsError
from modelops.project.workspace import Workspace
from modelops.spec.kinds.release import ReleaseSpec
from modelops.stores import Store

__all__ = ["Fetched", "fetch_compared"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """The stable release of a model that a change touches; ``missing`` says why it is not here, where it is not."""

    model: str
    release: int
    missing: str | None = None


def fetch_compared(workspace: Workspace, to: Store, since: str, say: Callable[[str], None]) -> tuple[Fetched, ...]:
    """Copy what the builds of a change are compared with from the project's store, verified, into another one.

    What the project's store does not have is said and left out: its gates find no data then, which is no pass. Every
    blob is verified when it is read; what is there already is not read again.
    """
    revision = proposed(workspace, since, dirty=False)
    graph = workspace.graph(revision)
    found = []
    for name in selected(workspace, graph, (), since, revision):
        champion = champion_of(graph, name) if name in graph.models else None
        if champion is None:
            continue
        number = champion.spec.version
        say(f"fetching {name} release {number}")
        try:
            _copy(workspace.store, to, champion.spec)
        except ModelOpsError as error:
            if error.first.code != "not-in-store":
                raise
            found.append(Fetched(name, number, error.first.message))
            continue
        found.append(Fetched(name, number))
    return tuple(found)


def _copy(store: Store, to: Store, release: ReleaseSpec) -> None:
    for digest in _needed(store, release):
        if not to.has(digest):
            to.put(store.get(digest))


def _needed(store: Store, release: ReleaseSpec) -> Iterator[str]:
    """Yield the blobs of a release's artifact and of its build, what a manifest names before it."""
    manifest = json.loads(store.get(release.artifact.digest))
    yield manifest["config"]["digest"]
    yield from (layer["digest"] for layer in manifest["layers"])
    yield release.artifact.digest
    yield BuildRecord.parse(store.get(release.build)).holdout
    yield release.build
