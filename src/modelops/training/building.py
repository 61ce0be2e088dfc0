"""One build: found by the digest of its inputs, or trained, exported, evaluated and stored as a whole."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.artifacts import BuildRecord, Signature, open_artifact, put_artifact
from modelops.artifacts.package import sha256
from modelops.artifacts.predictor import class_indices
from modelops.artifacts.signature import canonical_json, inputs_of
from modelops.clock import Clock, format_instant
from modelops.drift import psi
from modelops.errors import Location, ModelOpsError, failure
from modelops.metrics import Predictions, default_metrics, measure_all
from modelops.spec.delivery import ReleaseArtifact
from modelops.stores import Store
from modelops.training import ledger, tracking
from modelops.training.request import BuildRequest, inputs_digest, spec_digest
from modelops.training.rows import holdout_bytes, write_rows
from modelops.training.scratch import folder_for_a_build
from modelops.training.split import divide
from modelops.training.supervise import clean_environment, run_worker
from modelops.training.target import Target, encode

__all__ = ["Read", "build", "divided", "find", "record_digest"]

Array = np.ndarray[Any, Any]
Read = Callable[[Path], pa.Table]
"""Reads the rows of a materialised snapshot, typed as its columns say."""

RECORD_TYPE = "application/vnd.modelops.build.v1+json"
HOLDOUT_TYPE = "application/vnd.apache.parquet"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True, slots=True)
class Divided:
    """A snapshot's rows with their coded target, and the positions that train and that test."""

    table: pa.Table
    target: Target
    train: Array
    test: Array

    def codes(self, rows: Array) -> Array:
        """Return the target codes of some positions."""
        return self.target.values[np.searchsorted(self.target.rows, rows)]


def divided(request: BuildRequest, table: pa.Table) -> Divided:
    """Code the target and divide the rows, as the spec says and nothing else."""
    spec = request.model.spec
    target = encode(table, spec.data, spec.task)
    strata = None if spec.task == "regression" else target.values.astype(np.intp)
    train, test = divide(spec.training.split, spec.data, table, target.rows, strata, spec.training.seed)
    return Divided(table, target, train, test)


def reference(inputs: str) -> str:
    """Return the name under which a store keeps the build of some inputs."""
    return "build-" + inputs.removeprefix("sha256:")


def record_digest(record: BuildRecord) -> str:
    """Return the digest of a build record."""
    return sha256(record.dump())


def find(store: Store, inputs: str) -> BuildRecord | None:
    """Return the stored build of some inputs after verifying its record, its artifact and its holdout predictions.

    None when there is none or a part of it is gone; bytes that were changed raise ``digest-mismatch``.
    """
    digest = store.resolve(reference(inputs))
    if digest is None or not store.has(digest):
        return None
    manifest = json.loads(_verified(store, digest))
    layers = {layer["mediaType"]: layer["digest"] for layer in manifest["layers"]}
    if not all(store.has(layer) for layer in layers.values()):
        return None
    record = BuildRecord.parse(_verified(store, layers[RECORD_TYPE]))
    if record.inputs != inputs or layers[HOLDOUT_TYPE] != record.holdout:
        raise failure("bad-build-record", f"the store's {reference(inputs)} is the build of other inputs")
    if not store.has(record.artifact.digest):
        return None
    try:
        open_artifact(store, record.artifact.digest)
    except ModelOpsError as error:
        if error.problems[0].code == "not-in-store":
            return None
        raise
    _verified(store, record.holdout)
    return record


def _verified(store: Store, digest: str) -> bytes:
    data = store.get(digest)
    if sha256(data) != digest:
        raise failure("digest-mismatch", f"the blob {digest} has other bytes: {sha256(data)}")
    return data


