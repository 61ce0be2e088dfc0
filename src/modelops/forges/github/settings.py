"""Which repository on GitHub, where its API is, and which variables may hold a token."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from modelops.spec.address import is_loopback
from modelops.spec.meta import Strict

__all__ = ["API", "APP", "APP_KEY", "TOKENS", "Params", "pages"]

API = "https://api.github.com"
TOKENS = ("MODELOPS_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")
"""Environment variables that may hold a token, the first that is set counts."""
APP, APP_KEY = "MODELOPS_APP_ID", "MODELOPS_APP_PRIVATE_KEY"
"""Environment variables with the id of a GitHub App and its private key, in PEM."""
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Params(Strict):
    """Which repository, and where its API is.

    A GitHub App comes first, whose id is in MODELOPS_APP_ID and whose private key is in MODELOPS_APP_PRIVATE_KEY, then
    the first of MODELOPS_GITHUB_TOKEN, GH_TOKEN and GITHUB_TOKEN that is set; where there is a ``tokenVariable``, it
    alone counts. Without ``apiUrl`` it is GITHUB_API_URL, which Actions sets, else GitHub's own.
    """

    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$")]
    api_url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._/-]*)?$")] | None = None
    token_variable: _Variable | None = None

    @model_validator(mode="after")
    def _with_tls(self) -> Params:
        parts = urlsplit(self.api_url or API)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("an API without TLS would be told the token in the clear")
        return self


def pages(params: Params) -> str:
    """Return where people see the repository; without a word in the file it is GitHub's own site."""
    parts = urlsplit(params.api_url or API)
    # A server of one's own has its interface below the name that people use.
    ours = parts.netloc == "api.github.com" or parts.netloc.endswith(".ghe.com")
    host = parts.netloc.removeprefix("api.") if ours else parts.netloc
    return f"{parts.scheme}://{host}/{params.repository}"
