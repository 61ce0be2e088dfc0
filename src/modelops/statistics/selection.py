"""Whether the answers whose truth has come stand for all answers: labels that depend on what was answered do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import scipy

from modelops.statistics.sequential import log_split_evalue

__all__ = ["ALIKE", "FOUND", "Selected", "label_shares", "positives_expected_in", "reviews_needed"]

_MOST_REVIEWS = 100_000_000
_SURELY = 0.95

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


FOUND = 10
"""Fewer positives than these among reviewed answers tell nothing of what was missed."""


def reviews_needed(base_rate: float, expected: float, limit: float, power: float, level: float) -> int | None:
    r"""Return how many answers, drawn by chance, have to be reviewed to prove that recall is above a limit.

    Of all answers a share :math:`t = b r` is positive and found, where :math:`b` is the base rate and :math:`r` the
    expected recall; recall is above :math:`c` where the share of missed ones is below :math:`t (1 - c) / c`. The
    number of missed ones among n reviewed answers is binomial, and the claim is proven where the upper end of Clopper
    and Pearson's interval lies below that. Besides, ten positives have to be among them with 95 % certainty.

    Parameters
    ----------
    base_rate : float
        Share of positives among all answers, in (0, 1).
    expected : float
        What recall really is, in (0, 1), above ``limit``.
    limit : float
        What recall is claimed to be at least, in (0, 1).
    power : float
        Chance that the claim is proven, in (0, 1). It goes up and down with n; it is reached by the returned number and
        by twice that, and seldom missed by a little in between.
    level : float
        Level of the two-sided interval, in (0, 1).

    Returns
    -------
    int or None
        None where a hundred million would not be enough.

    References
    ----------
    C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 26 (1934).

    Examples
    --------
    >>> reviews_needed(0.01, 0.8, 0.6, 0.8, 0.95)
    2952
    >>> [positives_expected_in(rate) for rate in (0.002, 0.01, 0.05)]
    [7850, 1568, 311]
    """
    missed = base_rate * (1 - expected)
    allowed = base_rate * expected * (1 - limit) / limit
    enough = positives_expected_in(base_rate)

    def proves(n: int) -> bool:
        # The most missed ones with which the upper end still lies below what is allowed.
        most = int(scipy.stats.binom.ppf((1 - level) / 2, n, allowed)) - 1
        return most >= 0 and float(scipy.stats.binom.cdf(most, n, missed)) >= power

    high = 1
    while not (proves(high) and proves(2 * high)):
        high *= 2
        if high > _MOST_REVIEWS:
            return None
    low = high // 2
    while high - low > max(1, low // 2000):
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) and proves(2 * middle) else (middle, high)
    return max(high, enough)


def positives_expected_in(rate: float, fewest: int = FOUND) -> int:
    """Return how many answers have so many positives among them with 95 % certainty.

    Parameters
    ----------
    rate : float
        Share of positives, in (0, 1).
    fewest : int
        How many positives are wanted, at least 1.

    Returns
    -------
    int
        The least number of answers, by the binomial distribution.

    References
    ----------
    W. Feller, "An introduction to probability theory and its applications", volume 1 (1968), chapter VI.

    Examples
    --------
    >>> positives_expected_in(0.01), positives_expected_in(0.01, 1)
    (1568, 299)
    """
    low, high = fewest - 1, fewest
    while scipy.stats.binom.sf(fewest - 1, high, rate) < _SURELY:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if scipy.stats.binom.sf(fewest - 1, middle, rate) >= _SURELY else (middle, high)
    return high
