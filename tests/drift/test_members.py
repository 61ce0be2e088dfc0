"""The drift scores beside PSI: known values, and what is special about each."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drift.columns import chunked, scored, summary
from modelops import plugins
from modelops.drift import bind, kolmogorov_smirnov, total_variation, wasserstein
from modelops.spec.meta import Plugin

SAMPLES = {
    "shifted": (list(range(1, 11)), list(range(3, 13))),
    "heavy ties": ([1, 1, 1, 1, 2, 2, 3, 3, 3, 5], [1, 2, 2, 2, 3, 3, 5, 5, 5, 8]),
    "unequal sizes": ([0.5, 1.5, 2.5, 3.5, 4.5], [1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
    "disjoint": ([0.0, 1.0, 2.0], [10.0, 11.0]),
}
LEVELS = ({"A": 50, "B": 30, "C": 15, "D": 5}, {"A": 40, "B": 35, "C": 15, "D": 10})
KNOWN = {
    "psi": 0.06467924815078115,
    "kullback-leibler": 0.030669212680930112,
    "jensen-shannon": 0.10738791175505989,
    "hellinger": 0.08965875005259832,
    "chi-squared": 3.1623931623931623 * (1 / 100 + 1 / 100),
    "total-variation": 0.1,
}
FLOATS = st.lists(st.floats(-1e4, 1e4), min_size=5, max_size=80)


def test_every_score_is_known_here() -> None:
    """A new score brings its reference values."""
    assert set(plugins.keys("drift")) == {*KNOWN, "kolmogorov-smirnov", "wasserstein"}


@pytest.mark.parametrize("key", KNOWN)
def test_scores_of_categories_are_those_of_other_libraries(key: str) -> None:
    """Evidently, nannyml, deepchecks and scipy give these values to four levels of a hundred rows each."""
    first, second = ([name for name, count in counts.items() for _ in range(count)] for counts in LEVELS)
    found = scored(bind(Plugin(type=key)).module, first, second, "category")
    assert found.value == pytest.approx(KNOWN[key], rel=1e-9)


@pytest.mark.parametrize("name", SAMPLES)
def test_small_samples_are_exact(name: str) -> None:
    """With a bin for each value of the reference both distances of numbers are scipy's."""
    reference, window = SAMPLES[name]
    assert scored(kolmogorov_smirnov, reference, window).value == pytest.approx(
        stats.ks_2samp(reference, window, method="asymp").statistic, abs=1e-9
    )
    found = scored(wasserstein, reference, window).value
    assert found * np.std(reference) == pytest.approx(stats.wasserstein_distance(reference, window), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(FLOATS, FLOATS)
def test_the_kolmogorov_smirnov_distance_is_never_above_and_hardly_below_the_exact_one(
    reference: list[float], window: list[float]
) -> None:
    """Taken at edges only, it is below the exact statistic by at most what lies between two edges."""
    sketch = kolmogorov_smirnov.fit(kolmogorov_smirnov.Params(), summary(pa.array(reference)))
    counted = kolmogorov_smirnov.count(sketch, chunked(pa.array(window)))
    found = kolmogorov_smirnov.score(kolmogorov_smirnov.Params(), sketch, counted, 0.01).value
    exact = stats.ks_2samp(reference, window, method="asymp").statistic
    widest = max(max(sketch.counts) / len(reference), max(counted.counts) / len(window))
    assert found <= exact + 1e-9
    assert found >= exact - widest - 1e-9


def test_large_samples_are_within_a_hundredth() -> None:
    """A hundred edges place the largest difference well enough, and means the work of moving."""
    rng = np.random.default_rng(1)
    for shift in (0.05, 0.3, 1.0):
        reference, window = rng.lognormal(size=20_000), rng.lognormal(sigma=1.1, size=5000) + shift
        exact = stats.ks_2samp(reference, window, method="asymp").statistic
        assert exact - 0.012 <= scored(kolmogorov_smirnov, reference, window).value <= exact
        distance = stats.wasserstein_distance(reference, window) / np.std(reference)
        assert scored(wasserstein, reference, window).value == pytest.approx(distance, rel=0.02)


def test_a_rising_share_of_missing_numbers_is_a_distance() -> None:
    """Missing values lie below all numbers for Kolmogorov and Smirnov; they have no place for Wasserstein."""
    rng = np.random.default_rng(2)
    reference = rng.normal(size=5000)
    window = np.where(rng.random(2000) < 0.3, np.nan, rng.normal(size=2000))
    found = scored(kolmogorov_smirnov, reference, window)
    assert (found.level, found.value) == ("alert", pytest.approx(0.3, abs=0.03))
    moved = scored(wasserstein, reference, window)
    assert (moved.level, moved.window_n) == ("none", int(np.isfinite(window).sum()))


def test_wasserstein_is_in_standard_deviations_whatever_the_unit() -> None:
    """Metres or millimetres, a shift by half a deviation is half; far outside the range it still counts in full."""
    rng = np.random.default_rng(3)
    reference = rng.normal(10, 2, 5000)
    for unit in (1e-9, 1.0, 1e9):
        found = scored(wasserstein, reference * unit, (reference + 1) * unit)
        assert found.value == pytest.approx(0.5, rel=0.02)
    assert scored(wasserstein, reference, reference + 2000).value == pytest.approx(1000, rel=0.02)


def test_wasserstein_of_booleans_and_of_a_constant() -> None:
    """A share that moves from a tenth to four tenths moves 0.3; a constant moves by a share of itself."""
    reference, window = [False] * 900 + [True] * 100, [False] * 600 + [True] * 400
    assert scored(wasserstein, reference, window).value == pytest.approx(0.3 / 0.3, rel=1e-5)
    assert scored(wasserstein, [50.0] * 500, [60.0] * 500).value == pytest.approx(0.2, rel=1e-4)
    assert scored(wasserstein, [0.0] * 500, [0.5] * 500).value == pytest.approx(0.5, rel=1e-4)


def test_sums_of_the_farthest_values_are_exact() -> None:
    """Values beyond any range are held at a million ranges, in every order of merging."""
    sketch = wasserstein.fit(wasserstein.Params(), summary([0.0, 1.0] * 300))
    parts = [wasserstein.count(sketch, chunked([value] * 7)) for value in (1e300, -1e300, 0.5)]
    forth, back = parts[0], parts[2]
    for part in parts[1:]:
        forth = wasserstein.merge(forth, part)
    for part in (parts[1], parts[0]):
        back = wasserstein.merge(back, part)
    assert forth == back == wasserstein.count(sketch, chunked([1e300, -1e300, 0.5] * 7))


def test_total_variation_is_the_share_that_would_have_to_move() -> None:
    """Three of ten rows that change from one bin to another are 0.3."""
    assert scored(total_variation, ["a", "b"] * 500, ["a"] * 800 + ["b"] * 200, "category").value == pytest.approx(0.3)


def test_the_default_limits_are_one_and_the_same_shift() -> None:
    """A normal column that moves by what PSI calls 0.1 or 0.25 is near the limits of every score."""
    rng = np.random.default_rng(5)
    reference = rng.normal(size=100_000)
    for shift, limit in ((0.316, "warn"), (0.5, "alert")):
        window = rng.normal(shift, 1, 100_000)
        for key in plugins.keys("drift"):
            found = scored(bind(Plugin(type=key)).module, reference, window)
            assert found.value / getattr(found, limit) == pytest.approx(1.0, abs=0.12), key


def test_edges_that_a_sketch_compares_at_rise() -> None:
    """Closing the ends of a reference keeps its edges in order, for constants and for two neighbouring floats too."""
    for values in ([0.0], [1.0, math.nextafter(1.0, 2.0)], [-1e-300, 1e-300], list(range(200))):
        edges = kolmogorov_smirnov.fit(kolmogorov_smirnov.Params(), summary(pa.array(values, pa.float64()))).edges
        assert all(low < high for low, high in pairwise(edges))
