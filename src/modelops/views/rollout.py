"""How a rollout stands: who takes how much, what it waits for, and the numbers of every guard."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modelops.governance.steering import Steered
from modelops.markup import plain
from modelops.reconcile.actions import describe, to_dict
from modelops.reconcile.rollout_status import ArmStatus, RolloutStatus
from modelops.views import forecasts


def text(found: RolloutStatus) -> str:
    """Return a rollout's step, arms, guards and what comes next."""
    where, state = f"{found.seat}", found.state
    if state is None:
        lines = [f"{where}: no rollout is running"]
    else:
        how = f", decided: {state.outcome}" if state.outcome else ", paused" if found.paused else ""
        lines = [f"{where}: {found.strategy}, step {state.step} since {state.steps[-1].started}{how}"]
    lines += [f"  {_arm(arm)}" for arm in found.arms]
    lines += [f"  {check['verdict']:12} {check['arm']}: {plain(check['reason'])}" for check in found.checks]
    lines += [f"  {plain(describe(entry))}" for entry in found.entries]
    return "\n".join([*lines, *(f"  {forecasts.line(step)}" for step in found.forecast)])


def _arm(arm: ArmStatus) -> str:
    copies = f", a copy of {arm.shadow:.0%}" if arm.shadow else ""
    did = f"{arm.requests} requests, {arm.errors} errors, {arm.slow} slow, {arm.labels} labels"
    return f"{arm.arm}: release {arm.release}, {arm.weight:.1%} of the traffic{copies}; {did}"


def data(found: RolloutStatus) -> dict[str, Any]:
    """Return everything about a rollout."""
    return {
        "model": found.seat.model,
        "environment": found.seat.environment,
        "strategy": found.strategy,
        "onFailure": found.on_failure,
        "onSuccess": found.on_success,
        "paused": found.paused,
        "arms": [asdict(arm) for arm in found.arms],
        "rollout": _state(found),
        "checks": [dict(check) for check in found.checks],
        "next": [to_dict(entry) for entry in found.entries],
        "waitsFor": [describe(entry) for entry in found.entries],
        "forecast": [asdict(step) for step in found.forecast],
    }


def _state(found: RolloutStatus) -> dict[str, Any] | None:
    state = found.state
    if state is None:
        return None
    return {
        "step": state.step,
        "started": state.steps[0].started,
        "stepStarted": state.steps[-1].started,
        "salt": state.salt,
        "outcome": state.outcome,
        "pullRequest": asdict(found.asked) if found.asked is not None else None,
        "smoke": asdict(state.smoke) if state.smoke is not None else None,
        "decisions": [asdict(each) for each in state.decisions],
    }


def steered_text(done: Steered) -> str:
    """Return what was done to a rollout, or who had done it before."""
    said = f"the rollout of {done.seat} is {done.outcome}: commit {done.commit[:10]}"
    return plain(done.already or said)


def steered_data(done: Steered) -> dict[str, Any]:
    """Return what was done to a rollout."""
    said = asdict(done)
    return {**said.pop("seat"), **said}
