"""Bandit: traffic moves, epoch by epoch, to the arms that earn most, until one is very probably the best.

A reward belongs to the epoch that made the prediction, however late it comes. Arms are only ever compared within an
epoch, so a change over time that coincides with a change of weights cannot pass for a difference. What results bounds
what is lost by serving worse arms; it is no test. Use an A/B test where a difference has to be shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from modelops.spec.kinds.rollout_plan import Expectation
from modelops.spec.meta import MOST_ARMS, OpenShare
from modelops.statistics import Array
from modelops.statistics.means import is_binary
from modelops.statistics.planning import Need
from modelops.statistics.posteriors import Belief, belief
from modelops.strategies import Check, Forecast, Objection, Progress, Reward, Served, Step, StepData, Traffic
from modelops.strategies._experiment import (
    Direction,
    answers,
    checks_by_arm,
    evict,
    gone,
    idle,
    labels_of,
    minutes_since_start,
    objections_to,
    on_trial,
    only,
    running_data,
    split,
    unproved,
)
from modelops.strategies._forecasts import forecast_of
from modelops.strategies._guards import Guards, minutes_in_step
from modelops.strategies._labels import void

__all__ = ["ARMS", "Params", "begin", "forecast", "next_step", "objections", "reward"]

ARMS = (2, MOST_ARMS)

_LEAST_MOVE = 0.01  # weights that would move by less stay, so that the epoch goes on and collects more


class Params(Guards):
    """The reward, how fast the traffic follows it, and when the bandit ends; a guard set to null is off.

    ``reward``: ``outcome`` is the label as a number, better when it goes in ``direction``; ``correct`` a right answer
    (for regression a smaller squared error). ``thompson`` gives every arm its probability to be the best;
    ``epsilon-greedy`` gives the best arm all but ``epsilon``, which all share. An epoch lasts ``epochMinutes`` and
    moves no weight by more than ``maximumStep``; no arm has less than ``floor`` unless a guard takes it out. Nothing
    moves before each arm has rewards of ``minUnits`` entities.

    After ``minEpochs`` an arm that is the best with a probability of ``threshold`` is promoted; when that is stable, it
    stays. After ``maximumEpochs`` ``onDeadline`` keeps stable, or holds.
    """

    reward: Reward = "outcome"
    direction: Direction = "increase"
    policy: Literal["thompson", "epsilon-greedy"] = "thompson"
    epsilon: OpenShare = 0.1
    epoch_minutes: Annotated[float, Field(gt=0)]
    floor: Annotated[float, Field(ge=0.001, le=0.125)] = 0.01
    min_units: Annotated[int, Field(ge=20)] = 100
    maximum_step: Annotated[float, Field(gt=_LEAST_MOVE, le=1)] = 0.2
    threshold: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    min_epochs: Annotated[int, Field(ge=1)] = 3
    maximum_epochs: Annotated[int, Field(ge=1)] | None = None
    on_deadline: Literal["keep", "hold"] = "hold"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.reward != "outcome" and self.direction != "increase":
            raise ValueError(f"direction belongs to reward: outcome; which way {self.reward} is better is known")
        if self.maximum_epochs is not None and self.maximum_epochs < self.min_epochs:
            raise ValueError(f"maximumEpochs {self.maximum_epochs} is below minEpochs {self.min_epochs}")
        return self


def begin(params: Params, arms: Sequence[str]) -> Traffic:
    """Return equal shares."""
    return split(dict.fromkeys(arms, 1 / len(arms)))


def forecast(params: Params, expectation: Expectation) -> tuple[Forecast, ...]:
    """Return when the weights of two arms first move, every request being an entity with a reward."""
    deadline = None if params.maximum_epochs is None else params.maximum_epochs * params.epoch_minutes
    what = f"rewards of {params.min_units} entities in each of two arms"
    return (forecast_of(1, what, Need(2 * params.min_units), expectation, deadline=deadline, path="minUnits"),)


def objections(params: Params, model: Served) -> tuple[Objection, ...]:
    """Return that nothing is logged, or that the reward is no number of this model, where that is so."""
    return objections_to("reward", params.reward, model)


def reward(params: Params) -> Reward | None:
    """Return what an answer earns, which the traffic follows."""
    return params.reward


def next_step(params: Params, progress: Progress) -> Step:
    """Take out arms that fail, end when one is very probably the best, else move the weights once an epoch."""
    at, running = progress.step, running_data(progress)
    if running is None:
        traffic = progress.steps[-1].traffic if progress.steps else begin(params, progress.arms)
        return Step("hold", at, traffic, "no data: no two arms have answered beside each other in this step")
    arms = ("stable", *on_trial(progress, running))
    rewards = _rewards(params, progress.steps, arms)
    waiting = idle(running) or _waiting_for(params, rewards)
    guards = checks_by_arm(params, progress, arms[1:], enough=not waiting)
    found = None if waiting else rewards.belief()
    best = None if found is None else found.best()
    waiting = waiting or ("" if found is not None else "no data: the arms have no rewards in the same epochs")
    labels = labels_of(params, params.reward, progress, arms[1:])
    waiting = waiting or void(labels)
    written = _written(params, rewards, found, best)
    checks = (*written, *labels, *(check for said in guards.values() for check in said))
    evicted = evict(progress, running, guards, checks)
    if evicted is not None:
        return evicted
    minutes, epoch = minutes_since_start(progress), minutes_in_step(progress)
    if not waiting and epoch < params.epoch_minutes:
        waiting = f"{epoch:.1f} of the epoch's {params.epoch_minutes:g} minutes have passed"
    if not waiting and best is not None and minutes >= params.min_epochs * params.epoch_minutes:
        ended = _ended(params, progress, running, dict(zip(arms, best.tolist(), strict=True)), guards, checks)
        if ended is not None:
            return ended
    if params.maximum_epochs is not None and minutes >= params.maximum_epochs * params.epoch_minutes:
        reason = f"{params.maximum_epochs} epochs have passed: {waiting or 'no arm is clearly the best'}"
        if params.on_deadline == "keep":
            out = gone(progress, running)
            return Step("keep", at, only(progress.arms, "stable"), reason, checks, "stable", out)
        return Step("hold", at, running.traffic, reason, checks)
    if waiting or found is None or best is None:
        return Step("hold", at, running.traffic, waiting, checks)
    return _moved(
        params, progress, running, dict(zip(arms, _wanted(params, found, best).tolist(), strict=True)), checks
    )


# Rewards of all epochs.


@dataclass(frozen=True, slots=True)
class _Rewards:
    """Rewards by epoch and arm: ``counts`` and ``sums`` of shape (epochs, arms), and per arm the rest.

    ``entities`` are the different ones with a reward, ``spreads`` the variance of a reward within an epoch, and
    ``inflation`` by how much entities that come back make the variance of a mean larger than single answers would.
    """

    arms: tuple[str, ...]
    counts: Array
    sums: Array
    entities: tuple[int, ...]
    spreads: Array
    inflation: float
    binary: bool

    def belief(self) -> Belief | None:
        """Return what is believed of every arm; None where the epochs do not connect them all."""
        return belief(self.counts, self.sums, self.spreads, self.inflation, binary=self.binary)


def _rewards(params: Params, steps: Sequence[StepData], arms: tuple[str, ...]) -> _Rewards:
    found = [[answers(params.reward, data.arm(arm)) for arm in arms] for data in steps]
    binary = all(is_binary(values) for epoch in found for values, _ in epoch)
    flip = params.reward == "correct" or params.direction == "decrease"
    shape = (len(steps), len(arms))
    counts, sums = np.zeros(shape), np.zeros(shape)
    entities, spreads, single, clustered = [], np.zeros(len(arms)), 0.0, 0.0
    for place in range(len(arms)):
        errors, units = [], []
        for epoch, (values, of_units) in enumerate(row[place] for row in found):
            gained = (1.0 - values if binary else -values) if flip else values
            counts[epoch, place], sums[epoch, place] = len(gained), gained.sum()
            errors.append(gained - gained.mean() if len(gained) else gained)
            units.append(of_units)
        error, (different, places) = np.concatenate(errors), np.unique(np.concatenate(units), return_inverse=True)
        entities.append(len(different))
        spreads[place] = float(np.square(error).sum()) / max(1, len(error) - int((counts[:, place] > 0).sum()))
        single += float(np.square(error).sum())
        clustered += float(np.square(np.bincount(places, error)).sum()) if len(error) else 0.0
    inflation = max(1.0, clustered / single) if single > 0 else 1.0
    return _Rewards(arms, counts, sums, tuple(entities), spreads, inflation, binary)


def _waiting_for(params: Params, rewards: _Rewards) -> str:
    for arm, entities in zip(rewards.arms, rewards.entities, strict=True):
        if entities == 0:
            return f"no data: {arm} has no rewards"
        if entities < params.min_units:
            return f"{arm} has rewards of {entities} of {params.min_units} entities"
    return ""


def _written(params: Params, rewards: _Rewards, found: Belief | None, best: Array | None) -> tuple[Check, ...]:
    """Return a check per arm: it passes when the arm is the best with the probability that ends the bandit."""
    checks = []
    for place, arm in enumerate(rewards.arms):
        counts = {f"{arm}Units": rewards.entities[place], f"{arm}Answers": int(rewards.counts[:, place].sum())}
        if found is None or best is None:
            reason = f"reward: {arm} has rewards of {counts[f'{arm}Units']} entities"
            checks.append(Check("reward", "no-data", reason, None, params.threshold, None, counts, arm))
            continue
        low, high = (float(bound[place]) for bound in found.bounds())
        chance = float(best[place])
        reason = f"reward: {arm} earns {found.means[place]:.4g} [{low:.4g}, {high:.4g}] an answer"
        reason += f" from {counts[f'{arm}Answers']}, the best with probability {chance:.3f}"
        word: Literal["pass", "inconclusive"] = "pass" if chance >= params.threshold else "inconclusive"
        checks.append(Check("reward", word, reason, chance, params.threshold, None, counts, arm, low, high))
    return tuple(checks)


# What follows.


def _ended(
    params: Params,
    progress: Progress,
    running: StepData,
    best: Mapping[str, float],
    guards: Mapping[str, Sequence[Check]],
    checks: tuple[Check, ...],
) -> Step | None:
    """Return the end, if an arm is the best beyond the threshold and has shown what its guards require."""
    winner = max(best, key=best.__getitem__)
    if best[winner] < params.threshold or (winner != "stable" and unproved(params, guards[winner])):
        return None
    out = gone(progress, running)
    reason = f"{winner} is the best with probability {best[winner]:.3f}"
    reason += f"; taken out before: {', '.join(out)}" if out else ""
    traffic = only(progress.arms, winner)
    if winner == "stable":
        return Step("keep", progress.step, traffic, reason, checks, "stable", out)
    return Step("promote", progress.step, traffic, reason, checks, winner, out)


def _wanted(params: Params, found: Belief, best: Array) -> Array:
    """Return the weights that the policy wants, each at least the floor."""
    k = len(best)
    if params.policy == "epsilon-greedy":
        best = np.full(k, params.epsilon / k)
        best[int(found.means.argmax())] += 1 - params.epsilon
    return np.asarray(params.floor + (1 - k * params.floor) * best)


def _moved(
    params: Params, progress: Progress, running: StepData, wanted: Mapping[str, float], checks: tuple[Check, ...]
) -> Step:
    """Move the weights towards what is wanted: straight, and as far as ``maximumStep`` lets the fastest go."""
    most = max(abs(weight - running.weight(arm)) for arm, weight in wanted.items())
    if most < _LEAST_MOVE:
        return Step("hold", progress.step, running.traffic, "the weights are what they should be", checks)
    part = min(1.0, params.maximum_step / most)
    left = {arm: running.weight(arm) + part * (weight - running.weight(arm)) for arm, weight in wanted.items()}
    traffic = split({arm: left.get(arm, 0.0) for arm in progress.arms})
    said = ", ".join(f"{arm} {traffic.weights[arm]:.1%}" for arm in wanted)
    return Step("advance", progress.step + 1, traffic, f"a new epoch with weights {said}", checks)
