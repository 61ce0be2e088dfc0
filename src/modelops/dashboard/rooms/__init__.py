"""What each page shows, made of one look: a file per page, a Room out; the templates of the same names lay it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Room"]


@dataclass(frozen=True, slots=True)
class Room:
    """One page before it is laid out: its template, its title, what the template is given, and what to answer.

    ``follows`` tells whether it is of what is seen, and shown anew when that changes; an answer is given once.
    """

    template: str
    title: str
    shown: Mapping[str, Any]
    status: int = 200
    follows: bool = True
