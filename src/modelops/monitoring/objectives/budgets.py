"""Budgets of what is promised of a model, and how fast they burn.

Events are requests for availability, answers for latency, answers with a label for quality, and time for freshness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from modelops.clock import format_instant
from modelops.monitoring.delay import Delay
from modelops.monitoring.episodes import episode
from modelops.monitoring.objectives.hours import Hours, bad_of
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import FreshnessObjective, Objectives, QualityObjective
from modelops.spec.meta import Strict
from modelops.statistics import Array
from modelops.statistics.budgets import HOURS, Counted, Severity, burn_rate, burning, counted, spent

__all__ = ["COLUMNS", "Budget", "Promise", "Stable", "budgets", "sentence"]

Promise = Literal["availability", "latency", "freshness", "quality"]
COLUMNS = ("time", "release", "status", "latency_ms", "score", "label", "truth")
"""What of the rows of the last days is asked for."""
_LONGEST = timedelta(hours=max(HOURS))
_MATURE = 0.9
"""Answers count once they are so old that such a share of their labels has come."""
_TOLD = ("1h", "6h", "1d", "3d")
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Stable:
    """A release that took the traffic from ``since`` to ``until``, and when it was made."""

    release: int
    made: datetime
    since: datetime
    until: datetime


class Budget(Strict):
    """How far a promise is kept: events of the period that were bad, the budget's part that is spent, and burn rates.

    ``rates`` are by window, as Prometheus spells it: how fast the budget goes, 1 being as fast as it may. ``severity``
    is None where it does not burn, or where ``lacking`` says why nothing is known. ``until`` is the end of the windows:
    the present, or that of the answers that are old enough to have their label. ``since`` is when most of what was
    missed lately began, and ``whose`` which release answered it, where another one answered too.
    """

    promise: Promise
    said: str
    target: float
    period_days: int
    bad: float = 0.0
    all: float = 0.0
    spent: float = 0.0
    rates: dict[str, float] = {}
    severity: Severity | None = None
    until: str
    since: str | None = None
    whose: str = ""
    lacking: str = ""

    @property
    def exhausted(self) -> bool:
        """Whether nothing of the budget is left."""
        return not self.lacking and self.spent >= 1


Read = Callable[[datetime, datetime], pa.Table]
"""Returns the logged rows between two instants, oldest first, with ``COLUMNS``."""


def budgets(
    objectives: Objectives,
    model: ModelSpec,
    hours: Hours,
    read: Read,
    line: Sequence[Stable],
    delay: Delay | None,
    now: datetime,
) -> tuple[Budget, ...]:
    """Return how far each promise is kept.

    Parameters
    ----------
    objectives, model : Objectives, ModelSpec
        What is promised, and of what.
    hours : Hours
        All answers of the period by hour, and maybe older ones; the period counts from its first whole hour on.
    read : callable
        What reads rows: of the last three days, and of the three before the newest answers that are old enough to have
        their labels.
    line : sequence of Stable
        Which releases took the traffic in the period.
    delay : Delay or None
        How long labels take.
    now : datetime
        The end of the period.
    """
    return tuple(_budgets(_Period(objectives, model, hours, now), read, line, delay))


def _budgets(period: _Period, read: Read, line: Sequence[Stable], delay: Delay | None) -> Iterator[Budget]:
    asked, now = period.objectives, period.now
    recent = read(now - _LONGEST, now + timedelta(microseconds=1)) if asked.availability or asked.latency else None
    if asked.availability is not None and recent is not None:
        said = "requests that are answered"
        yield period.of_rows("availability", said, asked.availability.target, "failed", ("requests",), recent)
    if asked.latency is not None and recent is not None:
        within = asked.latency.within_ms or period.model.serving.latency_objective_ms
        said, events = f"answers within {within:g} ms", ("requests", "failed")
        yield period.of_rows("latency", said, asked.latency.target, "slow", events, recent)
    if asked.freshness is not None:
        yield period.of_time(asked.freshness, line)
    if asked.quality is not None:
        yield _quality(period, asked.quality, read, delay)


@dataclass(frozen=True, slots=True)
class _Period:
    """The period up to an instant, and how its events are counted."""

    objectives: Objectives
    model: ModelSpec
    by_hour: Hours
    now: datetime

    @property
    def hours(self) -> float:
        return self.objectives.period_days * 24.0

    @property
    def since(self) -> datetime:
        return self.now - timedelta(hours=self.hours)

    def of_rows(
        self,
        promise: Promise,
        said: str,
        target: float,
        what: str,
        events: tuple[str, ...],
        rows: pa.Table,
        until: datetime | None = None,
    ) -> Budget:
        """Return the budget of events that are rows of the log: ``what`` of them are bad, by the names of ``WHAT``."""
        flags, end = bad_of(self.objectives, self.model, rows), until or self.now
        first, *less = events
        chosen = flags[first] & ~np.logical_or.reduce([np.zeros(rows.num_rows, np.bool_), *(flags[x] for x in less)])
        rows, bad = rows.filter(pa.array(chosen)), flags[what][chosen]
        times = rows.column("time").to_numpy().astype(np.float64)
        found = {hours: counted(times, bad, end.timestamp(), hours) for hours in HOURS}
        # What is answered at the present counts; the hour that begins at a cut is too new.
        last = end.timestamp() if until is not None else math.nextafter(end.timestamp(), math.inf)
        whole = self.by_hour.counted(what, events, self.since.timestamp(), last)
        minimum = self.objectives.minimum_events
        budget = self._judged(promise, said, target, found | {self.hours: whole}, end, minimum, 2)
        if budget.severity is None:
            return budget
        late = times > end.timestamp() - max(HOURS) * 3600
        began = _began(times[late], bad[late], target)
        whose = _whose(rows.filter(pa.array(late)), bad[late])
        return budget.model_copy(update={"since": began, "whose": whose})

    def of_time(self, promised: FreshnessObjective, line: Sequence[Stable]) -> Budget:
        """Count the time in which what took the traffic was too old; that wakes nobody."""
        within, found = timedelta(days=promised.within_days), {}
        for hours in (*HOURS, self.hours):
            begin, old, every = self.now - timedelta(hours=hours), 0.0, 0.0
            for one in line:
                since, until = max(one.since, begin), min(one.until, self.now)
                every += max(0.0, (until - since).total_seconds())
                old += max(0.0, (until - max(since, one.made + within)).total_seconds())
            found[hours] = Counted(old, every)
        said = f"time with a release that was made at most {promised.within_days:g} days ago"
        budget = self._judged("freshness", said, promised.target, found, self.now, 0, 0)
        return budget if budget.severity is None else budget.model_copy(update={"severity": "ticket"})

    def unknown(self, promise: Promise, said: str, target: float, why: str) -> Budget:
        """Return a budget of which nothing is known."""
        days, until = self.objectives.period_days, format_instant(self.now)
        return Budget(promise=promise, said=said, target=target, period_days=days, until=until, lacking=why)

    def _judged(
        self,
        promise: Promise,
        said: str,
        target: float,
        found: Mapping[float, Counted],
        end: datetime,
        minimum: float,
        worst: float,
    ) -> Budget:
        whole = found[self.hours]
        if not whole.all:
            return self.unknown(promise, said, target, "there was none in the period")
        return Budget(
            promise=promise,
            said=said,
            target=target,
            period_days=self.objectives.period_days,
            bad=whole.bad,
            all=whole.all,
            spent=spent(whole, target),
            rates={name: burn_rate(found[hours], target) for hours, name in HOURS.items()},
            severity=burning({hours: found[hours] for hours in HOURS}, target, self.hours, minimum, worst),
            until=format_instant(end),
        )


def _began(times: Array, bad: Flags, target: float) -> str | None:
    """Return when the stretch began in which more was missed than may be, None where no single time shows."""
    found = episode(bad.astype(np.int64), np.array([target, 1 - target]))
    if found is None or found.whole:
        return None
    return format_instant(datetime.fromtimestamp(float(times[found.start]), UTC))


def _whose(rows: pa.Table, bad: Flags) -> str:
    """Say which release answered most of what was missed, where several answered."""
    numbers = rows.column("release").to_numpy(zero_copy_only=False)
    if len(np.unique(numbers)) < 2 or not bad.any():
        return ""
    releases, many = np.unique(numbers[bad], return_counts=True)
    first = int(np.argmax(many))
    share, of_all = many[first] / bad.sum(), (numbers == releases[first]).mean()
    return f"{share:.0%} of it is release {int(releases[first])}, which answered {of_all:.0%} of the requests"


def _quality(period: _Period, promised: QualityObjective, read: Read, delay: Delay | None) -> Budget:
    near = f"answers within {promised.within:g} of the truth" if promised.within is not None else "right answers"
    said = f"{near}, of those with a label"
    chosen = period.by_hour.selected_by(period.since.timestamp())
    if chosen:
        return period.unknown("quality", said, promised.target, f"labels depend on the answer: {chosen}")
    # What is newer than its labels take says nothing of the present.
    end = _settled(period, delay)
    rows = read((end or period.now) - _LONGEST, end or period.now + timedelta(microseconds=1))
    return period.of_rows("quality", said, promised.target, "wrong", ("labelled",), rows, end)


def _settled(period: _Period, delay: Delay | None) -> datetime | None:
    """Return the whole hour before which answers are old enough to have their labels, None where all are."""
    if delay is None:
        return None
    wait = delay.within(_MATURE)
    if wait <= (period.now - period.since) / 100:
        return None
    cut = (period.now - wait).replace(minute=0, second=0, microsecond=0)
    begin, middle, end = period.since.timestamp(), cut.timestamp(), math.inf
    answers = ("requests", "failed")
    old, new = (period.by_hour.counted("truths", answers, *ends) for ends in ((begin, middle), (middle, end)))
    return None if new.bad / max(1.0, new.all) >= _MATURE * (old.bad / max(1.0, old.all)) else cut


def sentence(budget: Budget) -> str:
    """Return how far a promise is kept, in one sentence."""
    if budget.lacking:
        return f"{budget.promise}: not known, {budget.lacking}"
    told = [f"{rate:.3g} over {name}" for name, rate in budget.rates.items() if name in _TOLD]
    return (
        f"{budget.promise}: {1 - budget.bad / budget.all:.3%} {budget.said} in {budget.period_days} days, "
        f"{budget.target:.3%} promised; {budget.spent:.0%} of the budget is spent, and it burns at {', '.join(told)}"
    )
