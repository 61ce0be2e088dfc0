"""Intervals beside each other on one scale: a release beside the stable one, groups of a fairness gate, a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelops.dashboard.pictures.drawing import add, cut, done, hint, scale, sheet, short, written

_WIDTH, _ROW, _TOP, _BOTTOM, _LEFT, _RIGHT = 640, 26, 8, 24, 190, 16


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the bounds that are known; ``kind`` is stable, candidate or past."""

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    kind: str = "candidate"


def intervals(title: str, rows: Sequence[Interval], limit: float | None = None) -> Markup:
    """Return a row for each interval, the limit as a line across them."""
    told = "; ".join(f"{one.name} {short(one.value)}" for one in rows[:8])
    high = _TOP + _ROW * len(rows) + _BOTTOM
    drawn = sheet(_WIDTH, high, "intervals", f"{title}: {told}")
    values = [end for one in rows for end in (one.lower, one.value, one.upper) if end is not None]
    across = scale([*values, *([limit] if limit is not None else [])], _LEFT, _WIDTH - _RIGHT, 5)
    for tick in across.ticks:
        add(drawn, "line", "grid", x1=across.at(tick), x2=across.at(tick), y1=_TOP, y2=high - _BOTTOM)
        written(drawn, short(tick), across.at(tick), high - 7, "tick", "middle")
    if limit is not None:
        line = add(drawn, "line", "limit", x1=across.at(limit), x2=across.at(limit), y1=_TOP, y2=high - _BOTTOM)
        hint(line, f"limit {short(limit)}")
    for at, one in enumerate(rows):
        y = _TOP + _ROW * (at + 0.5)
        group = add(drawn, "g", f"point {one.kind}")
        hint(group, _said(one))
        written(group, cut(one.name, 26), _LEFT - 12, y + 4, "label", "end")
        if one.lower is not None and one.upper is not None:
            add(group, "line", "whisker", x1=across.at(one.lower), x2=across.at(one.upper), y1=y, y2=y)
        add(group, "circle", "dot", cx=across.at(one.value), cy=y, r=5)
    return done(drawn)


def _said(one: Interval) -> str:
    if one.lower is None or one.upper is None:
        return f"{one.name}: {short(one.value)}"
    return f"{one.name}: {short(one.value)} [{short(one.lower)}, {short(one.upper)}]"
