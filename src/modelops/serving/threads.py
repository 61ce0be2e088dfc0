"""A few threads for what would hold up the event loop; a call that never returns does not keep the process alive."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure

__all__ = ["Threads"]

_Job = tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]] | None


class Threads:
    """Daemon threads, started with the first call. A call whose waiter has gone before its turn is not made.

    ``finished`` counts the calls that came back.
    """

    def __init__(self, count: int, name: str) -> None:
        self.finished = 0
        self._count = self._missing = count
        self._name = name
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()

    def run(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Call a function in a thread; the future belongs to the running event loop."""
        while self._missing:
            self._missing -= 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        future = asyncio.get_running_loop().create_future()
        self._jobs.put((future, function, arguments))
        return future

    def close(self) -> None:
        """Let the threads end when they come back."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                self._one(*job)
                # What was asked is not held until somebody asks again.
                job = None
        finally:
            # A defect ends its thread, which prints the traceback; the next call starts another.
            self._missing += 1

    def _one(self, future: asyncio.Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        if future.cancelled():
            return
        result = None
        error: ModelOpsError | None = failure("server-defect", "the server failed on this request", exit=Exit.BUG)
        try:
            result, error = function(*arguments), None
        except ModelOpsError as problem:
            error = problem
        finally:
            self.finished += 1
            # Nobody waits any more when the loop is closed, which it may be at any moment.
            with contextlib.suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: object, error: ModelOpsError | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
