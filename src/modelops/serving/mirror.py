"""Shadow copies: arms that answer a copy of a share of the requests, after the real answer has gone and unseen."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from modelops.artifacts.predictor import MODEL_ERRORS
from modelops.errors import ModelOpsError
from modelops.predictions import PredictionLog, ShadowRow
from modelops.serving.asking.blame import callers_fault
from modelops.serving.asking.infer import Work, sanitized
from modelops.serving.metrics import ServerMetrics, ShadowCounts
from modelops.serving.table import LoadedArm, LoadedModel

__all__ = ["Mirrors"]

CONCURRENCY = 2
"""How many copies for one model run at once."""
TIMEOUT_SECONDS = 1.0
"""How long the answer to a copy may take."""
QUEUE = 256
"""How many copies for one model may wait."""
TICK_SECONDS = 0.02
"""How often finished copies are collected while any are under way."""
WAITING_BYTES = 16 << 20
"""How many bytes of requests the copies of one model may hold, however many may wait."""


@dataclass(slots=True, eq=False)
class _Copy:
    """One request for one shadow arm; the thread that runs it sets the lower part."""

    work: Work
    arm: LoadedArm
    counts: ShadowCounts
    started: float | None = None
    finished: float | None = None
    scores: Sequence[float | None] = ()
    labels: Sequence[str | None] = ()
    error: str | None = None
    refused: bool = False


@dataclass(slots=True)
class _Mirror:
    """Threads of one model. What the event loop does with it never waits for them."""

    arms: tuple[str, ...]
    queue: queue.SimpleQueue[_Copy | None] = field(default_factory=queue.SimpleQueue)
    under_way: set[_Copy] = field(default_factory=set)
    done: deque[_Copy] = field(default_factory=deque)
    size: int = 0

    def start(self, model: str) -> None:
        """Start the threads; one that never comes back does not keep the process alive."""
        for _ in range(CONCURRENCY):
            threading.Thread(target=self._run, name=f"shadow-{model}", daemon=True).start()

    def _run(self) -> None:
        while (copy := self.queue.get()) is not None:
            _ask(copy)
            self.done.append(copy)
            # What was asked is not held until somebody asks again.
            copy = None


def _ask(copy: _Copy) -> None:
    """Let a shadow answer a request as well."""
    copy.started = perf_counter()
    arm, bound = copy.arm, None
    try:
        bound = arm.binder.bind(copy.work.request, copy.work.model.known)
        _, copy.scores, copy.labels = arm.predict(bound)
    except MODEL_ERRORS as error:
        copy.error = sanitized(error)
        # What nobody answers is no error of a shadow either, and without an answer there is no pair.
        if bound is not None and copy.work.error is not None:
            copy.refused = callers_fault(arm.binder.names, arm.reach, bound, error) is not None
    copy.finished = perf_counter()


class Mirrors:
    """The shadows of all models; made and used on the event loop."""

    def __init__(self, log: PredictionLog, metrics: ServerMetrics) -> None:
        self._log = log
        self._metrics = metrics
        self._by_model: dict[str, _Mirror] = {}
        self._ticking = False

    def offer(self, work: Work) -> None:
        """Copy an answered request to the shadows of its model that drew it, once the answer has been sent."""
        drawn = int(work.id[-8:], 16) / (1 << 32)
        arms = [arm for arm in work.model.shadows if drawn < arm.shadow]
        if arms:
            asyncio.get_running_loop().call_soon(self._copy, work, arms)

    def close(self) -> None:
        """Record what is done, and tell the threads to end when they come back."""
        for mirror in self._by_model.values():
            self._collect(mirror, perf_counter())
            self._dismiss(mirror)
        self._by_model.clear()

    def _copy(self, work: Work, arms: Sequence[LoadedArm]) -> None:
        mirror = self._of(work.model)
        for arm in arms:
            copy = _Copy(work, arm, self._metrics.shadow(work.model.name, arm.release, arm.name))
            size = work.question.size
            if mirror.queue.qsize() >= QUEUE or mirror.size + size > WAITING_BYTES:
                copy.counts.dropped += 1
                continue
            mirror.size += size
            mirror.under_way.add(copy)
            mirror.queue.put(copy)
        if not self._ticking and mirror.under_way:
            self._ticking = True
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _of(self, model: LoadedModel) -> _Mirror:
        """Return the threads of a model, new ones when its shadows have changed."""
        found = self._by_model.get(model.name)
        arms = tuple(arm.digest for arm in model.shadows)
        if found is None or found.arms != arms:
            if found is not None:
                self._dismiss(found)
            found = self._by_model[model.name] = _Mirror(arms)
            found.start(model.name)
        return found

    def _dismiss(self, mirror: _Mirror) -> None:
        for copy in mirror.under_way:
            copy.counts.dropped += 1
        mirror.under_way.clear()
        # The threads take from the queue, too.
        with contextlib.suppress(queue.Empty):
            while True:
                mirror.queue.get_nowait()
        for _ in range(CONCURRENCY):
            mirror.queue.put(None)

    def _tick(self) -> None:
        self._ticking = False
        now = perf_counter()
        for mirror in self._by_model.values():
            self._collect(mirror, now)
            if mirror.under_way and not self._ticking:
                self._ticking = True
                asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _collect(self, mirror: _Mirror, now: float) -> None:
        """Record the copies that are answered, and those that have run out of time."""
        while mirror.done:
            copy = mirror.done.popleft()
            if copy in mirror.under_way and copy.started is not None and copy.finished is not None:
                self._settle(mirror, copy, copy.finished - copy.started)
        for copy in [each for each in mirror.under_way if _overdue(each, now - TIMEOUT_SECONDS)]:
            assert copy.started is not None
            self._settle(mirror, copy, now - copy.started)

    def _settle(self, mirror: _Mirror, copy: _Copy, seconds: float) -> None:
        mirror.under_way.discard(copy)
        mirror.size -= copy.work.question.size
        status, error = 200, copy.error
        if copy.refused:
            copy.counts.dropped += 1
            return
        if seconds > TIMEOUT_SECONDS:
            status, error = 504, "timeout"
            copy.counts.timeouts += 1
        elif error is not None:
            status = 500
            copy.counts.errors += 1
        else:
            copy.counts.answered += 1
        if copy.work.model.route.log != "off":
            for row in _rows(copy, status, error, seconds * 1000):
                try:
                    self._log.append_shadow(row)
                except ModelOpsError:
                    # A full log is for predictions that somebody got.
                    self._log.stats.dropped += 1


def _overdue(copy: _Copy, since: float) -> bool:
    return copy.started is not None and copy.finished is None and copy.started < since


def _rows(copy: _Copy, status: int, error: str | None, latency_ms: float) -> list[ShadowRow]:
    work, arm, route = copy.work, copy.arm, copy.work.model.route
    count = work.bound.rows
    scores, labels = (copy.scores, copy.labels) if status == 200 else ((None,) * count, (None,) * count)
    return [
        ShadowRow(
            work.id if count == 1 else f"{work.id}.{position}", work.now, work.model.name, arm.release, arm.name,
            route.step, route.salt, score, label, status, latency_ms, error,
        )
        for position, (score, label) in enumerate(zip(scores, labels, strict=True))
    ]  # fmt: skip
