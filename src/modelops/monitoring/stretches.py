"""Stretches of a snapshot's rows: the states that a release was trained for, told apart by the time of the rows.

A snapshot that spans a shift, a season, or weekdays and weekends is a mixture, which no single window looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops import summaries
from modelops.monitoring.rows import time_column
from modelops.monitoring.window import Reference
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, Summary
from modelops.spec.kinds.model import ModelSpec

__all__ = ["stretches"]

PARTS = (1.0, 0.25)
"""Stretches are as long as the window, and a quarter of it: right after a shift few rows are of the new state."""
MOST = 120
"""So many stretches of one length are looked at, the newest first."""


def stretches(
    rows: pa.Table, snapshot: DataSnapshotSpec, model: ModelSpec, window: timedelta, minimum: int
) -> Iterator[Reference]:
    """Yield the stretches of a snapshot's rows, of ``minimum`` rows or more, the longest and newest first.

    They begin half a stretch apart. Rows without a time are one stretch, if the others have one.
    """
    column = time_column(model, {each.name: each.type for each in snapshot.columns})
    if column not in rows.column_names:
        return
    times = rows.column(column)
    timed = rows.filter(pc.is_valid(times))
    if not timed.num_rows:
        return
    seconds = times.drop_null().cast(pa.int64()).to_numpy() / 1e6
    order = np.argsort(seconds, kind="stable")
    seconds, timed = seconds[order], timed.take(pa.array(order))
    for part in PARTS:
        length = window.total_seconds() * part
        for begin, end in _places(seconds, length):
            if end - begin >= minimum:
                name = f"the snapshot's rows of {_day(seconds[begin])} to {_day(seconds[end - 1])}"
                yield _reference(timed.slice(begin, end - begin), model, name)
    if rows.num_rows - timed.num_rows >= minimum:
        yield _reference(rows.filter(pc.is_null(times)), model, "the snapshot's rows without a time")


def _places(seconds: np.ndarray[tuple[int], np.dtype[np.float64]], length: float) -> Iterator[tuple[int, int]]:
    """Yield where stretches begin and end among sorted times, back from the last."""
    last, first = float(seconds[-1]), float(seconds[0])
    for step in range(MOST):
        end = last - step * length / 2
        if step and end - length < first - length / 2:
            return
        yield (
            int(np.searchsorted(seconds, end - length, side="right")),
            int(np.searchsorted(seconds, end, side="right")),
        )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


class _Profile(Mapping[str, Summary]):
    """The summaries of a stretch's features, each made when it is asked for.

    Most stretches are unlike a window in the first feature that is looked at, and the others are never needed.
    """

    def __init__(self, rows: pa.Table, model: ModelSpec) -> None:
        self._rows, names = rows, set(rows.column_names)
        self._kinds = {each.name: summaries.kind_of(each.type) for each in model.data.features if each.name in names}
        self._made: dict[str, Summary] = {}

    def __getitem__(self, name: str) -> Summary:
        if name not in self._made:
            self._made[name] = summaries.summarise(self._rows.column(name), self._kinds[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


def _reference(rows: pa.Table, model: ModelSpec, name: str) -> Reference:
    entity = model.serving.entity
    entities = None
    if entity is not None and entity in rows.column_names:
        entities = pc.count_distinct(rows.column(entity)).as_py() or None
    return Reference(_Profile(rows, model), entities=entities, name=name)
