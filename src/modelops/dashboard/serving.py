"""Pages over HTTP: read-only, by the names that it is called by, for everybody here or for the keys of a policy."""

from __future__ import annotations

import base64
import binascii
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from modelops.dashboard.live import MOST, PATH, asked_for, changes
from modelops.dashboard.look import FRESH, Look
from modelops.dashboard.pages import LIVE, STATIC, Page, Pages, static
from modelops.dashboard.telling import about_all
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.serving.guard.keys import Guard, guard
from modelops.serving.guard.visible import ALL, Sight
from modelops.spec.layout import ACCESS

__all__ = ["LOCAL", "Door", "application", "is_local", "listen", "serve"]

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
"""The names by which a browser of this machine calls."""
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; connect-src 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
NOBODY = Sight(frozenset())
"""What somebody sees who has not come in."""
_HTML = "text/html; charset=utf-8"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def is_local(host: str) -> bool:
    """Tell whether an address is reached from this machine alone."""
    return host in LOCAL


class Door:
    """Who may come in: everybody where no access policy is named, else the keys of it that have the scope admin.

    The policy is that of the branch as it counts now: a key that is taken out of it is refused from the next look on.
    """

    def __init__(self, pages: Pages, policy: str | None = None) -> None:
        self.pages = pages
        self.policy = policy
        self._guard: Guard | None = None

    def sight(self, headers: Mapping[bytes, bytes], *, counted: bool = True) -> Sight:
        """Return what the caller of a request may see; raises ``unauthenticated`` or ``forbidden``.

        A request counts for the rate of its key. A look of a page that is open is none.
        """
        if self.policy is None:
            return ALL
        found = self.pages.house.look().graph.access.get(self.policy)
        self._guard = guard(found.spec.keys if found is not None else (), self._guard)
        assert self._guard is not None, "there are keys, or none of them"
        caller = self._guard.identify(_as_bearer(headers))
        if counted:
            caller.admit("admin", time.time(), time.monotonic())
        else:
            caller.require("admin")
        return caller.sight


