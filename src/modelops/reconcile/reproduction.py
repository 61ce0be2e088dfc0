"""Reproducing: the release again, from git, into an empty store."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from modelops import plugins, training
from modelops.errors import Exit, failure
from modelops.reconcile import building
from modelops.reconcile.workspace import Workspace, model_entry
from modelops.spec.delivery import ReleaseSpec


@dataclass(frozen=True)
class Comparison:
    """What a release says beside what its rebuild gave; the best level reached is stated."""

    model: str
    number: int
    rows: tuple[tuple[str, str, str], ...]

    @property
    def identical(self) -> bool:
        """Whether every digest is equal."""
        return all(said == got for _, said, got in self.rows)

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as plain data."""
        rows = [{"what": what, "released": said, "rebuilt": got, "equal": said == got} for what, said, got in self.rows]
        return {"model": self.model, "release": self.number, "identical": self.identical, "comparison": rows}

    def explain(self) -> str:
        """Return the comparison for people."""
        lines = [
            f"{'=' if said == got else '!'} {what}: {said}" + ("" if said == got else f", rebuilt: {got}")
            for what, said, got in self.rows
        ]
        word = "identical" if self.identical else "NOT identical"
        return "\n".join([*lines, f"{self.model} release {self.number}: the rebuild is {word}"])


def reproduce(workspace: Workspace, model: str, number: int) -> Comparison:
    """Rebuild a release from the commit it names, reading data as pinned, with an empty store for the results."""
    _, graph = workspace.desired()
    releases = model_entry(graph, model).releases
    if number not in releases:
        known = ", ".join(map(str, sorted(releases))) or "none"
        raise failure("unknown-release", f"{model} has no release {number}", exit=Exit.USAGE, hint=f"releases: {known}")
    release: ReleaseSpec = releases[number].spec
    commit = release.code.commit
    wanted = building.request(workspace, workspace.graph(commit), model, commit)
    with tempfile.TemporaryDirectory(prefix="modelops-reproduce-") as folder:
        module = plugins.load("stores", "oci-layout")
        empty = module.open(module.Params(path=str(Path(folder) / "store")), workspace.root)
        record = training.build(
            wanted,
            materialise=building.materialiser(workspace, graph, model, wanted.snapshot, commit),
            read=building.reader(wanted.snapshot),
            store=empty,
            scratch=Path(folder) / "scratch",
            ledger=workspace.ledger,
            clock=workspace.clock,
        )
    metrics = {metric.name: f"{metric.value:.12g}" for metric in release.metrics}
    again = {metric.name: f"{metric.value:.12g}" for metric in record.metrics}
    rows = (
        ("inputs", release.inputs, record.inputs),
        ("data", release.data.root, record.data_root),
        ("code tree", release.code.tree, record.code_tree),
        ("environment lock", release.environment_lock, record.environment_lock),
        *((f"metric {name}", metrics[name], again.get(name, "missing")) for name in sorted(metrics)),
        ("artifact", release.artifact.digest, record.artifact.digest),
    )
    return Comparison(model, number, rows)
