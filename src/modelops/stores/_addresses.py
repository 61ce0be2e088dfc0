"""Addresses of stores that are reached by network: ``//HOST/PATH`` and the other parameters as a query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import ValidationError

from modelops.errors import Exit, failure
from modelops.spec.meta import Strict

__all__ = ["parsed", "spelled"]

P = TypeVar("P", bound=Strict)


def parsed(params: type[P], text: str, own: Callable[[str, str], dict[str, Any]], what: str, form: str) -> P:
    """Return what an address stands for; ``own`` gives the parameters of its host and of its path.

    What is none is ``bad-store-address``. It is not repeated: somebody may have written a secret into it.
    """
    parts = urlsplit(text)
    given: dict[str, Any] = dict(parse_qsl(parts.query))
    if "insecure" in given:
        given["insecure"] = given["insecure"] == "true"
    try:
        if parts.scheme or parts.fragment:
            raise ValueError
        return params.model_validate({**own(parts.netloc, parts.path), **given})
    except (ValidationError, ValueError):
        raise failure("bad-store-address", f"this is not the address of {what}", exit=Exit.USAGE, hint=form) from None


def spelled(start: str, params: Strict, own: set[str]) -> str:
    """Return the address that begins with ``start``, which says the parameters ``own``; the others are its query."""
    given = params.model_dump(by_alias=True, exclude_defaults=True, exclude=own)
    query = urlencode({key: "true" if value is True else value for key, value in given.items()})
    return f"{start}?{query}" if query else start
