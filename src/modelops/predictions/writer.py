"""Writing the files of a log: the one that is being filled, and the others when a label comes for one of their rows."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions.chain import (
    Chain,
    Origin,
    answer_link,
    event_digest,
    link,
    number_of,
    origin_of,
    reasons_value,
    route_head,
)
from modelops.predictions.damaged import MAGIC, OVERWRITTEN, begins, is_damage, refuse_foreign, set_aside
from modelops.predictions.schema import CHAINED, CREATE, VERSION, Reception, Row, ShadowRow, unit_of, version_of
from modelops.predictions.segments import Segment, day_of, first_free, id_day, segments

SEGMENT_BYTES = 256 << 20
"""A file that has grown to this size is followed by another one of the same day."""
CHECKPOINT_PAGES = 200
"""Pages of the journal that are moved into the file at once, which whoever waits for the next commit waits for too."""

Label = tuple[str, str, float, str]
"""Feedback as (prediction id, label text, epoch seconds, model)."""
_T = TypeVar("_T")

# One INSERT of many rows is one call into SQLite, which runs without the interpreter lock; row by row the writer would
# ask for the lock once per row and slow the server's loop down. 14 columns x 512 rows stay below SQLite's 32766.
_CHUNKS = (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)
_WIDTHS = {"answers": 13, "inputs": 3, "shadows": 14, "reasons": 2}
_INSERT = {
    (table, size): f"INSERT INTO {table} VALUES " + ", ".join(["(" + ", ".join("?" * width) + ")"] * size)  # noqa: S608
    for table, width in _WIDTHS.items()
    for size in _CHUNKS
}
_FIND = """SELECT a.route, a.seq, f.label, f.time FROM answers a JOIN routes r ON r.route = a.route
    LEFT JOIN feedback f ON f.route = a.route AND f.seq = a.seq WHERE a.id = ? AND r.model = ?"""
_KNOWN = "SELECT 1 FROM answers WHERE id = ?"
_CHANGE = "UPDATE feedback SET label = ?, time = ?, revisions = revisions + 1 WHERE route = ? AND seq = ?"
_EVENT = "INSERT INTO labels VALUES (?, ?, ?, ?, ?)"
_ORIGIN = "INSERT INTO origin VALUES (?, ?, ?, ?, ?)"
_LAST_ANSWER = "SELECT seq, link FROM inputs ORDER BY seq DESC LIMIT 1"
_LAST_LABEL = "SELECT number, link FROM labels ORDER BY number DESC LIMIT 1"
_LAST_SHADOW = "SELECT number, link FROM shadows ORDER BY number DESC LIMIT 1"
_ROUTE = """INSERT INTO routes(model, release, arm, step, salt, propensity, review, drawn)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


def unwritable(path: Path, reason: object) -> ModelOpsError:
    """Return the error of a disk, a folder or a file that takes no rows."""
    return failure(
        "log-unwritable",
        f"the prediction log {path} cannot be written: {reason}",
        exit=Exit.WORLD,
        hint="free space on its disk or make its folder writable; the log heals by itself",
        retryable=True,
    )


def _open(file: Path, origin: Origin | None = None) -> sqlite3.Connection:
    """Open a file for writing; one that does not exist is made only with its origin."""
    settings: dict[str, Any] = {"isolation_level": None, "check_same_thread": False, "cached_statements": 64}
    with ExitStack() as undo:
        uri = f"{file.resolve().as_uri()}?mode={'rw' if origin is None else 'rwc'}"
        connection: sqlite3.Connection = sqlite3.connect(uri, uri=True, timeout=10, **settings)
        undo.enter_context(closing(connection))
        refuse_foreign(connection, file)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if origin is not None and not version_of(connection, file):
            with _transaction(connection):
                if not version_of(connection, file):
                    for statement in CREATE:
                        connection.execute(statement)
                    connection.execute(_ORIGIN, (origin.name, origin.before, origin.rows, origin.link, origin.nonce))
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


@contextmanager
def _without_sync(connection: sqlite3.Connection) -> Iterator[None]:
    """Let transactions be over before the disk has them; the next one outside of this waits for all of them."""
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous = FULL")


