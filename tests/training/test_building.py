"""Builds: reproducible, cached by their inputs, recorded whether they succeed or fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelops.artifacts import BuildRecord, columns, load_predictor, open_artifact
from modelops.errors import ModelOpsError
from modelops.metrics import default_metrics
from modelops.training import find, record_digest, runs
from modelops.training.rows import holdout_predictions
from training.building_blocks import Workshop

Built = tuple[Workshop, BuildRecord]


def test_a_build_is_an_artifact_with_metrics_of_rows_it_has_not_seen(built: Built) -> None:
    """The record counts both parts, names the engine and holds every default metric with its interval."""
    _, record = built
    assert (record.rows_train, record.rows_test, record.rows_without_target) == (180, 60, 0)
    assert record.artifact.engine == "onnx"
    assert record.artifact.onnx_difference == pytest.approx(0, abs=1e-9)
    assert record.classes == ("no", "yes")
    assert {metric.name for metric in record.metrics} == set(default_metrics("binary-classification"))
    assert next(metric.value for metric in record.metrics if metric.name == "roc-auc") > 0.7
    assert BuildRecord.parse(record.dump()) == record
    assert record.score_profile is not None
    assert sum(record.score_profile.counts) == 60


@pytest.mark.slow
def test_little_memory_is_enough_for_the_onnx_model(workshop: Workshop) -> None:
    """What reads and exports the model asks for the memory that it needs, not for its limit."""
    record = workshop.build(workshop.request(training__memoryMib=512))
    assert (record.artifact.engine, record.artifact.engine_reason) == ("onnx", "")


def test_holdout_predictions_are_those_of_the_artifact(built: Built) -> None:
    """Scoring the snapshot again with the stored artifact gives the stored scores of the test rows."""
    workshop, record = built
    rows, stored = holdout_predictions(workshop.store.get(record.holdout), record.task, record.classes)
    predictor = load_predictor(open_artifact(workshop.store, record.artifact.digest))
    scores = predictor.predict_columns(columns(workshop.table, predictor.signature.features)).scores
    np.testing.assert_allclose(scores[rows], stored.y_score, atol=1e-12)
    assert predictor.signature.positive == "yes"
    labels = np.array(workshop.table["left"].to_pylist())[rows]
    assert ((labels == "yes") == (stored.y_true == 1)).all()


_ELSEWHERE = """
import sys
from pathlib import Path
from modelops.training import record_digest
from training.building_blocks import Workshop
workshop = Workshop(Path(sys.argv[1]))
record = workshop.build(workshop.request(), scratch="a/much/longer/scratch/folder")
print(record.artifact.digest, record_digest(record), record.holdout)
"""


def test_another_process_builds_the_same_bytes(built: Built, tmp_path: Path) -> None:
    """With another hash seed, store and scratch folder: same artifact, same record, same predictions."""
    _, record = built
    path = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": path, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", _ELSEWHERE, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [record.artifact.digest, record_digest(record), record.holdout]


def test_equal_inputs_are_found_and_nothing_is_read(built: Built) -> None:
    """A second build with other prose in its spec is a cache hit: the data is not even materialised."""
    workshop, record = built
    reads = workshop.reads
    assert workshop.build(workshop.request(owner="team-b")) == record
    assert workshop.reads == reads
    newest = runs(workshop.ledger, "churn")[0]
    assert (newest.outcome, newest.artifact) == ("cached", record.artifact.digest)
    assert find(workshop.store, "sha256:" + "0" * 64, workshop.trust) is None


def test_runs_are_recorded_with_parameters_and_metrics(built: Built) -> None:
    """The ledger knows when, from which inputs, with which parameters and what came out; it cannot be rewritten."""
    workshop, record = built
    first = runs(workshop.ledger)[-1]
    assert (first.outcome, first.inputs, first.started) == ("ok", record.inputs, "2026-05-01T00:00:00Z")
    assert first.parameters == {"trees": 5}
    assert first.metrics == {metric.name: metric.value for metric in record.metrics}
    assert first.build == record_digest(record)
    assert runs(workshop.ledger, "another") == ()


@pytest.mark.parametrize(
    "part",
    ["record", *(pytest.param(part, marks=pytest.mark.slow) for part in ("artifact", "holdout"))],
)
def test_a_changed_byte_in_a_cached_build_is_not_believed(built: Built, tmp_path: Path, part: str) -> None:
    """A cache hit is verified to the last byte before it is believed; what was changed is named and built again."""
    workshop, record = built
    copy = Workshop(tmp_path)
    blobs = Path(".modelops/store")
    subprocess.run(["cp", "-r", str(workshop.root / ".modelops"), str(tmp_path)], check=True)
    digests = {"record": record_digest(record), "artifact": record.artifact.digest, "holdout": record.holdout}
    victim = tmp_path / blobs / "blobs" / "sha256" / digests[part].removeprefix("sha256:")
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    again = copy.made(copy.request())
    assert (again.record, again.key) == (record, None)
    assert again.refused is not None
    assert again.refused.first.code == "digest-mismatch"
    assert [(run.outcome, run.problem) for run in runs(copy.ledger)[:2]] == [
        ("ok", None),
        ("failed", "digest-mismatch"),
    ]
    assert copy.made(copy.request()).key == "local"


MANY = """
from sklearn.ensemble import HistGradientBoostingClassifier as Classifier, HistGradientBoostingRegressor as Regressor
from shapes import kind


