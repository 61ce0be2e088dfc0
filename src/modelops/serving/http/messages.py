"""A request and its answer, whole in memory, and the limits within which they are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

__all__ = ["JSON", "RETRY", "Answer", "Coming", "Handler", "Limits", "Request"]

JSON = b"application/json"
"""Clients of the protocol show an error only with exactly this content type."""
RETRY = ((b"retry-after", b"1"),)


class Answer(NamedTuple):
    """An HTTP answer; the content type is JSON unless given."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Request(NamedTuple):
    """A whole request; ``path`` is as it was sent, header names are in lower case; ``keep`` asks for keep-alive."""

    method: bytes
    path: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    keep: bool = True


class Coming(Protocol):
    """An answer that is not there yet."""

    def then(self, tell: Callable[[Answer], object]) -> None:
        """Call a function with the answer when it comes; at once if it is there."""
        ...


Handler = Callable[[Request], "Answer | Coming"]
"""Answers at once, or later where something must be waited for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a head and of a body, seconds until each must be there, and how many connections are held.

    A body that is too large is read and forgotten up to ``drain_bytes``, as a client that still sends would lose the
    answer to a reset. An answer may be waited for ``request_seconds``; ``pending_requests`` may wait for a thread or
    the disk at a time, and their bodies may hold ``pending_bytes`` together; so may bodies that are still on their way.
    """

    head_bytes: int = 32 << 10
    body_bytes: int = 8 << 20
    drain_bytes: int = 64 << 20
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 75.0
    request_seconds: float = 30.0
    pending_requests: int = 1024
    pending_bytes: int = 256 << 20
    connections: int = 8192
    sweep_seconds: float = 1.0
