"""What experiments of several arms share: values per entity, guards that take an arm out, and who is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from modelops.spec.delivery import VerdictWord
from modelops.spec.model import ModelSpec
from modelops.strategies import ArmData, Array, Check, Objection, Progress, Segment, Step, Traffic, Units
from modelops.strategies._judge import Guards, evalue, failures, judge, p_value, unlogged
from modelops.strategies._sequential import Contrast, entity_means, tuning

__all__ = [
    "Direction",
    "Metric",
    "Sample",
    "answers",
    "evict",
    "gone",
    "idle",
    "improvement",
    "is_binary",
    "judged",
    "log_ratio_evalue",
    "minutes_since_start",
    "objections_to",
    "on_trial",
    "only",
    "running_segment",
    "sample",
    "sample_ratio",
    "split",
    "unproved",
]

Metric = Literal["outcome", "correct", "errors", "slow"]
Direction = Literal["increase", "decrease"]

VOID = 0.001  # a split this improbable voids an experiment
_CONCENTRATION = 100.0  # how many entities the prior on the split counts for
_FEWEST = 20  # entities an arm needs before its variance is believed


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


def running_segment(progress: Progress) -> Segment | None:
    """Return the running step's segment, if it is one of an experiment: stable and another arm take traffic."""
    if not progress.segments or progress.segments[-1].step != progress.step:
        return None
    running = progress.segments[-1]
    return running if running.weight("stable") > 0 and on_trial(progress, running) else None


def idle(running: Segment) -> str:
    """Return that the running step has no traffic, "" where it has."""
    asked = sum(arm.requests for arm in running.arms.values())
    return "" if asked else "no data: nothing has been answered in this step"


def on_trial(progress: Progress, running: Segment) -> tuple[str, ...]:
    """Return the arms on trial that still take traffic; only a failed guard takes an arm's traffic away."""
    return tuple(arm for arm in progress.arms if arm != "stable" and running.weight(arm) > 0)


def minutes_since_start(progress: Progress) -> float:
    """Return how long the rollout has lasted; a clock that was set back makes it 0, never less."""
    start = progress.step_started if progress.started is None else progress.started
    return max(0.0, (progress.now - start).total_seconds() / 60)


