"""One label of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Label"]


@dataclass(frozen=True, slots=True)
class Label:
    """One row of the file: where it stands, which prediction it is about and what is true."""

    line: int
    id: str
    label: Any
