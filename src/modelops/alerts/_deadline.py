"""Work that has to be over in time, whatever the other side, or the name service, does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from http.client import HTTPException
from typing import TypeVar

from modelops.errors import ModelOpsError

__all__ = ["within"]

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T], give_up: Callable[[], None] = lambda: None) -> T:
    """Return what work returns, or raise what it raises; ``TimeoutError`` if it takes too long.

    A name that is not found, or an answer that comes letter by letter, has no timeout of its own: the work goes on in
    a thread that nobody waits for, after ``give_up``, which may end it.
    """
    done: queue.Queue[tuple[T] | BaseException] = queue.Queue()

    def run() -> None:
        try:
            done.put((work(),))
        except (OSError, HTTPException, ValueError, ModelOpsError) as error:
            done.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        found = done.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        give_up()
        raise TimeoutError from None
    if isinstance(found, BaseException):
        raise found
    return found[0]
