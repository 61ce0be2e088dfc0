"""The numbers behind a verdict as they are signed: plain JSON, finite, the same bytes each time, and not too many."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelops.errors import failure

LIMIT = 16 * 1024
"""Bytes of JSON that one verdict may add to the signed evidence."""
_ITEMS = 200
_TEXT = 200
_DEPTH = 6


def recorded(details: Mapping[str, object]) -> dict[str, Any]:
    """Return details as the evidence holds them; raises ``bad-details`` for what JSON cannot say.

    Numbers that are not finite become null. Long texts are cut; of long lists the first items stay, and the key with
    ``LeftOut`` behind it says how many do not. What still is above 16 KiB keeps shorter lists.
    """
    items = _ITEMS
    while True:
        plain = _mapping(details, items, _DEPTH)
        size = len(json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
        if size <= LIMIT:
            return plain
        if items == 0:
            return {"leftOut": f"{size} bytes are more than {LIMIT}"}
        items //= 2


def _mapping(found: Mapping[Any, object], items: int, depth: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in found.items():
        if not isinstance(key, str):
            raise failure("bad-details", f"{key!r} is a key of the details, and keys are texts")
        plain[key] = _plain(value, items, depth - 1)
        if isinstance(value, list | tuple | np.ndarray) and len(value) > items:
            plain[f"{key}LeftOut"] = len(value) - items
    return plain


def _plain(value: object, items: int, depth: int) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case str():
            text = value.encode("utf-8", "replace").decode()
            return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
        case Mapping() if depth:
            return _mapping(value, items, depth)
        case list() | tuple() | np.ndarray() if depth:
            return [_plain(item, items, depth - 1) for item in value[:items]]
        case _:
            what = type(value).__name__ if depth else f"more than {_DEPTH} levels"
            raise failure("bad-details", f"the details hold {what}, which no evidence can")
