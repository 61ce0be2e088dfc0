"""Predictions from an artifact: ONNX without importing scikit-learn or pandas, or the model's own library.

Everything heavy is imported where the engine that needs it is loaded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelops.artifacts import package
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_session import OnnxScore, onnx_score
from modelops.artifacts.package import Artifact
from modelops.artifacts.parts.held import load_estimator
from modelops.artifacts.signature import Signature, canonical_json
from modelops.errors import ModelOpsError, failure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MODEL_ERRORS", "Outputs", "Predictor", "load_estimator", "load_predictor"]

Array = np.ndarray[Any, Any]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Score = Callable[[Mapping[str, Array]], FloatArray]

_TEXT, _FLOAT = np.dtype(object), np.dtype(np.float64)

MODEL_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    ModelOpsError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What estimators and runtimes raise on inputs that they cannot handle. Anything beyond is a defect of ours."""

SMOKE_TOLERANCE = 1e-6
"""Largest absolute difference (relative above 1) of a prediction after loading from the one recorded at export."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Predictions of n rows.

    ``scores`` is the probability of the positive class, shape (n,); for a multiclass task the probabilities in the
    order of ``classes``, shape (n, k); for regression the predicted values, shape (n,). ``labels`` holds the original
    label values, shape (n,), dtype object; for regression it is ``scores``.
    """

    scores: FloatArray
    labels: Array


class Predictor:
    """A loaded artifact; safe to call from several threads. One that answers ``apart`` waits for another process."""

    def __init__(self, signature: Signature, score: Score, digest: str = "", *, apart: bool = False) -> None:
        self.signature = signature
        self.digest = digest
        self.engine = signature.engine
        self.apart = apart
        self._score = score
        self._cut = signature.cut
        self._classes = np.empty(len(signature.classes), dtype=object)
        self._classes[:] = signature.classes
        self._single = [self._classes[position : position + 1] for position in range(len(signature.classes))]
        self._matrix = score.matrix if isinstance(score, OnnxScore) and score.matrix_type is not None else None

    @property
    def takes_matrix(self) -> bool:
        """Whether ``predict_matrix`` works: the model is numeric and served from one matrix of all features."""
        return self._matrix is not None

    def predict_matrix(self, values: FloatArray) -> Outputs:
        """Predict from a float64 matrix of shape (n, k) in the order of the features."""
        if self._matrix is None:
            raise failure("bad-input", "this model takes its features by column")
        scores = self._matrix(values)
        return Outputs(scores, self.labels(scores))

    def predict(self, frame: pd.DataFrame) -> Outputs:
        """Predict the rows of a feature frame (see ``artifacts.frame``)."""
        names = [feature.name for feature in self.signature.features]
        absent = [name for name in names if name not in frame.columns]
        if absent:
            raise failure("missing-column", f"there is no column {absent[0]!r}")
        return self.predict_columns({name: frame[name].to_numpy() for name in names})

    def predict_columns(self, columns: Mapping[str, Array]) -> Outputs:
        """Predict from one array of shape (n,) per feature, as ``artifacts.columns`` makes them."""
        scores = self._score(columns)
        return Outputs(scores, self.labels(scores))

    def indices(self, scores: FloatArray) -> Array:
        """Return the predicted class of each row as an index into ``classes``, shape (n,)."""
        return class_indices(self.signature, scores)

    def labels(self, scores: FloatArray) -> Array:
        """Return the labels that belong to scores."""
        if self.signature.task == "regression":
            return scores
        if len(scores) == 1 and scores.ndim == 1:
            # One row of a binary task, the server's common case, at a fifth of the cost of the general way.
            return self._single[1 if scores[0] >= self._cut else 0]
        labels: Array = self._classes[self.indices(scores)]
        return labels


def class_indices(signature: Signature, scores: FloatArray) -> Array:
    """Return the predicted class of each row as an index into ``signature.classes``, shape (n,)."""
    if signature.task == "binary-classification":
        return (scores >= signature.cut).astype(np.intp)
    return np.asarray(np.argmax(scores, axis=1))


