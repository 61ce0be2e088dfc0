"""A few threads for what would hold up the event loop; a call that never returns does not keep the process alive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure

__all__ = ["BEHIND", "Threads", "step_back"]

BEHIND = 5
"""By how much what is slow steps back from what is quick: as little as helps, as it may hold the interpreter's lock."""
_Job = tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]] | None


class Threads:
    """Daemon threads, started with the first call. A call whose waiter has gone before its turn is not made.

    ``finished`` counts the calls that came back. Those that are ``behind`` come after the event loop where both could
    run.
    """

    def __init__(self, count: int, name: str, *, behind: bool = False) -> None:
        self.finished = 0
        self._behind = behind
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
        if self._behind:
            step_back(threading.get_native_id())
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


def step_back(task: int, by: int = BEHIND) -> None:
    """Let a thread or a process come after those of the server that answer single rows, where both could run.

    Only Linux knows that of a thread.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, task, min(19, os.getpriority(os.PRIO_PROCESS, os.getpid()) + by))
            os.sched_setscheduler(task, os.SCHED_BATCH, os.sched_param(0))


def _settle(future: asyncio.Future[Any], result: object, error: ModelOpsError | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
