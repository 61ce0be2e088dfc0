"""When to retrain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from modelops.clock import format_instant
from modelops.drift import Score
from modelops.monitoring.report import Level, Verdict, WindowReport, worst
from modelops.spec.kinds.monitor import Retraining

__all__ = ["Attempt", "Attempts", "Decision", "Past", "Trigger", "should_retrain"]

Trigger = Literal["drift", "performance", "estimated-performance", "new-labels", "schedule", "manual"]

WEEK = timedelta(days=7)
"""Drift that has not lasted through a week retrains nothing: weekends come back by themselves."""
_TOLERANCE = 0.02
"""Windows may overlap by this share of their length: a schedule is never kept to the second."""
LONGEST = 365
"""Days that a pause grows to at most."""
_LEVELS: Mapping[Verdict, Level] = {"fail": "alert", "no-data": "no-data", "pass": "none", "inconclusive": "none"}


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a retraining pull request is due, and why.

    ``trigger`` is what makes it due; with ``held`` it is due, and the reason is what keeps it back.
    """

    fire: bool
    reason: str
    trigger: Trigger | None = None

    @property
    def held(self) -> bool:
        """Whether something keeps back what is due."""
        return self.trigger is not None and not self.fire


@dataclass(frozen=True, slots=True)
class Attempt:
    """A retraining that was opened: ``rejected`` is one that people closed, or whose release failed its trial."""

    opened: datetime
    state: Literal["open", "merged", "rejected"]


