"""Wasserstein-1 (earth mover's) distance of a number, in standard deviations of the reference, from mergeable sums.

    W = integral of |F(x) - G(x)| dx / standard deviation

is how far the average row would have to move. A shift of the whole column by one standard deviation is a distance of 1;
values far outside count by how far they are. Each sample is taken as one weighted point per bin of the reference's
summary, at the mean of its own values there: exact for up to a hundred distinct values and for shifts of the whole
column. A reference that is constant has no deviation; the distance is then relative to its value. Missing values have
no place and are left out; those more than a million ranges away count as a million ranges away.

The critical value is the mean of the distance without drift plus what Gaussian concentration allows. It supposes a
finite variance, takes that of both samples together, and is on the safe side unless tails are very heavy. The default
limits are the shifts of a normal feature whose PSI is 0.1 and 0.25. Categories have no distances, so they are not
scored.

References
----------
del Barrio, E., Gine, E. and Matran, C. (1999). Central limit theorems for the Wasserstein distance between the
empirical and the true distributions. Annals of Probability 27, 1009-1071.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from modelops.drift import Kind, Score
from modelops.drift._directions import of_numbers
from modelops.drift._levels import Limits, judged, significance
from modelops.errors import failure
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.chance import Chance, wasserstein_chance
from modelops.statistics.distances import wasserstein
from modelops.summaries import borders, numbers

__all__ = ["KINDS", "NAME", "Params", "Points", "count", "fit", "merge", "score", "significance"]

NAME = "Wasserstein"
KINDS: tuple[Kind, ...] = ("number",)

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
_STEPS = float(1 << 20)
_FARTHEST = float(1 << 40)
_BLOCK = 1 << 20
"""Sums are kept in whole millionths of the reference's range, so that merging them is exact in any order."""


class Params(Limits):
    """From which distance on, in standard deviations of the reference, a window counts as drifted."""

    warn: Annotated[float, Field(gt=0)] = 0.3
    alert: Annotated[float, Field(gt=0)] = 0.5


@dataclass(frozen=True, slots=True)
class Points:
    """Counts and sums of the values between edges; a sum is of ``(x - origin) / unit``, rounded to whole numbers.

    ``places`` are where a bin's values are taken to lie, in units, if the reference does not know their mean: profiles
    of version 0.1.0 do not. Windows are then placed alike.
    """

    edges: tuple[float, ...]
    origin: float
    unit: float
    counts: tuple[int, ...]
    sums: tuple[int, ...]
    places: tuple[int, ...] | None = None


def fit(params: Params, summary: Summary) -> Points:
    """Return the bins of a reference column with its counts, each at the mean of its values."""
    means = summary.means or tuple((a + b) / 2 for a, b in pairwise(borders(summary)))
    held = [mean for mean, number in zip(means, summary.counts, strict=True) if number] or [0.0]
    origin, reach = held[0], min(held[-1] / 2 - held[0] / 2, sys.float_info.max / 2) * 2
    unit = (reach or abs(origin) or 1.0) / _STEPS
    places = tuple(_steps(np.asarray(means), origin, unit).tolist())
    sums = tuple(place * number for place, number in zip(places, summary.counts, strict=True))
    return Points(summary.edges, origin, unit, summary.counts, sums, None if summary.means else places)


def count(sketch: Points, values: pa.ChunkedArray) -> Points:
    """Return the counts and sums of some values in the bins of a sketch."""
    edges = np.asarray(sketch.edges, dtype=np.float64)
    counts = np.zeros(len(sketch.counts), dtype=np.int64)
    sums = [0] * len(counts)
    for block in _blocks(values):
        ordered = np.sort(block)
        ordered = ordered[: len(ordered) - int(np.isnan(ordered).sum())]
        marks = np.concatenate([[0], np.searchsorted(ordered, edges, side="left"), [len(ordered)]])
        running = np.concatenate([[0], np.cumsum(_steps(ordered, sketch.origin, sketch.unit))])
        counts += np.diff(marks)
        sums = [total + more for total, more in zip(sums, np.diff(running[marks]).tolist(), strict=True)]
    if sketch.places is not None:
        sums = [place * number for place, number in zip(sketch.places, counts.tolist(), strict=True)]
    return replace(sketch, counts=tuple(counts.tolist()), sums=tuple(sums))


def merge(first: Points, second: Points) -> Points:
    """Add the counts and sums of two sketches that share their bins."""
    _require_same_bins(first, second)
    return replace(
        first,
        counts=tuple(a + b for a, b in zip(first.counts, second.counts, strict=True)),
        sums=tuple(a + b for a, b in zip(first.sums, second.sums, strict=True)),
    )


def score(params: Params, reference: Points, window: Points, significance: float) -> Score:
    """Score a window against the reference in whose bins it was counted."""
    n, m = sum(reference.counts), sum(window.counts)

    def measured() -> tuple[float, Chance]:
        places, weights = _places(reference)
        others, other_weights = _places(window)
        scale = _deviation(places, weights) or _STEPS
        points, both = np.concatenate([places, others]), np.concatenate([weights, other_weights])
        chance = wasserstein_chance(points, both, n, m, significance)
        distance = wasserstein(places, weights, others, other_weights)
        return distance / scale, Chance(chance.expected / scale, chance.critical / scale)

    _require_same_bins(reference, window)
    return judged(NAME, params, n, m, measured, lambda: of_numbers(reference.counts, window.counts))


def _require_same_bins(first: Points, second: Points) -> None:
    if (first.edges, first.origin, first.unit) != (second.edges, second.origin, second.unit):
        raise failure("sketch-mismatch", "the two sketches have different bins, so their counts cannot be compared")


def _blocks(values: pa.ChunkedArray) -> Iterator[FloatArray]:
    """Yield the numbers in parts so small that whole sums of the farthest values fit into 64 bits."""
    for array in numbers(values):
        yield from (array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK))


def _steps(values: FloatArray, origin: float, unit: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    with np.errstate(over="ignore"):
        return np.rint(np.clip((values - origin) / unit, -_FARTHEST, _FARTHEST)).astype(np.int64)


def _places(sketch: Points) -> tuple[FloatArray, FloatArray]:
    """Return the mean of each filled bin in units, and its count."""
    filled = [(total / number, number) for total, number in zip(sketch.sums, sketch.counts, strict=True) if number]
    return np.array([place for place, _ in filled]), np.array([number for _, number in filled], dtype=np.float64)


def _deviation(places: FloatArray, weights: FloatArray) -> float:
    mean = float(np.average(places, weights=weights))
    return math.sqrt(float(np.average(np.square(places - mean), weights=weights)))
