"""Waiting for what other threads and processes do: far longer than it takes, so that no busy machine fails a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 180.0
"""Seconds after which something is taken to hang. No behaviour is measured by it."""


def wait_for(asked: Callable[[], Found]) -> Found:
    """Ask again and again until the answer is true, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := asked()):
        assert time.monotonic() < end, f"it did not happen within {PATIENCE:g} seconds"
        time.sleep(0.01)
    return found
