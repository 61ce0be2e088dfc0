"""What gates are told about a candidate: its rows and predictions, the stable release's, and measured latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from modelops.artifacts import BuildRecord, Predictor, columns, load_predictor, open_artifact
from modelops.artifacts.frame import unquoted
from modelops.artifacts.pandas_columns import feature_columns
from modelops.artifacts.predictor import class_indices
from modelops.errors import Exit, ModelOpsError, failure
from modelops.gates import Answers, Explained, Need, Subject
from modelops.metrics import Predictions
from modelops.reasons import explainer_of
from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.kinds.release import ReleaseSpec
from modelops.stores import Store
from modelops.training.building import Divided
from modelops.training.request import BuildRequest
from modelops.training.rows import holdout_predictions
from modelops.training.unseen import unseen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["latency_sample", "subject"]

Array = np.ndarray[Any, Any]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

LATENCY_ROWS = 500
LATENCY_PASSES = 3
_PASSES_SECONDS = 20.0
_WARM_UP = 30
EXPLAIN_SECONDS = 120.0
"""How long all the rows that a gate asks about may take to be explained."""


def subject(
    request: BuildRequest,
    record: BuildRecord,
    *,
    rows: Callable[[], Divided],
    store: Store,
    champion: ReleaseSpec | None = None,
    champion_profile: Mapping[str, Summary] | None = None,
    champion_rows: Callable[[], pa.Table] = lambda: pa.table({}),
    retrain: Callable[[Divided, int, float], Predictions] | None = None,
) -> Callable[[Collection[Need]], Subject]:
    """Return the function that gives the gates of a build their subject, with the parts that they need.

    ``rows`` gives the snapshot's rows as the split divides them. A part is computed when first needed, and once. The
    candidate's predictions are those that were stored with the build; the champion's are computed now, by its released
    artifact, on the same rows; ``champion_rows`` reads the snapshot that it was trained on, where that is another one.
    ``retrain`` trains on divided rows with another seed, within so many seconds. Latency is measured on this machine.
    """
    spec, snapshot = request.model.spec, request.snapshot.spec
    parts = _Parts(request, record, rows, store, champion, champion_rows, retrain)
    bare = Subject(
        model=spec,
        declared_columns={column.name: column.type for column in snapshot.columns},
        artifact_size=record.artifact.size,
        champion_release=champion.version if champion else None,
        seed=spec.training.seed,
    )
    profiles = {"profile": snapshot.profile, "champion_profile": champion_profile}

    def part(need: Need) -> Mapping[str, object]:
        match need:
            case "rows":
                return {"train": parts.train, "test": parts.test}
            case "predictions":
                return {"holdout": parts.holdout}
            case "champion":
                return dict(zip(("champion", "incomparable", "unseen"), parts.champion, strict=True))
            case "profile":
                return profiles
            case "latency":
                return {"latency": parts.latency}
            case "predictor":
                return {"predict": parts.predict}
            case "importance":
                return {"importance": record.importance}
            case "previous":
                return dict(zip(("previous", "unreadable"), parts.previous, strict=True))
            case "reasons":
                stable = None if champion is None else champion.artifact.digest
                told = None if stable is None else partial(parts.explain, stable)
                return {"explain": partial(parts.explain, record.artifact.digest), "champion_explain": told}
            case "retraining":
                return {"retrain": parts.retrain}

    def with_parts(needs: Collection[Need]) -> Subject:
        return bare.with_parts({name: value for need in needs for name, value in part(need).items()})

    return with_parts


class _Parts:
    """What can be computed of a build, each part when it is first asked for."""

    def __init__(
        self,
        request: BuildRequest,
        record: BuildRecord,
        rows: Callable[[], Divided],
        store: Store,
        champion: ReleaseSpec | None,
        champion_rows: Callable[[], pa.Table],
        retrain: Callable[[Divided, int, float], Predictions] | None,
    ) -> None:
        self._request, self._record, self._rows, self._store = request, record, rows, store
        self._champion, self._champion_rows, self._retrain = champion, champion_rows, retrain

    @cached_property
    def _divided(self) -> Divided:
        return self._rows()

    @cached_property
    def _test(self) -> pa.Table:
        return self._divided.table.take(pa.array(self._divided.test))

    @cached_property
    def train(self) -> pd.DataFrame:
        train: pd.DataFrame = self._divided.table.take(pa.array(self._divided.train)).to_pandas()
        return train

    @cached_property
    def test(self) -> pd.DataFrame:
        test: pd.DataFrame = self._test.to_pandas()
        return test

    @cached_property
    def holdout(self) -> Predictions:
        record = self._record
        rows, holdout = holdout_predictions(self._store.get(record.holdout), record.task, record.classes)
        if not np.array_equal(rows, self._divided.test):
            raise failure("bad-holdout", "the holdout predictions are of other rows than the split gives")
        return holdout

    @cached_property
    def champion(self) -> tuple[Predictions | None, str, Mask | None]:
        """The stable release's predictions, or why it cannot be compared, and the rows that neither has seen."""
        champion, root = self._champion, self._request.snapshot.spec.root
        if champion is None:
            return None, "", None
        try:
            found = _champion_predictions(champion, self._store, self._test, self._divided, self.holdout)
            spec = self._request.model.spec
            return found, "", unseen(spec, self._divided, root, champion, self._store, self._champion_rows)
        except ModelOpsError as error:
            if not {problem.code for problem in error.problems} <= INCOMPARABLE:
                raise
            return None, unquoted(error.first), None

    @cached_property
    def previous(self) -> tuple[pd.DataFrame | None, str]:
        """The rows that the stable release was made from, or why they cannot be read."""
        if self._champion is None:
            return None, ""
        if self._champion.data.root == self._request.snapshot.spec.root:
            return self._divided.table.to_pandas(), ""
        try:
            return self._champion_rows().to_pandas(), ""
        except ModelOpsError as error:
            return None, unquoted(error.first)

    @cached_property
    def predictor(self) -> Predictor:
        return load_predictor(open_artifact(self._store, self._record.artifact.digest))

    def explain(self, digest: str, rows: pd.DataFrame) -> Explained | str:
        """Say why an artifact scores rows as it does."""
        try:
            artifact = open_artifact(self._store, digest)
            predictor = load_predictor(artifact)
            explainer = explainer_of(artifact, predictor)
            if isinstance(explainer, str):
                return explainer
            given = feature_columns(rows, predictor.signature.features)
            scores = predictor.predict_columns(given).scores
            found, end = [], time.perf_counter() + EXPLAIN_SECONDS
            for at in range(len(scores)):
                row = {name: values[at : at + 1] for name, values in given.items()}
                found.append(explainer.explain(row, scores[at : at + 1], max(0.0, end - time.perf_counter())))
        except ModelOpsError as error:
            if error.first.code not in INCOMPARABLE | {"not-explained"}:
                raise
            return unquoted(error.first)
        if not found:
            return "there is no row to be explained"
        scales = sorted({each.scale for each in found})
        if len(scales) > 1:
            return f"its rows are explained on different scales: {' and '.join(scales)}"
        names = [feature.name for feature in self._request.model.spec.data.features]
        of = {name: at for at, name in enumerate(found[0].features)}
        values = np.array([each.contributions for each in found])
        # A feature that this artifact does not take contributes nothing to it.
        both = np.column_stack([values[:, of[name]] if name in of else np.zeros(len(values)) for name in names])
        return Explained(both, found[0].method, found[0].scale, max(each.gap for each in found))

    def retrain(self, seed: int, seconds: float) -> Answers | str:
        """Train with another seed; what the training code does wrong is told, what the machine does is an error."""
        if self._retrain is None:
            return "nothing can be trained here"
        try:
            found = self._retrain(self._divided, seed, seconds)
        except ModelOpsError as error:
            if error.exit is Exit.WORLD:
                raise
            return unquoted(error.first)
        return Answers(found.y_pred, found.y_score)

    @cached_property
    def latency(self) -> Array:
        return latency_sample(self.predictor, columns(self._test, self.predictor.signature.features))

    def predict(self, rows: pd.DataFrame) -> Answers:
        """Ask the artifact that would be served, and code its answers as the holdout predictions are coded."""
        signature = self.predictor.signature
        scores = self.predictor.predict_columns(feature_columns(rows, signature.features)).scores
        labels = scores if signature.task == "regression" else class_indices(signature, scores).astype(np.float64)
        return Answers(labels, scores)


