"""One connection: what the parser makes of its bytes, and the answers in the order of the requests."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from types import TracebackType
from typing import cast

import httptools
import orjson

from modelops.serving.http.head import (
    HEAD_END,
    HEXADECIMAL,
    SINGLE,
    Heads,
    Known,
    awaits_word,
    declared,
    fault,
    is_method,
    size_of,
    split_target,
    without_offer,
)
from modelops.serving.http.messages import JSON, RETRY, Answer, Coming, Handler, Limits, Request
from modelops.serving.http.outbox import CLOSE, FINISH, Outbox

__all__ = ["Connection", "Shared"]

_OK = b"HTTP/1.1 200 OK\r\n%b\r\ncontent-type: application/json\r\ncontent-length: "
LINGER_SECONDS = 2.0
"""How long is read and forgotten what a refused client still sends: a close at once would take its answer away."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_IDLE, _HEAD, _BODY = range(3)
CHUNK_BYTES = 24
"""What a chunk may cost beside its data: its size, and the ends of two lines. What extensions add counts as a head."""


@dataclass(slots=True)
class Shared:
    """What the connections of one server have in common; ``receiving_bytes`` are bodies that are still on their way."""

    handle: Handler
    broken: Callable[[], Answer]
    limits: Limits
    draining: bool = False
    receiving_bytes: int = 0
    connections: set[Connection] = field(default_factory=set)
    outbox: Outbox = field(default_factory=Outbox)
    heads: Heads = field(default_factory=Heads)
    date: bytes = b""
    ok: bytes = b""

    def __post_init__(self) -> None:
        self.look_at_clock()

    def look_at_clock(self) -> None:
        """Write the time of day as a field, and with it how most answers begin; called once a second, not for each."""
        self.date = b"date: " + formatdate(time.time(), usegmt=True).encode()
        self.ok = _OK % self.date