def train(features, target, parameters, seed):
    model = Regressor if kind(target) == "f" else Classifier
    print("training on", list(features.columns), target.dtype)
    return model(max_iter=3, random_state=seed).fit(features, target)
"""
SHAPES = b"def kind(target):\n    return target.dtype.kind\n"


@pytest.mark.parametrize(
    ("task", "target", "classes"),
    [
        pytest.param("multiclass-classification", "band", ("low", "mid", "top"), marks=pytest.mark.slow),
        ("regression", "worth", ()),
    ],
)
def test_other_tasks_and_helper_modules(workshop: Workshop, task: str, target: str, classes: tuple[str, ...]) -> None:
    """Three classes and values are built and evaluated too; code may import its neighbours; its output is kept."""
    features = [{"name": "amount", "type": "number", "nullable": True}, {"name": "age", "type": "integer"}]
    changes: dict[str, Any] = {"data__target": target, "data__positive": None, "data__features": features}
    record = workshop.build(workshop.request(MANY, {"shapes.py": SHAPES}, task=task, **changes))
    assert record.classes == classes
    assert record.artifact.engine == "onnx"
    assert {metric.name for metric in record.metrics} <= set(default_metrics(record.task))
    assert load_predictor(open_artifact(workshop.store, record.artifact.digest)).signature.target == target
    log = next((workshop.root / ".modelops" / "runs").glob("*.log")).read_text()
    assert "training on ['amount', 'age']" in log


def test_the_build_is_an_oci_manifest_with_record_and_predictions(built: Built) -> None:
    """Any OCI tool can carry a build: a manifest with an artifact type and two typed layers."""
    workshop, record = built
    digest = workshop.store.resolve("build-" + record.inputs.removeprefix("sha256:"))
    assert digest is not None
    manifest = json.loads(workshop.store.get(digest))
    assert manifest["artifactType"] == "application/vnd.modelops.build.v1+json"
    assert [layer["digest"] for layer in manifest["layers"]][:2] == [record_digest(record), record.holdout]
    assert manifest["layers"][2]["mediaType"] == "application/vnd.dsse.envelope.v1+json"


def test_an_unwritable_scratch_folder_is_the_worlds_fault(workshop: Workshop) -> None:
    """A scratch path that is a file is exit 4 with the path."""
    (workshop.root / "taken").write_text("")
    with pytest.raises(ModelOpsError, match="scratch-unwritable") as caught:
        workshop.build(workshop.request(), scratch="taken")
    assert caught.value.exit == 4
