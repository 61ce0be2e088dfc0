"""Models as they are served, with rows and the scores that each model gives them by itself, for other languages."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelops.artifacts import Input, Signature
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import export_onnx
from modelops.artifacts.parts.held import parted
from modelops.artifacts.parts.part import Asked
from modelops.artifacts.probe import probes
from runtimes.examples import CLASSES, EXAMPLES, FEATURES, columns, target

Array = np.ndarray[Any, Any]
MIXED = (*FEATURES, Input(name="country", type="category", nullable=True))


def mixed(rows: int, seed: int) -> dict[str, Array]:
    found = columns(rows, seed)
    found["country"] = np.random.default_rng(seed).choice(["de", "fr", "it", "", "ä"], rows).astype(object)
    return found


def prepared() -> Any:
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    texts = ("texts", OneHotEncoder(handle_unknown="ignore"), ["country"])
    return ColumnTransformer([("numbers", numbers, ["amount", "age", "when"]), texts])


def models() -> Iterator[tuple[str, str, Any]]:
    """Yield (name, task, estimator to fit) of the families that are served most."""
    yield "logistic", "binary-classification", LogisticRegression(max_iter=500)
    yield "boosting", "binary-classification", GradientBoostingClassifier(n_estimators=20, random_state=0)
    yield "forest", "multiclass-classification", RandomForestClassifier(n_estimators=20, random_state=0)
    yield "histogram", "regression", HistGradientBoostingRegressor(max_iter=20)
    yield "network", "regression", MLPRegressor(hidden_layer_sizes=(6,), max_iter=50, random_state=0)
    for key in ("xgboost", "lightgbm", "catboost"):
        found = EXAMPLES[key]("binary-classification").found
        yield key, "binary-classification", type(found)(**found.get_params())


def cases(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """Write the models into a folder; return what to ask of each, and what each says by itself.

    The rows are those of the build's own comparison: ordinary ones, at thresholds, missing, unseen, and extreme ones
    that the model itself answers.
    """
    asked, expected = [], {}
    for name, task, made in models():
        rows = mixed(200, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = make_pipeline(prepared(), made).fit(to_frame(rows), target(rows, task))
        model, parts = parted(estimator, Asked(task, MIXED, CLASSES[task]))  # type: ignore[arg-type]
        signature = Signature(
            model="m", task=task, features=MIXED, target="t", classes=CLASSES[task], engine="sklearn",  # type: ignore[arg-type]
            positive="yes" if task == "binary-classification" else None, parts=tuple(part.held for part in parts),
        )  # fmt: skip
        export = export_onnx(model, signature, mixed(60, 7))
        assert export.data is not None, export.reason
        path = folder / f"{name}.onnx"
        path.write_bytes(export.data)
        parts_of = [probe.columns for probe in probes(model, MIXED, mixed(60, 7)) if "e+" not in probe.kind]
        tried = {key: np.concatenate([one[key] for one in parts_of]) for key in parts_of[0]}
        frame = to_frame(tried)
        truth = model.predict(frame) if task == "regression" else model.predict_proba(frame)
        truth = np.asarray(truth, dtype=np.float64).reshape(len(frame), -1)
        expected[name] = truth[:, 1:] if task == "binary-classification" else truth
        numbers = np.column_stack([tried[feature.name] for feature in FEATURES]).tolist()
        texts = [[text] for text in tried["country"].tolist()]
        gaps = [[None if math.isnan(value) else value for value in row] for row in numbers]
        asked.append({"name": name, "model": str(path), "numbers": gaps, "texts": texts})
    (folder / "cases.json").write_text(json.dumps(asked), encoding="utf-8")
    return asked, expected
