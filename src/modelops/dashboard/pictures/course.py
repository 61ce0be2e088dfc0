"""The course of a metric over releases: a value with its interval for each, and the limit that a gate sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelops.dashboard.pictures.drawing import add, done, scale, sheet, short, written

_WIDTH, _HEIGHT = 360, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 14, 26
_MOST = 40


@dataclass(frozen=True, slots=True)
class Point:
    """One release's value with its interval; ``kind`` is stable, candidate or past."""

    name: str
    value: float
    lower: float
    upper: float
    kind: str = "past"
    href: str = ""


def course(title: str, points: Sequence[Point]) -> Markup:
    """Return the newest points from left to right; the page has the numbers in a table as well."""
    shown = list(points)[-_MOST:]
    told = ", ".join(f"release {one.name} {short(one.value)}" for one in shown[-5:])
    drawn = sheet(_WIDTH, _HEIGHT, "course", f"{title} by release: {told}", linked=True)
    ends = [end for one in shown for end in (one.lower, one.value, one.upper)]
    up = scale(ends, _HEIGHT - _BOTTOM, _TOP)
    for tick in up.ticks:
        add(drawn, "line", "grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=up.at(tick), y2=up.at(tick))
        written(drawn, short(tick), _LEFT - 8, up.at(tick) + 4, "tick", "end")
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(shown), 1)
    places = [_LEFT + step * (at + 0.5) for at in range(len(shown))]
    if len(shown) > 1:
        line = " ".join(f"{x:.1f},{up.at(one.value):.1f}" for x, one in zip(places, shown, strict=True))
        add(drawn, "polyline", "line", points=line)
    every = max(1, round(len(shown) / 12))
    for at, (x, one) in enumerate(zip(places, shown, strict=True)):
        group = (
            add(drawn, "a", f"point {one.kind}", href=one.href) if one.href else add(drawn, "g", f"point {one.kind}")
        )
        said = f"release {one.name}: {short(one.value)} [{short(one.lower)}, {short(one.upper)}]"
        add(group, "title").text = f"{said}{', ' + one.kind if one.kind != 'past' else ''}"
        add(group, "line", "whisker", x1=x, x2=x, y1=up.at(one.lower), y2=up.at(one.upper))
        add(group, "circle", "dot", cx=x, cy=up.at(one.value), r=4.5)
        if (len(shown) - 1 - at) % every == 0:
            written(drawn, one.name, x, _HEIGHT - 8, "tick", "middle")
    return done(drawn)
