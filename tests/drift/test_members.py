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
from modelops.drift import Score, bind, kolmogorov_smirnov, total_variation, wasserstein
from modelops.spec.meta import Plugin

SAMPLES = {
    "shifted": (list(range(1, 11)), list(range(3, 13))),
    "heavy ties": ([1, 1, 1, 1, 2, 2, 3, 3, 3, 5], [1, 2, 2, 2, 3, 3, 5, 5, 5, 8]),
    "unequal sizes": ([0.5, 1.5, 2.5, 3.5, 4.5], [1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
    "disjoint": ([0.0, 1.0, 2.0], [10.0, 11.0]),
    "twenty each": (
        [0.1, 0.4, 0.5, 0.9, 1.3, 1.8, 2.2, 2.6, 3.1, 3.5, 4.2, 4.4, 5.0, 5.9, 6.3, 7.7, 8.1, 8.8, 9.6, 12.0],
        [0.2, 0.3, 1.1, 2.0, 2.1, 2.9, 3.3, 3.9, 4.0, 4.9, 5.2, 6.0, 6.6, 7.0, 8.0, 9.0, 9.9, 11.0, 13.0, 15.0],
    ),
}
DISTANCES = {
    "shifted": (0.2, 2.0),
    "heavy ties": (0.3, 1.4),
    "unequal sizes": (0.375, 1.25),
    "disjoint": (1.0, 9.5),
    "twenty each": (0.15, 1.36),
}
"""Kolmogorov and Smirnov's statistic and the Wasserstein distance, by scipy, nannyml and frouros."""
TABLES = {
    "equal sizes": ({"A": 50, "B": 30, "C": 15, "D": 5}, {"A": 40, "B": 35, "C": 15, "D": 10}),
    "unequal sizes": ({"A": 50, "B": 30, "C": 15, "D": 5}, {"A": 90, "B": 70, "C": 30, "D": 10}),
    "no change": ({"A": 25, "B": 75}, {"A": 50, "B": 150}),
    "ten levels": (
        dict.fromkeys("ABCDEFGHIJ", 100),
        dict(zip("ABCDEFGHIJ", (80, 90, 95, 100, 100, 100, 105, 110, 110, 110), strict=True)),
    ),
    "a new level": ({"A": 60, "B": 40}, {"A": 50, "B": 40, "C": 10}),
    "a level that went": ({"A": 50, "B": 40, "C": 10}, {"A": 60, "B": 40}),
    "a rare level": ({"A": 999, "B": 1}, {"A": 995, "B": 5}),
}
"""Counts of the levels of a category in a reference and in a window."""
KNOWN = {
    # Evidently, deepchecks, feature_engine and polars_ds; empty bins are floored differently by each of them.
    "psi": {
        "equal sizes": 0.06467924815078115,
        "unequal sizes": 0.012975559774254228,
        "no change": 0.0,
        "ten levels": 0.008876198869777115,
        "a rare level": 0.006453799815696245,
    },
    # Evidently, KL(reference || window).
    "kullback-leibler": {
        "equal sizes": 0.030669212680930112,
        "unequal sizes": 0.006435053880735654,
        "no change": 0.0,
        "ten levels": 0.0045076657777180385,
        "a rare level": 0.002398591536036691,
    },
    # scipy with base 2, and nannyml.
    "jensen-shannon": {
        "equal sizes": 0.10738791175505989,
        "unequal sizes": 0.04835450581959278,
        "no change": 0.0,
        "ten levels": 0.039984347442581905,
        "a new level": 0.2308319381880979,
        "a level that went": 0.23083193818809797,
        "a rare level": 0.03244729278837643,
    },
    # nannyml and Evidently.
    "hellinger": {
        "equal sizes": 0.08965875005259832,
        "unequal sizes": 0.0402655690925894,
        "no change": 0.0,
        "ten levels": 0.033299332369072274,
        "a new level": 0.2286426086599649,
        "a level that went": 0.22864260865996494,
        "a rare level": 0.027675585677135826,
    },
    # scipy's contingency table without Yates' correction, nannyml and frouros, each by (1/n + 1/m).
    "chi-squared": {
        "equal sizes": 3.1623931623931623 / 50,
        "unequal sizes": 0.857142857142857 * 3 / 200,
        "no change": 0.0,
        "ten levels": 4.427265787984658 / 500,
        "a new level": 10.909090909090908 / 50,
        "a level that went": 10.909090909090908 / 50,
        "a rare level": 2.6746907388833163 / 500,
    },
    # The square root of scipy's chi-squared by the number of rows, for samples of one size.
    "cramers-v": {
        "equal sizes": (3.1623931623931623 / 200) ** 0.5,
        "no change": 0.0,
        "ten levels": (4.427265787984658 / 2000) ** 0.5,
        "a new level": (10.909090909090908 / 200) ** 0.5,
        "a level that went": (10.909090909090908 / 200) ** 0.5,
        "a rare level": (2.6746907388833163 / 2000) ** 0.5,
    },
    # By hand: half of the absolute differences of shares.
    "total-variation": {
        "equal sizes": 0.1,
        "unequal sizes": 0.05,
        "no change": 0.0,
        "ten levels": 0.035,
        "a new level": 0.1,
        "a level that went": 0.1,
        "a rare level": 0.004,
    },
    # By hand: the share of the new level, and of the one that went.
    "new-and-missing-categories": {
        "equal sizes": 0.0,
        "unequal sizes": 0.0,
        "no change": 0.0,
        "ten levels": 0.0,
        "a new level": 0.1,
        "a level that went": 0.1,
        "a rare level": 0.0,
    },
}
CASES = [(key, name) for key, values in KNOWN.items() for name in values]
CORRECTED = {"equal sizes": 0.027208621310945, "ten levels": 0.0, "a new level": 0.2114708645135503}
"""Cramer's V with Bergsma's correction, by deepchecks."""
FLOATS = st.lists(st.floats(-1e4, 1e4), min_size=5, max_size=80)


def test_every_score_is_known_here() -> None:
    """A new score brings its reference values."""
    assert set(plugins.keys("drift")) == {*KNOWN, "kolmogorov-smirnov", "wasserstein"}


def of_table(key: str, name: str) -> Score:
    first, second = ([level for level, count in counts.items() for _ in range(count)] for counts in TABLES[name])
    return scored(bind(Plugin(type=key)).module, first, second, "category")


@pytest.mark.parametrize(("key", "name"), CASES)
def test_scores_of_categories_are_those_of_other_libraries(key: str, name: str) -> None:
    """Libraries that compute a statistic in ways of their own agree with this one."""
    assert of_table(key, name).value == pytest.approx(KNOWN[key][name], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", CORRECTED)
def test_cramers_v_corrected_for_chance_is_that_of_another_library(name: str) -> None:
    """Less what chance gives to a table of two rows and B columns it is Bergsma's coefficient."""
    squared, n = of_table("cramers-v", name).value ** 2, sum(sum(each.values()) for each in TABLES[name])
    bins = len({*TABLES[name][0], *TABLES[name][1]})
    corrected = max(0.0, squared - (bins - 1) / (n - 1))
    least = min(1 - 1 / (n - 1), bins - 1 - (bins - 1) ** 2 / (n - 1))
    assert (corrected / least) ** 0.5 == pytest.approx(CORRECTED[name], rel=1e-9)


def test_cramers_v_does_not_fall_as_the_reference_grows() -> None:
    """The same shares give the same coefficient whatever the sizes; the textbook's would fall to a quarter."""
    first, second = ["a"] * 600 + ["b"] * 400, ["a"] * 400 + ["b"] * 600
    module = bind(Plugin(type="cramers-v")).module
    small, large = (scored(module, first * times, second, "category").value for times in (1, 60))
    assert small == large == pytest.approx(0.2)


def test_categories_that_came_and_went_are_named() -> None:
    """The larger share is the score, and the direction says which it is."""
    module = bind(Plugin(type="new-and-missing-categories")).module
    reference = ["a"] * 700 + ["b"] * 200 + ["c"] * 100
    came = scored(module, reference, reference + ["d"] * 250 + ["e"] * 250, "category")
    assert (came.value, came.direction, came.level) == (pytest.approx(1 / 3), "new categories", "alert")
    went = scored(module, reference, ["a"] * 1000, "category")
    assert (went.value, went.direction, went.level) == (pytest.approx(0.3), "no 'b' and 1 more", "alert")
    moved = scored(module, reference, ["a"] * 100 + ["b"] * 200 + ["c"] * 700, "category")
    assert (moved.value, moved.direction, moved.level) == (0.0, "", "none")


def test_a_rare_category_that_stays_away_is_chance() -> None:
    """A category of a hundredth is absent from three hundred values in one of twenty windows: no level."""
    module = bind(Plugin(type="new-and-missing-categories")).module
    reference = ["a"] * 9800 + ["b"] * 200
    found = scored(module, reference, ["a"] * 300, "category")
    assert (found.value, found.level) == (0.02, "none")
    assert found.critical > 0.02


@pytest.mark.parametrize(
    ("window", "direction"),
    [((0.5, 1.0), "up"), ((-0.5, 1.0), "down"), ((0.0, 2.0), "wider"), ((0.0, 0.5), "narrower")],
)
@pytest.mark.parametrize(
    "key", [key for key in plugins.keys("drift") if "number" in bind(Plugin(type=key)).module.KINDS]
)
def test_scores_of_numbers_say_which_way_they_went(key: str, window: tuple[float, float], direction: str) -> None:
    """Every score of numbers tells up from down and wider from narrower."""
    rng = np.random.default_rng(4)
    module = bind(Plugin(type=key)).module
    assert scored(module, rng.normal(size=5000), rng.normal(*window, size=5000)).direction == direction


def test_scores_of_categories_say_what_there_is_more_of() -> None:
    """The bin that rose most is named, the ones for other categories and for missing values by what they hold."""
    for window, direction in (
        (["a"] * 300 + ["b"] * 700, "more 'b'"),
        (["a"] * 500 + ["z"] * 500, "more of other categories"),
        (["a"] * 500 + [None] * 500, "more missing values"),
        (["a"] * 500 + ["b"] * 500, ""),
    ):
        assert scored(total_variation, ["a"] * 500 + ["b"] * 500, window, "category").direction == direction


def test_the_stability_index_of_deciles_is_that_of_other_libraries() -> None:
    """feature_engine and polars_ds give this value to forty numbers in ten bins of equal frequency."""
    reference = [round(0.25 * i + 0.01 * (i * i % 7), 4) for i in range(1, 41)]
    window = [round(0.30 * i + 0.02 * (i * i % 5) - 0.5, 4) for i in range(1, 41)]
    assert scored(bind(Plugin(type="psi")).module, reference, window).value == pytest.approx(0.1500971766776635)


@pytest.mark.parametrize("name", SAMPLES)
def test_small_samples_are_exact(name: str) -> None:
    """With a bin for each value of the reference both distances of numbers are those of other libraries."""
    reference, window = SAMPLES[name]
    statistic, distance = DISTANCES[name]
    assert stats.ks_2samp(reference, window, method="asymp").statistic == pytest.approx(statistic)
    assert scored(kolmogorov_smirnov, reference, window).value == pytest.approx(
        statistic, abs=0.06 if name == "twenty each" else 1e-9
    )
    assert scored(wasserstein, reference, window).value * np.std(reference) == pytest.approx(distance, rel=1e-5)


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
        for key in (key for key in plugins.keys("drift") if "number" in bind(Plugin(type=key)).module.KINDS):
            found = scored(bind(Plugin(type=key)).module, reference, window)
            assert found.value / getattr(found, limit) == pytest.approx(1.0, abs=0.12), key


def test_edges_that_a_sketch_compares_at_rise() -> None:
    """Closing the ends of a reference keeps its edges in order, for constants and for two neighbouring floats too."""
    for values in ([0.0], [1.0, math.nextafter(1.0, 2.0)], [-1e-300, 1e-300], list(range(200))):
        edges = kolmogorov_smirnov.fit(kolmogorov_smirnov.Params(), summary(pa.array(values, pa.float64()))).edges
        assert all(low < high for low, high in pairwise(edges))
