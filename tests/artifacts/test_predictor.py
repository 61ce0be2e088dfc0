"""Predictions from an artifact, by either engine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer

from artifacts.makers import MIXED, NUMBERS, Memory, artifact_files, fitted, rows
from modelops.artifacts import Predictor, Signature, load_predictor, open_artifact, put_artifact
from modelops.artifacts.frame import to_frame
from modelops.artifacts.predictor import load_estimator
from modelops.errors import ModelOpsError


def stored(files: dict[str, bytes]) -> Any:
    store = Memory()
    return open_artifact(store, put_artifact(store, files).digest)


def predictor(estimator: Any, features: Any, task: str = "binary-classification") -> Predictor:
    return load_predictor(stored(artifact_files(fitted(estimator, features, task)[0], features, task)))


def own() -> Any:
    coded = ColumnTransformer(
        [("c", OneHotEncoder(handle_unknown="ignore"), ["country"])], remainder=PowerTransformer()
    )
    return make_pipeline(coded, HistGradientBoostingClassifier(max_iter=2))


@pytest.mark.parametrize(
    ("estimator", "features", "engine"),
    [(GradientBoostingClassifier(n_estimators=3), NUMBERS, "onnx"), (own(), MIXED, "sklearn")],
)
def test_both_engines_answer_with_the_original_labels(estimator: Any, features: Any, engine: str) -> None:
    """Scores are P(positive); labels are the data's own, decided by the threshold; one row is like many."""
    found = predictor(estimator, features)
    assert found.engine == engine
    columns = rows(features, count=20, seed=9)
    outputs = found.predict(to_frame(columns))
    assert outputs.scores.shape == (20,)
    assert outputs.labels.tolist() == ["yes" if score >= 0.5 else "no" for score in outputs.scores]
    single = found.predict_columns({name: values[3:4] for name, values in columns.items()})
    assert single.scores[0] == pytest.approx(outputs.scores[3], abs=1e-12)
    assert single.labels[0] == outputs.labels[3]


def test_three_classes_and_values() -> None:
    """A multiclass model answers one probability a class, a regression the value."""
    columns = rows(NUMBERS, count=6, seed=9)
    many = predictor(GradientBoostingClassifier(n_estimators=2), NUMBERS, "multiclass-classification")
    outputs = many.predict_columns(columns)
    assert outputs.scores.shape == (6, 3)
    np.testing.assert_allclose(outputs.scores.sum(axis=1), 1.0)
    assert outputs.labels.tolist() == [("low", "mid", "top")[i] for i in outputs.scores.argmax(axis=1)]
    values = predictor(Ridge(), NUMBERS, "regression").predict_columns(columns)
    np.testing.assert_array_equal(values.scores, values.labels)


def test_the_trained_estimator_can_be_loaded_beside_onnx() -> None:
    """The scikit-learn side of an artifact served by ONNX agrees with what is served."""
    estimator, _ = fitted(GradientBoostingClassifier(n_estimators=3), NUMBERS)
    artifact = stored(artifact_files(estimator, NUMBERS))
    columns = rows(NUMBERS, count=9, seed=3)
    trained = load_estimator(artifact).predict_proba(to_frame(columns))[:, 1]
    np.testing.assert_allclose(load_predictor(artifact).predict_columns(columns).scores, trained, atol=1e-12)


def test_an_artifact_that_predicts_otherwise_than_recorded_is_refused() -> None:
    """The recorded predictions are checked after loading, before anybody is answered."""
    files = artifact_files(fitted(KNeighborsClassifier(3, algorithm="brute"), NUMBERS)[0], NUMBERS)
    smoke = json.loads(files["models/smoke.json"])
    smoke["scores"][0] += 0.01
    with pytest.raises(ModelOpsError, match="smoke-check-failed"):
        load_predictor(stored(files | {"models/smoke.json": json.dumps(smoke).encode()}))
    with pytest.raises(ModelOpsError, match="bad-artifact"):
        load_predictor(stored(files | {"models/smoke.json": b"{}"}))


@pytest.mark.parametrize("change", [{"engine": "pickle"}, {"surprise": 1}, {"features": []}])
def test_a_signature_with_anything_unexpected_is_refused(change: dict[str, Any]) -> None:
    """Unknown keys, engines and an empty list of features are errors that name the key."""
    document = json.loads(Signature(model="m", task="regression", features=NUMBERS, target="y", engine="onnx").dump())
    with pytest.raises(ModelOpsError, match="bad-artifact") as caught:
        Signature.parse(json.dumps(document | change).encode())
    assert next(iter(change)) in caught.value.problems[0].message


def test_serving_onnx_imports_neither_scikit_learn_nor_pandas() -> None:
    """A process that predicts by ONNX stays small: the heavy libraries are never loaded."""
    files = artifact_files(fitted(GradientBoostingClassifier(n_estimators=2), NUMBERS)[0], NUMBERS)
    program = (
        "import sys, numpy as np\n"
        "from modelops.artifacts import Artifact, load_predictor\n"
        "files = {name: bytes.fromhex(text) for name, text in (line.split() for line in sys.stdin)}\n"
        "columns = {name: np.ones(2) for name in ('amount', 'when', 'age')}\n"
        "found = load_predictor(Artifact('d', 0, files)).predict_columns(columns)\n"
        "print(found.scores.shape, sorted({'sklearn', 'pandas', 'pyarrow', 'skops', 'scipy'} & set(sys.modules)))\n"
    )
    text = "".join(f"{name} {data.hex()}\n" for name, data in files.items())
    done = subprocess.run([sys.executable, "-c", program], input=text, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2,) []"
