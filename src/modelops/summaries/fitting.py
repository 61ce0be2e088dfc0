"""Summarising a column: where the bins of its numbers lie, and which of its categories are listed."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pyarrow as pa

from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.meta import FeatureType
from modelops.summaries.columns import FloatArray, numbers, tally, texts
from modelops.summaries.counting import count

__all__ = ["closed", "completed", "edge_above", "edge_below", "kind_of", "shortest", "summarise"]

BINS = 100
"""A number has about this many bins, fewer where that left less than about eight rows in each."""
FEWEST_BINS, ROWS_OF_A_BIN = 40, 8
TAIL_HALVINGS = 6
"""The outermost bins are halved by rank this often while they hold enough rows: distances live in the tails."""
EDGE_SAMPLE = 1 << 20
"""At most about this many values place the bin edges; all values are counted."""
LISTED, LISTED_IF_FREQUENT = 30, 200
RARE = 0.001
_FEWEST_DIGITS, _MOST_DIGITS = 2, 17
_MARGIN = 2e-6
"""A number that was sent as a 32-bit float is at most this share of itself away."""


def kind_of(feature_type: FeatureType) -> Literal["number", "category"]:
    """Return how a feature of this type is summarised: categories by value, everything else as a number."""
    return "category" if feature_type == "category" else "number"


def summarise(values: pa.ChunkedArray, kind: Literal["number", "category"]) -> Summary:
    """Summarise a column.

    Parameters
    ----------
    values : pa.ChunkedArray of shape (n,)
        Numbers, booleans, dates or instants (seconds since 1970) for ``number``; text for ``category``. Null, NaN,
        infinity and the empty text are missing.
    kind : {"number", "category"}
        How the column is counted.

    Returns
    -------
    Summary
        ``edges`` are inner bin edges, lower bound included: bin i holds ``edges[i-1] <= x < edges[i]``. They lie
        between neighbouring values, so a value sent as 32-bit float falls into the same bin. A value that alone fills
        more than a bin has a bin of its own. A function of the values, whatever their chunks.
    """
    return _categories(values) if kind == "category" else _numbers(values)


def completed(summary: Summary, minimum: object, maximum: object) -> Summary:
    """Return a summary of numbers with the column's extremes, which version 0.1.0 did not write into it."""
    if summary.kind == "category" or summary.minimum is not None:
        return summary
    if not isinstance(minimum, int | float) or not isinstance(maximum, int | float):
        return summary
    return summary.model_copy(update={"minimum": float(minimum), "maximum": float(maximum)})


def edge_below(number: float) -> float:
    """Return an edge that lies just below a number and below its copies of 32 bits, -inf where there is none."""
    return -edge_above(-number)


def edge_above(number: float) -> float:
    """Return an edge that lies just above a number and above its copies of 32 bits, inf where there is none."""
    above = number + (abs(number) * _MARGIN or 2e-12)
    return shortest(number, above) if math.isfinite(above) else above


