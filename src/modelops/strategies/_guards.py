"""Guards: what arms did is compared one by one, may be looked at after every request, and gets four verdicts.

Every guard that can fail yields a p-value that is valid at every look at once. Holm's procedure over all of them keeps
the chance that an arm within all its limits is ever failed at ``alpha``, however often it is looked at. ``pass`` and
``fail`` are shown, ``inconclusive`` has data that show neither yet, ``no-data`` has nothing to compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from modelops.spec.meta import OpenShare, Share, Strict, VerdictWord
from modelops.statistics import Array
from modelops.statistics.bands import distribution_distance, distribution_p_value, distribution_radius
from modelops.statistics.means import entity_means, mean_contrast
from modelops.statistics.sequential import (
    bisect,
    evalue,
    holm,
    log_rise_evalue,
    log_share_evalue,
    p_value,
    part_of_alpha,
    share_at_ratio,
)
from modelops.strategies import Check, Objection, Progress, Served, StepData
from modelops.strategies._spread import Spread, spread, spread_of

__all__ = [
    "HOLDBACK",
    "Finding",
    "Guards",
    "Harm",
    "OutcomeGuard",
    "RateGuards",
    "ScoreGuard",
    "failures",
    "guard_checks",
    "minutes_in_step",
    "require_deadline",
    "require_guards",
    "unlogged",
]


HOLDBACK = 0.05
"""The share of the traffic that stable keeps beside a candidate that has all the rest."""


class Harm(Strict):
    """When more errors, or slow answers, of an arm on trial count as harm.

    Harm is a rate above ``maximumRatio`` times that of stable, shown beyond doubt, and at least ``minimumDifference``
    above it as observed, so that a difference nobody would notice never ends a rollout. With ``requiredRatio`` the
    guard passes only when the rate is shown to be below that many times stable's; else the absence of harm is enough.
    """

    maximum_ratio: Annotated[float, Field(ge=1)] = 1.0
    minimum_difference: Share = 0.001
    required_ratio: Annotated[float, Field(gt=1)] | None = None

    @model_validator(mode="after")
    def _beyond(self) -> Self:
        if self.required_ratio is not None and self.required_ratio <= self.maximum_ratio:
            raise ValueError(f"requiredRatio {self.required_ratio:g} must be above maximumRatio {self.maximum_ratio:g}")
        return self


class ScoreGuard(Strict):
    """How far an arm's score distribution may be from that of stable, as a Kolmogorov-Smirnov distance.

    The distance is the largest share of answers that can change side at any threshold. Without ``maximumShift`` it is
    reported and decides nothing: a better model scores differently.
    """

    maximum_shift: OpenShare | None = None


class OutcomeGuard(Strict):
    """How much worse an arm's loss may be, where labels come in time.

    Worse is a mean loss above (1 + ``relativeMargin``) times that of stable plus ``margin``; it is judged once both
    arms have ``minimumLabels``, those of one entity in a step counting as one. ``required`` promotes only after the
    arm is shown not to be worse; otherwise missing labels hold nothing up.
    """

    margin: Annotated[float, Field(ge=0)] = 0.0
    relative_margin: Annotated[float, Field(ge=0)] = 0.1
    minimum_labels: Annotated[int, Field(ge=20)] = 100
    required: bool = False


class RateGuards(Strict):
    """The guards that need nothing but counts; one set to null is off.

    ``alpha`` is the chance that an arm within its limits is ever failed, over the whole rollout and all guards
    together. ``maximumErrorRate`` is an absolute limit beside the comparison with stable. No guard fails before the arm
    has answered ``judgeAfter`` requests. The first ``warmupRequests`` answers of the arm may all be slow: they are left
    out of that guard, and errors count from the first answer on.
    """

    alpha: OpenShare = 0.05
    errors: Harm | None = Harm()
    slow: Harm | None = Harm(minimum_difference=0.01)
    maximum_error_rate: OpenShare | None = None
    judge_after: Annotated[int, Field(ge=1)] = 20
    warmup_requests: Annotated[int, Field(ge=0)] = 0

    def can_fail(self) -> bool:
        """Tell whether any guard is on that could ever fail."""
        return any(guard is not None for guard in (self.errors, self.slow, self.maximum_error_rate))


class Guards(RateGuards):
    """All guards: those on counts, and those on scores and on labels that have arrived."""

    scores: ScoreGuard | None = ScoreGuard()
    outcome: OutcomeGuard | None = OutcomeGuard()

    def can_fail(self) -> bool:
        """Tell whether any guard is on that could ever fail."""
        shift = self.scores.maximum_shift if self.scores is not None else None
        return shift is not None or self.outcome is not None or super().can_fail()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one guard found: the p-value of harm, and how to write it down.

    ``check`` takes what Holm's procedure said, whether harm is shown and at which level, and returns the check; None
    where the rollout has not come to what the guard is about.
    """

    p_value: float
    check: Callable[[bool, float], Check | None]


