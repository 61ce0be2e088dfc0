"""The living repository: what holds, what does not and the command that mends it, and what cannot be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelops.errors import Exit
from modelops.forges import Point
from modelops.markup import plain

__all__ = ["data", "exit_of", "text"]

_WORDS = {"holds": "holds", "fails": "DOES NOT HOLD", "unseen": "CANNOT SEE"}


def data(points: Sequence[Point]) -> Any:
    """Return what was found, as JSON has it."""
    return [{"name": one.name, "state": one.state, "said": plain(one.said), "mend": one.mend} for one in points]


def text(points: Sequence[Point]) -> str:
    """Return what was found line by line, what mends it below."""
    lines = ["The repository and its forge:", ""]
    for one in points:
        lines.append(f"{_WORDS[one.state]:<14} {one.name}: {plain(one.said)}")
        if one.state != "holds" and one.mend:
            lines.append(f"{'':<14}   {plain(one.mend)}")
    return "\n".join(lines)


def exit_of(points: Sequence[Point]) -> Exit:
    """Return 1 where something does not hold, else 4 where something cannot be seen: that is not for fine."""
    states = {one.state for one in points}
    return Exit.NO if "fails" in states else Exit.WORLD if "unseen" in states else Exit.OK
