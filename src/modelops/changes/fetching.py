"""What a build is compared with, brought to a machine that has no way to the project's store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from modelops.artifacts import BuildRecord
from modelops.changes.building import champion_of
from modelops.changes.proposal import proposed, selected
from modelops.data import Place
from modelops.data.travelling import hand_on
from modelops.errors import ModelOpsError
from modelops.project.workspace import Workspace
from modelops.spec.kinds import Resource
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.layout import model_folder
from modelops.stores import Store

__all__ = ["Fetched", "fetch_compared"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the build of a model that a change touches reads: its stable release, or a snapshot that no clone has.

    ``missing`` says why it is not here, where it is not.
    """

    model: str
    release: int | None = None
    snapshot: str | None = None
    missing: str | None = None


def fetch_compared(workspace: Workspace, to: Store, since: str, say: Callable[[str], None]) -> tuple[Fetched, ...]:
    """Copy what the builds of a change read and are compared with from the project's store, verified, into another one.

    That is the rows that are in the store and not in git, and the stable release. What the project's store does not
    have is said and left out: gates find no data then, which is no pass. Every blob is verified when it is read; what
    is there already is not read again.
    """
    revision = proposed(workspace, since, dirty=False) or workspace.repository.head()
    graph = workspace.graph(revision)
    found: list[Fetched] = []
    for name in selected(workspace, graph, (), since, revision):
        entry = graph.models.get(name)
        if entry is None or entry.model is None:
            continue
        champion = champion_of(graph, name)
        pinned = [entry.model.spec.data.snapshot, *([champion.spec.data.snapshot] if champion is not None else [])]
        for snapshot in dict.fromkeys(pinned):
            if snapshot in entry.snapshots:
                try:
                    found += _data(workspace, entry.snapshots[snapshot], name, revision, to)
                except ModelOpsError as error:
                    # The report says what is wrong with a snapshot, and other models need it as well.
                    if error.retryable or error.first.code == "digest-mismatch":
                        raise
                    found.append(Fetched(name, snapshot=snapshot, missing=error.first.message))
        if champion is None:
            continue
        number = champion.spec.version
        say(f"fetching {name} release {number}")
        try:
            _copy(workspace.store, to, champion.spec)
        except ModelOpsError as error:
            if error.first.code != "not-in-store":
                raise
            found.append(Fetched(name, number, missing=error.first.message))
            continue
        found.append(Fetched(name, number))
    return tuple(found)


def _data(
    workspace: Workspace,
    snapshot: Resource[DataSnapshotSpec],
    model: str,
    revision: str,
    to: Store,
) -> Iterator[Fetched]:
    """Copy the files of a snapshot that the store has and a clone has not."""
    place = Place(workspace.root, workspace.root / model_folder(model), workspace.cache, workspace.store)

    def committed(path: str, limit: int) -> bytes | None:
        blob = workspace.repository.blob_id(revision, path)
        data = workspace.repository.blobs([blob], limit)[blob] if blob is not None else None
        return data if isinstance(data, bytes) else None

    count, missing = hand_on(snapshot.spec, place, committed, to)
    if snapshot.spec.source.type == "store" and missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield Fetched(model, snapshot=snapshot.name, missing=f"{missing[0]}{more} is not in the store")
    elif count:
        yield Fetched(model, snapshot=snapshot.name)


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
