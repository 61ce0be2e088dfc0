"""Building and judging: from a model at a revision to a build record and its verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from modelops import training
from modelops.artifacts import BuildRecord
from modelops.data import materialise, read
from modelops.errors import Location, ModelOpsError
from modelops.gates._run import judge, passed
from modelops.reconcile.actions import Build, Entry, Release
from modelops.reconcile.workspace import LOCK_FILE, Workspace, model_entry, snapshot_of
from modelops.spec.data import DataSnapshotSpec
from modelops.spec.delivery import ReleaseSpec, VerdictRecord
from modelops.spec.graph import Graph
from modelops.spec.kinds import Resource
from modelops.spec.model import ModelSpec
from modelops.spec.references import location_problem


@dataclass(frozen=True)
class Judged:
    """A build and what its gates found; ``champion`` is the stable release it was compared with."""

    model: Resource[ModelSpec]
    snapshot: Resource[DataSnapshotSpec]
    record: BuildRecord
    verdicts: tuple[VerdictRecord, ...]
    champion: Resource[ReleaseSpec] | None

    @property
    def passed(self) -> bool:
        """Whether every blocking gate passed, and there was at least one."""
        return passed(self.verdicts)


def request(workspace: Workspace, graph: Graph, name: str, revision: str | None) -> training.BuildRequest:
    """Collect everything that a build of a model depends on."""
    entry = model_entry(graph, name)
    code = workspace.code(revision, name)
    return training.BuildRequest(
        model=entry.model,
        snapshot=snapshot_of(entry),
        code=code,
        code_tree=workspace.repository.write_tree(code),
        lock=workspace.lock(revision),
    )


def materialiser(
    workspace: Workspace, places: Graph, model: str, snapshot: Resource[DataSnapshotSpec], revision: str | None
) -> Callable[[], Path]:
    """Return the function that puts a snapshot's verified files on disk, with the code of the revision that pins it.

    The Project of ``places`` says where data may lie: for a change that is only proposed, that of its base.
    """

    def place_files() -> Path:
        locations = places.project.spec.data_locations
        problem = location_problem(snapshot, locations)
        if problem is not None:
            raise ModelOpsError(problem)
        folder = workspace.root / "models" / model
        if revision is not None and snapshot.spec.source.type == "command":
            folder = workspace.cache / "code" / workspace.repository.resolve(revision) / model
            for path, data in workspace.code(revision, model).items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        return materialise(
            snapshot.spec,
            repository_root=workspace.root,
            model_folder=folder,
            cache=workspace.cache,
            store=workspace.store,
            locations=locations,
        )

    return place_files


def reader(snapshot: Resource[DataSnapshotSpec]) -> Callable[[Path], pa.Table]:
    """Return the function that reads a snapshot's rows from its folder."""
    return lambda folder: read(folder, snapshot.spec)


def run_build(
    workspace: Workspace, graph: Graph, name: str, revision: str | None, places: Graph | None = None
) -> BuildRecord:
    """Train and evaluate a model, or find the build with equal inputs in the store.

    The Project of ``places`` says where its data may lie; that of the graph itself unless given.
    """
    wanted = request(workspace, graph, name, revision)
    return training.build(
        wanted,
        materialise=materialiser(workspace, places or graph, name, wanted.snapshot, revision),
        read=reader(wanted.snapshot),
        store=workspace.store,
        scratch=workspace.state / "scratch",
        ledger=workspace.ledger,
        clock=workspace.clock,
    )


def champion_of(graph: Graph, name: str) -> Resource[ReleaseSpec] | None:
    """Return the stable release of the furthest environment that has one."""
    entry = model_entry(graph, name)
    ordered = sorted(
        graph.environments.values(),
        key=lambda found: (found.spec.order is not None, found.spec.order or 0),
        reverse=True,
    )
    for found in ordered:
        deployment = entry.deployments.get(found.name)
        if deployment is not None and deployment.spec.stable is not None:
            release: Resource[ReleaseSpec] = entry.releases[deployment.spec.stable]
            return release
    return None


