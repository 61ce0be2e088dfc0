"""Where things come from: columns of boxes, and a line from each to what was made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from modelops.dashboard.pictures.drawing import add, cut, done, hint, sheet, written

_BOX, _GAP, _ROW, _HIGH, _TOP = 208, 52, 58, 42, 26
_LETTERS = 25


@dataclass(frozen=True, slots=True)
class Node:
    """A box: what it is called, one line about it, where it leads, and from which boxes (by key) it comes."""

    key: str
    name: str
    about: str = ""
    href: str = ""
    kind: str = ""
    comes_from: tuple[str, ...] = ()


def graph(title: str, columns: Mapping[str, Sequence[Node]]) -> Markup:
    """Return the columns from left to right with their headings."""
    high = _TOP + _ROW * max((len(nodes) for nodes in columns.values()), default=1)
    wide = len(columns) * (_BOX + _GAP) - _GAP
    told = "; ".join(f"{name}: {', '.join(node.name for node in nodes)}" for name, nodes in columns.items() if nodes)
    drawn = sheet(wide + 2, high, "graph", f"{title}. {told}", linked=True)
    places = {
        node.key: (1 + at * (_BOX + _GAP), _TOP + _ROW * row)
        for at, nodes in enumerate(columns.values())
        for row, node in enumerate(nodes)
    }
    for nodes in columns.values():
        for node in nodes:
            for before in node.comes_from:
                if before in places:
                    _line(drawn, places[before], places[node.key], node.kind)
    for at, (name, nodes) in enumerate(columns.items()):
        written(drawn, name, 1 + at * (_BOX + _GAP), 14, "tick")
        for node in nodes:
            _box(drawn, node, *places[node.key])
    return done(drawn)


def _line(drawn: Element, start: tuple[int, int], end: tuple[int, int], kind: str) -> None:
    x1, y1, x2, y2 = start[0] + _BOX, start[1] + _HIGH / 2, end[0], end[1] + _HIGH / 2
    middle = (x1 + x2) / 2
    add(drawn, "path", f"edge {kind}".strip(), d=f"M{x1:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}")


def _box(drawn: Element, node: Node, x: int, y: int) -> None:
    around = {"href": node.href} if node.href else {}
    group = add(drawn, "a" if node.href else "g", f"box {node.kind}".strip(), **around)
    hint(group, f"{node.name} {node.about}".strip())
    add(group, "rect", x=x, y=y, width=_BOX, height=_HIGH, rx=8)
    written(group, cut(node.name, _LETTERS), x + 12, y + (18 if node.about else 26), "label")
    if node.about:
        written(group, cut(node.about, 32), x + 12, y + 34, "tick")
