"""Pages of other origins: a browser lets none read an answer unless told so, and none may ask unseen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from modelops.errors import ModelOpsError, failure
from modelops.serving.http import Answer, Coming, Handler, Request

__all__ = ["crossing", "is_public"]

_METHODS = b"GET, HEAD, POST"
_FIELDS = b"authorization, content-type, inference-header-content-length, x-api-key, x-request-timeout-ms"
_SHOWN = b"inference-header-content-length, retry-after"
_SECONDS = b"600"
"""How long a browser remembers what it may send."""
_OWN = frozenset({b"same-origin", b"none"})


def crossing(
    handle: Handler,
    refuse: Callable[[str, ModelOpsError, Request], Answer],
    origins: Iterable[str] = (),
    *,
    hidden: Callable[[], bool] = lambda: False,
) -> Handler:
    """Return the handler that lets pages of ``origins`` ask as well; ``*`` are all.

    A server that is ``hidden``, as all that keeps others away is that it listens on this machine alone, answers to no
    name that a page of another site could have: such a name may lead here, and the page would read the answers.

    Without it, what a page of another origin posts is refused: it could not read the answer, but a prediction would be
    made and logged. Who is no browser sends no Origin and notices nothing.
    """
    allowed = frozenset(origin.encode() for origin in origins)

    def answer(request: Request) -> Answer | Coming:
        headers = request.headers
        if is_public(headers.get(b"host", b"")) and hidden():
            shown = headers[b"host"][:100].decode("latin-1")
            said = f"this server is for this machine and takes no keys, so it does not answer to {shown!r}"
            hint = "ask localhost, let a proxy send `Host: localhost`, or give callers keys"
            return refuse("", failure("wrong-host", said, hint=hint), request)
        origin = headers.get(b"origin")
        if origin is None:
            return handle(request)
        if origin not in allowed and b"*" not in allowed:
            if request.method not in (b"GET", b"HEAD", b"OPTIONS") and _is_foreign(origin, request):
                shown = origin[:100].decode("latin-1")
                said = f"pages of {shown!r} may not ask this server"
                return refuse("", failure("forbidden", said, hint="`modelops serve --cors ORIGIN` lets them"), request)
            return handle(request)
        told: tuple[tuple[bytes, bytes], ...] = ((b"access-control-allow-origin", origin), (b"vary", b"origin"))
        if request.method == b"OPTIONS" and b"access-control-request-method" in request.headers:
            more = ((b"access-control-allow-methods", _METHODS), (b"access-control-allow-headers", _FIELDS))
            return Answer(200, b"{}", headers=(*told, *more, (b"access-control-max-age", _SECONDS)))
        told = (*told, (b"access-control-expose-headers", _SHOWN))
        found = handle(request)
        return _with(found, told) if isinstance(found, Answer) else _Told(found, told)

    return answer


_PUBLIC = re.compile(rb".+\.([a-z]{2,}|xn--[a-z0-9-]+)")
"""Below a domain of the highest level, which is made of letters."""


@lru_cache(maxsize=256)
def is_public(host: bytes) -> bool:
    """Tell whether a Host, whatever the port, is a name that others can own: no address, and more than one word."""
    name = host.strip().lower().partition(b":")[0].rstrip(b".")
    return _PUBLIC.fullmatch(name) is not None and not name.endswith(b".localhost")


def _is_foreign(origin: bytes, request: Request) -> bool:
    """Tell whether the page is of another site: by what the browser says of it, else by the host it came from."""
    said = request.headers.get(b"sec-fetch-site")
    if said is not None:
        return said not in _OWN
    return origin.partition(b"://")[2] != request.headers.get(b"host", b"").strip()


def _with(answer: Answer, told: tuple[tuple[bytes, bytes], ...]) -> Answer:
    return answer._replace(headers=(*answer.headers, *told))


class _Told:
    """An answer that is not there yet, and what a page is told with it."""

    def __init__(self, coming: Coming, told: tuple[tuple[bytes, bytes], ...]) -> None:
        self._coming = coming
        self._told = told

    def then(self, tell: Callable[[Answer], object]) -> None:
        """Call a function with the answer when it comes."""
        self._coming.then(lambda answer: tell(_with(answer, self._told)))
