"""The one place where a value becomes text for others: escaped for Markdown, or plain for a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

# What turns the direction of text, so that it reads as something else than it is.
_TURNING = "\u202a-\u202e\u2066-\u2069"
# Other characters that are not seen: marks of direction, of no width or no ink, tags, variants, what only joins.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028\u2029\u2060-\u2065\u206a-\u206f\u2800"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
# Spaces that are not the space: seen in prose as what they are, but in code they are another character.
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_BYTES = "\ud800-\udfff"
_HIDDEN = re.compile(f"[{_CONTROLS}{_TURNING}{_UNSEEN}{_BYTES}]")
_HIDDEN_IN_CODE = re.compile(f"[{_CONTROLS}{_TURNING}{_UNSEEN}{_SPACES}{_BYTES}]")
_TURNED = re.compile(f"[{_TURNING}]")
_UNSEEN_ONE = re.compile(f"[{_UNSEEN}]")
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
# A runner of workflows takes such a line, or such a part of one, for a command.
_COMMAND = re.compile(r"^(\s*[+ -]?\s*):(?=:)")
_OLD_COMMAND = "##["
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LEADING = re.compile(r"^(?:(#{1,6}|[+-])(?=\s|$)|(\d+)(?=[.)](?:\s|$)))")
# A forge takes these for the name of somebody to be told, and for the number of a pull request.
_CALLING = re.compile(r"(?<![A-Za-z0-9])@(?=[A-Za-z0-9])|#(?=\d)|(?<=\b[Gg][Hh])-(?=\d)")
# These a forge makes a link of by itself, and one to a pull request is told there, too.
_LINKING = re.compile(r"(?<=[A-Za-z])(?=://)|(?<=\bwww)(?=\.)", re.IGNORECASE)
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _named(found: re.Match[str]) -> str:
    """Return the name of a character that is not seen, or the byte that is no text."""
    code = ord(found.group())
    return f"<0x{code - 0xDC00:02X}>" if 0xDC80 <= code <= 0xDCFF else f"<U+{code:04X}>"


def _harmless(line: str) -> str:
    """Return a line that a runner of workflows takes for nothing but text."""
    return _COMMAND.sub(r"\g<1><U+003A>", line).replace(_OLD_COMMAND, "##<U+005B>")


def plain(value: object) -> str:
    """Return any value as one line of text: what callers and files say steers no terminal or runner and hides nothing.

    Line breaks and tabs become a space, any other character that is not seen is told by its name: ``<U+202E>``.
    """
    return _harmless(_HIDDEN.sub(_named, _BREAKS.sub(" ", str(value)).strip()))


def escaped_in_json(text: str) -> str:
    """Return the text of a JSON document that says the same without a character that is not seen."""
    return _HIDDEN.sub(_escape, text).replace(_OLD_COMMAND, "##\\u005b")


def _escape(found: re.Match[str]) -> str:
    """Return a character as JSON escapes it; a byte that is no text is left to the stream that it is written to."""
    return found.group() if 0xDC80 <= ord(found.group()) <= 0xDCFF else json.dumps(found.group())[1:-1]


def shown(text: str) -> str:
    """Return a text of several lines with its line breaks and indents, each line as harmless as ``plain`` makes one."""
    return "\n".join(_harmless(_HIDDEN.sub(_named, line)) for line in text.split("\n"))


def visible(line: str) -> str:
    """Return a line of a file with every character that is not seen told by its name; tabs stay."""
    return _harmless(_HIDDEN_IN_CODE.sub(_named, line))


def hidden_in(text: str) -> tuple[int, bool] | None:
    """Return where the worst character of a text is that is not seen, and whether it turns the direction of text."""
    found = _TURNED.search(text)
    unseen = found or _UNSEEN_ONE.search(text, 1 if text.startswith("\ufeff") else 0)
    return (unseen.start(), found is not None) if unseen is not None else None


class Markup(str):
    """Markdown that was made here and is not escaped again."""

    __slots__ = ()


def escape(value: object, limit: int = 4000) -> Markup:
    """Return any value as one line of plain text in Markdown, cut to a number of characters.

    It calls nobody: what a forge would take for a name or a number is parted by a space of no width. An address is no
    link.
    """
    text = plain(value)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    text = _LINKING.sub(r"\\", _MARKUP.sub(r"\\\g<0>", text))
    # A number keeps its digits: "1\. " is a text, "1. " begins a list.
    text = _LEADING.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\", text)
    return Markup(_CALLING.sub(r"\g<0>&#8203;", text.translate(_ENTITIES)))


def code(value: object, limit: int = 200) -> Markup:
    """Return a value as inline code that also fits into a table."""
    text = plain(value)[:limit] or " "
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return Markup(f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|"))


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], limit: int | None = None) -> Markup:
    """Return a table; rows beyond the limit are counted in a last line, never dropped in silence."""
    body = [[cell if isinstance(cell, Markup) else escape(cell, 160) for cell in row] for row in rows]
    shown = body[:limit]
    lines = [f"| {' | '.join(headers)} |", "|" + " --- |" * len(headers), *(f"| {' | '.join(row)} |" for row in shown)]
    if len(shown) < len(body):
        lines += ["", f"… and {len(body) - len(shown)} more."]
    return Markup("\n".join(lines))


def number(value: float | None) -> Markup:
    """Return a number with four significant digits, or a dash."""
    return Markup("–" if value is None else f"{value:.4g}")


def interval(lower: float | None, upper: float | None) -> Markup:
    """Return the bounds of an interval; an open side is a dash."""
    return Markup("–") if lower is None and upper is None else Markup(f"{number(lower)} to {number(upper)}")


def curl(url: str, body: object, *, key: str = "") -> str:
    """Return a line for a shell that posts JSON, with the API key in the variable ``key`` if one is named.

    It stays inside its quotes, and inside a code fence, whatever the values are.
    """
    data = json.dumps(body, ensure_ascii=False).replace("'", "\\u0027").replace("`", "\\u0060")
    shown = f' -H "Authorization: Bearer ${key}"' if key else ""
    return f"curl -s {url}{shown} -H 'Content-Type: application/json' -d '{data}'"
