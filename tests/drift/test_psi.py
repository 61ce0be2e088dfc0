"""PSI: known values, how bins are placed, and how often chance alone gives a level."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drift.columns import chunked, summary
from modelops.drift import psi
from modelops.drift._bins import fit
from modelops.spec.kinds.data_snapshot import Summary

PARAMS = psi.Params()


def sketch(*counts: int, other: int = 0, missing: int = 0) -> Summary:
    return Summary(
        kind="number", edges=tuple(map(float, range(1, len(counts)))), counts=counts, other=other, missing=missing
    )


def test_the_score_is_the_textbook_sum_when_no_bin_is_empty() -> None:
    """Shares .5, .3, .2 against .2, .3, .5 give 0.6 ln 2.5."""
    found = psi.score(PARAMS, sketch(500, 300, 200), sketch(200, 300, 500), 0.05)
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
    assert psi.score(PARAMS, sketch(500, 300, 200), sketch(*window), 0.05).level == level


def test_few_rows_have_a_value_all_the_same() -> None:
    """Who knows better what is enough can use the value of a window that is too small for a level."""
    found = psi.score(PARAMS, sketch(500, 300, 200), sketch(20, 30, 50), 0.05)
    assert (found.level, found.value) == ("no-data", pytest.approx(0.6 * math.log(2.5)))


def test_an_effect_that_chance_gives_has_no_level() -> None:
    """Two hundred rows in fifty bins: above the fixed threshold, below what chance alone gives."""
    rng = np.random.default_rng(1)
    params = psi.Params(bins=50)
    reference = psi.fit(params, summary(rng.normal(size=2000)))
    found = psi.score(params, reference, psi.count(reference, chunked(rng.normal(size=200))), 0.05 / 20)
    assert found.value > params.warn
    assert found.value < found.critical
    assert found.level == "none"
    assert "chance" in found.reason


@pytest.mark.parametrize(("n", "m"), [(5000, 200), (500, 500), (50_000, 1000)])
def test_chance_exceeds_the_critical_value_as_often_as_stated(n: int, m: int) -> None:
    """Over 400 windows without drift, PSI has the stated mean and exceeds the critical value in about 5 %."""
    rng = np.random.default_rng(7)
    reference = psi.fit(PARAMS, summary(rng.exponential(size=n)))
    windows = [psi.count(reference, chunked(rng.exponential(size=m))) for _ in range(400)]
    scores = [psi.score(PARAMS, reference, window, 0.05) for window in windows]
    exceeding = sum(score.value > score.critical for score in scores)
    assert stats.binom.ppf(1e-4, 400, 0.03) <= exceeding <= stats.binom.ppf(1 - 1e-4, 400, 0.08)
    assert np.mean([score.value for score in scores]) == pytest.approx(scores[0].expected, rel=0.25)


def test_no_false_level_over_twenty_features_with_a_divided_significance() -> None:
    """Windows of 200 rows over 20 features, where a fixed 0.1 fires on many days, stay silent."""
    rng = np.random.default_rng(3)
    references = [psi.fit(PARAMS, summary(rng.normal(size=1000))) for _ in range(20)]
    noisy, days = 0, 25
    for _ in range(days):
        windows = [psi.count(each, chunked(rng.normal(size=200))) for each in references]
        found = [psi.score(PARAMS, *pair, 0.05 / 20) for pair in zip(references, windows, strict=True)]
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
    found = psi.fit(PARAMS, summary(values))
    for value, count in expected:
        place = int(np.searchsorted(found.edges, value, side="right"))
        assert found.counts[place] == count


def test_equal_frequency_bins_of_smooth_data_are_equal() -> None:
    """A thousand distinct values fall into ten bins of a hundred, or twenty of fifty."""
    found = summary(np.random.default_rng(0).permutation(1000) * 1.7)
    assert psi.fit(PARAMS, found).counts == (100,) * 10
    assert psi.fit(psi.Params(bins=20), found).counts == (50,) * 20


def test_bins_chosen_again_are_the_same() -> None:
    """Choosing ten bins of ten bins changes nothing: profiles of version 0.1.0 give the scores that they gave."""
    rng = np.random.default_rng(4)
    columns = (rng.normal(size=1000), rng.integers(0, 24, 5000), rng.exponential(size=333).round(1), [1.0, 2.0] * 9)
    for values in columns:
        found = psi.fit(PARAMS, summary(values))
        assert fit(PARAMS, found) == found


def test_categories_rare_ones_unseen_ones_and_missing_ones() -> None:
    """The most frequent categories are listed; the rest and unseen ones are other; null and empty are missing."""
    params = psi.Params(categories=2)
    reference = psi.fit(params, summary(["a", "a", "b", "b", "c", None, ""], "category"))
    assert (reference.categories, reference.counts, reference.other, reference.missing) == (("a", "b"), (2, 2), 1, 2)
    window = psi.count(reference, chunked(["b", "z", "c", None]))
    assert (window.counts, window.other, window.missing) == ((0, 1), 2, 1)


def test_a_rising_share_of_missing_values_is_drift() -> None:
    """Missing is a bin of its own for numbers and for categories."""
    columns = (summary([float(n) for n in range(1000)]), summary(["a", "b"] * 500, "category"))
    for reference in (psi.fit(PARAMS, column) for column in columns):
        half = tuple(number // 2 for number in reference.counts)
        window = reference.model_copy(update={"counts": half, "missing": 500})
        assert psi.score(PARAMS, reference, window, 0.01).level == "alert"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=3, max_size=3), st.lists(st.integers(0, 500), min_size=3, max_size=3))
def test_the_score_is_finite_symmetric_and_not_negative(first: list[int], second: list[int]) -> None:
    """Empty bins have a finite score, and swapping the samples changes nothing."""
    a, b = sketch(*first), sketch(*second)
    forth, back = psi.score(PARAMS, a, b, 0.01), psi.score(PARAMS, b, a, 0.01)
    assert math.isfinite(forth.value)
    assert forth.value >= 0
    if sum(first) and sum(second):
        assert forth.value == pytest.approx(back.value)
