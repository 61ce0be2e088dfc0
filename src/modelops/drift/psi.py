"""Population stability index (PSI) of one column, from mergeable counts.

Numbers are counted in equal-frequency bins of the reference, categories by value; missing values and categories that
the reference does not list are bins of their own. With shares p (reference, n rows) and q (window, m rows) over B bins

    PSI = sum((q - p) * ln(q / p)).

Under no drift PSI is distributed like (1/n + 1/m) times a chi-square variable with B - 1 degrees of freedom, so its
mean is (B - 1)(1/n + 1/m): small windows look drifted to a fixed threshold. A level is therefore given only when the
effect is large (``warn``, ``alert``) *and* PSI lies above the (1 - significance) quantile of that distribution. Who
scores k columns at once divides ``significance`` by k (Bonferroni), which bounds the chance of any false level.

References
----------
Yurdakul, B. and Naranjo, J. (2020). Statistical properties of the population stability index. Journal of Risk Model
Validation 14(4), 89-100.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from modelops.drift import Score
from modelops.errors import Exit, failure
from modelops.metrics.distribution import population_stability
from modelops.spec.data import Sketch
from modelops.spec.meta import OpenShare, Strict
from modelops.spec.model import FeatureType

__all__ = ["Params", "count", "fit", "kind_of", "merge", "score"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

EDGE_SAMPLE = 1 << 20
"""At most about this many values place the bin edges; all values are counted."""
_BLOCK = 1 << 15


class Params(Strict):
    """How a column is binned, and from which score on a window counts as drifted.

    ``bins``: equal-frequency bins of a number. ``categories``: the most frequent categories that get a bin of their
    own. ``minimum``: rows a window must have to be scored. ``significance``: chance that a window without drift lies
    above the critical value.
    """

    bins: Annotated[int, Field(ge=2, le=50)] = 10
    categories: Annotated[int, Field(ge=1, le=200)] = 30
    warn: Annotated[float, Field(gt=0)] = 0.1
    alert: Annotated[float, Field(gt=0)] = 0.25
    minimum: Annotated[int, Field(ge=1)] = 200
    significance: OpenShare = 0.01


def kind_of(feature_type: FeatureType) -> Literal["number", "category"]:
    """Return how a feature of this type is sketched: categories by value, everything else as a number."""
    return "category" if feature_type == "category" else "number"


def fit(params: Params, values: pa.ChunkedArray, kind: Literal["number", "category"]) -> Sketch:
    """Bin a reference column and count it.

    Parameters
    ----------
    params : Params
        ``bins`` and ``categories`` bound the size of the sketch.
    values : pa.ChunkedArray of shape (n,)
        Numbers, booleans, dates or instants (seconds since 1970) for ``number``; text for ``category``. Null, NaN and
        the empty text are missing.
    kind : {"number", "category"}
        How the column is counted.

    Returns
    -------
    Sketch
        ``edges`` are inner bin edges, lower bound included: bin i holds ``edges[i-1] <= x < edges[i]``. They lie
        between neighbouring values of the reference, so a value sent as 32-bit float falls into the same bin.
    """
    if kind == "category":
        return _fit_categories(params, values)
    return count(Sketch(kind="number", edges=_edges(values, params.bins), counts=()), values)


def count(sketch: Sketch, values: pa.ChunkedArray) -> Sketch:
    """Return a sketch with the bins of ``sketch`` and the counts of ``values`` alone."""
    if sketch.kind == "category":
        return _count_categories(sketch, values)
    edges = np.asarray(sketch.edges, dtype=np.float64)
    above = np.zeros(len(edges) + 1, dtype=np.int64)
    for numbers in _numbers(values):
        above += _counts_above(edges, numbers)
    counts = above.copy()
    counts[:-1] -= above[1:]
    return sketch.model_copy(
        update={"counts": tuple(counts.tolist()), "other": 0, "missing": len(values) - int(above[0])}
    )


def merge(first: Sketch, second: Sketch) -> Sketch:
    """Add the counts of two sketches that share their bins."""
    _require_same_bins(first, second)
    return first.model_copy(
        update={
            "counts": tuple(a + b for a, b in zip(first.counts, second.counts, strict=True)),
            "other": first.other + second.other,
            "missing": first.missing + second.missing,
        }
    )


def score(params: Params, reference: Sketch, window: Sketch) -> Score:
    """Score a window against the reference it was counted with.

    A share is taken as at least half a row of the smaller sample and at least 0.0001, so an empty bin has a finite
    score and no rare value alone makes an alert. With no empty bin the value is the textbook PSI.

    Returns
    -------
    Score
        ``expected`` is (B - 1)(1/n + 1/m) and ``critical`` the (1 - significance) quantile of (1/n + 1/m) chi2(B - 1),
        where B counts the bins that either sample fills.
    """
    _require_same_bins(reference, window)
    p_counts, q_counts = _all_counts(reference), _all_counts(window)
    n, m = int(p_counts.sum()), int(q_counts.sum())
    if n == 0 or m < params.minimum:
        short = "the reference is empty" if n == 0 else f"{m} rows, fewer than {params.minimum}"
        return Score(0.0, 0.0, 0.0, "no-data", n, m, short)
    found = population_stability(p_counts.tolist(), q_counts.tolist(), params.significance)
    value, critical = found.value, found.critical
    level, reason = _judge(params, value, critical)
    return Score(value, found.expected, critical, level, n, m, reason)


def _judge(params: Params, value: float, critical: float) -> tuple[Literal["none", "warn", "alert"], str]:
    if value <= params.warn:
        return "none", f"PSI {value:.3f} is not above {params.warn:g}"
    if value <= critical:
        return "none", f"PSI {value:.3f} is within what chance gives at these sizes ({critical:.3f})"
    if value <= params.alert:
        return "warn", f"PSI {value:.3f} is above {params.warn:g} and above chance ({critical:.3f})"
    return "alert", f"PSI {value:.3f} is above {params.alert:g} and above chance ({critical:.3f})"


def _all_counts(sketch: Sketch) -> IntArray:
    return np.asarray([*sketch.counts, sketch.other, sketch.missing], dtype=np.int64)


def _require_same_bins(first: Sketch, second: Sketch) -> None:
    if (first.kind, first.edges, first.categories) != (second.kind, second.edges, second.categories):
        raise failure("sketch-mismatch", "the two sketches have different bins, so their counts cannot be compared")


def _numbers(values: pa.ChunkedArray) -> list[FloatArray]:
    """Return each chunk as 64-bit floats; null becomes NaN, instants become seconds since 1970."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _numbers(values.cast(kind.value_type))
    scale = 1.0
    if pa.types.is_date(kind):
        values = values.cast(pa.timestamp("s"))
        kind = values.type
    if pa.types.is_timestamp(kind):
        scale = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        values = values.cast(pa.int64())
    elif pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = values.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise failure("drift-column-type", f"a column of type {kind} cannot be scored as numbers", exit=Exit.FILES)
    arrays = [np.asarray(chunk.to_numpy(zero_copy_only=False), dtype=np.float64) for chunk in values.chunks]
    return arrays if scale == 1.0 else [array / scale for array in arrays]


