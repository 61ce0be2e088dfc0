"""What each arm of a bandit would have earned alone: off-policy estimates from the logged propensities and rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelops import logs
from modelops.predictions import ArmRows
from modelops.rollouts.measures import losses, outcomes
from modelops.spec.kinds.model import ModelSpec
from modelops.statistics import Array
from modelops.statistics.off_policy import Estimate, Log, doubly_robust, ips, snips


@dataclass(frozen=True, slots=True)
class ArmValue:
    """What an arm would have earned alone, a reward per request, by three estimators."""

    arm: str
    ips: Estimate
    snips: Estimate
    doubly_robust: Estimate


def values_of_arms(
    source: logs.Log, model: str, spec: ModelSpec, salt: str, arms: Sequence[str], reward: str
) -> list[ArmValue]:
    """Return for every arm with a reward its value, a reward per request, by three estimators with 95 % intervals.

    The reward model of the doubly robust one is the mean reward of an arm among the other half of the entities.
    """
    found = source.arms(model, salt, objective_ms=spec.serving.latency_objective_ms)
    log = _log(spec, found, arms, reward)
    if log is None:
        return []
    predicted = _predicted(log, len(arms))
    return [
        _value(arm, log, np.eye(len(arms))[place], predicted)
        for place, arm in enumerate(arms)
        if (log.arms == place).any()
    ]


def _value(arm: str, log: Log, policy: Array, predicted: Array) -> ArmValue:
    return ArmValue(arm, ips(log, policy), snips(log, policy), doubly_robust(log, policy, predicted))


def _log(spec: ModelSpec, found: Mapping[tuple[int, str], ArmRows], arms: Sequence[str], reward: str) -> Log | None:
    """Return the rewarded answers of all steps; None when they are of too few entities to estimate anything."""
    parts = [(arms.index(arm), rows, _rewards(spec, rows, reward)) for (_, arm), rows in found.items() if arm in arms]
    if not parts:
        return None
    places = np.concatenate([np.full(len(earned), place) for place, _, earned in parts])
    propensities = np.concatenate([rows.propensities for _, rows, _ in parts])
    rewards = np.concatenate([earned for _, _, earned in parts])
    units = np.concatenate([rows.units for _, rows, _ in parts])
    kept = np.isfinite(rewards) & (propensities > 0)
    if len(np.unique(units[kept])) < 2:
        return None
    return Log(places[kept], propensities[kept], rewards[kept], units[kept])


def _rewards(spec: ModelSpec, rows: ArmRows, reward: str) -> Array:
    if reward == "outcome":
        return outcomes(spec, rows.truths)
    lost = losses(spec, rows.labelled_scores, rows.labels, rows.truths)
    return -lost if spec.task == "regression" else 1 - lost


def _predicted(log: Log, arms: int) -> Array:
    """Return the expected reward of every arm for every answer, shape (n, k), from the other half of the entities."""
    assert log.units is not None, "they were given"
    half = (log.units & np.uint64(1)).astype(np.intp)
    means = np.full((2, arms), float(log.rewards.mean()))
    for part in (0, 1):
        for arm in range(arms):
            others = log.rewards[(half != part) & (log.arms == arm)]
            means[part, arm] = others.mean() if len(others) else means[part, arm]
    return np.asarray(means[half])
