"""Exported models beside scikit-learn in the same process: largest difference, processor time a row, size.

Run as ``python tests/benchmarks/bench_export.py [NAME ...]``, where a name is that of a bundled model or a part of a
family's. The bundled models are trained on their own generated data, the families on 30 columns of which three are
beyond the precision of float32. The difference is the largest over every probed row: held out, at and beside split
thresholds, missing, unseen and extreme values; absolute below 1, relative above.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
from pyarrow import csv
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from modelops.artifacts import Input, Predictor, Signature, columns
from modelops.artifacts.frame import to_frame
from modelops.artifacts.onnx_export import export_onnx
from modelops.artifacts.onnx_session import onnx_score
from modelops.artifacts.predictor import sklearn_score
from modelops.spec.load import load_resource

Columns = Mapping[str, np.ndarray[Any, Any]]

MODELS = Path(__file__).resolve().parents[2] / "models"
BATCHES = (1, 16, 256)
SECONDS = 0.15
ROWS, WIDTH = 4000, 30
TASKS = {"B": "binary-classification", "M": "multiclass-classification", "R": "regression"}


def cost(call: Callable[[], Any]) -> float:
    """Return the processor time of one call in microseconds: the best of five series."""
    call()
    count, best = 1, float("inf")
    while True:
        began = time.process_time()
        for _ in range(count):
            call()
        spent = time.process_time() - began
        if spent > SECONDS / 5 or count > 1 << 16:
            break
        count *= 2
    for _ in range(5):
        began = time.process_time()
        for _ in range(count):
            call()
        best = min(best, (time.process_time() - began) / count)
    return best * 1e6


def report(name: str, estimator: Any, signature: Signature, test: Columns) -> None:
    """Export a fitted estimator and print its line."""
    began = time.process_time()
    export = export_onnx(estimator, signature, test)
    seconds = time.process_time() - began
    if export.data is None:
        print(f"{name:34} scikit-learn serves: {export.reason}")
        return
    predictor = Predictor(signature, onnx_score(export.data, signature))
    fitted = sklearn_score(estimator, signature)
    cells = []
    for size in BATCHES:
        rows = {key: np.resize(values, size) for key, values in test.items()}
        ours = cost(lambda rows=rows: predictor.predict_columns(rows)) / size
        if predictor.takes_matrix:
            matrix = np.column_stack(list(rows.values()))
            ours = cost(lambda matrix=matrix: predictor.predict_matrix(matrix)) / size
        theirs = cost(lambda rows=rows: fitted(rows)) / size
        cells.append(f"{ours:8.2f} {theirs:9.1f}")
    largest = f"{export.difference:.1e}"
    print(f"{name:34} {largest:>8} {'  '.join(cells)} {len(export.data) / 1024:8.1f} {seconds:6.1f}", flush=True)


def bundled(name: str) -> None:
    """Generate a bundled model's data, train it as its spec says, and report it."""
    path = MODELS / name / "model.yaml"
    spec = load_resource(path.read_bytes(), f"models/{name}/model.yaml").spec
    snapshot_path = MODELS / name / "data" / f"{spec.data.snapshot}.yaml"
    snapshot = load_resource(snapshot_path.read_bytes(), f"models/{name}/data/{snapshot_path.name}").spec
    with tempfile.TemporaryDirectory() as folder:
        command = [part.replace("{output}", folder) for part in snapshot.source.command]
        subprocess.run([sys.executable, *command[1:]], cwd=MODELS / name, check=True, capture_output=True)
        files = sorted(Path(folder).rglob("*.csv"))
        table = pa.concat_tables([csv.read_csv(file) for file in files])
    features = tuple(Input(name=each.name, type=each.type, nullable=each.nullable) for each in spec.data.features)
    made = columns(table, features)
    target = table[spec.data.target].to_pandas()
    classes: tuple[Any, ...] = ()
    if spec.task != "regression":
        negative = next(value for value in target.unique().tolist() if value != spec.data.positive)
        classes = (negative, spec.data.positive)
        target = (target == spec.data.positive).astype(int)
    cut = len(target) * 3 // 4
    train = runpy.run_path(str(MODELS / name / spec.training.entrypoint))["train"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parameters = dict(spec.training.parameters)
        fitted = train(to_frame({k: v[:cut] for k, v in made.items()}), target[:cut], parameters, spec.training.seed)
    signature = Signature(
        model=name, task=spec.task, features=features, target=spec.data.target, positive=spec.data.positive,
        classes=classes, threshold=spec.serving.threshold if spec.serving else 0.5, engine="onnx",
    )  # fmt: skip
    report(name, fitted, signature, {key: values[cut:] for key, values in made.items()})


def made_rows() -> tuple[tuple[Input, ...], dict[str, np.ndarray[Any, Any]]]:
    """Return 30 features, three of them wide and two of them texts, and their rows."""
    random = np.random.default_rng(1)
    made: dict[str, np.ndarray[Any, Any]] = {f"x{i}": random.normal(size=ROWS) for i in range(WIDTH - 5)}
    made["when"] = 1.7e9 + random.integers(0, 10**7, ROWS).astype(float)
    made["id"] = 5e7 + random.integers(0, 10**5, ROWS).astype(float)
    made["price"] = np.round(random.lognormal(12, 1, ROWS), 2)
    made["country"] = random.choice(["de", "fr", "it", "pl", "at"], ROWS).astype(object)
    made["channel"] = random.choice([f"c{i}" for i in range(20)], ROWS).astype(object)
    kinds: dict[str, Any] = {"when": "datetime", "id": "integer", "country": "category", "channel": "category"}
    return tuple(Input(name=name, type=kinds.get(name, "number")) for name in made), made


def families(texts: list[str]) -> dict[str, tuple[Any, bool, str]]:
    """Return the estimators by name, whether they take the texts, and their task."""
    one_hot = OneHotEncoder(handle_unknown="ignore")
    scaled = make_pipeline(SimpleImputer(), StandardScaler())
    numbers = slice(0, WIDTH - len(texts))
    prepared = ColumnTransformer([("n", scaled, numbers), ("c", one_hot, texts)], sparse_threshold=0)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    coded = ColumnTransformer([("n", "passthrough", numbers), ("c", ordinal, texts)])
    return {
        "gradient boosting": (GradientBoostingClassifier(), False, "B"),
        "gradient boosting, 3 classes": (GradientBoostingClassifier(), False, "M"),
        "gradient boosting, values": (GradientBoostingRegressor(), False, "R"),
        "histogram boosting": (HistGradientBoostingClassifier(), False, "B"),
        "histogram boosting, 3 classes": (HistGradientBoostingClassifier(), False, "M"),
        "histogram boosting, poisson": (HistGradientBoostingRegressor(loss="poisson"), False, "R"),
        "histogram boosting, categories": (HistGradientBoostingClassifier(categorical_features=texts), True, "B"),
        "random forest": (RandomForestClassifier(100, max_depth=10, random_state=0), False, "B"),
        "random forest, 3 classes": (RandomForestClassifier(100, max_depth=10, random_state=0), False, "M"),
        "random forest, values": (RandomForestRegressor(100, max_depth=10, random_state=0), False, "R"),
        "extra trees": (ExtraTreesClassifier(100, max_depth=10, random_state=0), False, "B"),
        "logistic regression": (make_pipeline(StandardScaler(), LogisticRegression()), False, "B"),
        "logistic regression, 3 classes": (make_pipeline(StandardScaler(), LogisticRegression()), False, "M"),
        "ridge": (make_pipeline(StandardScaler(), Ridge()), False, "R"),
        "network": (make_pipeline(StandardScaler(), MLPClassifier(20, max_iter=30, random_state=0)), False, "B"),
        "calibrated boosting": (CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=30), cv=3), False, "B"),
        "one-hot, logistic regression": (make_pipeline(prepared, LogisticRegression()), True, "B"),
        "one-hot, gradient boosting": (make_pipeline(prepared, GradientBoostingClassifier()), True, "B"),
        "ordinal, histogram boosting": (make_pipeline(coded, HistGradientBoostingClassifier()), True, "B"),
    }


