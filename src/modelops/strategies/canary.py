"""Canary: the candidate takes a growing share of the traffic and is compared with what stable does meanwhile.

The comparisons are always-valid, so the loop may look as often as it likes. ``alpha`` is the chance that a candidate
that is no worse than its limits is rolled back, over the whole rollout and all guards together; each guard that can
fail gets an equal part of it (Bonferroni). At weight 1 nothing runs beside the candidate: its errors are then held
against what stable did before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
import scipy
from pydantic import Field, model_validator

from modelops.spec.delivery import Expectation, VerdictWord
from modelops.spec.meta import OpenShare, Share, Strict
from modelops.spec.model import ModelSpec
from modelops.strategies import ArmData, Array, Check, Forecast, Objection, Progress, Segment, Step, Traffic
from modelops.strategies._sequential import distribution_distance, distribution_radius, log_share_evalue, mean_contrast

__all__ = ["ARMS", "Params", "begin", "forecast", "next_step", "objections"]

ARMS = (2, 2)

_LARGEST = 1e12  # e-values are written down up to here; more says nothing more


class CanaryStep(Strict):
    """One step: the candidate's share of the traffic, and what it takes to leave it.

    The candidate must answer ``minRequests`` and the step last ``minMinutes``; after ``deadlineMinutes`` without that,
    ``onDeadline`` says what happens.
    """

    weight: Annotated[float, Field(gt=0, le=1)]
    min_requests: Annotated[int, Field(ge=1)]
    min_minutes: Annotated[float, Field(ge=0)] = 0.0
    deadline_minutes: Annotated[float, Field(gt=0)] | None = None


class Harm(Strict):
    """When more errors, or slow answers, of the candidate count as harm.

    Harm is a rate above ``maximumRatio`` times that of stable, shown beyond doubt, and at least ``minimumDifference``
    above it as observed, so that a difference nobody would notice never ends a rollout.
    """

    maximum_ratio: Annotated[float, Field(ge=1)] = 1.0
    minimum_difference: Share = 0.001


class Scores(Strict):
    """How far the candidate's score distribution may be from that of stable, as a Kolmogorov-Smirnov distance.

    The distance is the largest share of answers that can change side at any threshold. Without ``maximumShift`` it is
    reported and decides nothing: a better model scores differently.
    """

    maximum_shift: OpenShare | None = None


class Outcome(Strict):
    """How much worse the candidate's loss may be, where labels come in time.

    Worse is a mean loss above (1 + ``relativeMargin``) times that of stable plus ``margin``. ``required`` promotes only
    after the candidate is shown not to be worse; otherwise missing labels hold nothing up.
    """

    margin: Annotated[float, Field(ge=0)] = 0.0
    relative_margin: Annotated[float, Field(ge=0)] = 0.1
    required: bool = False


class Params(Strict):
    """The steps, and the guards that send the traffic back; a guard set to null is off.

    ``maximumErrorRate`` is an absolute limit beside the comparison with stable. Of the candidate's first
    ``warmupRequests`` answers all may be slow without counting.
    """

    steps: tuple[CanaryStep, ...] = Field(min_length=1, max_length=50)
    alpha: OpenShare = 0.05
    errors: Harm | None = Harm()
    slow: Harm | None = Harm(minimum_difference=0.01)
    scores: Scores | None = Scores()
    outcome: Outcome | None = Outcome()
    maximum_error_rate: OpenShare | None = None
    warmup_requests: Annotated[int, Field(ge=0)] = 0
    on_deadline: Literal["hold", "rollback"] = "hold"

    @model_validator(mode="after")
    def _growing(self) -> Self:
        for before, after in pairwise(step.weight for step in self.steps):
            if after <= before:
                raise ValueError(f"weights must grow from step to step, and {after:g} follows {before:g}")
        if self.steps[0].weight >= 1:
            raise ValueError("the first weight must be below 1, so that there is traffic to compare with")
        return self


def _traffic(weight: float) -> Traffic:
    return Traffic({"stable": round(1 - weight, 9), "candidate": weight})


def begin(params: Params, arms: Sequence[str]) -> Traffic:
    """Return the traffic of the first step."""
    return _traffic(params.steps[0].weight)


def forecast(params: Params, expectation: Expectation) -> tuple[Forecast, ...]:
    """Return nothing yet."""
    return ()


def objections(params: Params, model: ModelSpec) -> tuple[Objection, ...]:
    """Return nothing: a canary asks nothing of a model."""
    return ()


def next_step(params: Params, progress: Progress) -> Step:
    """Roll back on any failed check, advance by one step when the running one has seen enough, else hold."""
    at = progress.step
    if not 0 <= at < len(params.steps):
        return Step("hold", at, _running(progress), f"the plan has {len(params.steps)} steps and no step {at + 1}")
    step = params.steps[at]
    running = progress.segments[-1] if progress.segments and progress.segments[-1].step == at else None
    checks = _checks(params, progress.segments, _enough(step, running))
    failed = [check for check in checks if check.verdict == "fail"]
    if failed and not progress.tolerant:
        reason = "; ".join(check.reason for check in failed)
        return Step("rollback", at, _traffic(0.0), reason, checks, failed=("candidate",))
    minutes = (progress.now - progress.step_started).total_seconds() / 60
    waiting = _waiting_for(params, step, running, minutes, checks, last=at == len(params.steps) - 1)
    if waiting is None:
        return _forward(params, at, checks)
    if step.deadline_minutes is not None and minutes > step.deadline_minutes:
        action: Literal["hold", "rollback"] = params.on_deadline
        reason = f"step {at + 1} passed its deadline of {step.deadline_minutes:g} minutes: {waiting}"
        gone = action == "rollback"
        traffic = _traffic(0.0 if gone else step.weight)
        return Step(action, at, traffic, reason, checks, failed=("candidate",) if gone else ())
    return Step("hold", at, _traffic(step.weight), waiting, checks)


def _running(progress: Progress) -> Traffic:
    return progress.segments[-1].traffic if progress.segments else _traffic(0.0)


def _enough(step: CanaryStep, running: Segment | None) -> bool:
    return running is not None and running.arm("candidate").requests >= step.min_requests


def _waiting_for(
    params: Params, step: CanaryStep, running: Segment | None, minutes: float, checks: Sequence[Check], *, last: bool
) -> str | None:
    """Say what the running step still waits for, or None when it has all it needs."""
    if running is None or running.arm("candidate").requests == 0:
        return "no data: the candidate has answered nothing in this step"
    if running.arm("candidate").requests < step.min_requests:
        return f"the candidate has answered {running.arm('candidate').requests} of {step.min_requests} requests"
    if step.weight < 1 and running.arm("stable").requests == 0:
        return "no data: stable has answered nothing in this step, so there is nothing to compare with"
    if minutes < step.min_minutes:
        return f"{minutes:.1f} of {step.min_minutes:g} minutes have passed"
    outcome = next((check for check in checks if check.name == "outcome"), None)
    if last and params.outcome is not None and params.outcome.required and (not outcome or outcome.verdict != "pass"):
        return f"promotion requires the outcome: {outcome.reason if outcome else 'it was not measured'}"
    return None


def _forward(params: Params, at: int, checks: tuple[Check, ...]) -> Step:
    requests = params.steps[at].min_requests
    reason = f"step {at + 1} of {len(params.steps)}: at least {requests} requests and no evidence of harm"
    if at == len(params.steps) - 1:
        return Step("promote", at, _traffic(1.0), reason, checks)
    return Step("advance", at + 1, _traffic(params.steps[at + 1].weight), reason, checks)


def _checks(params: Params, segments: tuple[Segment, ...], enough: bool) -> tuple[Check, ...]:
    fallible = (
        (params.errors is not None) * (1 + (params.steps[-1].weight >= 1))
        + (params.slow is not None)
        + (params.outcome is not None)
        + (params.scores is not None and params.scores.maximum_shift is not None)
        + (params.maximum_error_rate is not None)
    )
    alpha = params.alpha / max(1, fallible)
    checks: list[Check] = []
    if params.errors is not None:
        counts = [(segment, segment.arm("candidate").errors, segment.arm("stable").errors) for segment in segments]
        checks.append(_harm("errors", params.errors, counts, alpha, enough))
        if any(segment.weight("candidate") >= 1 for segment in segments):
            checks.append(_full_weight(params.errors, segments, alpha, enough))
    if params.slow is not None:
        checks.append(_harm("slow", params.slow, _slow_counts(params, segments), alpha, enough))
    if params.maximum_error_rate is not None:
        checks.append(_error_rate(params.maximum_error_rate, segments, alpha, enough))
    if params.scores is not None:
        checks.append(_score_shift(params.scores, segments, alpha, len(params.steps)))
    if params.outcome is not None:
        checks.append(_outcome(params.outcome, segments, alpha))
    return tuple(checks)


def _slow_counts(params: Params, segments: tuple[Segment, ...]) -> list[tuple[Segment, int, int]]:
    """Count slow answers, forgiving the candidate as many as its warm-up may have made."""
    forgiven = params.warmup_requests
    counts = []
    for segment in segments:
        counted = max(0, segment.arm("candidate").slow - forgiven)
        forgiven = max(0, forgiven - segment.arm("candidate").requests)
        counts.append((segment, counted, segment.arm("stable").slow))
    return counts


def _harm(name: str, harm: Harm, counts: list[tuple[Segment, int, int]], alpha: float, enough: bool) -> Check:
    r"""Test whether the candidate's rate of an event is above ``maximumRatio`` times stable's.

    Under the limit the candidate's share of the events of a segment is at most
    :math:`\theta = \rho w / (\rho w + 1 - w)` for weight w and ratio rho. The e-values of the segments multiply: each
    continues the supermartingale of the ones before. As w the larger of intended and observed share is taken, so that
    a few busy entities on the candidate's side are not held against it.
    """
    log_evalue = 0.0
    totals = {"candidateEvents": 0, "candidateRequests": 0, "stableEvents": 0, "stableRequests": 0}
    for segment, of_candidate, of_stable in counts:
        requests = segment.arm("candidate").requests + segment.arm("stable").requests
        if (
            not 0 < segment.weight("candidate") < 1
            or segment.arm("stable").requests == 0
            or segment.arm("candidate").requests == 0
        ):
            continue
        weight = max(segment.weight("candidate"), segment.arm("candidate").requests / requests)
        share = harm.maximum_ratio * weight / (harm.maximum_ratio * weight + 1 - weight)
        log_evalue += log_share_evalue(of_candidate, of_stable, share)
        totals["candidateEvents"] += of_candidate
        totals["stableEvents"] += of_stable
        totals["candidateRequests"] += segment.arm("candidate").requests
        totals["stableRequests"] += segment.arm("stable").requests
    if not totals["candidateRequests"]:
        return Check(name, "no-data", f"{name}: the arms have no concurrent requests", None, 1 / alpha, alpha, totals)
    rate = totals["candidateEvents"] / totals["candidateRequests"]
    stable_rate = totals["stableEvents"] / totals["stableRequests"]
    shown = log_evalue >= -math.log(alpha) and rate - stable_rate >= harm.minimum_difference
    compared = f"{name}: candidate {rate:.2%} of {totals['candidateRequests']}, stable {stable_rate:.2%}"
    reason = f"{compared} of {totals['stableRequests']} requests"
    return Check(name, _word(shown, enough), reason, _evalue(log_evalue), 1 / alpha, alpha, totals)


def _full_weight(harm: Harm, segments: tuple[Segment, ...], alpha: float, enough: bool) -> Check:
    """Test the candidate's error rate in the step where it has all the traffic, and nothing runs beside it.

    What stable did in the steps before stands in: the limit is ``maximumRatio`` times the upper bound of its rate
    (Clopper and Pearson, at half of alpha) plus ``minimumDifference``; the e-value at the other half.
    """
    name, alone = "errors-at-full-weight", [segment for segment in segments if segment.weight("candidate") >= 1]
    before = [segment.arm("stable") for segment in segments if segment.weight("candidate") < 1]
    requests, errors = (
        sum(one.arm("candidate").requests for one in alone),
        sum(one.arm("candidate").errors for one in alone),
    )
    stable_requests, stable_errors = sum(arm.requests for arm in before), sum(arm.errors for arm in before)
    totals = {
        "candidateEvents": errors,
        "candidateRequests": requests,
        "stableEvents": stable_errors,
        "stableRequests": stable_requests,
    }
    if not requests or stable_requests <= stable_errors:
        return Check(name, "no-data", f"{name}: there is nothing to compare", None, 2 / alpha, alpha, totals)
    bound = float(scipy.special.betaincinv(stable_errors + 1, stable_requests - stable_errors, 1 - alpha / 2))
    limit = harm.maximum_ratio * bound + harm.minimum_difference
    log_evalue = log_share_evalue(errors, requests - errors, limit)
    reason = f"{name}: candidate {errors / requests:.2%} of {requests}, limit {limit:.2%} from stable before"
    word = _word(log_evalue >= -math.log(alpha / 2), enough)
    return Check(name, word, reason, _evalue(log_evalue), 2 / alpha, alpha, totals)


def _error_rate(limit: float, segments: tuple[Segment, ...], alpha: float, enough: bool) -> Check:
    """Test whether the candidate's error rate is above an absolute limit; the same e-value with the limit as share."""
    requests = sum(segment.arm("candidate").requests for segment in segments)
    errors = sum(segment.arm("candidate").errors for segment in segments)
    counts = {"candidateEvents": errors, "candidateRequests": requests}
    if not requests:
        return Check("error-rate", "no-data", "error-rate: no requests yet", None, 1 / alpha, alpha, counts)
    log_evalue = log_share_evalue(errors, requests - errors, limit)
    reason = f"error-rate: {errors} errors in {requests} requests ({errors / requests:.2%}), limit {limit:.2%}"
    word = _word(log_evalue >= -math.log(alpha), enough)
    return Check("error-rate", word, reason, _evalue(log_evalue), 1 / alpha, alpha, counts)


