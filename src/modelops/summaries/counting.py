"""Counting values in the bins of a summary: exact, in any chunks, in any order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.errors import failure
from modelops.spec.kinds.data_snapshot import Summary
from modelops.summaries.columns import FloatArray, IntArray, numbers, tally, texts

__all__ = ["absence", "borders", "count", "count_numbers", "merge", "rows", "rows_like", "same_bins"]

_BLOCK = 1 << 15
_FEW_EDGES = 16
_REPEATED = 1 << 18


def rows(summary: Summary) -> int:
    """Return how many values were counted, missing ones included."""
    return sum(summary.counts) + summary.other + summary.missing


def same_bins(first: Summary, second: Summary) -> bool:
    """Tell whether the counts of two summaries can be compared and added."""
    return (first.kind, first.edges, first.categories) == (second.kind, second.edges, second.categories)


def count(summary: Summary, values: pa.ChunkedArray) -> Summary:
    """Return a summary with the bins of ``summary`` and the counts of ``values`` alone.

    Extremes are looked for only where ``summary`` has some.
    """
    if summary.kind == "category":
        return _count_categories(summary, values)
    edges = np.asarray(summary.edges, dtype=np.float64)
    counts = np.zeros(len(edges) + 1, dtype=np.int64)
    low, high = np.inf, -np.inf
    for array in numbers(values):
        found = count_numbers(edges, array)
        counts += found
        if summary.minimum is not None and found.any():
            low, high = float(np.fmin(low, np.fmin.reduce(array))), float(np.fmax(high, np.fmax.reduce(array)))
    return summary.model_copy(
        update={
            "counts": tuple(counts.tolist()),
            "other": 0,
            "missing": len(values) - int(counts.sum()),
            "minimum": low if low <= high else None,
            "maximum": high if low <= high else None,
        }
    )


def merge(first: Summary, second: Summary) -> Summary:
    """Add the counts of two summaries that share their bins."""
    if not same_bins(first, second):
        raise failure("sketch-mismatch", "the two sketches have different bins, so their counts cannot be compared")
    lows = [low for low in (first.minimum, second.minimum) if low is not None]
    highs = [high for high in (first.maximum, second.maximum) if high is not None]
    return first.model_copy(
        update={
            "counts": tuple(a + b for a, b in zip(first.counts, second.counts, strict=True)),
            "other": first.other + second.other,
            "missing": first.missing + second.missing,
            "minimum": min(lows, default=None),
            "maximum": max(highs, default=None),
        }
    )


def rows_like(summary: Summary) -> Iterator[pa.ChunkedArray]:
    """Yield a column that a summary may have come from: as many rows, each at a place that its bin allows.

    Numbers are spread evenly around the mean of their bin, within the bin and the extremes; a category that was not
    listed becomes one that nobody lists.
    """
    kind = pa.string() if summary.kind == "category" else pa.float64()
    if summary.missing:
        yield pa.chunked_array([pa.nulls(summary.missing, kind)])
    if summary.kind == "category":
        for name, number in [*zip(summary.categories, summary.counts, strict=True), ("\0unlisted", summary.other)]:
            yield pa.chunked_array([pa.array([name]).take(pa.array(np.zeros(number, dtype=np.int64)))])
        return
    edges = borders(summary)
    for index, number in enumerate(summary.counts):
        low, high = edges[index], edges[index + 1]
        if summary.means:
            reach = max(0.0, min(summary.means[index] - low, high - summary.means[index]))
            low, high = summary.means[index] - reach, summary.means[index] + reach
        for start in range(0, number, _REPEATED):
            steps = np.arange(start, min(number, start + _REPEATED)) + 0.5
            yield pa.chunked_array([pa.array(low + (high - low) * (steps / number))])


def borders(summary: Summary) -> list[float]:
    """Return where the bins of numbers begin and end, one more than there are bins; the extremes where known."""
    lows = [low for low in (summary.minimum, *summary.edges[:1]) if low is not None]
    highs = [high for high in (summary.maximum, *summary.edges[-1:]) if high is not None]
    return [min(lows, default=0.0), *summary.edges, max(highs, default=0.0)]


def absence(summary: Summary, values: pa.ChunkedArray) -> Summary:
    """Return what of some values is missing or no listed category, counted in a summary without bins."""
    if summary.kind == "category":
        return _count_categories(summary, values)
    missing = sum(int(np.isnan(array).sum()) for array in numbers(values))
    return Summary(kind="number", counts=(len(values) - missing,), missing=missing)


def count_numbers(edges: FloatArray, found: FloatArray) -> IntArray:
    """Return how many numbers lie in each bin; NaN lies in none."""
    return _by_comparing(edges, found) if len(edges) <= _FEW_EDGES else _by_sorting(edges, found)


def _by_comparing(edges: FloatArray, found: FloatArray) -> IntArray:
    """Count comparisons block by block: several times as fast as a binary search for as few edges as PSI has."""
    above = np.zeros(len(edges) + 1, dtype=np.int64)
    flags = np.empty(_BLOCK, dtype=np.bool_)
    for start in range(0, len(found), _BLOCK):
        block = found[start : start + _BLOCK]
        out = flags[: len(block)]
        above[0] += np.count_nonzero(np.equal(block, block, out=out))
        for index, edge in enumerate(edges, start=1):
            above[index] += np.count_nonzero(np.greater_equal(block, edge, out=out))
    above[:-1] -= above[1:].copy()
    return above


def _by_sorting(edges: FloatArray, found: FloatArray) -> IntArray:
    ordered = np.sort(found)
    present = len(ordered) - int(np.isnan(ordered).sum())
    marks = np.searchsorted(ordered[:present], edges, side="left")
    return np.diff(marks, prepend=0, append=present).astype(np.int64)


def _count_categories(summary: Summary, values: pa.ChunkedArray) -> Summary:
    known = pa.array(summary.categories, pa.string())
    counts = np.zeros(len(known) + 2, dtype=np.int64)
    for array in texts(values):
        places = pc.index_in(array.dictionary, value_set=known).fill_null(len(known))
        empty = pc.fill_null(pc.equal(array.dictionary, ""), True)
        slots = pc.if_else(empty, len(known) + 1, places).to_numpy(zero_copy_only=False)
        np.add.at(counts, slots, tally(array))
        counts[-1] += array.indices.null_count
    *known_counts, other, missing = counts.tolist()
    return summary.model_copy(update={"counts": tuple(known_counts), "other": other, "missing": missing})
