"""What is promised of a model, held against what the log and git say: budgets, and how fast they burn.

Events are requests for availability, answers for latency, answers with a label for quality, and time for freshness.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.clock import format_instant
from modelops.monitoring.delay import Delay, mature
from modelops.monitoring.episodes import episode
from modelops.monitoring.performance import labelled_predictions, selection_of
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import FreshnessObjective, Objectives, QualityObjective
from modelops.spec.meta import Strict
from modelops.statistics import Array
from modelops.statistics.budgets import HOURS, Counted, Severity, burn_rate, burning, counted, spent

__all__ = ["COLUMNS", "Budget", "Promise", "Stable", "budgets", "sentence"]

Promise = Literal["availability", "latency", "freshness", "quality"]
COLUMNS = ("time", "release", "arm", "status", "latency_ms", "score", "label", "truth", "truth_time", "entity", "id")
"""What of the log is asked for."""
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


def budgets(
    objectives: Objectives,
    model: ModelSpec,
    table: pa.Table,
    line: Sequence[Stable],
    delay: Delay | None,
    now: datetime,
) -> tuple[Budget, ...]:
    """Return how far each promise is kept.

    Parameters
    ----------
    objectives, model : Objectives, ModelSpec
        What is promised, and of what.
    table : pa.Table
        All logged rows of the period, oldest first, with ``COLUMNS``.
    line : sequence of Stable
        Which releases took the traffic in the period.
    delay : Delay or None
        How long labels take.
    now : datetime
        The end of the period.
    """
    return tuple(_budgets(_Period(objectives, now), model, table, line, delay))


def _budgets(
    period: _Period, model: ModelSpec, table: pa.Table, line: Sequence[Stable], delay: Delay | None
) -> Iterator[Budget]:
    asked = period.objectives
    answered = table.filter(pc.less(table.column("status"), 500))
    if asked.availability is not None:
        bad = np.asarray(pc.greater_equal(table.column("status"), 500).to_numpy(), dtype=np.bool_)
        yield period.of_rows("availability", "requests that are answered", asked.availability.target, table, bad)
    if asked.latency is not None:
        within = asked.latency.within_ms or model.serving.latency_objective_ms
        slow = answered.column("latency_ms").to_numpy().astype(np.float64) > within
        yield period.of_rows("latency", f"answers within {within:g} ms", asked.latency.target, answered, slow)
    if asked.freshness is not None:
        yield period.of_time(asked.freshness, line)
    if asked.quality is not None:
        yield _quality(period, asked.quality, model, table, delay)


@dataclass(frozen=True, slots=True)
class _Period:
    """The period up to an instant, and how its events are counted."""

    objectives: Objectives
    now: datetime

    @property
    def hours(self) -> float:
        return self.objectives.period_days * 24.0

    def of_rows(
        self,
        promise: Promise,
        said: str,
        target: float,
        rows: pa.Table,
        bad: Flags,
        until: datetime | None = None,
    ) -> Budget:
        """Return the budget of events that are rows of the log."""
        times, end = rows.column("time").to_numpy().astype(np.float64), until or self.now
        found = {hours: counted(times, bad, end.timestamp(), hours) for hours in (*HOURS, self.hours)}
        events = self.objectives.minimum_events
        budget = self._judged(promise, said, target, found, end, events, 2)
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


def _quality(
    period: _Period, promised: QualityObjective, model: ModelSpec, table: pa.Table, delay: Delay | None
) -> Budget:
    near = f"answers within {promised.within:g} of the truth" if promised.within is not None else "right answers"
    said = f"{near}, of those with a label"
    chosen = selection_of(model, table)
    if chosen:
        return period.unknown("quality", said, promised.target, f"labels depend on the answer: {chosen}")
    begin = period.now - timedelta(hours=period.hours)
    judged, left = mature(table, delay, _MATURE, begin, period.now)
    predictions, known = labelled_predictions(model, judged)
    wrong = predictions.y_true != predictions.y_pred
    if promised.within is not None:
        wrong = np.abs(predictions.y_true - predictions.y_pred) > promised.within
    # What is newer than its labels take says nothing of the present.
    times = judged.column("time").to_numpy()
    end = datetime.fromtimestamp(float(times[-1]), UTC) if left and len(times) else period.now
    return period.of_rows("quality", said, promised.target, judged.filter(pa.array(known)), wrong, end)


def sentence(budget: Budget) -> str:
    """Return how far a promise is kept, in one sentence."""
    if budget.lacking:
        return f"{budget.promise}: not known, {budget.lacking}"
    told = [f"{rate:.3g} over {name}" for name, rate in budget.rates.items() if name in _TOLD]
    return (
        f"{budget.promise}: {1 - budget.bad / budget.all:.3%} {budget.said} in {budget.period_days} days, "
        f"{budget.target:.3%} promised; {budget.spent:.0%} of the budget is spent, and it burns at {', '.join(told)}"
    )
