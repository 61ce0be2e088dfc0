"""The pages of the reference, read back: a page is sections, a section has prose and perhaps a table.

The reference is written from the code by ``docs/generate.py`` and goes with every installation, so that what a terminal
explains is what the page says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile, takewhile
from pathlib import Path

__all__ = ["Section", "linked", "names", "page", "plain_text"]

PACKAGED = Path(__file__).parent / "pages"
"""In an installed modelops: its own docs/reference; in a checkout that lies at its top."""
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_ANCHOR = re.compile(r"\]\(#([a-z0-9-]+)\)")
_CELLS = re.compile(r"(?<!\\)\|")
_ESCAPED = re.compile(r"\\\|")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading: its prose, and the rows of its first table by their headers."""

    level: int
    heading: str
    prose: str
    rows: tuple[Mapping[str, str], ...]


def folder() -> Path:
    """Return the folder with the reference."""
    return PACKAGED if PACKAGED.is_dir() else Path(__file__).parents[3] / "docs" / "reference"


def names(below: str) -> tuple[str, ...]:
    """Return the pages of a part of the reference, such as ``kinds``, without their ending."""
    return tuple(sorted(path.stem for path in (folder() / below).glob("*.md") if path.stem != "README"))


@cache
def page(name: str) -> tuple[Section, ...]:
    """Return the sections of a page, such as ``kinds/Model``, in their order."""
    text = _COMMENT.sub("", (folder() / f"{name}.md").read_text(encoding="utf-8"))
    return tuple(_sections(text))


def _sections(text: str) -> Iterator[Section]:
    level, heading = 0, ""
    lines: list[str] = []
    fenced = False
    for line in [*text.splitlines(), "# "]:
        fenced ^= line.startswith("```")
        found = None if fenced else re.match(r"(#{1,6}) (.*)", line)
        if found is None:
            lines.append(line)
            continue
        if level:
            yield _section(level, heading, lines)
        level, heading, lines = len(found[1]), found[2], []


def _section(level: int, heading: str, lines: list[str]) -> Section:
    table = list(takewhile(_is_row, dropwhile(lambda line: not _is_row(line), lines)))
    prose = "\n".join(line for line in lines if not _is_row(line)).strip()
    headers = _cells(table[0]) if table else []
    rows = tuple(dict(zip(headers, _cells(line), strict=True)) for line in table[2:])
    return Section(level, heading, re.sub(r"\n{3,}", "\n\n", prose), rows)


def _is_row(line: str) -> bool:
    return line.startswith("|")


def _cells(line: str) -> list[str]:
    return [_ESCAPED.sub("|", cell.strip()) for cell in _CELLS.split(line)[1:-1]]


def plain_text(text: str) -> str:
    """Return Markdown as a terminal shows it: links by their names, code and strong words without their marks."""
    return _LINK.sub(r"\1", text).replace("**", "").replace("`", "")


def linked(text: str) -> tuple[str, ...]:
    """Return the sections of the same page that a cell leads to, by their anchors."""
    return tuple(_ANCHOR.findall(text))
