"""A picture of simulations, as SVG: for each, how its runs ended by when, and the weight on trial meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape as escape_xml

import numpy as np

from modelops.markup import plain
from modelops.rollouts.simulation import Array, End, Simulation

__all__ = ["picture"]

_WIDTH, _PANEL, _HEAD = 760, 250, 62
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 20, 34, 44
_COLOURS: dict[End, str] = {
    "promote": "#3a9a7c",
    "keep": "#8a94a6",
    "rollback": "#cf4b52",
    "held": "#d9a13b",
    "hold": "#f1f2f4",
}
_WORDS: dict[End, str] = {
    "promote": "promoted",
    "keep": "kept stable",
    "rollback": "rolled back",
    "held": "held for a person",
    "hold": "not decided",
}
_LINE = "#1d2733"
_UNITS = ((60.0 * 24, "days", 60 * 24 * 3), (60.0, "hours", 180), (1.0, "minutes", 0))


def picture(title: str, simulations: Sequence[tuple[str, Simulation]]) -> str:
    """Return an SVG document with one panel per named simulation."""
    height = _HEAD + _PANEL * len(simulations)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="Helvetica, Arial, sans-serif" font-size="12" role="img">',
        f"<title>{_xml(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_LEFT, 24, title, size=15, weight="bold"),
        *_legend([one for _, one in simulations]),
    ]
    for at, (name, simulation) in enumerate(simulations):
        parts.append(f'<g transform="translate(0 {_HEAD + at * _PANEL})">')
        parts += _panel(name, simulation)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _xml(value: str) -> str:
    return escape_xml(plain(value))


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: str = "normal", fill: str = _LINE
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" fill="{fill}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{_xml(text)}</text>'


def _legend(simulations: Sequence[Simulation]) -> Iterable[str]:
    x = float(_LEFT)
    for end, colour in _COLOURS.items():
        if end == "held" and not any(simulation.rate(end).count for simulation in simulations):
            continue
        yield f'<rect x="{x:.1f}" y="38" width="12" height="12" fill="{colour}" stroke="#c4c9d0" stroke-width="0.5"/>'
        yield _text(x + 17, 48, _WORDS[end])
        x += 34 + 6.2 * len(_WORDS[end])
    yield f'<path d="M{x:.1f} 44 h22" stroke="{_LINE}" stroke-width="2" stroke-dasharray="5 3" fill="none"/>'
    yield _text(x + 27, 48, "mean weight on trial")


def _panel(name: str, simulation: Simulation) -> Iterable[str]:
    times, ended, weight = simulation.timeline()
    wide, high = _WIDTH - _LEFT - _RIGHT, _PANEL - _TOP - _BOTTOM
    last = float(times[-1]) or 1.0
    x = _LEFT + times / last * wide
    yield _text(_LEFT, _TOP - 9, f"{name} ({len(simulation.runs):,} runs)", weight="bold")
    yield f'<rect x="{_LEFT}" y="{_TOP}" width="{wide}" height="{high}" fill="{_COLOURS["hold"]}"/>'
    yield from _areas(x, ended, high)
    y = _TOP + (1 - weight) * high
    yield f'<path d="{_path(x, y)}" stroke="{_LINE}" stroke-width="2" stroke-dasharray="5 3" fill="none"/>'
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        level = _TOP + (1 - share) * high
        line = f'<path d="M{_LEFT} {level:.1f} h{wide}" stroke="#ffffff" stroke-opacity="0.55" stroke-width="1"/>'
        yield line
        yield _text(_LEFT - 7, level + 4, f"{share:.0%}", anchor="end", size=11)
    unit, word = next((size, word) for size, word, least in _UNITS if last >= least)
    for tick in _ticks(last / unit):
        at = _LEFT + tick * unit / last * wide
        yield f'<path d="M{at:.1f} {_TOP + high} v4" stroke="{_LINE}" stroke-width="1"/>'
        yield _text(at, _TOP + high + 17, f"{tick:g}", anchor="middle", size=11)
    yield _text(_LEFT + wide, _TOP + high + 32, word, anchor="end", size=11)


def _areas(x: Array, ended: dict[End, Array], high: float) -> Iterable[str]:
    """Stack the shares: rolled back from below, then held and kept, promoted on top of those."""
    below = np.zeros(len(x))
    ends: tuple[End, ...] = ("rollback", "held", "keep", "promote")
    for end in ends:
        above = below + ended[end]
        if ended[end][-1] > 0:
            outline = _path(x, _TOP + (1 - above) * high) + " L" + _path(x[::-1], _TOP + (1 - below[::-1]) * high)[1:]
            yield f'<path d="{outline} Z" fill="{_COLOURS[end]}"/>'
        below = above


def _path(x: Array, y: Array) -> str:
    return "M" + " L".join(f"{one:.1f} {other:.1f}" for one, other in zip(x, y, strict=True))


def _ticks(last: float) -> list[float]:
    """Return about six round numbers from 0 to ``last``."""
    step = 10 ** math.floor(math.log10(last / 6))
    step *= next(factor for factor in (1, 2, 5, 10) if last / (step * factor) <= 7)
    return [round(number * step, 9) for number in range(int(last / step) + 1)]
