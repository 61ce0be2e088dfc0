"""Made traffic for the simulators of monitoring: a model, its snapshot, windows of its log, and a year of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from scipy import stats

from modelops import monitoring, summaries
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, SnapshotFile, Source
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec, Serving
from modelops.spec.kinds.monitor import MonitorSpec, Retraining

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
Frame = dict[str, np.ndarray]


def interval(count: int, runs: int) -> tuple[float, float]:
    """Return Wilson's interval of a share, by which every row of the tables is judged."""
    found = stats.binomtest(count, runs).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def spec(frame: Frame) -> ModelSpec:
    """Return a binary model of the columns of a frame, whose traffic is assigned by customer."""
    features = tuple(Feature(name=n, type="category" if v.dtype.kind == "U" else "number") for n, v in frame.items())
    data = {"snapshot": "s", "target": "y", "positive": 1, "time": "at", "features": features}
    return ModelSpec(
        description="d", owner="o", risk="limited", task="binary-classification", intended_use="u",
        data=ModelData.model_validate(data), gates=("g",), serving=Serving(entity="customer"),
    )  # fmt: skip


def snapshot(model: ModelSpec, rows: int, customers: int) -> DataSnapshotSpec:
    """Return the snapshot of so many rows."""
    kinds: dict[str, Any] = {each.name: each.type for each in model.data.features}
    kinds |= {"customer": "category", "at": "datetime", "y": "integer"}
    return DataSnapshotSpec(
        format="parquet", source=Source(type="store", owner="o"), root="sha256:" + "0" * 64,
        files=(SnapshotFile(path="a.parquet", size=1, sha256="0" * 64),), rows=rows,
        columns=tuple(
            Column(name=name, type=kind, missing=0, distinct=customers if name == "customer" else min(rows, 1000))
            for name, kind in kinds.items()
        ),
    )  # fmt: skip


def window(frame: Frame, times: np.ndarray, customers: np.ndarray | None = None, **log: Sequence[Any]) -> pa.Table:
    """Return what reading these rows from the log gives; without customers every row is one's of its own."""
    n = len(times)
    names, columns = list(frame), [values.tolist() for values in frame.values()]
    own = [f"e{index}" for index in range(n)] if customers is None else [f"c{index}" for index in customers]
    given: dict[str, Any] = {
        "id": [f"p{time:.6f}" for time in times], "time": times, "arm": ["stable"] * n,
        "release": [1] * n, "entity": own, "score": [0.5] * n, "label": ["0"] * n, "status": [200] * n,
        "truth": [None] * n,
        "features": [orjson.dumps(dict(zip(names, row, strict=True))).decode() for row in zip(*columns, strict=True)],
    } | log  # fmt: skip
    types = {"time": pa.float64(), "score": pa.float64(), "status": pa.int64(), "release": pa.int64()}
    return pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in given.items()})


def profile(rows: pa.Table, model: ModelSpec) -> dict[str, Any]:
    """Return the summaries of the features of a snapshot's rows."""
    return {
        each.name: summaries.summarise(rows.column(each.name), summaries.kind_of(each.type))
        for each in model.data.features
    }


def training(frame: Frame, times: np.ndarray, customers: np.ndarray) -> pa.Table:
    """Return a snapshot's rows as they are read."""
    columns: dict[str, Any] = {name: pa.array(values) for name, values in frame.items()}
    micros = pa.array((times * 1e6).astype(np.int64), pa.timestamp("us", "UTC"))
    who = pa.array([f"c{index}" for index in customers])
    return pa.table(columns | {"customer": who, "at": micros, "y": pa.array(np.zeros(len(times), np.int64))})


@dataclass
class Year:
    """What happened in a year: days of pull requests, and the levels of all windows by their last day."""

    opened: list[int] = field(default_factory=list)
    levels: dict[int, str] = field(default_factory=dict)
    twice: float = 0.0

    def alerts(self) -> int:
        return sum(level == "alert" for level in self.levels.values())

    def warnings(self) -> int:
        return sum(level == "warn" for level in self.levels.values())


def year(
    rng: np.random.Generator,
    mean: Callable[[float], float],
    *,
    columns: int = 8,
    a_day: int = 100,
    window_days: int = 30,
    every: int = 7,
    returning: int = 0,
    reference_rows: int = 15_000,
    reference_days: int = 60,
    keep: bool = True,
    timed: bool = True,
    days: int = 364,
    stop_after: int | None = None,
) -> Year:
    """Go through a year of windows; each retraining that is due is merged and made stable at once.

    ``mean`` shifts the first two columns by the day, 0 and less being those of the snapshot.
    """
    base = rng.normal(size=(returning, columns)) if returning else None

    def drawn(day: int, n: int) -> tuple[Frame, np.ndarray, np.ndarray]:
        who = rng.integers(0, returning, n) if base is not None else rng.integers(0, 1 << 40, n)
        x = base[who].copy() if base is not None else rng.normal(size=(n, columns))
        times = START.timestamp() + (day + np.sort(rng.random(n))) * 86_400
        x[:, :2] += np.array([mean(day + 1)] * n)[:, None]
        return {f"x{index}": x[:, index] for index in range(columns)}, times, who

    monitor = MonitorSpec(window_days=window_days, retraining=Retraining(keep_reference=keep))
    assert monitor.retraining is not None
    parts = [drawn(-day, reference_rows // reference_days) for day in range(reference_days, 0, -1)]
    model = spec(parts[0][0])
    rows = pa.concat_tables([training(*part) for part in parts])
    if not timed:
        rows = rows.set_column(rows.schema.get_field_index("at"), "at", pa.nulls(len(rows), pa.timestamp("us", "UTC")))
    found, log, history, release, known = Year(), [], [], 1, profile(rows, model)
    for day in range(days):
        log.append(window(*drawn(day, a_day), truth=["0"] * a_day))
        end = day + 1
        if end % every or end < window_days:
            continue
        until = START + end * DAY
        count = len(set(rows.column("customer").to_pylist()))
        taken = snapshot(model, len(rows), count)
        report = monitoring.score_window(
            monitor, model, known, None, pa.concat_tables(log[-window_days:]),
            since=until - window_days * DAY, until=until, columns=taken.columns, release=release, earlier=history,
            stretches=lambda: monitoring.stretches(rows, taken, model, window_days * DAY, 200),  # noqa: B023
        )  # fmt: skip
        last = START + found.opened[-1] * DAY if found.opened else None
        decision = monitoring.should_retrain(
            report, history, monitor.retraining, last_opened=last, open_pull_request=False, now=until
        )
        found.levels[end] = report.level
        history.append(monitoring.Past(report.since, until, report.level, release))
        if decision.fire:
            found.opened.append(end)
            recent = pa.concat_tables(log[-monitor.retraining.lookback_days :])
            rows = monitoring.new_rows(recent, model, taken, rows if keep else None).table
            release, known = release + 1, profile(rows, model)
            distinct = len(set(zip(rows.column("at").to_pylist(), rows.column("x0").to_pylist(), strict=True)))
            found.twice = 1 - distinct / len(rows)
            if stop_after is not None and len(found.opened) >= stop_after:
                break
    return found
