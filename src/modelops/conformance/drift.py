"""What every drift score keeps, whoever wrote it."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from modelops import summaries
from modelops.conformance.shelf import check_module, params_of
from modelops.drift import Drift, Kind, Score
from modelops.errors import ModelOpsError
from modelops.spec.kinds.data_snapshot import Summary

__all__ = ["CHECKS", "check", "scored"]

Params = Mapping[str, object]
ROWS = 3000
WINDOWS, ALLOWED = 200, 24
"""Of so many windows without drift so many may exceed a limit of 5 %; one in ten thousand runs has more by chance."""
ODD: tuple[tuple[float, ...], ...] = (
    (),
    (0.0,),
    (3.0, 3.0, 3.0),
    (1.0, math.nan, math.inf, -math.inf),
    (math.nan, math.nan),
    (1.0, math.nextafter(1.0, 2.0)),
    (-1e300, 0.0, 1e300),
    (1e-300, 2e-300, 5e-324),
    tuple(float(number) for number in range(50)),
)


def check(score: Drift, params: Params) -> None:
    """Run every check; with ``params`` a score needs at most 1,500 rows, and alerts to a clear shift."""
    for one in CHECKS:
        one(score, params)


def check_shelf(score: Drift, params: Params) -> None:
    """It exposes what the Protocol names, says what it can score, and states its chance."""
    check_module("drift", score, params)
    assert 0 < len(score.NAME) <= 20, f"NAME is the head of a column, and {score.NAME!r} is too long for one"
    assert score.KINDS, "KINDS are empty: it can score nothing"
    assert {*score.KINDS} <= {"number", "category"}, f"KINDS are {score.KINDS}"
    chance = score.significance(params_of(score, params))
    assert 0 < chance < 1, f"the chance of a level without drift is stated as {chance}"


def check_merging(score: Drift, params: Params) -> None:
    """Counts of parts are those of the whole, in any order and grouping; no rows change nothing."""
    for kind in score.KINDS:
        _, sketch, column = _fitted(score, params, kind)
        parts = [score.count(sketch, _chunked(column[a:b])) for a, b in ((0, 700), (700, 701), (701, ROWS))]
        whole = score.count(sketch, _chunked(column))
        merge = score.merge
        assert merge(merge(parts[0], parts[1]), parts[2]) == whole, "parts do not add up to the whole"
        assert merge(parts[0], merge(parts[1], parts[2])) == whole, "merging is not associative"
        assert merge(parts[2], merge(parts[1], parts[0])) == whole, "merging is not commutative"
        assert merge(whole, score.count(sketch, _chunked(column[:0]))) == whole, "no rows change something"
        chunks = pa.chunked_array([column[a:b] for a, b in pairwise([0, 1, 1, 1000, ROWS])], column.type)
        assert score.count(sketch, chunks) == whole, "counts depend on how the rows are chunked"


def check_pure(score: Drift, params: Params) -> None:
    """Sketches are values: nothing changes them, they can be sent elsewhere, and the same question has one answer."""
    for kind in score.KINDS:
        own, sketch, column = _fitted(score, params, kind)
        before = pickle.dumps(sketch)
        first, second = (score.count(sketch, _chunked(column[:2000])) for _ in range(2))
        assert first == second, "counting the same rows twice gives different sketches"
        assert pickle.dumps(first), "a sketch cannot be sent to another process"
        score.merge(first, second)
        assert score.score(own, sketch, first, 0.01) == score.score(own, sketch, first, 0.01), "scores differ"
        assert pickle.dumps(sketch) == before, "a sketch was changed"


def check_the_reference_with_itself(score: Drift, params: Params) -> None:
    """The score of the reference with itself is zero, and of its rows counted again hardly more."""
    for kind in score.KINDS:
        own, sketch, column = _fitted(score, params, kind)
        same = score.score(own, sketch, sketch, 0.01)
        assert (same.level, abs(same.value) < 1e-9) == ("none", True), f"the reference with itself: {same.reason}"
        again = score.score(own, sketch, score.count(sketch, _chunked(column)), 0.01)
        assert again.value < 1e-3, f"the reference's own rows: {again.reason}"


def check_nothing_is_no_data(score: Drift, params: Params) -> None:
    """An empty window and an empty reference are no data, never no drift; missing values alone never pass."""
    for kind in score.KINDS:
        own, sketch, column = _fitted(score, params, kind)
        empty = _chunked(column[:0])
        assert score.score(own, sketch, score.count(sketch, empty), 0.01).level == "no-data", "an empty window passes"
        void = score.fit(own, summaries.summarise(empty, kind))
        found = score.score(own, void, score.count(void, _chunked(column)), 0.01)
        assert found.level == "no-data", "an empty reference is no reference"
        nothing = _chunked(pa.nulls(ROWS, column.type))
        found = _finite(score.score(own, sketch, score.count(sketch, nothing), 0.01))
        assert found.level in ("alert", "no-data"), f"a window of missing values: {found.level}, {found.reason}"


def check_odd_numbers(score: Drift, params: Params) -> None:
    """Constants, infinities, neighbours, huge and tiny numbers and handfuls of rows have finite scores."""
    if "number" not in score.KINDS:
        return
    own = params_of(score, params)
    for reference in ODD:
        sketch = score.fit(own, summaries.summarise(_chunked(pa.array(reference, pa.float64())), "number"))
        for window in ODD:
            array = pa.array(window, pa.float64())
            whole = score.count(sketch, _chunked(array))
            parts = [score.count(sketch, _chunked(part)) for part in (array[:1], array[1:])]
            assert score.merge(*parts) == whole, f"{window} does not merge"
            _finite(score.score(own, sketch, whole, 0.01))
        _finite(score.score(own, sketch, sketch, 0.01))


def check_a_constant_that_changes(score: Drift, params: Params) -> None:
    """Also a column of one value can drift, and one whose categories nobody had seen."""
    if "number" in score.KINDS:
        assert scored(score, params, [3.0] * ROWS, [3.0] * ROWS).level == "none", "a constant drifts"
        assert scored(score, params, [3.0] * ROWS, [7.0] * ROWS).level == "alert", "a constant that changes is quiet"
    if "category" in score.KINDS:
        found = scored(score, params, ["a", "b"] * 1500, ["a", "new", "newer", "b"] * 750)
        assert found.level == "alert", f"half of the values are new: {found.reason}"


def check_numbers_of_32_bits(score: Drift, params: Params) -> None:
    """Rounding on the wire is no drift, even for values at the border of a bin or at an extreme."""
    if "number" not in score.KINDS:
        return
    values = np.round(np.random.default_rng(0).integers(0, 11, ROWS) * 0.1, 1)
    found = scored(score, params, values, values.astype(np.float32))
    assert found.value < 1e-5, f"the same numbers in 32 bits: {found.reason}"


def check_quiet_and_loud(score: Drift, params: Params) -> None:
    """A second sample of the same source has no level; a clearly different one alerts, and scores higher."""
    for kind in score.KINDS:
        rng = np.random.default_rng(6)
        if kind == "number":
            reference, same, other = (rng.normal(shift, 1, ROWS) for shift in (0, 0, 1.5))
        else:
            draws = ([0.5, 0.3, 0.2, 0.0], [0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.0, 0.7])
            reference, same, other = (rng.choice(["a", "b", "c", "new"], ROWS, p=p) for p in draws)
        quiet, loud = (scored(score, params, reference, window) for window in (same, other))
        assert (quiet.level, loud.level) == ("none", "alert"), f"{quiet.reason}; {loud.reason}"
        assert quiet.value < loud.value, "the larger change has the smaller score"
        assert quiet.strength < 1 < loud.strength, "the strength does not follow the limit"
        assert quiet.name == loud.name == score.NAME, "the score has another name than the file"


def check_chance(score: Drift, params: Params) -> None:
    """Windows without drift, skewed and with missing values, exceed the critical value no more often than stated."""
    own = params_of(score, params)
    for kind in score.KINDS:
        exceeding = 0
        for at, (sketch, window) in enumerate(_null(score, own, kind)):
            found = score.score(own, sketch, window, 0.05)
            exceeding += found.value > found.critical
            if at % 20 == 0:
                stricter = score.score(own, sketch, window, 0.0005)
                assert stricter.value == found.value, "the value depends on the significance"
                assert stricter.critical > found.critical, "a smaller significance asks for no more"
        assert exceeding <= ALLOWED, f"of {WINDOWS} {kind} windows without drift {exceeding} exceed a limit of 5 %"


def check_other_bins(score: Drift, params: Params) -> None:
    """Counts of different bins are never merged or scored."""
    for kind in score.KINDS:
        own, sketch, _ = _fitted(score, params, kind)
        values = pa.array(np.linspace(7, 9, 500)) if kind == "number" else pa.array(["x", "y"] * 250)
        other = score.fit(own, summaries.summarise(_chunked(values), kind))
        merged = _refusal(score.merge, sketch, other)
        assert merged == "sketch-mismatch", f"counts of different bins are merged ({merged})"
        found = _refusal(score.score, own, sketch, other, 0.01)
        assert found == "sketch-mismatch", f"counts of different bins are scored ({found})"


def check_coarse_references(score: Drift, params: Params) -> None:
    """Profiles of version 0.1.0, ten bins without means and extremes, are as quiet and as loud as they should be."""
    own = params_of(score, params)
    for kind in score.KINDS:
        rng = np.random.default_rng(9)
        if kind == "category":
            old = Summary(kind=kind, categories=("a", "b"), counts=(600, 300), other=100)
            draws = ([0.6, 0.3, 0.1], [0.2, 0.3, 0.5])
            same, other = (pa.array(rng.choice(["a", "b", "z"], ROWS, p=p)) for p in draws)
        else:
            edges = (-1.282, -0.842, -0.524, -0.253, 0.0, 0.253, 0.524, 0.842, 1.282)
            old = Summary(kind=kind, edges=edges, counts=(500,) * 10)
            same, other = (pa.array(rng.normal(shift, 1, ROWS)) for shift in (0, 1.5))
        sketch = score.fit(own, old)
        found = [score.score(own, sketch, score.count(sketch, _chunked(each)), 0.01) for each in (same, other)]
        assert [each.level for each in found] == ["none", "alert"], "; ".join(each.reason for each in found)


CHECKS: tuple[Callable[[Drift, Params], None], ...] = (
    check_shelf,
    check_merging,
    check_pure,
    check_the_reference_with_itself,
    check_nothing_is_no_data,
    check_odd_numbers,
    check_a_constant_that_changes,
    check_numbers_of_32_bits,
    check_quiet_and_loud,
    check_chance,
    check_other_bins,
    check_coarse_references,
)


def scored(score: Drift, params: Params, reference: Any, window: Any, significance: float = 0.01) -> Score:
    """Return the score of a window's values against a reference's, texts as categories and all else as numbers."""
    first, second = pa.array(reference), pa.array(window)
    kind: Kind = "category" if pa.types.is_string(first.type) else "number"
    own = params_of(score, params)
    sketch = score.fit(own, summaries.summarise(_chunked(first), kind))
    return _finite(score.score(own, sketch, score.count(sketch, _chunked(second)), significance))


def _refusal(function: Callable[..., object], *arguments: object) -> str:
    """Return the code with which arguments are refused."""
    try:
        function(*arguments)
    except ModelOpsError as error:
        return error.first.code
    return "not refused"


def _chunked(array: pa.Array) -> pa.ChunkedArray:
    return pa.chunked_array([array])


def _finite(found: Score) -> Score:
    """Return a score that JSON can hold and that is none below zero."""
    json.dumps(dataclasses.asdict(found), allow_nan=False)
    assert found.value >= 0, f"the score is {found.value}"
    assert found.reason, "the score gives no reason"
    return found


def _column(kind: Kind, rng: np.random.Generator, rows: int) -> pa.Array:
    """Return a skewed column with missing values."""
    if kind == "number":
        return pa.array(np.where(rng.random(rows) < 0.05, np.nan, rng.exponential(size=rows)))
    shares = np.arange(1, 21) ** -1.0
    names = np.array(["", *(f"c{index}" for index in range(1, 20))])
    return pa.array(names[rng.choice(20, rows, p=shares[::-1] / shares.sum())])


def _fitted(score: Drift, params: Params, kind: Kind) -> tuple[Any, Any, pa.Array]:
    own, column = params_of(score, params), _column(kind, np.random.default_rng(5), ROWS)
    return own, score.fit(own, summaries.summarise(_chunked(column), kind)), column


def _null(score: Drift, own: Any, kind: Kind) -> Iterator[tuple[Any, Any]]:
    """Yield references and windows of one distribution."""
    rng = np.random.default_rng(7)
    for _ in range(10):
        sketch = score.fit(own, summaries.summarise(_chunked(_column(kind, rng, 2000)), kind))
        for _ in range(WINDOWS // 10):
            yield sketch, score.count(sketch, _chunked(_column(kind, rng, 300)))
