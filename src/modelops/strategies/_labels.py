"""Whether the labels that have arrived can be compared: they may not depend on the arm, nor on what was answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelops.spec.meta import VerdictWord
from modelops.statistics.selection import ALIKE, Selected, label_shares
from modelops.statistics.sequential import evalue, log_split_evalue, p_value
from modelops.strategies import ArmData, Check, StepData

__all__ = ["VOID", "label_checks", "void"]

VOID = 0.001
"""A split this improbable voids what is compared."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One comparison of label shares: the e-value, the two shares as they are said, and the counts."""

    log_evalue: float
    said: str
    apart: bool


def label_checks(steps: Sequence[StepData], arm: str, control: str = "stable") -> tuple[Check, ...]:
    """Return whether labels came to both arms alike, and whether they came to all answers alike.

    An error of ``VOID`` each, at any look. A difference of less than a tenth is let pass: it moves no loss by more.
    """
    beside = [data for data in steps if min(data.weight(arm), data.weight(control)) > 0]
    shares = [found for data in beside if (found := _by_arm(data, arm, control)) is not None]
    answers = [found for data in beside for name in (arm, control) for found in _by_answer(data.arm(name), name)]
    checks = (
        _check("label-share", "labels come to the arms alike", shares, arm),
        _check("label-selection", "labels come to all answers alike", answers, arm),
    )
    return tuple(check for check in checks if check is not None)


def void(checks: Sequence[Check]) -> str:
    """Return why labels cannot be compared, "" when they can."""
    said = [check.reason for check in checks if check.verdict == "fail"]
    return f"void: {'; '.join(said)}" if said else ""


def _by_arm(data: StepData, arm: str, control: str) -> _Found | None:
    """Compare for how many of its entities each arm has a label."""
    asked, labelled = zip(*(_entities(data.arm(name)) for name in (arm, control)), strict=True)
    if min(asked) == 0 or sum(labelled) == 0:
        return None
    shares = [min(1.0, known / of) for known, of in zip(labelled, asked, strict=True)]
    said = f"{arm} has labels for {shares[0]:.1%} of {asked[0]}, {control} for {shares[1]:.1%} of {asked[1]}"
    return _Found(log_split_evalue(labelled, asked), said, min(shares) < ALIKE * max(shares))


def _entities(arm: ArmData) -> tuple[int, int]:
    """Return of how many entities an arm has answers, and of how many a label."""
    if not len(arm.units) or arm.entities in (0, arm.requests):
        return max(len(arm.losses), arm.requests - arm.errors), len(arm.losses)
    known = len(np.unique(arm.units))
    return max(known, arm.entities), known


def _by_answer(arm: ArmData, name: str) -> list[_Found]:
    """Compare for each label that was answered the share of its answers whose truth came with that of the others."""
    answered = sum(said for said, _ in arm.by_answer.values())
    # The answers to one entity count as one, as if all of them were alike.
    worth = max(1.0, answered / arm.entities) if arm.entities else 1.0
    return [_Found(one.log_evalue, _said(one, name), one.apart) for one in label_shares(arm.by_answer, worth)]


def _said(one: Selected, name: str) -> str:
    text = f"of the answers {one.label!r} of {name} {one.share:.1%} of {one.answers} have a label"
    return f"{text}, of the others {one.others_share:.1%} of {one.others}"


def _check(name: str, said: str, found: Sequence[_Found], arm: str) -> Check | None:
    """Return the check of the comparison that speaks loudest against it; the number of comparisons is allowed for."""
    if not found:
        return None
    worst = max(found, key=lambda one: (one.apart, one.log_evalue))
    limit = len(found) / VOID
    shown = worst.apart and worst.log_evalue >= math.log(limit)
    word: VerdictWord = "fail" if shown else "pass"
    p = min(1.0, len(found) * p_value(worst.log_evalue))
    reason = f"{name}: {worst.said} (p = {p:.2g} at any look, limit {VOID:g})"
    reason += ", so that losses and outcomes are not comparable" if shown else f": {said}"
    return Check(name, word, reason, evalue(worst.log_evalue), limit, VOID, None, arm, p_value=p)
