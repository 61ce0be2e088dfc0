"""What fenced code says, made fit to be shown: printable, bounded, and no command to whatever reads the output."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["one_line", "printable"]

_COMMAND = re.compile(r"^(\s*)(::|##\[|##vso\[)", re.MULTILINE)
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")


def printable(text: str) -> str:
    """Return a text without terminal sequences, control characters and turns of writing; its lines stay lines.

    A line that a workflow runner would take for a command begins with a space and a dot instead.
    """
    plain = (
        _ESCAPES.sub("", text.encode("utf-8", "backslashreplace").decode()).replace("\r\n", "\n").replace("\r", "\n")
    )
    kept = "".join(letter if letter in "\n\t" or _shown(letter) else f"\\u{ord(letter):04x}" for letter in plain)
    return _COMMAND.sub(r"\1 .\2", kept)


def one_line(text: str, limit: int = 4000) -> str:
    """Return a text as one bounded printable line; its lines are parted by what no runner takes for a new one."""
    lines = (line.strip() for line in printable(text[: 4 * limit]).splitlines())
    return " | ".join(line for line in lines if line)[:limit]


def _shown(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
