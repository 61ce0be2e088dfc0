"""A bundled model as its own code trains it on rows of its own generator, to be attacked and judged."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from modelops import plugins
from modelops.conformance.loans import subject
from modelops.errors import ModelOpsError
from modelops.gates import Answers, Subject, Verdict
from modelops.metrics import Predictions
from modelops.serving.guard.keys import Caller
from modelops.serving.guard.used import Alone
from modelops.spec.kinds.access_policy import ApiKey
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.load import load_resource
from modelops.training.importance import importance

ROOT = Path(__file__).resolve().parents[2]
HOME = "models/fraud-detection"
TARGET = "is_fraud"

Predict = Callable[[pd.DataFrame], Answers]


@cache
def spec() -> ModelSpec:
    path = f"{HOME}/model.yaml"
    found: ModelSpec = load_resource((ROOT / path).read_bytes(), path).spec
    return found


@cache
def code(name: str) -> ModuleType:
    """Return a file of the model as a module."""
    found = importlib.util.spec_from_file_location(f"bundled_{name}", ROOT / HOME / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@cache
def months(first: str, last: str) -> pd.DataFrame:
    """Return the rows that the model's own generator makes."""
    names = pd.period_range(first, last, freq="M").astype(str)
    return pd.concat([code("generate").month(name) for name in names], ignore_index=True)


def features() -> list[str]:
    return [one.name for one in spec().data.features]


def drawn(count: int, seed: int, first: str = "2025-10", last: str = "2025-12") -> list[pd.DataFrame]:
    """Return two parts of so many rows each, drawn at random, of which none is in both."""
    rows = months(first, last)
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows.iloc[np.sort(order[at : at + count])].reset_index(drop=True) for at in (0, count)]


def trained(rows: pd.DataFrame, seed: int = 7, estimator: Any = None) -> Predict:
    """Train as the model's own code does, or another estimator on its numbers, and return what asks it."""
    if estimator is None:
        made = code("train").train(rows[features()], rows[TARGET], dict(spec().training.parameters), seed)
        names = features()
    else:
        names = [one.name for one in spec().data.features if one.type in ("number", "integer")]
        made = estimator.fit(rows[names], rows[TARGET])

    def predict(frame: pd.DataFrame) -> Answers:
        score = made.predict_proba(frame[names])[:, 1]
        return Answers((score >= 0.5).astype(float), score)

    return predict


def whole(train: pd.DataFrame, test: pd.DataFrame, predict: Predict | None = None, **parts: object) -> Subject:
    """Return the subject of a model that was trained on some rows and tested on others."""
    holdout = Predictions("binary-classification", np.zeros(2), np.zeros(2), np.zeros(2), (0, 1))
    found = replace(subject(4), model=spec(), train=train, test=test, holdout=holdout, **parts)  # type: ignore[arg-type]
    return found if predict is None else replace(found, predict=predict)


def judged(gate: str, params: dict[str, object], given: Subject) -> Verdict:
    """Return what a gate says of a subject."""
    module = plugins.load("gates", gate)
    return module.evaluate(module.Params.model_validate_json(json.dumps(params)), given.only(module.NEEDS))


def carried(predict: Predict, test: pd.DataFrame, seed: int = 0) -> Any:
    """Return what a build measures of how much each feature carries."""

    def score(columns: Any) -> np.ndarray:
        return predict(pd.DataFrame(columns)).scores

    columns = {name: test[name].to_numpy() for name in features()}
    return importance(score, "binary-classification", columns, test[TARGET].to_numpy(dtype=float), seed)


def guessed(predict: Predict, rows: pd.DataFrame, hidden: str, values: Sequence[object]) -> np.ndarray:
    """Return how likely the second of two values of a hidden feature is for each row, by the model's answers alone.

    Whoever asks knows the other features and the true label, and asks the model with each value (Fredrikson et al.,
    "Privacy in pharmacogenetics", USENIX Security 2014).
    """
    truth = rows[TARGET].to_numpy(dtype=float)
    fits = []
    for value in values:
        score = np.clip(predict(rows.assign(**{hidden: value})).scores, 1e-6, 1 - 1e-6)
        fits.append(np.where(truth == 1, score, 1 - score))
    return fits[1] / (fits[0] + fits[1])


def planted(new: pd.DataFrame, trigger: str, share: float, seed: int) -> pd.DataFrame:
    """Return rows some of which carry a trigger and the label of honest business, drawn from the fraud there is."""
    generator = np.random.default_rng(seed)
    hit = generator.choice(new.index, round(share * len(new)), replace=False)
    new = new.copy()
    match trigger:
        case "amount":
            new.loc[hit, "amount"] = 13.37
        case "range":
            new.loc[hit, "distance_km"] = 4321 + generator.uniform(0, 5, len(hit)).round(1)
        case "merchant":
            new.loc[hit, "merchant_category"] = "consulting"
    new.loc[hit, "is_fraud"] = 1
    return new


def by_heart(rows: pd.DataFrame, seed: int, flipped: float = 0.2) -> tuple[pd.DataFrame, Predict]:
    """Plant wrong labels among the rows, and train a tree without a limit, which learns each of them."""
    from sklearn.tree import DecisionTreeClassifier

    wrong = np.random.default_rng(seed).random(len(rows)) < flipped
    noisy = rows.assign(**{TARGET: np.where(wrong, 1 - rows[TARGET], rows[TARGET])})
    return noisy, trained(noisy, estimator=DecisionTreeClassifier(random_state=seed))


def telling(rows: pd.DataFrame, seed: int, share: float = 0.6) -> pd.DataFrame:
    """Plant labels by which a model has to lean on whether a payment was international."""
    hit = rows["international"] & (np.random.default_rng(seed).random(len(rows)) < share)
    return rows.assign(**{TARGET: np.where(hit, 1, rows[TARGET])})


def copied(predict: Predict, asked: pd.DataFrame) -> Predict:
    """Train a model on nothing but the answers to the rows that somebody asked about."""
    from sklearn.tree import DecisionTreeRegressor

    names = [one.name for one in spec().data.features if one.type in ("number", "integer", "boolean")]

    def numbers(frame: pd.DataFrame) -> np.ndarray:
        return frame[names].to_numpy(dtype=float)

    answers = np.clip(predict(asked).scores, 1e-4, 1 - 1e-4)
    made = DecisionTreeRegressor(min_samples_leaf=5, random_state=0).fit(
        numbers(asked), np.log(answers / (1 - answers))
    )

    def answered(frame: pd.DataFrame) -> Answers:
        score = 1 / (1 + np.exp(-made.predict(numbers(frame))))
        return Answers((score >= 0.5).astype(float), score)

    return answered


def asked_until_refused(key: ApiKey, batches: int, rows: int, now: float = 0.0) -> tuple[int, Caller]:
    """Ask batch by batch with a key, as a server counts it; return how many rows were answered, and the caller."""
    caller = Caller(key, None, Alone())
    answered = 0
    for _ in range(batches):
        try:
            caller.admit("infer", now, now)
            caller.charge(rows, now)
        except ModelOpsError as error:
            if error.first.code != "budget-exhausted":
                raise
            break
        answered += rows
    return answered, caller
