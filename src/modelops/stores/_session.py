"""Talking to a registry: credentials, redirects, faults that pass, and what refusals mean.

By the standard library's HTTP client, as decision 0020 says why. Credentials come from the environment or from docker's
configuration, leave only for the registry that they are for, and are in no error.
"""

from __future__ import annotations

import json
import re
import ssl
import time
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.error import URLError
from urllib.parse import urlencode, urljoin, urlsplit

from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.address import is_loopback

__all__ = ["Session", "bounded", "codes_of", "json_object", "reason_of"]

_T = TypeVar("_T")
_PARTS = re.compile(r'(\w+)="([^"]*)"')
_DOCKER_HUB = {"docker.io": "registry-1.docker.io"}
_MAXIMUM_ANSWER = 1 << 20
_TIMEOUT_SECONDS = 30.0
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before a request that failed by a passing fault is sent again."""
_LONGEST_PAUSE = 30.0
_REST_SECONDS = 10.0
"""How long a registry that was waited for in vain is not asked at all."""
_REDIRECTS = 6
_LASTING = frozenset({"CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", None, None


class _AsTheyAre(urllib.request.HTTPErrorProcessor):
    """Hands over every answer, whatever its status: refusals and redirects are judged here."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        """Return the response."""
        return response

    https_response = http_response


class Session:
    """One repository's conversation with its registry; ``variables`` name where user and password are."""

    def __init__(
        self,
        registry: str,
        repository: str,
        variables: tuple[str, ...],
        environ: Mapping[str, str],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        *,
        plain: bool,
    ) -> None:
        self._registry, self._repository, self._variables = registry, repository, variables
        self._environ, self._sleep, self._clock = environ, sleep, clock
        self._schemes = ("https", "http") if plain else ("https",)
        self.base = f"{self._schemes[-1]}://{_DOCKER_HUB.get(registry, registry)}/v2/{repository}"
        self._origin = _origin(self.base)
        proxies = (urllib.request.ProxyHandler({}),) if is_loopback(urlsplit(self.base).hostname or "") else ()
        self._opener = urllib.request.build_opener(_AsTheyAre, *proxies)
        self._authorization: str | None = None
        self._asked_pause = 0.0
        self._given_up: tuple[float, ModelOpsError] | None = None

    def __str__(self) -> str:
        return f"oci-registry://{self._registry}/{self._repository}"

    @contextmanager
    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | BinaryIO | None = None
    ) -> Iterator[HTTPResponse]:
        """Send one request; a challenge is answered once, redirects are followed without the registry's credentials."""
        challenged = False
        for _ in range(_REDIRECTS):
            ours = _origin(url) == self._origin
            known = {"Authorization": self._authorization} if ours and self._authorization else {}
            with self._sent(method, url, {**headers, **known}, body) as answer:
                if answer.status == 401 and ours and not challenged:
                    challenged = True
                    self._authorization = self._authorized(answer.headers.get_all("WWW-Authenticate") or [])
                elif answer.status in (301, 302, 303, 307, 308) and method in ("GET", "HEAD"):
                    url = self.target(url, answer.headers.get("Location"))
                else:
                    yield answer
                    return
        raise failure("registry-refused", f"{self} sends its reader from place to place without end", exit=Exit.WORLD)

    def read(self, answer: HTTPResponse, size: int) -> bytes:
        """Return the next bytes of a body, none at its end."""
        try:
            return answer.read(size)
        except (OSError, HTTPException) as error:
            raise self.unreachable(reason_of(error)) from None

    def target(self, url: str, location: str | None) -> str:
        """Return where an answer sends its reader."""
        try:
            return urljoin(url, location or "")
        except ValueError:
            raise self._misled() from None

    def _misled(self) -> ModelOpsError:
        # Where to is the registry's word: it may be no URL, one of this machine's files, or without TLS.
        message = f"{self} sends its reader to a place that is not {' or '.join(self._schemes)}"
        return failure("registry-refused", message, exit=Exit.WORLD)

    def _sent(self, method: str, url: str, headers: Mapping[str, str], body: bytes | BinaryIO | None) -> HTTPResponse:
        if body is not None and not isinstance(body, bytes):
            body.seek(0)
        try:
            if urlsplit(url).scheme not in self._schemes:
                raise ValueError
            request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310
            answer: HTTPResponse = self._opener.open(request, timeout=_TIMEOUT_SECONDS)
        except (URLError, OSError, HTTPException) as error:
            raise self.unreachable(reason_of(error)) from None
        except ValueError:
            raise self._misled() from None
        return answer

    def _authorized(self, challenges: list[str]) -> str:
        """Return the header that answers a challenge."""
        found, where = self._credentials()
        basic = f"Basic {b64encode(':'.join(found).encode()).decode()}" if found else None
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() == "bearer":
                return f"Bearer {self._token(dict(_PARTS.findall(rest)), basic, where)}"
            if scheme.lower() == "basic" and basic is not None:
                return basic
        raise self._unauthorized(where)

    def _token(self, challenge: Mapping[str, str], basic: str | None, where: str | None) -> str:
        realm = challenge.get("realm", "")
        asked = urlencode({key: challenge[key] for key in ("service", "scope") if key in challenge})
        headers = {"Authorization": basic} if basic is not None else {}
        url = f"{realm}{'&' if '?' in realm else '?'}{asked}"
        with self._sent("GET", url, headers, None) as answer:
            if answer.status in (400, 401, 403):
                raise self._unauthorized(where)
            self.expect(answer, "a token", 200)
            document = json_object(bounded(answer, _MAXIMUM_ANSWER, "a token"))
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise failure("registry-refused", f"{self} gave an answer without a token", exit=Exit.WORLD)
        return token

    def patiently(self, attempt: Callable[[], _T]) -> _T:
        """Try again after a passing fault; what was waited for in vain fails at once for a while, and then has one try.

        So a registry that is away, or hangs, costs its patience once, and not once for each of a thousand artifacts.
        """
        if self._given_up is not None and self._clock() < self._given_up[0]:
            raise ModelOpsError(*self._given_up[1].problems, exit=Exit.WORLD, retryable=True)
        pauses = _PAUSES if self._given_up is None else ()
        for pause in (*pauses, None):
            try:
                done = attempt()
            except ModelOpsError as error:
                if not error.retryable:
                    raise
                if pause is None:
                    self._given_up = self._clock() + _REST_SECONDS, error
                    raise
                self._sleep(max(pause, self._asked_pause))
                self._asked_pause = 0.0
            else:
                self._given_up = None
                return done
        raise AssertionError  # the last try has returned or raised

    def expect(self, answer: HTTPResponse, what: str, *wanted: int) -> None:
        """Raise what an answer of another status means."""
        if answer.status in wanted:
            return
        if answer.status == 401:
            raise self._unauthorized(self._credentials()[1])
        if answer.status in (408, 425, 429) or answer.status >= 500:
            wait = str(answer.headers.get("Retry-After") or "")
            self._asked_pause = min(float(wait), _LONGEST_PAUSE) if wait.isdecimal() else 0.0
            raise self.unreachable(f"it answered {answer.status}")
        raise self.refused(answer, what, codes_of(answer))

    def refused(self, answer: HTTPResponse, what: str, codes: frozenset[str]) -> ModelOpsError:
        """Return the error for what the registry does not do."""
        said = f"{answer.status} {' '.join(sorted(codes))}".rstrip()
        if answer.status == 403:
            hint = "the credentials are known but may not do this: reading needs the right to pull, releasing to push"
            return failure("registry-forbidden", f"{self} forbids {what}: {said}", exit=Exit.WORLD, hint=hint)
        created = "some registries want a repository to be created first" if "NAME_UNKNOWN" in codes else None
        return failure("registry-refused", f"{self} refuses {what}: {said}", exit=Exit.WORLD, hint=created)

    def _unauthorized(self, where: str | None) -> ModelOpsError:
        wanted = " and ".join(self._variables)
        name = f"set {wanted}" if wanted else "name usernameVariable and passwordVariable"
        return failure(
            "registry-unauthorized",
            f"{self} does not accept the credentials from {where}" if where else f"{self} wants credentials",
            exit=Exit.WORLD,
            hint=f"{name}, or `docker login {self._registry}`; credential helpers of docker are not run",
        )

    def unreachable(self, reason: str) -> ModelOpsError:
        """Return the error for a fault that may pass; TLS that does not fit will not."""
        passing = reason not in _LASTING
        hint = None if passing else "SSL_CERT_FILE names another list of authorities; plain HTTP needs `insecure: true`"
        said = f"{self} cannot be used{' now' if passing else ''}: {reason}"
        return failure("registry-unreachable", said, exit=Exit.WORLD, retryable=passing, hint=hint)

    def _credentials(self) -> tuple[tuple[str, str] | None, str | None]:
        """Return user and password with where they are from: the variables, docker's configuration, or nowhere."""
        values = [self._environ[name] for name in self._variables if self._environ.get(name)]
        if len(values) == 2:
            return (values[0], values[1]), " and ".join(self._variables)
        folder = self._environ.get("DOCKER_CONFIG") or f"{self._environ.get('HOME', '')}/.docker"
        path = Path(folder) / "config.json"
        try:
            auths = json_object(path.read_bytes()).get("auths")
        except OSError:
            return None, None
        entries = auths if isinstance(auths, dict) else {}
        names = [self._registry, f"https://{self._registry}", f"http://{self._registry}"]
        names += ["https://index.docker.io/v1/"] if self._registry in _DOCKER_HUB else []
        for key in (key for name in names for key in (name, f"{name}/", f"{name}/v1/", f"{name}/v2/")):
            found = _pair(entries.get(key))
            if found is not None:
                return found, str(path)
        return None, None