def _counts_above(edges: FloatArray, numbers: FloatArray) -> IntArray:
    """Return how many numbers there are, and how many are at or above each edge.

    Counting comparisons block by block is several times as fast as a binary search for as few edges as a sketch has.
    """
    above = np.zeros(len(edges) + 1, dtype=np.int64)
    flags = np.empty(_BLOCK, dtype=np.bool_)
    for start in range(0, len(numbers), _BLOCK):
        block = numbers[start : start + _BLOCK]
        out = flags[: len(block)]
        above[0] += np.count_nonzero(np.equal(block, block, out=out))
        for index, edge in enumerate(edges, start=1):
            above[index] += np.count_nonzero(np.greater_equal(block, edge, out=out))
    return above


def _edges(values: pa.ChunkedArray, bins: int) -> tuple[float, ...]:
    """Return inner edges that cut the sorted values into bins of equal size, never through a tie.

    A value that alone fills more than a bin gets a bin of its own, closed on both sides, so that a constant or a
    coded column notices values it never held.
    """
    numbers = np.concatenate([np.empty(0), *_numbers(values)])
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) > EDGE_SAMPLE:
        numbers = numbers[:: -(-len(numbers) // EDGE_SAMPLE)]
    numbers = np.sort(numbers)
    n = len(numbers)
    if n == 0:
        return ()
    cuts: set[int] = set()
    for index in (round(k * n / bins) for k in range(1, bins)):
        value = numbers[min(index, n - 1)]
        start = int(np.searchsorted(numbers, value, side="left"))
        end = int(np.searchsorted(numbers, value, side="right"))
        if (end - start) * bins > n:
            cuts |= {start, end}
        else:
            cuts.add(start if index - start <= end - index and start > 0 else end)
    return tuple(sorted({_edge(numbers, cut) for cut in cuts}))


def _edge(numbers: FloatArray, cut: int) -> float:
    if cut == 0:
        first = float(numbers[0])
        return _shortest(first - (abs(first) * 2e-6 or 2e-12), first)
    last = float(numbers[cut - 1])
    if cut == len(numbers):
        return _shortest(last, last + (abs(last) * 2e-6 or 2e-12))
    return _shortest(last, float(numbers[cut]))


def _shortest(low: float, high: float) -> float:
    """Return the number strictly between two numbers that takes the fewest digits to write near their middle."""
    middle = low / 2 + high / 2
    for digits in range(2, 18):
        candidate = float(f"{middle:.{digits}g}")
        if low < candidate < high:
            return candidate
    return high


def _texts(values: pa.ChunkedArray) -> list[pa.DictionaryArray]:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise failure("drift-column-type", f"a column of type {kind} cannot be scored as categories", exit=Exit.FILES)
    if pa.types.is_dictionary(values.type) and pa.types.is_string(kind):
        return list(values.chunks)
    return [chunk.dictionary_encode() for chunk in values.cast(pa.string()).chunks]


def _tally(array: pa.DictionaryArray) -> IntArray:
    """Return how often each entry of the dictionary occurs."""
    indices = array.indices.drop_null().to_numpy(zero_copy_only=False)
    return np.bincount(indices, minlength=len(array.dictionary)).astype(np.int64)


def _fit_categories(params: Params, values: pa.ChunkedArray) -> Sketch:
    totals: dict[str, int] = {}
    for array in _texts(values):
        for name, number in zip(array.dictionary.to_pylist(), _tally(array).tolist(), strict=True):
            if name and number:
                totals[name] = totals.get(name, 0) + number
    ranked = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    kept, rest = ranked[: params.categories], ranked[params.categories :]
    other = sum(number for _, number in rest)
    return Sketch(
        kind="category",
        categories=tuple(name for name, _ in kept),
        counts=tuple(number for _, number in kept),
        other=other,
        missing=len(values) - other - sum(number for _, number in kept),
    )


def _count_categories(sketch: Sketch, values: pa.ChunkedArray) -> Sketch:
    known = pa.array(sketch.categories, pa.string())
    counts = np.zeros(len(known) + 2, dtype=np.int64)
    for array in _texts(values):
        places = pc.index_in(array.dictionary, value_set=known).fill_null(len(known))
        empty = pc.fill_null(pc.equal(array.dictionary, ""), True)
        slots = pc.if_else(empty, len(known) + 1, places).to_numpy(zero_copy_only=False)
        np.add.at(counts, slots, _tally(array))
        counts[-1] += array.indices.null_count
    *listed, other, missing = counts.tolist()
    return sketch.model_copy(update={"counts": tuple(listed), "other": other, "missing": missing})
