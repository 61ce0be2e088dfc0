"""Always-valid statistics against quadrature, published values and simulated peeking."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats
from statsmodels.stats.proportion import proportion_confint

from modelops.statistics.bands import distribution_distance, distribution_p_value, distribution_radius
from modelops.statistics.means import mean_bounds, mean_contrast
from modelops.statistics.sequential import log_beta_tail, log_rise_evalue, log_share_evalue, share_bounds


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


@pytest.mark.parametrize(("events", "others"), [(3, 97), (0, 50), (50, 0), (400, 600), (1, 100_000)])
def test_share_bounds_invert_the_evalue(events, others):
    """At each bound the e-value just reaches its threshold, and the exact interval of one look lies inside."""
    lower, upper = share_bounds(events, others, 0.025)
    if events:
        assert log_share_evalue(events, others, lower) == pytest.approx(math.log(40), abs=1e-4)
    if others:
        assert log_share_evalue(others, events, 1 - upper) == pytest.approx(math.log(40), abs=1e-4)
    exact = proportion_confint(events, events + others, alpha=0.05, method="beta")
    assert lower <= exact[0] <= exact[1] <= upper
    assert share_bounds(0, 0, 0.05) == (0.0, 1.0)


def test_share_bounds_under_peeking():
    """Of 50 sequences, 15 looks each, at most 10 % ever leave either bound of 5 %."""
    generator, wrong = np.random.default_rng(6), 0
    for _ in range(50):
        events = generator.binomial(60, 0.2, 15).cumsum().tolist()
        looks = (share_bounds(e, 60 * (at + 1) - e, 0.05) for at, e in enumerate(events))
        wrong += any(not lower <= 0.2 <= upper for lower, upper in looks)
    assert wrong / 50 <= 0.1


def _rise_by_grid(now, before, ratio, difference):
    """Minimise over the earlier rate by brute force."""

    def product(rate):
        later = log_share_evalue(*now, min(1.0, ratio * rate + difference))
        against = math.exp(min(700, log_share_evalue(before[1], before[0], 1 - rate, 100.0)))
        return later + math.log(0.25 + 0.75 * against)

    return min(product(rate) for rate in special.expit(np.linspace(-14, 10, 4000)))


@pytest.mark.parametrize(
    ("now", "before", "ratio", "difference"),
    [
        ((60, 440), (10, 990), 1.0, 0.001),
        ((60, 440), (0, 1000), 1.0, 0.0),
        ((250, 750), (25, 475), 1.5, 0.01),
        ((500, 0), (5, 495), 1.0, 0.001),
        ((90, 910), (400, 9600), 1.0, 0.0),
    ],
)
def test_rise_is_the_smallest_product(now, before, ratio, difference):
    """The golden section finds what a grid over all earlier rates finds."""
    found = log_rise_evalue(now, before, ratio, difference)
    assert found == pytest.approx(_rise_by_grid(now, before, ratio, difference), abs=0.01)
    assert found > 0


@pytest.mark.parametrize(("now", "before"), [((10, 990), (10, 990)), ((0, 500), (10, 490)), ((3, 197), (0, 5))])
def test_no_rise_is_no_evidence(now, before):
    """Where the rate did not rise, or next to nothing is known of before, the value is 0 or less."""
    assert log_rise_evalue(now, before) <= 0
    assert log_rise_evalue(now, before) >= _rise_by_grid(now, before, 1.0, 0.0) - 0.01


def test_rise_under_peeking():
    """Of 100 switches without a difference, 20 looks each, at most 5 % alarm, though the past is short and known late.

    The earlier arm is stopped when it looks best, which is when a fixed-sample bound of its rate would be wrong.
    """
    generator, alarms = np.random.default_rng(7), 0
    for _ in range(100):
        errors = generator.binomial(50, 0.02, 20).cumsum()
        stop = int(np.argmin(errors / (np.arange(20) + 1)))
        before = int(errors[stop]), 50 * (stop + 1) - int(errors[stop])
        later = generator.binomial(75, 0.02, 20).cumsum().tolist()
        alarms += any(log_rise_evalue((e, 75 * (at + 1) - e), before) >= math.log(20) for at, e in enumerate(later))
    assert alarms / 100 <= 0.05


def test_a_long_past_is_as_good_as_a_known_rate():
    """A million requests of stable cost ln 4 at most beside the test against the rate itself."""
    found, known = log_rise_evalue((70, 2930), (10_000, 990_000)), log_share_evalue(70, 2930, 0.01)
    assert known - 2.5 < found < known


def test_rise_finds_harm():
    """Five times the errors after 1,000 requests of stable are found with 500 in nine of ten runs."""
    generator = np.random.default_rng(8)
    before, later = generator.binomial(1000, 0.01, 60).tolist(), generator.binomial(500, 0.05, 60).tolist()
    found = [log_rise_evalue((e, 500 - e), (b, 1000 - b)) >= math.log(20) for e, b in zip(later, before, strict=True)]
    assert sum(found) >= 54


def test_evidence_inverts_the_bounds():
    """At the error rate 1/E the bound just touches the limit, with the tuning that both share."""
    generator = np.random.default_rng(9)
    found = mean_contrast([(generator.normal(0.5, 1, 300), generator.normal(0, 1, 300))], 1.0, 0.05)
    for limit in (0.0, 0.1, 0.2):
        assert found.at(math.exp(-found.log_evalue(limit))).lower == pytest.approx(limit)
    assert found.log_evalue(2.0) <= 0
    again = mean_contrast([(generator.normal(0, 1, 300), generator.normal(0, 1, 300))], 1.0, 0.01, tuned=0.05)
    assert again.at(0.05).upper < again.upper


def test_mean_of_one_sample():
    """The half-width is the published one, of n values; equal values keep the room that one at the limit makes."""
    values = np.random.default_rng(10).normal(0.3, 0.1, 500)
    found = mean_bounds(values, 0.3, 0.05)
    s = np.append(values, 0.3).std(ddof=1)
    r = math.sqrt((-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 1000)
    half = s * math.sqrt(2 * (500 * r**2 + 1) / (500 * r) ** 2 * math.log(math.sqrt(500 * r**2 + 1) / 0.05))
    assert found.upper - found.difference == pytest.approx(half)
    equal = mean_bounds(np.zeros(100), 0.1, 0.05)
    assert 0 < equal.upper < 0.1
    assert mean_bounds(np.zeros(19), 0.1, 0.05) is None
    assert mean_bounds(np.full(50, 0.1), 0.1, 0.05) is None
    assert mean_bounds(np.full(50, np.nan), 0.1, 0.05) is None


@pytest.mark.parametrize(("distance", "n", "m", "limit"), [(0.4, 500, 800, 0.1), (0.3, 90, 20_000, 0.05)])
def test_distribution_p_value_inverts_the_bands(distance, n, m, limit):
    """At the p-value the two bands just reach from the distance to the limit; a distance below the limit has 1."""
    p = distribution_p_value(distance, n, m, limit)
    assert 0 < p <= 1
    if p < 1:
        assert distribution_radius(n, p / 2) + distribution_radius(m, p / 2) == pytest.approx(distance - limit)
    assert distribution_p_value(limit, n, m, limit) == 1.0
    assert distribution_p_value(1.0, 10**7, 10**7, 0.01) < 1e-250


def test_pairs_that_depend_keep_the_error_rate():
    """Errors of both answers to one request count twice in a shadow; however they depend, peeking stays below alpha."""
    generator, alarms, ratio = np.random.default_rng(11), 0, 2.0
    for _ in range(300):
        both = generator.binomial(100, 0.01, 40).cumsum()
        # The candidate fails on 2 % of the requests, stable on 1 %, always together: the ratio is just the limit.
        alone = generator.binomial(100, 0.01, 40).cumsum()
        alarms += any(
            log_share_evalue(int(b + a), int(b), ratio / (1 + ratio)) >= math.log(20)
            for b, a in zip(both, alone, strict=True)
        )
    assert alarms / 300 <= 0.05


def test_mean_contrast_of_entities_that_come_back():
    """The same entities in four segments are no four times as much evidence; of 200 equal pairs few are excluded."""
    generator, wrong, careless = np.random.default_rng(31), 0, 0
    names = np.arange(60, dtype=np.uint64), np.arange(1000, 1060, dtype=np.uint64)
    for _ in range(200):
        first, second = generator.normal(0, 1, (2, 60))
        pairs = [tuple(each + generator.normal(0, 0.1, 60) for each in (first, second)) for _ in range(4)]
        known = mean_contrast(pairs, 1.0, 0.2, units=[names] * 4)
        alike = mean_contrast(pairs, 1.0, 0.2)
        wrong += not known.lower <= 0 <= known.upper
        careless += not alike.lower <= 0 <= alike.upper
    assert wrong <= 0.05 * 200 < careless


def test_mean_contrast_of_rare_losses():
    """A small arm without a loss so far is held to have as many as both arms together, when its bounds are drawn."""
    stable = np.zeros(2000)
    stable[:200] = 1.0
    found = mean_contrast([(np.zeros(50), stable)], 1.0, 0.05)
    n = 50 * 2000 / 2050
    pooled = (1 / 52 * 50 + 201 / 2002 * 2000) / 2050
    assert found.deviation**2 / n >= pooled * (1 - pooled) / 50
