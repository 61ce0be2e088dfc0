"""The prediction log of one writer: a bounded queue, one thread, and one transaction for everything that waits."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions.lanes import PART_ROWS, Entry, Lanes, Queued, parts_of, tell
from modelops.predictions.migrating import OLD_NAME, take_over
from modelops.predictions.schema import Reception, Row, ShadowRow
from modelops.predictions.segments import day_of, first_number
from modelops.predictions.writer import SEGMENT_BYTES, Label, Writer, unwritable

WINDOW_SECONDS = 0.05
"""How long a buffered row may wait for company before it is committed."""
COMPANY_SECONDS = 0.00005
"""How long rows that somebody waits for may wait, for each of those that came the last time: a sync has its price."""
MOST_COMPANY_SECONDS = 0.003
COMPANY_ROWS = 5
"""Where fewer than these came together the last time, nothing is waited for."""
FULL_ROWS = 2048
"""So many buffered rows are written without waiting for the end of the window."""

PROBE_SECONDS = 1.0
"""How often a disk that has refused is tried while nothing waits for it."""

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


@dataclass(slots=True)
class LogStats:
    """Counts since the log was opened.

    ``dropped`` are buffered rows that will not be written, ``set_aside`` files that could not be read and were renamed.
    ``slowest_commit_seconds`` is how long the longest commit took: a crash at its end would have lost the buffered rows
    that came meanwhile, besides those that were in it.
    """

    written: int = 0
    dropped: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    slowest_commit_seconds: float = 0.0
    set_aside: int = 0
    error: str | None = None


class PredictionLog:
    """A writer of the log in the directory ``path``; every process that writes has one of its own.

    ``append`` keeps a row in memory until the next commit: for ``window_seconds``, or as long as a commit that was
    under way when it came, whichever is longer, and the next commit's own time;
    ``append_acknowledged``, ``write`` and ``feedback`` are done when the rows are on disk. When ``capacity`` rows
    wait, appending raises ``log-full`` instead of taking more memory. While the disk refuses, those who wait for an
    acknowledgement get ``log-unwritable`` and buffered rows wait, up to the capacity; the next commit that works ends
    the trouble. A row that the log cannot hold fails alone. ``lost`` is how many buffered rows had no room when the log
    was closed. ``name`` tells the files from those of writers elsewhere, as those of the pods of one model are read
    together: the number in a file's name follows from it.
    """

    def __init__(
        self,
        path: Path,
        *,
        capacity: int = 65_536,
        window_seconds: float = WINDOW_SECONDS,
        segment_bytes: int = SEGMENT_BYTES,
        name: str = "",
    ) -> None:
        self.path = path
        self.capacity = capacity
        self.stats = LogStats()
        self.lost = 0
        self._window = window_seconds
        self._files = Writer(path, segment_bytes, first_number(name))
        self._take_over(path.with_name(OLD_NAME))
        self.stats.set_aside = len(self._files.aside)
        self._lanes = Lanes(capacity)
        self._wake = threading.Event()
        self._idle = False
        self._urgent = False
        self._goal = self._together = 0
        self._looked = 0.0
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def _take_over(self, old: Path) -> None:
        try:
            # One of several that start at the same time is enough.
            if self._files.is_first:
                take_over(old, self._files)
        except (sqlite3.Error, OSError) as error:
            self._files.close()
            raise unwritable(old, error) from None
        except ModelOpsError:
            self._files.close()
            raise

    @property
    def depth(self) -> int:
        """Return how many rows and labels wait to be written, or are expected."""
        return self._lanes.depth

    def has_room(self, rows: int) -> bool:
        """Tell whether so many rows could be queued now."""
        return self._lanes.depth + rows <= self.capacity

    def reserve(self, rows: int) -> None:
        """Keep room for the rows of a request before it is worked on, or raise ``log-full``."""
        self._lanes.reserve(rows)

    def release(self, rows: int) -> None:
        """Give back room that was reserved and is not needed."""
        self._lanes.release(rows)

    def append(self, row: Row) -> None:
        """Queue a row; a crash of the machine or the process within the window may lose it."""
        self._lanes.add(row, 1)
        if self._idle or self._lanes.depth == FULL_ROWS:
            self._wake.set()

    def append_shadow(self, row: ShadowRow) -> None:
        """Queue what a shadow said, under the terms of ``append``."""
        self._lanes.add(row, 1)
        if self._idle:
            self._wake.set()

    def append_all(self, rows: Sequence[Row], *, reserved: bool = False) -> None:
        """Queue the rows of one request, under the terms of ``append``; room for them may have been reserved."""
        self._lanes.add_large(parts_of(rows, None, None), 0 if reserved else len(rows))
        if self._idle:
            self._wake.set()

    def submit(
        self, rows: Sequence[Row], told: Callable[[Any, ModelOpsError | None], object], *, reserved: bool = False
    ) -> None:
        """Queue rows of one time; on the running loop it is told when they are on disk, or why they are not.

        More than ``PART_ROWS`` may be several transactions, and a disk that refuses one of them has taken those before;
        it is told how many rows are not there. Of fewer all are there or none.
        """
        loop, room = asyncio.get_running_loop(), 0 if reserved else len(rows)
        if len(rows) <= PART_ROWS:
            self._lanes.add(Entry(rows, (), told, loop), room)
        else:
            self._lanes.add_large(parts_of(rows, told, loop), room)
        self._hurry()

    def append_acknowledged(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Queue rows of one time and return a future of the running loop, done when all of them are on disk."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.submit(rows, partial(_settle, waiter))
        return waiter

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows, day by day, and return when they are on disk."""
        for _, group in groupby(rows, lambda row: day_of(row.time)):
            waiter: Future[None] = Future()
            of_day = list(group)
            self._lanes.add_large(parts_of(of_day, partial(_settle, waiter), None), len(of_day))
            self._hurry()
            waiter.result()

    def feedback_acknowledged(self, items: Sequence[Label]) -> asyncio.Future[list[Reception]]:
        """Queue feedback as (prediction id, label text, epoch seconds, model); the result says what became of each.

        Another label for the same prediction replaces the first and is counted, unless its time is earlier. Rows queued
        earlier are known.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[list[Reception]] = loop.create_future()
        self._label(items, partial(_settle, waiter), loop)
        return waiter

    def feedback(self, items: Sequence[Label]) -> list[Reception]:
        """Write feedback and return, when it is on disk, what became of each label."""
        waiter: Future[list[Reception]] = Future()
        self._label(items, partial(_settle, waiter), None)
        return waiter.result()

    def close(self) -> None:
        """Write what waits and close the files; later appends are refused."""
        with self._lanes.lock:
            self._lanes.closing = True
        self._wake.set()
        self._thread.join()

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _label(
        self,
        items: Sequence[Label],
        told: Callable[[Any, ModelOpsError | None], object],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._lanes.add_large([Entry((), items, told, loop)], len(items))
        self._hurry()

    def _hurry(self) -> None:
        """Wake the thread for somebody who waits, unless it is awake for others and not all of these have come."""
        if self._idle or not self._urgent:
            self._urgent = True
            self._wake.set()
        elif self._goal and len(self._lanes.single) >= self._goal:
            self._wake.set()

    def _run(self) -> None:
        lanes = self._lanes
        while True:
            self._await_work()
            with lanes.lock:
                closing = lanes.closing
            # One round: what comes meanwhile has a window of its own.
            written = True
            self._looked = time.monotonic()
            for _ in range(1 + len(lanes.single) // FULL_ROWS + 2 * len(lanes.large)):
                batch = lanes.take()
                if not batch or not (written := self._commit(batch)):
                    break
            # Who is told is not held, with all that was asked, until somebody asks again.
            batch = []
            if closing and (not written or not (lanes.single or lanes.large)):
                self._give_up()
                self._files.close()
                return

    def _await_work(self) -> None:
        """Sleep until something waits; then give buffered rows one window of time to gather, and others a moment."""
        lanes, wake = self._lanes, self._wake
        self._idle = True
        # What came while the last rows were written has waited since, and its window is not begun anew.
        since = self._looked
        while not (lanes.single or lanes.large or lanes.closing):
            # What the disk has refused is tried again, as nobody may come to try it.
            if not wake.wait(PROBE_SECONDS if self.stats.error else None):
                self._probe()
            wake.clear()
            since = time.monotonic()
        self._idle = False
        wake.clear()
        if lanes.closing:
            return
        if self.stats.error and not self._urgent:
            wake.wait(max(self._window, _RETRY_SECONDS))
        elif not self._urgent and lanes.depth < FULL_ROWS:
            wake.wait(max(0.0, since + self._window - time.monotonic()))
        if self._urgent and self._together >= COMPANY_ROWS and len(lanes.single) < self._together:
            wake.clear()
            self._goal = self._together
            wake.wait(min(COMPANY_SECONDS * self._together, MOST_COMPANY_SECONDS))
            self._goal = 0
        self._urgent = False

    def _give_up(self) -> None:
        """Keep what the disk still takes by the end, oldest first, and count the rest."""
        left = (*self._lanes.single, *self._lanes.large)
        rows: list[Queued] = [row for each in left for row in (each.rows if isinstance(each, Entry) else (each,))]
        for _, group in groupby(rows, lambda row: day_of(row.time)):
            waiting = list(group)
            step = len(waiting)
            while waiting and step:
                try:
                    written, _ = self._write(waiting[:step])
                except (*_BAD_ROW, *_BAD_DISK):
                    step //= 2
                else:
                    self.stats.written += written
                    del waiting[:step]
            self.lost += len(waiting)
        self.stats.dropped += self.lost

    def _probe(self) -> None:
        """See whether a disk that has refused takes something again."""
        try:
            self._files.probe()
        except _BAD_DISK as problem:
            self.stats.error = unwritable(self.path, problem).first.message
        else:
            self.stats.error = None

    def _commit(self, batch: list[Queued]) -> bool:
        """Write a batch and tell those who wait; False when the disk refuses, and buffered rows are queued again."""
        started = time.perf_counter()
        try:
            written, told = self._write(batch)
        except _BAD_ROW as problem:
            return self._narrow(batch, problem)
        except _BAD_DISK as problem:
            self._disk_refuses(batch, unwritable(self.path, problem))
            return False
        stats = self.stats
        took = time.perf_counter() - started
        stats.commit_seconds += took
        stats.slowest_commit_seconds = max(stats.slowest_commit_seconds, took)
        stats.commits += 1
        stats.written += written
        stats.error = None
        stats.set_aside = len(self._files.aside)
        if told:
            self._together = len(batch)
        self._done(batch, told)
        return True

    def _write(self, batch: list[Queued]) -> tuple[int, list[Entry]]:
        """Write one transaction; returns how many rows it were, and who waits for it."""
        rows: list[Row] = []
        shadows: list[ShadowRow] = []
        entries: list[Entry] = []
        for each in batch:
            if type(each) is Row:
                rows.append(each)
            elif isinstance(each, Entry):
                rows.extend(each.rows)
                entries.append(each)
            else:
                shadows.append(each)  # type: ignore[arg-type]
        if rows or shadows:
            # The sync of the last part of a request is that of all its parts.
            synced = not all(isinstance(each, Entry) and each.followed for each in batch)
            self._files.insert(rows, shadows, synced=synced)
        labelled = [entry for entry in entries if not entry.rows]
        if labelled:
            outcomes = self._files.label([item for entry in labelled for item in entry.feedback])
            for entry in labelled:
                size = len(entry.feedback)
                entry.outcomes, outcomes = outcomes[:size], outcomes[size:]
        return len(rows), entries

    def _narrow(self, batch: list[Queued], problem: Exception) -> bool:
        """Write the halves of a batch that holds something bad, until that is alone."""
        if len(batch) == 1 and isinstance(batch[0], Entry) and batch[0].told is None and len(batch[0].rows) > 1:
            batch = list(batch[0].rows)
        if len(batch) > 1:
            half = len(batch) // 2
            if self._commit(batch[:half]):
                return self._commit(batch[half:])
            self._disk_refuses(batch[half:], unwritable(self.path, self.stats.error))
            return False
        entry = batch[0]
        error = failure("log-refused", f"the prediction log cannot hold this row: {problem}", exit=Exit.BUG)
        if isinstance(entry, Entry):
            entry.error = error
            self._done(batch, [entry])
        else:
            self.stats.dropped += 1
            self._done(batch, [])
        return True

    def _disk_refuses(self, batch: list[Queued], error: ModelOpsError) -> None:
        """Tell everyone who waits for the disk, and keep the buffered rows for another attempt."""
        self.stats.error = error.first.message
        told = [each for each in batch if isinstance(each, Entry) and each.told]
        self._lanes.put_back([each for each in batch if not (isinstance(each, Entry) and each.told)])
        told += self._lanes.take_waiters()
        for entry in told:
            entry.error = error
        self._done(list(told), told)

    def _settle_parts(self) -> None:
        """Have the disk take the parts before one that failed: they count as written, and nothing may follow them."""
        try:
            self._files.sync()
        except OSError as problem:
            self.stats.error = unwritable(self.path, problem).first.message

    def _done(self, batch: Sequence[Queued], entries: Sequence[Entry]) -> None:
        """Give the room in the queue back and tell those who wait, with one wake-up per event loop."""
        if any(entry.error is not None for entry in entries):
            self._settle_parts()
        self._lanes.release(len(batch) - len(entries) + sum(entry.size for entry in entries))
        for loop in {entry.loop for entry in entries}:
            # A generator would ask for the loop only when it is told, and by then that is the next one.
            waiting = iter([entry for entry in entries if entry.loop is loop])
            if loop is None:
                tell(None, waiting)
                continue
            # Nobody waits any more when the loop is closed, which it may be at any moment.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, loop, waiting)


def _settle(waiter: asyncio.Future[Any] | Future[Any], outcome: Any, error: ModelOpsError | None) -> None:
    if waiter.done():
        return
    if error is not None:
        waiter.set_exception(error)
    else:
        waiter.set_result(outcome)
