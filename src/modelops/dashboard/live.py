"""Pages that follow what is seen: a stream of server-sent events that says when a page reads otherwise.

The stream is that of the HTML standard, section 9.2. It carries a digest and no word of a page, which is asked for
anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qsl, urlsplit

import anyio

from modelops.errors import ModelOpsError

__all__ = ["MOST", "PATH", "asked_for", "changes"]

PATH = "live"
"""Where the stream is, beside the pages."""
MOST = 64
"""Streams at once: each looks at its page every few seconds."""
_RETRY = 5_000


def asked_for(of: str) -> tuple[str, dict[str, str]]:
    """Return the path and the query of the page that a stream is about, as a browser writes them.

    Raises ValueError for what is no address.
    """
    found = urlsplit(of)
    return found.path.lstrip("/") or "index.html", dict(parse_qsl(found.query))


async def changes(
    read: Callable[[], str], every: float, limiter: anyio.CapacityLimiter | None = None
) -> AsyncIterator[bytes]:
    """Yield an event with what ``read`` returns at once, and whenever it returns something else.

    In between comments are sent, so that a reader who left is noticed. The stream ends where reading is refused: who
    asks again is told why. ``limiter`` says how many may read at once, so that who asks for a page waits for
    nobody who follows one.
    """
    known = None
    while True:
        try:
            seen = await anyio.to_thread.run_sync(read, limiter=limiter)
        except ModelOpsError:
            return
        if seen != known:
            yield f"retry: {_RETRY}\nevent: seen\ndata: {seen}\n\n".encode()
            known = seen
        else:
            yield b": nothing new\n\n"
        await anyio.sleep(every)
