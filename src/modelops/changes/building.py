"""Building and judging: from a model at a revision to a build record and its verdicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from modelops import training
from modelops.artifacts import BuildRecord
from modelops.data import materialise, read
from modelops.data.making import withheld
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.evidence import (
    PROVENANCE,
    Keyring,
    Making,
    Signer,
    making_of,
    release_evidence_path,
    require_predicate,
    require_subject,
    verify_lines,
)
from modelops.governance.waivers import Standing, standings, waive
from modelops.project.retired import next_release
from modelops.project.workspace import Workspace, model_entry, snapshot_of, trusted
from modelops.releases.chance import NO_CHANCE, Chance, chance
from modelops.releases.verdicts import Finding, Outcome, bind_policy, disagreements, judge, outcome, passed
from modelops.spec.graph import Graph
from modelops.spec.kinds import Resource
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, location_problem
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.release import ReleaseSpec, VerdictRecord
from modelops.spec.layout import LOCK, MODEL, in_model, is_postmortem, model_folder
from modelops.spec.tree import ModelEntry
from modelops.training.supervise import Crew

if TYPE_CHECKING:
    from modelops.training.building import Divided


@dataclass(frozen=True)
class Judged:
    """A build and what its gates found; ``champion`` is the stable release it was compared with.

    ``making`` is how it was made; ``refused`` is why the build that the store had was not taken. ``chance`` is what the
    gates leave to chance.
    """

    model: Resource[ModelSpec]
    snapshot: Resource[DataSnapshotSpec]
    record: BuildRecord
    findings: tuple[Finding, ...]
    champion: Resource[ReleaseSpec] | None
    making: Making | None = None
    refused: ModelOpsError | None = None
    waivers: tuple[Standing, ...] = ()
    chance: Chance = NO_CHANCE

    @property
    def outcome(self) -> Outcome:
        """The one word for what the gates found."""
        return outcome(self.verdicts)

    @property
    def unheard(self) -> tuple[Standing, ...]:
        """Waivers that would let a verdict through and do not count, each of which says why."""
        held = [verdict for verdict in self.verdicts if verdict.holds]
        return tuple(
            one
            for one in self.waivers
            if not one.counts and any(one.covers(verdict, self.model.name, None) for verdict in held)
        )

    def numbered(self, number: int) -> Judged:
        """Return it as it counts for a release of some number: a waiver may be for other ones."""
        waived = waive(self.verdicts, self.waivers, self.model.name, number)
        findings = tuple(replace(one, record=record) for one, record in zip(self.findings, waived, strict=True))
        return replace(self, findings=findings)

    @property
    def verdicts(self) -> tuple[VerdictRecord, ...]:
        """What the gates found, as a release has it."""
        return tuple(found.record for found in self.findings)

    @property
    def details(self) -> dict[str, Mapping[str, Any]]:
        """The numbers behind the verdicts by ``policy/gate``, where a gate gave any."""
        return {found.key: found.details for found in self.findings if found.details}

    @property
    def passed(self) -> bool:
        """Whether every blocking gate passed, and there was at least one."""
        return passed(self.verdicts)


def request(workspace: Workspace, graph: Graph, name: str, revision: str | None) -> training.BuildRequest:
    """Collect everything that a build of a model depends on."""
    entry = model_entry(graph, name)
    code = workspace.code(revision, name)
    snapshots = {snapshot.name: snapshot.spec for snapshot in entry.snapshots.values()}
    return training.BuildRequest(
        model=entry.model,
        snapshot=snapshot_of(entry),
        code=code,
        code_tree=workspace.repository.tree_of(code),
        lock=workspace.lock(revision),
        withheld=withheld(name, entry.model.spec.training.entrypoint, snapshots, code),
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
            terms=workspace.terms(places),
        )

    return place_files


def reader(snapshot: Resource[DataSnapshotSpec]) -> Callable[[Path], pa.Table]:
    """Return the function that reads a snapshot's rows from its folder."""
    return lambda folder: read(folder, snapshot.spec)


