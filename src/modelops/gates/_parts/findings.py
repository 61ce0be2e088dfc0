"""From a measured interval and a limit to a verdict, and from several findings to the one that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from modelops.gates import Verdict
from modelops.spec.meta import VerdictWord
from modelops.statistics.parts.worst import Part, largest, smallest

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


def none_above(what: str, parts: Sequence[Part], limit: float, n: int) -> Verdict:
    """Judge several quantities none of which may exceed ``limit``, by honest bounds of the largest one."""
    found = largest(parts)
    return _named(at_most(what, found.part.value, found.lower, found.upper, limit, n), parts, found.part, limit)


def none_below(what: str, parts: Sequence[Part], limit: float, n: int) -> Verdict:
    """Judge several quantities each of which must reach ``limit``, by honest bounds of the smallest one."""
    found = smallest(parts)
    return _named(at_least(what, found.part.value, found.lower, found.upper, limit, n), parts, found.part, limit)


def _named(found: Verdict, parts: Sequence[Part], worst: Part, limit: float) -> Verdict:
    """Say which part is the worst, of how many, and which others are shown to be beyond the limit."""
    side = worst.value > limit
    beyond = [one.name for one in parts if (one.shared[0] > limit if side else one.shared[1] < limit)]
    others = [name for name in beyond if name != worst.name] if found.verdict == "fail" else []
    more = f", and {len(others) - 5} more" if len(others) > 5 else ""
    also = f"; also {', '.join(others[:5])}{more}" if others else ""
    return replace(found, reason=f"{found.reason}: the worst of {len(parts)} is {worst.name}{also}")


def bounds_of(one: Part) -> dict[str, object]:
    """Return the numbers of a part as the details of a verdict have them."""
    return {
        "n": one.n,
        "value": one.value,
        "lower": one.own[0],
        "upper": one.own[1],
        "sharedLower": one.shared[0],
        "sharedUpper": one.shared[1],
    }


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
