"""Reproducing: the release again, from git, into an empty store, and how like the first one it is."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa

from modelops import training
from modelops.artifacts import Artifact, BuildRecord, columns, load_predictor, open_artifact
from modelops.artifacts.parameters import parameters_digest
from modelops.artifacts.predictor import SMOKE_TOLERANCE, difference, load_estimator
from modelops.changes import building
from modelops.data import read
from modelops.errors import Exit, ModelOpsError, failure
from modelops.project.workspace import Workspace, model_entry
from modelops.spec.kinds.release import MetricValue, ReleaseSpec
from modelops.stores import Store, open_at

__all__ = ["LEVELS", "TOLERANCE", "Comparison", "Level", "reproduce"]

Level = Literal["bytes", "parameters", "predictions", "metrics"]
"""How like a rebuild is, the strictest first: the artifact's bytes; what its estimator learnt; its predictions of the
test rows within ``TOLERANCE``; the metrics with their intervals, likewise."""
LEVELS: tuple[Level, ...] = get_args(Level)

TOLERANCE = SMOKE_TOLERANCE
"""Largest difference of two predictions or metrics that are called the same, absolute below 1 and relative above."""


@dataclass(frozen=True)
class Comparison:
    """What a release says beside what its rebuild gave.

    ``levels`` says of each level whether it is reached, None where it cannot be told because the released artifact is
    not in the store. ``inputs`` are the inputs that differ, by name; ``foreign`` those of them that git and the data
    decide: with any, the release is not what its commit gives. ``largest`` is the largest difference of a prediction.
    """

    model: str
    number: int
    rows: tuple[tuple[str, str, str], ...]
    levels: Mapping[Level, bool | None]
    inputs: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    largest: float | None = None
    missing: str = ""

    @property
    def level(self) -> Level | None:
        """The best level that is reached."""
        return next((level for level in LEVELS if self.levels[level]), None)

    def reaches(self, level: Level) -> bool:
        """Say whether a level or a stricter one is reached, by what the release itself names."""
        return not self.foreign and any(self.levels[one] for one in LEVELS[: LEVELS.index(level) + 1])


def reproduce(workspace: Workspace, model: str, number: int) -> Comparison:
    """Rebuild a release from the commit it names, reading data as pinned, with an empty store for the results."""
    tip, graph = workspace.desired()
    releases = model_entry(graph, model).releases
    if number not in releases:
        known = ", ".join(map(str, sorted(releases))) or "none"
        raise failure("unknown-release", f"{model} has no release {number}", exit=Exit.USAGE, hint=f"releases: {known}")
    release: ReleaseSpec = releases[number].spec
    commit = release.code.commit
    wanted = building.request(workspace, workspace.graph(commit), model, commit)
    materialise = building.materialiser(workspace, graph, model, wanted.snapshot, commit)
    with tempfile.TemporaryDirectory(prefix="modelops-reproduce-") as folder:
        # A folder of this machine, wherever the project keeps its artifacts: nothing of a rebuild is published.
        empty = open_at(f"oci-layout:{folder}/store", workspace.root, {})
        record = training.build(
            wanted,
            materialise=materialise,
            read=building.reader(wanted.snapshot),
            store=empty,
            scratch=Path(folder) / "scratch",
            ledger=workspace.ledger,
            clock=workspace.clock,
            terms=workspace.terms(graph),
            doing=workspace.doing,
        ).record
        same, missing = _released(workspace.store, release)
        again = open_artifact(empty, record.artifact.digest)
    largest = _difference(wanted, materialise(), same, again) if same is not None else None
    making = building.making_of_release(workspace, graph, tip, releases[number])
    return Comparison(
        model,
        number,
        _rows(release, record),
        {
            "bytes": release.artifact.digest == record.artifact.digest,
            "parameters": _learnt_the_same(same, again) if same is not None else None,
            "predictions": largest <= TOLERANCE if largest is not None else None,
            "metrics": _same_metrics(release.metrics, record.metrics),
        },
        training.differing_inputs(release, making, wanted),
        _foreign(release, record),
        largest,
        missing,
    )


def _released(store: Store, release: ReleaseSpec) -> tuple[Artifact | None, str]:
    """Return the released artifact, or why it is not to be had."""
    try:
        return open_artifact(store, release.artifact.digest), ""
    except ModelOpsError as error:
        return None, error.first.message


def _rows(release: ReleaseSpec, record: BuildRecord) -> tuple[tuple[str, str, str], ...]:
    metrics = {metric.name: f"{metric.value:.12g}" for metric in release.metrics}
    again = {metric.name: f"{metric.value:.12g}" for metric in record.metrics}
    said, got = ("1" if one is None else f"weighted by {one}" for one in (release.weight, record.weight))
    return (
        ("inputs", release.inputs, record.inputs),
        ("data", release.data.root, record.data_root),
        ("code tree", release.code.tree, record.code_tree),
        ("environment lock", release.environment_lock, record.environment_lock),
        *([("weight of a row", said, got)] if said != got or release.weight is not None else []),
        *((f"metric {name}", metrics[name], again.get(name, "missing")) for name in sorted(metrics)),
        ("artifact", release.artifact.digest, record.artifact.digest),
    )


def _foreign(release: ReleaseSpec, record: BuildRecord) -> tuple[str, ...]:
    compared = {
        "the spec": (release.spec, record.spec),
        "the data": (release.data.root, record.data_root),
        "the code": (release.code.tree, record.code_tree),
        "the lock": (release.environment_lock, record.environment_lock),
    }
    return tuple(name for name, (said, got) in compared.items() if said != got)


def _learnt_the_same(one: Artifact, other: Artifact) -> bool:
    return parameters_digest(load_estimator(one)) == parameters_digest(load_estimator(other))


def _difference(wanted: training.BuildRequest, folder: Path, one: Artifact, other: Artifact) -> float:
    """Return the largest difference of two artifacts' predictions of the test rows; infinite if they cannot be put."""
    parts = training.divided(wanted, read(folder, wanted.snapshot.spec))
    test = parts.table.take(pa.array(parts.test))
    scores = []
    for predictor in (load_predictor(one), load_predictor(other)):
        scores.append(predictor.predict_columns(columns(test, predictor.signature.features)).scores)
    return difference(scores[1], scores[0])


def _same_metrics(said: tuple[MetricValue, ...], got: tuple[MetricValue, ...]) -> bool:
    again = {metric.name: metric for metric in got}
    return all(metric.name in again and _same_metric(metric, again[metric.name]) for metric in said)


def _same_metric(one: MetricValue, other: MetricValue) -> bool:
    pairs = ((one.value, other.value), (one.lower, other.lower), (one.upper, other.upper))
    return all(math.isclose(said, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for said, got in pairs)
