"""Who asks: somebody's token, or a GitHub App that proves itself by its private key and gets tokens for an hour.

The key and the tokens are in no error, no representation and no log; the key never leaves this process.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import httpx

from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges.github.permissions import FOR_TEAMS, NEEDED
from modelops.forges.github.refusals import client, is_limited, limited, unreachable
from modelops.forges.github.settings import API, APP, APP_KEY, TOKENS, Params

__all__ = ["App", "Credentials", "Token", "credentials_of"]

PAUSES = (0.5, 2.0, 4.0)
"""Seconds between tries of what an App asks as itself."""
_EARLY = 300.0
"""Seconds before its end at which a token is not used any more."""
_SPREAD = 60.0
"""How far GitHub's clock may be from ours before its own time is asked for."""
_PATIENCE = 90.0
"""Seconds that are waited for altogether where GitHub asks for it; whoever waits longer is told until when."""
_MOVED = re.compile(r"/repositories/([0-9]{1,15})/installation\Z")
"""Where GitHub sends who asks for a repository by the name that it had."""
_LIFE = 540
"""Seconds that a proof of the App holds; GitHub takes 600 at most."""
_AGAIN = 60.0
"""Seconds within which a token that is not accepted is not exchanged a second time."""
_INSTALLATION = "ghs_"
"""What the tokens of an installation begin with; the job's own token is one."""


class Credentials(Protocol):
    """What a request is authorised by."""

    @property
    def name(self) -> str:
        """What it is called in errors."""
        ...

    @property
    def mend(self) -> str:
        """What to do where it is not accepted."""
        ...

    def token(self) -> str:
        """Return a token that holds now."""
        ...

    def renewed(self) -> bool:
        """Take another token in the place of one that was not accepted; False where there is none to take."""
        ...

    @property
    def of_app(self) -> bool:
        """Tell whether it is an App's, for whom GitHub signs the commits that it makes."""
        ...


@dataclass(frozen=True)
class Token:
    """A token that is in the environment: a person's, or that of a job."""

    variable: str
    value: str = field(repr=False)
    mend: str = "it may have expired: set a new one, or run `gh auth token` for yours"

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return f"the token of {self.variable}"

    def token(self) -> str:
        """Return the token."""
        return self.value

    def renewed(self) -> bool:
        """Tell that there is no other one."""
        return False

    @property
    def of_app(self) -> bool:
        """Tell whether it is an installation's; GitHub spells them so."""
        return self.value.startswith(_INSTALLATION)


