"""Blue-green: the candidate warms up beside stable, then takes all the traffic at once, and can give it back at once.

Step 1 sends smoke requests to both while stable answers everybody, and waits until enough is known of how stable does.
Step 2 switches all traffic and watches; step 3 keeps the old release warm for a while longer. From the switch on the
candidate is held against what stable did before, as nothing runs beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelops.spec.delivery import Expectation, VerdictWord
from modelops.spec.model import ModelSpec
from modelops.strategies import Check, Forecast, Objection, Progress, Smoke, Step, Traffic
from modelops.strategies._judge import (
    Harm,
    RateGuards,
    check_deadline,
    check_guards,
    evalue,
    failures,
    judge,
    minutes_in_step,
    p_value,
    unlogged,
)
from modelops.strategies._planning import Need, Watch, forecast_of, step_forecasts
from modelops.strategies._sequential import log_share_evalue

__all__ = ["ARMS", "Params", "begin", "forecast", "next_step", "objections"]

ARMS = (2, 2)

_WARM = Traffic({"stable": 1.0, "candidate": 0.0})
_SWITCHED = Traffic({"stable": 0.0, "candidate": 1.0})
_STEPS = 3
_SMOKE_PART = 0.1  # of alpha is for slow smoke requests, the rest for the watch


class Params(RateGuards):
    """What it takes to switch, to stay switched and to let the old release go; a guard set to null is off.

    ``smokeRequests`` rows of the snapshot go to the candidate and to stable before the switch; 0 leaves that out.
    ``baselineRequests`` are the answers of stable that the candidate is held against, so the switch waits for them.
    After the switch the candidate must answer ``minRequests`` and ``watchMinutes`` pass; when it has not answered them
    after ``deadlineMinutes``, ``onDeadline`` says what happens. The old release then stays warm, and the candidate
    judged, for ``keepWarmMinutes``.
    """

    min_requests: Annotated[int, Field(ge=1)]
    smoke_requests: Annotated[int, Field(ge=0, le=10_000)] = 50
    baseline_requests: Annotated[int, Field(ge=1)] = 500
    watch_minutes: Annotated[float, Field(ge=0)] = 30.0
    keep_warm_minutes: Annotated[float, Field(ge=0)] = 60.0
    deadline_minutes: Annotated[float, Field(gt=0)] | None = None
    on_deadline: Literal["hold", "rollback"] = "hold"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_guards(self)
        check_deadline(self.deadline_minutes, self.watch_minutes, "watchMinutes")
        if any(harm is not None and harm.required_ratio is not None for harm in (self.errors, self.slow)):
            raise ValueError("requiredRatio needs stable beside the candidate, and after a switch nothing is")
        return self


def begin(params: Params, arms: Sequence[str]) -> Traffic:
    """Return the traffic of the first step: all of it to stable, the candidate loaded beside it."""
    return _WARM


def forecast(params: Params, expectation: Expectation) -> tuple[Forecast, ...]:
    """Return how long the baseline takes, and what the watch needs to see the expected rise in errors."""
    baseline = Need(params.baseline_requests)
    before = forecast_of(0, f"{params.baseline_requests:,} answers of stable", baseline, expectation)
    watch = Watch(1.0, "deadlineMinutes", params.min_requests, params.watch_minutes, params.deadline_minutes)
    after = step_forecasts(params, [watch], expectation, baseline=params.baseline_requests)
    # What is never seen needs a longer past, not more time.
    paths = ("baselineRequests" if found.requests is None else found.path for found in after)
    return (before, *(replace(found, step=1, path=path) for found, path in zip(after, paths, strict=True)))


def objections(params: Params, model: ModelSpec) -> tuple[Objection, ...]:
    """Return that smoke requests would do something in the world, or that nothing is logged, where that is so."""
    found = unlogged(model)
    if params.smoke_requests and model.serving.side_effects:
        message = "smoke requests would do something in the world: this model has side effects (serving.sideEffects)"
        found += (Objection("smokeRequests", message, "set smokeRequests to 0"),)
    return found


def next_step(params: Params, progress: Progress) -> Step:
    """Switch once the candidate has passed its smoke requests, switch back on any failed check, else go on or hold."""
    match progress.step:
        case 0:
            return _before(params, progress)
        case 1 | 2:
            return _after(params, progress)
        case at:
            traffic = progress.segments[-1].traffic if progress.segments else _WARM
            return Step("hold", at, traffic, f"a blue-green rollout has {_STEPS} steps and no step {at + 1}")


def _before(params: Params, progress: Progress) -> Step:
    if params.smoke_requests and progress.smoke is None:
        reason = f"{params.smoke_requests} rows of the snapshot go to the candidate and to stable"
        return Step("smoke", 0, _WARM, reason, requests=params.smoke_requests)
    checks = _smoke_checks(params, progress.smoke) if params.smoke_requests and progress.smoke is not None else ()
    failed = failures(checks)
    if failed and not progress.tolerant:
        return Step("rollback", 0, _WARM, failed, checks, failed=("candidate",))
    open_ = [check.reason for check in checks if check.verdict in ("no-data", "inconclusive")]
    if open_:
        return Step("hold", 0, _WARM, "; ".join(open_), checks)
    seen = sum(segment.arm("stable").requests for segment in progress.segments if segment.step == 0)
    if seen < params.baseline_requests:
        reason = f"stable has answered {seen} of {params.baseline_requests} requests to hold the candidate against"
        return Step("hold", 0, _WARM, reason if seen else f"no data: {reason}", checks)
    reason = f"step 1 of {_STEPS}: {_passed(params, failed)} and {seen} answers of stable to hold the candidate against"
    return Step("advance", 1, _SWITCHED, reason, checks)


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
    for segment in progress.segments:
        answered[segment.step] += segment.arm("candidate").requests
    enough = answered[1] + answered[2] >= params.min_requests
    alpha = (1 - _SMOKE_PART) * params.alpha
    checks = judge(params, progress.segments, "candidate", enough=enough, alpha=alpha, beside=False, alone=True)
    failed = failures(checks)
    if failed and not progress.tolerant:
        return Step("rollback", at, _WARM, failed, checks, failed=("candidate",))
    waiting = _waiting_for(params, at, answered[at], minutes, checks)
    if waiting is None:
        return _forward(at, minutes, checks, failed)
    if at == 1 and params.deadline_minutes is not None and minutes > params.deadline_minutes:
        reason = f"the watch passed its deadline of {params.deadline_minutes:g} minutes: {waiting}"
        if params.on_deadline == "rollback" and not progress.tolerant:
            return Step("rollback", at, _WARM, reason, checks, failed=("candidate",))
        return Step("hold", at, _SWITCHED, reason, checks)
    return Step("hold", at, _SWITCHED, waiting, checks)


def _waiting_for(params: Params, at: int, answered: int, minutes: float, checks: Sequence[Check]) -> str | None:
    """Say what a step after the switch still waits for, or None when it has all it needs."""
    if not answered:
        return "no data: the candidate has answered nothing in this step"
    unknown = [check.reason for check in checks if check.verdict == "no-data"]
    if unknown:
        return f"no data: {'; '.join(unknown)}"
    if at == 1 and answered < params.min_requests:
        return f"the candidate has answered {answered} of {params.min_requests} requests"
    least, what = (params.watch_minutes, "watch") if at == 1 else (params.keep_warm_minutes, "keep the old one warm")
    if minutes < least:
        return f"{minutes:.1f} of {least:g} minutes to {what} have passed"
    return None


def _forward(at: int, minutes: float, checks: tuple[Check, ...], failed: str) -> Step:
    seen = f"failures are only reported: {failed}" if failed else "no evidence of harm"
    reason = f"step {at + 1} of {_STEPS}: {minutes:.1f} minutes with all the traffic and {seen}"
    if at == _STEPS - 1:
        return Step("promote", at, _SWITCHED, reason, checks)
    return Step("advance", at + 1, _SWITCHED, reason, checks)
