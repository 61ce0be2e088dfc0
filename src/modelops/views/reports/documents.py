"""A document about a release: for people as Markdown, for programs as JSON; every gap is told by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelops.documents import Paper, Section, Table
from modelops.markup import Markup, escape, plain, table

__all__ = ["data", "gaps_text", "markdown"]

_SHOWN = 12


def markdown(paper: Paper) -> str:
    """Return a document as Markdown: facts at its head, what is missing, and then every section with its sources."""
    parts = [f"# {escape(paper.title)}", table(("", ""), [(name, value) for name, value in _about(paper)])]
    gaps = [f"- {escape(gap)}" for gap in paper.gaps]
    said = f"{_counted(gaps)}: nothing that is measured, and nobody, says this." if gaps else "Nothing is missing."
    parts += ["## What is missing", said, *(["\n".join(gaps)] if gaps else [])]
    for section in paper.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _about(paper: Paper) -> list[tuple[Markup, Markup]]:
    return [(escape(name, 80), escape(value)) for name, value in paper.about]


def _section(section: Section) -> list[str]:
    parts = [f"## {escape(section.id, 80)} {escape(section.title)}".rstrip()]
    parts += [f"*{escape(section.asks)}*"] if section.asks else []
    if section.statements:
        parts.append("\n".join(f"- {escape(one.text)} ({escape(one.source)})" for one in section.statements))
    for found in section.tables:
        headers = [escape(name, 80) for name in found.headers]
        rows = [[escape(cell, 400) for cell in row] for row in found.rows]
        parts += [f"{escape(found.title)} ({escape(found.source)}):", table(headers, rows)]
    if section.gaps:
        parts.append("\n".join(f"- **Missing:** {escape(gap)}" for gap in section.gaps))
    return parts


def data(paper: Paper) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "kind": paper.kind,
        "title": paper.title,
        "about": dict(paper.about),
        "sections": [_section_data(section) for section in paper.sections],
        "gaps": list(paper.gaps),
        "complete": not paper.gaps,
    }


def _section_data(section: Section) -> dict[str, Any]:
    return {
        "id": section.id,
        "title": section.title,
        "asks": section.asks,
        "statements": [{"text": one.text, "source": one.source} for one in section.statements],
        "tables": [_table_data(one) for one in section.tables],
        "gaps": list(section.gaps),
    }


def _table_data(found: Table) -> dict[str, Any]:
    rows = [dict(zip(found.headers, row, strict=True)) for row in found.rows]
    return {"title": found.title, "source": found.source, "rows": rows}


def gaps_text(paper: Paper) -> str:
    """Return what is missing in a few lines, for a terminal."""
    if not paper.gaps:
        return plain(f"{paper.title}: nothing is missing")
    lines = [plain(f"{paper.title}: {_counted(paper.gaps)}"), *(f"  {plain(gap)}" for gap in paper.gaps[:_SHOWN])]
    rest = len(paper.gaps) - _SHOWN
    return "\n".join([*lines, *([f"  and {rest} more, all in the document"] if rest > 0 else [])])


def _counted(gaps: Sequence[str]) -> str:
    return "1 gap" if len(gaps) == 1 else f"{len(gaps)} gaps"