def guard_checks(
    guards: RateGuards,
    steps: Sequence[StepData],
    arm: str,
    *,
    enough: bool,
    control: str = "stable",
    alpha: float | None = None,
    beside: bool = True,
    alone: bool = False,
    more: Sequence[Finding] = (),
    void: str = "",
) -> tuple[Check, ...]:
    """Compare one arm on trial with the control over all steps so far, and return a check per guard.

    Parameters
    ----------
    guards : RateGuards
        ``Guards`` for those on scores and outcome too.
    steps : sequence of StepData
        The traffic of every step so far.
    arm, control : str
        The arm on trial and the one it is compared with.
    enough : bool
        Whether the running step has seen what it must; before that nothing seen is ``inconclusive``, not ``pass``.
    alpha : float, optional
        Replaces that of the guards: with k arms on trial pass their alpha divided by k.
    beside, alone : bool
        Whether the plan has steps in which the arm answers beside the control, and steps in which it answers alone,
        so that it is held against what the control did before. Both must stay the same during a rollout: they say how
        many guards share alpha.
    more : sequence of Finding
        What a strategy's own guards found; they share alpha too.
    void : str
        Why labels cannot be compared, "" when they can.
    """
    level = guards.alpha if alpha is None else alpha
    findings: list[Finding] = []
    for name, harm in (("errors", guards.errors), ("slow", guards.slow)):
        if harm is None:
            continue
        forgiven = guards.warmup_requests if name == "slow" else 0
        counts = _counts(name, steps, arm, control, forgiven)
        if beside:
            gathered = spread(name, steps, arm, control, forgiven)
            findings.append(_concurrent(name, harm, counts, gathered, arm, control, enough))
        if alone:
            findings.append(_alone(name, harm, steps, counts, arm, control, enough))
    if guards.maximum_error_rate is not None:
        findings.append(_error_rate(guards.maximum_error_rate, steps, arm, enough))
    if beside and isinstance(guards, Guards):
        if guards.scores is not None and guards.scores.maximum_shift is not None:
            findings.append(_score_shift(guards.scores.maximum_shift, steps, arm, control))
        if guards.outcome is not None:
            findings.append(_outcome(guards.outcome, steps, arm, control, level) if not void else _voided(void, arm))
    findings += more
    few = sum(data.arm(arm).requests for data in steps) < guards.judge_after
    held = holm([1.0 if few else finding.p_value for finding in findings], level)
    written = (finding.check(said.rejected, said.level) for finding, said in zip(findings, held, strict=True))
    checks = [check for check in written if check is not None]
    if beside and isinstance(guards, Guards) and guards.scores is not None and guards.scores.maximum_shift is None:
        checks.append(_score_report(steps, arm, control, level))
    return tuple(checks)


def failures(checks: Sequence[Check]) -> str:
    """Return why checks failed, "" when none did."""
    return "; ".join(check.reason for check in checks if check.verdict == "fail")


def minutes_in_step(progress: Progress) -> float:
    """Return how long the running step has lasted; a clock that was set back makes it 0, never less."""
    return max(0.0, (progress.now - progress.step_started).total_seconds() / 60)


def require_guards(guards: RateGuards) -> None:
    """Raise ValueError where every guard is off; for strategies that decide by guards alone."""
    if not guards.can_fail():
        raise ValueError("every guard is off, so that nothing would be judged; leave errors or slow on")


def require_deadline(deadline: float | None, least: float, name: str) -> None:
    """Raise ValueError for a deadline that passes before the step may end; ``name`` is the least time's parameter."""
    if deadline is not None and deadline <= least:
        raise ValueError(f"deadlineMinutes {deadline:g} must be above {name} {least:g}, or the step can only run out")


