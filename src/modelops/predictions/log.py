"""The writer of the prediction log: a bounded queue, one thread, and one transaction for everything that waits."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions.schema import CREATE, VERSION, Row, check_version

WINDOW_SECONDS = 0.005
"""How long a buffered row may wait for company before it is committed."""

_LARGEST_BATCH = 4096
# One INSERT of many rows is one call into SQLite, which runs without the interpreter lock; row by row the writer would
# ask for the lock once per row and slow the server's loop down. 16 columns x 512 rows stay below SQLite's 32766.
_CHUNKS = (512, 64, 8, 1)
_COLUMNS = ", ".join(Row._fields)
_ONE = f"({', '.join('?' * len(Row._fields))})"
_INSERT = {size: f"INSERT INTO predictions({_COLUMNS}) VALUES {', '.join([_ONE] * size)}" for size in _CHUNKS}  # noqa: S608
_FEEDBACK = """INSERT INTO feedback(prediction_id, label, time)
    SELECT id, ?2, ?3 FROM predictions WHERE id = ?1 AND model = ?4
    ON CONFLICT(prediction_id) DO UPDATE SET label = excluded.label, time = excluded.time"""

Waiter = asyncio.Future[Any] | Future[Any]


@dataclass(slots=True)
class _Entry:
    """What waits in the queue: rows, or feedback as (id, label, time, model), and who wants to know the outcome."""

    rows: Sequence[Row] = ()
    feedback: Sequence[tuple[str, str, float, str]] = ()
    waiter: Waiter | None = None
    known: list[bool] = field(default_factory=list)


@dataclass(slots=True)
class LogStats:
    """Counts since the log was opened; ``dropped`` are buffered rows that could not be written."""

    written: int = 0
    dropped: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    error: str | None = None


def _unwritable(path: Path, reason: object) -> ModelOpsError:
    return failure(
        "log-unwritable",
        f"the prediction log {path} cannot be written: {reason}",
        exit=Exit.WORLD,
        hint="free space on its disk or make its folder writable; the log heals by itself",
        retryable=True,
    )


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10, cached_statements=16
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        if not check_version(connection, path):
            for statement in CREATE:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        raise _unwritable(path, error) from None
    return connection


def _settle(waiter: Waiter, result: object, error: ModelOpsError | None) -> None:
    if waiter.done():
        return
    if error is not None:
        waiter.set_exception(error)
    else:
        waiter.set_result(result)


class PredictionLog:
    """The one writer of a log file.

    ``append`` keeps a row in memory for at most a few milliseconds; ``append_acknowledged`` and ``feedback`` return a
    future that is done when the row is on disk. When ``capacity`` rows wait, appending raises ``log-full`` instead of
    taking more memory. When the disk refuses, waiters get ``log-unwritable``, buffered rows are counted as dropped, and
    the next commit that works ends the trouble.
    """

    def __init__(self, path: Path, *, capacity: int = 65_536, window_seconds: float = WINDOW_SECONDS) -> None:
        self.path = path
        self.capacity = capacity
        self.stats = LogStats()
        self._window = window_seconds
        self._connection = _open(path)
        self._queue: deque[_Entry | Row] = deque()
        self._wake = threading.Event()
        self._idle = False
        self._urgent = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Return how many entries wait to be written."""
        return len(self._queue)

    def append(self, row: Row) -> None:
        """Queue a row; a crash of the machine or the process within the window may lose it."""
        queue = self._queue
        if len(queue) >= self.capacity or self._closing:
            raise self._full()
        queue.append(row)
        if self._idle:
            self._wake.set()

    def append_acknowledged(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Queue rows and return a future of the running event loop, done when all of them are on disk."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submit(_Entry(rows=rows, waiter=waiter))
        return waiter

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows and return when they are on disk."""
        waiter: Future[None] = Future()
        self._submit(_Entry(rows=rows, waiter=waiter))
        waiter.result()

    def feedback_acknowledged(self, items: Sequence[tuple[str, str, float, str]]) -> asyncio.Future[list[bool]]:
        """Queue feedback as (prediction id, label text, epoch seconds, model); the result says which ids are known.

        A second label for the same prediction replaces the first. Rows queued earlier count as known.
        """
        waiter: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._submit(_Entry(feedback=items, waiter=waiter))
        return waiter

    def feedback(self, items: Sequence[tuple[str, str, float, str]]) -> list[bool]:
        """Write feedback and return, when it is on disk, which of the ids are known."""
        waiter: Future[list[bool]] = Future()
        self._submit(_Entry(feedback=items, waiter=waiter))
        return waiter.result()

    def close(self) -> None:
        """Write what waits and close the file; later appends are refused."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _full(self) -> ModelOpsError:
        reason = "is closed" if self._closing else f"has {self.capacity} rows waiting"
        return failure("log-full", f"the prediction log {reason}", exit=Exit.WORLD, hint="try again", retryable=True)

    def _submit(self, entry: _Entry) -> None:
        if len(self._queue) >= self.capacity or self._closing:
            raise self._full()
        self._queue.append(entry)
        self._urgent = True
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._await_work()
            while self._queue:
                self._commit(self._take())
            if self._closing and not self._queue:
                self._connection.close()
                return

    def _await_work(self) -> None:
        """Sleep until something waits; then give buffered rows one window of time to gather."""
        self._idle = True
        if not self._queue and not self._closing:
            self._wake.wait()
        self._idle = False
        self._wake.clear()
        if not (self._urgent or self._closing):
            self._wake.wait(self._window)
        self._urgent = False

    def _take(self) -> list[_Entry | Row]:
        queue = self._queue
        return [queue.popleft() for _ in range(min(len(queue), _LARGEST_BATCH))]

    def _commit(self, entries: list[_Entry | Row]) -> None:
        started = time.perf_counter()
        error: ModelOpsError | None = None
        written = 0
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            written = self._write_all(entries)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, ValueError, OverflowError) as problem:
            # A row that SQLite cannot hold must not end the thread that writes for everyone.
            error = _unwritable(self.path, problem)
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        stats = self.stats
        stats.commit_seconds += time.perf_counter() - started
        stats.error = error.problems[0].message if error else None
        if error is None:
            stats.commits += 1
            stats.written += written
        else:
            stats.dropped += sum(1 for entry in entries if isinstance(entry, Row))
        self._answer(entries, error)
        if error is not None:
            time.sleep(self._window)

    def _write_all(self, entries: Iterable[_Entry | Row]) -> int:
        """Insert in the order of the queue, as few statements as possible; feedback comes after the rows before it."""
        rows: list[Row] = []
        written = 0
        for entry in entries:
            if isinstance(entry, Row):
                rows.append(entry)
                continue
            rows.extend(entry.rows)
            if entry.feedback:
                written += self._insert(rows)
                rows = []
                entry.known = [self._connection.execute(_FEEDBACK, item).rowcount > 0 for item in entry.feedback]
        return written + self._insert(rows)

    def _insert(self, rows: list[Row]) -> int:
        start = 0
        for size in _CHUNKS:
            while len(rows) - start >= size:
                self._connection.execute(_INSERT[size], tuple(chain.from_iterable(rows[start : start + size])))
                start += size
        return start

    def _answer(self, entries: Iterable[_Entry | Row], error: ModelOpsError | None) -> None:
        """Settle the waiters, with one wake-up per event loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Entry]] = {}
        for entry in entries:
            if isinstance(entry, Row) or entry.waiter is None:
                continue
            if isinstance(entry.waiter, asyncio.Future):
                by_loop.setdefault(entry.waiter.get_loop(), []).append(entry)
            else:
                _settle(entry.waiter, entry.known or None, error)
        for loop, waiting in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle_all, waiting, error)


def _settle_all(entries: list[_Entry], error: ModelOpsError | None) -> None:
    for entry in entries:
        if entry.waiter is not None:
            _settle(entry.waiter, entry.known or None, error)
