"""Made traffic for the simulators of monitoring: a model, its snapshot, windows of its log, and a year of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from modelops import monitoring, summaries
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, SnapshotFile, Source
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec, Serving
from modelops.spec.kinds.monitor import MonitorSpec, Performance, Retraining

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
    """What happened in a year: days of pull requests, the levels of all windows by their last day, and verdicts."""

    opened: list[int] = field(default_factory=list)
    levels: dict[int, str] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)
    twice: float = 0.0

    def alerts(self) -> int:
        return sum(level == "alert" for level in self.levels.values())

    def warnings(self) -> int:
        return sum(level == "warn" for level in self.levels.values())


@dataclass(frozen=True)
class Labels:
    """What the model answers, and which answers get a label: all that were flagged, and a share of the others.

    A tenth of the rows is positive. ``recall`` is that of a release on a day, held against a minimum of 0.7.
    """

    recall: Callable[[float, int], float]
    others: float = 1.0
    minimum: float = 0.7

    def drawn(self, rng: np.random.Generator, day: float, release: int, n: int) -> dict[str, list[Any]]:
        """Return score, label and truth of the rows of a day."""
        truth = rng.random(n) < 0.1
        said = np.where(truth, rng.random(n) < self.recall(day, release), rng.random(n) < 0.03)
        known = said | (rng.random(n) < self.others)
        return {
            "score": (np.where(said, 0.6, 0.1) + rng.random(n) * 0.3).tolist(),
            "label": np.where(said, "1", "0").tolist(),
            "truth": [str(int(true)) if has else None for true, has in zip(truth, known, strict=True)],
        }


class Traffic:
    """The rows of each day: independent numbers, the first two of which are shifted by the day."""

    def __init__(self, rng: np.random.Generator, mean: Callable[[float], float], columns: int, returning: int) -> None:
        self.rng, self.mean, self.columns, self.returning = rng, mean, columns, returning
        self.base = rng.normal(size=(returning, columns)) if returning else None

    def drawn(self, day: int, n: int) -> tuple[Frame, np.ndarray, np.ndarray]:
        """Return the columns, the times and the customers of a day's rows."""
        who = self.rng.integers(0, self.returning or 1 << 40, n)
        x = self.rng.normal(size=(n, self.columns)) if self.base is None else self.base[who]
        times = START.timestamp() + (day + np.sort(self.rng.random(n))) * 86_400
        x[:, :2] += self.mean(day + 1)
        return {f"x{index}": x[:, index] for index in range(self.columns)}, times, who


@dataclass
class Trained:
    """The snapshot that the stable release was trained on, as it is in the store and in git."""

    model: ModelSpec
    rows: pa.Table
    release: int = 1
    known: list[monitoring.Reference] = field(default_factory=list)
    more: Iterator[monitoring.Reference] | None = None

    def __post_init__(self) -> None:
        self.profile = profile(self.rows, self.model)
        customers = pc.count_distinct(self.rows.column("customer")).as_py()
        self.snapshot = snapshot(self.model, len(self.rows), customers)

    def stretches(self, length: timedelta) -> Iterator[monitoring.Reference]:
        """Yield the stretches of the rows; each is summarised once, however many windows are held against it."""
        self.more = self.more or monitoring.stretches(self.rows, self.snapshot, self.model, length, 200)
        yield from self.known
        for stretch in self.more:
            self.known.append(stretch)
            yield stretch

    def twice(self) -> float:
        """Return the share of rows that repeat another one."""
        distinct = self.rows.select(["at", "x0"]).group_by(["at", "x0"]).aggregate([])
        return 1 - len(distinct) / len(self.rows)


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
    labels: Labels | None = None,
) -> Year:
    """Go through a year of windows; each retraining that is due is merged and made stable at once.

    ``mean`` shifts the first two columns by the day, 0 and less being those of the snapshot. Without ``labels`` every
    row has one, and no metric is watched.
    """
    traffic = Traffic(rng, mean, columns, returning)
    retraining = Retraining(keep_reference=keep)
    watched = None if labels is None else Performance(metric="recall", minimum=labels.minimum, minimum_labels=100)
    monitor = MonitorSpec(window_days=window_days, retraining=retraining, performance=watched)
    parts = [traffic.drawn(-day, reference_rows // reference_days) for day in range(reference_days, 0, -1)]
    rows = pa.concat_tables([training(*part) for part in parts])
    if not timed:
        rows = rows.set_column(rows.schema.get_field_index("at"), "at", pa.nulls(len(rows), pa.timestamp("us", "UTC")))
    stable = Trained(spec(parts[0][0]), rows)
    found, log, history = Year(), [], []
    for day in range(days):
        answered = {"truth": ["0"] * a_day} if labels is None else labels.drawn(rng, day, stable.release, a_day)
        release = [stable.release] * a_day
        log = [*log[-retraining.lookback_days :], window(*traffic.drawn(day, a_day), release=release, **answered)]
        end, length = day + 1, window_days * DAY
        if end % every or end < window_days:
            continue
        until = START + end * DAY
        report = monitoring.score_window(
            monitor, stable.model, stable.profile, None, pa.concat_tables(log[-window_days:]),
            since=until - length, until=until, columns=stable.snapshot.columns, release=stable.release,
            earlier=history, stretches=partial(stable.stretches, length),
        )  # fmt: skip
        merged = tuple(monitoring.Attempt(START + day * DAY, "merged") for day in found.opened)
        decision = monitoring.should_retrain(
            report, history, retraining, attempts=monitoring.Attempts(merged), now=until
        )
        found.levels[end] = report.level
        verdict, looks = ("no-data", 0) if report.performance is None else (
            report.performance.verdict, report.performance.looks)  # fmt: skip
        found.verdicts.append(verdict)
        history.append(monitoring.Past(report.since, until, report.level, stable.release, verdict, looks))
        if not decision.fire:
            continue
        recent = pa.concat_tables(log[-retraining.lookback_days :])
        new = monitoring.new_rows(recent, stable.model, stable.snapshot, stable.rows if keep else None)
        if new.fresh >= retraining.minimum_rows:
            found.opened.append(end)
            stable = Trained(stable.model, new.table, stable.release + 1)
            found.twice = stable.twice()
    return found