def _word(shown: bool, enough: bool) -> VerdictWord:
    return "fail" if shown else "pass" if enough else "inconclusive"


def _evalue(log_evalue: float) -> float:
    return min(_LARGEST, math.exp(min(log_evalue, 100.0)))


def _score_shift(scores: Scores, segments: tuple[Segment, ...], alpha: float, steps: int) -> Check:
    """Bound the distance of the arms' score distributions within each segment, with an equal part of alpha a step."""
    concurrent = [item for item in segments if 0 < item.weight("candidate") < 1]
    usable = [
        pair
        for item in concurrent
        if min(map(len, pair := (_finite(item.arm("candidate")), _finite(item.arm("stable"))))) > 0
    ]
    if not usable:
        return Check("scores", "no-data", "scores: the arms have no concurrent scores")
    lower, upper, distance, counts = 0.0, 0.0, 0.0, {"candidate": 0, "stable": 0}
    part = alpha / steps / 2
    for of_candidate, of_stable in usable:
        found = distribution_distance(of_candidate, of_stable)
        radius = distribution_radius(len(of_candidate), part) + distribution_radius(len(of_stable), part)
        lower, upper = max(lower, found - radius), max(upper, min(1.0, found + radius))
        distance = max(distance, found)
        counts["candidate"] += len(of_candidate)
        counts["stable"] += len(of_stable)
    reason = f"scores: distributions are {distance:.3f} apart, between {lower:.3f} and {upper:.3f}"
    limit = scores.maximum_shift
    if limit is None:
        return Check("scores", "inconclusive", f"{reason}; no maximumShift is set", distance, None, None, counts)
    word: VerdictWord = "fail" if lower > limit else "pass" if upper <= limit else "inconclusive"
    return Check("scores", word, f"{reason}, limit {limit:g}", distance, limit, alpha, counts)


