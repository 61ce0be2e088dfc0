"""Asking a build for its proof: everything its record says is found again from git, the data and the artifact.

What a build was trained on cannot be seen in its scores: that its record was signed where it was trained, or that it
was trained here, is asked before (``stored.find``). This is what is asked after.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.artifacts import Artifact, BuildRecord, columns, load_predictor, open_artifact
from modelops.artifacts.fitted import own_threshold
from modelops.artifacts.package import code_of
from modelops.artifacts.predictor import SMOKE_TOLERANCE, Predictor, difference, load_estimator
from modelops.artifacts.signature import inputs_of, runtimes_of
from modelops.errors import Exit, ModelOpsError, Problem
from modelops.metrics import Predictions, contradictions, measure_all
from modelops.spec.kinds.release import ReleaseArtifact, ReleaseFile
from modelops.stores import Store
from modelops.training.building import Divided, expected_record, scored_predictions
from modelops.training.evaluate import DEFAULT_THRESHOLD
from modelops.training.importance import importance
from modelops.training.request import BuildRequest, inputs_digest, served_code
from modelops.training.rows import holdout_predictions
from modelops.training.stored import record_digest

__all__ = ["SCORE_TOLERANCE", "recheck"]

SCORE_TOLERANCE = SMOKE_TOLERANCE
"""How far a score may be from what the artifact answers now, absolute below 1 and relative above: machines differ."""
_CLOSE = 1e-9
"""How far a number that is computed from stored scores may be from what is computed now, likewise."""
_SHOWN = 12

Array = np.ndarray[Any, Any]
Difference = tuple[str, object, object]
"""What differs, what the record says, and what was found."""


def recheck(request: BuildRequest, record: BuildRecord, parts: Divided, store: Store) -> None:
    """Raise ``build-contradicted`` with every number of a build that is not what git, data and artifact give.

    The artifact scores the test rows again, which has to give the stored predictions within ``SCORE_TOLERANCE``; the
    rows, targets and labels of those have to be exactly what the split, the snapshot and the scores give; every metric
    with its interval, the profile of the scores, all counts and all digests are computed again. Metrics must not
    contradict each other either.
    """
    artifact = open_artifact(store, record.artifact.digest)
    rows, stored = holdout_predictions(store.get(record.holdout), record.task, record.classes)
    found = [*_code(request, artifact)]
    if not found:
        # Nothing is loaded of an artifact whose code is another one.
        found += _signature(request, parts, artifact)
    found += _holdout(rows, stored, parts)
    if not found:
        found += _scores(request, artifact, stored, parts, record)
    if not found:
        described, threshold = _described(artifact, record), artifact.signature.threshold
        inputs = inputs_digest(request)
        again = expected_record(request, inputs, parts, described, stored, record.holdout, record.search, threshold)
        # A build from before they were recorded says nothing of them.
        unsaid = {name for name in ("baseline", "confusion") if getattr(record, name) is None}
        again = again.model_copy(update=dict.fromkeys(unsaid) | {"importance": record.importance})
        found += _differences(record.model_dump(mode="json"), again.model_dump(mode="json"))
    problems = [_problem(record, what, said, got) for what, said, got in found[:_SHOWN]]
    for said in contradictions(record.metrics, record.task, artifact.signature.threshold):
        problems.append(Problem("metrics-contradict", f"the metrics of the build contradict each other: {said}"))
    if problems:
        raise ModelOpsError(*problems, exit=Exit.NO)


def _problem(record: BuildRecord, what: str, said: object, got: object) -> Problem:
    return Problem(
        "build-contradicted",
        f"the build {record_digest(record)[:19]} of {record.model} is contradicted: {what} is {_text(said)} in it and "
        f"{_text(got)} when it is computed again",
        hint="whoever can write to the store may have changed it; it is never signed, train it again",
    )


def _text(value: object) -> str:
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _described(artifact: Artifact, record: BuildRecord) -> ReleaseArtifact:
    """Return what a record has to say of an artifact; the list of files was verified when it was opened."""
    signature = artifact.signature
    return ReleaseArtifact(
        digest=record.artifact.digest,
        size=artifact.size,
        files=tuple(
            ReleaseFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for path, data in sorted(artifact.files.items())
        ),
        engine=signature.engine,
        onnx_difference=signature.onnx_difference,
        engine_reason=signature.engine_reason,
        runtimes=runtimes_of(signature),
        labels=signature.labels,
        equality=signature.equality,
    )


def _signature(request: BuildRequest, parts: Divided, artifact: Artifact) -> Iterator[Difference]:
    spec, signature = request.model.spec, artifact.signature
    threshold = spec.serving.threshold
    if signature.threshold != threshold and threshold == DEFAULT_THRESHOLD:
        # Tuned by the estimator itself, which then still has it.
        threshold = own_threshold(load_estimator(artifact)) or threshold
    wanted = {
        "model": request.model.name,
        "task": spec.task,
        "features": inputs_of(spec),
        "target": spec.data.target,
        "positive": parts.target.positive,
        "classes": parts.target.classes,
        "threshold": threshold,
        "text": request.snapshot.spec.reading((*(f.name for f in spec.data.features), spec.data.target)),
    }
    for name, value in wanted.items():
        said = getattr(signature, name)
        if said != value:
            yield f"the artifact's {name}", said, value


def _code(request: BuildRequest, artifact: Artifact) -> Iterator[Difference]:
    """The code that serving runs is that of the revision, and there is none where model.yaml does not say so."""
    wanted, found = served_code(request), code_of(artifact.files)
    for path in sorted({*wanted, *found}):
        if wanted.get(path) != found.get(path):
            yield f"the code {path}", "other bytes" if path in found else "nothing", "that of the revision"


def _holdout(rows: Array, stored: Predictions, parts: Divided) -> Iterator[Difference]:
    if not np.array_equal(rows, parts.test):
        yield "the rows that were tested", f"{len(rows)} rows", f"{len(parts.test)} rows of the split"
        return
    truth = parts.codes(parts.test)
    wrong = int((stored.y_true != truth).sum())
    if wrong:
        yield "the target of the test rows", f"another value in {wrong} rows", "that of the snapshot"
    weights = [one.tolist() if one is not None else None for one in (parts.weights(parts.test), stored.sample_weight)]
    if weights[0] != weights[1]:
        yield "the weight of the test rows", "another one", "that of the snapshot"


def _scores(
    request: BuildRequest, artifact: Artifact, stored: Predictions, parts: Divided, record: BuildRecord
) -> Iterator[Difference]:
    predictor = load_predictor(artifact)
    test = parts.table.take(pa.array(parts.test))
    scores = predictor.predict_columns(columns(test, predictor.signature.features)).scores
    largest = difference(stored.y_score, scores)
    if not largest <= SCORE_TOLERANCE:
        yield "the predictions of the test rows", f"up to {largest:.3g} away", "what the artifact answers"
        return
    yield from _importance(request, predictor, record, parts)
    labels = scored_predictions(request, parts, predictor.signature, stored.y_score).y_pred
    wrong = int((stored.y_pred != labels).sum())
    if wrong:
        yield "the label of the test rows", f"another one in {wrong} rows", "that of their scores"
    if largest > 0:
        # Moved by less than machines differ, equal scores can be put in a better order: the ranks are the artifact's.
        own = scored_predictions(request, parts, predictor.signature, scores)
        names = tuple(metric.name for metric in record.metrics)
        for said, got in zip(
            record.metrics, measure_all(own, seed=request.model.spec.training.seed, names=names), strict=False
        ):
            if said.name != got.name or not math.isclose(said.value, got.value, rel_tol=1e-4, abs_tol=1e-4):
                yield f"metrics.{said.name}.value", said.value, got.value


def _importance(
    request: BuildRequest, predictor: Predictor, record: BuildRecord, parts: Divided
) -> Iterator[Difference]:
    """Measure again which features carry the model, where the record says it; a score that moved may change a leaf."""
    if record.importance is None:
        return
    features = columns(parts.table.take(pa.array(parts.test)), predictor.signature.features)
    truth = parts.codes(parts.test)
    seed = request.model.spec.training.seed
    again = importance(lambda rows: predictor.predict_columns(rows).scores, record.task, features, truth, seed)
    got = {each.name: each.value for each in again.features} if again is not None else {}
    said = {each.name: each for each in record.importance.features}
    for name in sorted({*said, *got}):
        one, other = said.get(name), got.get(name)
        near = one is not None and other is not None and abs(one.value - other) <= one.error / 10 + SCORE_TOLERANCE
        if not near:
            yield f"importance.{name}", None if one is None else one.value, other


def _differences(said: object, got: object, what: str = "") -> Iterator[Difference]:
    """Yield the places at which two documents differ; numbers may be ``_CLOSE``, for sums depend on the processor."""
    if isinstance(said, Mapping) and isinstance(got, Mapping):
        for key in sorted({*said, *got}, key=str):
            yield from _differences(said.get(key), got.get(key), f"{what}.{key}".lstrip("."))
    elif _is_list(said) and _is_list(got):
        assert isinstance(said, Sequence)
        assert isinstance(got, Sequence)
        if len(said) != len(got):
            yield f"the length of {what}", len(said), len(got)
            return
        for index, (one, other) in enumerate(zip(said, got, strict=True)):
            yield from _differences(one, other, f"{what}.{_named(other, index)}")
    elif isinstance(said, float) and isinstance(got, float):
        if not math.isclose(said, got, rel_tol=_CLOSE, abs_tol=_CLOSE):
            yield what, said, got
    elif said != got:
        yield what, said, got


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _named(item: object, index: int) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return str(name if name is not None else index)
