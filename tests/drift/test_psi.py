"""PSI: known values, how bins are placed, and how often chance alone gives a level."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from modelops.drift import psi
from modelops.errors import ModelOpsError
from modelops.spec.data import Sketch

PARAMS = psi.Params(significance=0.05)


def chunked(values: object, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


def sketch(*counts: int, other: int = 0, missing: int = 0) -> Sketch:
    return Sketch(
        kind="number", edges=tuple(map(float, range(1, len(counts)))), counts=counts, other=other, missing=missing
    )


def test_the_score_is_the_textbook_sum_when_no_bin_is_empty() -> None:
    """Shares .5, .3, .2 against .2, .3, .5 give 0.6 ln 2.5."""
    found = psi.score(PARAMS, sketch(500, 300, 200), sketch(200, 300, 500))
    assert found.value == pytest.approx(0.6 * math.log(2.5), rel=1e-12)
    assert found.expected == pytest.approx(2 * (1 / 1000 + 1 / 1000))
    assert found.critical == pytest.approx(0.002 * stats.chi2.ppf(0.95, 2))
    assert (found.level, found.reference_n, found.window_n) == ("alert", 1000, 1000)


@pytest.mark.parametrize(
    ("window", "level"),
    [
        ((500, 300, 200), "none"),
        ((370, 300, 330), "warn"),
        ((200, 300, 500), "alert"),
        ((50, 30, 20), "no-data"),
        ((0, 0, 0), "no-data"),
    ],
)
def test_levels(window: tuple[int, ...], level: str) -> None:
    """The level follows the effect, and few rows are no data rather than no drift."""
    assert psi.score(PARAMS, sketch(500, 300, 200), sketch(*window)).level == level


def test_an_effect_that_chance_gives_has_no_level() -> None:
    """Two hundred rows in thirty bins: above the fixed threshold, below what chance alone gives."""
    rng = np.random.default_rng(1)
    params = psi.Params(bins=50, significance=0.05 / 20)
    reference = psi.fit(params, chunked(rng.normal(size=2000)), "number")
    found = psi.score(params, reference, psi.count(reference, chunked(rng.normal(size=200))))
    assert found.value > params.warn
    assert found.value < found.critical
    assert found.level == "none"
    assert "chance" in found.reason


@pytest.mark.parametrize(("n", "m"), [(5000, 200), (500, 500), (50_000, 1000)])
def test_chance_exceeds_the_critical_value_as_often_as_stated(n: int, m: int) -> None:
    """Over 400 windows without drift, PSI has the stated mean and exceeds the critical value in about 5 %."""
    rng = np.random.default_rng(7)
    reference = psi.fit(PARAMS, chunked(rng.exponential(size=n)), "number")
    scores = [psi.score(PARAMS, reference, psi.count(reference, chunked(rng.exponential(size=m)))) for _ in range(400)]
    exceeding = sum(score.value > score.critical for score in scores)
    assert stats.binom.ppf(1e-4, 400, 0.03) <= exceeding <= stats.binom.ppf(1 - 1e-4, 400, 0.08)
    assert np.mean([score.value for score in scores]) == pytest.approx(scores[0].expected, rel=0.25)


def test_no_false_level_over_twenty_features_with_a_divided_significance() -> None:
    """Windows of 200 rows over 20 features, where a fixed 0.1 fires on many days, stay silent."""
    rng = np.random.default_rng(3)
    params = PARAMS.model_copy(update={"significance": 0.05 / 20})
    references = [psi.fit(params, chunked(rng.normal(size=1000)), "number") for _ in range(20)]
    noisy, days = 0, 60
    for _ in range(days):
        found = [psi.score(params, each, psi.count(each, chunked(rng.normal(size=200)))) for each in references]
        noisy += any(score.level != "none" for score in found)
    assert noisy <= stats.binom.ppf(0.999, days, 0.05)


EDGES = [
    ("constant", [3.0] * 100, [(3.0, 100), (4.0, 0), (2.0, 0)]),
    ("mostly zero", [0.0] * 60 + list(np.linspace(1, 2, 40)), [(0.0, 60)]),
    ("two values", [0.0, 1.0] * 50, [(0.0, 50), (1.0, 50), (2.0, 0), (-1.0, 0)]),
    ("neighbouring floats", [1.0, float(np.nextafter(1.0, 2.0))] * 50, [(1.0, 50)]),
]


@pytest.mark.parametrize(("values", "expected"), [case[1:] for case in EDGES], ids=[case[0] for case in EDGES])
def test_ties_get_bins_of_their_own(values: list[float], expected: list[tuple[float, int]]) -> None:
    """A value that fills a bin is alone in it, and what the reference never held falls into another bin."""
    found = psi.fit(PARAMS, chunked(values), "number")
    for value, count in expected:
        place = int(np.searchsorted(found.edges, value, side="right"))
        assert found.counts[place] == count


def test_a_constant_column_that_changes_is_an_alert() -> None:
    """Also a column with one value can drift."""
    reference = psi.fit(PARAMS, chunked([1.0] * 1000), "number")
    assert psi.score(PARAMS, reference, psi.count(reference, chunked([1.0] * 500))).level == "none"
    assert psi.score(PARAMS, reference, psi.count(reference, chunked([2.0] * 500))).level == "alert"


def test_a_32_bit_copy_of_a_number_stays_in_its_bin() -> None:
    """Rounding on the wire is no drift, even for values that lie at the border of a bin."""
    values = np.round(np.random.default_rng(0).integers(0, 11, 5000) * 0.1, 1)
    reference = psi.fit(PARAMS, chunked(values), "number")
    window = psi.count(reference, chunked(values.astype(np.float32)))
    assert window.counts == reference.counts


def test_equal_frequency_bins_of_smooth_data_are_equal() -> None:
    """A thousand distinct values fall into ten bins of a hundred."""
    found = psi.fit(PARAMS, chunked(np.random.default_rng(0).permutation(1000) * 1.7), "number")
    assert found.counts == (100,) * 10


def test_categories_rare_ones_unseen_ones_and_missing_ones() -> None:
    """The most frequent categories are listed; the rest and unseen ones are other; null and empty are missing."""
    params = psi.Params(categories=2)
    reference = psi.fit(params, chunked(["a", "a", "b", "b", "c", None, ""]), "category")
    assert (reference.categories, reference.counts, reference.other, reference.missing) == (("a", "b"), (2, 2), 1, 2)
    window = psi.count(reference, chunked(["b", "z", "c", None]))
    assert (window.counts, window.other, window.missing) == ((0, 1), 2, 1)


def test_a_rising_share_of_missing_values_is_drift() -> None:
    """Missing is a bin of its own for numbers and for categories."""
    for kind, values in (("number", [float(n) for n in range(1000)]), ("category", ["a", "b"] * 500)):
        reference = psi.fit(PARAMS, chunked(values), kind)
        window = psi.count(reference, chunked([*values[:500], *[None] * 500]))
        assert psi.score(PARAMS, reference, window).level == "alert"


KINDS = [
    ("booleans", pa.array([True, False, None])),
    ("integers with nulls", pa.array([1, 0, None])),
    ("small floats with NaN", pa.array([1.0, 0.0, float("nan")], pa.float32())),
    ("coded numbers", pa.array([1, 0, None]).dictionary_encode()),
]


@pytest.mark.parametrize("values", [case[1] for case in KINDS], ids=[case[0] for case in KINDS])
def test_every_numeric_arrow_type_counts_alike(values: pa.Array) -> None:
    """One, zero and missing are the same in every type that can hold them."""
    reference = psi.fit(PARAMS, chunked([0.0, 1.0] * 50), "number")
    found = psi.count(reference, pa.chunked_array([values]))
    assert (sum(found.counts), found.missing) == (2, 1)


def test_dates_and_instants_count_as_seconds() -> None:
    """A date, a timestamp of any unit and its seconds fall into the same bin."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    seconds = [(start + timedelta(days=day)).timestamp() for day in range(100)]
    reference = psi.fit(PARAMS, chunked(seconds), "number")
    days = [date(2024, 1, 1) + timedelta(days=day) for day in range(100)]
    assert psi.count(reference, chunked(days)).counts == reference.counts
    for unit in ("s", "ms", "us", "ns"):
        instants = chunked([start + timedelta(days=day) for day in range(100)], pa.timestamp(unit, "UTC"))
        assert psi.count(reference, instants).counts == reference.counts


