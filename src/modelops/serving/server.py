"""Runs the application: binds the port, watches the routing table, drains on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import gc
import ipaddress
import resource
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from modelops.clock import Clock
from modelops.errors import Exit, failure
from modelops.predictions import PredictionLog
from modelops.serving.app import App
from modelops.serving.http import HttpServer, Limits
from modelops.serving.metrics import ServerMetrics
from modelops.serving.offers.crossing import crossing
from modelops.serving.table import Loader
from modelops.serving.trial import TrialLimits
from modelops.serving.watch import Watcher
from modelops.serving.workers import DRAIN_SECONDS, Peers
from modelops.stores import Store

if TYPE_CHECKING:
    from modelops.serving.rpc.listener import RpcServer

__all__ = ["Service", "reserved"]

LINGER_SECONDS = 0.5
"""How long a draining server waits for a last request on each connection, to answer it and say that it closes."""
SWITCH_SECONDS = 0.0002
"""How long a thread that is at work on a large request may keep the event loop from going on."""
FULL_COLLECTIONS = 1000
"""Of so many collections of what is not quite new one is of everything."""
SETTLE_SECONDS = 0.1
"""How long connections that had begun before the listening socket took no more have to come through."""
MOST_SETTLE_SECONDS = 5.0
LOOPBACK = "127.0.0.1"
_BACKLOG = 2048


class Service:
    """One server of one environment; ``port`` is known as soon as the object exists, also when 0 was asked for."""

    def __init__(
        self,
        table: Path,
        store: Store,
        log: Path,
        *,
        host: str,
        port: int,
        clock: Clock,
        limits: Limits | None = None,
        trial: TrialLimits | None = None,
        peers: Peers | None = None,
        admin_port: int | None = None,
        grpc_port: int | None = None,
        origins: Sequence[str] = (),
        notice_seconds: float = 0.0,
        log_name: str = "",
    ) -> None:
        self._admin: socket.socket | None = None
        self._grpc: socket.socket | None = None
        with contextlib.ExitStack() as opened:
            self._socket = opened.enter_context(_bind(host, port, shared=peers is not None))
            if admin_port is not None:
                self._admin = opened.enter_context(_bind(LOOPBACK, admin_port, shared=peers is not None))
            if grpc_port is not None:
                # It holds the port for gRPC, which shares it, and takes no connection itself.
                with _bind(host, grpc_port, shared=peers is not None) as probe:
                    grpc_port = probe.getsockname()[1]
                self._grpc = opened.enter_context(_bind(host, grpc_port, shared=True))
            if peers is None:
                for bound in filter(None, (self._socket, self._admin)):
                    bound.listen(_BACKLOG)
            self._log = opened.enter_context(PredictionLog(log, name=log_name))
            opened.pop_all()
        self._peers = peers
        self._notice = notice_seconds
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self.admin_port: int | None = self._admin.getsockname()[1] if self._admin is not None else None
        self.grpc_port: int | None = self._grpc.getsockname()[1] if self._grpc is not None else None
        metrics = ServerMetrics(self._log)
        self._watcher = Watcher(
            table, Loader(store, metrics, trial or TrialLimits(), peers.folder if peers else None), metrics
        )
        limits = _within_open_files(limits or Limits())
        self._app = App(self._watcher, self._log, metrics, clock, limits, peers)
        alone = ipaddress.ip_address(self._socket.getsockname()[0].partition("%")[0]).is_loopback
        answer = crossing(
            self._app, self._app.refused, origins, hidden=lambda: alone and self._watcher.table.guard is None
        )
        self._http = HttpServer(answer, self._app.broken, limits)
        self._admin_http = HttpServer(self._app.admin, self._app.broken, limits)
        self._limits = limits
        self._stopping = asyncio.Event()
        self._orphan = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, started: Callable[[], None] | None = None) -> None:
        """Serve until ``stop`` or, on the main thread, SIGTERM or SIGINT; running requests are answered first.

        Answered rows for which a full disk had no room by then are ``log-rows-lost``.
        """
        with contextlib.closing(self._log), self._socket, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(started))
        if self._log.lost:
            said = f"{self._log.lost} rows that were answered are not in the log: {self._log.stats.error}"
            raise failure(
                "log-rows-lost", said, exit=Exit.WORLD, hint="`log: acknowledged` answers no row before it is kept"
            )

    def stop(self) -> None:
        """Stop accepting, answer what runs, and return from ``run``; for any thread."""
        self._app.draining = True
        if self._loop is None:
            self._stopping.set()
        else:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has stopped
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def _first_table(self) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._watcher.attempted, self._stopping)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _orphaned(self) -> None:
        """Drain when the end of the standard input says that the process which started this worker has died."""
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self._orphan = True
        self.stop()

    async def _take_calls(self) -> RpcServer | None:
        """Answer over gRPC as well, where that is asked for; only then it is loaded."""
        if self.grpc_port is None:
            return None
        from modelops.serving.rpc.listener import RpcServer

        server = RpcServer(self._app, partial(self._app.refused, ""), self._limits, self._notice)
        await server.listen(self.host, self.grpc_port)
        return server

    async def _serve(self, started: Callable[[], None] | None) -> None:
        self._loop = loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            # A process of its own: the settings below are for all of it.
            sys.setswitchinterval(SWITCH_SECONDS)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
        goes_on = (self._watcher.run(), self._http.sweep(), self._admin_http.sweep())
        beside = [asyncio.create_task(work) for work in goes_on]
        if self._peers is not None:
            loop.add_reader(sys.stdin.fileno(), self._orphaned)
            # The others answer meanwhile; a request that the kernel gave to this one would only be refused.
            await self._first_table()
        listener = await loop.create_server(self._http.protocol, sock=self._socket, backlog=_BACKLOG)
        listeners = [listener]
        if self._admin is not None:
            listeners.append(await loop.create_server(self._admin_http.protocol, sock=self._admin, backlog=_BACKLOG))
        calls = await self._take_calls()
        if self._peers is not None:
            listeners.append(await self._peers.listen(self._app.view))
        if started is not None:
            started()
        if threading.current_thread() is threading.main_thread():
            # What was imported stays: looking through it again and again is for nothing.
            gc.collect()
            gc.freeze()
            # Nor does looking through the rows of a large request, which takes milliseconds, find anything.
            gc.set_threshold(*gc.get_threshold()[:2], FULL_COLLECTIONS)
        await self._stopping.wait()
        # Readiness is false from now on, and each answer closes its connection; balancers need time to look.
        self._http.announce()
        await asyncio.sleep(self._notice)
        # What is in the queue of the listening socket was accepted by the kernel in our name: take it before closing.
        _refuse_new(self._socket)
        await _settled(self._socket)
        listener.close()
        ends = [self._http.drain(LINGER_SECONDS, DRAIN_SECONDS)] + ([calls.stop(DRAIN_SECONDS)] if calls else [])
        await asyncio.gather(*ends)
        for each in listeners:
            each.close()
        if self._grpc is not None:
            self._grpc.close()
        await self._admin_http.drain(0.0, LINGER_SECONDS)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        self._app.close()
        if self._peers is not None and self._orphan:
            self._peers.clear_away()


# Classic BPF over the TCP header: a packet that would begin a connection is dropped, every other one passes.
_NO_SYN = ((0x30, 0, 0, 13), (0x45, 1, 0, 0x02), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0))
_SO_ATTACH_FILTER = 26


def _refuse_new(listening: socket.socket) -> None:
    """Have the kernel begin no connection more, while those that it began are still accepted.

    Closing the socket instead would reset them. Who is turned away tries again and finds the port closed, or the next
    server there. Where the system cannot do it, a connection that begins in this very moment may be reset.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in _NO_SYN))
    with contextlib.suppress(OSError):
        address = struct.pack("HP", len(_NO_SYN), ctypes.addressof(program))
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, address)