class Writer:
    """One writer's files; no two processes have the same number at a time, which a locked file sees to.

    All methods belong to one thread. Errors of a disk are ``sqlite3.Error`` or ``OSError`` for the caller to sort.
    """

    def __init__(self, path: Path, segment_bytes: int, first: int = 0) -> None:
        self.path = path
        self._first = first
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._connection: sqlite3.Connection | None = None
        self._look: int | None = None
        self._unsynced = False
        self._routes: dict[tuple[Any, ...], tuple[int, bytes]] = {}
        self._seq = self._shadow = self._page = 0
        self._link = self._shadow_link = b""
        self.aside: list[str] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.number, self._lock = self._claim()
            if self.is_first:
                self._look_over()
            own = [segment for segment in segments(path) if segment.writer == self.number]
            if own:
                # What a killed process left behind is made whole now, and what cannot be written is known now.
                self._use(own[-1])
        except (sqlite3.Error, OSError) as error:
            raise unwritable(path, error) from None

    @property
    def is_first(self) -> bool:
        """Whether no other process here has a lower number: one of several that start together is enough for some."""
        return self.number == self._first

    def _look_over(self) -> None:
        """Set aside what is named like a file of the log and is no database: it would be in every reader's way."""
        for segment in segments(self.path):
            file = self.path / segment.name
            if file.is_dir() or begins(file) not in (b"", None, MAGIC):
                self._put_aside(file, "it is no database")

    def _claim(self) -> tuple[int, int]:
        number = self._first
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
        with suppress(OSError):
            self.sync()
        self._leave()
        os.close(self._lock)

    def _leave(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        if self._look is not None:
            os.close(self._look)
        self._connection = self._segment = self._look = None

    def sync(self) -> None:
        """Have the disk take what was not synced, where nothing that is synced follows in this file."""
        if self._unsynced and self._segment is not None:
            # Without a journal somebody has moved it into the file, and synced both.
            with suppress(FileNotFoundError), (self.path / f"{self._segment.name}-wal").open("rb") as journal:
                os.fsync(journal.fileno())
        self._unsynced = False

    def _use(self, segment: Segment) -> sqlite3.Connection:
        """Go on in a file, or in the next one where it cannot be gone on in."""
        self.sync()
        self._leave()
        file = self.path / segment.name
        behind = Segment(segment.day, segment.writer, segment.number + 1)
        try:
            connection = _open(file, self._origin(segment))
            if version_of(connection, file) != VERSION:
                # Rows are never added to a file of another version: those before them may not be chained.
                connection.close()
                return self._use(behind)
            self._connection, self._segment = connection, segment
            self._look = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            self._recall(connection)
        except sqlite3.Error as error:
            if not is_damage(error, file):
                raise
            self._leave()
            self._put_aside(file, error)
            return self._use(behind)
        return connection

    def _put_aside(self, file: Path, reason: object) -> None:
        set_aside(file, reason)
        self.aside.append(file.name)

    def probe(self) -> None:
        """Write what changes nothing, to see whether the disk takes it."""
        day = self._segment.day if self._segment is not None else day_of(time.time())
        connection = self._for_day(day)
        with _transaction(connection):
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def _origin(self, segment: Segment) -> Origin:
        """Return how a file begins, if it is to be made: behind the newest file that this writer has."""
        before = [each for each in segments(self.path) if each.writer == self.number and each < segment]
        nonce = os.urandom(16)
        if before and not (self.path / segment.name).exists():
            last = self._within(before[-1], _end_of)
            if last:
                return Origin(segment.name, before[-1].name, *last[0], nonce)
        return Origin(segment.name, "", 0, b"", nonce)

    def _recall(self, connection: sqlite3.Connection) -> None:
        query = "SELECT model, release, arm, step, salt, propensity, review, drawn, route FROM routes"
        self._routes = {tuple(key): (route, route_head(*key)) for *key, route in connection.execute(query)}
        self._page = connection.execute("PRAGMA page_size").fetchone()[0]
        self._seq, self._link = _end(connection, _LAST_ANSWER, "answers")
        self._shadow, self._shadow_link = _end(connection, _LAST_SHADOW, "shadows")

    def _recall_if_possible(self, connection: sqlite3.Connection) -> None:
        # What made the rows fail may fail this too, and is the better thing to tell.
        with suppress(sqlite3.Error):
            self._recall(connection)

    def _for_day(self, day: int) -> sqlite3.Connection:
        """Return the connection to the file that takes rows of a day, opening the next one where it is time."""
        current, look = self._segment, self._look
        if current is not None and self._connection is not None and look is not None and current.day == day:
            if not self._is_there(self.path / current.name, look):
                # Somebody deleted or replaced it: what is written from now on must be where readers look.
                os.close(self._lock)
                self.path.mkdir(parents=True, exist_ok=True)
                self.number, self._lock = self._claim()
                return self._use(Segment(day, self.number, current.number))
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
            if pages * self._page < self._segment_bytes:
                return self._connection
            return self._use(Segment(day, self.number, current.number + 1))
        last = max((s.number for s in segments(self.path) if (s.day, s.writer) == (day, self.number)), default=1)
        return self._use(Segment(day, self.number, max(last, first_free(self.path, day, self.number))))

    def _is_there(self, file: Path, look: int) -> bool:
        """Tell whether the open file still has its name; one that was overwritten meanwhile is an error.

        It is looked at by a descriptor that stays open as long as the connection: whoever closes any descriptor of a
        file gives up all locks that the process has on it, and another process that labels a row would then take away
        the journal from under this one.
        """
        try:
            named = file.stat()
        except FileNotFoundError:
            return False
        opened = os.fstat(look)
        if (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
            return False
        if os.pread(look, len(MAGIC), 0) != MAGIC:
            # What SQLite keeps in memory would hide it from us, and from nobody else.
            raise sqlite3.DatabaseError(OVERWRITTEN)
        return True

    def insert(self, rows: Sequence[Row], shadows: Sequence[ShadowRow], *, synced: bool = True) -> None:
        """Write rows that all belong to the day of the first, in one transaction.

        What is not synced survives the process, and the machine only when rows that are synced have followed.
        """
        day = day_of(rows[0].time if rows else shadows[0].time)
        try:
            self._insert(self._for_day(day), rows, shadows, synced)
        except sqlite3.DatabaseError as error:
            segment = self._segment
            if segment is None or not is_damage(error, self.path / segment.name):
                raise
            # Somebody wrote into it while it was open.
            self._leave()
            self._put_aside(self.path / segment.name, error)
            self._insert(self._use(Segment(day, self.number, segment.number + 1)), rows, shadows, synced)

    def _insert(
        self, connection: sqlite3.Connection, rows: Sequence[Row], shadows: Sequence[ShadowRow], synced: bool
    ) -> None:
        with ExitStack() as undo:
            undo.callback(self._recall_if_possible, connection)
            with nullcontext() if synced else _without_sync(connection), _transaction(connection):
                answers, inputs, reasons = self._values(connection, rows)
                _insert(connection, "answers", answers, len(rows))
                _insert(connection, "inputs", inputs, len(rows))
                _insert(connection, "reasons", reasons, len(reasons) // 2)
                _insert(connection, "shadows", self._shadow_values(shadows), len(shadows))
            undo.pop_all()
        self._unsynced = not synced

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

    def _values(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the values of the rows for the three tables, row after row."""
        answers: list[Any] = []
        inputs: list[Any] = []
        reasons: list[Any] = []
        routes, seq, last = self._routes, self._seq, self._link
        before: tuple[Any, ...] = ()
        whose: str | None = None
        route, head, unit = 0, b"", 0
        for row in rows:
            id, time, model, release, arm, step, salt, entity, features = row[:9]
            score, label, status, latency_ms, error, request, number, propensity, review, drawn, why = row[9:]
            # Neighbours mostly are of one route, and those of one request of one entity.
            key = (model, release, arm, step, salt, propensity, review, drawn)
            if key != before:
                known = routes.get(key)
                if known is None:
                    known = routes[key] = connection.execute(_ROUTE, key).lastrowid or 0, route_head(*key)
                (route, head), before = known, key
            if entity != whose:
                unit, whose = unit_of(entity), entity
            seq += 1
            when = time + 0.0 if type(time) is float and time == time else number_of(time)
            took = latency_ms + 0.0 if type(latency_ms) is float and latency_ms == latency_ms else number_of(latency_ms)
            value = score + 0.0 if type(score) is float and score == score else number_of(score)
            hashed: tuple[Any, ...] = (seq, id, when, number, status, took, value, entity, label, error, request)
            if why is not None:
                hashed += reasons_value(why)
                reasons += (seq, why)
            last = answer_link(last, head, hashed, features)
            answers += (route, seq, id, time, number, status, latency_ms, score, unit, entity, label, error, request)
            inputs += (seq, features, last)
        self._seq, self._link = seq, last
        return answers, inputs, reasons

    def _shadow_values(self, shadows: Sequence[ShadowRow]) -> list[Any]:
        values: list[Any] = []
        for shadow in shadows:
            self._shadow += 1
            id, time, model, release, arm, step, salt, score, label, status, latency_ms, error = shadow
            row = (
                self._shadow, id, number_of(time), model, release, arm, step, salt, number_of(score), label, status,
                number_of(latency_ms), error,
            )  # fmt: skip
            self._shadow_link = link(self._shadow_link, event_digest(row))
            values += (*row, self._shadow_link)
        return values

    def label(self, items: Sequence[Label]) -> list[Reception]:
        """Write labels beside their predictions, whichever file holds them; the label with the latest time stays."""
        outcomes = [Reception.UNKNOWN] * len(items)
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
            with closing(_open(file)) as connection:
                # Another process may be about to begin it.
                return work(connection) if version_of(connection, file) else None
        except sqlite3.Error as error:
            if not file.exists():
                return None
            if not is_damage(error, file):
                raise
            self._put_aside(file, error)
            return None


def _end(connection: sqlite3.Connection, query: str, chain: Chain) -> tuple[int, bytes]:
    """Return the last number and link of a chain, or where it begins; a file that was meddled with is written on."""
    number, last = connection.execute(query).fetchone() or (0, origin_of(connection).start(chain))
    return number, last if isinstance(last, bytes) else str(last).encode()


def _end_of(connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
    """Return how many answers a file holds and the last link of them; nothing where they are not chained."""
    chained = connection.execute("PRAGMA user_version").fetchone()[0] in CHAINED
    return [_end(connection, _LAST_ANSWER, "answers")] if chained else []


def _known(connection: sqlite3.Connection, ids: Sequence[str]) -> list[str]:
    return [id for id in ids if connection.execute(_KNOWN, (id,)).fetchone()]


def _insert(connection: sqlite3.Connection, table: str, values: list[Any], rows: int) -> None:
    start, width = 0, _WIDTHS[table]
    for size in _CHUNKS:
        while rows - start >= size:
            connection.execute(_INSERT[table, size], values[start * width : (start + size) * width])
            start += size


def _label(
    connection: sqlite3.Connection, items: Sequence[Label], positions: list[int], outcomes: list[Reception]
) -> list[int]:
    """Label the predictions that one file holds, note the outcomes, and return the positions that it does not hold."""
    found = {at: row for at in positions if (row := connection.execute(_FIND, items[at][::3]).fetchone()) is not None}
    if not found:
        return positions
    became: dict[int, Reception] = {}
    chained = connection.execute("PRAGMA user_version").fetchone()[0] in CHAINED
    with _transaction(connection):
        number, last = _end(connection, _LAST_LABEL, "labels") if chained else (0, b"")
        for at in found:
            id, label, time, model = items[at]
            # Read again: another process, or an earlier item of this call, may have labelled it since.
            route, seq, known, known_time = connection.execute(_FIND, (id, model)).fetchone()
            if known is None:
                became[at] = Reception.NEW
                connection.execute("INSERT INTO feedback VALUES (?, ?, ?, ?, 0)", (route, seq, label, time))
            elif known == label:
                became[at] = Reception.REPEATED
                continue
            else:
                became[at] = Reception.CHANGED
                newest = (label, time) if time >= known_time else (known, known_time)
                connection.execute(_CHANGE, (*newest, route, seq))
            if chained:
                number += 1
                event = (number, seq, label, number_of(time))
                last = link(last, event_digest(event))
                connection.execute(_EVENT, (*event, last))
    for at, outcome in became.items():
        outcomes[at] = outcome
    return [at for at in positions if at not in found]
