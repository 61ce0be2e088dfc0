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
from itertools import groupby
from pathlib import Path
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions.migrating import OLD_NAME, take_over
from modelops.predictions.schema import Outcome, Row, ShadowRow
from modelops.predictions.segments import day_of, day_span
from modelops.predictions.writer import SEGMENT_BYTES, Label, Writer, unwritable

WINDOW_SECONDS = 0.05
"""How long a buffered row may wait for company before it is committed."""

_LARGEST_BATCH = 4096
_RETRY_SECONDS = 0.25
# What SQLite or its binding says about a value, not about a disk.
_BAD_ROW = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    ValueError,
    OverflowError,
    TypeError,
    AttributeError,
)
_BAD_DISK = (sqlite3.Error, OSError, ModelOpsError, MemoryError)

Waiter = asyncio.Future[Any] | Future[Any]


@dataclass(slots=True)
class _Entry:
    """What waits in the queue for an acknowledgement: rows of one day, or feedback, and who waits."""

    rows: Sequence[Row]
    feedback: Sequence[Label]
    waiter: Waiter
    outcomes: list[Outcome] | None = field(default=None)
    error: ModelOpsError | None = None


_Queued = Row | ShadowRow | _Entry


@dataclass(slots=True)
class LogStats:
    """Counts since the log was opened; ``dropped`` are buffered rows that will not be written."""

    written: int = 0
    dropped: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    error: str | None = None


