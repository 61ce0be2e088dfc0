"""What reports are made of: sections of sentences and tables, which a page lays out and Markdown writes down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from modelops.markup import escape, table
from modelops.monitoring.report import Distribution

__all__ = ["Section", "Table", "sections_lines"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their headers, the first cell of each row is its name; ``spread`` is what it tells the bins of."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    spread: Distribution | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """What is told of one matter: sentences, then tables; ``key`` is the same in every report."""

    key: str
    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


def sections_lines(sections: Iterable[Section], heading: str = "###") -> Iterator[str]:
    """Yield sections as lines of Markdown, every value escaped; an empty section is not told."""
    for section in sections:
        if not section.lines and not section.tables:
            continue
        yield from ("", f"{heading} {escape(section.title)}")
        if section.lines:
            yield ""
            yield from (f"- {escape(line)}" for line in section.lines)
        for each in section.tables:
            # A report cuts no cell: it is what is kept.
            rows = [[escape(cell) for cell in row] for row in each.rows]
            yield from ("", f"{escape(each.title)}:", "", table([escape(head) for head in each.headers], rows))
