"""What experiments of several arms share: values per entity, guards that take an arm out, and who is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from modelops.spec.meta import VerdictWord
from modelops.statistics import Array, Units
from modelops.statistics.means import Sample, entity_means, is_binary, sample_of_events, sample_of_values
from modelops.statistics.sequential import evalue, log_split_evalue, p_value
from modelops.strategies import ArmData, Check, Objection, Progress, Served, Step, StepData, Traffic
from modelops.strategies._guards import Guards, failures, guard_checks, unlogged
from modelops.strategies._labels import VOID, label_checks, void

__all__ = [
    "Direction",
    "Metric",
    "answers",
    "checks_by_arm",
    "evict",
    "gone",
    "heavy",
    "idle",
    "labels_of",
    "later_half",
    "minutes_since_start",
    "objections_to",
    "on_trial",
    "only",
    "running_data",
    "sample",
    "sample_ratio",
    "split",
    "unproved",
]

Metric = Literal["outcome", "correct", "errors", "slow"]
Direction = Literal["increase", "decrease"]

_LARGEST = 0.1  # of the squared deviations of an arm, which one entity may make before its mean is not believed


# Who takes part.


def split(shares: Mapping[str, float]) -> Traffic:
    """Return the traffic of these shares, rounded; stable takes what rounding leaves, so that they sum to 1."""
    weights = {arm: round(share, 9) for arm, share in shares.items()}
    rest = "stable" if weights.get("stable") else max(weights, key=weights.__getitem__)
    weights[rest] = round(1 - sum(share for arm, share in weights.items() if arm != rest), 9)
    return Traffic(weights)


def only(arms: Sequence[str], winner: str) -> Traffic:
    """Return the traffic in which one arm answers everybody."""
    return Traffic({arm: float(arm == winner) for arm in arms})


def running_data(progress: Progress) -> StepData | None:
    """Return the running step's data, if it is one of an experiment: stable and another arm take traffic."""
    if not progress.steps or progress.steps[-1].step != progress.step:
        return None
    running = progress.steps[-1]
    return running if running.weight("stable") > 0 and on_trial(progress, running) else None


def idle(running: StepData) -> str:
    """Return that the running step has no traffic, "" where it has."""
    asked = sum(arm.requests for arm in running.arms.values())
    return "" if asked else "no data: nothing has been answered in this step"


def on_trial(progress: Progress, running: StepData) -> tuple[str, ...]:
    """Return the arms on trial that still take traffic; only a failed guard takes an arm's traffic away."""
    return tuple(arm for arm in progress.arms if arm != "stable" and running.weight(arm) > 0)


def minutes_since_start(progress: Progress) -> float:
    """Return how long the rollout has lasted; a clock that was set back makes it 0, never less."""
    start = progress.step_started if progress.started is None else progress.started
    return max(0.0, (progress.now - start).total_seconds() / 60)


def evict(
    progress: Progress, running: StepData, checks: Mapping[str, Sequence[Check]], every: tuple[Check, ...]
) -> Step | None:
    """Return the step that takes out every arm whose guards failed, None when none did.

    ``checks`` are those of each arm's guards, ``every`` what is written down. The weight of such an arm goes to the
    others in proportion to theirs, so that only its own entities move. Without an arm left the rollout goes back.
    """
    said = {arm: failures(found) for arm, found in checks.items()}
    failed = tuple(arm for arm, why in said.items() if why)
    if not failed or progress.tolerant:
        return None
    reason = "; ".join(f"{arm} is out: {said[arm]}" for arm in failed)
    if len(failed) == len(checks):
        everybody = gone(progress, running) + failed
        return Step("rollback", progress.step, only(progress.arms, "stable"), reason, every, "stable", everybody)
    left = {arm: 0.0 if arm in failed else running.weight(arm) for arm in progress.arms}
    total = sum(left.values())
    traffic = split({arm: weight / total for arm, weight in left.items()})
    return Step("advance", progress.step + 1, traffic, reason, every, failed=failed)


def gone(progress: Progress, running: StepData) -> tuple[str, ...]:
    """Return the arms that guards took out earlier."""
    return tuple(arm for arm in progress.arms if running.weight(arm) == 0)


# What guards say.


def checks_by_arm(
    guards: Guards, progress: Progress, arms: Sequence[str], *, enough: bool
) -> dict[str, tuple[Check, ...]]:
    """Return the checks of the guards for every arm in ``arms``, each at its part of alpha (Bonferroni)."""
    level = guards.alpha / max(1, len(progress.arms) - 1)
    found = {}
    for arm in arms:
        cannot = void(label_checks(progress.steps, arm)) if guards.outcome is not None else ""
        found[arm] = guard_checks(guards, progress.steps, arm, enough=enough, alpha=level, void=cannot)
    return found


def labels_of(guards: Guards, metric: Metric, progress: Progress, arms: Sequence[str]) -> tuple[Check, ...]:
    """Return whether the labels that a metric, or the guard on losses, rests on came to all arms and answers alike."""
    if metric in ("errors", "slow") and guards.outcome is None:
        return ()
    return tuple(check for arm in arms for check in label_checks(progress.steps, arm))