def unlogged(model: Served) -> tuple[Objection, ...]:
    """Return the objection to comparing the answers of a model whose predictions are not logged."""
    if model.serving.log != "off":
        return ()
    message = "predictions of this model are not logged (serving.log: off), so a rollout would never see an answer"
    return (Objection("", message, "set serving.log to buffered or acknowledged"),)


def _word(shown: bool, enough: bool) -> VerdictWord:
    return "fail" if shown else "pass" if enough else "inconclusive"


@dataclass(frozen=True, slots=True)
class _Counts:
    """Events and requests of the arm and of the control in one step, and the weights they were to have."""

    weight: float
    control_weight: float
    events: int
    requests: int
    control_events: int
    control_requests: int


def _counts(name: str, steps: Sequence[StepData], arm: str, control: str, forgiven: int) -> list[_Counts]:
    """Count errors or slow answers by step, without the first ``forgiven`` ones, which the warm-up may have made."""
    found = []
    for data in steps:
        of_arm, of_control = data.arm(arm), data.arm(control)
        requests = max(0, of_arm.requests - forgiven)
        events = min(requests, max(0, int(getattr(of_arm, name)) - forgiven))
        forgiven = max(0, forgiven - of_arm.requests)
        weights = data.weight(arm), data.weight(control)
        found.append(_Counts(*weights, events, requests, int(getattr(of_control, name)), of_control.requests))
    return found


def _totals(arm: str, control: str, of_arm: Sequence[_Counts], of_control: Sequence[_Counts]) -> dict[str, int]:
    return {
        f"{arm}Events": sum(one.events for one in of_arm),
        f"{arm}Requests": sum(one.requests for one in of_arm),
        f"{control}Events": sum(one.control_events for one in of_control),
        f"{control}Requests": sum(one.control_requests for one in of_control),
    }


def _share_of_events(one: _Counts, ratio: float, *, against: bool) -> float:
    """Return the arm's share of the events when its rate is ``ratio`` times the control's.

    Of the intended and the observed share of the requests the larger one counts, so that a few busy entities on the
    arm's side are not held against it; ``against`` it the smaller one.
    """
    intended = one.weight / (one.weight + one.control_weight)
    observed = one.requests / (one.requests + one.control_requests)
    return share_at_ratio(min(intended, observed) if against else max(intended, observed), ratio)


def _concurrent(
    name: str, harm: Harm, counts: Sequence[_Counts], gathered: Spread, arm: str, control: str, enough: bool
) -> Finding:
    """Test whether the arm's rate of an event is above ``maximumRatio`` times the control's beside it.

    The e-values of the steps multiply: each continues the supermartingale of the ones before. Events that gather are
    counted as so many independent ones as they are worth.
    """
    used = [one for one in counts if min(one.weight, one.control_weight, one.requests, one.control_requests) > 0]

    def evidence(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)
        shares = ((one, _share_of_events(one, ratio, against=False)) for one in used)
        return sum(log_share_evalue(one.events / worth, one.control_events / worth, share) for one, share in shares)

    worth = gathered.total
    log_evalue = evidence(math.log(harm.maximum_ratio))
    totals = _totals(arm, control, used, used)

    def check(rejected: bool, level: float) -> Check:
        if not used:
            reason = f"{name}: the arms have no concurrent requests"
            return Check(name, "no-data", reason, None, 1 / level, level, totals, arm)
        rate, beside = _rate(totals, arm), _rate(totals, control)
        harmful = rejected and rate - beside >= harm.minimum_difference
        lower = math.exp(bisect(lambda at: evidence(at) + math.log(level), 0.0, 12.0)) if harmful else None
        reason = f"{name}: {arm} {rate:.2%} of {totals[f'{arm}Requests']}, {control} {beside:.2%}"
        reason += f" of {totals[f'{control}Requests']} requests"
        reason += f", at least {lower:.3g} times as many" if lower is not None else ""
        word = _word(harmful, enough)
        reason += str(gathered)
        if not harmful and harm.required_ratio is not None:
            proved = _proved(used, harm.required_ratio, worth) >= -math.log(level)
            word = "pass" if proved and enough else "inconclusive"
            reason += f", {'' if proved else 'not '}shown to be below {harm.required_ratio:g} times as many"
        return Check(
            name, word, reason, evalue(log_evalue), 1 / level, level, totals, arm, lower, None, p_value(log_evalue)
        )

    return Finding(p_value(log_evalue), check)


