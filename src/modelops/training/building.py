"""One build: found by the digest of its inputs, or trained, exported, evaluated and stored as a whole."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from modelops import summaries
from modelops.artifacts import BuildRecord, Signature, package, put_artifact
from modelops.artifacts.predictor import class_indices
from modelops.artifacts.signature import canonical_json, inputs_of, runtimes_of
from modelops.clock import Clock, format_instant
from modelops.digests import digest_bytes
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.evidence import Keyring, Making, Signer
from modelops.fence import Bounds, Terms
from modelops.metrics import Predictions, baseline, confusion, default_metrics, measure_all
from modelops.spec.kinds.release import Importance, ReleaseArtifact, Search
from modelops.stores import Store
from modelops.training import ledger, tracking
from modelops.training.circumstances import circumstances
from modelops.training.request import BuildRequest, inputs_digest, runs_code, served_code, spec_digest
from modelops.training.rows import holdout_bytes, write_rows
from modelops.training.scratch import folder_for_a_build
from modelops.training.split import divide
from modelops.training.stored import Stored, find, keep, record_digest
from modelops.training.supervise import Crew, clean_environment, run_worker
from modelops.training.target import Target, encode
from modelops.training.weights import require_classes, weights

__all__ = ["Build", "Read", "build", "divided", "expected_record", "retrained", "scored_predictions"]

Array = np.ndarray[Any, Any]
_MODEL_BYTES = 4 << 30
_S = TypeVar("_S", Search, Importance)
Read = Callable[[Path], pa.Table]
"""Reads the rows of a materialised snapshot, typed as its columns say."""


@dataclass(frozen=True, slots=True)
class Divided:
    """A snapshot's rows with their coded target, and the positions that train and that test."""

    table: pa.Table
    target: Target
    train: Array
    test: Array
    weight: Array | None = None

    def weights(self, rows: Array) -> Array | None:
        """Return what each of some positions counts for, None where the model has no weight column."""
        return None if self.weight is None else self.weight[np.searchsorted(self.target.rows, rows)]

    def codes(self, rows: Array) -> Array:
        """Return the target codes of some positions."""
        return self.target.values[np.searchsorted(self.target.rows, rows)]


def divided(request: BuildRequest, table: pa.Table) -> Divided:
    """Code the target and divide the rows, as the spec says and nothing else."""
    spec = request.model.spec
    target = encode(table, spec.data, spec.task)
    strata = None if spec.task == "regression" else target.values.astype(np.intp)
    train, test = divide(spec.training.split, spec.data, table, target.rows, strata, spec.training.seed)
    parts = Divided(table, target, train, test, weights(table, spec.data.weight, target.rows))
    for what, rows in (("train", train), ("test", test)):
        found = parts.weights(rows)
        if found is not None and not found.any():
            raise failure(
                "bad-weight",
                f"spec.data.weight {spec.data.weight!r} is 0 in all {len(rows):,} rows that {what}",
                dotted="spec.data.weight",
                hint="divide the rows otherwise, or give some of them a weight",
            )
        if found is not None and spec.task != "regression" and what == "train":
            require_classes(found, parts.codes(rows), target.classes, spec.data)
    return parts


@dataclass(frozen=True, slots=True)
class Build:
    """A build, how it was made, and by whom.

    ``key`` is the name of the trusted key that signed it, None where it was trained just now; ``refused`` is why the
    build that the store had was not taken.
    """

    record: BuildRecord
    making: Making
    key: str | None = None
    refused: ModelOpsError | None = None


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
    trust: Keyring | None = None,
    signer: Callable[[], Signer | None] = lambda: None,
    refused: ModelOpsError | None = None,
    terms: Terms = Terms(),
    crew: Crew | None = None,
    doing: Callable[[str], None] = lambda what: None,
) -> Build:
    """Return the build of a request: from the store if somebody trusted signed it there, else trained now.

    ``materialise`` and ``read`` are called only for a new build. ``scratch`` is a folder for temporary files,
    ``ledger`` the run ledger, to which every call adds one run, and one more for a stored build that was refused.
    Nothing is stored by a build that fails. ``trust`` says whose signature counts; without it the store is not asked.
    ``signer`` is called when training has ended. With ``refused``, the reason, the stored build is not looked at again.
    ``terms`` say what the fence around the training code must keep. Builds of one ``crew`` end together. ``doing`` is
    told what a new build has come to.
    """
    inputs = inputs_digest(request)
    found: Stored | None = None
    if refused is None:
        found, refused = _taken(store, inputs, trust)
    if refused is not None and refused.first.code != "build-unsigned":
        with contextlib.suppress(ModelOpsError), _recorded(request, inputs, ledger, clock):
            raise refused
    with _recorded(request, inputs, ledger, clock) as note:
        if found is not None:
            note("cached", found.record)
            return Build(found.record, found.making, found.key)
        record, making = _trained(
            request, inputs, materialise, read, store, scratch, ledger, clock, environment, signer, terms, crew, doing
        )
        note("ok", record)
    if tracking.configured(environment):
        tracking.track(record, record_digest(record), environment)
    return Build(record, making, None, refused)