def _numbers(values: pa.ChunkedArray) -> Summary:
    found = np.concatenate([np.empty(0), *numbers(values)])
    found = found[~np.isnan(found)]
    if not len(found):
        return Summary(kind="number", counts=(0,), missing=len(values))
    low, high = float(found.min()), float(found.max())
    if len(found) > EDGE_SAMPLE:
        found = found[:: -(-len(found) // EDGE_SAMPLE)]
    found = np.sort(found)
    cuts = _cuts(found)
    edges = sorted({edge for cut in cuts if math.isfinite(edge := _edge(found, cut))})
    empty = Summary(
        kind="number",
        edges=tuple(edges),
        counts=(0,) * (len(edges) + 1),
        means=_means(found, edges, low, high),
        minimum=low,
        maximum=high,
    )
    return count(empty, values)


def _cuts(ordered: FloatArray) -> set[int]:
    """Return where the sorted values are cut: into bins of equal size, never through a tie.

    A value that alone fills more than a bin gets a bin of its own, closed on both sides, so that a constant or a
    coded column notices values it never held.
    """
    n = len(ordered)
    bins = min(BINS, max(FEWEST_BINS, n // ROWS_OF_A_BIN))
    ranks = [round(k * n / bins) for k in range(1, bins)]
    tail = [n // (bins << halving) for halving in range(1, TAIL_HALVINGS + 1)]
    ranks += [rank for size in tail if size >= ROWS_OF_A_BIN for rank in (size, n - size)]
    places = np.minimum(np.array(ranks, dtype=np.int64), n - 1)
    starts = np.searchsorted(ordered, ordered[places], side="left")
    ends = np.searchsorted(ordered, ordered[places], side="right")
    cuts: set[int] = set()
    for index, start, end in zip(ranks, starts.tolist(), ends.tolist(), strict=True):
        if (end - start) * bins > n:
            cuts |= {start, end}
        else:
            cuts.add(start if index - start <= end - index and start > 0 else end)
    return cuts


def _edge(ordered: FloatArray, cut: int) -> float:
    if cut == 0:
        return edge_below(float(ordered[0]))
    if cut == len(ordered):
        return edge_above(float(ordered[-1]))
    return shortest(float(ordered[cut - 1]), float(ordered[cut]))


def _means(ordered: FloatArray, edges: list[float], low: float, high: float) -> tuple[float, ...]:
    """Return the mean of each bin's values in few digits; an empty bin stands at its edge."""
    marks = np.concatenate([[0], np.searchsorted(ordered, edges, side="left"), [len(ordered)]])
    held = marks[1:] > marks[:-1]
    starts, ends = marks[:-1][held], marks[1:][held]
    first, last = ordered[starts], ordered[ends - 1]
    # Divided by their size first: the sum of large numbers may have no finite value.
    scale = np.maximum(np.abs(first), np.abs(last))
    scale[scale == 0] = 1.0
    scaled, sizes = ordered / np.repeat(scale, ends - starts), ends - starts
    # Summed bin by bin, in pairs, as np.mean does: a running sum rounds otherwise, and profiles are compared.
    sums = [np.add.reduce(scaled[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    means = np.array(sums) / sizes * scale
    slack = (last / 2 - first / 2) * 2e-3
    rounded = [
        begin if begin == end else shortest(mean - near, mean + near) if near > 0 else mean
        for begin, end, mean, near in zip(*(each.tolist() for each in (first, last, means, slack)), strict=True)
    ]
    if len(rounded) == len(edges) + 1:
        return tuple(rounded)
    borders, found = [low, *edges, high], iter(rounded)
    return tuple(
        next(found) if some else borders[index] if index else edges[0] for index, some in enumerate(held.tolist())
    )


def shortest(low: float, high: float) -> float:
    """Return the number strictly between two numbers that takes the fewest digits to write near their middle."""
    middle = low / 2 + high / 2
    # More digits are never farther from the middle, so the fewest are looked for from a number that is about enough.
    digits = _about_enough(middle, high / 2 - low / 2)
    found = float(f"{middle:.{digits}g}")
    if low < found < high:
        while digits > _FEWEST_DIGITS and low < (fewer := float(f"{middle:.{digits - 1}g}")) < high:
            found, digits = fewer, digits - 1
        return found
    for more in range(_FEWEST_DIGITS, _MOST_DIGITS + 1):
        found = float(f"{middle:.{more}g}")
        if low < found < high:
            return found
    return high


def _about_enough(middle: float, half: float) -> int:
    """Return how many digits of a number are about as fine as half a width."""
    ratio = abs(middle) / half if half else math.inf
    digits = math.frexp(ratio)[1] * math.log10(2) if math.isfinite(ratio) else _MOST_DIGITS
    return min(_MOST_DIGITS, max(_FEWEST_DIGITS, int(digits) + 1))


def _categories(values: pa.ChunkedArray) -> Summary:
    totals: dict[str, int] = {}
    for array in texts(values):
        for name, number in zip(array.dictionary.to_pylist(), tally(array).tolist(), strict=True):
            if name and number:
                totals[name] = totals.get(name, 0) + number
    ranked = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    frequent = sum(number >= RARE * len(values) for _, number in ranked[:LISTED_IF_FREQUENT])
    cut = max(LISTED, frequent)
    kept, rest = ranked[:cut], ranked[cut:]
    other = sum(number for _, number in rest)
    return Summary(
        kind="category",
        categories=tuple(name for name, _ in kept),
        counts=tuple(number for _, number in kept),
        other=other,
        missing=len(values) - other - sum(number for _, number in kept),
    )


def closed(summary: Summary) -> Summary:
    """Return a summary of numbers with an edge just below its minimum and one just above its maximum, once known."""
    if summary.minimum is None or summary.maximum is None:
        return summary
    edges, counts = list(summary.edges), list(summary.counts)
    below, above = edge_below(summary.minimum), edge_above(summary.maximum)
    if math.isfinite(below) and summary.counts[0] and (not edges or below < edges[0]):
        edges, counts = [below, *edges], [0, *counts]
    if math.isfinite(above) and summary.counts[-1] and (not edges or above > edges[-1]):
        edges, counts = [*edges, above], [*counts, 0]
    return summary.model_copy(
        update={"edges": tuple(edges), "counts": tuple(counts), "means": (), "minimum": None, "maximum": None}
    )
