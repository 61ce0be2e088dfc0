"""Runs in a container of its own, which has the ports that callers know: passes each connection on to today's server.

A server can so be replaced by another one while callers go on: new connections go to the one whose name is in a file,
those that are open stay where they are until their server has answered them. It reads nothing of what it passes on. Its
text is handed to the interpreter of the container, so it knows nothing but Python's own library.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

PATIENCE_SECONDS = 10.0
"""How long a connection waits for a server that restarts or is not there yet."""
DRAIN_SECONDS = 35.0
AGAIN_SECONDS = 0.05


class Side(asyncio.Protocol):
    """One end of a connection; what arrives goes to the other end, no faster than that takes it."""

    def __init__(self, relay: Relay, port: int, other: Side | None = None) -> None:
        self.relay, self.port, self.other = relay, port, other
        self.transport: asyncio.Transport | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read once there is somebody to pass it on to; a caller gets its server now."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.other is None:
            transport.pause_reading()
            self.relay.begin(self)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Say the end too, and go on with what the other one has left to say."""
        self.ended = True
        far = self.other.transport if self.other is not None else None
        if far is not None and far.can_write_eof() and not far.is_closing():
            far.write_eof()
        return not (self.other is None or self.other.ended)

    def pause_writing(self) -> None:
        """Take no more from the other end than this one gets rid of."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on taking."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """End the other end as this one has."""
        self.relay.open.discard(self)
        far = self.other.transport if self.other is not None else None
        if far is not None:
            if error is None:
                far.close()
            else:
                far.abort()


class Relay:
    """All connections, and the file that says where new ones go."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.open: set[Side] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    def begin(self, caller: Side) -> None:
        """Find a server for a caller."""
        self.open.add(caller)
        task = asyncio.get_running_loop().create_task(self._connect(caller))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, caller: Side) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        assert caller.transport is not None
        while not caller.transport.is_closing():
            try:
                # Read anew at each try: it may be another server by now.
                name = self.file.read_text(encoding="utf-8").strip()
                server = Side(self, caller.port, caller)
                async with asyncio.timeout(1.0):
                    await loop.create_connection(lambda made=server: made, name, caller.port)  # type: ignore[misc]
            except (OSError, TimeoutError):
                if loop.time() > deadline:
                    caller.transport.abort()
                    return
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                caller.other = server
                if caller.transport.is_closing() and server.transport is not None:
                    server.transport.abort()
                else:
                    caller.transport.resume_reading()
                return


async def main(file: Path, ports: list[int]) -> None:
    """Pass connections on until SIGTERM; those that are open then have a while to end."""
    loop, relay, stopping = asyncio.get_running_loop(), Relay(file), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    servers = [
        await loop.create_server(lambda port=port: Side(relay, port), "0.0.0.0", port, backlog=1024)  # type: ignore[misc]  # noqa: S104
        for port in ports
    ]
    await stopping.wait()
    for server in servers:
        server.close()
    deadline = loop.time() + DRAIN_SECONDS
    while relay.open and loop.time() < deadline:
        await asyncio.sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
