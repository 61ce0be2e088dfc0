"""What a plain scalar means: JSON's words and numbers, and otherwise the text itself."""

from __future__ import annotations

import re
from typing import Any

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NUMBER_START = frozenset("-+.0123456789")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}


def plain_scalar(text: str) -> Any:
    """Return what a plain scalar means; raises ValueError for a number that no JSON reader would keep."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMBER_START:
        if text.isdigit() and text.isascii() and text[0] != "0" and len(text) < 19:
            return int(text)
        if _INTEGER.fullmatch(text):
            if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
                raise ValueError("integers have 64 bits")
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                raise ValueError("numbers are finite")
            return number
    return text