class App:
    """A GitHub App by its id and private key, as it is installed on one repository."""

    of_app = True
    mend = f"see that {APP} and {APP_KEY} are those of one App, and that it is installed: modelops doctor"

    def __init__(
        self,
        app: str,
        key: str,
        base: str,
        repository: str,
        now: Callable[[], float] = time.time,
        permissions: Mapping[str, str] = NEEDED,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", app):
            raise failure("app-key-invalid", f"{APP} is no id of a GitHub App", hint="it is on the App's settings page")
        self.name = f"the App {app}"
        self.id, self._base, self._repository, self._now = app, base.rstrip("/"), repository, now
        self._pem, self._key, self._permissions = key, _private(key), permissions
        self._number, self._moved = app, 0
        self._token, self._until, self._renewed, self._skew = "", 0.0, -_AGAIN, 0.0

    def __repr__(self) -> str:
        return f"App({self.id!r}, {self._repository!r})"

    def asking(self, permissions: Mapping[str, str]) -> App:
        """Return the same App, whose tokens are allowed something else."""
        return App(self.id, self._pem, self._base, self._repository, self._now, permissions)

    def token(self) -> str:
        """Return the installation's token; a new one is asked for before the last one ends."""
        if not self._token or self._now() + self._skew > self._until - _EARLY:
            self._mint()
        return self._token

    def renewed(self) -> bool:
        """Ask for a new token, unless the last one was asked for for the same reason a moment ago."""
        if not self._token or self._now() - self._renewed < _AGAIN:
            return False
        self._mint()
        self._renewed = self._now()
        return True

    @property
    def number(self) -> str:
        """The App's number, by which rules know it; its client id until GitHub was asked for a token."""
        return self._number

    def installation(self) -> dict[str, Any]:
        """Return the App's installation on the repository: its permissions, and whether it is suspended."""
        return self._ask("GET", f"/repos/{self._repository}/installation", None)

    # --- asking as the App itself

    def _mint(self) -> None:
        found = self.installation()
        self._number = str(found.get("app_id") or self.id)
        if found.get("suspended_at"):
            raise _suspended(self.name)
        _require_permissions(self.name, found.get("permissions") or {}, self._permissions)
        # Where the repository was renamed, what it was called before is no name of it.
        which = {"repository_ids": [self._moved]} if self._moved else {"repositories": [self._repository.split("/")[1]]}
        given = found.get("permissions") or {}
        more = {key: level for key, level in FOR_TEAMS.items() if given.get(key) in ("read", "write")}
        wanted = {**which, "permissions": {**self._permissions, **more}}
        made = self._ask("POST", f"/app/installations/{int(found['id'])}/access_tokens", wanted)
        self._token = str(made["token"])
        until = datetime.fromisoformat(str(made["expires_at"]).replace("Z", "+00:00"))
        self._until = until.timestamp()

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """Ask as the App; a clock that differs from GitHub's is told by GitHub, and then its time counts."""
        left = _PATIENCE
        with client(timeout=30.0, follow_redirects=True) as asking:
            for pause in (*PAUSES, None):
                wait = pause or 0.0
                try:
                    found = asking.request(method, self._base + path, json=body, headers=self._headers())
                except httpx.HTTPError as error:
                    wrong = unreachable(error)
                else:
                    if found.status_code == 401 and self._learned(found.headers.get("Date", "")):
                        continue
                    document = _document(found)
                    if found.is_success and document is not None:
                        moved = _MOVED.search(found.url.path)
                        self._moved = int(moved[1]) if moved else self._moved
                        return document
                    wrong, asked = self._refusal(found, str((document or {}).get("message") or "")[:300])
                    wait = max(wait, asked)
                if not wrong.retryable or pause is None or wait > left:
                    raise wrong
                left -= wait
                time.sleep(wait)
        raise AssertionError  # the last try has returned or raised

    def _learned(self, date: str) -> bool:
        """Take GitHub's time for the true one, if ours is another; a second time that changes nothing."""
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return False
        skew = theirs - self._now()
        changed = abs(skew - self._skew) > _SPREAD
        self._skew = skew if changed else self._skew
        return changed

    def _headers(self) -> dict[str, str]:
        at = int(self._now() + self._skew)
        head = {"alg": "RS256", "typ": "JWT"}
        # GitHub advises a minute of leeway for clocks that are a little ahead of its own.
        claims = {"iat": at - 60, "exp": at - 60 + _LIFE, "iss": self.id}
        text = b".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
        proof = (text + b"." + _encoded(self._sign(text))).decode()
        return {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {proof}",
            "User-Agent": "modelops",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def _sign(self, text: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        signature: bytes = self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return signature

    def _refusal(self, found: httpx.Response, said: str) -> tuple[ModelOpsError, float]:
        """Return what a refusal means, and for how many seconds GitHub asks to wait."""
        if is_limited(found.status_code, found.headers, said):
            return limited(found.headers, said, self.name, self._now() + self._skew)
        return self._refused(found, said), 0.0

    def _refused(self, found: httpx.Response, said: str) -> ModelOpsError:
        if found.status_code == 401:
            return failure(
                "app-refused",
                f"GitHub does not accept the proof of {self.name}: {said}",
                exit=Exit.WORLD,
                hint=f"{APP_KEY} must be a private key of the App that {APP} names; see that this clock is right",
            )
        if found.status_code == 403 and "suspended" in said.lower():
            return _suspended(self.name)
        if found.status_code == 404:
            return failure(
                "app-not-installed",
                f"{self.name} is not installed on {self._repository}",
                exit=Exit.WORLD,
                hint="install it: the App's page on GitHub, `Install App`, only this repository",
            )
        if found.status_code >= 500:
            return unreachable(f"it answered {found.status_code}")
        said = said or "the answer is not that of GitHub's API"
        return failure("app-refused", f"GitHub refuses {self.name}: {found.status_code} {said}", exit=Exit.WORLD)


def credentials_of(params: Params, environ: Mapping[str, str]) -> Credentials:
    """Return what the environment has: an App's key before any token, unless the project names a variable."""
    app, key = environ.get(APP, "").strip(), environ.get(APP_KEY, "")
    if params.token_variable is None and app and key:
        return App(app, key, params.api_url or environ.get("GITHUB_API_URL") or API, params.repository)
    named = (params.token_variable,) if params.token_variable else TOKENS
    variable = next((name for name in named if environ.get(name)), None)
    if variable is None:
        raise failure(
            "forge-unauthorized",
            f"there is no token for GitHub: none of {', '.join(named)} is set",
            exit=Exit.WORLD,
            hint="export GH_TOKEN=$(gh auth token); in a workflow, give the step GH_TOKEN: ${{ github.token }}",
        )
    return Token(variable, environ[variable].strip())


def _require_permissions(name: str, given: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
    levels = ("", "read", "write", "admin")
    lacking = [
        f"{key}: {level}"
        for key, level in sorted(wanted.items())
        if levels.index(level) > (levels.index(given[key]) if given.get(key) in levels else 0)
    ]
    if lacking:
        raise failure(
            "app-permission-missing",
            f"the installation of {name} lacks {', '.join(lacking)}",
            exit=Exit.WORLD,
            hint="add it on the App's page under `Permissions`, and accept the change where it is installed",
        )


def _private(text: str) -> Any:
    """Return the RSA key of a PEM, which may be in one line or in base64, as secrets often are."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = text.strip().replace("\\n", "\n")
    if not pem.startswith("-----BEGIN"):
        try:
            pem = base64.b64decode("".join(pem.split()), validate=True).decode()
        except (binascii.Error, ValueError):
            raise _bad_key() from None
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnicodeEncodeError):
        raise _bad_key() from None
    if not isinstance(key, RSAPrivateKey):
        raise _bad_key()
    return key


def _bad_key() -> ModelOpsError:
    return failure(
        "app-key-invalid",
        f"{APP_KEY} is no RSA private key in PEM",
        exit=Exit.WORLD,
        hint="it is the .pem file that GitHub gave for the App, as a whole",
    )


def _suspended(name: str) -> ModelOpsError:
    return failure(
        "app-suspended",
        f"the installation of {name} is suspended",
        exit=Exit.WORLD,
        hint="an owner ends that on the page of the installed App: `Unsuspend`",
    )


def _document(found: httpx.Response) -> dict[str, Any] | None:
    try:
        document = found.json() if len(found.content) < 1 << 20 else None
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
