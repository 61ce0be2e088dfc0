"""The course of a value over releases or windows: the value with its interval for each, and a limit across them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelops.dashboard.pictures.drawing import add, done, hint, scale, sheet, short, written

_WIDTH, _HEIGHT = 360, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 14, 26
_MOST = 40
_LETTER = 7
"""So wide is a letter of a name, which may not run into the next."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value with its interval; ``name`` is its release or day, ``kind`` stable, candidate or past."""

    name: str
    value: float
    lower: float
    upper: float
    kind: str = "past"
    href: str = ""


def course(title: str, points: Sequence[Point], of: str = "release", limit: float | None = None) -> Markup:
    """Return the newest points from left to right; the page has the numbers in a table as well."""
    shown = list(points)[-_MOST:]
    told = ", ".join(f"{of} {one.name} {short(one.value)}" for one in shown[-5:])
    linked = any(one.href for one in shown)
    drawn = sheet(_WIDTH, _HEIGHT, "course", f"{title} by {of}: {told}", linked=linked)
    ends = [end for one in shown for end in (one.lower, one.value, one.upper)]
    ends += [] if limit is None else [limit]
    up = scale(ends, _HEIGHT - _BOTTOM, _TOP)
    for tick in up.ticks:
        add(drawn, "line", "grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=up.at(tick), y2=up.at(tick))
        written(drawn, short(tick), _LEFT - 8, up.at(tick) + 4, "tick", "end")
    if limit is not None:
        line = add(drawn, "line", "limit", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=up.at(limit), y2=up.at(limit))
        hint(line, f"limit {short(limit)}")
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(shown), 1)
    places = [_LEFT + step * (at + 0.5) for at in range(len(shown))]
    if len(shown) > 1:
        places_of = " ".join(f"{x:.1f},{up.at(one.value):.1f}" for x, one in zip(places, shown, strict=True))
        add(drawn, "polyline", "line", points=places_of)
    letters = max((len(one.name) for one in shown), default=1)
    every = max(1, round(len(shown) / 12), math.ceil(letters * _LETTER / step))
    for at, (x, one) in enumerate(zip(places, shown, strict=True)):
        group = (
            add(drawn, "a", f"point {one.kind}", href=one.href) if one.href else add(drawn, "g", f"point {one.kind}")
        )
        said = f"{of} {one.name}: {short(one.value)} [{short(one.lower)}, {short(one.upper)}]"
        hint(group, f"{said}{', ' + one.kind if one.kind != 'past' else ''}")
        add(group, "line", "whisker", x1=x, x2=x, y1=up.at(one.lower), y2=up.at(one.upper))
        add(group, "circle", "dot", cx=x, cy=up.at(one.value), r=4.5)
        if (len(shown) - 1 - at) % every == 0:
            written(drawn, one.name, x, _HEIGHT - 8, "tick", "middle")
    return done(drawn)
