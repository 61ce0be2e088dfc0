"""A server that is asked from outside: its address, its key, and what is done when it is busy or refuses."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any, Self
from urllib.parse import urlsplit

from modelops.errors import Exit, ModelOpsError, failure

__all__ = ["Server"]

_ATTEMPTS = 5
_LONGEST_REST = 30.0


class Server:
    """One connection to a server; what it does not do raises ``code`` with ``hint``."""

    def __init__(self, url: str, key: str | None = None, *, code: str, hint: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            said = f"{url!r} is not the address of a server"
            raise failure("bad-server-address", said, exit=Exit.USAGE, hint="pass http://HOST:PORT with --url")
        self._url = url
        self._prefix = parts.path.rstrip("/")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=60)
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._code = code
        self._hint = hint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def only_model(self) -> str:
        """Return the name of the one model that is served."""
        names = sorted({row["name"] for row in self.ask("/v2/repository/index", {})})
        if len(names) != 1:
            served = ", ".join(names) or "none"
            said = f"the server serves {len(names)} models, and none is named"
            raise failure("unnamed-model", said, exit=Exit.USAGE, hint=f"pass --model with one of: {served}")
        name: str = names[0]
        return name

    def ask(self, path: str, body: Any = None) -> Any:
        """Post JSON, or get where there is none to post; a busy server is asked again after the time it names."""
        data = None if body is None else json.dumps(body).encode()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._connection.request(
                    "POST" if data is not None else "GET", self._prefix + path, data, self._headers
                )
                response = self._connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                raise self._failed(f"cannot be asked: {error}", retryable=True) from None
            wait = response.getheader("Retry-After", "1")
            rest = float(wait) if wait.isdigit() else 1.0
            if response.status in (429, 503) and attempt < _ATTEMPTS and rest <= _LONGEST_REST:
                time.sleep(rest)
                continue
            break
        try:
            told = json.loads(answer)
            if response.status == 200:
                return told
            said = told["error"]
        except (ValueError, KeyError, TypeError):
            said = answer[:200].decode("utf-8", "replace")
        raise self._failed(f"answers {response.status}: {said}", retryable=response.status >= 429)

    def _failed(self, reason: str, *, retryable: bool) -> ModelOpsError:
        message = f"the server {self._url} {reason}"
        return failure(self._code, message, exit=Exit.WORLD, hint=self._hint, retryable=retryable)
