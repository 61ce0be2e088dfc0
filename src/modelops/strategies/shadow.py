"""Shadow: the candidate answers copies of requests after stable has, and nobody sees what it says.

The answers are compared in pairs, by request. The candidate never takes traffic: what this strategy ends with is a
promotion, or a candidate that is withdrawn before anybody was served by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from modelops.spec.kinds.rollout_plan import Expectation
from modelops.spec.meta import OpenShare, Share, Strict, VerdictWord
from modelops.statistics import Array
from modelops.statistics.means import mean_bounds
from modelops.statistics.sequential import log_share_evalue, p_value, share_bounds
from modelops.strategies import (
    ArmData,
    Check,
    Forecast,
    Objection,
    PairData,
    Progress,
    Reward,
    Served,
    Stage,
    Step,
    StepData,
    Traffic,
)
from modelops.strategies._forecasts import Watch, shadow_forecasts
from modelops.strategies._guards import (
    Finding,
    RateGuards,
    failures,
    guard_checks,
    minutes_in_step,
    require_deadline,
    require_guards,
    unlogged,
)

__all__ = ["ARMS", "Params", "begin", "forecast", "next_step", "objections", "reward", "stages"]

ARMS = (2, 2)


class Differences(Strict):
    """How far the candidate's score may be from that of stable for the same request.

    ``maximumMean`` limits the mean of the absolute difference. ``maximum`` limits the difference itself, for all but
    a share of ``exceptions`` of the pairs.
    """

    maximum_mean: Annotated[float, Field(gt=0)] | None = None
    maximum: Annotated[float, Field(ge=0)] | None = None
    exceptions: OpenShare = 0.01

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.maximum_mean is None and self.maximum is None:
            raise ValueError("differences needs maximumMean or maximum")
        return self


class Params(RateGuards):
    """What is copied, how many pairs it takes, and what they must show; a guard that is not set, or null, is off.

    A ``share`` of the requests is copied; ``minPairs`` must be answered by both and ``minMinutes`` pass; after
    ``deadlineMinutes`` the rollout holds and says so. ``minimumAgreement`` is the share of equal labels and
    ``differences`` limits the scores: both must be shown for a promotion, and the contrary shown withdraws the
    candidate. More than ``maximumDropped`` copies never made leave everything open, as the pairs may not stand for
    all requests.
    """

    min_pairs: Annotated[int, Field(ge=1)]
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    min_minutes: Annotated[float, Field(ge=0)] = 0.0
    deadline_minutes: Annotated[float, Field(gt=0)] | None = None
    minimum_agreement: OpenShare | None = None
    differences: Differences | None = None
    maximum_dropped: Share = 0.05

    def can_fail(self) -> bool:
        """Tell whether any guard is on that could ever fail."""
        return self.minimum_agreement is not None or self.differences is not None or super().can_fail()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        require_guards(self)
        require_deadline(self.deadline_minutes, self.min_minutes, "minMinutes")
        return self


def _traffic(share: float) -> Traffic:
    return Traffic({"stable": 1.0, "candidate": 0.0}, {"candidate": share} if share else {})


def begin(params: Params, arms: Sequence[str]) -> Traffic:
    """Return the traffic of the only step: all of it to stable, copies to the candidate."""
    return _traffic(params.share)


def stages(params: Params, arms: Sequence[str]) -> tuple[Stage, ...]:
    """Return the only step."""
    return (Stage(_traffic(params.share), params.min_minutes, params.min_pairs),)


def forecast(params: Params, expectation: Expectation) -> tuple[Forecast, ...]:
    """Return what the copies need to show the expected rise in errors."""
    step = Watch(params.share, "deadlineMinutes", params.min_pairs, params.min_minutes, params.deadline_minutes)
    own = [params.minimum_agreement]
    if params.differences is not None:
        own += [params.differences.maximum, params.differences.maximum_mean]
    return shadow_forecasts(params, step, expectation, more=sum(limit is not None for limit in own))


def objections(params: Params, model: Served) -> tuple[Objection, ...]:
    """Return what a copy would do in the world, and what cannot be compared."""
    found = unlogged(model)
    if model.serving.side_effects:
        message = "copies of requests would do something in the world: this model has side effects"
        hint = "choose a strategy that answers every request once, such as canary, or correct serving.sideEffects"
        found += (Objection("", f"{message} (serving.sideEffects)", hint),)
    if params.minimum_agreement is not None and model.task == "regression":
        message = "a regression has no labels that could agree"
        found += (Objection("minimumAgreement", message, "limit differences of the scores instead"),)
    return found


def reward(params: Params) -> Reward | None:
    """Return that no answer earns anything: the traffic does not follow what arms earn."""
    return None


def next_step(params: Params, progress: Progress) -> Step:
    """Withdraw the candidate on any failed check, promote it when every check passes, else hold."""
    at, traffic = progress.step, _traffic(params.share)
    if at != 1:
        return Step("hold", at, traffic, f"a shadow rollout has 1 step and no step {at}")
    pairs = _pairs(progress)
    minutes = minutes_in_step(progress)
    checks = _checks(params, pairs)
    failed = failures(checks)
    if failed and not progress.tolerant:
        return Step("rollback", at, _traffic(0.0), failed, checks, failed=("candidate",))
    waiting = _waiting_for(params, pairs, minutes, checks)
    if waiting is None:
        seen = f"failures are only reported: {failed}" if failed else "every check passes"
        return Step("promote", at, traffic, f"{pairs.pairs} pairs, and {seen}", checks)
    if params.deadline_minutes is not None and minutes > params.deadline_minutes:
        waiting = f"the shadow passed its deadline of {params.deadline_minutes:g} minutes: {waiting}"
    return Step("hold", at, traffic, waiting, checks)


def _pairs(progress: Progress) -> PairData:
    running = progress.steps[-1] if progress.steps else None
    if running is None or running.step != progress.step:
        return PairData()
    return running.shadows.get("candidate", PairData())


def _waiting_for(params: Params, pairs: PairData, minutes: float, checks: Sequence[Check]) -> str | None:
    """Say what the rollout still waits for, or None when it has all it needs."""
    if not pairs.pairs:
        return "no data: the candidate has answered no copy"
    if pairs.pairs < params.min_pairs:
        return f"the candidate has answered {pairs.pairs} of {params.min_pairs} copies"
    if minutes < params.min_minutes:
        return f"{minutes:.1f} of {params.min_minutes:g} minutes have passed"
    return "; ".join(check.reason for check in checks if check.verdict in ("inconclusive", "no-data")) or None


def _checks(params: Params, pairs: PairData) -> tuple[Check, ...]:
    enough = pairs.pairs >= params.min_pairs
    # A pair is one request of each arm. Errors and slow answers of one pair depend on each other, which only lowers
    # the e-values: where both have one, the pair counts for the hypothesis.
    even = Traffic({"stable": 0.5, "candidate": 0.5})
    arms = {
        "stable": ArmData(pairs.pairs, pairs.stable_errors, pairs.stable_slow),
        "candidate": ArmData(pairs.pairs, pairs.errors, pairs.slow),
    }
    findings = []
    if params.minimum_agreement is not None:
        findings.append(_agreement(params.minimum_agreement, pairs))
    if params.differences is not None:
        findings += _differences(params.differences, pairs.differences, params.alpha)
    compared = guard_checks(params, [StepData(1, even, arms)], "candidate", enough=enough, more=findings)
    return (*compared, _dropped(params.maximum_dropped, pairs))


def _agreement(limit: float, pairs: PairData) -> Finding:
    """Test the share of pairs with equal labels; pairs of which one is an error say nothing about labels."""
    # Not every pair that both answered has scores to compare.
    compared = max(len(pairs.differences), pairs.pairs - pairs.errors - pairs.stable_errors)
    agreed = pairs.agreed if pairs.agreed is not None else 0
    others = max(0, compared - agreed) if pairs.agreed is not None else 0
    return _share("agreement", limit, agreed, others, "the labels agree")


def _differences(limits: Differences, differences: Array, alpha: float) -> list[Finding]:
    found = []
    size = np.abs(differences)
    if limits.maximum is not None:
        near = int((size <= limits.maximum).sum())
        said = f"scores are at most {limits.maximum:g} apart"
        found.append(_share("difference", 1 - limits.exceptions, near, len(size) - near, said))
    if limits.maximum_mean is not None:
        found.append(_mean_difference(limits.maximum_mean, size, alpha))
    return found


def _share(name: str, limit: float, good: int, others: int, said: str) -> Finding:
    """Test whether the share of good pairs is below the limit, which is harm, or above it, which is what is required.

    Both e-values are one-sided against the limit itself, so that at most one of them can ever be large.
    """
    total = good + others
    p, proof = p_value(log_share_evalue(others, good, 1 - limit)), log_share_evalue(good, others, limit)
    counts = {"good": good, "pairs": total}

    def check(rejected: bool, level: float) -> Check:
        if not total:
            return Check(name, "no-data", f"{name}: there are no pairs to compare", None, limit, level, counts)
        lower, upper = share_bounds(good, others, level)
        word: VerdictWord = "fail" if rejected else "pass" if proof >= -math.log(level) else "inconclusive"
        reason = f"{name}: in {good / total:.2%} of {total} pairs {said}"
        reason += f", between {lower:.2%} and {upper:.2%}, limit {limit:.2%}"
        return Check(name, word, reason, good / total, limit, level, counts, lower=lower, upper=upper, p_value=p)

    return Finding(p, check)


def _mean_difference(limit: float, size: Array, alpha: float) -> Finding:
    """Test the mean of the absolute differences with a confidence sequence."""
    name, counts = "mean-difference", {"pairs": len(size)}
    found = mean_bounds(size, limit, alpha)
    p = p_value(found.log_evalue(limit)) if found is not None else 1.0

    def check(rejected: bool, level: float) -> Check:
        if found is None:
            reason = f"{name}: {len(size)} pairs are too few, or their scores are not numbers"
            return Check(name, "no-data", reason, None, limit, level, counts)
        at = found.at(level)
        word: VerdictWord = "fail" if rejected else "pass" if at.upper <= limit else "inconclusive"
        reason = f"{name}: scores are {at.difference:.4g} apart [{at.lower:.4g}, {at.upper:.4g}], limit {limit:g}"
        return Check(name, word, reason, at.difference, limit, level, counts, lower=at.lower, upper=at.upper, p_value=p)

    return Finding(p, check)


def _dropped(limit: float, pairs: PairData) -> Check:
    """Tell whether so many copies were never made that the pairs may not stand for all requests."""
    name, copies = "dropped", pairs.pairs + pairs.dropped
    counts = {"dropped": pairs.dropped, "copies": copies}
    if not copies:
        return Check(name, "no-data", f"{name}: no copies yet", None, limit, None, counts)
    share = pairs.dropped / copies
    reason = f"{name}: {pairs.dropped} of {copies} copies were never made ({share:.2%}), limit {limit:.2%}"
    return Check(name, "inconclusive" if share > limit else "pass", reason, share, limit, None, counts)
