"""Closed-form intervals and distances against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from modelops.metrics import auc
from modelops.metrics.distribution import population_stability
from modelops.metrics.intervals import paired_proportions, resampled_counts, student, wilson


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
    assert method == "delong, logit scale"
    logit = np.log([lower / (1 - lower), upper / (1 - upper)])
    assert np.diff(logit)[0] / 2 == pytest.approx(1.959964 * np.sqrt(variance) / (area * (1 - area)), rel=1e-6)


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
        assert (area, upper, method) == (1.0, 1.0, "newcombe score")
    assert 0.7 < lower[10] < 0.9
    assert 0.99 < lower[1000] < 1.0


def test_bonett_price_by_hand():
    """Twelve against five discordant pairs of 100: (13 - 6)/102 with its standard error."""
    p, q = 13 / 102, 6 / 102
    half = 1.959964 * np.sqrt((p + q - (p - q) ** 2) / 102)
    assert paired_proportions(12, 5, 100, 0.95) == pytest.approx((p - q - half, p - q + half), rel=1e-6)
    assert paired_proportions(0, 0, 10, 0.95)[0] < 0 < paired_proportions(0, 0, 10, 0.95)[1]


def test_resampling_keeps_strata():
    """Every resample draws as many rows of each stratum as there are."""
    strata = (np.array([0, 2, 4]), np.array([1, 3]))
    counts = np.concatenate(list(resampled_counts(strata, 5, seed=0)))
    assert counts.shape == (2000, 5)
    assert (counts[:, strata[0]].sum(axis=1) == 3).all()
    assert (counts[:, strata[1]].sum(axis=1) == 2).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(5), abs=0.1)


def test_population_stability_formula_and_chance():
    """PSI equals its definition, and when nothing changed it exceeds its critical value as often as promised."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    found = population_stability([500, 300, 200], [400, 400, 200])
    assert found.value == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    generator = np.random.default_rng(1)
    draws = [
        population_stability(*(generator.multinomial(n, np.full(10, 0.1)) for n in (2000, 500))) for _ in range(500)
    ]
    assert np.mean([draw.value for draw in draws]) == pytest.approx(draws[0].expected, rel=0.1)
    assert 0.02 <= np.mean([draw.value > draw.critical for draw in draws]) <= 0.09


def test_population_stability_of_empty_bins_is_finite():
    """A bin that only one side fills counts as half a row, and a single bin cannot differ."""
    assert np.isfinite(population_stability([100, 0], [50, 50]).value)
    assert population_stability([100, 0], [50, 0]) == population_stability([7], [9])
