"""A subject for gates: a loan model's good candidate, with a sensitive column and a stable release beside it.

It repays who earns enough: ``income`` tells it with some noise, ``children`` and ``region`` tell nothing, ``sex`` and
``age`` are sensitive and no features.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from modelops.gates import Answers, Explained, Retrain, Subject
from modelops.metrics import Predictions
from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec, Task
from modelops.spec.kinds.release import FeatureImportance, Importance

FEATURES = (
    Feature(name="income", type="number", nullable=True),
    Feature(name="children", type="integer"),
    Feature(name="region", type="category"),
)
TASK: Task = "binary-classification"


def model(task: Task = TASK) -> ModelSpec:
    """Return the model's spec."""
    data = ModelData(
        snapshot="loans", target="repaid", positive=True, id="loan", sensitive=("sex", "age"), features=FEATURES
    )
    return ModelSpec(
        description="Loans", owner="credit", risk="high", task=task, intended_use="Test", data=data, gates=("release",)
    )


def rows(n: int, seed: int, start: int = 0) -> pd.DataFrame:
    """Return n loans, with ids from ``start`` on."""
    generator = np.random.default_rng(seed)
    income = generator.normal(3000, 500, n)
    return pd.DataFrame(
        {
            "loan": np.arange(start, start + n),
            "income": income,
            "children": generator.integers(0, 4, n),
            "region": generator.choice(["north", "south", "west"], n),
            "sex": generator.choice(["f", "m"], n),
            "age": generator.uniform(20, 70, n),
            "repaid": (income + generator.normal(0, 500, n) > 2800),
        }
    )


def predictions(test: pd.DataFrame, seed: int = 5, noise: float = 400.0) -> Predictions:
    """Return what a model answers that sees the income through some noise, with the truth."""
    generator = np.random.default_rng(seed)
    score = 1 / (1 + np.exp(-(test["income"].to_numpy() + generator.normal(0, noise, len(test)) - 2800) / 300))
    true = test["repaid"].to_numpy().astype(float)
    return Predictions(TASK, true, (score >= 0.5).astype(float), score, (False, True))


def predict(test: pd.DataFrame) -> Answers:
    """Answer as a model does that looks at the income alone; a missing one is an average one."""
    income = test["income"].astype(float).fillna(3000.0).to_numpy()
    score = 1 / (1 + np.exp(-(income - 2800) / 300))
    return Answers((score >= 0.5).astype(float), score)


def explain(test: pd.DataFrame) -> Explained:
    """Explain the answers of ``predict`` exactly: its log-odds are a line in the income."""
    income = test["income"].astype(float).fillna(3000.0).to_numpy()
    contributions = np.zeros((len(test), len(FEATURES)))
    contributions[:, 0] = (income - 3000) / 300
    return Explained(contributions, "additive", "log-odds", 0.0)


def retraining(test: pd.DataFrame) -> Retrain:
    """Return what trains the candidate again: its answers are a little other ones with every seed."""

    def retrain(seed: int, seconds: float) -> Answers:
        own = predictions(test)
        odds = np.log(own.y_score / (1 - own.y_score)) + np.random.default_rng(seed).normal(0, 0.05, len(test))
        score = 1 / (1 + np.exp(-odds))
        return Answers((score >= 0.5).astype(float), score)

    return retrain


def subject(n: int = 800, **changes: object) -> Subject:
    """Return a good candidate with every part that a gate may need, n rows to train and n to test."""
    train, test = rows(n, 1), rows(n, 2, start=n)
    whole = Subject(
        model=model(),
        train=train,
        test=test,
        holdout=predictions(test),
        champion=predictions(test, seed=6, noise=500.0),
        champion_release=3,
        latency=np.random.default_rng(7).gamma(4, 0.0005, 500),
        artifact_size=20_000,
        profile={},
        champion_profile=profile(train),
        declared_columns={"loan": "integer", "repaid": "boolean"},
        incomparable="",
        unseen=np.ones(n, dtype=bool),
        predict=predict,
        importance=importance(),
        previous=rows(n, 8, start=2 * n),
        unreadable="",
        explain=explain,
        champion_explain=explain,
        retrain=retraining(test),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # the names are the subject's


def with_column(whole: Subject, name: str, values: object, part: str = "test") -> Subject:
    """Return the subject with one column of a part replaced."""
    return replace(whole, **{part: getattr(whole, part).assign(**{name: values})})


def empty() -> Subject:
    """Return a subject without a row, a timing or a byte."""
    whole = subject(10)
    none = whole.holdout.take(np.zeros(10, dtype=bool))
    return replace(
        whole,
        train=whole.train.iloc[:0],
        test=whole.test.iloc[:0],
        holdout=none,
        champion=none,
        unseen=np.zeros(0, dtype=bool),
        latency=np.empty(0),
        artifact_size=0,
        importance=None,
        previous=whole.train.iloc[:0],
    )


def importance(**carried: float) -> Importance:
    """Return what a build measures of the features: the income carries the model, unless it is said otherwise."""
    worth = {"income": 0.6, "children": 0.001, "region": -0.001} | carried
    found = [FeatureImportance(name=name, value=value, error=0.002) for name, value in worth.items()]
    return Importance(loss="log-loss", rows=800, features=tuple(sorted(found, key=lambda one: -one.value)))


def profile(train: pd.DataFrame) -> dict[str, Summary]:
    """Return what a snapshot measures of the features."""
    edges = tuple(float(edge) for edge in np.quantile(train["income"], np.linspace(0.1, 0.9, 9)))
    children = np.bincount(train["children"], minlength=4)
    regions = train["region"].value_counts()
    inner = np.histogram(train["income"], [-np.inf, *edges, np.inf])[0]
    return {
        "income": Summary(kind="number", edges=edges, counts=tuple(inner.tolist())),
        "children": Summary(kind="number", edges=(0.5, 1.5, 2.5), counts=tuple(children.tolist())),
        "region": Summary(kind="category", categories=tuple(regions.index), counts=tuple(regions.tolist())),
    }
