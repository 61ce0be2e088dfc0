"""HTTP/1.1 for small, whole requests: keep-alive, pipelining, limits, time limits and a drain that loses nothing.

Every body is bounded, so a request is handed over whole and answered by one call; a full web server between the socket
and the model costs more than the model (``docs/decisions`` has the numbers).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple, cast

import httptools
import orjson

__all__ = ["JSON", "RETRY", "Answer", "Handler", "HttpServer", "Limits", "Request"]

JSON = b"application/json"
"""Clients of the protocol show an error only with exactly this content type."""
RETRY = ((b"retry-after", b"1"),)

_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
HOLD_SECONDS = 0.002
"""How long a finished answer may wait for those that are being made, to leave with them."""
_CLOSE = b""
_IDLE, _HEAD, _BODY = range(3)


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


Handler = Callable[[Request], "Answer | Coroutine[Any, Any, Answer]"]
"""Answers at once, or by a coroutine where something must be waited for."""


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


class HttpServer:
    """All connections of one handler; ``broken`` answers for it when it raises what nobody expected."""

    def __init__(self, handle: Handler, broken: Callable[[], Answer], limits: Limits | None = None) -> None:
        self.handle = handle
        self.broken = broken
        self.limits = limits or Limits()
        self.draining = False
        self.connections: set[_Connection] = set()
        self.receiving_bytes = 0
        self._outbox: list[tuple[asyncio.Transport, bytes]] = []
        self._since = 0.0

    def post(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, data: bytes) -> None:
        """Send bytes, or close after those sent before, when everything that has arrived is handled.

        Answers that leave together wake their readers once, which is a third of the cost of a request under load. None
        waits much longer than ``HOLD_SECONDS`` for those behind it.
        """
        if not self._outbox:
            self._since = perf_counter()
            loop.call_soon(self._flush)
        self._outbox.append((transport, data))
        if perf_counter() - self._since > HOLD_SECONDS:
            self._flush()

    def _flush(self) -> None:
        outbox, self._outbox = self._outbox, []
        for transport, data in outbox:
            if transport.is_closing():
                continue
            if data is _CLOSE:
                transport.close()
            else:
                transport.write(data)

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection, for ``loop.create_server``."""
        return _Connection(self)

    async def sweep(self) -> None:
        """Close connections that take too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.sweep_seconds)
            now = loop.time()
            for connection in tuple(self.connections):
                connection.check(now)

    async def drain(self, linger: float, seconds: float) -> None:
        """Answer what runs and what arrives within ``linger`` seconds, each connection's last answer closing it.

        After that connections without a request close, and after ``seconds`` all of them.
        """
        self.draining = True
        loop = asyncio.get_running_loop()
        started = loop.time()
        while self.connections and (passed := loop.time() - started) < seconds:
            if passed >= linger:
                for connection in tuple(self.connections):
                    connection.close_if_idle()
            await asyncio.sleep(0.01)
        for connection in tuple(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One client; answers go out in the order of the requests."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._limits = server.limits
        self._handle = server.handle
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request | Answer] = deque()
        self._running: Request | None = None
        self._closing = False
        self._phase = _IDLE
        self._fed = 0
        self._held = 0
        self._ended = False
        self._count = 0
        self._mark = (0, _IDLE, False)
        self._since = asyncio.get_running_loop().time()
        self._blocked = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._server.connections.add(self)
        if len(self._server.connections) > self._limits.connections:
            self._refuse(503, "the server has too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a request that runs is finished and counted all the same."""
        self._closing = True
        self._hold(0)
        self._server.connections.discard(self)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Parse what came; complete requests are answered on the way."""
        if self._closing:
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserCallbackError as error:
            self._report(error.__context__ or error)
        except httptools.HttpParserError:
            self._refuse(400, "this is not an HTTP/1.1 request")
        if self._phase == _BODY:
            self._hold(len(self._body))
        if self._fed > self._limits.head_bytes:
            self._check_size()

    def _hold(self, size: int) -> None:
        """Account for a body that is still on its way; all of them together have a limit."""
        server = self._server
        server.receiving_bytes += size - self._held
        self._held = size
        if size and server.receiving_bytes > self._limits.pending_bytes:
            self._refuse(503, "the server receives too much at once")

    def eof_received(self) -> bool:
        """Answer a client that says no more but still listens, then close."""
        self._ended = True
        if self._running is None and not self._waiting:
            self._closing = True
            self._server.post(self._loop, self._transport, _CLOSE)
        return True

    def _check_size(self) -> None:
        limits = self._limits
        if self._phase == _HEAD:
            self._refuse(431, f"the head of the request is larger than {limits.head_bytes} bytes")
        elif self._fed > limits.drain_bytes:
            self._refuse(413, self._too_large())

    def pause_writing(self) -> None:
        """Read no more from a client that does not read."""
        self._blocked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._blocked = False
        if not self._waiting:
            self._transport.resume_reading()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._phase = _HEAD
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; fields that follow the body are ignored."""
        if self._phase == _HEAD:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Tell a client that waits whether to send its body."""
        self._phase = _BODY
        expected = self._headers.get(b"expect")
        if expected is not None and expected.lower() == b"100-continue":
            if int(self._headers.get(b"content-length", b"0")) > self._limits.body_bytes:
                self._refuse(413, self._too_large())
            elif self._running is None:
                self._server.post(self._loop, self._transport, b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, or only count it when the body is too large."""
        self._size += len(body)
        if self._size <= self._limits.body_bytes:
            if not self._body:
                self._body = body
            elif isinstance(self._body, bytearray):
                self._body += body
            else:
                self._body = bytearray(self._body + body)
        elif self._size > self._limits.drain_bytes:
            self._refuse(413, self._too_large())
        else:
            self._body = b""

    def on_message_complete(self) -> None:
        """Answer the request, or let it wait for the one before it."""
        self._phase = _IDLE
        self._fed = 0
        if self._held:
            self._hold(0)
        self._count += 1
        if self._closing:
            return
        if self._size > self._limits.body_bytes:
            self._refuse(413, self._too_large())
            return
        body = self._body if isinstance(self._body, bytes) else bytes(self._body)
        keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        request = Request(self._parser.get_method(), self._url, self._headers, body, keep)
        if self._running is not None or self._waiting:
            self._waiting.append(request)
            self._transport.pause_reading()
        else:
            self._serve(request)

    # Answers.

    def _serve(self, request: Request) -> None:
        """Ask the handler; whatever happens inside, the client gets an answer and the event loop the traceback."""
        result: Answer | Coroutine[Any, Any, Answer] | None = None
        try:
            result = self._handle(request)
        finally:
            if result is None:
                self._send(self._server.broken(), None)
            elif isinstance(result, Answer):
                self._send(result, request)
            else:
                task = self._loop.create_task(result)
                self._running = request
                task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Answer]) -> None:
        """Send the answer that was waited for, then go on with the requests behind it."""
        request, self._running = self._running, None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._report(error)
        if error is not None or task.cancelled():
            self._send(self._server.broken(), None)
            return
        self._send(task.result(), request)
        while self._waiting and self._running is None:
            item = self._waiting.popleft()
            if isinstance(item, Answer):
                self._send(item, None)
            else:
                self._serve(item)
        if not self._waiting and not self._blocked and not self._transport.is_closing():
            self._transport.resume_reading()

    def _send(self, answer: Answer, request: Request | None) -> None:
        """Write an answer; without a request it closes the connection, and so does the last one of a drain."""
        if self._transport.is_closing():
            return
        last = (self._server.draining or self._ended) and not self._waiting
        keep = request is not None and request.keep and not last
        without_body = request is not None and request.method == b"HEAD"
        plain = answer.status == 200 and answer.content_type is JSON and not answer.headers and not without_body
        if plain and keep and request is not None and b"connection" not in request.headers:
            self._server.post(self._loop, self._transport, _OK % (len(answer.body), answer.body))
            return
        head = [b"HTTP/1.1 %d %b" % (answer.status, HTTPStatus(answer.status).phrase.encode())]
        head.append(b"content-type: " + answer.content_type)
        head.append(b"content-length: %d" % len(answer.body))
        head.extend(b"%b: %b" % header for header in answer.headers)
        head.append(b"connection: keep-alive" if keep else b"connection: close")
        post = self._server.post
        post(self._loop, self._transport, b"\r\n".join((*head, b"", b"" if without_body else answer.body)))
        if not keep:
            self._closing = True
            self._waiting.clear()
            post(self._loop, self._transport, _CLOSE)

    def _refuse(self, status: int, message: str) -> None:
        """Answer with an error after the requests before it, and close."""
        if self._closing:
            return
        self._closing = True
        answer = Answer(status, orjson.dumps({"error": message}), JSON, RETRY if status == 503 else ())
        if self._running is None and not self._waiting:
            self._send(answer, None)
        else:
            self._waiting.append(answer)

    def _too_large(self) -> str:
        return f"the body is larger than {self._limits.body_bytes} bytes"

    def _report(self, error: BaseException) -> None:
        self._loop.call_exception_handler({"message": "a request failed", "exception": error, "protocol": self})

    # What the server calls.

    def check(self, now: float) -> None:
        """Close when a head, a body, the next request or the client's reading takes too long."""
        mark = self._count, self._phase, self._blocked
        if mark != self._mark or self._running is not None:
            self._mark, self._since = mark, now
            return
        limits = self._limits
        allowed = {_IDLE: limits.idle_seconds, _HEAD: limits.head_seconds, _BODY: limits.body_seconds}[self._phase]
        if now - self._since < allowed:
            return
        if self._blocked or self._transport.is_closing():
            # It does not read what it was sent, which a plain close would wait for.
            self._transport.abort()
        elif self._phase == _IDLE:
            self._transport.close()
        else:
            part = "head" if self._phase == _HEAD else "body"
            self._refuse(408, f"the {part} of the request took longer than {allowed:g} seconds")

    def close_if_idle(self) -> None:
        """Close unless a request is being received or answered."""
        if self._phase == _IDLE and self._running is None and not self._waiting:
            self._closing = True
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()
