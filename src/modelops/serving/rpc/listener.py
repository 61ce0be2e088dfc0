"""The gRPC server: takes calls on a port of its own and hands them to the application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import grpc.aio
import orjson

from modelops.errors import Exit, ModelOpsError, failure
from modelops.serving.asking.later import Later
from modelops.serving.forms import Form
from modelops.serving.http import Answer, Limits, Request
from modelops.serving.rpc.calls import CALLS, READINESS, REFUSED

__all__ = ["RpcServer"]

Handle = Callable[[Request, Form | None], Answer | Later]
Refuse = Callable[[ModelOpsError, Request], Answer]
Context = Any
"""A ``grpc.aio.ServicerContext``; the library carries no types."""

_CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    499: grpc.StatusCode.CANCELLED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""Status by that over REST; every other is INTERNAL."""
_KEYS = ("authorization", "x-api-key")
_MOST_SAID = 2000
"""Characters of a refusal: it travels as a header."""
IDLE_MS = 300_000
"""How long a connection without a call is held."""


class RpcServer:
    """All calls of one application, each asked of it as the same request over REST.

    Within the seconds of ``notice`` that a server takes to go away, every connection is told to leave.
    """

    def __init__(self, handle: Handle, refuse: Refuse, limits: Limits, notice: float) -> None:
        self._handle = handle
        self._refuse = refuse
        self._limits = limits
        self._notice = notice
        self._server: grpc.aio.Server | None = None

    async def listen(self, host: str, port: int) -> None:
        """Take calls from now on; workers that share a port are told apart by the kernel."""
        options = [
            ("grpc.max_receive_message_length", self._limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", self._limits.head_bytes),
            ("grpc.max_connection_idle_ms", IDLE_MS),
            ("grpc.so_reuseport", 1),
        ]
        if self._notice:
            # The library cancels what arrives while it stops, so connections end before that: each is told to leave,
            # and answered to its end, within the time that balancers are given to look away.
            options += [
                ("grpc.max_connection_age_ms", max(int(self._notice * 800), 1)),
                ("grpc.max_connection_age_grace_ms", int(self._limits.request_seconds * 1000)),
            ]
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=self._limits.pending_requests)
        server.add_generic_rpc_handlers(_handlers(self))
        try:
            server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError as error:
            raise failure("port-refused", f"cannot listen on {host}:{port}: {error}", exit=Exit.WORLD) from None
        await server.start()
        self._server = server

    async def stop(self, seconds: float) -> None:
        """Tell every client to go elsewhere, answer what runs for so many seconds, then end it."""
        if self._server is not None:
            await self._server.stop(seconds)

    async def call(self, method: str, body: bytes, context: Context) -> bytes:
        """Answer one call, or abort it with a status that says why."""
        call, (headers, doubled) = CALLS[method], _headers(context)
        request = Request(b"POST", b"", headers, body)
        try:
            if doubled is not None:
                raise failure("bad-request", f"the call has more than one {doubled}")
            verb, path, asked = call.ask(body)
            request = Request(verb, path.encode(), headers, asked)
        except ModelOpsError as error:
            answer: Answer | Later = self._refuse(error, request)
        else:
            answer = self._handle(request, call.form)
        if isinstance(answer, Later):
            answer = await _waited(answer)
        if answer.status == 200 or (answer.status == 503 and method in READINESS):
            return call.tell(answer)
        said = orjson.loads(answer.body)["error"]
        code = _CODES.get(answer.status, grpc.StatusCode.INTERNAL)
        trailing = tuple((name.decode(), value.decode()) for name, value in answer.headers if name == b"retry-after")
        await context.abort(code, said[:_MOST_SAID], trailing)
        raise AssertionError("abort raises")


async def _waited(later: Later) -> Answer:
    """Return an answer when it is there; a caller who gives up takes back what has not begun."""
    try:
        return await later
    except asyncio.CancelledError:
        later.give_up()
        raise


def _handlers(server: RpcServer) -> list[Any]:
    """Return the handlers of each service; a method that none has is UNIMPLEMENTED."""
    methods = {name: grpc.unary_unary_rpc_method_handler(_answering(server, name)) for name in CALLS}
    methods |= {name: grpc.stream_stream_rpc_method_handler(_refusing(said)) for name, said in REFUSED.items()}
    of_service: dict[str, dict[str, Any]] = {}
    for full, handler in methods.items():
        _, service, method = full.split("/")
        of_service.setdefault(service, {})[method] = handler
    return [grpc.method_handlers_generic_handler(service, found) for service, found in of_service.items()]


def _answering(server: RpcServer, method: str) -> Any:
    async def answer(body: bytes, context: Context) -> bytes:
        return await server.call(method, body, context)

    return answer


def _refusing(said: str) -> Any:
    async def refuse(_: Any, context: Context) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, said)

    return refuse


def _headers(context: Context) -> tuple[dict[bytes, bytes], str | None]:
    """Return what counts of a call's metadata as headers, and which of them came twice."""
    headers: dict[bytes, bytes] = {}
    doubled = None
    for name, value in context.invocation_metadata() or ():
        if name in _KEYS:
            doubled = name if name.encode() in headers else doubled
            headers[name.encode()] = value.encode() if isinstance(value, str) else value
    left = context.time_remaining()
    if left is not None:
        headers[b"x-request-timeout-ms"] = b"%d" % min(max(int(left * 1000), 1), 999_999_999)
    return headers, doubled
