"""The report of what the monitor found as one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelops.changes.retraining import Watched
from modelops.dashboard.pictures import Interval, Point, beside, course, intervals
from modelops.dashboard.reports.sheet import page
from modelops.metrics.unlabelled import Expected
from modelops.monitoring import Past
from modelops.monitoring.report import Distribution
from modelops.spec.kinds.release import MetricValue
from modelops.views.reports.monitored import Part, looks, parts

__all__ = ["monitored"]


@dataclass(frozen=True, slots=True)
class _Told:
    """A model of the page: what the view says, the pictures of its sections by their keys, and its last windows."""

    part: Part
    pictures: Mapping[str, Sequence[tuple[str, Markup]]]
    windows: tuple[Past, ...]


def monitored(environment: str, watched: Sequence[Watched]) -> str:
    """Return the page of what the monitor found; the same findings give the same bytes."""
    told = [_told(part) for part in parts(watched)]
    return page("monitored.html", environment=environment, told=told, spread=_spread)


def _told(part: Part) -> _Told:
    drawn = {"performance": _performance(part), "slices": _slices(part), "looks": _looks(part)}
    return _Told(part, {key: tuple(found) for key, found in drawn.items()}, looks(part.found))


def _spread(title: str, found: Distribution) -> Markup:
    before, now = (max(1, many) for many in found.rows)
    return beside(title, [(one.name, one.reference / before, one.window / now) for one in found.bins])


def _performance(part: Part) -> Iterator[tuple[str, Markup]]:
    """Draw the metric of the window, of the release's holdout and without labels, with the limits."""
    found, report = part.found, part.found.report
    rows = []
    if found.holdout is not None:
        rows.append(_interval("holdout", found.holdout, "stable"))
    if report.performance is not None and report.performance.value is not None:
        rows.append(_interval("this window", report.performance.value, "candidate"))
    if report.estimated is not None and report.estimated.value is not None:
        rows.append(_interval("expected without labels", report.estimated.value, "past"))
    if rows:
        name = report.performance.metric if report.performance is not None else "The metric"
        yield f"{name} with its intervals{_lined(part)}", intervals(name, rows, _limit(part))


def _slices(part: Part) -> Iterator[tuple[str, Markup]]:
    told = [(one.name, one.performance) for one in part.found.report.slices if one.performance is not None]
    rows = [_interval(name, measured.value, "candidate") for name, measured in told if measured.value is not None]
    if rows:
        name = told[0][1].metric
        yield f"{name} in each part{_lined(part)}", intervals(f"{name} in each part", rows, _limit(part))


def _looks(part: Part) -> Iterator[tuple[str, Markup]]:
    """Draw the strongest drift and the metric over the last windows, where there was more than one."""
    told = looks(part.found)
    drift = [(one.until, one.strength, one.strength, one.strength) for one in told]
    metric = [(one.until, one.value, one.lower, one.upper) for one in told]
    name = part.found.report.performance.metric if part.found.report.performance is not None else "The metric"
    for title, caption, values, limit in (
        ("Strongest drift", "Strongest drift, in units of its limit", drift, 1.0),
        (name, f"{name}{_lined(part)}", metric, _limit(part)),
    ):
        points = [
            Point(f"{until:%m-%d}", value, lower, upper)
            for until, value, lower, upper in values
            if value is not None and lower is not None and upper is not None
        ]
        if len(points) > 1:
            yield caption, course(title, points, "window until", limit)


def _interval(name: str, value: MetricValue | Expected, kind: str) -> Interval:
    return Interval(name, value.value, value.lower, value.upper, kind)


def _limit(part: Part) -> float | None:
    """Return the limit that a picture has a line for: the lower one where there are two, the table has both."""
    performance = part.found.report.performance
    if performance is None:
        return None
    return performance.minimum if performance.minimum is not None else performance.maximum


def _lined(part: Part) -> str:
    return "" if _limit(part) is None else ", the limit as a dashed line"
