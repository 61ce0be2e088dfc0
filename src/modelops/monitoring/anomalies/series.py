"""The series of a model by the hour, and the stretches of them that are unlike the weeks before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from modelops.clock import format_instant
from modelops.monitoring.objectives.hours import WHAT, Hours
from modelops.spec.kinds.monitor import Anomalies
from modelops.spec.meta import Strict
from modelops.statistics import Array
from modelops.statistics.streams.anomalies import Kind, Sides, bets, departures, detector, ranks

__all__ = ["BACK", "USUAL", "Anomaly", "Unusual", "unusual_hours"]

Name = Literal["requests", "errors", "slow answers", "mean score"]
_HOUR = 3600
_MONTH = 30 * 24
"""Hours of a month."""
_JUDGED, _RANKED, _FEWEST = 7 * 24, 28 * 24, 7 * 24
"""Hours that are judged, among how many they are ranked at most, and at least."""
_CYCLES = {"day": (24, 7), "week": (7 * 24, 3)}
"""Hours of a season, and how many are looked back: three weeks either way, or one."""
BACK = timedelta(days=3 * 7 + 28 + 7)
"""How far a look goes back at most."""


class Anomaly(Strict):
    """A stretch of hours of one series that is unlike the weeks before it.

    ``value`` is that of the stretch so far and ``usual`` what its season lets expect: requests in all of its hours,
    shares of them, or a mean. ``until`` is None while it goes on.
    """

    series: Name
    began: str
    until: str | None
    hours: int
    value: float
    usual: float

    @property
    def said(self) -> str:
        """What is unusual, in one sentence."""
        told = f"{self.value:.1%}, and {self.usual:.1%}"
        if self.series == "requests":
            told = f"{self.value:,.0f} in {self.hours} h, and {self.usual:,.0f}"
        elif self.series == "mean score":
            told = f"{self.value:.4g}, and {self.usual:.4g}"
        end = f" to {self.until}" if self.until is not None else ""
        return f"{self.series}: {told} are usual at these hours, since {self.began}{end}"


@dataclass(frozen=True, slots=True)
class Unusual:
    """What the last week of hours showed; ``lacking`` says why nothing is known, "" where something is."""

    found: tuple[Anomaly, ...] = ()
    lacking: str = ""

    @property
    def going(self) -> tuple[Anomaly, ...]:
        """Those that are not over."""
        return tuple(one for one in self.found if one.until is None)


USUAL = Unusual()
"""What is known where nothing is unusual, or nobody looks."""


def unusual_hours(declared: Anomalies, hours: Hours, now: datetime) -> Unusual:
    """Judge the last week of whole hours against the weeks before.

    Parameters
    ----------
    declared : Anomalies
        The season, and how rare false alarms are to be.
    hours : Hours
        What there is of the model's answers, ``BACK`` as far as is known.
    now : datetime
        The hour that it is in is not over and not judged.

    Returns
    -------
    Unusual
        The mean time between false alarms of a model is ``falseAlarmMonths`` of 30 days, over all of its series.
    """
    cycle, cycles = _CYCLES[declared.cycle]
    last = int(now.timestamp() // _HOUR)
    needed = cycle * 2 + _FEWEST
    first = max(int(hours.hours[0]), last - int(BACK.total_seconds() // _HOUR)) if len(hours.hours) else last
    n = last - first
    if n < needed + 24:
        days = f"{n / 24:.0f} days of answers are known"
        return Unusual(lacking=f"{days}, and {needed / 24 + 1:.0f} are needed to say what is usual")
    grid = np.zeros((n, len(WHAT)))
    sums = np.zeros(n)
    inside = (hours.hours >= first) & (hours.hours < last)
    grid[hours.hours[inside] - first] = hours.counts[inside]
    sums[hours.hours[inside] - first] = hours.sums[inside]
    made = _series(grid, sums)
    judged = min(_JUDGED, n - needed)
    limit = declared.false_alarm_months * _MONTH * len(made)
    found: list[Anomaly] = []
    for one in made:
        apart = departures(one.many, cycle, cycles, judged, one.every, one.kind)
        course = detector(bets(ranks(apart, _RANKED, _FEWEST, one.sides))[-judged:], limit)
        found += [one.told(begin, end, first, n, cycle, cycles) for begin, end in _stretches(course, limit, n - judged)]
    return Unusual(tuple(sorted(found, key=lambda one: one.began)))


@dataclass(frozen=True, slots=True)
class _Series:
    """A series: counts, counts out of ``every``, or sums of so many, each of shape (hours,)."""

    name: Name
    sides: Sides
    many: Array
    every: Array | None = None
    kind: Kind = "count"

    def told(self, begin: int, end: int | None, first: int, n: int, cycle: int, cycles: int) -> Anomaly:
        stop = n if end is None else end
        at = np.arange(begin, stop)
        before = np.concatenate([at - lag * cycle for lag in range(1, cycles + 1)])
        before = before[(before >= 0) & (before < begin)]
        value, usual = (self._of(rows) for rows in (at, before))
        if self.every is None and len(before):
            usual *= len(at) / len(before)
        return Anomaly(
            series=self.name,
            began=_instant(first + begin),
            until=None if end is None else _instant(first + end),
            hours=len(at),
            value=value,
            usual=usual,
        )

    def _of(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        return float(self.many[rows].sum() / (max(1.0, self.every[rows].sum()) if self.every is not None else 1.0))


def _instant(hour: int) -> str:
    return format_instant(datetime.fromtimestamp(hour * _HOUR, UTC))


def _series(grid: Array, sums: Array) -> list[_Series]:
    """Return the series of a model."""
    of = dict(zip(WHAT, grid.T, strict=True))
    return [
        _Series("requests", "both", of["requests"]),
        _Series("errors", "up", of["failed"], of["requests"]),
        _Series("slow answers", "up", of["slow"], of["requests"] - of["failed"]),
        _Series("mean score", "both", sums, of["scored"], "sum"),
    ]


def _stretches(course: Array, limit: float, offset: int) -> list[tuple[int, int | None]]:
    """Return where each alarm began and ended, None for one that lasts: it begins where the bet began to grow."""
    found: list[tuple[int, int | None]] = []
    at = 0
    while at < len(course):
        if course[at] < limit:
            at += 1
            continue
        begin = at
        while begin > 0 and course[begin - 1] >= 1 and course[begin - 1] < course[begin]:
            begin -= 1
        end = at
        while end < len(course) and course[end] >= limit:
            end += 1
        found.append((offset + begin, None if end == len(course) else offset + end))
        at = end
    return found