def evict(
    progress: Progress, running: Segment, checks: Mapping[str, Sequence[Check]], every: tuple[Check, ...]
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


def gone(progress: Progress, running: Segment) -> tuple[str, ...]:
    """Return the arms that guards took out earlier."""
    return tuple(arm for arm in progress.arms if running.weight(arm) == 0)


# What guards say.


def judged(guards: Guards, progress: Progress, arms: Sequence[str], *, enough: bool) -> dict[str, tuple[Check, ...]]:
    """Return the checks of the guards for every arm in ``arms``, each at its part of alpha (Bonferroni)."""
    level = guards.alpha / max(1, len(progress.arms) - 1)
    return {arm: judge(guards, progress.segments, arm, enough=enough, alpha=level) for arm in arms}


def unproved(guards: Guards, checks: Sequence[Check]) -> str:
    """Return what an arm must have shown before it is promoted and has not, "" when nothing is missing."""
    required = {"outcome"} if guards.outcome is not None and guards.outcome.required else set()
    rates = {"errors": guards.errors, "slow": guards.slow}
    required |= {name for name, harm in rates.items() if harm is not None and harm.required_ratio is not None}
    missing = [check.reason for check in checks if check.name in required and check.verdict != "pass"]
    return f"promotion requires {'; '.join(missing)}" if missing else ""


def objections_to(path: str, metric: Metric, model: ModelSpec) -> tuple[Objection, ...]:
    """Return why a model's answers cannot be compared like this."""
    found = list(unlogged(model))
    if metric == "outcome" and model.task == "multiclass-classification":
        message = f"{path}: outcome is the mean of a number, and the labels of a multiclass model are names"
        found.append(Objection(path, message, f"use {path}: correct"))
    return tuple(found)


# What the arms did.


@dataclass(frozen=True, slots=True)
class Sample:
    """An arm's metric: its mean and the variance of that mean, from so many entities and answers.

    ``size`` is how many independent answers would give that mean the same variance; it lies between the two. ``share``
    is the mean of 0/1 values with one success and one failure added, None for other values.
    """

    mean: float
    variance: float
    size: float
    entities: int
    answers: int
    share: float | None = None


def answers(metric: Metric, arm: ArmData) -> tuple[Array, Units]:
    """Return the labelled values of an arm, outcomes or losses, and their entities; both of shape (n,).

    Values that are not finite are left out. Where no entities are known every answer is an entity of its own.
    """
    values = arm.outcomes if metric == "outcome" else arm.losses
    units = arm.units if len(arm.units) else np.arange(len(values), dtype=np.uint64)
    kept = np.isfinite(values)
    return (values, units) if kept.all() else (values[kept], units[kept])


def is_binary(values: Array) -> bool:
    """Tell whether all values are 0 or 1."""
    return bool(((values == 0) | (values == 1)).all())


def _variance(values: Array, binary: bool) -> float:
    """Return the variance; of shares with one failure and one success added, so that it is never zero."""
    if binary:
        return float(np.append(values, (0.0, 1.0)).var())
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def sample(metric: Metric, arm: str, segments: Sequence[Segment]) -> Sample | None:
    r"""Return an arm's metric over all segments; None while fewer than 20 entities are known, or nothing varies.

    Every entity counts once, with the mean of its values: entities are what is assigned, and so what is independent,
    and no heavy user outweighs the others. With K entities whose means have variance :math:`s^2`, and single answers
    of variance :math:`\sigma^2`, the variance of the mean is :math:`s^2 / K`, worth
    :math:`\sigma^2 K / s^2` independent answers. Errors and slow answers are counts without entities: there all
    answers of an entity count as one, as if they went wrong together, and an entity that came back after a step
    changed is not counted again.
    """
    parts = [segment.arm(arm) for segment in segments]
    if metric in ("errors", "slow"):
        requests = sum(part.requests for part in parts)
        events = min(requests, sum(int(getattr(part, metric)) for part in parts))
        entities = min(requests, max((part.entities for part in parts), default=0))
        if entities < _FEWEST:
            return None
        share = (events + 1) / (requests + 2)
        return Sample(events / requests, share * (1 - share) / entities, float(entities), entities, requests, share)
    found = [answers(metric, part) for part in parts]
    values, units = (np.concatenate(column) for column in zip(*found, strict=True))
    means, _ = entity_means(values, units)
    if len(means) < _FEWEST:
        return None
    binary = is_binary(values)
    variance = _variance(means, binary) / len(means)
    if variance <= 0:
        return None
    size = max(float(len(means)), _variance(values, binary) / variance)
    smoothed = float(np.append(values, (0.0, 1.0)).mean()) if binary else None
    return Sample(float(means.mean()), variance, size, len(means), len(values), smoothed)


def _believed(arm: Sample, control: Sample) -> tuple[float, float]:
    """Return the variances of two means; of 0/1 values none is smaller than the shares of both arms together say.

    A small arm that has had no event yet is not known to have none.
    """
    if arm.share is None or control.share is None:
        return arm.variance, control.variance
    both = (arm.share * arm.entities + control.share * control.entities) / (arm.entities + control.entities)
    first, second = (max(1.0, both * (1 - both) / (share * (1 - share))) for share in (arm.share, control.share))
    return arm.variance * first, control.variance * second


def improvement(arm: Sample, control: Sample, sign: float, alpha: float) -> Contrast:
    r"""Return by how much an arm is better than the control: ``sign`` times the difference of their means.

    The bounds are the asymptotic confidence sequence of ``mean_contrast``, and hold at every look at once. What plays
    the number of values there is the number of independent answers that the observed variance is worth: while the same
    entities come back the variance falls, and looks still count as looks at new data.
    """
    n = arm.size * control.size / (arm.size + control.size)
    deviation = math.sqrt(sum(_believed(arm, control)) * n)
    return Contrast(sign * (arm.mean - control.mean), 0.0, 0.0, n, deviation, tuning(alpha)).at(alpha)


# Whether the split is the intended one.


def log_ratio_evalue(counts: Sequence[int], shares: Sequence[float]) -> float:
    r"""Return the logarithm of the e-value against "entities are split in these shares".

    The alternative is a Dirichlet prior around the intended shares :math:`\theta`, worth c = 100 entities:

    .. math:: \ln E = \ln\frac{\Gamma(c)}{\Gamma(c + n)} + \sum_i \ln\frac{\Gamma(c\theta_i + n_i)}{\Gamma(c\theta_i)}
              - \sum_i n_i \ln\theta_i

    Unlike a chi-square test it may be looked at after every entity: the chance that E ever reaches
    :math:`1/\alpha` under the intended split is at most :math:`\alpha`.

    References
    ----------
    M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 35 (2022).
    """
    n, theta = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    prior = _CONCENTRATION * theta / theta.sum()
    gammaln = scipy.special.gammaln
    found = gammaln(prior.sum()) - gammaln(prior.sum() + n.sum()) + (gammaln(prior + n) - gammaln(prior)).sum()
    return float(found - (n * np.log(theta / theta.sum())).sum())


def sample_ratio(progress: Progress) -> Check:
    """Check the split of the entities in every step; a step begins when an arm is taken out, so there are few.

    The same entities come back in every step, so the steps share the error rate instead of adding up.
    """
    steps = max(1, len(progress.arms) - 1)
    worst, counts = -math.inf, dict.fromkeys(progress.arms, 0)
    for segment in progress.segments:
        arms = [arm for arm in progress.arms if segment.weight(arm) > 0]
        seen = {arm: segment.arm(arm).entities for arm in arms}
        if len(arms) < 2 or not any(seen.values()):
            continue
        found = log_ratio_evalue(list(seen.values()), [segment.weight(arm) for arm in arms])
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
