"""Runs the application: binds the port, watches the routing table, drains on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelops.clock import Clock
from modelops.errors import Exit, failure
from modelops.predictions import PredictionLog
from modelops.serving.app import App
from modelops.serving.metrics import ServerMetrics
from modelops.serving.table import Loader
from modelops.serving.watch import Watcher
from modelops.stores import Store

__all__ = ["Service", "serve"]

DRAIN_SECONDS = 30


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, which would end the process before the log is closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the service."""
        yield


class _Http(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with the error of the inference protocol for what is not HTTP at all."""

    def send_400_response(self, msg: str) -> None:
        """Answer in JSON and close."""
        body = orjson.dumps({"error": msg})
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        self.transport.write(head + b"connection: close\r\n\r\n" + body)
        self.transport.close()


class Service:
    """One server of one environment; ``port`` is known as soon as the object exists, also when 0 was asked for."""

    def __init__(self, table: Path, store: Store, log: Path, *, host: str, port: int, clock: Clock) -> None:
        with contextlib.ExitStack() as opened:
            self._socket = opened.enter_context(_bind(host, port))
            self._log = opened.enter_context(PredictionLog(log))
            opened.pop_all()
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        metrics = ServerMetrics(self._log)
        self._watcher = Watcher(table, Loader(store, metrics), metrics)
        self._app = App(self._watcher, self._log, metrics, clock)
        self._server = _Server(_config(self._app))

    def run(self, started: Callable[[], None] | None = None) -> None:
        """Serve until ``stop`` or, on the main thread, SIGTERM or SIGINT; running requests are answered first."""
        with contextlib.closing(self._log), self._socket, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(started))

    def stop(self) -> None:
        """Stop accepting, answer what runs, and return from ``run``."""
        self._app.draining = True
        self._server.should_exit = True

    async def _serve(self, started: Callable[[], None] | None) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
        watching = asyncio.create_task(self._watcher.run())
        if started is not None:
            started()
        await self._server.serve(sockets=[self._socket])
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def serve(table: Path, store: Store, log: Path, host: str, port: int, clock: Clock) -> None:
    """Serve a routing table until the process is told to end."""
    Service(table, store, log, host=host, port=port, clock=clock).run()


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app, http=_Http, loop="none", ws="none", lifespan="off", interface="asgi3", log_config=None,
        access_log=False, proxy_headers=False, server_header=False, date_header=False, timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )  # fmt: skip


def _bind(host: str, port: int) -> socket.socket:
    """Bind before anything is loaded, so that a port that is taken is known at once."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise failure(
            "bad-host", f"{host!r} is not an address of this machine: {error.strerror}", exit=Exit.USAGE
        ) from None
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(2048)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            hint = "stop what listens there or choose another --port"
            raise failure("port-taken", f"port {port} of {host} is taken", exit=Exit.WORLD, hint=hint) from None
        message = f"cannot listen on {host}:{port}: {error.strerror}"
        raise failure("port-refused", message, exit=Exit.WORLD) from None
    bound.setblocking(False)
    return bound
