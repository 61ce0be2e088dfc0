"""What GitHub's refusals, limits and silence mean, in words: the same for whoever asks, a token or the App itself."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator, Mapping

import httpx

from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges.github.permissions import needed_for

__all__ = ["client", "forbidden", "is_limited", "limited", "unreachable"]

_NEEDED = re.compile(r"[a-z_=;, ]{1,200}")


def client(**options: object) -> httpx.Client:
    """Return what speaks HTTP: by the proxy and with the authorities of certificates that the environment names."""
    try:
        return httpx.Client(**options)  # type: ignore[arg-type]  # httpx's own options
    except (ImportError, ValueError, TypeError, httpx.InvalidURL, OSError, ssl.SSLError):
        # What they hold may have a password in it, so that it is not said.
        raise failure(
            "forge-unreachable",
            "GitHub cannot be asked: the environment names a proxy or a file of certificates that cannot be used",
            exit=Exit.WORLD,
            hint="HTTPS_PROXY=http://HOST:PORT is a proxy, SSL_CERT_FILE a file in PEM; see ALL_PROXY and SSL_CERT_DIR",
        ) from None


def unreachable(reason: httpx.HTTPError | str) -> ModelOpsError:
    """Return that there was no answer: worth another try, unless it is the way there that is refused."""
    if isinstance(reason, str):
        return failure("forge-unreachable", f"GitHub cannot be asked now: {reason}", exit=Exit.WORLD, retryable=True)
    untrusted = next((one for one in _causes(reason) if isinstance(one, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        return failure(
            "forge-unreachable",
            f"GitHub cannot be asked: its certificate is not trusted here: {untrusted.verify_message}",
            exit=Exit.WORLD,
            hint="export SSL_CERT_FILE=FILE, with the authorities that your server or your network's proxy goes by",
        )
    if isinstance(reason, httpx.ProxyError):
        return failure(
            "forge-unreachable",
            f"GitHub cannot be asked: the proxy refuses: {str(reason)[:200]}",
            exit=Exit.WORLD,
            hint="HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT names it, NO_PROXY the hosts that need none",
        )
    return unreachable(type(reason).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_limited(status: int, headers: Mapping[str, str], said: str) -> bool:
    """Tell whether a refusal is one for now: one too many in an hour, or at once."""
    return status == 429 or (status == 403 and (_spent(headers) or "rate limit" in said.lower()))


def limited(headers: Mapping[str, str], said: str, who: str, now: float) -> tuple[ModelOpsError, float]:
    """Return that no more is answered for now, and for how many seconds."""
    after, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
    seconds = 60.0
    if after.isdecimal():
        seconds = float(after)
    elif _spent(headers) and reset.isdecimal():
        seconds = max(1.0, float(reset) - now)
    until = time.strftime("%H:%M:%S UTC", time.gmtime(now + min(seconds, 1e9)))
    error = failure(
        "forge-limited",
        f"GitHub answers no more requests of {who} until {until}: {said}",
        exit=Exit.WORLD,
        retryable=True,
        hint="nothing is lost: run the same again then",
    )
    return error, seconds


def _spent(headers: Mapping[str, str]) -> bool:
    return bool(headers.get("X-RateLimit-Remaining") == "0")


def forbidden(headers: Mapping[str, str], said: str, who: str, method: str, path: str) -> ModelOpsError:
    """Return that somebody may not do something, with the permission that it takes: GitHub's word before ours."""
    needed = headers.get("X-Accepted-GitHub-Permissions", "")
    needed = needed if _NEEDED.fullmatch(needed) else needed_for(method, path) or ""
    wanted = f"; it needs {needed}" if needed else ""
    hint = "give the token, or the job's `permissions`, what is named"
    if "X-GitHub-SSO" in headers:
        hint = "the organisation's single sign-on has to let the token in: Settings, Tokens, `Configure SSO`"
    return failure("forge-forbidden", f"{who} may not {method} {path}{wanted}: {said}", exit=Exit.WORLD, hint=hint)
