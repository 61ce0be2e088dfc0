"""Models, stores and servers that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from modelops.stores import Store
from serving.served_models import Running, open_store, pack_model, route, running

COUNT = 60


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def digests(store: Store) -> dict[str, str]:
    """Return artifacts by name: two releases of a numeric model, one each of the other tasks, one that fails."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=COUNT), random.normal(size=COUNT)
    numbers: dict[str, Any] = {"x": x.tolist(), "y": y.tolist()}
    fraud = {
        "model": "fraud",
        "task": "binary-classification",
        "features": [("x", "number", False), ("y", "number", False)],
        "classes": (0, 1),
        "positive": 1,
    }
    target = (x + y > 0).astype(int)
    mixed = {
        "amount": x.tolist(),
        "items": [i % 5 for i in range(COUNT)],
        "country": ["DE", "FR"] * (COUNT // 2),
        "abroad": [i % 3 == 0 for i in range(COUNT)],
        "opened": [f"2026-01-{1 + i % 28:02d}T00:00:00Z" for i in range(COUNT)],
    }
    strict = ColumnTransformer(
        [("country", OneHotEncoder(handle_unknown="error"), ["country"])], remainder="passthrough"
    )
    churn = {
        "model": "payments/churn",
        "task": "binary-classification",
        "features": [
            ("amount", "number", False),
            ("items", "integer", False),
            ("country", "category", False),
            ("abroad", "boolean", False),
            ("opened", "datetime", False),
        ],
        "classes": ("stays", "leaves"),
        "positive": "leaves",
    }
    nullable = {
        "model": "risk",
        "task": "multiclass-classification",
        "features": [("x", "number", True), ("group", "category", True)],
        "classes": ("high", "low", "mid"),
    }
    levels = np.array(["low", "mid", "high"])[np.arange(COUNT) % 3]
    gaps = {"x": [None if i % 7 == 0 else float(v) for i, v in enumerate(x)], "group": ["a", "b", ""] * 20}
    tolerant = ColumnTransformer(
        [("group", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["group"])], remainder="passthrough"
    )
    regression = {"model": "price", "task": "regression", "features": [("x", "number", False), ("y", "number", False)]}
    return {
        "fraud-1": pack_model(store, LogisticRegression(), numbers, target, dict(fraud)),
        "fraud-2": pack_model(store, LogisticRegression(C=0.01), numbers, target, dict(fraud)),
        "churn": pack_model(
            store,
            make_pipeline(strict, LogisticRegression(max_iter=10_000)),
            mixed,
            target,
            churn,
            onnx=False,
        ),
        "risk": pack_model(
            store,
            make_pipeline(tolerant, DecisionTreeClassifier(max_depth=3)),
            gaps,
            levels,
            nullable,
            onnx=False,
        ),
        "price": pack_model(store, LinearRegression(), numbers, 2 * x + y, regression),
    }


@pytest.fixture(scope="session")
def models(digests: dict[str, str]) -> dict[str, Any]:
    return {
        "fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="acknowledged"),
        "payments/churn": route(("stable", 3, digests["churn"], 1.0), log="acknowledged"),
        "risk": route(("stable", 1, digests["risk"], 1.0), log="acknowledged"),
        "price": route(("stable", 1, digests["price"], 1.0), log="buffered"),
    }


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, store: Store, models: dict[str, Any]) -> Iterator[Running]:
    """Return a server of all models, for tests that change nothing but the log."""
    with running(tmp_path_factory.mktemp("server"), store, models, grpc_port=0) as started:
        yield started