def test_text_scored_as_numbers_and_lists_as_categories_are_refused() -> None:
    """A column of the wrong type is an error, not a column of missing values."""
    for values, kind in ((chunked(["a"]), "number"), (chunked([[1]]), "category")):
        with pytest.raises(ModelOpsError) as caught:
            psi.fit(PARAMS, values, kind)
        assert caught.value.problems[0].code == "drift-column-type"


def test_sketches_with_other_bins_are_never_mixed() -> None:
    """Merging or scoring counts of different bins is an error."""
    for function in (psi.merge, lambda a, b: psi.score(PARAMS, a, b)):
        with pytest.raises(ModelOpsError) as caught:
            function(sketch(1, 2), sketch(1, 2, 3))
        assert caught.value.problems[0].code == "sketch-mismatch"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=200), st.integers(2, 12))
def test_every_value_is_counted_once_whatever_it_is(values: list[float], bins: int) -> None:
    """Counts and missing always add up to the rows, edges rise strictly, and counting again gives the fit."""
    found = psi.fit(psi.Params(bins=bins), chunked(values, pa.float64()), "number")
    assert sum(found.counts) + found.missing == len(values)
    assert list(found.edges) == sorted(set(found.edges))
    assert all(math.isfinite(edge) for edge in found.edges)
    assert psi.count(found, chunked(values, pa.float64())) == found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=3, max_size=3), st.lists(st.integers(0, 500), min_size=3, max_size=3))
def test_the_score_is_finite_symmetric_and_not_negative(first: list[int], second: list[int]) -> None:
    """Empty bins have a finite score, and swapping the samples changes nothing."""
    params = psi.Params(minimum=1)
    a, b = sketch(*first), sketch(*second)
    forth, back = psi.score(params, a, b), psi.score(params, b, a)
    assert math.isfinite(forth.value)
    assert forth.value >= 0
    if sum(first) and sum(second):
        assert forth.value == pytest.approx(back.value)
