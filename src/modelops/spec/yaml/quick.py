"""The plain part of YAML, read by line: what most spec files are made of, eight times as fast as the full reader.

A file is either read to exactly the value that ``document.parse`` gives, or not at all (``None``): at the first sign of
anything else (anchors, tags, block scalars, trailing comments, wrapped texts, a mistake) the full reader takes over,
and it alone finds problems and places. Inside this module a ValueError without words means: not plain, leave it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from modelops.spec.yaml.scalars import plain_scalar

_NAME = r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./()-]+)*"
# A text inside brackets: plain, or in double quotes without escapes.
_TOKEN = re.compile(
    r"""-?[A-Za-z0-9_./+](?:[A-Za-z0-9_./+()'%=<>;?-]|:(?=[A-Za-z0-9_/-]))*"""
    r"""(?: (?:[A-Za-z0-9_./+()'%=<>;?-]|:(?=[A-Za-z0-9_/-]))+)*|"[^"\\]*\""""
)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?")
_NAME_ONLY = re.compile(_NAME)
_NUMBERS = re.compile(r"\[-?[0-9]{1,17}(?:\.[0-9]+)?(?:, -?[0-9]{1,17}(?:\.[0-9]+)?)*\]")
_BLOCK_SCALAR = re.compile(rf"^( *)({_NAME}): ([|>]-?)\n((?:\1 +[^ \n].*\n)+)", re.MULTILINE)
_ASCII = bytes([10, *range(32, 127)])
_UNUSUAL = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_WORDS = {"true": True, "false": False, "null": None}
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_/")
_DEEPEST = 24
_NUMBER_START = frozenset("0123456789-+.")


_TOKENS: dict[str, str] = {"true": "true", "false": "false", "null": "null"}


def _as_json(found: re.Match[str]) -> str:
    """Return a text inside brackets as JSON spells it, and remember the common ones."""
    text = found[0]
    known = _TOKENS.get(text)
    if known is not None:
        return known
    spelled = text
    if text[0] in _LETTERS:
        spelled = f'"{text}"'
    elif text[0] in _NUMBER_START and not _JSON_NUMBER.fullmatch(text):
        if not isinstance(plain_scalar(text), str):
            raise ValueError
        spelled = f'"{text}"'
    if len(_TOKENS) < 5000:
        _TOKENS[text] = spelled
    return spelled


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs) or "" in result:
        raise ValueError
    return result


def _frozen(value: Any) -> Any:
    """Turn lists into tuples, as the full reader gives them."""
    if isinstance(value, list):
        return tuple([_frozen(item) for item in value])
    return {key: _frozen(item) for key, item in value.items()} if isinstance(value, dict) else value


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs)


# Generated files repeat many of their lines, from one model to the next.
_FLOWS: dict[str, Any] = {}


def _flow(text: str) -> Any:
    """Read a one-line list or mapping by way of JSON, which checks its brackets and commas."""
    known = _FLOWS.get(text)
    if known is not None:
        return known if type(known) is tuple else known.copy()
    if _NUMBERS.fullmatch(text):
        return tuple(json.loads(text))
    nested = text.count("[") + text.count("{")
    if nested > 8:
        raise ValueError
    value = _DECODER.decode(_TOKEN.sub(_as_json, text))
    if nested > 1:
        return _frozen(value)
    if type(value) is list:
        value = tuple(value)
    if len(_FLOWS) < 5000:
        _FLOWS[text] = value
        return value if type(value) is tuple else value.copy()
    return value


def _scalar(text: str) -> Any:
    """Read the one-line value of a key or of a list item."""
    first = text[0]
    if first in _LETTERS or first in _NUMBER_START:
        if " #" in text:
            text = text[: text.index(" #")].rstrip(" ")
        if ": " in text or text[-1] == ":":
            raise ValueError
        if first in _LETTERS:
            return _WORDS.get(text, text)
        if text[0:2] == "- " or text in ("-", "---", "..."):
            raise ValueError
        return plain_scalar(text)
    if first == '"':
        inner = text[1:-1]
        if len(text) < 2 or text[-1] != '"' or '"' in inner or "\\" in inner:
            raise ValueError
        return inner
    if first in "[{":
        return _flow(text)
    raise ValueError