def unproved(guards: Guards, checks: Sequence[Check]) -> str:
    """Return what an arm must have shown before it is promoted and has not, "" when nothing is missing."""
    required = {"outcome"} if guards.outcome is not None and guards.outcome.required else set()
    rates = {"errors": guards.errors, "slow": guards.slow}
    required |= {name for name, harm in rates.items() if harm is not None and harm.required_ratio is not None}
    missing = [check.reason for check in checks if check.name in required and check.verdict != "pass"]
    return f"promotion requires {'; '.join(missing)}" if missing else ""


def objections_to(path: str, metric: Metric, model: Served) -> tuple[Objection, ...]:
    """Return why a model's answers cannot be compared like this."""
    found = list(unlogged(model))
    if metric == "outcome" and model.task == "multiclass-classification":
        message = f"{path}: outcome is the mean of a number, and the labels of a multiclass model are names"
        found.append(Objection(path, message, f"use {path}: correct"))
    return tuple(found)


# What the arms did.


def answers(metric: Metric, arm: ArmData) -> tuple[Array, Units]:
    """Return the labelled values of an arm, outcomes or losses, and their entities; both of shape (n,).

    Values that are not finite are left out. Where no entities are known every answer is an entity of its own.
    """
    values = arm.outcomes if metric == "outcome" else arm.losses
    units = arm.units if len(arm.units) else np.arange(len(values), dtype=np.uint64)
    kept = np.isfinite(values)
    return (values, units) if kept.all() else (values[kept], units[kept])


def sample(metric: Metric, arm: str, steps: Sequence[StepData]) -> Sample | None:
    """Return an arm's metric over all steps; None while fewer than 20 entities are known, or nothing varies.

    Errors and slow answers are counts without entities: there all answers of an entity count as one, as if they went
    wrong together, and an entity that came back after a step changed is not counted again.
    """
    parts = [data.arm(arm) for data in steps]
    if metric in ("errors", "slow"):
        requests = sum(part.requests for part in parts)
        events = min(requests, sum(int(getattr(part, metric)) for part in parts))
        return sample_of_events(events, requests, max((part.entities for part in parts), default=0))
    found = [answers(metric, part) for part in parts]
    values, units = (np.concatenate(column) for column in zip(*found, strict=True))
    return sample_of_values(values, units)


# Whether the split is the intended one.


def later_half(metric: Metric, arm: str, steps: Sequence[StepData]) -> Sample | None:
    """Return an arm's metric over the later half of its values; None where too few are known, or they are counts."""
    if metric in ("errors", "slow"):
        return None
    found = [answers(metric, data.arm(arm)) for data in steps]
    values, units = (np.concatenate(column) for column in zip(*found, strict=True))
    return sample_of_values(values[len(values) // 2 :], units[len(units) // 2 :])


def heavy(metric: Metric, arm: str, steps: Sequence[StepData]) -> str:
    """Return that a few entities make most of how an arm's values vary, so that its mean has no interval to believe."""
    if metric in ("errors", "slow"):
        return ""
    found = [answers(metric, data.arm(arm)) for data in steps]
    values, units = (np.concatenate(column) for column in zip(*found, strict=True))
    means, _ = entity_means(values, units)
    if is_binary(values) or len(means) < 2:
        return ""
    squares = np.square(means - means.mean())
    share = float(squares.max() / squares.sum()) if squares.sum() > 0 else 0.0
    if share <= _LARGEST:
        return ""
    return (
        f"{metric} of {arm} has heavy tails: one of {len(means)} entities makes {share:.0%} of its variance, "
        f"more than {_LARGEST:.0%}, so that no interval of its mean is to be believed"
    )


def sample_ratio(progress: Progress) -> Check:
    """Check the split of the entities in every step; a step begins when an arm is taken out, so there are few.

    The same entities come back in every step, so the steps share the error rate instead of adding up.
    """
    steps = max(1, len(progress.arms) - 1)
    worst, counts = -math.inf, dict.fromkeys(progress.arms, 0)
    for data in progress.steps:
        arms = [arm for arm in progress.arms if data.weight(arm) > 0]
        seen = {arm: data.arm(arm).entities for arm in arms}
        if len(arms) < 2 or not any(seen.values()):
            continue
        found = log_split_evalue(list(seen.values()), [data.weight(arm) for arm in arms])
        if found > worst:
            worst, counts = found, seen
    said = {f"{arm}Entities": count for arm, count in counts.items()}
    limit = steps / VOID
    if worst == -math.inf:
        return Check("sample-ratio", "no-data", "sample-ratio: no entities were counted", None, limit, VOID, said)
    p = min(1.0, steps * p_value(worst))
    word: VerdictWord = "fail" if worst >= math.log(limit) else "pass"
    split_of = ", ".join(f"{arm} {count}" for arm, count in counts.items())
    reason = f"sample-ratio: entities are split {split_of} (p = {p:.2g} at any look, limit {VOID:g})"
    return Check("sample-ratio", word, reason, evalue(worst), limit, VOID, said, p_value=p)