def _taken(store: Store, inputs: str, trust: Keyring | None) -> tuple[Stored | None, ModelOpsError | None]:
    """Return the stored build, or why it cannot be taken; a store that cannot be asked now is an error."""
    try:
        return find(store, inputs, trust), None
    except ModelOpsError as error:
        if error.exit is Exit.WORLD and error.first.code != "not-in-store":
            raise
        return None, error


@contextmanager
def _recorded(
    request: BuildRequest, inputs: str, path: Path, clock: Clock
) -> Iterator[Callable[[ledger.RunOutcome, BuildRecord], None]]:
    """Add one run to the ledger, whether the build succeeds or fails."""
    started, tick = format_instant(clock()), time.monotonic()
    parameters = request.model.spec.training.parameters

    def add(
        outcome: ledger.RunOutcome, record: BuildRecord | None, problem: str | None = None, message: str | None = None
    ) -> None:
        artifact, digest = (record.artifact.digest, record_digest(record)) if record else (None, None)
        metrics = {metric.name: metric.value for metric in record.metrics} if record else {}
        seconds = round(time.monotonic() - tick, 3)
        data = request.snapshot.spec.root
        row = (seconds, outcome, problem, message, inputs, artifact, digest, parameters, metrics, data)
        ledger.append(path, ledger.Run(0, request.model.name, started, *row))

    try:
        yield lambda outcome, record: add(outcome, record)
    except ModelOpsError as error:
        add("failed", None, error.first.code, error.first.message)
        raise


def _trained(
    request: BuildRequest,
    inputs: str,
    materialise: Callable[[], Path],
    read: Read,
    store: Store,
    scratch: Path,
    ledger_path: Path,
    clock: Clock,
    outside: Mapping[str, str],
    signer: Callable[[], Signer | None],
    terms: Terms,
    crew: Crew | None,
    doing: Callable[[str], None],
) -> tuple[BuildRecord, Making]:
    _require_syntax(request)
    started, name = clock(), request.model.name
    doing(f"{name}: reading {request.snapshot.spec.rows:,} rows of {request.snapshot.name}")
    parts = divided(request, read(materialise()))
    with folder_for_a_build(scratch) as folder:
        _prepare(request, parts, folder, terms)
        training = request.model.spec.training
        environment = clean_environment(folder / "training", training.threads, platform.machine())
        entrypoint = f"{PurePosixPath(request.model.path).parent}/{training.entrypoint}"
        doing(f"{name}: training on {len(parts.train):,} rows, then measuring on {len(parts.test):,}")
        try:
            run_worker(folder, environment, training.timeout_seconds, entrypoint, terms, crew)
        finally:
            _keep_log(folder, ledger_path, inputs)
        result = json.loads((folder / "result.json").read_bytes())
        files = {path: (folder / "artifact" / path).read_bytes() for path in result["files"]}
        search, carried = _said(Search, result["search"]), _said(Importance, result["importance"])
        scores = np.load(folder / "scores.npy", allow_pickle=False)
    doing(f"{name}: keeping what was trained")
    record, holdout = _measured(request, inputs, parts, put_artifact(store, files), files, scores, search, carried)
    threads = result["threads"]
    making = circumstances(request, inputs, started=started, finished=clock(), threads=threads, environment=outside)
    # The key is asked for when nothing of the repository's code runs any more.
    keep(store, record, holdout, making, signer())
    return record, making


