"""What RFC 9110 and 9112 make of the head of a request: what is refused, and what is only offered and passed over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

__all__ = [
    "HEAD_END", "HEXADECIMAL", "SINGLE", "Heads", "Known", "awaits_word", "declared", "fault", "is_method", "size_of",
    "split_target", "without_offer",
]  # fmt: skip

SINGLE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"inference-header-content-length",
        b"x-api-key",
        b"x-request-timeout-ms",
    }
)
"""Fields that count here and hold one value: a proxy that reads the first of two and a server that reads the last would
disagree. Every other field may come in several lines, which together are a list."""

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


def fault(version: str, headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
    """Return status and sentence for a head that may not be answered, None for one that may."""
    if not version.startswith("1."):
        return 505, f"HTTP/{version} is not spoken here, HTTP/1.1 is"
    host = headers.get(b"host")
    if host is None:
        if version != "1.0":
            return 400, "the request has no Host"
    elif _HOST.fullmatch(host.strip()) is None:
        return 400, "the Host is not a host and a port"
    coding = headers.get(b"transfer-encoding")
    if coding is None:
        return None
    if version == "1.0":
        return 400, "HTTP/1.0 has no Transfer-Encoding"
    *others, last = (each.strip() for each in coding.lower().split(b","))
    if last != b"chunked":
        return 400, "the last transfer coding is not chunked, so the length of the body is not known"
    if b"chunked" in others:
        return 400, "the body is in chunks within chunks"
    if others:
        return 501, f"the transfer coding {coding[:40].decode('latin-1')!r} is not known here, chunked is"
    return None


HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]+")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: |\Z)")
_URL = re.compile(rb"(?i:https?)://([^/?#@:][^/?#@]*)(/[^#]*)?(\?[^#]*)?")


def is_method(data: bytes) -> bool:
    """Tell whether a request begins with what could be a method."""
    return _TOKEN.match(data) is not None


def split_target(method: bytes, target: bytes) -> tuple[bytes, bytes, tuple[int, str] | None]:
    """Return host and path of a target that is no path, or status and sentence where it may not be answered.

    ``*`` is the server as a whole, has no host, and is its own path.
    """
    if method == b"CONNECT":
        return b"", target, (501, "this is no proxy, so there is no CONNECT")
    if target == b"*":
        wrong = None if method == b"OPTIONS" else (400, "the target * is for OPTIONS alone")
        return b"", target, wrong
    found = _URL.fullmatch(target)
    if found is None or _HOST.fullmatch(found[1]) is None:
        return b"", target, (400, "the target is neither a path nor a URL of HTTP")
    return found[1], (found[2] or b"/") + (found[3] or b""), None


class Known(NamedTuple):
    """What the parser made of the bytes of a head, behind which so many bytes of a body follow."""

    method: bytes
    path: bytes
    headers: Mapping[bytes, bytes]
    length: int


class Heads(dict[bytes, Known]):
    """Heads that were read and came whole with their bodies: most clients send the same one again and again.

    What a head means depends on its bytes alone where nothing is said beyond how long the body is.
    """

    def keep(self, data: bytes, known: Known) -> None:
        """Remember the head with which the bytes of a whole request begin."""
        end = len(data) - known.length
        if end <= _KNOWN_BYTES and data.find(HEAD_END) + len(HEAD_END) == end:
            if not _BEYOND.isdisjoint(known.headers):
                return
            if len(self) >= _KNOWN_HEADS:
                self.clear()
            self[data[:end]] = known


HEAD_END = b"\r\n\r\n"
_KNOWN_BYTES, _KNOWN_HEADS = 1024, 512
_BEYOND = frozenset({b"expect", b"transfer-encoding", b"upgrade"})


def size_of(url: bytes, headers: Mapping[bytes, bytes]) -> int:
    """Return the bytes of a target and of headers as they are sent."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers.items())


def declared(length: bytes) -> int | None:
    """Return how many bytes a Content-Length declares, None where it is no number or has more than twenty digits."""
    digits = length.strip()
    return int(digits) if digits.isdigit() and len(digits) <= 20 else None


def awaits_word(version: str, headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether the client sends its body only when told to; what else it may expect is passed over."""
    expected = headers.get(b"expect")
    if expected is None or version == "1.0":
        return False
    return b"100-continue" in (each.strip() for each in expected.lower().split(b","))


def without_offer(method: bytes, url: bytes, version: str, headers: Mapping[bytes, bytes], keep: bool) -> bytes:
    """Return a head that frames the same body without the offer to change the protocol, nothing where none follows."""
    length, coding = headers.get(b"content-length", b""), headers.get(b"transfer-encoding")
    if method == b"CONNECT" or (coding is None and not declared(length or b"0")):
        return b""
    framing = b"content-length: " + length if coding is None else b"transfer-encoding: " + coding
    lines = [method + b" " + url + b" HTTP/" + version.encode(), b"host: " + headers.get(b"host", b""), framing]
    return b"\r\n".join([*lines, b"connection: keep-alive" if keep else b"connection: close", b"", b""])
