"""Bounds of the worst of several parts, of a share of a sum, of bins of scores, and spikes in counts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import optimize, stats

from modelops.statistics.intervals import exact_proportion, normal_quantile
from modelops.statistics.parts.reliability import apart, bins, by_noise
from modelops.statistics.parts.shares import share_of_sum
from modelops.statistics.parts.spikes import Counts, smallest_seen, spikes
from modelops.statistics.parts.worst import largest, part, shared_level, smallest


def test_one_part_alone_has_its_own_bounds():
    """With one part nothing is corrected; with several the side on which any of them can err is."""

    def bounds(hits):
        return lambda level: exact_proportion(hits, 100, level)

    alone = largest([part("a", 100, 0.1, bounds(10), 0.95, 1)])
    assert (alone.lower, alone.upper) == exact_proportion(10, 100, 0.95)
    two = [part(name, 100, hits / 100, bounds(hits), 0.95, 2) for name, hits in (("a", 10), ("b", 30))]
    worst, best = largest(two), smallest(two)
    assert (worst.part.name, best.part.name) == ("b", "a")
    assert worst.upper == exact_proportion(30, 100, 0.95)[1]
    assert worst.lower == exact_proportion(30, 100, shared_level(0.95, 2))[0]
    assert best.lower == exact_proportion(10, 100, 0.95)[0]
    assert best.upper == exact_proportion(10, 100, 0.975)[1]


@pytest.mark.parametrize(
    ("values", "errors", "place"),
    [
        ([8.0, 1.0, 1.0], [0.2, 0.1, 0.1], 1),
        ([8.0, 1.0, 1.0], [0.2, 0.1, 0.1], 0),
        ([1.0, 0.01, -0.02], [0.05, 0.01, 0.01], 0),
        ([1.0, 0.0, 0.0], [0.0, 0.0, 0.0], 2),
        ([0.5, 0.4, 0.3, 0.2], [0.05] * 4, 3),
    ],
)
def test_a_share_of_a_sum_is_where_the_difference_may_be_nothing(values, errors, place):
    """The bounds are those that the definition gives when it is solved without the closed form."""
    values, errors = np.array(values), np.array(errors)
    share, (lower, upper) = share_of_sum(values, errors, place, 0.95)
    z, others = normal_quantile(0.95), errors.sum() - errors[place]

    def left(at, side):
        error = abs(1 - at) * errors[place] + abs(at) * others
        return values[place] - at * values.sum() + side * z * error

    assert share == pytest.approx(values[place] / values.sum())
    for found, side in ((lower, -1), (upper, 1)):
        if found > 0 or left(0.0, side) > 0:
            assert found == pytest.approx(optimize.brentq(left, -1.0, 5.0, args=(side,)), abs=1e-9)
    assert lower <= share <= upper


def test_a_sum_that_may_be_nothing_has_no_share():
    """Where the sum is not shown to be above 0 the upper bound is infinite, and below 0 there is no share."""
    assert share_of_sum(np.array([0.1, 0.1]), np.array([0.2, 0.2]), 0, 0.95)[1] == (0.0, np.inf)
    assert np.isnan(share_of_sum(np.array([-0.1, 0.0]), np.array([0.2, 0.2]), 0, 0.95)[0])


def test_bins_hold_equally_many_and_never_part_equal_scores():
    """All rows are in one bin each, in order; equal scores together, and none below the least size."""
    generator = np.random.default_rng(1)
    scores = generator.random(1000).round(2)
    found = bins(np.zeros(1000), scores, 10, 50)
    assert sum(len(one.scores) for one in found) == 1000
    assert all(a.scores.max() < b.scores.min() for a, b in pairwise(found))
    assert min(len(one.scores) for one in found) >= 80
    assert len(bins(np.zeros(90), scores[:90], 10, 50)) == 1
    assert len(bins(np.zeros(500), np.full(500, 0.5), 10, 50)) == 1


def test_gaps_of_bins_and_what_noise_makes_of_them():
    """The bounds are the exact ones of the share, shifted; what noise alone gives is the mean of many draws."""
    generator = np.random.default_rng(2)
    scores = generator.uniform(0.2, 0.6, 200)
    (one,) = bins((generator.random(200) < scores) * 1.0, scores, 1, 50)
    low, high = exact_proportion(one.values.sum(), 200, 0.95)
    assert apart(one, 0.95, shares=True)[1] == pytest.approx(max(abs(low - one.promised), abs(high - one.promised)))
    drawn = np.abs((generator.random((4000, 200)) < scores).mean(axis=1) - scores.mean()).mean()
    assert by_noise(one, shares=True) == pytest.approx(drawn, rel=0.05)


def test_p_values_of_spikes_are_those_of_the_two_tests():
    """The rows are tested by the binomial law and the labels by Fisher's; the larger of the two counts."""
    new, old = np.array([[4.0, 46.0], [300.0, 100.0]]), np.array([[20.0, 20.0], [300.0, 100.0]])
    expected = old / old.sum(axis=1, keepdims=True)
    found = spikes(Counts(new, old, expected, old.sum(axis=1)), 1000, 4000, 0.9)
    assert [(one.cell, one.label, one.rows) for one in found] == [(0, 1, 50)]
    more = stats.binom.sf(49, 90, 0.2)
    others = stats.fisher_exact([[46, 4], [20, 20]], alternative="greater").pvalue
    assert found[0].p_value == pytest.approx(max(more, others))
    assert found[0].additional == pytest.approx(40.0)
    assert found[0].purity == 1.0
    rows = smallest_seen(0.5, 1000, 4000, 1e-6)
    assert 0.5**rows <= 1e-6 < 0.5 ** (rows - 1)