def retrained(
    request: BuildRequest, parts: Divided, seed: int, seconds: float, *, scratch: Path, terms: Terms = Terms()
) -> Predictions:
    """Train a model as a request has it but with another seed, and return what it answers to the test rows.

    The split, the fence and all limits are those of the build; ``seconds`` is a limit beside the model's own. Nothing
    is stored, and the run ledger counts no look at the test rows: what comes of it can be chosen by nobody.
    """
    training = request.model.spec.training
    limit = max(1, min(training.timeout_seconds, math.floor(seconds)))
    with folder_for_a_build(scratch) as folder:
        _prepare(request, parts, folder, terms, seed=seed, timeout=limit)
        environment = clean_environment(folder / "training", training.threads, platform.machine())
        entrypoint = f"{PurePosixPath(request.model.path).parent}/{training.entrypoint}"
        run_worker(folder, environment, limit, entrypoint, terms)
        signature = Signature.parse((folder / "artifact" / package.SIGNATURE).read_bytes())
        scores = np.load(folder / "scores.npy", allow_pickle=False)
    return scored_predictions(request, parts, signature, scores)


def _said(kind: type[_S], said: Any) -> _S | None:
    """Read what training says of itself; its process ran the model's code, so nothing in it is trusted."""
    try:
        return None if said is None else kind.model_validate_json(json.dumps(said))
    except ValidationError:
        what = kind.__name__.lower()
        raise failure("training-failed", f"training left a report of its {what} that cannot be read") from None


def _require_syntax(request: BuildRequest) -> None:
    """Refuse training code that makes the data or does not compile before anything is read or started for it."""
    entrypoint = request.model.spec.training.entrypoint
    if entrypoint in request.withheld:
        raise failure(
            "training-makes-data",
            f"{entrypoint} {request.withheld[entrypoint]}, so it cannot train: it would know the test rows",
            location=request.model.where("spec.training.entrypoint"),
            dotted="spec.training.entrypoint",
            hint="put the code that makes the data into a file of its own",
        )
    path = f"{PurePosixPath(request.model.path).parent}/{entrypoint}"
    try:
        compile(request.entrypoint, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line, column = (error.lineno or 0, error.offset or 0) if isinstance(error, SyntaxError) else (0, 0)
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise failure(
            "bad-entrypoint", f"{entrypoint} is not valid Python: {reason}", location=Location(path, line, column)
        ) from None


def _prepare(
    request: BuildRequest,
    parts: Divided,
    folder: Path,
    terms: Terms,
    seed: int | None = None,
    timeout: int | None = None,
) -> None:
    """Write what the worker needs: the request, the rows of both parts, and the code in the child's own folder.

    ``seed`` and ``timeout`` take the place of those that the request has for training.
    """
    spec = request.model.spec
    child = folder / "training"
    _write_code({path: data for path, data in request.code.items() if path not in request.withheld}, child / "code")
    if runs_code(spec.training.runtime):
        _write_code(served_code(request), folder / "code")
    names = [feature.name for feature in spec.data.features]
    for name in names:
        if name not in parts.table.column_names:
            raise failure("missing-column", f"there is no column {name!r}", dotted="spec.data.features")
    weight = parts.weights(parts.train)
    write_rows(child / "train.arrow", parts.table, names, parts.train, parts.codes(parts.train), weight)
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
        text=request.snapshot.spec.reading((*names, spec.data.target)),
    ).plain()
    training = spec.training
    bounds = Bounds(
        str(child),
        programs=False,
        memory=training.memory_mib << 20,
        file_size=_MODEL_BYTES,
        cores=training.threads,
        terms=terms,
    )
    document = {
        "scratch": str(child),
        "entrypoint": training.entrypoint,
        "parameters": training.parameters,
        "seed": training.seed if seed is None else seed,
        "threads": training.threads,
        "timeout": training.timeout_seconds if timeout is None else timeout,
        "bounds": bounds.dump(),
        "withheld": dict(request.withheld),
        "task": spec.task,
        "target": spec.data.target,
        "weighted": weight is not None,
        "classes": parts.target.classes,
        "features": signature["features"],
        "signature": signature,
        "runtime": training.runtime.model_dump(mode="json") if training.runtime is not None else None,
    }
    (folder / "request.json").write_bytes(canonical_json(document))