async def _settled(listening: socket.socket) -> None:
    """Wait until every connection that the kernel has begun for a socket is accepted."""
    await asyncio.sleep(SETTLE_SECONDS)
    deadline = asyncio.get_running_loop().time() + MOST_SETTLE_SECONDS
    while _queued(listening) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(SETTLE_SECONDS / 5)


def _queued(listening: socket.socket) -> int:
    """Return how many connections wait to be accepted, 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    try:
        # Of a listening socket, tcpi_unacked is the length of its queue.
        return int(struct.unpack_from("=I", listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0])
    except (OSError, struct.error):
        return 0


@contextlib.contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """Hold a port for the workers that will share it; a port that another program has is an error."""
    with _bind(host, port, shared=False) as probe:
        port = probe.getsockname()[1]
    with _bind(host, port, shared=True):
        yield port


def _within_open_files(limits: Limits) -> Limits:
    """Allow this process as many open files as it may have, and no more connections than leave some for the rest."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return replace(limits, connections=min(limits.connections, max(most - 256, most // 2)))
    return limits


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
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
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            hint = "stop what listens there or choose another --port"
            raise failure("port-taken", f"port {port} of {host} is taken", exit=Exit.WORLD, hint=hint) from None
        message = f"cannot listen on {host}:{port}: {error.strerror}"
        raise failure("port-refused", message, exit=Exit.WORLD) from None
    bound.setblocking(False)
    return bound
