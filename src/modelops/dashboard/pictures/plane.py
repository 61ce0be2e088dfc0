"""Two numbers beside each other: a curve with its band, or groups with intervals, and a line to hold them against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from modelops.dashboard.pictures.drawing import Scale, add, done, hint, scale, sheet, short, written

__all__ = ["Mark", "Plane", "plane"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 360, 330, 54, 14, 14, 46
_DOT, _SERVED = 4.5, 6


@dataclass(frozen=True, slots=True)
class Mark:
    """A group: where it lies, the bounds of its height where they are known, and what is said of it."""

    x: float
    y: float
    lower: float | None = None
    upper: float | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Plane:
    """What is drawn: ``across`` and ``up`` name the axes, ``said`` is what the picture shows, in words.

    ``line`` is a curve, ``band`` the outline of what may be true of it, ``marks`` are groups, ``served`` is the point
    that counts. ``diagonal`` is where both numbers are equal, ``level`` a height to hold all against. Without ``unit``
    the axes are as long as the values ask for; with it they go from 0 to 1.
    """

    title: str
    said: str
    across: str
    up: str
    line: Sequence[tuple[float, float]] = ()
    band: Sequence[tuple[float, float]] = ()
    marks: Sequence[Mark] = ()
    served: Mark | None = None
    diagonal: bool = False
    level: float | None = None
    unit: bool = True


def plane(shown: Plane) -> Markup:
    """Return the picture; the page has its numbers in a table as well."""
    drawn = sheet(_WIDTH, _HEIGHT, "plane", f"{shown.title}: {shown.said}")
    across, up = _axes(drawn, shown)
    if shown.band:
        add(drawn, "polygon", "band", points=_points(shown.band, across, up))
    if shown.diagonal:
        low, high = max(across.low, up.low), min(across.high, up.high)
        ends = {"x1": across.at(low), "y1": up.at(low), "x2": across.at(high), "y2": up.at(high)}
        add(drawn, "line", "chance", **ends)
    if shown.level is not None:
        ends = {"x1": across.start, "x2": across.end, "y1": up.at(shown.level), "y2": up.at(shown.level)}
        hint(add(drawn, "line", "chance", **ends), short(shown.level))
    if shown.line:
        add(drawn, "polyline", "curve", points=_points(shown.line, across, up))
    for mark in shown.marks:
        _mark(drawn, mark, across, up, "mark", _DOT)
    if shown.served is not None:
        _mark(drawn, shown.served, across, up, "mark served", _SERVED)
    return done(drawn)


def _axes(drawn: Element, shown: Plane) -> tuple[Scale, Scale]:
    """Draw the grid and the names of both axes."""
    xs = [0.0, 1.0] if shown.unit else [one.x for one in shown.marks]
    ys = [0.0, 1.0] if shown.unit else [_ for one in shown.marks for _ in (one.y, one.lower, one.upper) if _finite(_)]
    ys += [] if shown.unit or shown.level is None else [shown.level]
    across = scale(xs, _LEFT, _WIDTH - _RIGHT, 5 if shown.unit else 4)
    up = scale([one for one in ys if one is not None], _HEIGHT - _BOTTOM, _TOP, 5)
    for tick in across.ticks:
        add(drawn, "line", "grid", x1=across.at(tick), x2=across.at(tick), y1=_TOP, y2=_HEIGHT - _BOTTOM)
        written(drawn, short(tick), across.at(tick), _HEIGHT - _BOTTOM + 16, "tick", "middle")
    for tick in up.ticks:
        add(drawn, "line", "grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=up.at(tick), y2=up.at(tick))
        written(drawn, short(tick), _LEFT - 7, up.at(tick) + 4, "tick", "end")
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    written(drawn, shown.across, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, "tick", "middle")
    name = written(drawn, shown.up, 12, middle, "tick", "middle")
    name.set("transform", f"rotate(-90 12 {middle:g})")
    return across, up


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _points(line: Sequence[tuple[float, float]], across: Scale, up: Scale) -> str:
    return " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in line)


def _mark(drawn: Element, mark: Mark, across: Scale, up: Scale, kind: str, size: float) -> None:
    group = add(drawn, "g", kind)
    hint(group, mark.said or f"{short(mark.x)}, {short(mark.y)}")
    if mark.lower is not None and mark.upper is not None:
        x = across.at(mark.x)
        add(group, "line", "whisker", x1=x, x2=x, y1=up.at(mark.lower), y2=up.at(mark.upper))
    add(group, "circle", "dot", cx=across.at(mark.x), cy=up.at(mark.y), r=size)
