"""Bytes to text: how large a spec may be, and the characters that it may hold."""

from __future__ import annotations

import re
from typing import Literal

from modelops.errors import Location, ModelOpsError, Problem, failure
from modelops.markup import hidden_in
from modelops.spec.layout import SNAPSHOT

SIZE_LIMIT = 1 << 20
"""Bytes of one file."""
SNAPSHOT_SIZE_LIMIT = 8 << 20
"""Bytes of a DataSnapshot, which lists every file of a data set."""
DEPTH_LIMIT = 32
ALIAS_LIMIT = 32
NODE_LIMIT = 1_000_000

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def size_limit(path: str) -> int:
    """Return how many bytes the file at a repository path may have."""
    return SNAPSHOT_SIZE_LIMIT if SNAPSHOT.parse(path) else SIZE_LIMIT


def too_large(path: str, size: int) -> ModelOpsError:
    """Return the error for a file that is over its limit; asked before the file is read."""
    return failure(
        "file-too-large",
        f"{size:,} bytes is more than the {size_limit(path):,} that a spec may have",
        location=Location(path),
        hint="keep data out of specs: a snapshot records digests, not rows",
    )


def decode(data: bytes, path: str) -> str:
    """Return the text of a file without its byte order mark; refuses oversize, binary and invalid UTF-8."""
    if len(data) > size_limit(path):
        raise too_large(path, len(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        code = "binary-file" if b"\0" in data[:8192] else "invalid-utf8"
        raise failure(
            code,
            f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8",
            location=_position(before, len(before), path),
            hint="save the file as UTF-8 text",
        ) from None
    found = _FORBIDDEN.search(text)
    if found:
        code = "binary-file" if found.group() == "\0" else "control-character"
        raise failure(
            code,
            f"character U+{ord(found.group()):04X} may not stand in a YAML file",
            location=_position(text, found.start(), path),
            hint="save the file as UTF-8 text; write control characters as escapes in double quotes",
        )
    return text


def hidden(data: bytes, path: str) -> tuple[Literal["error", "warning"], Problem] | None:
    """Return what a file holds that its reader does not see, if anything: direction that is turned is an error.

    Text that reads as something else than it is cannot be approved; what has no width is worth a second look.
    """
    if data.isascii():
        return None
    text = data.decode("utf-8", "replace")
    found = hidden_in(text)
    if found is None:
        return None
    index, turned = found
    what = "turns the direction of text" if turned else "is not seen"
    said = f"the character U+{ord(text[index]):04X} {what}, so the file does not read as what it is"
    hint = "remove it, or write it as an escape"
    return "error" if turned else "warning", Problem("hidden-character", said, _position(text, index, path), hint=hint)


def _position(text: str, index: int, path: str) -> Location:
    line_start = text.rfind("\n", 0, index) + 1
    return Location(path, text.count("\n", 0, index) + 1, index - line_start + 1)
