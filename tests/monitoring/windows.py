"""Building blocks of the monitoring tests: a model, its snapshot's profile, and windows of a real prediction log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from modelops import summaries
from modelops.monitoring import Beside, WindowReport, score_window
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, SnapshotFile, Source, Summary
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec, Serving
from modelops.spec.kinds.monitor import MonitorSpec, Performance

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SINCE = NOW - timedelta(days=30)
FEATURES = (
    Feature(name="amount", type="number"),
    Feature(name="count", type="integer", nullable=True),
    Feature(name="abroad", type="boolean"),
    Feature(name="channel", type="category"),
)
COLUMNS = tuple(
    Column(name=name, type=kind, missing=0, distinct=many, minimum=low, maximum=high)
    for name, kind, low, high, many in (
        ("id", "category", None, None, 10_000),
        ("when", "datetime", None, None, 10_000),
        ("customer", "category", None, None, 10_000),
        ("amount", "number", -6.0, 6.0, 10_000),
        ("count", "integer", 0, 9, 10),
        ("abroad", "boolean", None, None, 2),
        ("channel", "category", None, None, 2),
        ("fraud", "integer", 0, 1, 2),
    )
)


def model(**changes: Any) -> ModelSpec:
    data = {"snapshot": "a", "target": "fraud", "positive": 1, "id": "id", "time": "when", "features": FEATURES}
    return ModelSpec(
        description="d",
        owner="o",
        risk="limited",
        task=changes.pop("task", "binary-classification"),
        intended_use="u",
        data=ModelData.model_validate(data | changes),
        gates=("g",),
        serving=Serving(entity="customer"),
    )


def inputs(rng: np.random.Generator, n: int, *, shift: float = 0.0, abroad: float = 0.1) -> dict[str, list[Any]]:
    return {
        "amount": rng.normal(shift, 1, n).tolist(),
        "count": rng.integers(0, 10, n).tolist(),
        "abroad": (rng.random(n) < abroad).tolist(),
        "channel": rng.choice(["app", "web"], n).tolist(),
    }


def profile(rng: np.random.Generator, n: int = 10_000) -> dict[str, Summary]:
    return profile_of(pa.table(inputs(rng, n)))


def profile_of(rows: pa.Table) -> dict[str, Summary]:
    return {
        feature.name: summaries.summarise(rows.column(feature.name), summaries.kind_of(feature.type))
        for feature in FEATURES
    }


def score_profile(rng: np.random.Generator) -> Summary:
    return summaries.summarise(pa.chunked_array([pa.array(rng.random(5000))]), "number")


def log(columns: Mapping[str, Sequence[Any]], **columns_of_log: Sequence[Any]) -> pa.Table:
    """Return what reading a window of the log gives, with answered rows of the stable arm unless said otherwise."""
    n = len(next(iter(columns.values())))
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    full: dict[str, Any] = {
        "id": [f"p{index}" for index in range(n)],
        "time": [SINCE.timestamp() + index for index in range(n)],
        "arm": ["stable"] * n,
        "release": [1] * n,
        "entity": [f"c{index}" for index in range(n)],
        "features": [json.dumps(row) for row in rows],
        "score": [0.5] * n,
        "label": ["0"] * n,
        "status": [200] * n,
        "truth": [None] * n,
    } | columns_of_log
    types = {"time": pa.float64(), "score": pa.float64(), "status": pa.int64(), "release": pa.int64()}
    return pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in full.items()})


def snapshot() -> DataSnapshotSpec:
    return DataSnapshotSpec(
        format="csv",
        source=Source(type="files", location="d", owner="o"),
        root="sha256:" + "0" * 64,
        files=(SnapshotFile(path="a.csv", size=1, sha256="0" * 64),),
        rows=1,
        columns=COLUMNS,
    )


def report(table: pa.Table, rng: np.random.Generator, **changes: Any) -> WindowReport:
    known = {
        name: changes.pop(name) for name in ("importance", "holdout", "others", "rows", "sources") if name in changes
    }
    monitor = MonitorSpec(performance=changes.pop("performance", None), **changes.pop("monitor", {}))
    return score_window(
        monitor,
        changes.pop("model", model()),
        changes.pop("profile", None) or profile(rng),
        changes.pop("score_profile", None),
        table,
        since=SINCE,
        until=NOW,
        columns=COLUMNS,
        beside=Beside(**known),
        **changes,
    )


RECALL = Performance(metric="recall", minimum=0.7, minimum_labels=100)
