"""Canary: the candidate takes a growing share of the traffic and is compared with what stable does meanwhile.

The comparisons are always-valid, so the loop may look as often as it likes. ``alpha`` is the chance that a candidate
that is no worse than its limits is rolled back, over the whole rollout and all guards together. A last step of weight 1
leaves ``holdback`` of the traffic to stable, so that there is something to compare with to the end. Without it nothing
runs beside the candidate: its errors and slow answers are then held against what stable did before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelops.spec.kinds.rollout_plan import Expectation
from modelops.spec.meta import Strict
from modelops.strategies import Check, Forecast, Objection, Progress, Reward, Served, Stage, Step, StepData, Traffic
from modelops.strategies._forecasts import Watch, step_forecasts
from modelops.strategies._guards import (
    HOLDBACK,
    Guards,
    failures,
    guard_checks,
    minutes_in_step,
    require_deadline,
    require_guards,
    unlogged,
)
from modelops.strategies._labels import label_checks, void

__all__ = ["ARMS", "Params", "begin", "forecast", "next_step", "objections", "reward", "stages"]

ARMS = (2, 2)


class CanaryStep(Strict):
    """One step: the candidate's share of the traffic, and what it takes to leave it.

    The candidate must answer ``minRequests`` and the step last ``minMinutes``; after ``deadlineMinutes`` without that,
    ``onDeadline`` says what happens.
    """

    weight: Annotated[float, Field(gt=0, le=1)]
    min_requests: Annotated[int, Field(ge=1)]
    min_minutes: Annotated[float, Field(ge=0)] = 0.0
    deadline_minutes: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        require_deadline(self.deadline_minutes, self.min_minutes, "minMinutes")
        return self


class Params(Guards):
    """The steps, and the guards that send the traffic back; a guard set to null is off.

    ``holdback`` is the share that stable keeps in a step of weight 1, until the candidate is promoted. At 0 such a step
    is judged against the past, and what changes over time, such as the hour of the day, counts as the candidate's:
    ``alpha`` is then not kept.
    """

    steps: tuple[CanaryStep, ...] = Field(min_length=1, max_length=50)
    holdback: Annotated[float, Field(ge=0, lt=0.5)] = HOLDBACK
    on_deadline: Literal["hold", "rollback"] = "hold"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        require_guards(self)
        for before, after in pairwise(step.weight for step in self.steps):
            if after <= before:
                raise ValueError(f"weights must grow from step to step, and {after:g} follows {before:g}")
        if self.steps[0].weight >= 1:
            raise ValueError("the first weight must be below 1, so that there is traffic to compare with")
        return self

    def weight(self, at: int) -> float:
        """Return the candidate's share in a step, counted from 1: at weight 1 what the holdback leaves of it."""
        wanted = self.steps[at - 1].weight
        if wanted < 1:
            return wanted
        # Never less than the step before: the candidate keeps what it has.
        return 1 - min(self.holdback, (1 - self.steps[at - 2].weight) / 2)


def _traffic(weight: float) -> Traffic:
    return Traffic({"stable": round(1 - weight, 9), "candidate": weight})


def begin(params: Params, arms: Sequence[str]) -> Traffic:
    """Return the traffic of the first step."""
    return _traffic(params.weight(1))


def stages(params: Params, arms: Sequence[str]) -> tuple[Stage, ...]:
    """Return the steps of the plan."""
    return tuple(
        Stage(_traffic(params.weight(at)), step.min_minutes, step.min_requests)
        for at, step in enumerate(params.steps, start=1)
    )


def forecast(params: Params, expectation: Expectation) -> tuple[Forecast, ...]:
    """Return what each step needs to see the expected rise in errors."""
    steps = [
        Watch(params.weight(at + 1), f"steps[{at}]", step.min_requests, step.min_minutes, step.deadline_minutes)
        for at, step in enumerate(params.steps)
    ]
    return step_forecasts(params, steps, expectation)


def objections(params: Params, model: Served) -> tuple[Objection, ...]:
    """Return that nothing is logged, where that is so; a canary asks nothing else of a model."""
    return unlogged(model)


