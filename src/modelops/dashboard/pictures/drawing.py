"""What every picture is drawn with: an SVG element tree, a scale with round ticks, and numbers of few digits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from modelops.markup import plain

__all__ = ["Scale", "add", "cut", "done", "hint", "scale", "sheet", "short", "written"]


def sheet(width: int, height: int, kind: str, title: str, *, linked: bool = False) -> Element:
    """Return an empty picture that fits the width it is given and has a title for those who do not see it.

    A ``linked`` one has links in it, so it is a group: of an image nobody would hear them.
    """
    drawn = Element("svg", {"class": f"picture {kind}", "viewBox": f"0 0 {width} {height}"})
    for name, value in (("role", "group" if linked else "img"), ("aria-label", plain(title))):
        drawn.set(name, value)
    drawn.set("width", str(width))
    drawn.set("height", str(height))
    return drawn


def add(parent: Element, tag: str, kind: str = "", **attributes: float | str) -> Element:
    """Add an element; numbers are written with at most two decimals, underscores of names as dashes."""
    said = {name.replace("_", "-"): _attribute(value) for name, value in attributes.items()}
    return SubElement(parent, tag, {"class": kind, **said} if kind else said)


def written(parent: Element, text: str, x: float, y: float, kind: str = "", anchor: str = "start") -> Element:
    """Add a text."""
    found = add(parent, "text", kind, x=x, y=y, text_anchor=anchor)
    found.text = plain(text)
    return found


def hint(parent: Element, text: str) -> None:
    """Say in words what an element shows, as a browser tells it of what is pointed at."""
    add(parent, "title").text = plain(text)


def done(drawn: Element) -> Markup:
    """Return a picture as the text that a page holds."""
    return Markup(tostring(drawn, encoding="unicode"))  # noqa: S704 - the element tree has escaped every value


def _attribute(value: float | str) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}"


def short(value: float) -> str:
    """Return a number with four significant digits."""
    return f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Takes values to places: ``low`` lies at ``start`` and ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return the place of a value; one beyond the ends lies at the end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def scale(values: Iterable[float], start: float, end: float, ticks: int = 4) -> Scale:
    """Return a scale that holds all values, with round ticks at both ends."""
    found: Sequence[float] = [value for value in values if math.isfinite(value)]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    if high - low < 1e-12 * max(1.0, abs(high)):
        spread = abs(high) * 0.1 or 1.0
        low, high = low - spread, high + spread
    step = _round((high - low) / ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = tuple(number * step for number in range(first, last + 1))
    return Scale(marks[0], marks[-1], start, end, marks)


def _round(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if step <= power * factor * (1 + 1e-9))


def cut(text: str, most: int) -> str:
    """Return a text of at most so many letters, in one line."""
    said = plain(text)
    return said if len(said) <= most else said[: most - 1] + "…"