def judged_build(
    workspace: Workspace, graph: Graph, name: str, revision: str | None, policies: Graph, *, merged: bool = True
) -> Judged:
    """Build a model and judge it by the gate policies of another graph, which is that of the change's base.

    A change can therefore not loosen the gates that judge it: those it edits count as they were before. Until it is
    ``merged``, the base says where its data may lie, too.
    """
    places = graph if merged else policies
    record = run_build(workspace, graph, name, revision, places)
    wanted = request(workspace, graph, name, revision)
    champion = champion_of(graph, name)
    entry = model_entry(graph, name)
    reference = entry.snapshots.get(champion.spec.data.snapshot) if champion is not None else None
    subject = training.subject(
        wanted,
        record,
        materialise=materialiser(workspace, places, name, wanted.snapshot, revision),
        read=reader(wanted.snapshot),
        store=workspace.store,
        champion=champion.spec if champion is not None else None,
        champion_profile=reference.spec.profile if reference is not None else None,
    )
    verdicts: list[VerdictRecord] = []
    for policy in wanted.model.spec.gates:
        # A policy that exists judges as it was; a new one came with the change, which then needs a policy's approvals.
        found = policies.gate_policies.get(policy) or graph.gate_policies[policy]
        verdicts += judge(policy, found.spec, subject)
    return Judged(wanted.model, wanted.snapshot, record, tuple(verdicts), champion)


def input_paths(workspace: Workspace, revision: str, name: str) -> tuple[str, ...]:
    """Return the files whose change is a change of the model: its spec, its snapshots and its code."""
    prefix = f"models/{name}/"
    return (f"{prefix}model.yaml", f"{prefix}data", *(prefix + path for path in workspace.code(revision, name)))


def judging_graph(workspace: Workspace, revision: str, name: str) -> Graph:
    """Return the graph of the commit before the one that last changed a model, whose policies judge that change."""
    commits = workspace.repository.log(input_paths(workspace, revision, name), revision, first_parent=True, limit=1)
    if not commits or not commits[0].parents:
        return workspace.graph(revision)
    before = workspace.graph(commits[0].parents[0])
    return before if before.gate_policies else workspace.graph(revision)


def release_with(graph: Graph, name: str, inputs: str) -> Resource[ReleaseSpec] | None:
    """Return the newest release of a model that was made from equal inputs."""
    releases = model_entry(graph, name).releases
    found = [number for number in releases if releases[number].spec.inputs == inputs]
    return releases[max(found)] if found else None


def plan_models(workspace: Workspace, graph: Graph, revision: str | None, names: Iterable[str]) -> tuple[Entry, ...]:
    """Return what models without a release for their present inputs would go through."""
    entries: list[Entry] = []
    automatic = tuple(
        sorted(found.name for found in graph.environments.values() if found.spec.promotion == "automatic")
    )
    for name in sorted(names):
        entry = model_entry(graph, name)
        inputs = training.inputs_digest(request(workspace, graph, name, revision))
        if release_with(graph, name, inputs) is not None:
            continue
        known = workspace.store.resolve(f"build-{inputs.removeprefix('sha256:')}") is not None
        newest = max(entry.releases, default=None)
        reason = "it has no release yet" if newest is None else f"its inputs differ from those of release {newest}"
        if known:
            reason += "; the build is in the store already"
        where = Location(entry.model.path)
        environments = tuple(environment for environment in automatic if environment in entry.deployments)
        entries += [Build(name, inputs, reason, where), Release(name, inputs, environments, where)]
    return tuple(entries)


def changed_models(workspace: Workspace, graph: Graph, since: str, revision: str) -> tuple[str, ...]:
    """Return the models that changed between the merge base with ``since`` and a revision; all, if the lock did."""
    base = workspace.repository.merge_base(since, revision)
    changed = workspace.repository.changed_paths(base, revision)
    if LOCK_FILE in changed:
        return tuple(sorted(graph.models))
    return tuple(name for name in sorted(graph.models) if any(path.startswith(f"models/{name}/") for path in changed))
