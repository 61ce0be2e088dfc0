"""From a measured interval and a limit to a verdict, and from several findings to the one that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from modelops.gates import Verdict
from modelops.spec.meta import VerdictWord

_WORST_FIRST: tuple[VerdictWord, ...] = ("fail", "no-data", "inconclusive", "pass")


def no_data(reason: str, n: int | None = None) -> Verdict:
    """Return the verdict of something that could not be measured."""
    return Verdict("no-data", reason, n=n)


def at_least(what: str, value: float, lower: float, upper: float, limit: float, n: int) -> Verdict:
    """Judge a quantity that must reach ``limit``: its lower bound decides yes, its upper bound no."""
    word: VerdictWord = "pass" if lower >= limit else "fail" if upper < limit else "inconclusive"
    return Verdict(
        word, _sentence(what, value, lower, upper, "at least", limit, n, word), value, lower, upper, limit, n
    )


def at_most(what: str, value: float, lower: float, upper: float, limit: float, n: int) -> Verdict:
    """Judge a quantity that must not exceed ``limit``: its upper bound decides yes, its lower bound no."""
    word: VerdictWord = "pass" if upper <= limit else "fail" if lower > limit else "inconclusive"
    return Verdict(word, _sentence(what, value, lower, upper, "at most", limit, n, word), value, lower, upper, limit, n)


def weighed(found: Verdict, column: str | None, worth: int | None) -> Verdict:
    """Say of a verdict on weighted rows what weighs them, and how many they are worth."""
    if worth is None:
        return found
    return replace(found, reason=f"{found.reason}; weighted by {column}, worth {worth} rows")


def _sentence(
    what: str, value: float, lower: float, upper: float, side: str, limit: float, n: int, word: VerdictWord
) -> str:
    answer = {"pass": "is", "fail": "is not", "inconclusive": "is not shown to be"}.get(word, word)
    return f"{what} {value:.4g} [{lower:.4g}, {upper:.4g}] {answer} {side} {limit:.4g} (n {n})"


def worst(findings: Sequence[Verdict]) -> Verdict:
    """Return the worst finding, its reason joined with the reasons of the others that are as bad."""
    first = min(findings, key=lambda finding: _WORST_FIRST.index(finding.verdict))
    if first.verdict == "pass":
        return first
    reasons = [finding.reason for finding in findings if finding.verdict == first.verdict]
    more = f"; and {len(reasons) - 5} more" if len(reasons) > 5 else ""
    return replace(first, reason="; ".join(reasons[:5]) + more)
