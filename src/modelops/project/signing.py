"""Signing: with the key that is trusted for it now, at a time that does not run backwards along the branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from modelops.clock import VARIABLE, format_instant, is_given, parse_instant
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.evidence import ROLLOUT_OUTCOME, Signer, Statement
from modelops.project.settings import Settings
from modelops.project.state import key_in
from modelops.project.trust import TrustChain
from modelops.repository.dates import SKEW
from modelops.spec.kinds import Resource
from modelops.spec.kinds.project import SigningKey
from modelops.spec.kinds.promotion import PromotionSpec
from modelops.spec.kinds.trust_policy import Purpose
from modelops.spec.layout import MODELS, TRUST, is_evidence

__all__ = ["load_signer", "mistimed", "require_clock", "require_time"]


def load_signer(settings: Settings, state: Path, environ: Mapping[str, str], purpose: Purpose | None = None) -> Signer:
    """Return the key that the project names; one that signs by a clock that was given is marked."""
    signing = settings.spec.signing
    chosen = signing.of(purpose) if purpose else SigningKey(key=signing.key, variable=signing.variable)
    signer = Signer.load(key_in(state, chosen.key), environ.get(chosen.variable) if chosen.variable else None)
    return replace(signer, clock_given=is_given(environ))


def require_clock(settings: Settings, environ: Mapping[str, str], chain: TrustChain | None) -> None:
    """Refuse to sign by a clock that was given, but in a repository that says itself that it is one for tests.

    In one whose trust policy asks for no signatures, as 0.1.0 wrote it, what is signed by such a clock is marked.
    """
    if is_given(environ) and not settings.spec.signing.simulated_clock and (chain is None or chain.policy.threshold):
        raise failure(
            "clock-given",
            f"{VARIABLE} says what time it is, and a signature says when it was made: nothing is signed",
            exit=Exit.NO,
            location=settings.where("spec.signing"),
            hint=f"unset {VARIABLE}; only a repository for tests says `signing: {{simulatedClock: true}}`",
        )


def require_time(chain: TrustChain, now: datetime) -> None:
    """Refuse to sign at a time before that of the tip, or of the newest evidence that the branch has."""
    wrong = chain.wrong_dates
    line = chain.repository.line(chain.tip, MODELS)
    told = [
        (one.time, one.commit, "evidence")
        for path in line.files
        if is_evidence(path)
        for one in line.versions(path)[:1]
    ]
    tip, dated = line.dates[line.top]
    newest = max((one for one in [*told, (dated, tip, "its tip")] if one[1] not in wrong), default=None)
    if newest is not None and newest[0] > now + SKEW:
        raise _behind(*newest, now)


def mistimed(
    chain: TrustChain,
    record: Resource[PromotionSpec],
    statements: Sequence[Statement],
    commit: str | None,
    now: datetime | None = None,
) -> Problem | None:
    """Return what is wrong with the time of a record that a commit of the line brought.

    It cannot be before the commit that it builds on, nor after the one that brought it; where ``now`` is given, not of
    the future either. What came in before the trust policy asked for signatures is taken at its word, and so is what
    came with a date that is called wrong.
    """
    place = chain.line.places.get(commit or "")
    if place is None or not chain.strict_at(place) or commit in chain.wrong_dates:
        return None
    said = parse_instant(record.spec.promoted_at)
    told = f"the record {record.name} says {record.spec.promoted_at}"
    hint = f"if the date of {str(commit)[:12]} is wrong, name it in {TRUST.path()} under spec.wrongDates"
    if now is not None and said > now + SKEW:
        return _at(record, "from-the-future", f"{told}, and it is {format_instant(now)} now", hint)
    before, after = chain.dates.of(max(place - 1, 0)), chain.line.dates[place][1]
    if said < before - SKEW:
        what = f"{told}, and the commit that it builds on is of {format_instant(before)}"
        return _at(record, "time-runs-backwards", what, hint)
    if said > after + SKEW:
        what = f"{told}, and the commit that brought it is of {format_instant(after)}"
        return _at(record, "time-runs-backwards", what, hint)
    return next((wrong for one in statements if (wrong := _early_or_late(record, one, said, now)) is not None), None)


def _early_or_late(
    record: Resource[PromotionSpec], end: Statement, said: datetime, now: datetime | None
) -> Problem | None:
    """Return what is wrong with the time of the end of a rollout: before its record, or in the future."""
    if end.predicate_type != ROLLOUT_OUTCOME:
        return None
    told = f"a rollout of {record.name} is signed to be {end.predicate.get('outcome')} at {end.predicate.get('at')}"
    at = parse_instant(str(end.predicate.get("at")))
    if now is not None and at > now + SKEW:
        return _at(record, "from-the-future", f"{told}, and it is {format_instant(now)} now")
    if at < said - SKEW:
        return _at(record, "time-runs-backwards", f"{told}, before it was promoted at {record.spec.promoted_at}")
    return None


def _at(record: Resource[PromotionSpec], code: str, message: str, hint: str | None = None) -> Problem:
    return Problem(code, message, record.where("spec.promotedAt"), "spec.promotedAt", hint)


def _behind(time: datetime, commit: str, what: str, now: datetime) -> ModelOpsError:
    brought = "the branch ends with" if what == "its tip" else "the branch has signed evidence of"
    return failure(
        "clock-behind",
        f"it is {format_instant(now)} here, and {brought} {commit[:12]} of {format_instant(time)}: what is signed now "
        "would be dated before what it builds on",
        exit=Exit.WORLD,
        hint=f"set the clock of this machine; if the date of {commit[:12]} is wrong, name it in {TRUST.path()} under "
        "spec.wrongDates",
        retryable=True,
    )
