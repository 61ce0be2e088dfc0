"""Posting over HTTP with a deadline: what webhook, slack and alertmanager share.

An answer of 2xx means taken. 408, 425, 429 and 5xx are waited for and tried again, as ``Retry-After`` asks, while there
is time; redirects are not followed, and no proxy is asked. Errors name the scheme, host and port alone, as the rest of
a URL is often a secret: such a URL belongs into an environment variable.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator, model_validator

from modelops import __version__
from modelops.alerts._deadline import within
from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.address import is_loopback
from modelops.spec.meta import Strict

__all__ = ["Header", "Place", "Variable", "deliver", "value_of"]

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_OURS = frozenset({"host", "content-type", "content-length", "transfer-encoding", "connection", "user-agent"})
_SIGNED = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})
_PAUSES = (0.5, 1.0, 2.0, 4.0)
_PASSING = frozenset({408, 425, 429})


class Header(Strict):
    """A header whose value is a secret."""

    name: str = Field(default="Authorization", pattern=r"^[A-Za-z][A-Za-z0-9-]*$", description="the header's name")
    variable: Variable = Field(description="the environment variable that holds the whole value")

    @field_validator("name")
    @classmethod
    def _not_ours(cls, name: str) -> str:
        if name.lower() in _OURS | _SIGNED:
            raise ValueError("this header is written by the client")
        return name


class Place(Strict):
    """Where to post, and how long to try."""

    url: str | None = Field(default=None, description="the URL, if it holds no secret; https, or http on this machine")
    url_variable: Variable | None = Field(default=None, description="the environment variable that holds the URL")
    header: Header | None = Field(default=None, description="a header that says who sends")
    timeout_seconds: float = Field(default=10.0, gt=0, le=60, description="seconds for all tries together")
    tries: int = Field(
        default=3, ge=1, le=5, description="how often at most one incident is posted before a later pass"
    )
    insecure: bool = Field(default=False, description="allows http to other machines")

    @model_validator(mode="after")
    def _one_url(self) -> Place:
        if (self.url is None) == (self.url_variable is None):
            raise ValueError("give either url or urlVariable")
        if self.url is not None and (wrong := _wrong(self.url, self.insecure)):
            raise ValueError(f"url {wrong}")
        return self


def deliver(
    place: Place,
    body: bytes,
    environ: Mapping[str, str],
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    *,
    headers: Mapping[str, str] | None = None,
    below: str = "",
) -> None:
    """Post a body of JSON to a place, or to what lies ``below`` it, until it is taken or time is up."""
    url = _url(place, environ)
    url = url._replace(path=url.path.rstrip("/") + below) if below else url
    sent = {**_headers(place, environ), **(headers or {})}
    end = time.monotonic() + min(place.timeout_seconds, seconds)
    for number in range(place.tries):
        answer = _posted(url, sent, body, end)
        if 200 <= answer.status < 300:
            return
        if answer.status not in _PASSING and answer.status < 500:
            raise _refused(url, answer.status)
        pause = max(_PAUSES[min(number, len(_PAUSES) - 1)], answer.wait)
        if number + 1 == place.tries or time.monotonic() + pause >= end:
            raise _unreachable(url, f"it answered {answer.status}")
        sleep(pause)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A status, and how many seconds the other side wants to be left alone."""

    status: int
    wait: float = 0.0


def _wrong(url: str, insecure: bool) -> str | None:
    """Return what keeps a text from being the URL of a webhook, without a word of it."""
    if re.search(r"[^!-~]", url):
        return "holds a space or a letter that a URL cannot hold"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("https", "http") or not host:
        return "is not the URL of a host"
    if "@" in parts.netloc:
        return "holds a user or password; use a header"
    if parts.scheme == "http" and not insecure and not is_loopback(host):
        return "is without TLS; write https, or `insecure: true`"
    return None


def _url(place: Place, environ: Mapping[str, str]) -> SplitResult:
    if place.url_variable is None:
        return urlsplit(place.url or "")
    text = value_of(place.url_variable, environ)
    if wrong := _wrong(text, place.insecure):
        raise failure("bad-alert-url", f"what {place.url_variable} holds {wrong}", exit=Exit.USAGE)
    return urlsplit(text)


def value_of(variable: str, environ: Mapping[str, str]) -> str:
    """Return what a variable holds, without the end of a line that reading it from a file leaves."""
    value = environ.get(variable, "").strip()
    if not value:
        said = f"the environment variable {variable} is not set, which an alert needs"
        raise failure("alert-unset", said, exit=Exit.USAGE, hint=f"set {variable} where modelops runs")
    return value


def _headers(place: Place, environ: Mapping[str, str]) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": f"modelops/{__version__}", "Connection": "close"}
    if place.header is None:
        return headers
    value = value_of(place.header.variable, environ)
    if not (value.isascii() and value.isprintable()):
        said = f"what {place.header.variable} holds cannot be the value of a header"
        raise failure("bad-alert-header", said, exit=Exit.USAGE, hint="it is one line of ASCII")
    return headers | {place.header.name: value}


def _named(url: SplitResult) -> str:
    """Return what may be told of a URL."""
    return f"{url.scheme}://{url.netloc}"


def _posted(url: SplitResult, headers: Mapping[str, str], body: bytes, end: float) -> _Answer:
    """Post once and return the answer, at the latest at ``end``."""
    seconds = max(end - time.monotonic(), 0.001)
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=seconds)
    path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"

    def exchange() -> _Answer:
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            return _Answer(answer.status, _wait(answer.headers))
        finally:
            connection.close()

    def give_up() -> None:
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    try:
        return within(seconds, exchange, give_up)
    except (OSError, HTTPException, ValueError) as error:
        raise _unreachable(url, _reason(error)) from None


def _wait(headers: HTTPMessage) -> float:
    """Return how many seconds the other side asks for; an instant is taken relative to its own clock."""
    text = str(headers.get("Retry-After") or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(str(headers.get("Date") or ""))
        return max((until - now).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return 0.0


def _reason(error: Exception) -> str:
    """Return why a request failed, in words that hold nothing of what was sent."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}" if error.reason else "TLS failed"
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__


def _unreachable(url: SplitResult, reason: str) -> ModelOpsError:
    return failure(
        "alert-unreachable",
        f"{_named(url)} took no alert: {reason}",
        exit=Exit.WORLD,
        hint="the next pass tells it again",
        retryable=True,
    )


def _refused(url: SplitResult, status: int) -> ModelOpsError:
    hints = {401: "its header is wrong", 403: "its header is wrong", 404: "its path is wrong", 410: "it is gone"}
    hint = "redirects are not followed: give the URL that they lead to" if status < 400 else hints.get(status)
    return failure("alert-refused", f"{_named(url)} refuses alerts: {status}", exit=Exit.WORLD, hint=hint)
