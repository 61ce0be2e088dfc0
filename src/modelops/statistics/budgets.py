"""Error budgets: how much of what may be missed was missed, and how fast it goes.

An objective is the least share of events that have to be good. What may be bad over a period is its budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modelops.statistics import Array

__all__ = ["HOURS", "PAIRS", "Counted", "Pair", "Severity", "burn_rate", "burning", "counted", "factor", "spent"]

Severity = Literal["page", "ticket"]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Pair:
    """A long and a short window in hours, and the share of the budget that the long one may use at most."""

    long: float
    short: float
    share: float


PAIRS: Mapping[Severity, tuple[Pair, Pair]] = {
    "page": (Pair(1, 1 / 12, 0.02), Pair(6, 0.5, 0.05)),
    "ticket": (Pair(24, 2, 0.1), Pair(72, 6, 0.1)),
}
"""By severity, the quick pair first: those of Google's site reliability workbook, chapter 5."""
HOURS: Mapping[float, str] = {1 / 12: "5m", 0.5: "30m", 1: "1h", 2: "2h", 6: "6h", 24: "1d", 72: "3d"}
"""Every window, and how Prometheus spells it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Bad events out of all of a window."""

    bad: float
    all: float


def factor(pair: Pair, period_hours: float) -> float:
    """Return the burn rate above which a pair alerts: that at which its long window uses its share of the budget.

    Parameters
    ----------
    pair : Pair
        The windows, and the share of the budget that the long one may use.
    period_hours : float
        The period of the objective, in hours.

    Returns
    -------
    float
        In units of the rate that spends the budget exactly in its period.

    References
    ----------
    B. Beyer et al., "The Site Reliability Workbook" (2018), chapter 5.

    Examples
    --------
    >>> [round(factor(pair, 30 * 24), 3) for pairs in PAIRS.values() for pair in pairs]
    [14.4, 6.0, 3.0, 1.0]
    >>> [round(factor(pair, 28 * 24), 3) for pairs in PAIRS.values() for pair in pairs]
    [13.44, 5.6, 2.8, 0.933]
    """
    return pair.share * period_hours / pair.long


def burn_rate(found: Counted, target: float) -> float:
    """Return the share of bad events in units of what may be bad: 1 spends the budget exactly in its period.

    Parameters
    ----------
    found : Counted
        A window; of one without events the rate is 0.
    target : float
        The least share of good events, in (0, 1).

    Returns
    -------
    float
        Not negative.

    References
    ----------
    B. Beyer et al., "The Site Reliability Workbook" (2018), chapter 5.

    Examples
    --------
    >>> round(burn_rate(Counted(bad=5, all=1000), 0.999), 6)
    5.0
    """
    return found.bad / found.all / (1 - target) if found.all else 0.0


def spent(found: Counted, target: float) -> float:
    """Return the share of a period's budget that is spent, of the events that came so far; 1 and more is all.

    Parameters
    ----------
    found : Counted
        The events of the period so far.
    target : float
        The least share of good events, in (0, 1).

    Returns
    -------
    float
        Not negative; more than 1 where the budget is overdrawn.

    References
    ----------
    B. Beyer et al., "The Site Reliability Workbook" (2018), chapter 5.

    Examples
    --------
    >>> round(spent(Counted(bad=50, all=100_000), 0.999), 6)
    0.5
    """
    return burn_rate(found, target)


def counted(times: Array, bad: Flags, now: float, hours: float) -> Counted:
    """Count the events of the last hours.

    Parameters
    ----------
    times : array of shape (n,)
        When each event was, in seconds, in any order.
    bad : array of shape (n,)
        Whether it was bad.
    now, hours : float
        The end of the window, in seconds, and its length.

    Returns
    -------
    Counted
        Those within the window, its end with them and its beginning not.

    References
    ----------
    B. Beyer et al., "The Site Reliability Workbook" (2018), chapter 5.

    Examples
    --------
    >>> counted(np.array([0.0, 1800.0, 3600.0]), np.array([True, True, False]), 3600.0, 1.0)
    Counted(bad=1.0, all=2.0)
    """
    inside = (times > now - hours * 3600) & (times <= now)
    return Counted(float(np.count_nonzero(bad & inside)), float(np.count_nonzero(inside)))


def burning(
    found: Mapping[float, Counted], target: float, period_hours: float, minimum: float, worst: float = 2
) -> Severity | None:
    """Return how urgent it is that a budget burns, None where it does not.

    A pair alerts when both of its windows burn faster than its factor. So an alert comes early where much burns, and
    ends soon after it does not.

    Parameters
    ----------
    found : mapping of hours to Counted
        Every window of `PAIRS`.
    target, period_hours : float
        The objective and its period.
    minimum : float
        Events that the short window must have.
    worst : float
        Bad events that the short window must have, so that one by itself wakes nobody.

    Returns
    -------
    str or None
        The severity of the first pair that alerts, the most urgent first.

    References
    ----------
    B. Beyer et al., "The Site Reliability Workbook" (2018), chapter 5.

    Examples
    --------
    >>> calm = dict.fromkeys(HOURS, Counted(0, 1000))
    >>> burning(calm | {1: Counted(20, 1000), 1 / 12: Counted(20, 1000)}, 0.999, 720, 100)
    'page'
    >>> burning(calm | {1: Counted(20, 1000)}, 0.999, 720, 100) is None
    True
    """
    for severity, pairs in PAIRS.items():
        for pair in pairs:
            limit, short = factor(pair, period_hours), found[pair.short]
            enough = short.all >= minimum and short.bad >= worst
            if enough and all(burn_rate(found[hours], target) > limit for hours in (pair.long, pair.short)):
                return severity
    return None
