"""Shares of bins beside each other: a column of a window, and what it was in the reference."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from modelops.dashboard.pictures.drawing import add, cut, done, hint, sheet, written

_WIDTH, _ROW, _TOP, _LEFT, _RIGHT, _THICK = 360, 30, 4, 122, 46, 10
_LETTERS, _TOLD = 18, 4


def beside(title: str, bins: Sequence[tuple[str, float, float]]) -> Markup:
    """Return a row for each bin: its name, and a bar for its share of the reference above that of the window.

    In words it says which shares moved most; the page has all of them in a table as well.
    """
    moved = sorted(bins, key=lambda each: -abs(each[2] - each[1]))[:_TOLD]
    told = "; ".join(f"{name} was {before:.1%}, is {now:.1%}" for name, before, now in moved)
    drawn = sheet(_WIDTH, 2 * _TOP + _ROW * len(bins), "beside", f"{title}: {told}")
    longest = max((share for _, *shares in bins for share in shares), default=0.0) or 1.0
    for at, (name, before, now) in enumerate(bins):
        y = _TOP + _ROW * at
        group = add(drawn, "g")
        hint(group, f"{cut(name, 80)}: {before:.1%} of the reference, {now:.1%} of the window")
        written(group, cut(name, _LETTERS), _LEFT - 8, y + 17, "tick", "end")
        for share, kind, top in ((before, "reference", y + 3), (now, "window", y + 4 + _THICK)):
            wide = (_WIDTH - _LEFT - _RIGHT) * share / longest
            add(group, "rect", kind, x=_LEFT, y=top, width=max(wide, 0.5), height=_THICK)
            written(group, f"{share:.1%}", _LEFT + max(wide, 0.5) + 4, top + _THICK - 1, "tick")
    return done(drawn)