class Connection(asyncio.Protocol):
    """One client; answers go out in the order of the requests."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._post = shared.outbox.post
        self._limits = shared.limits
        self._handle = shared.handle
        self._heads = shared.heads
        self._parser = self._fresh()
        self._waiting: deque[Request | Answer] = deque()
        self._running: Request | None = None
        self._closing = False
        self._lingering = False
        self._phase = _IDLE
        self._fed = 0
        self._more = 0
        self._chunks = self._behind = 0
        self._within = False
        self._line = b""
        self._keep = True
        self._host = b"?"
        self._awaits_word = False
        self._headers: dict[bytes, bytes] = {}
        self._framed = b""
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
        self._shared.connections.add(self)
        if len(self._shared.connections) > self._limits.connections:
            self._refuse(503, "the server has too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a request that runs is finished and counted all the same."""
        self._closing = True
        self._hold(0)
        self._shared.connections.discard(self)
        self._waiting.clear()
        # The two know each other, and would stay in memory until somebody looks for such.
        del self._parser

    def data_received(self, data: bytes) -> None:
        """Parse what came; complete requests are answered on the way."""
        idle = self._phase == _IDLE and self._running is None and not self._waiting and not self._closing
        if idle:
            end = data.find(HEAD_END) + len(HEAD_END)
            known = self._heads.get(data[:end])
            if known is not None and len(data) - end == known.length:
                self._count += 1
                self._fed = 0
                with self:
                    self._serve(Request(known.method, known.path, known.headers, data[end:]))
                return
        before = self._count
        self._parse(data)
        if idle and self._count == before + 1 and self._phase == _IDLE and self._keep and not self._closing:
            self._heads.keep(data, Known(self._parser.get_method(), self._url, self._headers, self._size))

    def __enter__(self) -> None:
        """Begin something that may fail on what nobody expected."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Report a failure and close after the answer, as where a callback of the parser fails."""
        if not isinstance(error, Exception):
            return False
        self._report(error)
        self._conclude(self._shared.broken())
        return True

    def _fresh(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # It knows the minor versions that there are; to every other one of HTTP/1 the answer is that to 1.1.
        parser.set_dangerous_leniencies(lenient_version=True)
        return parser

    def _parse(self, data: bytes) -> None:
        self._fed += len(data)
        count = self._count
        if self._closing:
            if self._lingering and self._fed > self._limits.body_bytes:
                self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._pass_over(memoryview(data)[offer.args[0] :])
        except httptools.HttpParserError as error:
            self._failed(data if self._count == count else b"", error)
        if self._phase == _BODY:
            self._hold(len(self._body))
            if b"transfer-encoding" in self._headers and not self._closing:
                self._check_chunk(data)
        if self._fed > self._limits.head_bytes:
            self._check_size()

    def _pass_over(self, rest: memoryview) -> None:
        """Go on as HTTP/1.1 where a client only offers another protocol: the parser would leave the body unread."""
        data: bytes | memoryview = rest
        while not self._closing:
            headers, framed, self._framed = self._headers, self._framed, b""
            self._parser = self._fresh()
            try:
                if framed:
                    self._parser.feed_data(framed)
                    self._headers = headers
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
            except httptools.HttpParserError as error:
                self._failed(data, error)

    def _failed(self, data: bytes | memoryview, error: httptools.HttpParserError) -> None:
        """Answer what cannot be read, or what a callback of the parser failed on, and close."""
        if isinstance(error, httptools.HttpParserCallbackError):
            self._report(error.__context__ or error)
            self._conclude(self._shared.broken())
        elif isinstance(error, httptools.HttpParserInvalidMethodError) and is_method(bytes(data[:32])):
            self._refuse(501, "the method of the request is not known here")
        else:
            known = bytes(data[:14]) == b"PRI * HTTP/2.0"
            self._refuse(400, "HTTP/2 is not spoken here, HTTP/1.1 is" if known else "this is not an HTTP/1.1 request")

    def _hold(self, size: int) -> None:
        """Account for a body that is still on its way; all of them together have a limit."""
        shared = self._shared
        shared.receiving_bytes += size - self._held
        self._held = size
        if size and shared.receiving_bytes > self._limits.pending_bytes:
            self._refuse(503, "the server receives too much at once")

    def _check_chunk(self, data: bytes) -> None:
        """Refuse a chunk that announces more than is read, which the parser knows and does not tell."""
        most = self._limits.head_bytes
        if not self._within:
            self._line = (self._line + data)[-most:]
        elif (end := len(data) - self._behind) > 0:
            lines = (self._line + data[max(0, end - most) : end]).rsplit(b"\r\n", 2)
            # Behind the last chunk come fields: they have a colon, or are not here to their end.
            size = lines[-2].partition(b";")[0].strip() if len(lines) > 1 and not lines[-1] else b""
            if HEXADECIMAL.fullmatch(size) and int(size, 16) > self._limits.drain_bytes:
                self._refuse(413, self._too_large())
            self._line = b""

    def eof_received(self) -> bool:
        """Answer a client that says no more but still listens, then close."""
        self._ended = True
        if self._lingering:
            self._transport.close()
        elif self._running is None and not self._waiting:
            self._closing = True
            self._post(self._loop, self._transport, CLOSE)
        return True

    def _check_size(self) -> None:
        limits = self._limits
        if self._phase != _BODY:
            self._refuse_head()
        elif self._fed > limits.drain_bytes:
            self._refuse(413, self._too_large())
        elif self._fed - self._size > 2 * limits.head_bytes + CHUNK_BYTES * self._chunks:
            self._refuse(413, "the body has more framing than is read")

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
        self._headers = {}
        self._body: bytes | bytearray = b""
        self._size = self._more = self._chunks = 0
        self._within, self._line = False, b""

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; fields that follow the body are ignored."""
        headers, name = self._headers, name.lower()
        if name in headers or self._phase != _HEAD:
            self._take_more(name, value)
        else:
            headers[name] = value

    def _take_more(self, name: bytes, value: bytes) -> None:
        """Take a header that is there already, or one behind the body, whose size counts as that of the head does."""
        self._more += len(name) + len(value) + 4
        if self._more > self._limits.head_bytes:
            self._refuse_head()
        elif self._phase == _HEAD:
            if name in SINGLE:
                self._refuse(400, f"the request has more than one {name.decode()}")
            else:
                self._headers[name] += b", " + value.rstrip(b" \t")

    def on_headers_complete(self) -> None:
        """Refuse what may not be answered, and tell a client that waits whether to send its body."""
        self._phase = _BODY
        headers, limits = self._headers, self._limits
        if self._url[:1] != b"/":
            self._take_apart()
        if self._fed > limits.head_bytes and self._more + size_of(self._url, headers) > limits.head_bytes:
            self._refuse_head()
        self._keep = self._parser.should_keep_alive()
        # The host is mostly that of the request before.
        version = self._parser.get_http_version()
        plain = self._keep and version == "1.1" and headers.get(b"host") == self._host
        awaits = False
        if not plain or b"transfer-encoding" in headers or b"expect" in headers:
            if (wrong := fault(version, headers)) is not None:
                self._refuse(*wrong)
            self._host = headers.get(b"host", b"?")
            awaits = awaits_word(version, headers)
        length = headers.get(b"content-length", b"")
        if awaits or len(length) > 7:
            size = declared(length or b"0")
            if size is None:
                self._refuse(400, "the Content-Length is not a number")
            elif size > (limits.body_bytes if awaits else limits.drain_bytes):
                self._refuse(413, self._too_large())
            self._awaits_word = awaits
            self._give_word()

    def _take_apart(self) -> None:
        """Go on with the path of a target that is a whole URL, whose host counts, or refuse what is no target."""
        host, path, wrong = split_target(self._parser.get_method(), self._url)
        if wrong is not None:
            self._refuse(*wrong)
        elif host:
            self._url = path
            if b"host" in self._headers:
                self._headers[b"host"] = host

    def _give_word(self) -> None:
        """Tell a client that waits for it to send its body, once all requests before are answered."""
        if self._awaits_word and self._running is None and not self._waiting and not self._closing:
            self._awaits_word = False
            self._post(self._loop, self._transport, _CONTINUE)

    def on_chunk_header(self) -> None:
        """Note that the size of a chunk is read, or that there are no more."""
        self._chunks += 1
        self._behind, self._within = 0, True

    def on_chunk_complete(self) -> None:
        """Note that the next line is the size of a chunk."""
        self._within = False

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, or only count it when the body is too large."""
        self._size += len(body)
        self._behind += len(body)
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
        method, keep = self._parser.get_method(), self._keep
        if self._parser.should_upgrade():
            self._framed = without_offer(method, self._url, self._parser.get_http_version(), self._headers, keep)
            if self._framed:
                self._phase = _BODY
                return
        self._awaits_word = False
        if self._size > self._limits.body_bytes:
            self._refuse(413, self._too_large())
            return
        body = self._body if isinstance(self._body, bytes) else bytes(self._body)
        self._body = b""
        request = Request(method, self._url, self._headers, body, keep and method != b"CONNECT")
        if self._running is not None or self._waiting:
            self._waiting.append(request)
            self._transport.pause_reading()
        else:
            self._serve(request)

    # Answers.

    def _serve(self, request: Request) -> None:
        """Ask the handler; whatever happens inside, the client gets an answer and the event loop the traceback."""
        result: Answer | Coming | None = None
        try:
            result = self._handle(request)
        finally:
            if result is None:
                self._send(self._shared.broken(), None)
            elif isinstance(result, Answer):
                self._send(result, request)
            else:
                self._running = request
                result.then(self._came)

    def _came(self, answer: Answer) -> None:
        """Send the answer that was waited for, then go on with the requests behind it."""
        request, self._running = self._running, None
        self._send(answer, request)
        while self._waiting and self._running is None:
            item = self._waiting.popleft()
            if isinstance(item, Answer):
                self._send(item, None)
            else:
                self._serve(item)
        if not self._waiting and not self._blocked and not self._transport.is_closing():
            self._transport.resume_reading()
            self._give_word()

    def _send(self, answer: Answer, request: Request | None) -> None:
        """Write an answer; without a request it closes the connection, and so does the last one of a drain."""
        if self._transport.is_closing():
            return
        last = (self._shared.draining or self._ended) and not self._waiting
        keep = request is not None and request.keep and not last
        without_body = request is not None and request.method == b"HEAD"
        plain = answer.status == 200 and answer.content_type is JSON and not answer.headers and not without_body
        if plain and keep and request is not None and b"connection" not in request.headers:
            data = b"%b%d\r\n\r\n%b" % (self._shared.ok, len(answer.body), answer.body)
            self._post(self._loop, self._transport, data)
            return
        head = [b"HTTP/1.1 %d %b" % (answer.status, HTTPStatus(answer.status).phrase.encode())]
        head.append(self._shared.date)
        head.append(b"content-type: " + answer.content_type)
        head.append(b"content-length: %d" % len(answer.body))
        head.extend(b"%b: %b" % header for header in answer.headers)
        head.append(b"connection: keep-alive" if keep else b"connection: close")
        self._post(self._loop, self._transport, b"\r\n".join((*head, b"", b"" if without_body else answer.body)))
        if not keep:
            self._closing = True
            self._waiting.clear()
            self._lingering = self._phase != _IDLE and not self._ended
            self._post(self._loop, self._transport, FINISH if self._lingering else CLOSE)

    def _refuse(self, status: int, message: str) -> None:
        """Answer with an error after the requests before it, and close."""
        self._conclude(Answer(status, orjson.dumps({"error": message}), JSON, RETRY if status == 503 else ()))

    def _refuse_head(self) -> None:
        most = self._limits.head_bytes
        status, what = (414, "target") if len(self._url) > most else (431, "head")
        self._refuse(status, f"the {what} of the request is larger than {most} bytes")

    def _conclude(self, answer: Answer) -> None:
        """Give the last answer, after those to the requests before it."""
        if self._closing:
            return
        self._closing = True
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
        if self._lingering:
            allowed = min(allowed, LINGER_SECONDS)
        if now - self._since < allowed:
            return
        if self._blocked or self._lingering or self._transport.is_closing():
            # It does not read what it was sent, which a plain close would wait for.
            self._transport.abort()
        elif self._phase == _IDLE:
            self._transport.close()
        else:
            part = "head" if self._phase == _HEAD else "body"
            self._refuse(408, f"the {part} of the request took longer than {allowed:g} seconds")

    def close_if_idle(self, *, unused: bool) -> None:
        """Close unless a request is being received or answered; one that never had any only where that is meant too."""
        if self._count == 0 and not unused:
            return
        if self._lingering or (self._phase == _IDLE and self._running is None and not self._waiting):
            self._closing = True
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()
