"""What may be written into git of a column: values that many rows share, and nothing that is one person's.

Git never forgets and a snapshot is signed, so what is quoted there once is quoted for ever.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from modelops.spec.kinds.data_snapshot import Summary
from modelops.summaries.fitting import shortest

__all__ = ["SHARED", "outward", "outward_instants", "shareable"]

SHARED = 10
"""A value is written down only if at least so many rows have it, and a bin only if so many rows lie in it."""


def outward(low: float, high: float, at_low: int, at_high: int) -> tuple[float, float] | None:
    """Return the ends of a range as they may be written down, None where nothing may be.

    An end that ``SHARED`` rows have is itself; any other is moved outwards to a round number, a step of which is at
    most the width of the range and more than a tenth of it.
    """
    if low == high:
        return (low, high) if at_low >= SHARED else None
    step = _step(low, high)
    if step is None:
        return (low if at_low >= SHARED else -math.inf, high if at_high >= SHARED else math.inf)
    return (
        low if at_low >= SHARED else _clean(math.floor(low / step) * step),
        high if at_high >= SHARED else _clean(math.ceil(high / step) * step),
    )


def _step(low: float, high: float) -> float | None:
    """Return the power of ten that a range is measured in, None where floats have no such number."""
    width = high / 2 - low / 2
    if not width > 0 or not math.isfinite(width):
        return None
    exponent = math.floor(math.log10(width) + math.log10(2))
    return 10.0**exponent if -300 < exponent < 300 else None


def _clean(number: float) -> float:
    return float(f"{number:.12g}")


def outward_instants(low: datetime, high: datetime, *, events: bool) -> tuple[datetime, datetime]:
    """Return the ends of a range of instants: of ``events`` their days, of others years, or months of few years."""
    if events:
        return _day(low), _day(high)
    if high - low > timedelta(days=730):
        return datetime(low.year, 1, 1, tzinfo=UTC), datetime(min(high.year + 1, 9999), 1, 1, tzinfo=UTC)
    after = high.replace(day=28) + timedelta(days=4) if (high.year, high.month) < (9999, 12) else high
    return datetime(low.year, low.month, 1, tzinfo=UTC), datetime(after.year, after.month, 1, tzinfo=UTC)


def _day(instant: datetime) -> datetime:
    return datetime(instant.year, instant.month, instant.day, tzinfo=UTC)


def shareable(summary: Summary, minimum: object, maximum: object) -> Summary:
    """Return a summary in which no bin and no category is of few rows; its extremes are the ones that are given."""
    if summary.kind == "category":
        kept = [(name, n) for name, n in zip(summary.categories, summary.counts, strict=True) if n >= SHARED]
        rest = sum(summary.counts) - sum(n for _, n in kept)
        update: dict[str, Any] = {"categories": tuple(name for name, _ in kept), "counts": tuple(n for _, n in kept)}
        return summary.model_copy(update=update | {"other": summary.other + rest})
    ends = [float(end) if isinstance(end, int | float) and math.isfinite(end) else None for end in (minimum, maximum)]
    found = _coarse(summary)
    return found.model_copy(update={"minimum": ends[0], "maximum": ends[1]})


def _coarse(summary: Summary) -> Summary:
    """Join each bin of few rows with the emptier of its neighbours until none is left; empty ones quote nobody."""
    edges, counts, means = list(summary.edges), list(summary.counts), list(summary.means)
    while True:
        few = [index for index, n in enumerate(counts) if 0 < n < SHARED]
        if not few or len(counts) == 1:
            break
        at = min(few, key=lambda index: counts[index])
        beside = [index for index in (at - 1, at + 1) if 0 <= index < len(counts)]
        left = min(at, min(beside, key=lambda index: (counts[index] == 0, counts[index])))
        total = counts[left] + counts[left + 1]
        if means:
            parts = (means[left] * (counts[left] / total), means[left + 1] * (counts[left + 1] / total))
            means[left : left + 2] = [parts[0] + parts[1]]
        counts[left : left + 2] = [total]
        del edges[left]
    joined = len(counts) < len(summary.counts)
    if means and joined:
        means = [_blurred(mean, edges, index) for index, mean in enumerate(means)]
    update = {"edges": tuple(edges), "counts": tuple(counts), "means": tuple(means)}
    return summary.model_copy(update=update)


def _blurred(mean: float, edges: list[float], index: int) -> float:
    """Return a mean in few digits, within its bin."""
    low = edges[index - 1] if index else -math.inf
    high = edges[index] if index < len(edges) else math.inf
    slack = max(abs(mean) * 1e-3, 1e-300)
    lower, upper = max(low, mean - slack), min(high, mean + slack)
    return shortest(lower, upper) if lower < upper else mean
