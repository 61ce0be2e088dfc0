"""Talking to GitHub's REST API: who asks, what a refusal means, and which requests may be sent again.

By httpx, as decision 0038 says why. Nothing that changes something is sent twice unless a look has shown that the first
one did nothing. The token leaves only for the API that it is for, and is in no error.
"""

from __future__ import annotations

import json
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges.github.credentials import Credentials
from modelops.forges.github.permissions import needed_for
from modelops.forges.github.refusals import client, forbidden, is_limited, limited, unreachable

__all__ = ["Answer", "Session"]

T = TypeVar("T")
_VERSION = "2022-11-28"
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
_PATIENCE = 90.0
"""Seconds that one request may be waited for, limits of the API included; whoever waits longer is told until when."""
_WRITES, _MINUTE = 60, 60.0
"""GitHub lets 80 requests a minute make something that people see."""
_KEPT, _HEARD = 256, 4096
_LARGEST = 64 << 20


class Answer:
    """What was answered: the status, the document and the digest of its bytes."""

    def __init__(self, status: int, document: Any, following: str | None = None, digest: str = "") -> None:
        self.status, self.document, self.following, self.digest = status, document, following, digest


class Session:
    """One repository's conversation with the API, as whoever the token stands for."""

    def __init__(
        self,
        base: str,
        credentials: Credentials,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.base = base.rstrip("/")
        self.credentials, self._sleep, self._clock, self._now = credentials, sleep, clock, now
        headers = {
            "Accept": "application/vnd.github+json",
            "User-Agent": "modelops",
            "X-GitHub-Api-Version": _VERSION,
        }
        self._client = client(headers=headers, timeout=httpx.Timeout(30.0, connect=10.0), follow_redirects=False)
        weakref.finalize(self, self._client.close)
        self._known: OrderedDict[str, tuple[str, Answer]] = OrderedDict()
        self._heard: OrderedDict[str, str] = OrderedDict()
        self._written: deque[float] = deque()
        self._asked_pause = 0.0

    def pause(self, seconds: float) -> None:
        """Wait for what GitHub has done to be seen everywhere."""
        self._sleep(seconds)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Read; what has not changed since it was last read is not sent again, and does not count against the limit."""
        url = str(httpx.URL(self._url(path), params=dict(params)) if params else self._url(path))
        known = self._known.get(url)
        extra = {"If-None-Match": known[0]} if known else {}
        return self._patiently(lambda: self._read(url, extra))

    def find(self, path: str, params: Mapping[str, Any] | None = None) -> Answer | None:
        """Read, None where it is not there."""
        try:
            return self.get(path, params)
        except ModelOpsError as error:
            if error.first.code != "forge-absent":
                raise
            return None

    def pages(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """Yield every entry of a list, page after page; a list may lie below ``check_runs`` and the like."""
        answer = self.get(path, {"per_page": 100, **(params or {})})
        seen = set()
        while True:
            document = answer.document
            entries = (
                document if isinstance(document, list) else next(v for v in document.values() if isinstance(v, list))
            )
            yield from entries
            following = answer.following
            if following is None or following in seen:
                return
            seen.add(following)
            answer = self.get(following)

    def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Put, patch or delete: what is sent twice changes nothing more."""
        return self._patiently(lambda: self._sent(method, self._url(path), body))

    def create(
        self, path: str, body: Mapping[str, Any], look: Callable[[], T | None], *, method: str = "POST"
    ) -> Answer | T:
        """Post; after a fault that leaves open whether it was done, ``look`` tells, and only then is it sent again."""
        first = True

        def attempt() -> Answer | T:
            nonlocal first
            if not first:
                found = look()
                if found is not None:
                    return found
            first = False
            return self._sent(method, self._url(path), body)

        return self._patiently(attempt)

    def heard(self, path: str, params: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
        """Return the call and the digest of each answer about a path, its pages and what lies below it."""
        wanted = set((params or {}).items())
        found = []
        for url, digest in self._heard.items():
            asked = httpx.URL(url)
            same = asked.path == httpx.URL(self.base).path.rstrip("/") + path or f"{path}/" in asked.path
            if same and wanted <= set(asked.params.items()):
                found.append((f"GET {url.removeprefix(self.base)}", digest))
        return found

    def _url(self, path: str) -> str:
        if path.startswith("/"):
            return self.base + path
        # The next page and a moved repository are named by the server: the token goes nowhere else.
        if urlsplit(path)[:2] != urlsplit(self.base)[:2]:
            raise failure("forge-refused", "GitHub names a place that is not its API", exit=Exit.WORLD)
        return path

    def _read(self, url: str, extra: Mapping[str, str]) -> Answer:
        answer, headers = self._exchange("GET", url, None, extra)
        if answer.status == 304:
            self._known.move_to_end(url)
            return self._known[url][1]
        self._heard[url] = answer.digest
        self._heard.move_to_end(url)
        while len(self._heard) > _HEARD:
            self._heard.popitem(last=False)
        if headers.get("ETag"):
            self._known[url] = (headers["ETag"], answer)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return answer

    def _sent(self, method: str, url: str, body: Mapping[str, Any] | None) -> Answer:
        while self._written and self._clock() - self._written[0] > _MINUTE:
            self._written.popleft()
        if len(self._written) >= _WRITES:
            self._sleep(_MINUTE - (self._clock() - self._written[0]))
        self._written.append(self._clock())
        return self._exchange(method, url, body, {})[0]

    def _exchange(
        self, method: str, url: str, body: Mapping[str, Any] | None, extra: Mapping[str, str]
    ) -> tuple[Answer, httpx.Headers]:
        """Send one request; a moved repository is followed, with the same method."""
        for _ in range(4):
            headers = {**extra, "Authorization": f"Bearer {self.credentials.token()}"}
            try:
                with self._client.stream(method, url, json=body, headers=headers) as found:
                    data = _bounded(found)
            except httpx.HTTPError as error:
                raise unreachable(error) from None
            if found.status_code == 401 and self.credentials.renewed():
                # Nothing was done for a token that was not accepted.
                continue
            if found.status_code not in (301, 302, 307, 308):
                break
            url = self._url(str(found.next_request.url) if found.next_request is not None else "")
        following = found.links.get("next", {}).get("url")
        answer = Answer(found.status_code, _document(data), following, digest_bytes(data))
        if not (found.is_success or found.status_code == 304):
            raise self._refusal(found, answer, method, urlsplit(url).path)
        if found.status_code in (200, 201) and not isinstance(answer.document, dict | list):
            # A proxy or a page to log in at, not the API.
            raise failure(
                "forge-refused", f"{urlsplit(url).path} is answered, but not by GitHub's API", exit=Exit.WORLD
            )
        return answer, found.headers

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Try again after a passing fault, as long as the API asks for and patience lasts."""
        left = _PATIENCE
        for pause in (*_PAUSES, None):
            self._asked_pause = 0.0
            try:
                return attempt()
            except ModelOpsError as error:
                wanted = max(self._asked_pause, pause or 0.0)
                # A limit that was told to the App as itself was waited for where it could be.
                told = error.first.code == "forge-limited" and not self._asked_pause
                if not error.retryable or pause is None or wanted > left or told:
                    raise
            left -= wanted
            self._sleep(wanted)
        raise AssertionError  # the last try has returned or raised

    def _refusal(self, found: httpx.Response, answer: Answer, method: str, path: str) -> ModelOpsError:
        said = _message(answer.document)
        status, headers = found.status_code, found.headers
        if is_limited(status, headers, said):
            told, self._asked_pause = limited(headers, said, self.credentials.name, self._now())
            return told
        if status in (408, 500, 502, 503, 504):
            return unreachable(f"it answered {status}")
        if status == 401:
            return failure(
                "forge-unauthorized",
                f"GitHub does not accept {self.credentials.name}",
                exit=Exit.WORLD,
                hint=self.credentials.mend,
            )
        if status == 403:
            return forbidden(headers, said, self.credentials.name, method, path)
        if status == 404:
            needed = needed_for(method, path)
            hint = "a private repository that the token cannot read is not found either"
            hint += f"; it takes {needed}" if needed else ""
            return failure("forge-absent", f"GitHub has no {path}", exit=Exit.WORLD, hint=hint)
        return failure("forge-refused", f"GitHub refuses {method} {path}: {status} {said}", exit=Exit.NO)


def _bounded(found: httpx.Response) -> bytes:
    data = bytearray()
    for chunk in found.iter_bytes():
        data += chunk
        if len(data) > _LARGEST:
            raise failure("forge-refused", f"GitHub answers with more than {_LARGEST:,} bytes", exit=Exit.WORLD)
    return bytes(data)


def _document(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None


def _message(document: Any) -> str:
    """Return what GitHub says, in one line: its message and those of its errors."""
    if not isinstance(document, dict):
        return "no reason given"
    errors = document.get("errors")
    more = [
        str(one.get("message") or one.get("code") or "") if isinstance(one, dict) else str(one)
        for one in (errors if isinstance(errors, list) else [])
    ]
    return "; ".join(text for text in (str(document.get("message") or ""), *more) if text)[:500]