@dataclass(frozen=True, slots=True)
class Attempts:
    """The retrainings of a model so far, in any order, by which the next one waits and the month's budget is spent."""

    all: tuple[Attempt, ...] = ()

    @property
    def last(self) -> datetime | None:
        """When the last one was opened."""
        return max((one.opened for one in self.all), default=None)

    @property
    def rejected(self) -> int:
        """How many were rejected in a row, the last one among them."""
        newest = sorted((one for one in self.all if one.state != "open"), key=lambda one: one.opened, reverse=True)
        return next((many for many, one in enumerate(newest) if one.state != "rejected"), len(newest))

    def this_month(self, now: datetime) -> int:
        """Return how many were opened in the calendar month of an instant, in UTC."""
        month = now.astimezone(UTC).strftime("%Y-%m")
        return sum(one.opened.astimezone(UTC).strftime("%Y-%m") == month for one in self.all)

    def waits_until(self, retraining: Retraining) -> datetime | None:
        """Return when the pause after the last one ends: twice as long after each that was rejected in a row."""
        if self.last is None:
            return None
        days = min(retraining.cooldown_days * 2 ** min(self.rejected, 30), max(LONGEST, retraining.cooldown_days))
        return self.last + timedelta(days=days)


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of a window that was scored earlier.

    ``release`` is the one that answered it, None where that was not written down; ``verdict`` is that of the watched
    metric, and ``looks`` counts how often it had been judged by then. ``strength`` is the strongest drift in units of
    its limit, ``value`` the metric with its bounds ``lower`` and ``upper``; None where they were not measured or not
    written down. ``estimated`` is the verdict of the metric that is expected without labels.
    """

    since: datetime
    until: datetime
    level: Level
    release: int | None = None
    verdict: Verdict = "no-data"
    looks: int = 0
    strength: float | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    estimated: Verdict = "no-data"

    @classmethod
    def of(cls, report: WindowReport) -> Past:
        """Return what is remembered of a window."""
        performance = report.performance
        value = performance.value if performance is not None else None
        return cls(
            report.since,
            report.until,
            report.level,
            report.release,
            performance.verdict if performance is not None else "no-data",
            performance.looks if performance is not None else 0,
            report.strength,
            value=value.value if value is not None else None,
            lower=value.lower if value is not None else None,
            upper=value.upper if value is not None else None,
            estimated=report.estimated.verdict if report.estimated is not None else "no-data",
        )


def should_retrain(
    report: WindowReport,
    earlier: Sequence[Past],
    retraining: Retraining,
    *,
    now: datetime,
    attempts: Attempts = Attempts(),
    underway: str = "",
    broken: str = "",
    since: datetime | None = None,
    fresh: Callable[[], int] = lambda: 0,
    asked: bool = False,
) -> Decision:
    """Decide on the present window and on earlier ones, in any order.

    A metric that is beyond its limit fires at once. Drift, and a metric that is expected to have fallen, fire when they
    were found in ``sustained`` windows in a row that do not overlap and that one release answered, through a week at
    least; windows without enough data are not counted. Nothing fires while data are broken, a data source is silent, a
    pull request is open, or the month's runs are spent, nor within the cooldown after the last one, save for what
    people ask for; nor does anything but them and a fallen metric while the model that was trained last is
    ``underway``.

    Parameters
    ----------
    report, earlier : WindowReport, sequence of Past
        The window, and those before it.
    retraining : Retraining
        The rules.
    now : datetime
        The present.
    attempts : Attempts
        The retrainings that were opened before.
    underway, broken : str
        Why a retraining that was merged is not stable yet, and which data are broken; "" where nothing is.
    since : datetime, optional
        When the stable release took the traffic.
    fresh : callable
        Counts the labelled rows that the stable release was not trained on; called only if that decides.
    asked : bool
        Whether somebody asks for one.

    Returns
    -------
    Decision
        With what made it due, and why it fires or does not.
    """
    trigger, why = _due(report, earlier, retraining, now, attempts, underway, since, asked)
    wanted = retraining.triggers.new_labels
    holds = _silent_source(report) or _holds(retraining, now, attempts, broken, asked)
    if trigger is None and wanted is not None and not holds and not underway:
        many = fresh()
        if many >= wanted:
            trigger, why = "new-labels", f"{many} labelled rows are new to the model; {wanted} make a retraining due."
    if trigger is None:
        return Decision(False, why)
    return Decision(False, holds, trigger) if holds else Decision(True, why, trigger)


def _due(
    report: WindowReport,
    earlier: Sequence[Past],
    retraining: Retraining,
    now: datetime,
    attempts: Attempts,
    underway: str,
    since: datetime | None,
    asked: bool,
) -> tuple[Trigger | None, str]:
    """Return what makes a retraining due and why, or None and why nothing does."""
    triggers = retraining.triggers
    if asked:
        return "manual", "Somebody asked for it."
    fell = report.performance is not None and report.performance.verdict == "fail"
    if fell and triggers.performance:
        return "performance", _reason(report, True)
    said = f"nothing to act on: the window's level is {report.level}"
    if report.level == "alert" and not fell:
        waits = _waits(report, earlier, retraining, lambda past: past.level) or underway
        said = waits or said
        if triggers.drift and not waits:
            return "drift", _reason(report, False)
    estimate = report.estimated
    if triggers.estimated_performance and estimate is not None and estimate.verdict == "fail":
        waits = _waits(report, earlier, retraining, lambda past: _LEVELS[past.estimated]) or underway
        if not waits:
            return "estimated-performance", f"{estimate.reason[:1].upper()}{estimate.reason[1:]}."
        said = waits
    last = max((each for each in (attempts.last, since) if each is not None), default=None)
    if triggers.every_days is not None and last is not None and not underway:
        due = last + timedelta(days=triggers.every_days)
        if now >= due:
            what = f"every {triggers.every_days:g} days, and the last time was {format_instant(last)}"
            return "schedule", f"A retraining is due {what}."
        said = f"{said}; one is due {format_instant(due)}"
    return None, said


def _silent_source(report: WindowReport) -> str:
    """Say which data source brings nothing any more: what is trained then learns to do without it."""
    silent = next((one for one in report.suspects if one.silent), None)
    if silent is None:
        return ""
    return f"nothing is trained while the data source {silent.name} is silent: ask {silent.owner}, {silent.contact}"


def _holds(retraining: Retraining, now: datetime, attempts: Attempts, broken: str, asked: bool) -> str:
    """Say what keeps back a retraining that is due, nothing if nothing does."""
    if broken:
        return f"nothing is trained on broken data: {broken}"
    if any(one.state == "open" for one in attempts.all):
        return "a retraining pull request is already open"
    until, last = attempts.waits_until(retraining), attempts.last
    if until is not None and last is not None and now < until and not asked:
        many = attempts.rejected
        after = f", twice as long for each of {many} rejected in a row" if many else ""
        return (
            f"the last retraining pull request was opened {format_instant(last)}; cooling down until "
            f"{format_instant(until)}{after}"
        )
    runs, limit = attempts.this_month(now), retraining.runs_per_month
    if limit is not None and runs >= limit:
        return f"the budget of {now:%Y-%m} is spent: {runs} of {limit} retrainings were opened"
    return ""


def _waits(
    report: WindowReport, earlier: Sequence[Past], retraining: Retraining, level: Callable[[Past], Level]
) -> str:
    """Say why what was found has not lasted long enough, nothing if it has."""
    streak, begin = _streak(report, earlier, level)
    if streak < retraining.sustained:
        apart = " that do not overlap" if retraining.sustained > 1 else ""
        return f"drift in {streak} window(s) in a row{apart}; {retraining.sustained} are required"
    lasted = report.until - begin
    if lasted < WEEK - (report.until - report.since) * _TOLERANCE:
        days = lasted / timedelta(days=1)
        return f"drift for {days:.1f} days; what has not lasted through a week may be the weekend, or one odd day"
    return ""


def _streak(report: WindowReport, earlier: Sequence[Past], level: Callable[[Past], Level]) -> tuple[int, datetime]:
    """Count back the windows in a row that alerted, each apart from the next, and return when the first began."""
    slack = (report.until - report.since) * _TOLERANCE
    streak, begin = 1, report.since
    for past in sorted(earlier, key=lambda each: each.until, reverse=True):
        if past.until >= report.until or level(past) == "no-data":
            continue
        if level(past) != "alert" or past.release != report.release:
            break
        if past.until <= begin + slack:
            streak, begin = streak + 1, past.since
    return streak, begin


def _reason(report: WindowReport, fell: bool) -> str:
    said = []
    if fell and report.performance is not None:
        said.append(report.performance.reason)
    drifted = sorted(
        (feature for feature in report.features if feature.level == "alert"), key=lambda each: -each.strength
    )
    if drifted:
        listed = ", ".join(f"{feature.name} ({_alerts(feature.scores)})" for feature in drifted[:5])
        more = f" and {len(drifted) - 5} more" if len(drifted) > 5 else ""
        said.append(f"the inputs drifted: {listed}{more}")
    if worst(report.scores.values()) == "alert":
        said.append(f"the model's score drifted ({_alerts(report.scores)})")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def _alerts(scores: Mapping[str, Score]) -> str:
    """Say which scores alerted, and how high they are."""
    return ", ".join(f"{score.name} {score.value:.2f}" for score in scores.values() if score.level == "alert")
