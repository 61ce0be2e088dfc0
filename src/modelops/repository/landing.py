"""What lands on a shared branch: one commit, made on its tip, and whoever puts it there in the place of a push."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Landing", "Put"]

Put = Callable[[str, str], str | None]
"""Puts a commit, its second argument, on the branch if that is still at its parent, the first one.

Returns the id that the commit has there, None where the branch has moved.
"""


@dataclass(frozen=True, slots=True)
class Landing:
    """What a commit that lands on a branch writes (bytes) and removes (None), and its message."""

    files: Mapping[str, bytes | None]
    message: str
