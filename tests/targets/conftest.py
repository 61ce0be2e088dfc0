"""The engine that the tests of the target `docker` share, and what they run on it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from engine_world import Engine, engine
from modelops.stores import Store
from modelops.targets import Site
from registry_world import free_port
from serving.served_models import open_store, pack_model
from targets.engine_box import Box


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    """Return an engine; what it runs is removed at the end."""
    with engine() as found:
        yield found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def digests(store: Store) -> list[str]:
    """Return two releases of a model."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=60), random.normal(size=60)
    signature = {
        "model": "fraud",
        "task": "binary-classification",
        "features": [("x", "number", False), ("y", "number", False)],
        "classes": (0, 1),
        "positive": 1,
    }
    rows = {"x": x.tolist(), "y": y.tolist()}
    target = (x + y > 0).astype(int)
    return [pack_model(store, LogisticRegression(C=c), rows, target, dict(signature)) for c in (1.0, 0.1)]


@pytest.fixture
def box(
    running: Engine, store: Store, digests: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Box]:
    monkeypatch.setenv("DOCKER_HOST", running.host)
    prefix = f"t{secrets.token_hex(4)}"
    made = Box(running, Site("staging", tmp_path / "runtime", store.address), prefix, free_port(), digests)
    yield made
    running.clear(prefix)
