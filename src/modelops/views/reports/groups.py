"""The groups that a gate judged, each with its interval: numbers that a table and a picture both show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelops.spec.kinds.model import Task
from modelops.statistics.intervals import exact_proportion

__all__ = ["Compared", "Rate", "compared"]

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Rate:
    """One group: its value, the bounds of a share of counted rows, how many rows, and of weighted ones their worth."""

    name: str
    value: float
    lower: float | None
    upper: float | None
    n: int
    worth: float | None = None

    @property
    def label(self) -> str:
        """Its name with what it rests on."""
        more = "" if self.worth is None else f", worth {int(self.worth):,}"
        return f"{self.name} (n={self.n:,}{more})"


@dataclass(frozen=True, slots=True)
class Compared:
    """A quantity in every group that has enough rows to be told."""

    quantity: str
    rates: tuple[Rate, ...]


def compared(details: Mapping[str, Any], task: Task) -> tuple[Compared, ...]:
    """Return what the details of a gate say of groups; nothing for a gate that judges none."""
    groups = details.get("groups")
    listed = [one for one in groups if isinstance(one, dict)] if isinstance(groups, list) else []
    names = dict.fromkeys(key.removesuffix("Rows") for one in listed for key in one if key.endswith("Rows"))
    found = (Compared(_spaced(name), tuple(_rates(listed, name, task))) for name in names)
    return tuple(one for one in found if len(one.rates) > 1)


def _rates(listed: list[dict[str, Any]], name: str, task: Task) -> Iterator[Rate]:
    for one in listed:
        value, n, worth = one.get(name), one.get(f"{name}Rows"), one.get(f"{name}Worth")
        if not isinstance(value, int | float) or not isinstance(n, int):
            continue
        size = float(worth) if isinstance(worth, int | float) else float(n)
        bounds: tuple[float | None, float | None] = (None, None)
        if task != "regression" and 0 <= value <= 1 and size >= 1:
            bounds = exact_proportion(value * size, size, _LEVEL)
        yield Rate(str(one.get("group")), float(value), *bounds, n, size if size != n else None)


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
