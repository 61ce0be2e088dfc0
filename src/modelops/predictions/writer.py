"""Writing the files of a log: the one that is being filled, and the others when a label comes for one of their rows."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions.schema import CREATE, VERSION, Outcome, Row, ShadowRow, check_version, unit_of
from modelops.predictions.segments import Segment, day_of, id_day, segments

SEGMENT_BYTES = 256 << 20
"""A file that has grown to this size is followed by another one of the same day."""

Label = tuple[str, str, float, str]
"""Feedback as (prediction id, label text, epoch seconds, model)."""
_T = TypeVar("_T")

# One INSERT of many rows is one call into SQLite, which runs without the interpreter lock; row by row the writer would
# ask for the lock once per row and slow the server's loop down. 13 columns x 512 rows stay below SQLite's 32766.
_CHUNKS = (512, 64, 8, 1)
_WIDTHS = {"answers": 13, "inputs": 2, "shadows": 12}
_INSERT = {
    (table, size): f"INSERT INTO {table} VALUES " + ", ".join(["(" + ", ".join("?" * width) + ")"] * size)  # noqa: S608
    for table, width in _WIDTHS.items()
    for size in _CHUNKS
}
_FIND = """SELECT a.route, a.seq, f.label, f.time FROM answers a JOIN routes r ON r.route = a.route
    LEFT JOIN feedback f ON f.route = a.route AND f.seq = a.seq WHERE a.id = ? AND r.model = ?"""
_KNOWN = "SELECT 1 FROM answers WHERE id = ?"
_CHANGE = "UPDATE feedback SET label = ?, time = ?, revisions = revisions + 1 WHERE route = ? AND seq = ?"
_ROUTE = "INSERT INTO routes(model, release, arm, step, salt, propensity) VALUES (?, ?, ?, ?, ?, ?)"


def unwritable(path: Path, reason: object) -> ModelOpsError:
    """Return the error of a disk, a folder or a file that takes no rows."""
    return failure(
        "log-unwritable",
        f"the prediction log {path} cannot be written: {reason}",
        exit=Exit.WORLD,
        hint="free space on its disk or make its folder writable; the log heals by itself",
        retryable=True,
    )


def _open(file: Path, mode: str = "rwc") -> sqlite3.Connection:
    settings: dict[str, Any] = {"isolation_level": None, "check_same_thread": False, "cached_statements": 16}
    with ExitStack() as undo:
        uri = f"{file.resolve().as_uri()}?mode={mode}"
        connection: sqlite3.Connection = sqlite3.connect(uri, uri=True, timeout=10, **settings)
        undo.enter_context(closing(connection))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if not check_version(connection, file):
            with _transaction(connection):
                if not check_version(connection, file):
                    for statement in CREATE:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {VERSION}")
        undo.pop_all()
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


class Writer:
    """One writer's files; no two processes have the same number at a time, which a locked file sees to.

    All methods belong to one thread. Errors of a disk are ``sqlite3.Error`` or ``OSError`` for the caller to sort.
    """

    def __init__(self, path: Path, segment_bytes: int) -> None:
        self.path = path
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._connection: sqlite3.Connection | None = None
        self._routes: dict[tuple[Any, ...], int] = {}
        self._seq = self._page = 0
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.number, self._lock = self._claim()
            own = [segment for segment in segments(path) if segment.writer == self.number]
            if own:
                # What a killed process left behind is made whole now, and what cannot be written is known now.
                self._use(own[-1])
        except (sqlite3.Error, OSError) as error:
            raise unwritable(path, error) from None

    def _claim(self) -> tuple[int, int]:
        number = 0
        while True:
            descriptor = os.open(self.path / f"w{number}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return number, descriptor
            except BlockingIOError:
                os.close(descriptor)
                number += 1

    def close(self) -> None:
        """Close the file that is being filled and give the number back."""
        self._leave()
        os.close(self._lock)

    def _leave(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = self._segment = None

    def _use(self, segment: Segment) -> sqlite3.Connection:
        self._leave()
        connection = _open(self.path / segment.name)
        self._connection, self._segment = connection, segment
        self._recall(connection)
        return connection

    def _recall(self, connection: sqlite3.Connection) -> None:
        query = "SELECT model, release, arm, step, salt, propensity, route FROM routes"
        self._routes = {tuple(key): route for *key, route in connection.execute(query)}
        self._page = connection.execute("PRAGMA page_size").fetchone()[0]
        self._seq = connection.execute("SELECT coalesce(max(seq), 0) FROM inputs").fetchone()[0]

    def _recall_if_possible(self, connection: sqlite3.Connection) -> None:
        # What made the rows fail may fail this too, and is the better thing to tell.
        with suppress(sqlite3.Error):
            self._recall(connection)

    def _for_day(self, day: int) -> sqlite3.Connection:
        """Return the connection to the file that takes rows of a day, opening the next one where it is time."""
        current = self._segment
        if current is not None and self._connection is not None and current.day == day:
            if not (self.path / current.name).exists():
                # Somebody deleted it: what is written from now on must be where readers look.
                os.close(self._lock)
                self.path.mkdir(parents=True, exist_ok=True)
                self.number, self._lock = self._claim()
                return self._use(Segment(day, self.number, current.number))
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
            if pages * self._page < self._segment_bytes:
                return self._connection
            return self._use(Segment(day, self.number, current.number + 1))
        last = max((s.number for s in segments(self.path) if (s.day, s.writer) == (day, self.number)), default=1)
        return self._use(Segment(day, self.number, last))

    def insert(self, rows: Sequence[Row], shadows: Sequence[ShadowRow]) -> None:
        """Write rows that all belong to the day of the first, in one transaction."""
        connection = self._for_day(day_of(rows[0].time if rows else shadows[0].time))
        with ExitStack() as undo:
            undo.callback(self._recall_if_possible, connection)
            with _transaction(connection):
                answers, inputs = self._values(connection, rows)
                _insert(connection, "answers", answers, len(rows))
                _insert(connection, "inputs", inputs, len(rows))
                _insert(connection, "shadows", [value for shadow in shadows for value in shadow], len(shadows))
            undo.pop_all()

    def insert_missing(self, rows: Sequence[Row]) -> None:
        """Write those rows of one day that no file of that day holds yet."""
        day = day_of(rows[0].time)
        waiting = {row.id: row for row in rows}
        for segment in segments(self.path):
            if segment.day == day:
                for id in self._within(segment, partial(_known, ids=list(waiting))) or ():
                    del waiting[id]
        if waiting:
            self.insert(list(waiting.values()), ())

    def _values(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> tuple[list[Any], list[Any]]:
        """Return the values of the rows for the two tables, row after row."""
        answers: list[Any] = []
        inputs: list[Any] = []
        routes, seq = self._routes, self._seq
        for row in rows:
            id, time, model, release, arm, step, salt, entity, features = row[:9]
            score, label, status, latency_ms, error, request, number, propensity = row[9:]
            key = (model, release, arm, step, salt, propensity)
            route = routes.get(key)
            if route is None:
                route = routes[key] = connection.execute(_ROUTE, key).lastrowid or 0
            seq += 1
            answers += (
                route, seq, id, time, number, status, latency_ms, score, unit_of(entity), entity, label, error, request
            )  # fmt: skip
            inputs += (seq, features)
        self._seq = seq
        return answers, inputs

    def label(self, items: Sequence[Label]) -> list[Outcome]:
        """Write labels beside their predictions, whichever file holds them; the label with the latest time stays."""
        outcomes = [Outcome.UNKNOWN] * len(items)
        days: dict[int | None, list[int]] = {}
        for position, item in enumerate(items):
            days.setdefault(id_day(item[0]), []).append(position)
        listed = segments(self.path)[::-1]
        for day, positions in days.items():
            waiting = positions
            for segment in listed:
                if waiting and day in (None, segment.day):
                    left = self._within(segment, partial(_label, items=items, positions=waiting, outcomes=outcomes))
                    waiting = waiting if left is None else left
        return outcomes

    def _within(self, segment: Segment, work: Callable[[sqlite3.Connection], list[_T]]) -> list[_T] | None:
        """Return what comes of the work on one of the files, None where the file is dropped meanwhile."""
        if segment == self._segment and self._connection is not None:
            return work(self._connection)
        file = self.path / segment.name
        try:
            with closing(_open(file, "rw")) as connection:
                return work(connection)
        except sqlite3.Error:
            if file.exists():
                raise
            return None


def _known(connection: sqlite3.Connection, ids: Sequence[str]) -> list[str]:
    return [id for id in ids if connection.execute(_KNOWN, (id,)).fetchone()]


def _insert(connection: sqlite3.Connection, table: str, values: list[Any], rows: int) -> None:
    start, width = 0, _WIDTHS[table]
    for size in _CHUNKS:
        while rows - start >= size:
            connection.execute(_INSERT[table, size], values[start * width : (start + size) * width])
            start += size


def _label(
    connection: sqlite3.Connection, items: Sequence[Label], positions: list[int], outcomes: list[Outcome]
) -> list[int]:
    """Label the predictions that one file holds, note the outcomes, and return the positions that it does not hold."""
    found = {at: row for at in positions if (row := connection.execute(_FIND, items[at][::3]).fetchone()) is not None}
    if not found:
        return positions
    became: dict[int, Outcome] = {}
    with _transaction(connection):
        for at in found:
            id, label, time, model = items[at]
            # Read again: another process, or an earlier item of this call, may have labelled it since.
            route, seq, known, known_time = connection.execute(_FIND, (id, model)).fetchone()
            if known is None:
                became[at] = Outcome.NEW
                connection.execute("INSERT INTO feedback VALUES (?, ?, ?, ?, 0)", (route, seq, label, time))
            elif known == label:
                became[at] = Outcome.REPEATED
            else:
                became[at] = Outcome.CHANGED
                newest = (label, time) if time >= known_time else (known, known_time)
                connection.execute(_CHANGE, (*newest, route, seq))
    for at, outcome in became.items():
        outcomes[at] = outcome
    return [at for at in positions if at not in found]
