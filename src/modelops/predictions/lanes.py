"""What waits to be written, in two lanes: single rows first, and the parts of large requests between them."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions.schema import Reception, Row, ShadowRow
from modelops.predictions.segments import day_of, day_span
from modelops.predictions.writer import Label

__all__ = ["PART_ROWS", "Entry", "Lanes", "Queued", "parts_of", "tell"]

PART_ROWS = 16
"""Rows of large requests that are one transaction where single rows are waited for: so long may one wait for them."""
CALM_ROWS = 512
"""Rows of large requests that are one transaction where nobody waits, or too many do: two to three times as fast."""
CALM_BYTES = 256 << 10
"""So many bytes of features are enough for one transaction, however few rows they are."""
CALM_SECONDS = 1.0
"""How long after the last single row that was waited for nobody is expected to wait."""
BEHIND_ROWS = 16_384
"""With more rows of large requests than this, more than a batch has, single rows wait for larger parts."""
LARGEST_BATCH = 4096

Told = Callable[[Any, ModelOpsError | None], object]


class Entry:
    """Rows of one day that belong together, or feedback, and who is told what became of it, on which event loop.

    It is ``followed`` where it is a part of a request and not the last one: who waits is told after that one.
    """

    __slots__ = ("after", "error", "feedback", "followed", "loop", "outcomes", "rows", "time", "told")

    def __init__(
        self,
        rows: Sequence[Row],
        feedback: Sequence[Label] = (),
        told: Told | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.rows = rows
        self.feedback = feedback
        self.told = told
        self.loop = loop
        self.time = rows[0].time if rows else 0.0
        self.after = 0
        self.followed = False
        self.outcomes: list[Reception] | None = None
        self.error: ModelOpsError | None = None

    @property
    def size(self) -> int:
        """How many rows and labels it holds."""
        return len(self.rows) + len(self.feedback)


Queued = Row | ShadowRow | Entry


class Lanes:
    """The queue of a log: bounded, and safe for several threads that put and one that takes."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.depth = 0
        self.closing = False
        self.single: deque[Queued] = deque()
        self.large: deque[Entry] = deque()
        self.lock = threading.Lock()
        self._put = self._taken = 0
        self._large_next = False
        self._waited = -math.inf

    def reserve(self, rows: int) -> None:
        """Keep room for rows that will come, or raise ``log-full``."""
        with self.lock:
            if self.depth + rows > self.capacity or self.closing:
                raise self._full()
            self.depth += rows

    def release(self, rows: int) -> None:
        """Give room back."""
        with self.lock:
            self.depth -= rows

    def add(self, entry: Queued, rows: int) -> None:
        """Queue something small, for which room is reserved when ``rows`` is 0."""
        # Under the lock nothing can slip in behind the last look of a thread that closes.
        with self.lock:
            if self.depth + rows > self.capacity or self.closing:
                raise self._full()
            self.depth += rows
            self._put += 1
            self.single.append(entry)
            if isinstance(entry, Entry) and entry.told is not None:
                self._waited = time.monotonic()

    def add_large(self, entries: Sequence[Entry], rows: int) -> None:
        """Queue something that others need not wait for; feedback knows what was queued before it."""
        with self.lock:
            if self.depth + rows > self.capacity or self.closing:
                raise self._full()
            self.depth += rows
            for entry in entries:
                entry.after = self._put if entry.feedback or not entry.rows else 0
                self.large.append(entry)

    def take(self) -> list[Queued]:
        """Take what can be one transaction: single rows of one day, or when there are none a part, or feedback."""
        with self.lock:
            if self.single and (not self.large or not self._large_next or self.large[0].after > self._taken):
                # Whoever came while a part was written waits for no other one.
                self._large_next = True
                return self._take_single()
            self._large_next = False
            return self._take_large() if self.large else []

    def put_back(self, entries: Sequence[Queued]) -> None:
        """Queue again, before everything else, what could not be written."""
        with self.lock:
            for entry in reversed(entries):
                if isinstance(entry, Entry):
                    self.large.appendleft(entry)
                else:
                    self._taken -= 1
                    self.single.appendleft(entry)

    def take_waiters(self) -> list[Entry]:
        """Take out everything that somebody waits for."""
        with self.lock:
            told = [each for each in (*self.single, *self.large) if isinstance(each, Entry) and each.told]
            if told:
                gone = set(map(id, told))
                self._taken += sum(id(each) in gone for each in self.single)
                self.single = deque(each for each in self.single if id(each) not in gone)
                self.large = deque(each for each in self.large if id(each) not in gone)
            return told

    def _take_large(self) -> list[Queued]:
        """Take parts of one day, or all feedback that is next: it is one transaction for each file that it is about."""
        queue = self.large
        first = queue.popleft()
        taken: list[Queued] = [first]
        rows, size, day = len(first.rows), _bytes(first), day_of(first.time)
        calm = time.monotonic() - self._waited > CALM_SECONDS or len(queue) * PART_ROWS > BEHIND_ROWS
        most = CALM_ROWS if calm else PART_ROWS
        while queue and bool(queue[0].rows) == bool(rows) and queue[0].after <= self._taken:
            rows, size = rows + len(queue[0].rows), size + _bytes(queue[0])
            if rows > most or size > CALM_BYTES or (queue[0].rows and day_of(queue[0].time) != day):
                break
            taken.append(queue.popleft())
        return taken

    def _take_single(self) -> list[Queued]:
        queue = self.single
        day = day_of(queue[0].time)
        begin, end = day_span(day)
        if len(queue) <= LARGEST_BATCH:
            taken, self.single = list(queue), deque()
        else:
            taken = [queue.popleft() for _ in range(LARGEST_BATCH)]
        # Almost all are rows of one day.
        strangers = (at for at, each in enumerate(taken) if not begin <= each.time < end and day_of(each.time) != day)
        cut = next(strangers, None)
        if cut is not None:
            self.single.extendleft(reversed(taken[cut:]))
            del taken[cut:]
        self._taken += len(taken)
        return taken

    def _full(self) -> ModelOpsError:
        reason = "is closed" if self.closing else f"has {self.depth} rows waiting"
        return failure("log-full", f"the prediction log {reason}", exit=Exit.WORLD, hint="try again", retryable=True)


