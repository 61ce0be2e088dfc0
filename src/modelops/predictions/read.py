"""Readers of the prediction log: windows, single predictions, counts; they read all files, also while servers write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelops.predictions.schema import Row
from modelops.predictions.segments import id_day, reading, segments

if TYPE_CHECKING:
    import sqlite3

    # The server imports this package and must not pay for Arrow.
    import pyarrow as pa

__all__ = ["Logged", "count", "draw", "drawn", "find", "places", "read_batches", "read_window"]

_REALS = ("time", "score", "latency_ms", "propensity", "review", "truth_time")
_INTEGERS = ("release", "step", "status", "row", "drawn", "revisions", "seq")
COLUMNS = (*Row._fields, "truth", "truth_time", "revisions")
_BATCH = 20_000
_DRAWN = 500


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


def empty_window(columns: Sequence[str] = COLUMNS) -> pa.Table:
    """Return a window without rows."""
    return _schema(columns).empty_table()


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


def _opened(path: Path, since: datetime | None, until: datetime | None) -> Iterator[tuple[str, sqlite3.Connection]]:
    for segment in segments(path, since, until):
        with reading(path / segment.name) as connection:
            if connection is not None:
                yield segment.name, connection


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
    contradictions; ``segment`` and ``seq`` say where a row lies. ``labelled`` keeps only rows with a truth,
    ``succeeded`` only rows with a status below 500. A log that does not exist yet has no rows.
    """
    import pyarrow as pa

    found = list(
        _batches(
            path,
            model,
            since,
            until,
            arms=arms,
            releases=releases,
            labelled=labelled,
            succeeded=succeeded,
            columns=columns,
        )
    )
    table = pa.Table.from_batches(found, _schema((*columns, "time")))
    times = table.column(len(columns)).to_numpy()
    table = table.remove_column(len(columns))
    # Several writers' files of one day overlap in time.
    return table if (times[1:] >= times[:-1]).all() else table.take(np.argsort(times, kind="stable"))


def read_batches(
    path: Path,
    model: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    columns: Sequence[str],
    wanted: Callable[[str], bool] | None = None,
) -> Iterator[pa.Table]:
    """Yield the rows that ``read_window`` returns in parts of at most 20,000, file by file, however many there are.

    ``wanted`` says by its id whether a row is; of others nothing more is read.
    """
    import pyarrow as pa

    for batch in _batches(path, model, since, until, columns=columns, wanted=wanted, ordered=False):
        yield pa.Table.from_batches([batch]).remove_column(len(columns))


def _batches(
    path: Path,
    model: str,
    since: datetime | None,
    until: datetime | None,
    *,
    columns: Sequence[str],
    arms: Sequence[str] = (),
    releases: Sequence[int] = (),
    labelled: bool = False,
    succeeded: bool = False,
    wanted: Callable[[str], bool] | None = None,
    ordered: bool = True,
) -> Iterator[pa.RecordBatch]:
    """Yield a window's rows, those of each file in the order of time, with the time once more as the last column.

    To bring rows into order takes as much room as they do.
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
    if wanted is not None:
        where.append("wanted(id)")
    selected = ", ".join("? AS segment" if column == "segment" else column for column in (*columns, "time AS _time"))
    schema = _schema((*columns, "time"))
    query = f"SELECT {selected} FROM predictions WHERE {' AND '.join(where)}"  # noqa: S608
    query += " ORDER BY time, seq" if ordered else ""
    for name, connection in _opened(path, since, until):
        if wanted is not None:
            connection.create_function("wanted", 1, wanted, deterministic=True)
        cursor = connection.execute(query, [*([name] if "segment" in columns else []), *values])
        while rows := cursor.fetchmany(_BATCH):
            arrays = [pa.array(c, field.type) for c, field in zip(zip(*rows, strict=True), schema, strict=True)]
            yield pa.record_batch(arrays, schema=schema)


def count(path: Path, model: str | None = None, since: datetime | None = None, until: datetime | None = None) -> int:
    """Return how many rows a window holds."""
    where, values = conditions(model, since, until)
    query = f"SELECT count(*) FROM predictions WHERE {' AND '.join(where)}"  # noqa: S608
    return sum(connection.execute(query, values).fetchone()[0] for _, connection in _opened(path, since, until))


def find(path: Path, id: str) -> Logged | None:
    """Return the logged prediction with this id."""
    query = f"SELECT {', '.join(COLUMNS)} FROM predictions WHERE id = ?"  # noqa: S608
    for _, found in _looked_up(path, id, query):
        return Logged(Row._make(found[:-3]), *found[-3:])
    return None


def places(path: Path, id: str) -> tuple[tuple[str, int], ...]:
    """Return the files that hold a prediction with this id, each with its number there; two are no accident."""
    found = _looked_up(path, id, "SELECT seq FROM answers WHERE id = ?")
    return tuple((name, row[0]) for name, row in found)


def _looked_up(path: Path, id: str, query: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    day = id_day(id)
    for segment in reversed(segments(path)):
        if day not in (None, segment.day):
            continue
        with reading(path / segment.name) as connection:
            found = None if connection is None else connection.execute(query, (id,)).fetchone()
        if found is not None:
            yield segment.name, found


def draw(path: Path, many: int, seed: int) -> tuple[Logged, ...]:
    """Return so many predictions drawn evenly from all files, or all where there are no more."""
    names = [segment.name for segment in segments(path)]
    counts = []
    for name in names:
        with reading(path / name) as connection:
            counted = None if connection is None else connection.execute("SELECT count(*) FROM answers").fetchone()
            counts.append(counted[0] if counted else 0)
    chosen = drawn(sum(counts), many, seed)
    found: list[Logged] = []
    begin = 0
    for name, rows in zip(names, counts, strict=True):
        wanted = chosen[(chosen >= begin) & (chosen < begin + rows)] - begin
        begin += rows
        if len(wanted):
            found += _at(path / name, wanted.tolist())
    return tuple(found)


def drawn(rows: int, many: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return positions drawn evenly and without repetition, in their order; all where there are no more."""
    if rows <= many:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, many, replace=False))


def _at(file: Path, positions: Sequence[int]) -> list[Logged]:
    """Return the predictions at some positions of a file, by their numbers."""
    with reading(file) as connection:
        if connection is None:
            return []
        numbers = [row[0] for row in connection.execute("SELECT seq FROM answers ORDER BY seq")]
        wanted = [numbers[at] for at in positions if at < len(numbers)]
        found = []
        for start in range(0, len(wanted), _DRAWN):
            some = wanted[start : start + _DRAWN]
            query = f"SELECT {', '.join(COLUMNS)} FROM predictions WHERE seq IN ({', '.join('?' * len(some))})"  # noqa: S608
            found += [Logged(Row._make(row[:-3]), *row[-3:]) for row in connection.execute(query, some)]
        return found