def family(name: str, estimator: Any, texts: bool, task: str) -> None:
    """Train one family on made rows and report it."""
    features, made = made_rows()
    features = tuple(feature for feature in features if texts or feature.type != "category")
    signal = made["x0"] + made["x1"] * made["x2"] + (made["id"] - 5e7) / 5e4 + (made["country"] == "fr")
    noise = np.random.default_rng(2).normal(0, 0.5, ROWS)
    classes: tuple[Any, ...] = {"B": ("no", "yes"), "M": (0, 1, 2)}.get(task, ())
    target = {"B": (signal + noise > 1).astype(int), "M": np.digitize(signal + noise, [0.5, 2])}.get(
        task, np.exp((signal + noise) / 4)
    )
    used = {feature.name: made[feature.name] for feature in features}
    half = ROWS // 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = estimator.fit(to_frame({key: values[:half] for key, values in used.items()}), target[:half])
    signature = Signature(
        model="bench", task=TASKS[task], features=features, target="y", positive="yes" if task == "B" else None,
        classes=classes, engine="onnx",
    )  # fmt: skip
    report(name, fitted, signature, {key: values[half:] for key, values in used.items()})


def main() -> None:
    """Report what was asked for, or everything."""
    asked = sys.argv[1:]
    head = "  ".join(f"{f'batch {size}':>8} {'sklearn':>9}" for size in BATCHES)
    print(f"{'processor time in us a row':34} {'apart':>8} {head} {'KiB':>8} {'export s':>6}")
    for path in sorted(MODELS.glob("*/model.yaml")):
        if not asked or any(word in path.parent.name for word in asked):
            bundled(path.parent.name)
    for name, (estimator, texts, task) in families(["country", "channel"]).items():
        if not asked or any(word in name for word in asked):
            family(name, estimator, texts, task)


if __name__ == "__main__":
    main()
