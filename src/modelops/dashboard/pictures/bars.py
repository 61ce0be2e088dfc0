"""Counts as bars: how often a model gave which score."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from modelops.dashboard.pictures.drawing import add, done, hint, scale, sheet, short, written

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 150, 52, 24, 10


def bars(title: str, edges: Sequence[float], counts: Sequence[int]) -> Markup:
    """Return a histogram: one bar more than inner ``edges``, as high as its rows are dense, so that areas compare."""
    total = sum(counts)
    drawn = sheet(_WIDTH, _HEIGHT, "bars", f"{title}: {total} rows in {len(counts)} bins")
    widths = [high - low for low, high in pairwise(edges)]
    density = [count / width if width > 0 else 0.0 for count, width in zip(counts, widths, strict=False)]
    across = scale(edges, _LEFT, _WIDTH - 12, 6)
    up = scale([0.0, *density], _HEIGHT - _BOTTOM, _TOP, 2)
    for tick in across.ticks:
        written(drawn, short(tick), across.at(tick), _HEIGHT - 7, "tick", "middle")
    for low, high, dense, count in zip(edges, edges[1:], density, counts, strict=False):
        left, right = across.at(low), across.at(high)
        box = add(
            drawn,
            "rect",
            "bar",
            x=left,
            y=up.at(dense),
            width=max(right - left - 1, 0.5),
            height=up.at(0) - up.at(dense),
        )
        hint(box, f"{short(low)} to {short(high)}: {count} rows")
    add(drawn, "line", "axis", x1=_LEFT, x2=_WIDTH - 12, y1=up.at(0), y2=up.at(0))
    return done(drawn)
