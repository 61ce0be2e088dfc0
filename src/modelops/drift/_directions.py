"""Which way a column went: numbers up, down, wider or narrower; categories towards what there is more of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelops.spec.kinds.data_snapshot import Summary

__all__ = ["of_bins", "of_numbers"]

_ONE_WAY = 0.5
"""The values went one way where they went the other way by at most this part of it."""
_LONGEST = 40


def of_numbers(reference: Sequence[int], window: Sequence[int]) -> str:
    """Return the way of numbers that are counted in the same ordered bins, "" where none moved.

    Where the window's distribution function lies below the reference's, its values are larger. One that lies above it
    first and below it then has more in both tails.
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    if not first.sum() or not second.sum():
        return ""
    apart = np.cumsum(first) / first.sum() - np.cumsum(second) / second.sum()
    up, down = max(0.0, float(apart.max())), max(0.0, -float(apart.min()))
    if max(up, down) < 1e-9:
        return ""
    if down <= _ONE_WAY * up:
        return "up"
    if up <= _ONE_WAY * down:
        return "down"
    return "wider" if int(np.argmin(apart)) < int(np.argmax(apart)) else "narrower"


def of_bins(reference: Summary, window: Summary) -> str:
    """Return the way of a column that is counted in the same bins; of categories, what rose most.

    Missing numbers are told of where their share rose by more than the distribution functions lie apart.
    """
    totals = [max(1, sum(each.counts) + each.other + each.missing) for each in (reference, window)]
    if reference.kind == "number":
        more = window.missing / totals[1] - reference.missing / totals[0]
        first, second = ([0, *each.counts] for each in (reference, window))
        way = of_numbers(first, second)
        shares = [np.cumsum(each) / max(1, sum(each)) for each in (first, second)]
        return "more missing values" if more > float(np.abs(shares[0] - shares[1]).max()) else way
    names = [*(f"more {_short(name)}" for name in reference.categories), "more of other categories"]
    first, second = ([*each.counts, each.other, each.missing] for each in (reference, window))
    rises = [b / totals[1] - a / totals[0] for a, b in zip(first, second, strict=True)]
    most = int(np.argmax(rises))
    return [*names, "more missing values"][most] if rises[most] > 1e-9 else ""


def _short(name: str) -> str:
    return repr(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…")
