"""Bandits: where the traffic goes, what it believes, what fools it not, and when it ends."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import statsmodels.api as sm
from pydantic import ValidationError
from scipy import integrate, stats

from modelops.spec.kinds.rollout_plan import Expectation
from modelops.statistics.posteriors import Belief
from modelops.strategies import ArmData, Progress, StepData, Traffic, bandit
from strategies.experiments import THREE, TWO, UNGUARDED, Experiment, bernoulli, outcomes, seen, share
from strategies.progress import START, model


def params(**changes: object) -> bandit.Params:
    return bandit.Params.model_validate_json(json.dumps({"epochMinutes": 60} | changes))


def unguarded(**changes: object) -> bandit.Params:
    return params(**(UNGUARDED | changes))


def epochs(*steps: tuple[dict[str, float], dict[str, ArmData]], minutes: float = 60.0, **changes) -> Progress:
    """Return the progress of a bandit that has come to the last of these epochs, each of an hour."""
    found = tuple(StepData(at, Traffic(weights), arms) for at, (weights, arms) in enumerate(steps, start=1))
    began = START + timedelta(hours=len(found) - 1)
    arms = tuple(changes.pop("arms", steps[0][0]))
    return Progress(len(found), began, began + timedelta(minutes=minutes), found, arms, started=START, **changes)


def chances(step) -> dict[str, float]:
    return {check.arm: check.statistic for check in step.checks if check.name == "reward"}


def adjusted(given: bandit.Params, progress: Progress):
    return bandit._rewards(given, progress.steps, progress.arms).belief()


HALF = {"stable": 0.5, "candidate": 0.5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochMinutes": 0}, "greater than 0"),
        ({"reward": "profit"}, "outcome"),
        ({"policy": "ucb"}, "thompson"),
        ({"floor": 0.0}, "greater than or equal to 0.001"),
        ({"floor": 0.2}, "less than or equal to 0.125"),
        ({"threshold": 0.4}, "greater than 0.5"),
        ({"reward": "correct", "direction": "decrease"}, "direction belongs to reward: outcome"),
        ({"minEpochs": 5, "maximumEpochs": 4}, "below minEpochs"),
    ],
)
def test_parameters(changes, said):
    """Bandits that make no sense are refused with what is wrong."""
    with pytest.raises(ValidationError, match=said):
        params(**changes)


def test_begins_with_equal_shares():
    """Nothing is known, so that every arm has the same share."""
    assert bandit.begin(params(), THREE).weights == pytest.approx(dict.fromkeys(THREE, 1 / 3), abs=1e-8)


# What it believes.


def test_the_probability_to_be_best_is_an_integral_over_beta_beliefs():
    """With 0/1 rewards of one epoch it is the probability that one Beta variable exceeds the other."""
    step = bandit.next_step(unguarded(), seen({"stable": share(150, 12), "candidate": share(180, 22)}))

    def above(x):
        return stats.beta.pdf(x, 1 + 22, 1 + 158) * stats.beta.cdf(x, 1 + 12, 1 + 138)

    expected = integrate.quad(above, 0, 1, points=(0.08, 0.12), limit=200)[0]
    assert chances(step)["candidate"] == pytest.approx(expected, abs=2e-4)
    assert sum(chances(step).values()) == pytest.approx(1)


def test_other_rewards_are_normal():
    """With rewards that are any number it is the probability of a normal difference to be positive."""
    generator = np.random.default_rng(1)
    a, b = generator.normal(10, 3, 400), generator.normal(10.3, 2, 300)
    step = bandit.next_step(unguarded(), seen({"stable": outcomes(a), "candidate": outcomes(b)}))
    error = math.sqrt(a.var(ddof=1) / 400 + b.var(ddof=1) / 300)
    assert chances(step)["candidate"] == pytest.approx(stats.norm.cdf((b.mean() - a.mean()) / error), abs=2e-4)


def test_eight_arms():
    """Among eight arms of known beliefs the integral agrees with a million draws."""
    means, sizes = np.linspace(0.1, 0.16, 8), np.linspace(100, 3000, 8)
    belief = Belief(means, sizes, np.zeros(8), binary=True)
    drawn = np.random.default_rng(2).beta(1 + sizes * means, 1 + sizes * (1 - means), (200_000, 8))
    wins = np.bincount(drawn.argmax(axis=1), minlength=8) / len(drawn)
    np.testing.assert_allclose(belief.best(), wins, atol=0.004)


def test_epochs_are_combined_by_least_squares():
    """Arms and epochs add up: contrasts and their variances are those of a regression on arm and epoch."""
    generator = np.random.default_rng(3)
    shares = ((1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1), (0.1, 0.88, 0.02))
    data, rows = [], []
    for epoch, weights in enumerate(shares):
        arms = {}
        for arm, weight in enumerate(weights):
            values = generator.normal(arm + 5 * epoch, 1, int(600 * weight))
            arms[THREE[arm]] = outcomes(values)
            rows += [(value, arm, epoch) for value in values]
        data.append((dict(zip(THREE, weights, strict=True)), arms))
    rewards = bandit._rewards(unguarded(), epochs(*data).steps, THREE)
    found = rewards.belief()
    y, arm, epoch = (np.array(column) for column in zip(*rows, strict=True))
    design = np.column_stack([arm == 0, arm == 2, *(epoch == e for e in range(3))]).astype(float)
    fit = sm.OLS(y, design).fit()
    most = int(rewards.counts.sum(axis=0).argmax())
    assert most == 1
    np.testing.assert_allclose(found.means[[0, 2]] - found.means[1], fit.params[:2])
    variances = 1 / found.sizes[[0, 2]] + 1 / found.sizes[1]
    np.testing.assert_allclose(variances * rewards.inflation, np.diag(fit.normalized_cov_params)[:2] * 1.0, rtol=0.01)


def test_a_changing_base_rate_does_not_fool_it():
    """Stable is better in every epoch though the candidate is better in total, having served the good days."""
    first = ({"stable": 0.9, "candidate": 0.1}, {"stable": share(9000, 900), "candidate": share(1000, 60)})
    second = ({"stable": 0.1, "candidate": 0.9}, {"stable": share(1000, 600), "candidate": share(9000, 4950)})
    found = epochs(first, second, first)
    total = {arm: sum(part.arm(arm).outcomes.sum() / 11_000 for part in found.steps[:2]) for arm in TWO}
    assert total["candidate"] > 2 * total["stable"]
    step = bandit.next_step(unguarded(), found)
    assert chances(step)["stable"] > 0.999
    assert (step.action, step.winner) == ("keep", "stable")


def test_a_drift_while_it_learns_does_not_matter():
    """With a base rate that climbs from 10 to 60 % the better arm is found in each of 20 runs."""
    for seed in range(20):
        experiment = Experiment(bandit, unguarded(), TWO, seed)
        for hour in range(40):
            rates = {"stable": 0.1 + hour / 80, "candidate": 0.05 + hour / 80}
            step = experiment.look(400, bernoulli(rates))
            if step.action in ("promote", "keep"):
                break
        assert (step.action, step.winner) == ("keep", "stable")


def test_late_rewards_belong_to_the_epoch_that_made_the_prediction():
    """A label for an old epoch changes what is believed as one of that epoch, not of the running one."""

    def first(n: int, ones: int) -> ArmData:
        return outcomes([1.0] * ones + [0.0] * (n - ones))

    now = ({"stable": 0.2, "candidate": 0.8}, {"stable": first(200, 100), "candidate": first(800, 400)})
    few = {"stable": first(150, 15), "candidate": first(150, 15)}
    late = {"stable": first(500, 50), "candidate": first(500, 100)}
    before, after = (epochs((HALF, arms), now) for arms in (few, late))
    assert chances(bandit.next_step(unguarded(), before))["candidate"] == pytest.approx(0.5, abs=0.02)
    assert chances(bandit.next_step(unguarded(), after))["candidate"] > 0.95
    credited_now = {name: outcomes([*now[1][name].outcomes, *np.zeros(350)]) for name in TWO}
    wrong = bandit.next_step(unguarded(), epochs((HALF, few), (now[0], credited_now)))
    assert abs(chances(wrong)["candidate"] - chances(bandit.next_step(unguarded(), after))["candidate"]) > 0.01


def test_entities_that_come_back_count_for_less():
    """Ten equal answers of each entity are worth a tenth, and the minimum counts entities."""
    generator = np.random.default_rng(4)
    ones = {arm: generator.binomial(1, rate, 400) for arm, rate in (("stable", 0.30), ("candidate", 0.36))}
    single = seen({arm: outcomes(values) for arm, values in ones.items()})
    tenfold = seen(
        {arm: outcomes(np.repeat(values, 10), np.repeat(np.arange(400), 10)) for arm, values in ones.items()}
    )
    once, often = adjusted(unguarded(), single), adjusted(unguarded(), tenfold)
    np.testing.assert_allclose(often.sizes, once.sizes, rtol=1e-6)
    np.testing.assert_allclose(often.means, once.means)
    assert bandit.next_step(unguarded(minUnits=401), tenfold).action == "hold"


@pytest.mark.parametrize(
    ("changes", "good", "bad"),
    [
        ({"direction": "decrease"}, share(1000, 100), share(1000, 200)),
        ({"reward": "correct"}, share(1000, 900), share(1000, 800)),
        ({"direction": "decrease"}, outcomes(np.arange(1000.0)), outcomes(np.arange(1000.0) + 100)),
    ],
)
def test_rewards_know_which_way_is_better(changes, good, bad):
    """Labels go as told, and right answers are better."""
    step = bandit.next_step(unguarded(**changes), seen({"stable": bad, "candidate": good}))
    assert chances(step)["candidate"] > 0.99


# How the weights move.


def test_weights_are_chances_to_be_best_with_a_floor():
    """Unlimited in its step every arm gets its chance, and no arm less than the floor."""
    arms = {"stable": share(800, 96), "candidate": share(800, 104), "challenger-5": share(800, 30)}
    step = bandit.next_step(unguarded(maximumStep=1.0, floor=0.02), seen(arms))
    assert (step.action, step.step) == ("advance", 2)
    expected = {arm: 0.02 + 0.94 * chance for arm, chance in chances(step).items()}
    assert step.traffic.weights == pytest.approx(expected, abs=1e-8)
    assert step.traffic.weights["challenger-5"] == pytest.approx(0.02, abs=1e-6)
    assert all(type(weight) is float for weight in step.traffic.weights.values())


def test_no_weight_moves_by_more_than_the_step():
    """The fastest weight moves by the limit, the others in proportion, and the sum stays 1."""
    arms = {"stable": share(800, 90), "candidate": share(800, 160), "challenger-5": share(800, 30)}
    step = bandit.next_step(unguarded(maximumStep=0.1), seen(arms))
    moved = {arm: weight - 1 / 3 for arm, weight in step.traffic.weights.items()}
    assert max(map(abs, moved.values())) == pytest.approx(0.1, abs=1e-6)
    assert moved["candidate"] > 0 > moved["challenger-5"]
    assert sum(step.traffic.weights.values()) == pytest.approx(1, abs=1e-12)


def test_epsilon_greedy_gives_the_best_all_but_epsilon():
    """The best mean takes 1 - epsilon, and all share the rest."""
    arms = {"stable": share(800, 90), "candidate": share(800, 92), "challenger-5": share(800, 30)}
    greedy = unguarded(policy="epsilon-greedy", epsilon=0.3, maximumStep=1.0, floor=0.001)
    weights = bandit.next_step(greedy, seen(arms)).traffic.weights
    expected = {"stable": 0.1, "candidate": 0.8, "challenger-5": 0.1}
    assert weights == pytest.approx({arm: 0.001 + 0.997 * part for arm, part in expected.items()}, abs=1e-8)


def test_nothing_moves_before_the_epoch_is_over_or_rewards_are_known():
    """An epoch lasts its minutes, and waits for rewards of enough entities of every arm."""
    arms = {"stable": share(800, 90), "candidate": share(800, 160)}
    early = bandit.next_step(unguarded(), seen(arms, minutes=59))
    assert (early.action, "of the epoch's 60 minutes" in early.reason) == ("hold", True)
    few = bandit.next_step(unguarded(), seen({"stable": share(800, 90), "candidate": share(99, 50)}, minutes=600))
    assert (few.action, "99 of 100 entities" in few.reason) == ("hold", True)
    silent = bandit.next_step(unguarded(), seen({arm: ArmData(1000, entities=1000) for arm in TWO}, minutes=1e6))
    assert (silent.action, "no data: stable has no rewards" in silent.reason) == ("hold", True)


def test_weights_that_would_hardly_move_stay():
    """The epoch goes on where the weights are what they should be, so that a long rollout has few epochs."""
    step = bandit.next_step(unguarded(), seen({"stable": share(800, 90), "candidate": share(800, 90)}))
    assert (step.action, step.traffic.weights) == ("hold", HALF)


def test_arms_that_never_ran_beside_each_other_cannot_be_compared():
    """With rewards in different epochs only there is nothing to go by."""
    one = (HALF, {"stable": share(500, 50), "candidate": ArmData(500)})
    other = (HALF, {"stable": ArmData(500), "candidate": share(500, 100)})
    step = bandit.next_step(unguarded(), epochs(one, other))
    assert (step.action, "no data" in step.reason) == ("hold", True)


def test_pure():
    """Equal progress gives equal steps whatever the seed, and is left as it was."""
    found = seen({"stable": share(800, 90), "candidate": share(800, 110)})
    before = copy.deepcopy(found)
    first = bandit.next_step(unguarded(), found)
    assert first == bandit.next_step(unguarded(), replace(before, seed=77))
    np.testing.assert_array_equal(found.steps[0].arm("stable").outcomes, before.steps[0].arm("stable").outcomes)


# How it ends.


def test_an_arm_that_is_very_probably_the_best_ends_it():
    """After the minimum of epochs the best arm is promoted, or kept when it is stable; before that traffic moves."""
    good, bad = share(800, 160), share(800, 60)
    for arms, action, winner in (
        ({"stable": bad, "candidate": good}, "promote", "candidate"),
        ({"stable": good, "candidate": bad}, "keep", "stable"),
    ):
        early = bandit.next_step(unguarded(), epochs((HALF, arms), (HALF, arms)))
        assert early.action == "advance"
        step = bandit.next_step(unguarded(), epochs((HALF, arms), (HALF, arms), (HALF, arms)))
        assert (step.action, step.winner, step.traffic.weights[winner]) == (action, winner, 1.0)
        assert f"{winner} is the best" in step.reason


def test_the_last_epoch():
    """After the maximum of epochs stable is kept, or the traffic stays as it is, whether or not rewards came."""
    even = {"stable": share(800, 90), "candidate": share(800, 95)}
    for arms in (even, {arm: ArmData() for arm in TWO}):
        for ends, action in (("keep", "keep"), ("hold", "hold")):
            limited = unguarded(maximumEpochs=3, onDeadline=ends)
            step = bandit.next_step(limited, epochs((HALF, arms), (HALF, arms), (HALF, arms)))
            assert (step.action, "3 epochs have passed" in step.reason) == (action, True)
            before = bandit.next_step(limited, epochs((HALF, arms), (HALF, arms), (HALF, arms), minutes=59))
            assert before.action == "hold"


def test_a_failed_guard_takes_an_arm_out():
    """Whatever it earns an arm that fails loses its weight at once, and is named at the end."""
    arms = {"stable": share(900, 90), "candidate": share(900, 400, errors=120), "challenger-5": share(900, 100)}
    thirds = dict.fromkeys(THREE, 1 / 3)
    step = bandit.next_step(params(), epochs((thirds, arms), minutes=1))
    assert (step.action, step.step, step.failed) == ("advance", 2, ("candidate",))
    assert step.traffic.weights == pytest.approx({"stable": 0.5, "candidate": 0.0, "challenger-5": 0.5}, abs=1e-8)
    left = {"stable": share(900, 90), "challenger-5": share(900, 200)}
    later = [({"stable": 0.5, "challenger-5": 0.5}, left)] * 3
    ended = bandit.next_step(params(outcome=None), epochs((thirds, arms), *later))
    assert (ended.action, ended.winner, ended.failed) == ("promote", "challenger-5", ("candidate",))
    assert set(chances(ended)) == {"stable", "challenger-5"}
    alone = bandit.next_step(params(), epochs((HALF, {arm: arms[arm] for arm in TWO})))
    assert (alone.action, alone.failed) == ("rollback", ("candidate",))
    tolerant = bandit.next_step(params(), epochs((thirds, arms), tolerant=True))
    assert tolerant.traffic.weights["candidate"] > 1 / 3


def _regret(policy: str, seed: int) -> tuple[float, str]:
    """Return what 60 epochs of 300 requests lose to always serving the best arm, and who wins."""
    rates = {"stable": 0.10, "candidate": 0.12, "challenger-5": 0.14}
    experiment, lost, final = Experiment(bandit, unguarded(policy=policy), THREE, seed), 0.0, None
    for _ in range(60):
        weights = experiment.weights if final is None else final.traffic.weights
        lost += 300 * sum(weight * (0.14 - rates[arm]) for arm, weight in weights.items())
        if final is None:
            step = experiment.look(300, bernoulli(rates))
            final = step if step.action in ("promote", "keep") else None
    return lost, final.winner if final is not None else ""


@pytest.mark.parametrize("policy", ["thompson", "epsilon-greedy"])
def test_it_loses_less_than_a_fixed_split(policy):
    """Of three arms it mostly serves the best: half of what a fixed split loses or less, and hardly a wrong winner."""
    fixed = 60 * 300 * (0.04 + 0.02) / 3
    found = [_regret(policy, seed) for seed in range(12)]
    assert np.mean([lost for lost, _ in found]) < 0.5 * fixed
    assert sum(winner in ("stable", "candidate") for _, winner in found) <= 1


def test_forecast_and_objections():
    """It says when the first weights move; a log is needed, and a label that is a number."""
    expected = Expectation(requests_per_hour=100.0)
    (said,) = bandit.forecast(params(maximumEpochs=3), expected)
    assert (said.requests, said.minutes, said.deadline_minutes, said.sees) == (200, 120.0, 180.0, True)
    assert not bandit.forecast(params(maximumEpochs=3, minUnits=400), expected)[0].sees
    assert bandit.objections(params(), model()) == ()
    assert "not logged" in bandit.objections(params(), model(log="off"))[0].message
    assert bandit.objections(params(), model("multiclass-classification"))[0].path == "reward"
