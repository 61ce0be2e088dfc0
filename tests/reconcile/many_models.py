"""Many models in one world without training each: copies of one build, each of them named, signed and recorded.

``python -m reconcile.many_models FOLDER COUNT`` in ``tests/`` leaves such a world in a folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from git_world import git, nobodys_configuration
from modelops import training
from modelops.artifacts import BuildRecord, open_artifact, put_artifact
from modelops.artifacts.package import SIGNATURE
from modelops.artifacts.signature import Signature
from modelops.changes import building
from modelops.clock import format_instant
from modelops.digests import digest_bytes
from modelops.evidence import Signer
from modelops.project.workspace import Workspace, model_entry
from modelops.releases import promotion_files, release_files
from modelops.repository import Landing
from modelops.spec.kinds.promotion import PromotionSpec
from modelops.spec.kinds.release import ReleaseArtifact
from modelops.spec.layout import ReleaseFiles, Seat, in_model, model_folder
from reconcile.loop_world import ADA, ENVIRONMENTS, FILES, MODEL, World, begin

_DEPLOYMENT = "apiVersion: modelops/v1\nkind: Deployment\nmetadata:\n  name: {}\nspec:\n  stable: {}\n"


def names_of(count: int) -> list[str]:
    """Return the names of that many models: the world's own one first, and some in the folders of teams."""
    return [MODEL, *(f"team-{n % 7}/m{n:05}" if n % 3 == 0 else f"m{n:05}" for n in range(1, count))]


def many_models(world: World, count: int) -> list[str]:
    """Give a world, whose main has one model without a release, so many models with release 1 stable everywhere.

    Nothing is left to be done for any of them but to serve it.
    """
    many = _Many(world, names_of(count))
    many.land("Copy the model", {path: data for name in many.names[1:] for path, data in many.copied(name).items()})
    many.land("Release", dict(many.released()))
    commit = many.land("Make them stable", {seat.deployment: _says(seat, 1) for seat in many.seats()})
    many.land("Record it", dict(many.recorded(commit)))
    git(world.root, "pull", "-q", "--ff-only")
    return many.names


def promoted_often(world: World, model: str, environment: str, count: int) -> None:
    """Give a model in an environment so many signed records as if it had been made stable again and again."""
    many = _Many(world, [model])
    workspace, seat = many.workspace, Seat(model, environment)
    tip, graph = workspace.desired()
    entry = model_entry(graph, model)
    newest = max(int(name.rpartition("-")[2]) for name in entry.promotions if name.startswith(f"{environment}-"))
    spec = entry.promotions[f"{environment}-{newest}"].spec.model_copy(update={"commit": tip})
    files = {}
    for number in range(newest + 1, newest + 1 + count):
        for path, data in promotion_files(spec, number=number, signer=many.signer).items():
            files[in_model(seat.model, path)] = data
    many.land("Record it often", files)
    git(world.root, "pull", "-q", "--ff-only")


def _says(seat: Seat, stable: int) -> bytes:
    return _DEPLOYMENT.format(seat.environment, stable).encode()


@dataclass
class _Many:
    """The models in the making."""

    world: World
    names: list[str]

    def __post_init__(self) -> None:
        self.workspace: Workspace = self.world.workspace()
        self.signer: Signer = self.workspace.signer

    def seats(self) -> Iterator[Seat]:
        return (Seat(name, environment) for name in self.names for environment in ENVIRONMENTS)

    def land(self, message: str, files: Mapping[str, bytes]) -> str:
        now = self.workspace.clock()
        commit = self.workspace.repository.land("main", lambda tip: Landing(files, f"{message}\n"), ADA, now)
        assert commit is not None
        return commit

    def copied(self, name: str) -> dict[str, bytes]:
        """Return the files of the world's model under another name."""
        folder, snapshot = model_folder(MODEL), in_model(MODEL, "data/initial.yaml")
        files = {path: text for path, text in FILES.items() if path.startswith(folder)}
        files[snapshot] = self.world.show(snapshot) + "\n"
        return {
            in_model(name, path.removeprefix(folder)): text.replace(f"  name: {MODEL}\n", f"  name: {name}\n").encode()
            for path, text in files.items()
        }

    def released(self) -> Iterator[tuple[str, bytes]]:
        """Yield the files of release 1 of every model, made from one build."""
        tip, graph = self.workspace.desired()
        made = building.judged_build(self.workspace, graph, MODEL, tip, graph)
        for name in self.names:
            request = building.request(self.workspace, graph, name, tip)
            record = self._named(made.record, name, request)
            files = release_files(
                *(1, record, made.verdicts),
                model=request.model,
                snapshot=request.snapshot,
                commit=tip,
                champion=None,
                signer=self.signer,
            )
            yield from ((in_model(name, path), data) for path, data in files.items())

    def _named(self, made: BuildRecord, name: str, request: training.BuildRequest) -> BuildRecord:
        """Return the record of a build as if it had been made for another model, with that model's artifact."""
        files = open_artifact(self.workspace.store, made.artifact.digest).files
        signature = Signature.parse(files[SIGNATURE]).model_copy(update={"model": name})
        stored = put_artifact(self.workspace.store, {**files, SIGNATURE: signature.dump()})
        of_store = {"digest": stored.digest, "size": stored.size, "files": stored.files}
        artifact: ReleaseArtifact = made.artifact.model_copy(update=of_store)
        inputs = training.inputs_digest(request)
        own = {"model": name, "inputs": inputs, "code_tree": request.code_tree, "artifact": artifact}
        return made.model_copy(update=own)

    def recorded(self, commit: str) -> Iterator[tuple[str, bytes]]:
        """Yield the signed records of the commit that made every release stable."""
        repository, now = self.workspace.repository, format_instant(self.workspace.clock())
        tip, graph = self.workspace.desired()
        assert graph.approvals is not None
        evidence = repository.read_many(tip, [ReleaseFiles(name, 1).evidence for name in self.names])
        for seat in self.seats():
            spec = PromotionSpec(
                model=seat.model,
                environment=seat.environment,
                release=1,
                artifact=model_entry(graph, seat.model).releases[1].spec.artifact.digest,
                evidence=digest_bytes(evidence[ReleaseFiles(seat.model, 1).evidence]),
                path="automatic",
                commit=commit,
                policy=graph.approvals.digest,
                reason="made for a test",
                promoted_at=now,
            )
            made = promotion_files(spec, number=1, signer=self.signer)
            yield from ((in_model(seat.model, path), data) for path, data in made.items())


if __name__ == "__main__":
    with nobodys_configuration(Path(sys.argv[1]).parent):
        many_models(begin(Path(sys.argv[1])), int(sys.argv[2]))