def _write_code(code: Mapping[str, bytes], folder: Path) -> None:
    for path, data in code.items():
        target = folder / path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise failure("path-escape", f"the code file {path!r} lies outside the model's folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _keep_log(folder: Path, ledger_path: Path, inputs: str) -> None:
    """Keep what the build printed beside the ledger, under the digest of its inputs."""
    output = folder / "output.log"
    if output.is_file():
        target = ledger_path.parent / "runs" / f"{inputs.removeprefix('sha256:')[:16]}.log"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(output.read_bytes())


def _measured(
    request: BuildRequest,
    inputs: str,
    parts: Divided,
    stored: package.Stored,
    files: Mapping[str, bytes],
    scores: Array,
    search: Search | None,
    carried: Importance | None,
) -> tuple[BuildRecord, bytes]:
    """Return the record of a build and the bytes of its holdout predictions."""
    signature = Signature.parse(files[package.SIGNATURE])
    predictions = scored_predictions(request, parts, signature, scores)
    holdout = holdout_bytes(parts.test, predictions)
    artifact = ReleaseArtifact(
        digest=stored.digest,
        size=stored.size,
        files=stored.files,
        engine=signature.engine,
        onnx_difference=signature.onnx_difference,
        engine_reason=signature.engine_reason,
        runtimes=runtimes_of(signature),
        labels=signature.labels,
        equality=signature.equality,
    )
    digest, threshold = digest_bytes(holdout), signature.threshold
    record = expected_record(request, inputs, parts, artifact, predictions, digest, search, threshold)
    return record.model_copy(update={"importance": carried}), holdout


def scored_predictions(request: BuildRequest, parts: Divided, signature: Signature, scores: Array) -> Predictions:
    """Return scores of the test rows as predictions, with the truth of the snapshot."""
    spec = request.model.spec
    codes = scores if spec.task == "regression" else class_indices(signature, scores).astype(np.float64)
    truth, weight = parts.codes(parts.test), parts.weights(parts.test)
    return Predictions(spec.task, truth, codes, scores, parts.target.classes, weight)


def expected_record(
    request: BuildRequest,
    inputs: str,
    parts: Divided,
    artifact: ReleaseArtifact,
    predictions: Predictions,
    holdout: str,
    search: Search | None = None,
    threshold: float = 0.5,
) -> BuildRecord:
    """Return what the record of a build has to say, from git, the data, the artifact and its predictions.

    ``threshold`` is the artifact's, from which it answers the positive class.
    What a ``search`` tried is what training said of it; nothing is decided by that.
    """
    spec = request.model.spec
    return BuildRecord(
        model=request.model.name,
        inputs=inputs,
        spec=spec_digest(spec),
        environment_lock=digest_bytes(request.lock),
        code_tree=request.code_tree,
        snapshot=request.snapshot.name,
        data_root=request.snapshot.spec.root,
        rows_train=len(parts.train),
        rows_test=len(parts.test),
        rows_without_target=parts.target.missing,
        seeds={"split": spec.training.seed, "training": spec.training.seed},
        parameters=spec.training.parameters,
        search=search,
        task=spec.task,
        positive=parts.target.positive,
        classes=parts.target.classes,
        artifact=artifact,
        metrics=measure_all(predictions, seed=spec.training.seed, names=default_metrics(spec.task)),
        score_profile=summaries.summarise(pa.chunked_array([profile_scores(predictions.y_score)]), "number"),
        baseline=baseline(
            predictions, parts.codes(parts.train), default_metrics(spec.task), parts.weights(parts.train)
        ),
        weight=spec.data.weight,
        confusion=confusion(predictions, threshold),
        holdout=holdout,
    )


def profile_scores(scores: Array) -> Array:
    """Return the one number per row that is watched for drift: of several class scores the largest."""
    return scores if scores.ndim == 1 else scores.max(axis=1)
