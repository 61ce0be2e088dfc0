"""Whether the answers whose truth has come stand for all answers: labels that depend on what was answered do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from modelops.statistics.sequential import log_split_evalue

__all__ = ["ALIKE", "Selected", "label_shares"]

ALIKE = 0.9
"""Shares of labels whose ratio is above this are alike, however surely they differ."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What share of the answers ``label``, and of all others, has a truth.

    The e-value is in nats; ``apart`` says that the shares differ by more than a tenth, as observed.
    """

    label: str
    answers: int
    others: int
    share: float
    others_share: float
    log_evalue: float
    apart: bool


def label_shares(by_answer: Mapping[str, tuple[int, int]], worth: float = 1.0) -> tuple[Selected, ...]:
    """Return for each answered label how much speaks against "truths come to it as they come to the others".

    Under that hypothesis the answers with a truth are split as all answers are, whatever share of them has one.

    Parameters
    ----------
    by_answer : mapping
        By label: the answers, and those of them whose truth has come.
    worth : float
        How many answers count as one, at least 1: those to one entity hang together.

    Returns
    -------
    tuple of Selected
        Nothing while no truth has come, or all answers are the same. E-values are divided by the number of labels.

    References
    ----------
    R. J. A. Little, "A test of missing completely at random for multivariate data with missing values", JASA 83 (1988),
    for what is tested; as for ``log_split_evalue`` for how.

    Examples
    --------
    >>> for one in label_shares({"0": (900, 9), "1": (100, 80)}):
    ...     print(one.label, round(one.share, 2), round(one.others_share, 2), one.apart, one.log_evalue > 80)
    0 0.01 0.8 True True
    1 0.8 0.01 True True
    >>> [one.log_evalue < 0 for one in label_shares({"0": (900, 90), "1": (100, 10)})]
    [True, True]
    """
    answers, known = (sum(counts[place] for counts in by_answer.values()) for place in (0, 1))
    found = []
    for label, (said, told) in sorted(by_answer.items()):
        others, others_known = answers - said, known - told
        if not known or min(said, others) == 0:
            continue
        log_evalue = log_split_evalue([told / worth, others_known / worth], [said, others])
        shares = told / said, others_known / others
        apart = min(shares) < ALIKE * max(shares)
        found.append(Selected(label, said, others, *shares, log_evalue - math.log(len(by_answer)), apart))
    return tuple(found)