def _bytes(entry: Entry) -> int:
    return sum(len(row.features) for row in entry.rows)


def parts_of(rows: Sequence[Row], told: Told | None, loop: asyncio.AbstractEventLoop | None) -> list[Entry]:
    """Return the parts of a large request; who waits is told once, when what becomes of each of them is known.

    No part is torn by a transaction: where a disk refuses one, those before it are written. The outcome is how
    many rows are not, with the first error.
    """
    parts = [rows[start : start + PART_ROWS] for start in range(0, len(rows), PART_ROWS)]
    left, lost, failed = len(parts), 0, None

    def one(rows: int, _: Any, error: ModelOpsError | None) -> None:
        nonlocal left, lost, failed
        left, lost, failed = left - 1, lost + (0 if error is None else rows), failed or error
        if left == 0 and told is not None:
            told(lost, failed)

    entries = [Entry(part, (), partial(one, len(part)) if told is not None else None, loop) for part in parts]
    for entry in entries[:-1]:
        entry.followed = True
    return entries


def tell(loop: asyncio.AbstractEventLoop | None, entries: Iterator[Entry]) -> None:
    """Tell everybody who waits; whatever one of them fails on, the others hear of theirs."""
    finished = False
    try:
        for entry in entries:
            if entry.told is not None:
                entry.told(entry.outcomes, entry.error)
        finished = True
    finally:
        if not finished and loop is not None:
            loop.call_soon(tell, loop, entries)
