"""Distances and what chance makes of them: reference values of other libraries, properties, and simulations."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from modelops.statistics import chance, distances
from modelops.statistics.distances import divergence

LEVELS = {
    "four levels": ([50, 30, 15, 5], [40, 35, 15, 10]),
    "unequal sizes": ([50, 30, 15, 5], [90, 70, 30, 10]),
    "no change": ([25, 75], [50, 150]),
    "ten levels": ([100] * 10, [80, 90, 95, 100, 100, 100, 105, 110, 110, 110]),
    "a new level": ([60, 40, 0], [50, 40, 10]),
    "a level gone": ([50, 40, 10], [60, 40, 0]),
    "a rare level": ([999, 1], [995, 5]),
}
# What Evidently, nannyml, deepchecks, feature_engine, polars_ds and scipy answer, where they agree; None where they
# depend on how an empty bin is filled.
KNOWN: dict[str, dict[str, float | None]] = {
    "four levels": {
        "psi": 0.06467924815078115,
        "kl": 0.030669212680930112,
        "js": 0.10738791175505989,
        "hellinger": 0.08965875005259832,
        "chi2": 3.1623931623931627,
    },
    "unequal sizes": {
        "psi": 0.012975559774254228,
        "kl": 0.006435053880735654,
        "js": 0.04835450581959278,
        "hellinger": 0.0402655690925894,
        "chi2": 0.857142857142857,
    },
    "no change": {"psi": 0.0, "kl": 0.0, "js": 0.0, "hellinger": 0.0, "chi2": 0.0},
    "ten levels": {
        "psi": 0.008876198869777113,
        "kl": 0.0045076657777180385,
        "js": 0.039984347442581905,
        "hellinger": 0.033299332369071934,
        "chi2": 4.427265787984658,
    },
    "a new level": {
        "psi": None,
        "kl": None,
        "js": 0.23083193818809797,
        "hellinger": 0.2286426086599649,
        "chi2": 10.909090909090908,
    },
    "a level gone": {
        "psi": None,
        "kl": None,
        "js": 0.23083193818809797,
        "hellinger": 0.2286426086599649,
        "chi2": 10.909090909090908,
    },
    "a rare level": {
        "psi": 0.006453799815696245,
        "kl": 0.002398591536036691,
        "js": 0.03244729278837643,
        "hellinger": 0.027675585677135826,
        "chi2": 2.6746907388833163,
    },
}
R20 = [0.1, 0.4, 0.5, 0.9, 1.3, 1.8, 2.2, 2.6, 3.1, 3.5, 4.2, 4.4, 5.0, 5.9, 6.3, 7.7, 8.1, 8.8, 9.6, 12.0]
C20 = [0.2, 0.3, 1.1, 2.0, 2.1, 2.9, 3.3, 3.9, 4.0, 4.9, 5.2, 6.0, 6.6, 7.0, 8.0, 9.0, 9.9, 11.0, 13.0, 15.0]
NUMBERS = [
    ("shifted", list(range(1, 11)), list(range(3, 13)), 0.2, 2.0),
    ("heavy ties", [1, 1, 1, 1, 2, 2, 3, 3, 3, 5], [1, 2, 2, 2, 3, 3, 5, 5, 5, 8], 0.3, 1.4),
    ("unequal sizes", [0.5, 1.5, 2.5, 3.5, 4.5], [1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 0.375, 1.25),
    ("twenty", R20, C20, 0.15, 1.36),
    ("disjoint", [0.0, 1.0, 2.0], [10.0, 11.0], 1.0, 9.5),
    ("identical", R20, R20, 0.0, 0.0),
]
TERMS: dict[str, tuple[distances.Terms, float]] = {
    "psi": (distances.stability_terms, 1.0),
    "chi2": (distances.chi_squared_terms, 1.0),
    "kl": (distances.kullback_leibler_terms, 0.5),
    "js": (distances.jensen_shannon_terms, 1 / (8 * math.log(2))),
    "hellinger": (distances.hellinger_terms, 0.125),
}
MEASURES: dict[str, Callable[[list[int], list[int]], float]] = {
    "psi": lambda x, y: divergence(distances.stability_terms, x, y),
    "kl": lambda x, y: divergence(distances.kullback_leibler_terms, x, y),
    "js": lambda x, y: divergence(distances.jensen_shannon_terms, x, y) ** 0.5,
    "hellinger": lambda x, y: divergence(distances.hellinger_terms, x, y) ** 0.5,
    "chi2": lambda x, y: divergence(distances.chi_squared_terms, x, y) / (1 / sum(x) + 1 / sum(y)),
}
COUNTS = st.lists(st.integers(0, 300), min_size=2, max_size=8)


@pytest.mark.parametrize("module", [distances, chance], ids=["distances", "chance"])
def test_the_examples_in_the_documentation_hold(module: object) -> None:
    """Every example says what the function returns."""
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("case", LEVELS)
def test_divergences_are_those_of_other_libraries(case: str, measure: str) -> None:
    """On the cases in which the libraries of the field agree, so do we."""
    expected = KNOWN[case][measure]
    found = MEASURES[measure](*LEVELS[case])
    if expected is None:
        assert 0.05 < found < 1.2
    else:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(COUNTS, COUNTS)
def test_divergences_agree_with_scipy(x: list[int], y: list[int]) -> None:
    """Jensen-Shannon and chi-squared are scipy's, whatever the counts."""
    x, y = x[: len(y)], y[: len(x)]
    if not sum(x) or not sum(y):
        return
    js = float(jensenshannon(np.array(x) / sum(x), np.array(y) / sum(y), base=2))
    assert MEASURES["js"](x, y) == pytest.approx(0.0 if math.isnan(js) else js, abs=1e-7)
    both = np.array([pair for pair in zip(x, y, strict=True) if sum(pair)]).T
    if both.shape[1] > 1:
        assert MEASURES["chi2"](x, y) == pytest.approx(stats.chi2_contingency(both, correction=False).statistic)


