"""Blue-green: the candidate warms up beside stable, then takes all the traffic at once, and can give it back at once.

Step 1 sends smoke requests to both while stable answers everybody, and waits until enough is known of how stable does.
Step 2 switches all traffic but a holdback and watches; step 3 keeps the old release warm for a while longer. The
candidate is compared with what stable does with the holdback. Without one nothing runs beside it, and it is held
against what stable did before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelops.spec.kinds.rollout_plan import Expectation
from modelops.spec.meta import VerdictWord
from modelops.statistics.planning import Need
from modelops.statistics.sequential import evalue, log_share_evalue, p_value
from modelops.strategies import Check, Forecast, Objection, Progress, Reward, Served, Smoke, Stage, Step, Traffic
from modelops.strategies._forecasts import Watch, forecast_of, step_forecasts
from modelops.strategies._guards import (
    HOLDBACK,
    Harm,
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

_WARM = Traffic({"stable": 1.0, "candidate": 0.0})
_GREEN = Traffic({"stable": 0.0, "candidate": 1.0})
_STEPS = 3
_SMOKE_PART = 0.1  # of alpha is for slow smoke requests, the rest for the watch


class Params(RateGuards):
    """What it takes to switch, to stay switched and to let the old release go; a guard set to null is off.

    ``smokeRequests`` rows of the snapshot go to the candidate and to stable before the switch; 0 leaves that out.
    ``baselineRequests`` are answers of stable before the switch, which waits for them. ``holdback`` is the share that
    stable keeps after it, until the candidate is promoted; at 0 all traffic is switched, the candidate is held against
    what stable did before, and what changes over time counts as its own: ``alpha`` is then not kept.
    After the switch the candidate must answer ``minRequests`` and ``watchMinutes`` pass; when it has not answered them
    after ``deadlineMinutes``, ``onDeadline`` says what happens. The old release then stays warm, and the candidate is
    watched, for ``keepWarmMinutes``.
    """

    min_requests: Annotated[int, Field(ge=1)]
    smoke_requests: Annotated[int, Field(ge=0, le=10_000)] = 50
    baseline_requests: Annotated[int, Field(ge=1)] = 500
    holdback: Annotated[float, Field(ge=0, lt=0.5)] = HOLDBACK
    watch_minutes: Annotated[float, Field(ge=0)] = 30.0
    keep_warm_minutes: Annotated[float, Field(ge=0)] = 60.0
    deadline_minutes: Annotated[float, Field(gt=0)] | None = None
    on_deadline: Literal["hold", "rollback"] = "hold"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        require_guards(self)
        require_deadline(self.deadline_minutes, self.watch_minutes, "watchMinutes")
        if any(harm is not None and harm.required_ratio is not None for harm in (self.errors, self.slow)):
            raise ValueError("requiredRatio needs stable beside the candidate, and after a switch nothing is")
        return self

    @property
    def switched(self) -> Traffic:
        """The traffic after the switch."""
        return Traffic({"stable": self.holdback, "candidate": round(1 - self.holdback, 9)})


def begin(params: Params, arms: Sequence[str]) -> Traffic:
    """Return the traffic of the first step: all of it to stable, the candidate loaded beside it."""
    return _WARM


def stages(params: Params, arms: Sequence[str]) -> tuple[Stage, ...]:
    """Return the step before the switch, the watch after it, and the time in which the old release is kept warm."""
    return (
        Stage(_WARM, 0.0, params.baseline_requests),
        Stage(params.switched, params.watch_minutes, params.min_requests),
        Stage(params.switched, params.keep_warm_minutes, 0),
    )


def forecast(params: Params, expectation: Expectation) -> tuple[Forecast, ...]:
    """Return how long the baseline takes, and what the watch needs to see the expected rise in errors."""
    baseline = Need(params.baseline_requests)
    before = forecast_of(1, f"{params.baseline_requests:,} answers of stable", baseline, expectation)
    weight = params.switched.weights["candidate"]
    watch = Watch(weight, "deadlineMinutes", params.min_requests, params.watch_minutes, params.deadline_minutes)
    after = step_forecasts(params, [watch], expectation, baseline=params.baseline_requests)
    # What is never seen needs a longer past, not more time.
    longer = "holdback" if params.holdback else "baselineRequests"
    paths = (longer if found.requests is None else found.path for found in after)
    return (before, *(replace(found, step=2, path=path) for found, path in zip(after, paths, strict=True)))


def objections(params: Params, model: Served) -> tuple[Objection, ...]:
    """Return that smoke requests would do something in the world, or that nothing is logged, where that is so."""
    found = unlogged(model)
    if params.smoke_requests and model.serving.side_effects:
        message = "smoke requests would do something in the world: this model has side effects (serving.sideEffects)"
        found += (Objection("smokeRequests", message, "set smokeRequests to 0"),)
    return found


def reward(params: Params) -> Reward | None:
    """Return that no answer earns anything: the traffic does not follow what arms earn."""
    return None


def next_step(params: Params, progress: Progress) -> Step:
    """Switch once the candidate has passed its smoke requests, switch back on any failed check, else go on or hold."""
    match progress.step:
        case 1:
            return _before(params, progress)
        case 2 | 3:
            return _after(params, progress)
        case at:
            traffic = progress.steps[-1].traffic if progress.steps else _WARM
            return Step("hold", at, traffic, f"a blue-green rollout has {_STEPS} steps and no step {at}")


def _before(params: Params, progress: Progress) -> Step:
    if params.smoke_requests and progress.smoke is None:
        reason = f"{params.smoke_requests} rows of the snapshot go to the candidate and to stable"
        return Step("smoke", 1, _WARM, reason, requests=params.smoke_requests)
    checks = _smoke_checks(params, progress.smoke) if params.smoke_requests and progress.smoke is not None else ()
    failed = failures(checks)
    if failed and not progress.tolerant:
        return Step("rollback", 1, _WARM, failed, checks, failed=("candidate",))
    open_ = [check.reason for check in checks if check.verdict in ("no-data", "inconclusive")]
    if open_:
        return Step("hold", 1, _WARM, "; ".join(open_), checks)
    seen = sum(data.arm("stable").requests for data in progress.steps if data.step == 1)
    if seen < params.baseline_requests:
        reason = f"stable has answered {seen} of {params.baseline_requests} requests to hold the candidate against"
        return Step("hold", 1, _WARM, reason if seen else f"no data: {reason}", checks)
    reason = f"step 1 of {_STEPS}: {_passed(params, failed)} and {seen} answers of stable to hold the candidate against"
    return Step("advance", 2, params.switched, reason, checks)


def _passed(params: Params, failed: str) -> str:
    if failed:
        return f"failures are only reported: {failed};"
    return "smoke requests passed" if params.smoke_requests else "no smoke requests asked for"


def _smoke_checks(params: Params, smoke: Smoke) -> tuple[Check, ...]:
    """Judge the smoke requests.

    Both arms were sent the same rows, each of which had several tries: one error more than stable's is a row that the
    candidate cannot answer.
    """
    name, counts = "smoke-errors", _smoke_counts(smoke, smoke.errors, smoke.stable_errors)
    if not smoke.requests:
        return (Check(name, "no-data", f"no data: {smoke.reason or 'no smoke request was sent'}", counts=counts),)
    reason = f"smoke: the candidate failed {smoke.errors} of {smoke.requests} requests, stable {smoke.stable_errors}"
    word: VerdictWord = "pass"
    if smoke.errors > smoke.stable_errors:
        word = "fail"
    elif smoke.stable_errors == smoke.requests:
        word, reason = "inconclusive", f"{reason}, so that nothing can be compared"
    errors = Check(name, word, reason, float(smoke.errors), float(smoke.stable_errors), None, counts)
    return (errors,) if word != "pass" or params.slow is None else (errors, _smoke_slow(params, params.slow, smoke))


def _smoke_counts(smoke: Smoke, candidate: int, stable: int) -> dict[str, int]:
    counts = {"candidateEvents": candidate, "candidateRequests": smoke.requests}
    return counts | {"stableEvents": stable, "stableRequests": smoke.requests}


def _smoke_slow(params: Params, harm: Harm, smoke: Smoke) -> Check:
    """Compare slow answers beyond doubt, as the first ones warm the candidate up."""
    alpha = _SMOKE_PART * params.alpha
    log_evalue = log_share_evalue(smoke.slow, smoke.stable_slow, harm.maximum_ratio / (1 + harm.maximum_ratio))
    shown = p_value(log_evalue) <= alpha
    harmful = shown and smoke.slow - smoke.stable_slow >= harm.minimum_difference * smoke.requests
    reason = (
        f"smoke: {smoke.slow} of {smoke.requests} answers of the candidate were slow, {smoke.stable_slow} of stable"
    )
    counts = _smoke_counts(smoke, smoke.slow, smoke.stable_slow)
    word: VerdictWord = "fail" if harmful else "pass"
    p = p_value(log_evalue)
    return Check("smoke-slow", word, reason, evalue(log_evalue), 1 / alpha, alpha, counts, p_value=p)


def _after(params: Params, progress: Progress) -> Step:
    at, minutes = progress.step, minutes_in_step(progress)
    answered = Counter[int]()
    for data in progress.steps:
        answered[data.step] += data.arm("candidate").requests
    enough = answered[2] + answered[3] >= params.min_requests
    alpha = (1 - _SMOKE_PART) * params.alpha
    # Where it runs already decides, so that a rollout that began without a holdback ends as it began.
    after = [data for data in progress.steps if data.weight("candidate") > 0]
    traffic = after[-1].traffic if after else params.switched
    alone = traffic.weights["stable"] == 0
    checks = guard_checks(
        params,
        after if not alone else progress.steps,
        "candidate",
        enough=enough,
        alpha=alpha,
        beside=not alone,
        alone=alone,
    )
    failed = failures(checks)
    if failed and not progress.tolerant:
        return Step("rollback", at, _WARM, failed, checks, failed=("candidate",))
    waiting = _waiting_for(params, at, answered[at], minutes, checks)
    if waiting is None:
        return _forward(at, minutes, traffic, checks, failed)
    if at == 2 and params.deadline_minutes is not None and minutes > params.deadline_minutes:
        reason = f"the watch passed its deadline of {params.deadline_minutes:g} minutes: {waiting}"
        if params.on_deadline == "rollback" and not progress.tolerant:
            return Step("rollback", at, _WARM, reason, checks, failed=("candidate",))
        return Step("hold", at, traffic, reason, checks)
    return Step("hold", at, traffic, waiting, checks)


def _waiting_for(params: Params, at: int, answered: int, minutes: float, checks: Sequence[Check]) -> str | None:
    """Say what a step after the switch still waits for, or None when it has all it needs."""
    if not answered:
        return "no data: the candidate has answered nothing in this step"
    unknown = [check.reason for check in checks if check.verdict == "no-data"]
    if unknown:
        return f"no data: {'; '.join(unknown)}"
    if at == 2 and answered < params.min_requests:
        return f"the candidate has answered {answered} of {params.min_requests} requests"
    least, what = (params.watch_minutes, "watch") if at == 2 else (params.keep_warm_minutes, "keep the old one warm")
    if minutes < least:
        return f"{minutes:.1f} of {least:g} minutes to {what} have passed"
    return None


def _forward(at: int, minutes: float, traffic: Traffic, checks: tuple[Check, ...], failed: str) -> Step:
    seen = f"failures are only reported: {failed}" if failed else "no evidence of harm"
    reason = f"step {at} of {_STEPS}: {minutes:.1f} minutes with all the traffic and {seen}"
    if at == _STEPS:
        return Step("promote", at, _GREEN, reason, checks)
    return Step("advance", at + 1, traffic, reason, checks)
