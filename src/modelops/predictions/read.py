"""Readers of the prediction log: windows, single predictions, counts; they read all files, also while servers write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelops.predictions.schema import Row
from modelops.predictions.segments import id_day, reading, segments

if TYPE_CHECKING:
    import sqlite3

    # The server imports this package and must not pay for Arrow.
    import pyarrow as pa

__all__ = ["Logged", "count", "find", "latest_time", "read_window"]

_REALS = ("time", "score", "latency_ms", "propensity", "truth_time")
_INTEGERS = ("release", "step", "status", "row", "revisions")
COLUMNS = (*Row._fields, "truth", "truth_time", "revisions")
_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Logged:
    """One logged prediction and the truth that arrived for it, if any, with the time at which it arrived.

    ``revisions`` counts how often another truth replaced, or contradicted, the one before.
    """

    row: Row
    truth: str | None
    truth_time: float | None
    revisions: int = 0


def _schema(columns: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    def kind(column: str) -> pa.DataType:
        return pa.float64() if column in _REALS else pa.int64() if column in _INTEGERS else pa.string()

    return pa.schema([(column, kind(column)) for column in columns])


def conditions(model: str | None, since: datetime | None, until: datetime | None) -> tuple[list[str], list[object]]:
    """Return the conditions on the view of predictions, and their values, that select a window of a model."""
    found: list[str] = ["1"]
    values: list[object] = []
    for condition, value in (
        ("model = ?", model),
        ("time >= ?", since.timestamp() if since else None),
        ("time < ?", until.timestamp() if until else None),
    ):
        if value is not None:
            found.append(condition)
            values.append(value)
    return found, values


def _opened(path: Path, since: datetime | None, until: datetime | None) -> Iterator[sqlite3.Connection]:
    for segment in segments(path, since, until):
        with reading(path / segment.name) as connection:
            if connection is not None:
                yield connection


def read_window(
    path: Path,
    model: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    arms: Sequence[str] = (),
    releases: Sequence[int] = (),
    labelled: bool = False,
    succeeded: bool = False,
    columns: Sequence[str] = COLUMNS,
) -> pa.Table:
    """Return the logged rows of a model with ``since <= time < until``, oldest first, the truth joined as ``truth``.

    ``time`` and ``truth_time`` are epoch seconds; the last feedback of a prediction wins and ``revisions`` counts the
    contradictions. ``labelled`` keeps only rows with a truth, ``succeeded`` only rows with a status below 500. A log
    that does not exist yet has no rows.
    """
    import pyarrow as pa

    where, values = conditions(model, since, until)
    for column, allowed in (("arm", arms), ("release", releases)):
        if allowed:
            where.append(f"{column} IN ({', '.join('?' * len(allowed))})")
            values.extend(allowed)
    if labelled:
        where.append("truth IS NOT NULL")
    if succeeded:
        where.append("status < 500")
    selected = (*columns, "time AS _time")
    schema = _schema((*columns, "time"))
    query = f"SELECT {', '.join(selected)} FROM predictions WHERE {' AND '.join(where)} ORDER BY time, seq"  # noqa: S608
    batches: list[pa.RecordBatch] = []
    for connection in _opened(path, since, until):
        cursor = connection.execute(query, values)
        while rows := cursor.fetchmany(_BATCH):
            arrays = [pa.array(c, field.type) for c, field in zip(zip(*rows, strict=True), schema, strict=True)]
            batches.append(pa.record_batch(arrays, schema=schema))
    table = pa.Table.from_batches(batches, schema)
    times = table.column(len(columns)).to_numpy()
    table = table.remove_column(len(columns))
    # Several writers' files of one day overlap in time.
    return table if (times[1:] >= times[:-1]).all() else table.take(np.argsort(times, kind="stable"))


def count(path: Path, model: str | None = None, since: datetime | None = None, until: datetime | None = None) -> int:
    """Return how many rows a window holds."""
    where, values = conditions(model, since, until)
    query = f"SELECT count(*) FROM predictions WHERE {' AND '.join(where)}"  # noqa: S608
    return sum(connection.execute(query, values).fetchone()[0] for connection in _opened(path, since, until))


def find(path: Path, id: str) -> Logged | None:
    """Return the logged prediction with this id."""
    query = f"SELECT {', '.join(COLUMNS)} FROM predictions WHERE id = ?"  # noqa: S608
    day = id_day(id)
    for segment in reversed(segments(path)):
        if day not in (None, segment.day):
            continue
        with reading(path / segment.name) as connection:
            found = None if connection is None else connection.execute(query, (id,)).fetchone()
        if found is not None:
            return Logged(Row._make(found[:-3]), *found[-3:])
    return None


def latest_time(path: Path, model: str | None = None) -> float | None:
    """Return the time of the newest row in epoch seconds, None for an empty log."""
    where, values = conditions(model, None, None)
    query = f"SELECT max(time) FROM predictions WHERE {' AND '.join(where)}"  # noqa: S608
    latest: float | None = None
    day = None
    for segment in reversed(segments(path)):
        if latest is not None and segment.day != day:
            break
        with reading(path / segment.name) as connection:
            found = None if connection is None else connection.execute(query, values).fetchone()[0]
        if found is not None and (latest is None or found > latest):
            latest, day = float(found), segment.day
    return latest