def _rate(totals: Mapping[str, int], arm: str) -> float:
    return totals[f"{arm}Events"] / max(1, totals[f"{arm}Requests"])


def _proved(used: Sequence[_Counts], ratio: float, worth: float) -> float:
    """Return the log e-value against a rate of at least ``ratio`` times the control's."""
    shares = ((one, 1 - _share_of_events(one, ratio, against=True)) for one in used)
    return sum(log_share_evalue(one.control_events / worth, one.events / worth, share) for one, share in shares)


def _alone(
    name: str, harm: Harm, steps: Sequence[StepData], counts: Sequence[_Counts], arm: str, control: str, enough: bool
) -> Finding:
    """Test the arm's rate where it has all the traffic and nothing runs beside it, against the control's before.

    The limit is ``maximumRatio`` times the control's rate plus ``minimumDifference``, as the past is no control: a
    change over time counts as the arm's, less what the past and the present themselves vary by from hour to hour.
    """
    label = f"{name}-at-full-weight"
    alone = [one for one in counts if one.weight > 0 and one.control_weight == 0]
    before = [one for one in counts if one.control_weight > 0]
    present = [data for data in steps if data.weight(arm) > 0 and data.weight(control) == 0]
    of_now = spread_of(name, present, arm)
    of_past = spread_of(name, [data for data in steps if data.weight(control) > 0], control)
    gathered = of_now if of_now.total >= of_past.total else of_past
    totals = _totals(arm, control, alone, before)
    requests, of_control = totals[f"{arm}Requests"], totals[f"{control}Requests"]
    if not requests or not of_control:
        missing = f"{label}: there is nothing to compare"
        return Finding(
            1.0,
            lambda _, level: Check(label, "no-data", missing, None, 1 / level, level, totals, arm) if alone else None,
        )
    events, past = totals[f"{arm}Events"], min(totals[f"{control}Events"], of_control)
    counted = [one / gathered.total for one in (events, requests - events, past, of_control - past)]
    log_evalue = log_rise_evalue(
        (counted[0], counted[1]), (counted[2], counted[3]), harm.maximum_ratio, harm.minimum_difference
    )

    def check(rejected: bool, level: float) -> Check:
        reason = f"{label}: {arm} {events / requests:.2%} of {requests}"
        reason += f", {control} {past / of_control:.2%} of {of_control} requests before{gathered}"
        word = _word(rejected, enough)
        return Check(
            label, word, reason, evalue(log_evalue), 1 / level, level, totals, arm, None, None, p_value(log_evalue)
        )

    return Finding(p_value(log_evalue), check)


def _error_rate(limit: float, steps: Sequence[StepData], arm: str, enough: bool) -> Finding:
    """Test whether the arm's error rate is above an absolute limit; the same e-value with the limit as share."""
    name = "error-rate"
    requests = sum(data.arm(arm).requests for data in steps)
    errors = sum(data.arm(arm).errors for data in steps)
    counts = {f"{arm}Events": errors, f"{arm}Requests": requests}
    gathered = spread_of("errors", steps, arm)
    log_evalue = log_share_evalue(errors / gathered.total, (requests - errors) / gathered.total, limit)

    def check(rejected: bool, level: float) -> Check:
        if not requests:
            return Check(name, "no-data", f"{name}: no requests yet", None, 1 / level, level, counts, arm)
        reason = (
            f"{name}: {errors} errors in {requests} requests ({errors / requests:.2%}), limit {limit:.2%}{gathered}"
        )
        word = _word(rejected, enough)
        return Check(
            name, word, reason, evalue(log_evalue), 1 / level, level, counts, arm, None, None, p_value(log_evalue)
        )

    return Finding(p_value(log_evalue), check)


def _concurrent_scores(steps: Sequence[StepData], arm: str, control: str) -> list[tuple[float, int, int]]:
    """Return the distance of the arms' score distributions and the numbers of scores, per step that has both."""
    found = []
    for data in steps:
        of_arm, of_control = (_finite(data.arm(name).scores) for name in (arm, control))
        if min(data.weight(arm), data.weight(control), len(of_arm), len(of_control)) > 0:
            found.append((distribution_distance(of_arm, of_control), len(of_arm), len(of_control)))
    return found


