"""Keys of a JSON text that are given twice: decoders take the last of them, and a caller would not learn which."""

from __future__ import annotations

import json
import re
from typing import Any

from modelops.errors import ModelOpsError, failure

__all__ = ["check_once"]

_KEY_ENDS = re.compile(rb'"[ \t\r\n]*:')


def check_once(text: bytes, keys: int) -> None:
    """Refuse a JSON text in which an object has a key twice; ``keys`` is how many a decoder has found in it.

    Where the text has no more colons than that, or no more behind a quote, none can be double; only else it is read
    once more.
    """
    if text.count(b":") == keys or sum(1 for _ in _KEY_ENDS.finditer(text)) == keys:
        return
    try:
        json.loads(text.decode(errors="replace"), object_pairs_hook=_once, parse_int=str, parse_float=str)
    except RecursionError:
        raise failure("bad-request", "the request is nested too deeply") from None
    except ValueError:
        # What one reader takes and the other does not is for the first one to judge.
        return


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _double(next(name for name in found if names.count(name) > 1))
    return found


def _double(name: str) -> ModelOpsError:
    return failure("bad-request", f"the key {name[:80]!r} is given twice in one object")
