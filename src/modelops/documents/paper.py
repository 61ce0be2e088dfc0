"""What a document is: numbered sections of statements, each with where it was taken from, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Paper", "Section", "Statement", "Table"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence or value and its source: a file at a commit, the signed evidence, or whoever wrote it."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values that belong together, and their source."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    source: str


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a document; ``asks`` is what it has to say, ``gaps`` what of that nobody and nothing says."""

    id: str
    title: str
    asks: str = ""
    statements: Sequence[Statement] = ()
    tables: Sequence[Table] = ()
    gaps: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Paper:
    """A document about one release; ``about`` are facts at its head, the commit that it was made at among them."""

    kind: str
    title: str
    about: Sequence[tuple[str, str]]
    sections: Sequence[Section] = field(default_factory=tuple)

    @property
    def gaps(self) -> tuple[str, ...]:
        """Every gap with the section that has it."""
        return tuple(f"{section.id}: {gap}" for section in self.sections for gap in section.gaps)