INCOMPARABLE = frozenset({"bad-target", "bad-value", "champion-differs", "missing-column", "not-in-store"})
"""Why a stable release may be unable to answer the candidate's rows; anything else, a changed byte say, is an error."""


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
    if signature.task == "regression":
        return replace(candidate, y_pred=scores, y_score=scores)
    if signature.task == "binary-classification":
        if signature.positive != parts.target.positive:
            raise failure(
                "champion-differs",
                f"release {champion.version} calls {signature.positive!r} positive, the candidate "
                f"{parts.target.positive!r}",
            )
        labels = class_indices(signature, scores).astype(np.float64)
        return replace(candidate, y_pred=labels, y_score=scores)
    aligned = np.zeros((len(scores), len(candidate.classes)))
    for position, label in enumerate(signature.classes):
        if label in candidate.classes:
            aligned[:, candidate.classes.index(label)] = scores[:, position]
    return replace(candidate, y_pred=np.argmax(aligned, axis=1).astype(float), y_score=aligned)


def latency_sample(
    predictor: Predictor, arrays: Mapping[str, Array], rows: int = LATENCY_ROWS
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return seconds per single-row prediction, shape (rows,), after a warm-up, over rows spread through the data.

    Each is the fastest of three passes over all rows, or of fewer where a model takes seconds for one: what another
    process takes from the processor is no property of the artifact, and does not meet the same row three times.
    """
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
    passes = np.full((LATENCY_PASSES, rows), np.inf)
    begun = time.perf_counter()
    for turn in range(LATENCY_PASSES):
        for index in range(rows):
            single = singles[index % len(singles)]
            start = time.perf_counter()
            predict(single)
            passes[turn, index] = time.perf_counter() - start
        if time.perf_counter() - begun > _PASSES_SECONDS:
            break
    fastest: np.ndarray[Any, np.dtype[np.float64]] = passes.min(axis=0)
    return fastest