def run_build(
    workspace: Workspace,
    graph: Graph,
    name: str,
    revision: str | None,
    places: Graph | None = None,
    refused: ModelOpsError | None = None,
) -> training.Build:
    """Train and evaluate a model, or find the build with equal inputs in the store, signed by a trusted key.

    The Project of ``places`` says where its data may lie, that of the graph itself unless given; the trust policy in
    force on the branch says whose builds are taken, whatever is proposed. With ``refused``, the reason, the store's
    build is not taken.
    """
    wanted = request(workspace, graph, name, revision)
    return builder(workspace, places or graph, name, revision, refused)(wanted)


def builder(
    workspace: Workspace,
    places: Graph,
    name: str,
    revision: str | None,
    refused: ModelOpsError | None = None,
    crew: Crew | None = None,
) -> Callable[[training.BuildRequest], training.Build]:
    """Return the function that builds a model as a request has it; of all it builds, the data is put in place once.

    Threads may share it, with a ``crew`` that ends their builds together.
    """
    lock = threading.Lock()
    placed: dict[str, Path] = {}
    tables: dict[str, pa.Table] = {}
    trust, key, terms = _trusted_now(workspace), partial(_builder, workspace), workspace.terms(places)

    def place(wanted: training.BuildRequest) -> Path:
        root = wanted.snapshot.spec.root
        with lock:
            if root not in placed:
                placed[root] = materialiser(workspace, places, name, wanted.snapshot, revision)()
            return placed[root]

    def table(wanted: training.BuildRequest, folder: Path) -> pa.Table:
        root = wanted.snapshot.spec.root
        with lock:
            if root not in tables:
                tables[root] = reader(wanted.snapshot)(folder)
            return tables[root]

    def signer() -> Signer | None:
        with lock:
            return key()

    def build(wanted: training.BuildRequest) -> training.Build:
        return training.build(
            wanted,
            materialise=lambda: place(wanted),
            read=lambda folder: table(wanted, folder),
            store=workspace.store,
            scratch=workspace.state / "scratch",
            ledger=workspace.ledger,
            clock=workspace.clock,
            terms=terms,
            environment=workspace.environ,
            trust=trust,
            signer=signer,
            refused=refused,
            crew=crew,
            doing=workspace.doing if crew is None else lambda what: None,
        )

    return build


def _trusted_now(workspace: Workspace) -> Keyring | None:
    """Return the keys that count for builds of the store, None where no branch says whose do.

    A store keeps what no commit brought in, so a key counts for it as long as it counts now.
    """
    tip = workspace.repository.find_tip(workspace.branch)
    try:
        return trusted(workspace, tip) if tip is not None else None
    except ModelOpsError:
        return None


def _builder(workspace: Workspace) -> Signer | None:
    """Return the key that signs what this machine builds; a machine without a usable one builds for itself alone.

    Whoever has to sign a release says what is wrong with the key; what was trained meanwhile is not lost for it.
    """
    try:
        return workspace.signer
    except ModelOpsError:
        return None


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
    # A policy that exists judges as it was; a new one came with the change, which then needs a policy's approvals.
    asked = [
        bind_policy(policies.gate_policies.get(policy) or graph.gate_policies[policy])
        for policy in model_entry(graph, name).model.spec.gates
    ]
    wanted = request(workspace, graph, name, revision)
    rows = _Rows(wanted, materialiser(workspace, places, name, wanted.snapshot, revision))
    made = run_build(workspace, graph, name, revision, places)
    try:
        training.recheck(wanted, made.record, rows.divided, workspace.store)
    except ModelOpsError as error:
        if made.key is None:
            raise
        made = run_build(workspace, graph, name, revision, places, refused=error)
        training.recheck(wanted, made.record, rows.divided, workspace.store)
    champion = champion_of(graph, name)
    entry = model_entry(graph, name)
    reference = entry.snapshots.get(champion.spec.data.snapshot) if champion is not None else None
    subject_of = training.subject(
        wanted,
        made.record,
        rows=lambda: rows.divided,
        store=workspace.store,
        champion=champion.spec if champion is not None else None,
        champion_profile=reference.spec.profile if reference is not None else None,
        champion_rows=_rows_of(workspace, places, name, champion, reference),
        retrain=lambda parts, seed, seconds: training.retrained(
            wanted, parts, seed, seconds, scratch=workspace.state / "scratch", terms=workspace.terms(places)
        ),
    )
    findings = tuple(found for policy in asked for found in judge(policy, subject_of))
    said = [one for policy in asked for one in disagreements(policy, findings, made.record.metrics)]
    if said:
        raise ModelOpsError(*(Problem("metrics-contradict", f"of {name}, {one}") for one in said), exit=Exit.NO)
    granted = standings(workspace, graph, revision, [name]) if revision is not None else ()
    left = chance(asked, len(_looks(workspace, entry, made.record)))
    judged = Judged(
        wanted.model, wanted.snapshot, made.record, findings, champion, made.making, made.refused, granted, left
    )
    number = next_release(workspace.repository, revision or workspace.repository.head(), name) if granted else 1
    return judged.numbered(number)