def json_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object; anything else counts as an empty one."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def bounded(answer: HTTPResponse, limit: int, what: str) -> bytes:
    """Return the body of an answer, refusing one that is larger than a limit."""
    try:
        data = answer.read(limit + 1)
    except (OSError, HTTPException) as error:
        raise failure("registry-unreachable", f"{what}: {reason_of(error)}", exit=Exit.WORLD, retryable=True) from None
    if len(data) > limit:
        raise failure("registry-refused", f"{what} is larger than {limit:,} bytes", exit=Exit.WORLD)
    return data


def codes_of(answer: HTTPResponse) -> frozenset[str]:
    """Return the error codes of an answer; its texts are the registry's, and may hold what was sent to it."""
    errors = json_object(bounded(answer, _MAXIMUM_ANSWER, "an error")).get("errors")
    found = [error.get("code") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return frozenset(code for code in found if isinstance(code, str) and re.fullmatch(r"[A-Z_]{1,40}", code))


def reason_of(error: Exception) -> str:
    """Return why a request failed, without its URL, which may be signed."""
    inner = error.reason if isinstance(error, URLError) else error
    if isinstance(inner, ssl.SSLError):
        return inner.reason or "TLS failed"
    if isinstance(inner, OSError):
        return inner.strerror or ("it took too long" if isinstance(inner, TimeoutError) else type(inner).__name__)
    return type(inner).__name__


def _pair(entry: object) -> tuple[str, str] | None:
    """Return user and password of one entry of docker's configuration."""
    match entry:
        case {"auth": str(text)} if text:
            try:
                user, colon, password = b64decode(text).decode().partition(":")
            except ValueError:
                return None
            return (user, password) if colon else None
        case {"username": str(user), "password": str(password)}:
            return user, password
    return None