def _finite(arm: ArmData) -> Array:
    return arm.scores[np.isfinite(arm.scores)]


def _outcome(outcome: Outcome, segments: tuple[Segment, ...], alpha: float) -> Check:
    """Bound candidate loss - (1 + relative margin) * stable loss with a confidence sequence."""
    concurrent = [segment for segment in segments if 0 < segment.weight("candidate") < 1]
    pairs = [(segment.arm("candidate").losses, segment.arm("stable").losses) for segment in concurrent]
    counts = {
        "candidateLabels": sum(len(of_candidate) for of_candidate, _ in pairs),
        "stableLabels": sum(len(of_stable) for _, of_stable in pairs),
    }
    found = mean_contrast(pairs, 1 + outcome.relative_margin, alpha)
    if found is None:
        labels = f"{counts['candidateLabels']} labels of the candidate and {counts['stableLabels']} of stable"
        return Check("outcome", "no-data", f"outcome: {labels} are too few", None, outcome.margin, alpha, counts)
    word: VerdictWord = "inconclusive"
    if found.lower > outcome.margin:
        word = "fail"
    elif found.upper <= outcome.margin:
        word = "pass"
    what = f"loss beyond {1 + outcome.relative_margin:g} times that of stable"
    reason = (
        f"outcome: {what} is {found.difference:.4g} [{found.lower:.4g}, {found.upper:.4g}], limit {outcome.margin:g}"
    )
    return Check("outcome", word, reason, found.difference, outcome.margin, alpha, counts)