_KEYS: dict[str, str] = {}


def _key(text: str) -> str:
    """Read the key of a line, and remember the common ones."""
    if text[:1] == '"' and len(text) > 2 and text[-1] == '"' and '"' not in text[1:-1] and "\\" not in text:
        return text[1:-1]
    if not _NAME_ONLY.fullmatch(text):
        raise ValueError
    if len(_KEYS) < 1000:
        _KEYS[text] = text
    return text


def _lift(text: str, texts: list[str]) -> str:
    """Take the block scalars out of a text, leaving a NUL and their number, which no file holds, in their place."""

    def taken(found: re.Match[str]) -> str:
        lines = found[4].split("\n")[:-1]
        column = len(found[1])
        indent = len(lines[0]) - len(lines[0].lstrip(" "))
        after = text[found.end() :].lstrip("\n")
        if any(line[-1] == " " or line[:indent].strip(" ") or line[indent] == " " for line in lines):
            raise ValueError
        if len(after) - len(after.lstrip(" ")) > column or (after[:1] == " " and not after.strip(" \n")):
            raise ValueError
        body = ("\n" if found[3][0] == "|" else " ").join(line[indent:] for line in lines)
        texts.append(body if found[3][-1] == "-" else body + "\n")
        return f"{found[1]}{found[2]}: \0{len(texts) - 1}\n"

    return _BLOCK_SCALAR.sub(taken, text)


def _blocks(lines: list[str], texts: list[str]) -> dict[str, Any]:
    """Read block style: ``stack`` holds the open containers and the column in which their entries begin."""
    root: dict[str, Any] = {}
    stack: list[tuple[int, Any]] = [(0, root)]
    column = 0
    container: Any = root
    # The mapping and the key whose value may begin on a later line.
    owner: dict[str, Any] | None = None
    lists: list[tuple[dict[str, Any], str]] = []
    name = ""
    for line in lines:
        head, colon, value = line.partition(": ")
        body = head.lstrip(" ")
        if not body or body[0] == "#":
            if value and not body:
                raise ValueError
            continue
        at = len(head) - len(body)
        dash = body[0] == "-" and body[1:2] == " "
        if owner is not None:
            if at > column or (dash and at == column):
                container = owner[name] = [] if dash else {}
                if dash:
                    lists.append((owner, name))
                column = at
                stack.append((column, container))
                if len(stack) > _DEEPEST:
                    raise ValueError
            owner = None
        while at < column or (at == column and not dash and type(container) is list):
            stack.pop()
            if not stack:
                raise ValueError
            column, container = stack[-1]
        if at != column or dash is not (type(container) is list):
            raise ValueError
        if dash:
            rest = body[2:].lstrip(" ")
            if not rest:
                raise ValueError
            if rest[0] in '[{"' or (not colon and rest[-1] != ":"):
                container.append(_scalar(line[len(line) - len(rest) - len(colon) - len(value) :].rstrip(" ")))
                continue
            item: dict[str, Any] = {}
            container.append(item)
            column += len(body) - len(rest)
            container = item
            stack.append((column, container))
            body = rest
        if colon:
            value = value.strip(" ")
        elif body[-1] == ":":
            body = body[:-1]
        else:
            raise ValueError
        key = _KEYS.get(body) or _key(body)
        if key in container:
            raise ValueError
        if value:
            container[key] = texts[int(value[1:])] if value[0] == "\0" else _scalar(value)
        else:
            container[key] = None
            owner, name = container, key
    for holder, key in lists:
        holder[key] = tuple(holder[key])
    return root


def read(data: bytes) -> dict[str, Any] | None:
    """Return the value of a plain file, or None when the full reader has to look at it."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    try:
        text = data.decode()
        if data.translate(None, _ASCII) and _UNUSUAL.search(text):
            return None
        texts: list[str] = []
        if "|" in text or ">" in text:
            text = _lift(text, texts)
        root = _blocks(text.split("\n"), texts)
    except ValueError:
        return None
    return root or None