def build(
    request: BuildRequest,
    *,
    materialise: Callable[[], Path],
    read: Read,
    store: Store,
    scratch: Path,
    ledger: Path,
    clock: Clock,
    environment: Mapping[str, str] = os.environ,
) -> BuildRecord:
    """Return the build of a request: from the store when its inputs were built before, else trained now.

    ``materialise`` and ``read`` are called only for a new build. ``scratch`` is a folder for temporary files,
    ``ledger`` the run ledger, to which every call adds one run. Nothing is stored by a build that fails.
    """
    inputs = inputs_digest(request)
    with _recorded(request, inputs, ledger, clock) as note:
        found = find(store, inputs)
        if found is not None:
            note("cached", found)
            return found
        record = _trained(request, inputs, materialise, read, store, scratch, ledger)
        note("ok", record)
    if tracking.configured(environment):
        tracking.track(record, record_digest(record), environment)
    return record


@contextmanager
def _recorded(
    request: BuildRequest, inputs: str, path: Path, clock: Clock
) -> Iterator[Callable[[ledger.Outcome, BuildRecord], None]]:
    """Add one run to the ledger, whether the build succeeds or fails."""
    started, tick = format_instant(clock()), time.monotonic()
    parameters = request.model.spec.training.parameters

    def add(
        outcome: ledger.Outcome, record: BuildRecord | None, problem: str | None = None, message: str | None = None
    ) -> None:
        artifact, digest = (record.artifact.digest, record_digest(record)) if record else (None, None)
        metrics = {metric.name: metric.value for metric in record.metrics} if record else {}
        seconds = round(time.monotonic() - tick, 3)
        row = (seconds, outcome, problem, message, inputs, artifact, digest, parameters, metrics)
        ledger.append(path, ledger.Run(0, request.model.name, started, *row))

    try:
        yield lambda outcome, record: add(outcome, record)
    except ModelOpsError as error:
        add("failed", None, error.problems[0].code, error.problems[0].message)
        raise


def _trained(
    request: BuildRequest,
    inputs: str,
    materialise: Callable[[], Path],
    read: Read,
    store: Store,
    scratch: Path,
    ledger_path: Path,
) -> BuildRecord:
    _require_syntax(request)
    parts = divided(request, read(materialise()))
    with folder_for_a_build(scratch) as folder:
        _prepare(request, parts, folder)
        training = request.model.spec.training
        environment = clean_environment(folder / "training", training.threads, platform.machine())
        entrypoint = f"{PurePosixPath(request.model.path).parent}/{training.entrypoint}"
        try:
            run_worker(folder, environment, training.timeout_seconds, entrypoint)
        finally:
            _keep_log(folder, ledger_path, inputs)
        files = {
            path: (folder / "artifact" / path).read_bytes()
            for path in json.loads((folder / "result.json").read_bytes())["files"]
        }
        scores = np.load(folder / "scores.npy", allow_pickle=False)
    return _stored(request, inputs, parts, files, scores, store)


