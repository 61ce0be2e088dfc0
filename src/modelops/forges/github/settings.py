"""Which repository on GitHub, where its API is, and which variables may hold a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from modelops.spec.address import is_loopback
from modelops.spec.meta import Strict

__all__ = ["API", "APP", "APP_KEY", "TOKENS", "Params", "noreply", "pages"]

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

    repository: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$",
            description="the repository, as OWNER/NAME",
        ),
    ]
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
    return f"{parts.scheme}://{_beside(parts.netloc)}/{params.repository}"


def _beside(api: str) -> str:
    """Return the host of the pages of an API.

    Only a server of one's own has its API below its pages: GitHub, and whoever has data there in a region, beside them.
    """
    hosted = api == "api.github.com" or api.endswith(".ghe.com")
    return api.removeprefix("api.") if hosted else api


def noreply(environ: Mapping[str, str], api: str | None = None) -> str:
    """Return the host of the addresses that GitHub gives its accounts, in lower case: that of its pages.

    In a job GITHUB_SERVER_URL says where those are. It is of another GitHub where ``api`` is not the API of that job:
    then, as on a person's machine, it is what the address of the API says.
    """
    told = environ.get("GITHUB_API_URL") or None
    here = api is None or told is None or api.rstrip("/").lower() == told.rstrip("/").lower()
    host = urlsplit(environ.get("GITHUB_SERVER_URL") or "").hostname if here else None
    return f"users.noreply.{host or _beside(urlsplit(api or told or API).hostname or '')}"