def _finite(values: Array) -> Array:
    kept = np.isfinite(values)
    return values if kept.all() else values[kept]


def _score_check(
    used: Sequence[tuple[float, int, int]], limit: float | None, rejected: bool, level: float, arm: str, control: str
) -> Check:
    """Bound the largest distance within a step; each step has its part of the level."""
    if not used:
        return Check("scores", "no-data", "scores: the arms have no concurrent scores", arm=arm)
    lower, upper = 0.0, 0.0
    for place, (distance, n, m) in enumerate(used):
        part = level * part_of_alpha(place) / 2
        radius = distribution_radius(n, part) + distribution_radius(m, part)
        lower, upper = max(lower, distance - radius), max(upper, min(1.0, distance + radius))
    largest = max(distance for distance, _, _ in used)
    counts = {arm: sum(n for _, n, _ in used), control: sum(m for _, _, m in used)}
    reason = f"scores: distributions are {largest:.3f} apart, between {lower:.3f} and {upper:.3f}"
    if limit is None:
        reason += "; no maximumShift is set"
        return Check("scores", "inconclusive", reason, largest, None, level, counts, arm, lower, upper)
    word: VerdictWord = "fail" if rejected else "pass" if upper <= limit else "inconclusive"
    p = _score_p_value(used, limit)
    return Check("scores", word, f"{reason}, limit {limit:g}", largest, limit, level, counts, arm, lower, upper, p)


def _score_p_value(used: Sequence[tuple[float, int, int]], limit: float) -> float:
    parts = (distribution_p_value(*one, limit) / part_of_alpha(place) for place, one in enumerate(used))
    return min(1.0, min(parts, default=1.0))


def _score_shift(limit: float, steps: Sequence[StepData], arm: str, control: str) -> Finding:
    used = _concurrent_scores(steps, arm, control)
    return Finding(_score_p_value(used, limit), partial(_score_check, used, limit, arm=arm, control=control))


def _score_report(steps: Sequence[StepData], arm: str, control: str, level: float) -> Check:
    return _score_check(_concurrent_scores(steps, arm, control), None, False, level, arm, control)


def _voided(why: str, arm: str) -> Finding:
    return Finding(1.0, lambda _, level: Check("outcome", "no-data", f"outcome: {why}", None, None, level, arm=arm))


def _outcome(outcome: OutcomeGuard, steps: Sequence[StepData], arm: str, control: str, alpha: float) -> Finding:
    """Bound the arm's loss - (1 + relative margin) * the control's loss with a confidence sequence."""
    ratio, limit = 1 + outcome.relative_margin, outcome.margin
    concurrent = [item for item in steps if min(item.weight(arm), item.weight(control)) > 0]
    known = [tuple(entity_means(one.losses, one.units) for one in map(item.arm, (arm, control))) for item in concurrent]
    pairs = [(of_arm[0], of_control[0]) for of_arm, of_control in known]
    units = [(of_arm[1], of_control[1]) for of_arm, of_control in known]
    counts = {
        f"{arm}Labels": sum(len(of_arm) for of_arm, _ in pairs),
        f"{control}Labels": sum(len(of_control) for _, of_control in pairs),
    }
    labels = f"{counts[f'{arm}Labels']} labels of the {arm} and {counts[f'{control}Labels']} of {control}"
    found = mean_contrast(pairs, ratio, alpha, units=units)
    if found is None:
        missing = f"outcome: {labels} are too few"
        return Finding(1.0, lambda _, level: Check("outcome", "no-data", missing, None, limit, level, counts, arm))
    few = min(counts.values()) < outcome.minimum_labels
    p = 1.0 if few else p_value(found.log_evalue(limit))

    def check(rejected: bool, level: float) -> Check:
        at = found.at(level)
        passed = at.upper <= limit and not few
        word: VerdictWord = "fail" if rejected else "pass" if passed else "inconclusive"
        reason = f"outcome: loss beyond {ratio:g} times that of {control} is {at.difference:.4g}"
        reason += f" [{at.lower:.4g}, {at.upper:.4g}], limit {limit:g}"
        reason += f", and {labels} are too few" if few else ""
        return Check("outcome", word, reason, at.difference, limit, level, counts, arm, at.lower, at.upper, p)

    return Finding(p, check)