def reward(params: Params) -> Reward | None:
    """Return that no answer earns anything: the traffic does not follow what arms earn."""
    return None


def next_step(params: Params, progress: Progress) -> Step:
    """Roll back on any failed check, advance by one step when the running one has seen enough, else hold."""
    at = progress.step
    if not 1 <= at <= len(params.steps):
        return Step(
            "hold", at, _running(progress, _traffic(0.0)), f"the plan has {len(params.steps)} steps and no step {at}"
        )
    step = params.steps[at - 1]
    running = progress.steps[-1] if progress.steps and progress.steps[-1].step == at else None
    enough = running is not None and running.arm("candidate").requests >= step.min_requests
    labels = label_checks(progress.steps, "candidate") if params.outcome is not None else ()
    cannot = void(labels)
    alone = params.weight(len(params.steps)) >= 1 or any(data.weight("stable") == 0 for data in progress.steps)
    guards = guard_checks(params, progress.steps, "candidate", enough=enough, alone=alone, void=cannot)
    failed, checks, traffic = failures(guards), guards + labels, _running(progress, _traffic(params.weight(at)))
    if failed and not progress.tolerant:
        return Step("rollback", at, _traffic(0.0), failed, checks, failed=("candidate",))
    minutes = minutes_in_step(progress)
    before = sum(data.arm("stable").requests for data in progress.steps)
    waiting = _waiting_for(step, running, before, minutes) or cannot or _unproved(params, at, checks)
    if waiting is None:
        return _forward(params, at, checks, failed)
    if step.deadline_minutes is not None and minutes > step.deadline_minutes:
        reason = f"step {at} passed its deadline of {step.deadline_minutes:g} minutes: {waiting}"
        if params.on_deadline == "rollback" and not progress.tolerant:
            return Step("rollback", at, _traffic(0.0), reason, checks, failed=("candidate",))
        return Step("hold", at, traffic, reason, checks)
    return Step("hold", at, traffic, waiting, checks)


def _running(progress: Progress, planned: Traffic) -> Traffic:
    return progress.steps[-1].traffic if progress.steps else planned


def _waiting_for(step: CanaryStep, running: StepData | None, stable: int, minutes: float) -> str | None:
    """Say what the running step still waits for, or None when it has seen what it must.

    ``stable`` is how many requests stable has answered in all steps.
    """
    answered = running.arm("candidate").requests if running is not None else 0
    if running is None or answered == 0:
        return "no data: the candidate has answered nothing in this step"
    if answered < step.min_requests:
        return f"the candidate has answered {answered} of {step.min_requests} requests"
    if running.weight("stable") > 0 and running.arm("stable").requests == 0:
        return "no data: stable has answered nothing in this step, so there is nothing to compare with"
    if not stable:
        return "no data: stable has answered nothing in any step, so there is nothing to compare with"
    if minutes < step.min_minutes:
        return f"{minutes:.1f} of {step.min_minutes:g} minutes have passed"
    return None


def _unproved(params: Params, at: int, checks: Sequence[Check]) -> str | None:
    """Say what must be shown before the candidate may go on from this step, and is not.

    Required ratios must be shown while stable still runs beside the candidate, the outcome before the promotion, as
    labels come late.
    """
    last = at == len(params.steps)
    required = {"outcome"} if last and params.outcome is not None and params.outcome.required else set()
    if last or params.steps[at].weight >= 1:
        guards = {"errors": params.errors, "slow": params.slow}
        required |= {name for name, harm in guards.items() if harm is not None and harm.required_ratio is not None}
    missing = [check for check in checks if check.name in required and check.verdict != "pass"]
    return f"promotion requires {'; '.join(check.reason for check in missing)}" if missing else None


def _forward(params: Params, at: int, checks: tuple[Check, ...], failed: str) -> Step:
    requests = params.steps[at - 1].min_requests
    seen = f"failures are only reported: {failed}" if failed else "no evidence of harm"
    reason = f"step {at} of {len(params.steps)}: at least {requests} requests and {seen}"
    if at == len(params.steps):
        return Step("promote", at, _traffic(1.0), reason, checks)
    return Step("advance", at + 1, _traffic(params.weight(at + 1)), reason, checks)