def _require_syntax(request: BuildRequest) -> None:
    """Refuse training code that does not compile before anything is read or started for it."""
    entrypoint = request.model.spec.training.entrypoint
    path = f"{PurePosixPath(request.model.path).parent}/{entrypoint}"
    try:
        compile(request.entrypoint, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line, column = (error.lineno or 0, error.offset or 0) if isinstance(error, SyntaxError) else (0, 0)
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise failure(
            "bad-entrypoint", f"{entrypoint} is not valid Python: {reason}", location=Location(path, line, column)
        ) from None


def _prepare(request: BuildRequest, parts: Divided, folder: Path) -> None:
    """Write what the worker needs: the request, the rows of both parts, and the code in the child's own folder."""
    spec = request.model.spec
    child = folder / "training"
    for path, data in request.code.items():
        target = child / "code" / path
        if not target.resolve().is_relative_to((child / "code").resolve()):
            raise failure("path-escape", f"the code file {path!r} lies outside the model's folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    names = [feature.name for feature in spec.data.features]
    for name in names:
        if name not in parts.table.column_names:
            raise failure("missing-column", f"there is no column {name!r}", dotted="spec.data.features")
    write_rows(child / "train.arrow", parts.table, names, parts.train, parts.codes(parts.train))
    write_rows(folder / "test.arrow", parts.table, names, parts.test, parts.codes(parts.test))
    signature = Signature(
        model=request.model.name,
        task=spec.task,
        features=inputs_of(spec),
        target=spec.data.target,
        positive=parts.target.positive,
        classes=parts.target.classes,
        threshold=spec.serving.threshold,
        engine="sklearn",
    ).model_dump(mode="json", by_alias=True)
    training = spec.training
    document = {
        "scratch": str(child),
        "entrypoint": training.entrypoint,
        "parameters": training.parameters,
        "seed": training.seed,
        "threads": training.threads,
        "timeout": training.timeout_seconds,
        "memoryBytes": training.memory_mib << 20,
        "task": spec.task,
        "target": spec.data.target,
        "classes": parts.target.classes,
        "features": signature["features"],
        "signature": signature,
    }
    (folder / "request.json").write_bytes(canonical_json(document))


def _keep_log(folder: Path, ledger_path: Path, inputs: str) -> None:
    """Keep what the build printed beside the ledger, under the digest of its inputs."""
    output = folder / "output.log"
    if output.is_file():
        target = ledger_path.parent / "runs" / f"{inputs.removeprefix('sha256:')[:16]}.log"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(output.read_bytes())


def _stored(
    request: BuildRequest, inputs: str, parts: Divided, files: Mapping[str, bytes], scores: Array, store: Store
) -> BuildRecord:
    """Measure, and store artifact, holdout predictions and record; the name is given last, when all is there."""
    spec = request.model.spec
    signature = Signature.parse(files["models/signature.json"])
    codes = scores if spec.task == "regression" else class_indices(signature, scores).astype(np.float64)
    predictions = Predictions(spec.task, parts.codes(parts.test), codes, scores, parts.target.classes)
    metrics = measure_all(predictions, seed=spec.training.seed, names=default_metrics(spec.task))
    holdout = holdout_bytes(parts.test, predictions)
    stored = put_artifact(store, files)
    record = BuildRecord(
        model=request.model.name,
        inputs=inputs,
        spec=spec_digest(spec),
        environment_lock=sha256(request.lock),
        code_tree=request.code_tree,
        snapshot=request.snapshot.name,
        data_root=request.snapshot.spec.root,
        rows_train=len(parts.train),
        rows_test=len(parts.test),
        rows_without_target=parts.target.missing,
        seeds={"split": spec.training.seed, "training": spec.training.seed},
        parameters=spec.training.parameters,
        task=spec.task,
        positive=parts.target.positive,
        classes=parts.target.classes,
        artifact=ReleaseArtifact(
            digest=stored.digest,
            size=stored.size,
            files=stored.files,
            engine=signature.engine,
            onnx_difference=signature.onnx_difference,
            engine_reason=signature.engine_reason,
        ),
        metrics=metrics,
        score_profile=psi.fit(psi.Params(), pa.chunked_array([profile_scores(scores)]), "number"),
        holdout=store.put(holdout),
    )
    store.tag(reference(inputs), store.put(_manifest(record, len(holdout), store)))
    return record


def profile_scores(scores: Array) -> Array:
    """Return the one number per row that is watched for drift: of several class scores the largest."""
    return scores if scores.ndim == 1 else scores.max(axis=1)


def _manifest(record: BuildRecord, holdout_size: int, store: Store) -> bytes:
    """Return the OCI manifest of a build, with the blobs it names in the store."""
    document = record.dump()
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": RECORD_TYPE,
            "config": {"mediaType": EMPTY_TYPE, "digest": store.put(b"{}"), "size": 2},
            "layers": [
                {"mediaType": RECORD_TYPE, "digest": store.put(document), "size": len(document)},
                {"mediaType": HOLDOUT_TYPE, "digest": record.holdout, "size": holdout_size},
            ],
        }
    )
