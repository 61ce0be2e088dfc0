"""A/B test: arms take fixed shares until one is shown to be better on one metric, or that none is worth having.

Every entity counts once and stays with its arm. The comparisons are always-valid, so the experiment may be looked at
any time and ends as soon as it knows. ``alpha`` is shared by the arms on trial (Bonferroni): as the first arm shown to
be better ends the experiment, Holm's procedure would not gain anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelops.errors import failure
from modelops.spec.kinds.rollout_plan import Expectation
from modelops.spec.meta import MOST_ARMS, OpenShare, VerdictWord
from modelops.statistics.means import Sample, improvement
from modelops.statistics.planning import need_for_mean
from modelops.statistics.sequential import p_value
from modelops.strategies import Check, Forecast, Objection, Progress, Reward, Served, Stage, Step, StepData, Traffic
from modelops.strategies._experiment import (
    Direction,
    Metric,
    checks_by_arm,
    evict,
    gone,
    heavy,
    idle,
    labels_of,
    later_half,
    minutes_since_start,
    objections_to,
    on_trial,
    only,
    running_data,
    sample,
    sample_ratio,
    split,
    unproved,
)
from modelops.strategies._forecasts import forecast_of
from modelops.strategies._guards import Guards
from modelops.strategies._labels import void

__all__ = ["ARMS", "Params", "begin", "forecast", "next_step", "objections", "reward", "stages"]

ARMS = (2, MOST_ARMS)

_WEEK = 10_080.0  # minutes


class Params(Guards):
    """The metric, the effect worth having, the split, and when the experiment ends; a guard set to null is off.

    ``metric``: ``outcome`` is the mean label as a number, better when it goes in ``direction``; ``correct`` the share
    of right answers (for regression the squared error, less is better); ``errors`` and ``slow`` shares of answers, less
    is better. ``weights`` is the share of stable, the other arms sharing the rest, or the share of every arm by name;
    equal shares by default.

    An arm shown to be better than stable is promoted, whether or not by ``minimumEffect``; when all are shown to be
    better by less than ``minimumEffect``, stable stays. Nothing is decided before ``minMinutes``, and ``minUnits``
    entities with a value in every arm. As what is new attracts for a while, and days of the week differ, ``minMinutes``
    is a week by default, or ``deadlineMinutes`` where that is less. After ``deadlineMinutes`` ``onDeadline`` keeps
    stable, or holds. ``alpha`` is the chance of a false winner, and apart from that the chance of a false failure of a
    guard. ``power`` and ``deviation``, the standard deviation of one entity's value, are what is planned with; a
    deviation of 0.5 is the largest that values of 0 and 1 can have.
    """

    metric: Metric
    direction: Direction = "increase"
    minimum_effect: Annotated[float, Field(gt=0)]
    weights: OpenShare | dict[str, OpenShare] | None = None
    power: OpenShare = 0.8
    deviation: Annotated[float, Field(gt=0)] = 0.5
    min_minutes: Annotated[float, Field(ge=0)] | None = None
    min_units: Annotated[int, Field(ge=20)] = 100
    deadline_minutes: Annotated[float, Field(gt=0)] | None = None
    on_deadline: Literal["keep", "hold"] = "hold"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.metric != "outcome" and self.direction != "increase":
            raise ValueError(f"direction belongs to metric: outcome; which way {self.metric} is better is known")
        if isinstance(self.weights, dict):
            if not {"stable", "candidate"} <= set(self.weights):
                raise ValueError(f"weights name {', '.join(self.weights)}, and must name stable and candidate")
            if not math.isclose(sum(self.weights.values()), 1, abs_tol=1e-6):
                raise ValueError(f"weights sum to {sum(self.weights.values()):g}, not to 1")
        if self.deadline_minutes is not None and self.deadline_minutes < self.least_minutes:
            raise ValueError(f"deadlineMinutes {self.deadline_minutes:g} is before minMinutes {self.least_minutes:g}")
        return self

    @property
    def least_minutes(self) -> float:
        """How long nothing is decided: a week, or until the deadline where that is earlier, unless it is said."""
        if self.min_minutes is not None:
            return self.min_minutes
        return _WEEK if self.deadline_minutes is None else min(_WEEK, self.deadline_minutes)

    @property
    def sign(self) -> float:
        """1 where more is better, else -1; ``correct`` is measured by losses."""
        return 1.0 if self.metric == "outcome" and self.direction == "increase" else -1.0


def _shares(params: Params, arms: Sequence[str]) -> Mapping[str, float]:
    if isinstance(params.weights, dict):
        if set(params.weights) != set(arms):
            raise failure(
                "rollout-arms",
                f"weights name {', '.join(params.weights)}, and the rollout has {', '.join(arms)}",
                hint="name every arm in weights, or give the share of stable alone",
            )
        return {arm: params.weights[arm] for arm in arms}
    stable = 1 / len(arms) if params.weights is None else params.weights
    return {arm: stable if arm == "stable" else (1 - stable) / (len(arms) - 1) for arm in arms}


def begin(params: Params, arms: Sequence[str]) -> Traffic:
    """Return the split; fails when ``weights`` names other arms than there are."""
    return split(_shares(params, arms))


def stages(params: Params, arms: Sequence[str]) -> tuple[Stage, ...]:
    """Return the only step."""
    return (Stage(begin(params, arms), params.least_minutes, params.min_units * len(arms)),)


def forecast(params: Params, expectation: Expectation) -> tuple[Forecast, ...]:
    """Return when ``minimumEffect`` is seen, every request being an entity with a value, of two arms or those named."""
    shares = params.weights if isinstance(params.weights, dict) else _shares(params, ("stable", "candidate"))
    smallest = min(share for arm, share in shares.items() if arm != "stable")
    base = expectation.error_rate
    deviation = math.sqrt(base * (1 - base)) if params.metric == "errors" else params.deviation
    level = params.alpha / (len(shares) - 1)
    need = need_for_mean(params.minimum_effect, deviation, (smallest, shares["stable"]), level, params.power)
    what = f"{params.metric} better by {params.minimum_effect:g}"
    return (forecast_of(1, what, need, expectation, deadline=params.deadline_minutes, path="minimumEffect"),)


def objections(params: Params, model: Served) -> tuple[Objection, ...]:
    """Return that nothing is logged, or that the metric is no number of this model, where that is so.

    A model without ``serving.entity`` is no objection: each of its requests is an entity of its own.
    """
    return objections_to("metric", params.metric, model)


def reward(params: Params) -> Reward | None:
    """Return that no answer earns anything: the traffic does not follow what arms earn."""
    return None


def next_step(params: Params, progress: Progress) -> Step:
    """Take out arms that fail, promote the best arm shown to be better, keep stable when none can be worth it."""
    at, running = progress.step, running_data(progress)
    if running is None:
        traffic = progress.steps[-1].traffic if progress.steps else begin(params, progress.arms)
        return Step("hold", at, traffic, "no data: no two arms have answered beside each other in this step")
    samples = {arm: sample(params.metric, arm, progress.steps) for arm in progress.arms}
    arms, minutes = on_trial(progress, running), minutes_since_start(progress)
    waiting = idle(running) or _waiting_for(params, ("stable", *arms), samples, minutes)
    guards = checks_by_arm(params, progress, arms, enough=not waiting)
    ratio = sample_ratio(progress)
    results = {arm: _result(params, arm, samples, len(progress.arms) - 1) for arm in arms}
    labels = labels_of(params, params.metric, progress, arms)
    checks = (ratio, *labels, *results.values(), *(check for found in guards.values() for check in found))
    evicted = evict(progress, running, guards, checks)
    if evicted is not None:
        return evicted
    if ratio.verdict == "fail":
        return Step("hold", at, running.traffic, f"void: {ratio.reason}; find out who is missing", checks)
    waiting = waiting or (f"no data: {ratio.reason}" if ratio.verdict == "no-data" else "")
    waiting = waiting or void(labels) or _tails(params, progress, ("stable", *arms))
    waiting = waiting or _unproved_winner(params, results, guards) or _worn_off(params, progress, results)
    if not waiting:
        ended = _ended(params, progress, running, results, checks)
        if ended is not None:
            return ended
    waiting = waiting or "; ".join(result.reason for result in results.values())
    if params.deadline_minutes is not None and minutes >= params.deadline_minutes:
        waiting = f"the deadline of {params.deadline_minutes:g} minutes has passed: {waiting}"
        if params.on_deadline == "keep":
            return _keep(progress, running, waiting, checks)
    return Step("hold", at, running.traffic, waiting, checks)


def _keep(progress: Progress, running: StepData, reason: str, checks: tuple[Check, ...]) -> Step:
    traffic = only(progress.arms, "stable")
    return Step("keep", progress.step, traffic, reason, checks, "stable", gone(progress, running))


def _waiting_for(params: Params, arms: Sequence[str], samples: Mapping[str, Sample | None], minutes: float) -> str:
    """Return what has to come before anything is decided, "" when all is there."""
    for arm in arms:
        found = samples[arm]
        if found is None:
            return f"no data: {params.metric} of {arm} is known for too few entities"
        if found.entities < params.min_units:
            return f"{params.metric} of {arm} is known for {found.entities} of {params.min_units} entities"
    least = params.least_minutes
    return f"{minutes:.1f} of {least:g} minutes have passed" if minutes < least else ""


def _tails(params: Params, progress: Progress, arms: Sequence[str]) -> str:
    return next(filter(None, (heavy(params.metric, arm, progress.steps) for arm in arms)), "")


def _worn_off(params: Params, progress: Progress, results: Mapping[str, Check]) -> str:
    """Return that the winner is no better in the later half of the values, "" where it is: what is new wears off."""
    winner = _winner(results)
    if winner is None:
        return ""
    late, stable = (later_half(params.metric, arm, progress.steps) for arm in (winner, "stable"))
    if late is None or stable is None:
        return ""
    better = params.sign * (late.mean - stable.mean)
    if better > 0:
        return ""
    return (
        f"{params.metric}: {winner} is better over all, and in the later half of the values it is not ({better:.4g}): "
        "what it gains may wear off"
    )


def _result(params: Params, arm: str, samples: Mapping[str, Sample | None], rivals: int) -> Check:
    """Compare an arm with stable: pass is better. An arm that is not worth having does no harm, and fails nothing."""
    level, of_arm, of_stable = params.alpha / rivals, samples[arm], samples["stable"]
    if of_arm is None or of_stable is None:
        reason = f"{params.metric}: too few entities of {arm} or stable"
        return Check(params.metric, "no-data", reason, None, params.minimum_effect, level, arm=arm)
    found = improvement(of_arm, of_stable, params.sign, level)
    word: VerdictWord = "pass" if found.lower > 0 else "inconclusive"
    said = "may be better or not"
    if word == "pass":
        clears = found.lower >= params.minimum_effect
        said = f"is better{' by at least' if clears else ', not shown to be by'} {params.minimum_effect:g}"
    elif found.upper < params.minimum_effect:
        said = f"is not better by {params.minimum_effect:g}"
    reason = f"{params.metric}: {arm} {said}: {found.difference:.4g} [{found.lower:.4g}, {found.upper:.4g}]"
    reason += f" from {of_arm.entities} entities, stable {of_stable.entities}"
    counts = {
        f"{arm}Units": of_arm.entities,
        f"{arm}Answers": of_arm.answers,
        "stableUnits": of_stable.entities,
        "stableAnswers": of_stable.answers,
    }
    p = p_value(found.log_evalue(0.0))
    return Check(
        params.metric,
        word,
        reason,
        found.difference,
        params.minimum_effect,
        level,
        counts,
        arm,
        found.lower,
        found.upper,
        p,
    )


def _winner(results: Mapping[str, Check]) -> str | None:
    """Return the arm that is better by most, of those shown to be better."""
    better = [arm for arm, result in results.items() if result.verdict == "pass"]
    return max(better, key=lambda arm: results[arm].statistic or 0.0, default=None)


def _unproved_winner(params: Params, results: Mapping[str, Check], guards: Mapping[str, Sequence[Check]]) -> str:
    winner = _winner(results)
    return unproved(params, guards[winner]) if winner is not None else ""


def _ended(
    params: Params,
    progress: Progress,
    running: StepData,
    results: Mapping[str, Check],
    checks: tuple[Check, ...],
) -> Step | None:
    winner = _winner(results)
    out = gone(progress, running)
    lost = f"; taken out before: {', '.join(out)}" if out else ""
    if winner is not None:
        traffic, reason = only(progress.arms, winner), f"{results[winner].reason}{lost}"
        return Step("promote", progress.step, traffic, reason, checks, winner, out)
    if all(result.upper is not None and result.upper < params.minimum_effect for result in results.values()):
        reason = "; ".join(result.reason for result in results.values())
        return _keep(progress, running, f"{reason}{lost}", checks)
    return None
