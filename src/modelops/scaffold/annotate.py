"""Comments for generated YAML: each stands above the key or list item that it speaks about."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

from modelops.spec.yaml.document import parse

_UNPRINTABLE = re.compile("[^\x20-\x7e\xa1-\u2027\u202a-\ud7ff\uf900-\ufffd]")


def printable(text: str) -> str:
    """Return a text that can stand in a comment: what is not printable becomes an escape."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def annotate(data: bytes, path: str, remarks: Mapping[str, str | Sequence[str]]) -> bytes:
    """Insert remarks above the lines of dotted paths such as ``spec.data.features[3]``.

    A remark that is one text is wrapped; one that is a list keeps its lines.
    """
    document = parse(data, path)
    lines = data.decode().splitlines()
    above: dict[int, list[str]] = {}
    for dotted, remark in remarks.items():
        if remark:
            place = document.marks[dotted] if dotted.endswith("]") else document.keys[dotted]
            above.setdefault(place.line, []).extend([remark] if isinstance(remark, str) else list(remark))
    result: list[str] = []
    for number, line in enumerate(lines, start=1):
        indent = " " * (len(line) - len(line.lstrip(" ")))
        for remark in above.get(number, ()):
            for part in textwrap.wrap(printable(remark), 118 - len(indent), drop_whitespace=False) or [""]:
                result.append(f"{indent}# {part.rstrip()}".rstrip())
        result.append(line)
    return ("\n".join(result) + "\n").encode()
