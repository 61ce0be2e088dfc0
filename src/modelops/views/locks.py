"""An environment lock beside what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelops.evidence import Making
from modelops.locks import LockDifferences
from modelops.markup import plain
from modelops.spec.layout import LOCK, REQUIREMENTS


def text(found: LockDifferences, lacks: Sequence[str] = ()) -> str:
    """Return how a lock fits what is installed and what ``requirements.in`` asks for, a line for each difference."""
    if not found.pins:
        return "the lock pins nothing: modelops lock"
    hashes = "all with hashes" if found.hashed == found.pins else f"{found.hashed} of them with hashes"
    lines = [f"{found.pins} pins for this Python and machine, {hashes}"]
    lines += [f"{name}: pinned {pin}, installed {here}" for name, pin, here in found.other]
    if found.absent:
        lines.append(f"pinned and not installed: {', '.join(found.absent)}")
    lines += [f"{REQUIREMENTS} asks for {each}: modelops lock" for each in lacks]
    if not found.other and not found.absent:
        lines.append("every pin is what is installed")
    return "\n".join(map(plain, lines))


def difference(making: Making | None) -> str | None:
    """Return in a sentence that a build was made with something else than the lock pins; None where that is not so."""
    lock = making.environment.get("lock") if making is not None else None
    other = lock.get("other") if isinstance(lock, dict) else None
    if not other:
        return None
    shown = ", ".join(f"{one['name']} {one['installed']} instead of {one['pinned']}" for one in other[:3])
    more = f" and {len(other) - 3} more" if len(other) > 3 else ""
    return plain(f"made with {shown}{more}: install {LOCK}, or pin what is installed with modelops lock")


def data(found: LockDifferences, lacks: Sequence[str] = ()) -> dict[str, Any]:
    """Return the comparison as plain data."""
    return {**found.recorded(), "unlocked": list(lacks)}
