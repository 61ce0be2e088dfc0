"""Giving logged features to the release once more, and comparing what it says with what was logged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from modelops.artifacts import BlobStore, Outputs, Predictor, columns, load_predictor, open_artifact
from modelops.audit.answers import Reexplained, Rescored
from modelops.errors import ModelOpsError
from modelops.predictions import Row, label_text
from modelops.reasons import Explainer, explainer_of, parse_reasons

__all__ = ["TOLERANCE", "Rescorer"]

TOLERANCE = 1e-6
"""How far a score may be from the logged one (relative above 1): what the engines of one release may differ by."""


class Rescorer:
    """Scores rows with artifacts from a store; each artifact is verified, loaded and checked once."""

    def __init__(self, store: Callable[[], BlobStore]) -> None:
        self._store = store
        self._loaded: dict[str, Predictor | str] = {}
        self._explainers: dict[str, Explainer | str] = {}

    def __call__(self, row: Row, artifact: str) -> Rescored:
        """Compare one logged row with what an artifact, by its digest, answers."""
        if row.status >= 500:
            return Rescored("impossible", "the release failed on it, so there is no score")
        predictor = self._predictor(artifact)
        if isinstance(predictor, str):
            return Rescored("impossible", predictor)
        try:
            values = json.loads(row.features)
        except ValueError:
            return Rescored("different", "the logged features are no JSON")
        why = _unfit(predictor, values)
        if why is not None:
            return why
        try:
            outputs = _predicted(predictor, values)
        except (ModelOpsError, ValueError, TypeError) as error:
            return Rescored("different", f"the release cannot answer the logged features: {error}")
        return _compared(predictor, outputs, row)

    def explain(self, row: Row, artifact: str | None) -> Reexplained | None:
        """Compare the reasons that were logged with a row with those that an artifact has now; None without any."""
        if row.reasons is None:
            return None
        try:
            logged = json.loads(row.reasons)
        except (ValueError, RecursionError):
            logged = None
        if not isinstance(logged, dict):
            return Reexplained("different", {}, "the logged reasons are no JSON object")
        predictor = self._predictor(artifact) if artifact is not None else "the release that answered is not proven"
        if isinstance(predictor, str):
            return Reexplained("impossible", logged, predictor)
        return self._compared(predictor, row, logged, artifact or "")

    def _compared(self, predictor: Predictor, row: Row, logged: Mapping[str, Any], artifact: str) -> Reexplained:
        explainer = self._explainers[artifact]
        names = tuple(feature.name for feature in predictor.signature.features)
        try:
            then = parse_reasons(row.reasons or "", names)
        except ValueError as error:
            return Reexplained("different", logged, str(error))
        if isinstance(then, str):
            return Reexplained("none", logged, then)
        if isinstance(explainer, str):
            return Reexplained("impossible", logged, explainer)
        try:
            values = json.loads(row.features)
            unfit = _unfit(predictor, values)
            if unfit is not None:
                return Reexplained("different" if unfit.status == "different" else "impossible", logged, unfit.reason)
            arrays = columns({name: [value] for name, value in values.items()}, predictor.signature.features)
            now = explainer.explain(arrays, predictor.predict_columns(arrays).scores, None, then)
        except ModelOpsError as error:
            return Reexplained("impossible", logged, f"the row cannot be explained now: {error.first.message}")
        except (ValueError, TypeError, RecursionError):
            return Reexplained("different", logged, "the logged features are none that the release can answer")
        heads = [(one.method, one.scale, one.label, one.background, one.rounds) for one in (now, then)]
        if heads[0] != heads[1]:
            return Reexplained("different", logged, f"it is explained by {now.method}, on the scale {now.scale}, now")
        off = np.abs(now.contributions - then.contributions)
        beside = [abs(now.baseline - then.baseline), abs(now.value - then.value)]
        if now.errors is not None and then.errors is not None:
            beside += np.abs(now.errors - then.errors).tolist()
        largest = max(float(off.max()), *beside)
        if not largest <= TOLERANCE * max(1.0, abs(now.value)):
            worst = names[int(off.argmax())]
            return Reexplained("different", logged, f"they are up to {largest:.3g} off, by {worst}", largest)
        return Reexplained("equal", logged, "", largest)

    def _predictor(self, artifact: str) -> Predictor | str:
        if artifact not in self._loaded:
            try:
                opened = open_artifact(self._store(), artifact)
                self._loaded[artifact] = predictor = load_predictor(opened)
                self._explainers[artifact] = explainer_of(opened, predictor)
            except ModelOpsError as error:
                self._loaded[artifact] = f"the artifact cannot be had here: {error.first.message}"
        return self._loaded[artifact]


def _unfit(predictor: Predictor, values: object) -> Rescored | None:
    """Return why logged values cannot be what the release answered, or do not tell what it was."""
    features = predictor.signature.features
    if not isinstance(values, dict) or set(values) != {feature.name for feature in features}:
        return Rescored("different", "the logged features are not those of the release")
    for feature in features:
        if values[feature.name] is None and not feature.nullable and feature.type != "category":
            # JSON has no infinity; the server refuses a value that is missing here.
            return Rescored("impossible", f"{feature.name} was infinite or no number, which the log cannot say")
    return None


def _predicted(predictor: Predictor, values: Mapping[str, Any]) -> Outputs:
    arrays = columns({name: [value] for name, value in values.items()}, predictor.signature.features)
    if predictor.takes_matrix:
        return predictor.predict_matrix(np.column_stack(list(arrays.values())))
    return predictor.predict_columns(arrays)


def _compared(predictor: Predictor, outputs: Outputs, row: Row) -> Rescored:
    regression = predictor.signature.task == "regression"
    scores = np.atleast_1d(outputs.scores[0])
    score = float(scores.max())
    label = None if regression else label_text(outputs.labels[0])
    if row.score == score and row.label == label:
        return Rescored("equal", "", score, label)
    if row.score is None or not abs(row.score - score) <= TOLERANCE * max(1.0, abs(score)):
        return Rescored("different", "the score is another", score, label)
    if row.label != label and not _on_the_edge(predictor, scores, row.label):
        return Rescored("different", "the label is another", score, label)
    return Rescored("close", "", score, label)


def _on_the_edge(predictor: Predictor, scores: np.ndarray[Any, Any], label: str | None) -> bool:
    """Tell whether scores are so near to where the label changes that the tolerance decides it."""
    names = [label_text(name) for name in predictor.signature.classes]
    if label not in names:
        return False
    if predictor.signature.task == "binary-classification":
        return bool(abs(scores[0] - predictor.signature.threshold) <= TOLERANCE)
    return bool(scores[names.index(label)] >= scores.max() - TOLERANCE)
