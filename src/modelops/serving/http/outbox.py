"""What leaves a server: answers that are done together leave together."""

from __future__ import annotations

import asyncio
from time import perf_counter

__all__ = ["CLOSE", "FINISH", "Outbox"]

HOLD_SECONDS = 0.002
"""How long a finished answer may wait for those that are being made, to leave with them."""
CLOSE, FINISH = b"close", b"finish"
"""Posted in place of bytes: close the connection, or say no more on it."""


class Outbox:
    """Bytes for all connections of one server, in the order in which they were posted."""

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._since = 0.0

    def post(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, data: bytes) -> None:
        """Send bytes, or close or end after those sent before, when everything that has arrived is handled.

        Answers that leave together wake their readers once, which is a third of the cost of a request under load. None
        waits much longer than ``HOLD_SECONDS`` for those behind it.
        """
        if not self._waiting:
            self._since = perf_counter()
            loop.call_soon(self._flush)
        self._waiting.append((transport, data))
        if perf_counter() - self._since > HOLD_SECONDS:
            self._flush()

    def _flush(self) -> None:
        outbox, self._waiting = self._waiting, []
        for transport, data in outbox:
            if transport.is_closing():
                continue
            if data is CLOSE:
                transport.close()
            elif data is FINISH:
                transport.write_eof()
            else:
                transport.write(data)
