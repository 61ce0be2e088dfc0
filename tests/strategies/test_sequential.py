"""Always-valid statistics against quadrature, published values and simulated peeking."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from modelops.strategies._sequential import (
    distribution_distance,
    distribution_radius,
    log_beta_tail,
    log_share_evalue,
    mean_contrast,
)


@pytest.mark.parametrize(
    ("events", "others", "share"),
    [(0, 0, 0.05), (3, 0, 0.05), (0, 50, 0.05), (5, 20, 0.05), (10, 10, 0.25), (9, 3, 0.5)],
)
def test_evalue_is_the_mean_likelihood_ratio(events, others, share):
    """The closed form equals the integral of the likelihood ratio over the truncated prior."""
    a, b = 10 * share, 10 * (1 - share)

    def ratio(p):
        return (p / share) ** events * ((1 - p) / (1 - share)) ** others * stats.beta.pdf(p, a, b)

    expected = integrate.quad(ratio, share, 1, limit=200)[0] / stats.beta.sf(share, a, b)
    assert math.exp(log_share_evalue(events, others, share)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.9])
def test_evalue_is_fair(share):
    """From any state the expected next e-value is the present one under the limit, and less below it."""
    for events, others in ((0, 0), (2, 30), (8, 3)):
        now, hit, miss = (
            math.exp(log_share_evalue(events + e, others + o, share)) for e, o in ((0, 0), (1, 0), (0, 1))
        )
        assert share * hit + (1 - share) * miss == pytest.approx(now)
        lower = share / 2
        assert lower * hit + (1 - lower) * miss < now


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_split_no_evidence(share):
    """With all traffic on one side nothing is learned."""
    assert log_share_evalue(5, 5, share) == 0.0


def test_larger_share_is_more_lenient():
    """Taking a larger share than intended only lowers the e-value, which keeps it valid."""
    for events, others in ((1, 100), (10, 100), (50, 100), (5, 0)):
        values = [log_share_evalue(events, others, share) for share in np.linspace(0.02, 0.9, 30)]
        assert all(after <= before + 1e-12 for before, after in pairwise(values))


def test_beta_tail_below_underflow():
    """The series continues the logarithm where the probability itself is zero in double precision."""
    assert log_beta_tail(3, 8, 0.2) == pytest.approx(stats.beta.logsf(0.2, 3, 8))
    near, far = (log_beta_tail(0.5, b, 0.05) for b in (12_000, 12_010))
    assert stats.beta.sf(0.05, 0.5, 20_000) == 0.0
    slope = (far - near) / 10
    assert log_beta_tail(0.5, 20_000, 0.05) == pytest.approx(near + 8000 * slope, abs=0.5)
    assert -20 < log_share_evalue(0, 100_000, 0.05) < -5


def _alarms(runs: int, looks: int, share: float, rate: float, ratio: float, seed: int) -> float:
    """Share of runs in which the e-value reaches 20 at a look every 100 requests (alpha 5 %)."""
    generator, alarms = np.random.default_rng(seed), 0
    for _ in range(runs):
        of_candidate = generator.binomial(100, share, looks)
        errors = generator.binomial(of_candidate, rate * ratio).cumsum()
        others = generator.binomial(100 - of_candidate, rate).cumsum()
        alarms += any(
            log_share_evalue(int(e), int(o), share) >= math.log(20) for e, o in zip(errors, others, strict=True)
        )
    return alarms / runs


def test_peeking_keeps_the_error_rate():
    """Of 400 rollouts without a difference, 60 looks each, at most 5 % alarm; a z-test would alarm in about 30 %."""
    assert _alarms(400, 60, 0.1, 0.01, 1.0, seed=1) <= 0.05


def test_power_of_the_evalue():
    """Five times the errors on a 10 % canary are found in every one of 60 runs of 6,000 requests."""
    assert _alarms(60, 60, 0.1, 0.01, 5.0, seed=2) >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.999), (0.1, 0.83), (0.05, 0.56)])
def test_published_power(share, expected):
    """Twice the errors, 20,000 requests: the measured power of the design is met; false alarms stay near 2 %."""
    assert _alarms(400, 200, share, 0.01, 2.0, seed=3) == pytest.approx(expected, abs=0.09)
    assert _alarms(1000, 200, share, 0.01, 1.0, seed=4) <= 0.035


def test_mean_contrast_by_formula():
    """One segment gives the published half-width with the two-sample standard error."""
    generator = np.random.default_rng(1)
    first, second = generator.normal(1, 2, 400), generator.normal(0, 1, 600)
    found = mean_contrast([(first, second)], 1.0, 0.05)
    n = 400 * 600 / 1000
    s = math.sqrt(n * (first.var(ddof=1) / 400 + second.var(ddof=1) / 600))
    r = math.sqrt((-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 1000)
    half = s * math.sqrt(2 * (n * r**2 + 1) / (n * r) ** 2 * math.log(math.sqrt(n * r**2 + 1) / 0.05))
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert (found.lower, found.upper) == pytest.approx((found.difference - half, found.difference + half))
    assert found.n == pytest.approx(n)


def test_mean_contrast_compares_within_segments():
    """A level that moves with the weights is no difference between the arms."""
    generator = np.random.default_rng(2)
    quiet = (generator.normal(0, 1, 100), generator.normal(0, 1, 1900))
    loud = (generator.normal(5, 1, 1000), generator.normal(5, 1, 1000))
    found = mean_contrast([quiet, loud], 1.0, 0.05)
    assert abs(found.difference) < 0.2
    pooled = np.concatenate([quiet[0], loud[0]]).mean() - np.concatenate([quiet[1], loud[1]]).mean()
    assert pooled > 2


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(np.zeros(19), np.zeros(500))],
        [(np.full(50, 0.3), np.full(50, 0.3))],
        [(np.full(50, np.nan), np.zeros(50))],
    ],
)
def test_mean_contrast_without_data(pairs):
    """Too few values, none that vary, or ones that are not numbers give no interval."""
    assert mean_contrast(pairs, 1.0, 0.05) is None


def test_mean_contrast_under_peeking():
    """Of 300 equal pairs of arms, 40 looks each, at most 5 % ever exclude zero."""
    generator, wrong = np.random.default_rng(3), 0
    for _ in range(300):
        first, second = generator.binomial(1, 0.2, (2, 2000)).astype(float)
        looks = (mean_contrast([(first[:n], second[:n])], 1.0, 0.05) for n in range(50, 2001, 50))
        wrong += any(not look.lower <= 0 <= look.upper for look in looks)
    assert wrong / 300 <= 0.05


def test_distance_is_scipys():
    """The distance equals the two-sample Kolmogorov-Smirnov statistic, ties included."""
    generator = np.random.default_rng(4)
    first, second = np.round(generator.normal(size=80), 1), np.round(generator.normal(0.5, 1, 50), 1)
    assert distribution_distance(first, second) == pytest.approx(stats.ks_2samp(first, second).statistic)


def _distance_from_uniform(values):
    steps = np.arange(len(values) + 1) / len(values)
    ordered = np.sort(values)
    return max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max())


def test_radius_holds_at_every_look():
    """Of 200 samples of 1,000 at most 5 % may ever leave the band, and the band shrinks like 1/sqrt(n)."""
    generator, left = np.random.default_rng(5), 0
    for _ in range(200):
        values = generator.random(1000)
        looks = [values[:n] for n in (10, 30, 100, 300, 1000)]
        left += any(_distance_from_uniform(seen) > distribution_radius(len(seen), 0.05) for seen in looks)
    assert left / 200 <= 0.05
    assert distribution_radius(1000, 0.05) == pytest.approx(0.0875, abs=0.001)
    assert distribution_radius(100_000, 0.05) < distribution_radius(1000, 0.05) / 9
