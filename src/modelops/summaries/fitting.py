"""Summarising a column: where the bins of its numbers lie, and which of its categories are listed."""

from __future__ import annotations

import math
from itertools import pairwise
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
    marks = [0, *np.searchsorted(ordered, edges, side="left").tolist(), len(ordered)]
    borders = [low, *edges, high]
    means = []
    for index, (start, end) in enumerate(pairwise(marks)):
        if start == end:
            means.append(borders[index] if index else edges[0])
            continue
        means.append(_mean(ordered[start:end]))
    return tuple(means)


def _mean(ordered: FloatArray) -> float:
    first, last = float(ordered[0]), float(ordered[-1])
    scale = max(abs(first), abs(last))
    if first == last or not scale:
        return first
    mean = float(np.mean(ordered / scale)) * scale
    slack = (last / 2 - first / 2) * 2e-3
    return shortest(mean - slack, mean + slack) if slack > 0 else mean


def shortest(low: float, high: float) -> float:
    """Return the number strictly between two numbers that takes the fewest digits to write near their middle."""
    middle = low / 2 + high / 2
    for digits in range(2, 18):
        candidate = float(f"{middle:.{digits}g}")
        if low < candidate < high:
            return candidate
    return high


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
