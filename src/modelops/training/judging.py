"""What gates are told about a candidate: its rows and predictions, the stable release's, and measured latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.artifacts import Artifact, BuildRecord, Predictor, columns, load_predictor, open_artifact
from modelops.artifacts.predictor import class_indices
from modelops.errors import ModelOpsError, failure
from modelops.gates import Subject
from modelops.metrics import Predictions
from modelops.spec.data import Sketch
from modelops.spec.delivery import ReleaseSpec
from modelops.stores import Store
from modelops.training.building import Divided, Read, divided
from modelops.training.request import BuildRequest
from modelops.training.rows import holdout_predictions

__all__ = ["latency_sample", "score_with", "subject"]

Array = np.ndarray[Any, Any]

LATENCY_ROWS = 500
_WARM_UP = 30


def subject(
    request: BuildRequest,
    record: BuildRecord,
    *,
    materialise: Callable[[], Path],
    read: Read,
    store: Store,
    champion: ReleaseSpec | None = None,
    champion_profile: Mapping[str, Sketch] | None = None,
) -> Subject:
    """Return the subject of the gates for a build.

    The candidate's predictions are those that were stored with the build; the champion's are computed now, by its
    released artifact, on the same rows. Latency is measured on this machine.
    """
    spec, snapshot = request.model.spec, request.snapshot.spec
    parts = divided(request, read(materialise()))
    rows, holdout = holdout_predictions(store.get(record.holdout), record.task, record.classes)
    if not np.array_equal(rows, parts.test):
        raise failure("bad-holdout", "the holdout predictions are of other rows than the split gives")
    predictor = load_predictor(open_artifact(store, record.artifact.digest))
    test = parts.table.take(pa.array(parts.test))
    compared, incomparable = _comparison(champion, store, test, parts, holdout)
    return Subject(
        model=spec,
        train=parts.table.take(pa.array(parts.train)).to_pandas(),
        test=test.to_pandas(),
        holdout=holdout,
        champion=compared,
        champion_release=champion.version if champion else None,
        latency=latency_sample(predictor, columns(test, predictor.signature.features)),
        artifact_size=record.artifact.size,
        profile=snapshot.profile,
        champion_profile=champion_profile,
        declared_columns={column.name: column.type for column in snapshot.columns},
        seed=spec.training.seed,
        incomparable=incomparable,
    )


INCOMPARABLE = frozenset({"champion-differs", "missing-column", "bad-value", "not-in-store"})
"""Why a stable release may be unable to answer the candidate's rows; anything else, a changed byte say, is an error."""


def _comparison(
    champion: ReleaseSpec | None, store: Store, test: pa.Table, parts: Divided, candidate: Predictions
) -> tuple[Predictions | None, str]:
    """Return the stable release's predictions, or None and why it cannot be compared with the candidate."""
    if champion is None:
        return None, ""
    try:
        return _champion_predictions(champion, store, test, parts, candidate), ""
    except ModelOpsError as error:
        if not {problem.code for problem in error.problems} <= INCOMPARABLE:
            raise
        return None, error.problems[0].message


def _champion_predictions(
    champion: ReleaseSpec, store: Store, test: pa.Table, parts: Divided, candidate: Predictions
) -> Predictions:
    """Return the stable release's predictions on the candidate's test rows, coded with the candidate's classes."""
    predictor = load_predictor(open_artifact(store, champion.artifact.digest))
    signature = predictor.signature
    if signature.task != candidate.task:
        raise failure(
            "champion-differs",
            f"release {champion.version} is a {signature.task} model, the candidate {candidate.task}",
        )
    scores = predictor.predict_columns(columns(test, signature.features)).scores
    truth = candidate.y_true
    if signature.task == "regression":
        return Predictions(candidate.task, truth, scores, scores)
    if signature.task == "binary-classification":
        if signature.positive != parts.target.positive:
            raise failure(
                "champion-differs",
                f"release {champion.version} calls {signature.positive!r} positive, the candidate "
                f"{parts.target.positive!r}",
            )
        labels = class_indices(signature, scores).astype(np.float64)
        return Predictions(candidate.task, truth, labels, scores, candidate.classes)
    aligned = np.zeros((len(scores), len(candidate.classes)))
    for position, label in enumerate(signature.classes):
        if label in candidate.classes:
            aligned[:, candidate.classes.index(label)] = scores[:, position]
    return Predictions(candidate.task, truth, np.argmax(aligned, axis=1).astype(float), aligned, candidate.classes)


def latency_sample(
    predictor: Predictor, arrays: Mapping[str, Array], rows: int = LATENCY_ROWS
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return seconds per single-row prediction, shape (rows,), after a warm-up, over rows spread through the data."""
    count = len(next(iter(arrays.values())))
    places = np.linspace(0, count - 1, min(count, rows)).astype(int)
    predict: Callable[[Any], object] = predictor.predict_columns
    singles: list[Any] = [{name: values[place : place + 1] for name, values in arrays.items()} for place in places]
    if predictor.takes_matrix:
        names = [feature.name for feature in predictor.signature.features]
        matrix = np.column_stack([arrays[name] for name in names])
        predict, singles = predictor.predict_matrix, [matrix[place : place + 1] for place in places]
    for index in range(_WARM_UP):
        predict(singles[index % len(singles)])
    seconds = np.empty(rows)
    for index in range(rows):
        single = singles[index % len(singles)]
        start = time.perf_counter()
        predict(single)
        seconds[index] = time.perf_counter() - start
    return seconds


def score_with(artifact: Artifact, table: pa.Table) -> tuple[Predictor, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the loaded predictor of an artifact and its scores of a table's rows, in the table's order."""
    predictor = load_predictor(artifact)
    return predictor, predictor.predict_columns(columns(table, predictor.signature.features)).scores