def load_predictor(artifact: Artifact) -> Predictor:
    """Load what an artifact serves and check it against its recorded predictions before it is used.

    Raises ``untrusted-type``, ``bad-model`` or ``smoke-check-failed``; code of an artifact runs behind the fence alone.
    """
    signature, apart = artifact.signature, False
    if signature.engine == "onnx":
        score: Score = onnx_score(artifact.files[package.ONNX], signature)
    else:
        model = load_estimator(artifact)
        score, apart = sklearn_score(model, signature), bool(getattr(model, "apart", False))
    predictor = Predictor(signature, score, artifact.digest, apart=apart)
    check_smoke(predictor, artifact.files[package.SMOKE])
    return predictor


def sklearn_score(estimator: Any, signature: Signature) -> Score:
    """Return the scoring function of a fitted estimator; the frame is built only here."""
    if signature.task == "regression":
        return lambda columns: np.asarray(estimator.predict(to_frame(columns)), dtype=np.float64).reshape(-1)
    positive = None
    if signature.task == "binary-classification":
        positive = [int(label) for label in estimator.classes_].index(1)

    def score(columns: Mapping[str, Array]) -> FloatArray:
        probabilities = np.asarray(estimator.predict_proba(to_frame(columns)), dtype=np.float64)
        return probabilities if positive is None else np.ascontiguousarray(probabilities[:, positive])

    return score


def smoke_document(predictor: Predictor, columns: Mapping[str, Array], rows: Sequence[int]) -> bytes:
    """Return ``smoke.json``: the frame values of a few rows and the predictions they must give again."""
    chosen = {name: values[list(rows)] for name, values in columns.items()}
    outputs = predictor.predict_columns(chosen)
    return canonical_json(
        {"columns": package.rows_document(chosen), "scores": outputs.scores.tolist(), "labels": outputs.labels.tolist()}
    )


BACKGROUND_ROWS = 64
"""Rows that a release keeps to be explained against."""


def background_document(columns: Mapping[str, Array], scores: FloatArray) -> bytes:
    """Return ``background.json``: rows drawn evenly along their scores, so that their mean is near that of all.

    Of several classes the highest probability is taken for the score.
    """
    order = np.argsort(scores if scores.ndim == 1 else scores.max(axis=1), kind="stable")
    count = min(len(order), BACKGROUND_ROWS)
    rows = order[((np.arange(count) + 0.5) * len(order) / count).astype(np.intp)]
    chosen = {name: values[rows] for name, values in columns.items()}
    return canonical_json({"columns": package.rows_document(chosen)})


def check_smoke(predictor: Predictor, data: bytes) -> None:
    """Predict the recorded rows; other predictions than the recorded ones raise ``smoke-check-failed``."""
    try:
        document = json.loads(data)
        columns = {
            feature.name: package.frame_column(document["columns"][feature.name], text=feature.type == "category")
            for feature in predictor.signature.features
        }
        expected = np.array(document["scores"], dtype=np.float64)
        labels = list(document["labels"])
    except (ValueError, KeyError, TypeError):
        raise failure("bad-artifact", f"artifact {predictor.digest}: smoke.json is not valid") from None
    outputs = predictor.predict_columns(columns)
    same_shape = outputs.scores.shape == expected.shape
    distance = (
        np.abs(outputs.scores - expected) / np.maximum(1.0, np.abs(expected)) if same_shape else np.array([np.inf])
    )
    largest = float(distance.max(initial=0.0))
    decided = predictor.signature.task == "regression" or outputs.labels.tolist() == labels
    if not largest <= SMOKE_TOLERANCE or not decided:
        raise failure(
            "smoke-check-failed",
            f"artifact {predictor.digest} predicts {largest:.3g} away from what was recorded when it was built",
            hint="the runtime's libraries may differ from those of the build",
        )


def difference(scores: FloatArray, expected: FloatArray) -> float:
    """Return the largest difference of two score arrays, absolute below 1 and relative above; infinite if not alike."""
    if scores.shape != expected.shape:
        return math.inf
    distance = np.abs(scores - expected) / np.maximum(1.0, np.abs(expected))
    largest = float(distance.max(initial=0.0))
    return math.inf if math.isnan(largest) else largest