def _as_bearer(headers: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """Return headers in which the password that a browser asked a person for is the key."""
    value = headers.get(b"authorization", b"")
    if value[:6].lower() != b"basic ":
        return headers
    try:
        _, _, key = base64.b64decode(value[6:].strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return {}
    return {b"authorization": b"Bearer " + key}


def application(
    pages: Pages, names: Collection[str] = LOCAL, door: Door | None = None, every: float = FRESH
) -> Starlette:
    """Return the application; a request by another name than these is refused, whatever it asks for.

    ``every`` is the time in seconds between two looks of a page that follows what is seen.
    """
    door = door or Door(pages)
    files = {**STATIC, **LIVE}
    streams = Streams(pages, door, every)

    def answer(request: Request) -> Response:
        path = request.path_params["path"] or "index.html"
        if path in files:
            return Response(static(path), headers={"content-type": files[path]})
        try:
            sight = door.sight(dict(request.headers.raw))
        except ModelOpsError as error:
            return _refused(pages, path, error)
        if path == PATH:
            return streams.open(request.query_params.get("of", ""), dict(request.headers.raw))
        page = pages.page(path, dict(request.query_params), sight)
        return _sent(page)

    route = Route("/{path:path}", answer, methods=["GET"])
    middleware = [Middleware(_Headers, names=frozenset(names)), Middleware(GZipMiddleware, minimum_size=1024)]
    return Starlette(routes=[route], middleware=middleware)


class Streams:
    """The streams that are open, each of one page as one caller sees it.

    A page is made once for a look, however many follow it, and one of them at a time.
    """

    def __init__(self, pages: Pages, door: Door, every: float) -> None:
        self.pages = pages
        self.door = door
        self.every = every
        self.count = 0
        self._counting = threading.Lock()
        self._limiter = anyio.CapacityLimiter(1)
        self._of: tuple[Look, tuple[Problem, ...]] | None = None
        self._seen: dict[Hashable, str] = {}

    def open(self, of: str, headers: Mapping[bytes, bytes]) -> Response:
        """Answer with a stream; too many of them are refused, and the page asks again later."""
        try:
            path, query = asked_for(of)
        except ValueError:
            return Response("That is the address of no page.\n", 400, media_type="text/plain")
        if not self.pages.follows(path, query):
            return Response("An answer is given once, and not followed.\n", 400, media_type="text/plain")
        with self._counting:
            if self.count >= MOST:
                again = {"retry-after": "60"}
                return Response("Too many pages are open.\n", 503, media_type="text/plain", headers=again)
            self.count += 1

        def read() -> str:
            # A key that was taken back sees nothing more, whatever it sees already.
            return self.seen(path, query, self.door.sight(headers, counted=False))

        return _Stream(changes(read, self.every, self._limiter), self._closed)

    def seen(self, path: str, query: Mapping[str, str], sight: Sight) -> str:
        """Return the digest of what a page shows, which is made anew for another look alone."""
        look, trouble = self.pages.house.look(), self.pages.house.trouble
        if self._of is None or self._of[0] is not look or self._of[1] is not trouble:
            self._of, self._seen = (look, trouble), {}
        key = (path, tuple(query.items()), sight)
        if key not in self._seen:
            self._seen[key] = self.pages.page(path, query, sight).seen
        return self._seen[key]

    def _closed(self) -> None:
        with self._counting:
            self.count -= 1


class _Stream(StreamingResponse):
    """A stream that says when it is over, were it never begun."""

    def __init__(self, told: AsyncIterator[bytes], closed: Callable[[], None]) -> None:
        super().__init__(told, media_type="text/event-stream")
        self.closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.closed()


def _sent(page: Page, headers: Mapping[str, str] | None = None) -> Response:
    return Response(page.html, page.status, headers={"content-type": _HTML, **(headers or {})})


def _refused(pages: Pages, path: str, error: ModelOpsError) -> Response:
    """Return what somebody is told who may not see a page; a browser asks for a key where none is known."""
    match error.first.code:
        case "unauthenticated":
            asks = {"www-authenticate": 'Basic realm="modelops dashboard: the key is the password", charset="UTF-8"'}
            hint = "the key is the password, the user name does not matter"
            told = Problem("unauthenticated", error.first.message, hint=hint)
            return _sent(pages.trouble(path, (told,), 401, NOBODY), asks)
        case "forbidden":
            return _sent(pages.trouble(path, error.problems, 403, NOBODY))
        case "rate-limited":
            return _sent(pages.trouble(path, error.problems, 429, NOBODY))
        case _:
            return _sent(pages.trouble(path, about_all(error.problems, NOBODY), 503, NOBODY))


class _Headers:
    """Adds what browsers are told of every answer, and refuses names that are not ours: a page elsewhere knows none."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], names: Collection[str]) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def told(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or _name(hosts[0].decode("latin-1")) not in self.names:
            refusal = Response("This server is not called by that name.\n", 421, media_type="text/plain")
            await refusal(scope, receive, told)
            return
        await self.app(scope, receive, told)


def _name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; one that cannot is the caller's to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror or error}"
        hint = "another process has the port: choose one by --port, 0 picks a free one"
        raise failure("address-in-use", message, exit=Exit.WORLD, hint=hint, retryable=True) from None


def require_policy(pages: Pages, host: str, policy: str | None) -> None:
    """Refuse to be reached from elsewhere without keys, and to go by a policy that the branch does not have."""
    if policy is None and not is_local(host):
        raise failure(
            "open-dashboard",
            f"{host} is reached from other machines, and no access policy says who may look",
            exit=Exit.USAGE,
            hint=f"name one whose keys have the scope admin: --access NAME for {ACCESS.path(None, 'NAME')}",
        )
    if policy is None:
        return
    graph = pages.house.look().graph
    if policy not in graph.access:
        known = ", ".join(sorted(graph.access)) or "none"
        message = f"there is no access policy {policy!r}"
        raise failure("unknown-access-policy", message, exit=Exit.USAGE, hint=f"there are: {known}")
    if not any("admin" in key.scopes for key in graph.access[policy].spec.keys):
        message = f"no key of the access policy {policy!r} has the scope admin, so nobody could look"
        raise failure("no-admin-key", message, exit=Exit.USAGE, hint="give one key `scopes: [admin]`")


def serve(pages: Pages, listener: socket.socket, names: Collection[str], policy: str | None) -> None:
    """Answer until the process is interrupted."""
    threading.Thread(target=_first_look, args=(pages,), daemon=True).start()
    config = uvicorn.Config(
        application(pages, names, Door(pages, policy)),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=5,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _first_look(pages: Pages) -> None:
    # What keeps everything from being seen is told by the page that is asked for.
    with suppress(ModelOpsError):
        pages.page("index.html")
