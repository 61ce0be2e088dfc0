"""The numbers behind a verdict for people: whatever a gate wrote, as facts and tables, as text and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelops.markup import Markup, code, escape, plain, table

__all__ = ["Block", "blocks", "details_lines", "details_markdown"]

ROWS = 12
_LEFT_OUT = "LeftOut"


@dataclass(frozen=True, slots=True)
class Block:
    """Facts (no headers, a name and a value each row) or a table; ``more`` rows are not shown."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


def blocks(details: Mapping[str, object], limit: int = ROWS) -> list[Block]:
    """Return details as at most one block of facts and a table for every list of records."""
    facts: list[tuple[str, str]] = []
    tables: list[Block] = []
    for key, value in details.items():
        left_out = details.get(f"{key}{_LEFT_OUT}")
        more = left_out if isinstance(left_out, int) else 0
        if key.endswith(_LEFT_OUT) and key.removesuffix(_LEFT_OUT) in details:
            continue
        if isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            tables.append(_table(_words(key), value, more, limit))
        elif isinstance(value, Mapping):
            facts += [(f"{_words(key)}, {_words(name)}", _cell(inner)) for name, inner in value.items()]
        elif isinstance(value, list | tuple):
            shown = [_cell(item) for item in value[:limit]]
            rest = len(value) - len(shown) + more
            facts.append((_words(key), (", ".join(shown) or "none") + (f" and {rest} more" if rest else "")))
        else:
            facts.append((_words(key), _cell(value)))
    return [*([Block("", (), tuple(facts))] if facts else []), *tables]


def details_lines(details: Mapping[str, object], limit: int = ROWS) -> list[str]:
    """Return details as lines of text, one for the facts and one for each row of a table."""
    lines = []
    for block in blocks(details, limit):
        if not block.headers:
            lines.append("; ".join(f"{name} {value}" for name, value in block.rows))
            continue
        for row in block.rows:
            lines.append(f"{block.title}: " + ", ".join(map(" ".join, zip(block.headers, row, strict=True))))
        lines += [f"{block.title}: and {block.more} more"] if block.more else []
    return list(map(plain, lines))


def details_markdown(found: Mapping[str, Mapping[str, object]], keys: Iterable[str], limit: int = ROWS) -> Markup:
    """Return the details of some gates, each below its own name; nothing for a gate that gave none."""
    parts = []
    for key in keys:
        for block in blocks(found.get(key, {}), limit):
            if not block.headers:
                told = "; ".join(escape(f"{name} {value}", 240) for name, value in block.rows)
            else:
                told = table([escape(name, 80) for name in block.headers], block.rows)
                told += f"\n\n… and {block.more} more." if block.more else ""
            parts.append(f"{code(key, 80)} {escape(block.title, 80)}".rstrip() + f"\n\n{told}")
    return Markup("\n\n".join(parts))


def _table(title: str, items: Sequence[Mapping[str, object]], more: int, limit: int) -> Block:
    keys = list(dict.fromkeys(key for item in items for key in item))
    shown = items[:limit]
    rows = tuple(tuple(_cell(item.get(key)) for key in keys) for item in shown)
    return Block(title, tuple(map(_words, keys)), rows, len(items) - len(shown) + more)


def _words(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", key).lower()


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return ", ".join(map(_cell, value))
        case Mapping():
            return ", ".join(f"{_words(str(key))} {_cell(inner)}" for key, inner in value.items())
        case _:
            return str(value)
