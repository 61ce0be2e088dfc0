"""What models are for in the terms of the business, and what that came to so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modelops.markup import plain
from modelops.metrics import aims
from modelops.metrics.aims import Aim

__all__ = ["data", "lines", "text"]


def text(found: Sequence[Aim]) -> str:
    """Return the lines of all models, empty where there are none."""
    told = [plain(line) for one in found for line in lines(one)]
    return "\n".join(["objectives:", *(f"  {line}" for line in told)]) if told else ""


def lines(one: Aim) -> Iterator[str]:
    """Yield what one model is for, how far that is reached, and what is not known of it."""
    return (f"{one.model}: {line}" for line in aims.sentences(one))


def data(found: Sequence[Aim]) -> list[dict[str, Any]]:
    """Return what models are for, with every number."""
    return [aims.data(one) for one in found]
