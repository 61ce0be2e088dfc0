"""The machine-readable block of a pull request's body: one HTML comment with JSON, at its end, in one spelling.

Whoever may edit a body may edit the block, so it says where to look and never proves anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_LOOKS_LIKE_ONE = re.compile(r"<!--\s*modelops\s*:", re.IGNORECASE)
_BEGIN, _END = "<!-- modelops: ", " -->"
_LARGEST = 16_384


def write_block(body: str, facts: Mapping[str, Any]) -> str:
    """Return a body with a block at its end; what looks like one in the text for people no longer does."""
    text = body.replace("<!--", "&lt;!--").rstrip()
    return f"{text}\n\n{_BEGIN}{_spelled(facts)}{_END}\n"


def read_block(body: str) -> dict[str, Any] | None:
    """Return what the block of a body says; None without one, with two, or with one that is spelt another way."""
    _, begin, rest = body.rstrip().rpartition(_BEGIN)
    text = rest.removesuffix(_END)
    if not begin or text == rest or len(text) > _LARGEST or len(_LOOKS_LIKE_ONE.findall(body)) != 1:
        return None
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and _spelled(facts) == text else None


def without_block(body: str) -> str:
    """Return the part of a body that is for people."""
    return body if read_block(body) is None else body.rpartition(_BEGIN)[0].rstrip()


def _spelled(facts: Mapping[str, Any]) -> str:
    """Return the one spelling of facts: sorted keys, no spaces, ASCII, and nothing that could end the comment."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("--", "\\u002d\\u002d")
