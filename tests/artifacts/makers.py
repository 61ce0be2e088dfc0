"""Fitted estimators, frames and a store in memory for the tests of artifacts."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from modelops.artifacts import Input, Predictor, Signature
from modelops.artifacts import package as names
from modelops.artifacts.canonical import dump_canonical
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import export_onnx
from modelops.artifacts.onnx_session import onnx_score
from modelops.artifacts.predictor import sklearn_score, smoke_document

Array = np.ndarray[Any, Any]

NUMBERS = (
    Input(name="amount", type="number"),
    Input(name="when", type="datetime"),
    Input(name="age", type="integer"),
)
GAPS = (Input(name="amount", type="number", nullable=True), *NUMBERS[1:])
MIXED = (*GAPS, Input(name="country", type="category", nullable=True))


class Memory(dict[str, bytes]):
    """A store in memory that, unlike a real one, verifies nothing."""

    def has(self, digest: str) -> bool:
        return digest in self

    def get(self, digest: str) -> bytes:  # type: ignore[override]
        return self[digest]

    def put(self, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self[digest] = data
        return digest


def rows(features: tuple[Input, ...], count: int = 400, seed: int = 1) -> dict[str, Array]:
    """Random frame columns, with gaps where a feature is nullable; ``when`` is out of float32's precision."""
    random = np.random.default_rng(seed)
    amount, age = random.normal(0, 100, count), random.integers(0, 90, count).astype(float)
    made: dict[str, Array] = {
        "amount": amount,
        "when": 1.7e9 + random.integers(0, 10**7, count).astype(float),
        "age": age,
        "country": random.choice(["de", "fr", "it", ""], count).astype(object),
    }
    for feature in features:
        if feature.nullable and feature.type != "category":
            made[feature.name][::7] = np.nan
    return {feature.name: made[feature.name] for feature in features}


def truth(columns: dict[str, Array], task: str = "binary-classification") -> Array:
    """A target that depends on the columns."""
    random = np.random.default_rng(2)
    signal = np.nan_to_num(columns["amount"]) + columns["age"] + random.normal(0, 30, len(columns["age"]))
    if task == "regression":
        return signal
    if task == "multiclass-classification":
        return np.array(["low", "mid", "top"])[np.digitize(signal, [0, 80])]
    return (signal > 40).astype(int)


def signature(features: tuple[Input, ...], task: Any = "binary-classification", **more: Any) -> Signature:
    """A signature whose classes fit ``truth``."""
    classes = {"binary-classification": ("no", "yes"), "multiclass-classification": ("low", "mid", "top")}.get(task, ())
    positive = "yes" if task == "binary-classification" else None
    return Signature(
        model="team/churn",
        task=task,
        features=features,
        target="left",
        positive=positive,
        classes=classes,
        **({"engine": "sklearn"} | more),
    )


def fitted(
    estimator: Any, features: tuple[Input, ...], task: str = "binary-classification"
) -> tuple[Any, dict[str, Array]]:
    """The estimator fitted on ``rows`` and ``truth``, and the rows."""
    columns = rows(features)
    return estimator.fit(to_frame(columns), truth(columns, task)), columns


def artifact_files(
    estimator: Any, features: tuple[Input, ...], task: str = "binary-classification"
) -> dict[str, bytes]:
    """The files of an artifact of a fitted estimator, served by ONNX when the check passes."""
    columns = rows(features, seed=5)
    data, types = dump_canonical(estimator)
    made = signature(features, task, trusted_types=types)
    export = export_onnx(estimator, made, columns)
    made = made.model_copy(update={"engine": "onnx" if export.data else "sklearn"})
    score = onnx_score(export.data, made) if export.data else sklearn_score(estimator, made)
    files = {names.SKOPS: data, names.SIGNATURE: made.dump()}
    if export.data:
        files[names.ONNX] = export.data
    files[names.SMOKE] = smoke_document(Predictor(made, score), columns, [0, 1, 2])
    return files