def told(refused: ModelOpsError | None) -> str:
    """Return the end of a sentence about a build: why the one that the store had was not taken, if so."""
    return f"; what the store had was not taken: {refused.first.message}" if refused is not None else ""


def _looks(workspace: Workspace, entry: ModelEntry, record: BuildRecord) -> frozenset[str]:
    """Return the builds that were measured on rows of a record's snapshot: it, released ones, this machine's."""
    released = {one.spec.build for one in entry.releases.values() if one.spec.data.root == record.data_root}
    here = training.looks(workspace.ledger, record.model, record.data_root)
    return here | released | {training.record_digest(record)}


def _rows_of(
    workspace: Workspace,
    places: Graph,
    model: str,
    release: Resource[ReleaseSpec] | None,
    snapshot: Resource[DataSnapshotSpec] | None,
) -> Callable[[], pa.Table]:
    """Return the function that reads the rows of the snapshot that a release was trained on."""

    def rows() -> pa.Table:
        if release is None or snapshot is None:
            raise failure("unknown-snapshot", "its snapshot is not in the repository")
        return read(materialiser(workspace, places, model, snapshot, release.spec.code.commit)(), snapshot.spec)

    return rows


class _Rows:
    """The rows of a build, read and divided when they are first asked for, and once."""

    def __init__(self, wanted: training.BuildRequest, place: Callable[[], Path]) -> None:
        self._wanted, self._place = wanted, place

    @cached_property
    def divided(self) -> Divided:
        """The rows with their coded target, and which of them train and test."""
        return training.divided(self._wanted, read(self._place(), self._wanted.snapshot.spec))


def input_paths(workspace: Workspace, revision: str, name: str) -> tuple[str, ...]:
    """Return the files whose change is a change of the model: its spec, its snapshots, its code and the lock.

    The digest of a build's inputs, the approval of a release and what counts as changed go by this one list.
    """
    code = (in_model(name, path) for path in workspace.code(revision, name))
    return (MODEL.path(name), in_model(name, "data"), *code, LOCK)


def release_with(graph: Graph, name: str, inputs: str) -> Resource[ReleaseSpec] | None:
    """Return the newest release of a model that was made from equal inputs."""
    releases = model_entry(graph, name).releases
    found = [number for number in releases if releases[number].spec.inputs == inputs]
    return releases[max(found)] if found else None


def making_of_release(
    workspace: Workspace, graph: Graph, revision: str, release: Resource[ReleaseSpec]
) -> Making | None:
    """Return how a release was made, as its signed evidence says; None if it is not proven, or older than that."""
    path = release_evidence_path(release.path)
    try:
        said = verify_lines(
            workspace.repository.read(revision, path), trusted(workspace, workspace.tip()), "release", path=path
        )
        made = require_predicate(said, PROVENANCE, path)[0]
        require_subject(made, release.path, release.digest)
    except ModelOpsError:
        return None
    return making_of(made.predicate)


def changed_models(workspace: Workspace, graph: Graph, since: str, revision: str) -> tuple[str, ...]:
    """Return the models that merging a revision into ``since`` changes there; all, if it changes the lock."""
    found = workspace.repository.changed_paths(since, workspace.repository.merged(since, revision))
    changed = [path for path in found if not is_postmortem(path)]
    if LOCK in changed:
        return tuple(sorted(graph.models))
    every = sorted({*graph.models, *graph.stalled_models})
    return tuple(name for name in every if any(path.startswith(model_folder(name)) for path in changed))
