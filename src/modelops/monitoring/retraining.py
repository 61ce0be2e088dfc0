"""When to retrain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelops.clock import format_instant
from modelops.drift import Score
from modelops.monitoring.report import Level, Verdict, WindowReport, worst
from modelops.spec.kinds.monitor import Retraining

__all__ = ["Decision", "Past", "should_retrain"]

WEEK = timedelta(days=7)
"""Drift that has not lasted through a week retrains nothing: weekends come back by themselves."""
_TOLERANCE = 0.02
"""Windows may overlap by this share of their length: a schedule is never kept to the second."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a retraining pull request is due, and why."""

    fire: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of a window that was scored earlier.

    ``release`` is the one that answered it, None where that was not written down; ``verdict`` is that of the watched
    metric, and ``looks`` counts how often it had been judged by then. ``strength`` is the strongest drift in units of
    its limit, ``value`` the metric with its bounds ``lower`` and ``upper``; None where they were not measured or not
    written down.
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
            *((None, None, None) if value is None else (value.value, value.lower, value.upper)),
        )


def should_retrain(
    report: WindowReport,
    earlier: Sequence[Past | WindowReport],
    retraining: Retraining,
    *,
    last_opened: datetime | None,
    open_pull_request: bool,
    now: datetime,
    underway: str = "",
) -> Decision:
    """Decide on the present window and on earlier ones, in any order.

    A metric that is beyond its limit fires at once. Drift fires when it alerted in ``sustained`` windows in a row that
    do not overlap and that one release answered, through a week at least; windows without enough data are not counted.
    Nothing fires while a pull request is open or within the cooldown after the last one, nor does drift while the
    model that was trained on it is ``underway``.
    """
    fell = report.performance is not None and report.performance.verdict == "fail"
    if report.level != "alert":
        return Decision(False, f"nothing to act on: the window's level is {report.level}")
    if not fell:
        waits = _waits(report, earlier, retraining) or underway
        if waits:
            return Decision(False, waits)
    if open_pull_request:
        return Decision(False, "a retraining pull request is already open")
    if last_opened is not None and now < last_opened + timedelta(days=retraining.cooldown_days):
        since, until = (
            format_instant(last_opened),
            format_instant(last_opened + timedelta(days=retraining.cooldown_days)),
        )
        return Decision(False, f"the last retraining pull request was opened {since}; cooling down until {until}")
    return Decision(True, _reason(report, fell))


def _waits(report: WindowReport, earlier: Sequence[Past | WindowReport], retraining: Retraining) -> str:
    """Say why drift has not lasted long enough, nothing if it has."""
    streak, begin = _streak(report, earlier)
    if streak < retraining.sustained:
        apart = " that do not overlap" if retraining.sustained > 1 else ""
        return f"drift in {streak} window(s) in a row{apart}; {retraining.sustained} are required"
    lasted = report.until - begin
    if lasted < WEEK - (report.until - report.since) * _TOLERANCE:
        days = lasted / timedelta(days=1)
        return f"drift for {days:.1f} days; what has not lasted through a week may be the weekend, or one odd day"
    return ""


def _streak(report: WindowReport, earlier: Sequence[Past | WindowReport]) -> tuple[int, datetime]:
    """Count back the windows in a row that alerted, each apart from the next, and return when the first began."""
    slack = (report.until - report.since) * _TOLERANCE
    streak, begin = 1, report.since
    for past in sorted(earlier, key=lambda each: each.until, reverse=True):
        if past.until >= report.until or past.level == "no-data":
            continue
        if past.level != "alert" or past.release != report.release:
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
