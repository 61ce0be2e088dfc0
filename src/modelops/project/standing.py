"""Which files of a commit do not count as they are there, as nobody approved them, and what stands in their place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from modelops.errors import Exit, Problem

__all__ = ["AS_IT_IS", "NOT_JUDGED", "UNAPPROVED", "Standing", "exit_of"]

UNAPPROVED = frozenset({"no-pull-request", "approval-missing", "merge-altered", "loop-overstepped"})
"""The rules that a change of the branch can break."""
NOT_JUDGED = "not-judged-yet"


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a commit does not count: by path the blob that stands instead, None for a file that was not there.

    ``problems`` say why, a bounded number of them for each model, environment or policy, at the path of one of its
    files. What ``unapproved`` commits did to the trust policy does not count, whatever came of it since.
    """

    blobs: Mapping[str, str | None] = field(default_factory=dict)
    problems: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    unapproved: frozenset[str] = frozenset()


AS_IT_IS = Standing()
"""Everything counts."""


def exit_of(problems: Collection[Problem]) -> Exit:
    """Return what ends a verb that some problems stop: a wrong file weighs more than one that nobody approved."""
    codes = {problem.code for problem in problems}
    if codes - UNAPPROVED - {NOT_JUDGED}:
        return Exit.FILES
    return Exit.WORLD if NOT_JUDGED in codes else Exit.NO
