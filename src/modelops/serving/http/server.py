"""All connections of one handler: what is swept up among them, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from modelops.serving.http.connection import Connection, Shared
from modelops.serving.http.messages import Answer, Handler, Limits

__all__ = ["HttpServer"]


UNUSED_SECONDS = 3.0
"""How much longer than others a connection stays open in a drain that has not asked for anything yet."""


class HttpServer:
    """All connections of one handler; ``broken`` answers for it when it raises what nobody expected."""

    def __init__(self, handle: Handler, broken: Callable[[], Answer], limits: Limits | None = None) -> None:
        self._shared = Shared(handle, broken, limits or Limits())

    def announce(self) -> None:
        """Let each answer from now on be the last of its connection; new ones are still taken."""
        self._shared.draining = True

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection, for ``loop.create_server``."""
        return Connection(self._shared)

    async def sweep(self) -> None:
        """Close connections that take too long, and keep the date of the answers, until cancelled."""
        loop, shared = asyncio.get_running_loop(), self._shared
        while True:
            await asyncio.sleep(min(1.0, shared.limits.sweep_seconds))
            shared.look_at_clock()
            now = loop.time()
            for connection in tuple(shared.connections):
                connection.check(now)

    async def drain(self, linger: float, seconds: float) -> None:
        """Answer what runs and what arrives within ``linger`` seconds, each connection's last answer closing it.

        After that connections without a request close, those that never had one a little later: who has just connected
        is about to ask. After ``seconds`` all of them close.
        """
        self.announce()
        shared = self._shared
        loop = asyncio.get_running_loop()
        started = loop.time()
        while shared.connections and (passed := loop.time() - started) < seconds:
            if passed >= linger:
                for connection in tuple(shared.connections):
                    connection.close_if_idle(unused=passed >= linger + UNUSED_SECONDS)
            await asyncio.sleep(0.01)
        for connection in tuple(shared.connections):
            connection.abort()
