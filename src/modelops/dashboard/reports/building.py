"""The report of judged builds as one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelops.changes.proposal import Built
from modelops.dashboard.answers import grouped, importance, pictures
from modelops.dashboard.pictures import Interval, intervals
from modelops.dashboard.reports.sheet import page
from modelops.metrics.curves import Curves
from modelops.views.reports.built import Part, parts

__all__ = ["built"]


@dataclass(frozen=True, slots=True)
class _Told:
    """A build of the page: what the view says, and the pictures of its sections by their keys."""

    part: Part
    pictures: Mapping[str, Sequence[tuple[str, Markup]]]


def built(found: Sequence[Built], drawn: Mapping[str, Curves | str]) -> str:
    """Return the page of what was built and judged."""
    return page("built.html", told=[_told(part) for part in parts(found, drawn)])


def _told(part: Part) -> _Told:
    record = part.found.judged.record
    told = {
        "metrics": tuple(_metrics(part)),
        "answers": tuple(pictures(part.curves)) if part.curves is not None else (),
        "importance": tuple(importance(record.importance)),
        "groups": tuple(each for key, found in part.groups.items() for each in grouped(key, found)),
    }
    return _Told(part, told)


def _metrics(part: Part) -> Iterator[tuple[str, Markup]]:
    """Draw every metric beside that of the stable release, where there is one to hold it against."""
    judged = part.found.judged
    if judged.champion is None:
        return
    stable = judged.champion.spec
    before = {one.name: one for one in stable.metrics}
    for one in judged.record.metrics:
        old = before.get(one.name)
        if old is not None:
            rows = [Interval("this build", one.value, one.lower, one.upper)]
            rows.append(Interval(f"release {stable.version}", old.value, old.lower, old.upper, "stable"))
            yield f"{one.name}, {one.level:.0%} {one.method}", intervals(one.name, rows)
