"""Off-policy estimates against closed forms and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from modelops.errors import ModelOpsError
from modelops.statistics.off_policy import Log, doubly_robust, ips, snips

LOGGED = np.array([0.7, 0.2, 0.1])
TARGET = np.array([0.1, 0.2, 0.7])
RATES = np.array([0.1, 0.2, 0.3])
TRUTH = float(TARGET @ RATES)


def drawn(seed: int, n: int = 2000) -> Log:
    generator = np.random.default_rng(seed)
    arms = generator.choice(3, n, p=LOGGED)
    return Log(arms, LOGGED[arms], generator.binomial(1, RATES[arms]).astype(float))


def test_closed_forms():
    """Four answers by hand: IPS is 1.25, SNIPS 5/6 of it; with a reward model DR adds what the model missed."""
    log = Log(np.array([0, 0, 1, 1]), np.array([0.5, 0.5, 0.25, 0.25]), np.array([1.0, 0.0, 1.0, 1.0]))
    policy = np.array([0.5, 0.5])
    weights = np.array([1.0, 1.0, 2.0, 2.0])
    assert ips(log, policy).value == pytest.approx(1.25)
    assert snips(log, policy).value == pytest.approx(5 / 6)
    robust = doubly_robust(log, policy, np.array([0.4, 0.8]))
    assert robust.value == pytest.approx(0.6 + (0.6 - 0.4 + 0.4 + 0.4) / 4)
    assert robust.effective == pytest.approx(weights.sum() ** 2 / np.square(weights).sum())
    assert robust.n == 4


def test_answers_of_one_entity_are_refused():
    """However many there are, they are one observation, and one has no spread: there was an interval of NaN."""
    log, units = drawn(1, 50), np.full(50, 7, dtype=np.uint64)
    with pytest.raises(ModelOpsError, match="one entity"):
        Log(log.arms, log.propensities, log.rewards, units)
    units[0] = 8
    found = ips(Log(log.arms, log.propensities, log.rewards, units), TARGET)
    assert np.isfinite([found.lower, found.upper]).all()
    assert found.lower < found.value < found.upper


def test_intervals_of_many_answers_are_those_of_a_mean_and_of_a_weighted_regression():
    """IPS has about the normal interval of its mean, SNIPS the robust one of a regression; neither is shorter."""
    log = drawn(1, 200_000)
    weights = TARGET[log.arms] / log.propensities
    found, terms = ips(log, TARGET, alpha=0.1), weights * log.rewards
    expected = stats.norm.interval(0.9, terms.mean(), stats.sem(terms))
    assert (found.lower, found.upper) == pytest.approx(expected, rel=2e-3)
    fit = sm.WLS(log.rewards, np.ones(len(terms)), weights=weights).fit(cov_type="HC1")
    ratio = snips(log, TARGET, alpha=0.1)
    assert (ratio.lower, ratio.upper) == pytest.approx(tuple(fit.conf_int(0.1)[0]), rel=2e-3)
    assert ratio.lower < fit.conf_int(0.1)[0][0] < fit.conf_int(0.1)[0][1] < ratio.upper


def test_entities_are_clusters():
    """With entities the interval is about that of a regression clustered by them, and copies add no information."""
    log = drawn(2, 50_000)
    units = np.random.default_rng(3).integers(0, 6000, 50_000).astype(np.uint64)
    weights = TARGET[log.arms] / log.propensities
    found = snips(Log(log.arms, log.propensities, log.rewards, units), TARGET)
    fit = sm.WLS(log.rewards, np.ones(50_000), weights=weights).fit(cov_type="cluster", cov_kwds={"groups": units})
    assert (found.lower, found.upper) == pytest.approx(tuple(fit.conf_int(0.05)[0]), rel=1e-2)
    few = drawn(2, 500)
    arms, *numbers = (np.repeat(column, 5) for column in (few.arms, few.propensities, few.rewards))
    for estimate in (ips, snips):
        copied = estimate(Log(arms, *numbers, np.repeat(np.arange(500, dtype=np.uint64), 5)), TARGET)
        single = estimate(few, TARGET)
        assert (copied.lower, copied.upper) == pytest.approx((single.lower, single.upper))


def test_an_arm_without_a_reward_is_not_taken_to_earn_nothing():
    """Ten answers of it, none rewarded: the upper bound holds 0.2, and so where no answer of the log was rewarded."""
    arms = np.repeat([0, 1], (90, 10))
    for rewards in (np.concatenate([np.tile([0.0, 1.0], 45), np.zeros(10)]), np.zeros(100)):
        log = Log(arms, np.array([0.9, 0.1])[arms], rewards)
        for found in (ips(log, np.array([0.0, 1.0])), snips(log, np.array([0.0, 1.0]))):
            assert (found.value, found.lower) == (0.0, pytest.approx(0.0, abs=1e-9))
            assert 0.2 < found.upper < 2


def test_the_bounds_of_few_answers_are_where_they_say():
    """30 answers of the arm in question: each bound is beyond the truth in 2.5 % of logs at most, so in 9 of 150."""
    beyond = np.zeros((2, 2))
    for seed in range(150):
        generator = np.random.default_rng([8, seed])
        arms = (generator.random(300) < 0.1).astype(np.intp)
        rewards = (generator.random(300) < np.array([0.1, 0.2])[arms]).astype(float)
        log = Log(arms, np.array([0.9, 0.1])[arms], rewards)
        for place, estimate in enumerate((ips, snips)):
            found = estimate(log, np.array([0.0, 1.0]))
            beyond[place] += found.lower > 0.2, found.upper < 0.2
    assert (beyond <= 9).all(), beyond


def test_the_logged_policy_has_the_mean_reward():
    """Evaluating the policy that was logged is the mean of the rewards."""
    log = drawn(4)
    for estimate in (ips(log, LOGGED), snips(log, LOGGED)):
        assert estimate.value == pytest.approx(log.rewards.mean())
        assert estimate.effective == pytest.approx(2000)


@pytest.mark.parametrize(
    "estimate",
    [
        ips,
        snips,
        lambda log, policy: doubly_robust(log, policy, RATES),
        lambda log, policy: doubly_robust(log, policy, np.array([0.5, 0.0, 0.1])),
    ],
)
def test_intervals_cover_the_truth(estimate):
    """Over 150 logs the estimates are right on average, and 95 % intervals cover in 91 %, whatever the model."""
    found = [estimate(drawn(seed), TARGET) for seed in range(150)]
    values = np.array([one.value for one in found])
    assert abs(values.mean() - TRUTH) < 4 * values.std() / np.sqrt(150)
    covered = sum(one.lower <= TRUTH <= one.upper for one in found)
    assert covered >= 0.91 * 150


def test_wrong_propensities_are_repaired_by_the_model():
    """Doubly robust: with wrong propensities but the right model it is still right, where IPS is not."""
    logs = [drawn(seed) for seed in range(50)]
    wrong = [Log(log.arms, np.full(2000, 1 / 3), log.rewards) for log in logs]
    assert abs(np.mean([ips(log, TARGET).value for log in wrong]) - TRUTH) > 0.05
    assert np.mean([doubly_robust(log, TARGET, RATES).value for log in wrong]) == pytest.approx(TRUTH, abs=0.01)


def test_a_changing_split_is_no_bias():
    """Where weights and base rate changed together plain means mislead, and propensities do not."""
    generator = np.random.default_rng(5)
    rows = []
    for split, base in (([0.9, 0.1], 0.1), ([0.1, 0.9], 0.5)):
        arms = generator.choice(2, 20_000, p=split)
        rewards = generator.binomial(1, base + 0.1 * (arms == 0))
        rows.append((arms, np.array(split)[arms], rewards.astype(float)))
    log = Log(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    assert log.rewards[log.arms == 1].mean() > log.rewards[log.arms == 0].mean()
    for arm, truth in ((0, 0.4), (1, 0.3)):
        assert snips(log, np.eye(2)[arm]).value == pytest.approx(truth, abs=0.02)


def test_policies_by_request():
    """A policy and a model may differ by request."""
    log = drawn(6)
    same = np.tile(TARGET, (2000, 1))
    assert ips(log, same) == ips(log, TARGET)
    assert doubly_robust(log, same, np.tile(RATES, (2000, 1))) == doubly_robust(log, TARGET, RATES)


PAIR = (np.array([0, 1]), np.array([0.5, 0.5]), np.array([1.0, 0.0]))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Log(PAIR[0][:1], PAIR[1][:1], PAIR[2][:1]), "two or more answers"),
        (lambda: Log(PAIR[0], PAIR[1], PAIR[2][:1]), r"shapes \(2,\), \(2,\), \(1,\)"),
        (lambda: Log(PAIR[0], np.array([0.5, 0.0]), PAIR[2]), "one is 0"),
        (lambda: Log(PAIR[0], PAIR[1], np.array([1.0, np.nan])), "not a finite number"),
        (lambda: ips(Log(*PAIR), np.array([1.0])), "knows 1 arms"),
        (lambda: ips(Log(*PAIR), np.array([0.5, 0.6])), "sum to 1"),
        (lambda: ips(Log(*PAIR), np.array([1.5, -0.5])), "not be negative"),
        (lambda: snips(Log(*PAIR), np.array([0.0, 0.0, 1.0])), "never answers"),
        (lambda: doubly_robust(Log(*PAIR), np.array([0.5, 0.5]), np.array([0.5])), r"\(2, 2\) finite"),
    ],
)
def test_what_cannot_be_estimated_is_refused(make, said):
    """Logs and policies that say nothing are errors with what is wrong."""
    with pytest.raises(ModelOpsError, match=said):
        make()
