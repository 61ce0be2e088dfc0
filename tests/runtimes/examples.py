"""One small model of every library, and what it answers by itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from modelops.artifacts import Input
from modelops.artifacts.frame import to_frame
from modelops.artifacts.parts.part import Asked
from modelops.conformance.runtimes import Example

Array = np.ndarray[Any, Any]
Task = Any

FEATURES = (
    Input(name="amount", type="number", nullable=True),
    Input(name="age", type="integer"),
    Input(name="when", type="datetime"),
)
CLASSES = {
    "binary-classification": ("no", "yes"),
    "multiclass-classification": ("low", "mid", "top"),
    "regression": (),
}


def columns(rows: int = 200, seed: int = 0, *, gaps: bool = True) -> dict[str, Array]:
    """Numbers with gaps, whole numbers, and instants that float32 cannot tell apart."""
    random = np.random.default_rng(seed)
    amount = random.normal(0, 10, rows)
    if gaps:
        amount[::9] = np.nan
    return {
        "amount": amount,
        "age": random.integers(18, 80, rows).astype(float),
        "when": 1.7e9 + random.integers(0, 10**6, rows).astype(float),
    }


def target(found: dict[str, Array], task: Task) -> Array:
    """What depends on the columns, as training code is given it."""
    signal = (
        np.nan_to_num(found["amount"]) + found["age"] / 4 + np.random.default_rng(1).normal(0, 3, len(found["age"]))
    )
    if task == "regression":
        return signal
    if task == "binary-classification":
        return (signal > 12).astype(int)
    return np.array(["low", "mid", "top"], dtype=object)[np.digitize(signal, [8, 16])]


def asked(task: Task) -> Asked:
    return Asked(task, FEATURES, CLASSES[task])


def example(make: Callable[[], Any], task: Task, *, gaps: bool = True, coded: bool = False) -> Example:
    """An estimator that is fitted on the columns, with its own answers."""
    found = columns(gaps=gaps)
    labels = target(found, task)
    if coded and task == "multiclass-classification":
        labels = np.searchsorted(np.array(CLASSES[task]), labels.astype(str))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make().fit(to_frame(found), labels)
        rows = columns(60, seed=3, gaps=gaps)
        if task == "regression":
            scores = model.predict(to_frame(rows))
        else:
            scores = model.predict_proba(to_frame(rows))
            scores = scores[:, 1] if task == "binary-classification" else scores
    return Example(model, asked(task), rows, np.asarray(scores, dtype=np.float64))


def xgboost(task: Task, **more: Any) -> Example:
    from xgboost import XGBClassifier, XGBRegressor

    made = XGBRegressor if task == "regression" else XGBClassifier
    return example(lambda: made(**{"n_estimators": 12, "max_depth": 3, "n_jobs": 1, **more}), task, coded=True)


def lightgbm(task: Task, **more: Any) -> Example:
    from lightgbm import LGBMClassifier, LGBMRegressor

    made = LGBMRegressor if task == "regression" else LGBMClassifier
    settings = {"n_estimators": 12, "num_leaves": 7, "n_jobs": 1, "verbose": -1, **more}
    return example(lambda: made(**settings), task)


def catboost(task: Task, **more: Any) -> Example:
    from catboost import CatBoostClassifier, CatBoostRegressor

    made = CatBoostRegressor if task == "regression" else CatBoostClassifier
    settings = {"iterations": 12, "depth": 3, "thread_count": 1, "verbose": 0, "allow_writing_files": False, **more}
    return example(lambda: made(**settings), task)


def scikit_learn(task: Task) -> Example:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    made = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return example(lambda: made(max_iter=5), task)


def onnx(task: Task) -> Example:
    """A model that skl2onnx converted elsewhere, with float32 inputs, labels and probabilities."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LinearRegression() if task == "regression" else LogisticRegression()
    made = example(lambda: make_pipeline(StandardScaler(), model), task, gaps=False)
    matrix = to_frame(made.columns).to_numpy()
    options = None if task == "regression" else {"zipmap": False}
    proto = to_onnx(made.found, matrix[:1], options=options)
    return Example(proto, made.asked, made.columns, made.scores)


FUNCTION = b"""
import numpy as np


def predict(state, features):
    value = np.nan_to_num(features["amount"].to_numpy()) * state["slope"] + state["weights"][0]
    return value if state["task"] == "regression" else 1 / (1 + np.exp(-value))
"""


def python(task: Task) -> Example:
    """A function of one column."""
    rows = columns(60)
    value = np.nan_to_num(rows["amount"]) * 0.3 - 1.0
    scores = value if task == "regression" else 1 / (1 + np.exp(-value))
    state = {"slope": 0.3, "weights": np.array([-1.0, 2.0]), "task": task, "names": ["a", "ä"], "none": None}
    return Example(state, asked(task), rows, scores, {"train.py": FUNCTION})


EXAMPLES: dict[str, Callable[..., Example]] = {
    "catboost": catboost,
    "lightgbm": lightgbm,
    "onnx": onnx,
    "python": python,
    "scikit-learn": scikit_learn,
    "xgboost": xgboost,
}
