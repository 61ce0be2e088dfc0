"""A rollout decided again from the prediction log, beside what was decided then."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modelops import __version__
from modelops.markup import plain
from modelops.rollouts.replay import Replay, Replayed
from modelops.rollouts.salt import strategy_digest
from modelops.rollouts.values import ArmValue
from modelops.statistics.off_policy import Estimate


def text(found: Replay) -> str:
    """Return every step as it was decided and as it is decided again, the answer last."""
    rollout = found.rollout
    lines = [f"rollout {rollout.salt} of {found.seat}, from {plain(rollout.source)}"]
    lines += [line for step in found.steps for line in _step(step)]
    for value in found.values:
        told = [f"{name} {_told(estimate)}" for name, estimate in _estimates(value).items()]
        lines.append(f"value of {value.arm} alone: {'; '.join(told)}")
    word = "the same" if found.agrees else "not the same"
    lines.append(f"then {rollout.outcome or 'running'}, again {found.outcome}: {word}")
    return "\n".join([*lines, *([plain(found.missing)] if found.missing else [])])


def _step(step: Replayed) -> list[str]:
    weights, again = ", ".join(f"{arm} {weight:.0%}" for arm, weight in step.weights.items()), step.again
    return [
        f"step {step.step}: {weights}; {step.requests} answers from {step.started}",
        f"  then:  {plain(f'{step.recorded} at {step.until}: {step.recorded_reason}')}",
        f"  again: {plain(f'{again.action} at {again.at} after {again.requests}: {again.reason}')}",
        *(f"    {check['verdict']:12} {check['arm']}: {plain(check['reason'])}" for check in again.checks),
    ]


def _estimates(value: ArmValue) -> dict[str, Estimate]:
    return {"ips": value.ips, "snips": value.snips, "doublyRobust": value.doubly_robust}


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} [{estimate.lower:.4g}, {estimate.upper:.4g}]"


def data(found: Replay) -> dict[str, Any]:
    """Return every step as it was decided and as it is decided again, with what either was decided by."""
    rollout, last = found.rollout, found.steps[-1].again
    return {
        "model": found.seat.model,
        "environment": found.seat.environment,
        "salt": rollout.salt,
        "source": rollout.source,
        "arms": dict(rollout.arms),
        "strategy": {
            "type": found.strategy.type,
            "recorded": strategy_digest(rollout.strategy),
            "replayed": strategy_digest(found.strategy),
        },
        "versions": sorted({each.version for each in rollout.decisions} | {__version__}),
        "recorded": {"outcome": rollout.outcome, "reason": rollout.reason, "at": rollout.ended},
        "replayed": {"outcome": found.outcome, "reason": last.reason, "at": last.at},
        "agrees": found.agrees,
        "missing": found.missing,
        "steps": [asdict(step) for step in found.steps],
        "values": [
            {"arm": value.arm, **{name: asdict(one) for name, one in _estimates(value).items()}}
            for value in found.values
        ],
    }