class PredictionLog:
    """A writer of the log in the directory ``path``; every process that writes has one of its own.

    ``append`` keeps a row in memory until the next commit, for ``window_seconds`` and the commit's own time;
    ``append_acknowledged``, ``write`` and ``feedback`` are done when the rows are on disk. When ``capacity`` rows
    wait, appending raises ``log-full`` instead of taking more memory. While the disk refuses, those who wait for an
    acknowledgement get ``log-unwritable`` and buffered rows wait, up to the capacity; the next commit that works ends
    the trouble. A row that the log cannot hold fails alone.
    """

    def __init__(
        self,
        path: Path,
        *,
        capacity: int = 65_536,
        window_seconds: float = WINDOW_SECONDS,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.path = path
        self.capacity = capacity
        self.stats = LogStats()
        self._window = window_seconds
        self._files = Writer(path, segment_bytes)
        self._take_over(path.with_name(OLD_NAME))
        self._queue: deque[_Queued] = deque()
        self._depth = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._idle = False
        self._urgent = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def _take_over(self, old: Path) -> None:
        try:
            # One of several that start at the same time is enough.
            if self._files.number == 0:
                take_over(old, self._files)
        except (sqlite3.Error, OSError) as error:
            self._files.close()
            raise unwritable(old, error) from None
        except ModelOpsError:
            self._files.close()
            raise

    @property
    def depth(self) -> int:
        """Return how many rows and labels wait to be written."""
        return self._depth

    def append(self, row: Row) -> None:
        """Queue a row; a crash of the machine or the process within the window may lose it."""
        self._put(row, 1)
        if self._idle:
            self._wake.set()

    def append_shadow(self, row: ShadowRow) -> None:
        """Queue what a shadow said, under the terms of ``append``."""
        self._put(row, 1)
        if self._idle:
            self._wake.set()

    def append_acknowledged(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Queue rows of one time and return a future of the running loop, done when all of them are on disk."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submit(_Entry(rows, (), waiter), len(rows))
        return waiter

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows, day by day, and return when they are on disk."""
        for _, group in groupby(rows, lambda row: day_of(row.time)):
            waiter: Future[None] = Future()
            of_day = list(group)
            self._submit(_Entry(of_day, (), waiter), len(of_day))
            waiter.result()

    def feedback_acknowledged(self, items: Sequence[Label]) -> asyncio.Future[list[Outcome]]:
        """Queue feedback as (prediction id, label text, epoch seconds, model); the result says what became of each.

        Another label for the same prediction replaces the first and is counted, unless its time is earlier. Rows queued
        earlier are known.
        """
        waiter: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._submit(_Entry((), items, waiter), len(items))
        return waiter

    def feedback(self, items: Sequence[Label]) -> list[Outcome]:
        """Write feedback and return, when it is on disk, what became of each label."""
        waiter: Future[list[Outcome]] = Future()
        self._submit(_Entry((), items, waiter), len(items))
        return waiter.result()

    def close(self) -> None:
        """Write what waits and close the files; later appends are refused."""
        with self._lock:
            self._closing = True
        self._wake.set()
        self._thread.join()

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, entry: _Queued, rows: int) -> None:
        # Under the lock nothing can slip in behind the last look of a thread that closes.
        with self._lock:
            if self._depth + rows > self.capacity or self._closing:
                raise self._full()
            self._queue.append(entry)
            self._depth += rows

    def _full(self) -> ModelOpsError:
        reason = "is closed" if self._closing else f"has {self._depth} rows waiting"
        return failure("log-full", f"the prediction log {reason}", exit=Exit.WORLD, hint="try again", retryable=True)

    def _submit(self, entry: _Entry, size: int) -> None:
        self._put(entry, size)
        self._urgent = True
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._await_work()
            with self._lock:
                closing = self._closing
            while (batch := self._take()) and self._commit(batch):
                pass
            if closing:
                self.stats.dropped += len(self._queue)
                self._files.close()
                return

    def _await_work(self) -> None:
        """Sleep until something waits; then give buffered rows one window of time to gather."""
        self._idle = True
        if not self._queue and not self._closing:
            self._wake.wait()
        self._idle = False
        self._wake.clear()
        if not (self._urgent or self._closing):
            self._wake.wait(max(self._window, _RETRY_SECONDS) if self.stats.error else self._window)
        self._urgent = False

    def _take(self) -> list[_Queued]:
        """Take what can be one transaction: rows of one day, or feedback."""
        taken: list[_Queued] = []
        with self._lock:
            queue = self._queue
            kind = _kind(queue[0]) if queue else -1
            begin, end = day_span(kind)
            while queue and len(taken) < _LARGEST_BATCH:
                entry = queue[0]
                # Almost all are rows of one day, so the common case is two comparisons.
                if not (isinstance(entry, Row) and begin <= entry.time < end) and _kind(entry) != kind:
                    break
                taken.append(queue.popleft())
        return taken

    def _commit(self, batch: list[_Queued]) -> bool:
        """Write a batch and tell those who wait; False when the disk refuses, and buffered rows are queued again."""
        started = time.perf_counter()
        try:
            written = self._write(batch)
        except _BAD_ROW as problem:
            return self._narrow(batch, problem)
        except _BAD_DISK as problem:
            self._disk_refuses(batch, unwritable(self.path, problem))
            return False
        stats = self.stats
        stats.commit_seconds += time.perf_counter() - started
        stats.commits += 1
        stats.written += written
        stats.error = None
        self._done(batch)
        return True

    def _write(self, batch: list[_Queued]) -> int:
        rows: list[Row] = []
        shadows: list[ShadowRow] = []
        labelled = [entry for entry in batch if isinstance(entry, _Entry) and not entry.rows]
        if labelled:
            outcomes = self._files.label([item for entry in labelled for item in entry.feedback])
            for entry in labelled:
                size = len(entry.feedback)
                entry.outcomes, outcomes = outcomes[:size], outcomes[size:]
            return 0
        for each in batch:
            if isinstance(each, Row):
                rows.append(each)
            elif isinstance(each, ShadowRow):
                shadows.append(each)
            else:
                rows.extend(each.rows)
        self._files.insert(rows, shadows)
        return len(rows)

    def _narrow(self, batch: list[_Queued], problem: Exception) -> bool:
        """Write the halves of a batch that holds something bad, until that is alone."""
        if len(batch) > 1:
            half = len(batch) // 2
            if self._commit(batch[:half]):
                return self._commit(batch[half:])
            self._disk_refuses(batch[half:], unwritable(self.path, self.stats.error))
            return False
        entry = batch[0]
        error = failure("log-refused", f"the prediction log cannot hold this row: {problem}", exit=Exit.BUG)
        if isinstance(entry, _Entry):
            entry.error = error
        else:
            self.stats.dropped += 1
        self._done(batch)
        return True

    def _disk_refuses(self, batch: list[_Queued], error: ModelOpsError) -> None:
        """Tell everyone who waits for the disk, and keep the buffered rows for another attempt."""
        self.stats.error = error.problems[0].message
        with self._lock:
            waiting = [*batch, *self._queue]
            told = [entry for entry in waiting if isinstance(entry, _Entry)]
            self._queue.clear()
            self._queue.extend(entry for entry in waiting if not isinstance(entry, _Entry))
        for entry in told:
            entry.error = error
        self._done(told)

    def _done(self, entries: Sequence[_Queued]) -> None:
        """Settle the waiters, with one wake-up per event loop, and give the room in the queue back."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Entry]] = {}
        size = 0
        for entry in entries:
            if not isinstance(entry, _Entry):
                size += 1
                continue
            size += len(entry.rows) + len(entry.feedback)
            if isinstance(entry.waiter, asyncio.Future):
                by_loop.setdefault(entry.waiter.get_loop(), []).append(entry)
            else:
                _settle(entry)
        with self._lock:
            self._depth -= size
        for loop, waiting in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle_all, waiting)


def _kind(entry: _Queued) -> int:
    """Return the day of a row, or -1 for feedback."""
    if isinstance(entry, (Row, ShadowRow)):
        return day_of(entry.time)
    return day_of(entry.rows[0].time) if entry.rows else -1


def _settle(entry: _Entry) -> None:
    waiter = entry.waiter
    if waiter.done():
        return
    if entry.error is not None:
        waiter.set_exception(entry.error)
    else:
        waiter.set_result(entry.outcomes)


def _settle_all(entries: Iterable[_Entry]) -> None:
    for entry in entries:
        _settle(entry)