@settings(max_examples=60, deadline=None)
@given(COUNTS, COUNTS)
def test_divergences_are_finite_and_their_bounds_hold(x: list[int], y: list[int]) -> None:
    """None is negative, those that have a bound of one keep it, and total variation is below Pearson's root."""
    x, y = x[: len(y)], y[: len(x)]
    if not sum(x) or not sum(y):
        return
    found = {name: measure(x, y) for name, measure in MEASURES.items()}
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    assert max(found["js"], found["hellinger"]) <= 1 + 1e-12
    assert found["hellinger"] ** 2 <= found["js"] ** 2 + 1e-12
    varied = distances.total_variation(x, y)
    assert varied <= divergence(distances.chi_squared_terms, x, y) ** 0.5 / 2 + 1e-9
    assert found["hellinger"] ** 2 <= varied + 1e-12


@pytest.mark.parametrize(("x", "y", "ks", "w1"), [case[1:] for case in NUMBERS], ids=[case[0] for case in NUMBERS])
def test_distances_of_numbers_are_those_of_other_libraries(
    x: list[float], y: list[float], ks: float, w1: float
) -> None:
    """Kolmogorov-Smirnov with a bin for each value, and Wasserstein, equal scipy, nannyml and frouros."""
    values = np.unique([*x, *y])
    first, second = (np.array([np.sum(np.array(sample) == value) for value in values]) for sample in (x, y))
    assert distances.kolmogorov_smirnov(first, second) == pytest.approx(ks)
    assert distances.wasserstein(x, [1] * len(x), y, [1] * len(y)) == pytest.approx(w1)
    assert distances.wasserstein(values, first, values, second) == pytest.approx(w1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=30), st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=30))
def test_distances_of_numbers_agree_with_scipy(x: list[float], y: list[float]) -> None:
    """Any two samples, ties and single values included."""
    values = np.unique([*x, *y])
    first, second = (np.array([np.sum(np.array(sample) == value) for value in values]) for sample in (x, y))
    assert distances.kolmogorov_smirnov(first, second) == pytest.approx(
        stats.ks_2samp(x, y, method="asymp").statistic, abs=1e-12
    )
    expected = stats.wasserstein_distance(x, y)
    assert distances.wasserstein(values, first, values, second) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def shares(name: str) -> np.ndarray:
    power = np.arange(1, 31) ** -1.2
    return {"ten equal": np.full(10, 0.1), "power law": power / power.sum(), "rare": np.array([0.985, 0.015])}[name]


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize(("law", "n", "m"), [("ten equal", 1000, 200), ("power law", 5000, 500), ("rare", 5000, 500)])
def test_divergences_exceed_their_critical_value_as_often_as_stated(name: str, law: str, n: int, m: int) -> None:
    """Equal bins, bins that expect a handful of rows, and a rare category: the mean and the 1 % limit hold."""
    terms, curvature = TERMS[name]
    rng = np.random.default_rng(11)
    x, y = (rng.multinomial(size, shares(law), 4000) for size in (n, m))
    found = np.array([divergence(terms, a, b) for a, b in zip(x, y, strict=True)])
    limits = [chance.divergence_chance(terms, curvature, x[index], y[index], 0.01) for index in range(25)]
    assert np.mean([limit.expected for limit in limits]) == pytest.approx(found.mean(), rel=0.08)
    exceeding = int(np.sum(found > np.mean([limit.critical for limit in limits])))
    assert stats.binom.ppf(1e-4, 4000, 0.004) <= exceeding <= stats.binom.ppf(1 - 1e-4, 4000, 0.014)


def test_chance_without_freedom_is_none() -> None:
    """One bin cannot differ, and a certain distance has no chance."""
    assert chance.divergence_chance(distances.stability_terms, 1.0, [10, 0], [7, 0], 0.01) == chance.Chance(0.0, 0.0)
    assert chance.wasserstein_chance([3.0], [10], 5, 5, 0.01) == chance.Chance(0.0, 0.0)
    assert chance.Chance(0.0, 0.0).root() == chance.Chance(0.0, 0.0)


def test_critical_values_fall_with_rows_and_rise_with_certainty() -> None:
    """More rows or a larger significance make every limit smaller."""
    for limit in (
        lambda n, alpha: chance.divergence_chance(distances.stability_terms, 1.0, [n, n, n], [n, n, n], alpha),
        lambda n, alpha: chance.total_variation_chance([n, n, n], [n, n, n], alpha),
        lambda n, alpha: chance.kolmogorov_chance(n, n, alpha),
        lambda n, alpha: chance.wasserstein_chance([0.0, 1.0, 5.0], [1, 2, 1], n, n, alpha),
    ):
        found = [limit(n, alpha).critical for n, alpha in ((10, 0.001), (10, 0.01), (100, 0.01), (1000, 0.01))]
        assert found == sorted(found, reverse=True)
        assert limit(100, 0.01).expected < limit(100, 0.01).critical
