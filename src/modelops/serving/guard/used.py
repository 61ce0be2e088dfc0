"""What a key has used: in this process alone, or counted by all worker processes together in one small file."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Alone", "Book", "Together", "Used"]

_LAYOUT = struct.Struct("<ddqd")


@dataclass(slots=True)
class Used:
    """The tokens that are left of a rate and when they were filled, the rows of a budget and when its window ends.

    ``filled`` is 0 before the first request.
    """

    tokens: float = 0.0
    filled: float = 0.0
    rows: int = 0
    window_ends: float = 0.0


class Book(Protocol):
    """Gives one at a time what was used, to look at and to change."""

    def __enter__(self) -> Used:
        """Wait for one's turn and return what was used by now."""
        ...

    def __exit__(self, *_: object) -> None:
        """Keep what was changed, and let others have their turn."""
        ...


class Alone:
    """The book of a process that has no others beside it."""

    def __init__(self) -> None:
        self._used = Used()

    def __enter__(self) -> Used:
        return self._used

    def __exit__(self, *_: object) -> None:
        return None


class Together:
    """The book that all workers have in common; the kernel takes the turn of one that dies away from it."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # An existing file keeps what it holds.
        os.ftruncate(self._descriptor, _LAYOUT.size)
        self._memory = mmap.mmap(self._descriptor, _LAYOUT.size)
        self._used = Used()

    def __enter__(self) -> Used:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._used = Used(*_LAYOUT.unpack_from(self._memory))
        return self._used

    def __exit__(self, *_: object) -> None:
        _LAYOUT.pack_into(self._memory, 0, *astuple(self._used))
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back."""
        self._memory.close()
        os.close(self._descriptor)
