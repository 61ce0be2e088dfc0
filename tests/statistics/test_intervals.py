"""Closed-form intervals and distances against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from modelops.statistics import auc
from modelops.statistics.intervals import (
    exact_proportion,
    mean_interval,
    paired_proportions,
    ratio_interval,
    student,
    wilson,
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (60, 200), (1, 5000)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_is_statsmodels(k, n, level):
    """Wilson's interval equals statsmodels' and never leaves [0, 1]."""
    assert wilson(k, n, level) == pytest.approx(proportion_confint(k, n, 1 - level, method="wilson"), abs=1e-12)


def test_student_is_scipys():
    """Student's interval equals scipy's."""
    values = np.random.default_rng(1).gamma(2, size=30)
    expected = stats.t.interval(0.9, 29, values.mean(), stats.sem(values))
    assert student(values, 0.9) == pytest.approx(expected)


def _delong_by_pairs(positive, negative):
    wins = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
    variance = wins.mean(axis=1).var(ddof=1) / len(positive) + wins.mean(axis=0).var(ddof=1) / len(negative)
    return wins.mean(), variance


def test_delong_by_midranks_is_delong_by_pairs():
    """The rank form gives the area and variance of the definition over all pairs, ties included."""
    generator = np.random.default_rng(2)
    true = (generator.random(300) < 0.3).astype(float)
    score = np.round(generator.normal(size=300) + true, 1)
    area, variance = _delong_by_pairs(score[true == 1], score[true == 0])
    found, lower, upper, method = auc.interval(true, score, 0.95)
    assert found == pytest.approx(area)
    assert method == "newcombe score and delong"
    centre, half = np.log(area / (1 - area)), 1.959964 * np.sqrt(variance) / (area * (1 - area))
    bounds = 1 / (1 + np.exp([half - centre, -half - centre]))
    assert lower == pytest.approx(bounds[0], abs=0.01)
    assert upper == pytest.approx(bounds[1], abs=0.01)
    assert lower <= bounds[0] < bounds[1] <= upper


def test_paired_delong_covers_and_uses_the_pairing():
    """The paired interval of two models of equal quality holds zero in about 0.9 of 200 samples."""
    generator, hits = np.random.default_rng(5), 0
    for _ in range(200):
        true = (generator.random(150) < 0.4).astype(float)
        shared = generator.normal(size=150) + true
        first, second = (shared + 0.5 * generator.normal(size=150) for _ in range(2))
        _, lower, upper = auc.paired(true, first, second, 0.9)
        hits += lower <= 0 <= upper
    assert 0.84 <= hits / 200 <= 0.97


def test_two_perfect_models_are_not_certain_to_be_equal():
    """Perfect separation by both leaves a difference either way, as wide as the area of one is uncertain."""
    for n, widest in ((5, 0.4), (20, 0.11), (1000, 0.002)):
        true = np.r_[np.zeros(n), np.ones(n)]
        difference, lower, upper = auc.paired(true, true, true + 7, 0.95)
        assert difference == 0.0
        assert lower == pytest.approx(auc.interval(true, true, 0.95)[1] - 1.0)
        assert -widest < lower < 0 < upper == -lower
    worst, lower, upper = auc.paired(true, true, -true, 0.95)
    assert (worst, upper) == (1.0, 1.0)
    assert 0.99 < lower < 1


def test_newcombe_bounds_a_perfect_ranking():
    """Perfect separation of 10 and 10 is bounded away from 1, tighter with 1,000 and 1,000."""
    lower = {}
    for n in (10, 1000):
        true = np.r_[np.zeros(n), np.ones(n)]
        area, lower[n], upper, method = auc.interval(true, true, 0.95)
        assert (area, upper, method) == (1.0, 1.0, "newcombe score and delong")
    assert 0.7 < lower[10] < 0.9
    assert 0.99 < lower[1000] < 1.0


@pytest.mark.parametrize(("first", "second", "n"), [(12, 5, 100), (3, 9, 44), (30, 2, 100), (1, 0, 20)])
def test_tango_inverts_its_test(first, second, n):
    """At either bound the observed difference is z standard errors away, by the likeliest shares with that bound."""
    bounds = paired_proportions(first, second, n, 0.95)
    for bound in bounds:
        shares = np.linspace(max(0.0, -bound) + 1e-9, min(1.0, (1 - bound) / 2) - 1e-9, 400_001)
        likely = (
            first * np.log(shares + bound)
            + second * np.log(shares)
            + (n - first - second) * np.log1p(-2 * shares - bound)
        )
        share = shares[np.argmax(likely)]
        error = np.sqrt((2 * share + bound - bound**2) / n)
        assert (abs((first - second) / n - bound) - 1 / n) / error == pytest.approx(1.959964, rel=2e-3)
    assert bounds == pytest.approx(tuple(-bound for bound in reversed(paired_proportions(second, first, n, 0.95))))


def test_without_discordant_pairs_two_may_differ():
    """Two that agree in 50 of 50 rows differ by a little more than what a share of none of 50 allows."""
    lower, upper = paired_proportions(0, 0, 50, 0.95)
    assert lower == pytest.approx(-upper)
    assert wilson(0, 50, 0.95)[1] < upper < 1.5 * wilson(0, 50, 0.95)[1]


@pytest.mark.parametrize(("n", "share"), [(10, 0.02), (30, 0.01), (100, 0.99), (1000, 0.5)])
def test_exact_shares_cover_whatever_the_share_is(n, share):
    """Summed over all outcomes neither bound lies beyond the truth more often than it says."""
    mass = stats.binom.pmf(np.arange(n + 1), n, share)
    bounds = np.array([exact_proportion(k, n, 0.95) for k in range(n + 1)])
    assert mass[bounds[:, 0] > share].sum() <= 0.025
    assert mass[bounds[:, 1] < share].sum() <= 0.025


def test_means_of_skewed_values_are_bounded_from_above():
    """Student's upper bound lies below the mean of log-normal values in one sample of twelve, this one seldom."""
    generator, beyond = np.random.default_rng(4), np.zeros(2)
    for _ in range(300):
        values = generator.lognormal(size=60)
        beyond += [found[1] < np.exp(0.5) for found in (student(values, 0.95), mean_interval(values, 0.95))]
    assert beyond[0] > 0.07 * 300
    assert beyond[1] < 0.045 * 300


def test_a_ratio_of_means_covers():
    """Fieller's interval holds the ratio of two means of the same rows in about 0.95 of the samples."""
    generator, hits = np.random.default_rng(6), 0
    for _ in range(150):
        below = generator.normal(size=60) ** 2
        lower, upper = ratio_interval(0.3 * generator.normal(size=60) ** 2, below, 0.95)
        hits += lower <= 0.3 <= upper
    assert hits / 150 >= 0.92
