"""The dates along a branch's own line: each is its committer's word, so the order of the line decides, not they.

A commit cannot have been made before the one that it builds on, nor after now. What a date says beyond that is a
contradiction, which is told by commit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

SKEW = timedelta(minutes=5)
"""How far the clocks of two machines may be apart."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Dates that cannot all be true: ``commit`` is dated ``date``, yet ``others`` build on it and are dated before it.

    Without others it is dated in the future. What was asked of an instant between ``since`` and ``until`` depends on
    which of them is true; ``until`` is None where that has no end.
    """

    commit: str
    date: datetime
    others: tuple[str, ...]
    since: datetime
    until: datetime | None

    def touches(self, instant: datetime) -> bool:
        """Tell whether what there was at an instant depends on which date is true."""
        return self.since <= instant and (self.until is None or instant < self.until)


@dataclass(frozen=True)
class Dates:
    """The dates of a line up to a tip as the order of its commits allows them, and where they contradict it."""

    commits: tuple[str, ...]
    envelope: tuple[datetime, ...]
    contradictions: tuple[Contradiction, ...]

    def of(self, place: int) -> datetime:
        """Return the date of a place, which is never before that of an earlier one; of a later one that of the tip."""
        return self.envelope[min(place, len(self.envelope) - 1)]

    def at(self, instant: datetime) -> str | None:
        """Return the commit that the branch had at an instant, None where that is before the first one."""
        place = bisect_right(self.envelope, instant) - 1
        return self.commits[place] if place >= 0 else None


def read_dates(dated: Sequence[tuple[str, datetime]], now: datetime, wrong: Collection[str] = ()) -> Dates:
    """Return the dates of commits in the order of the line, the root first.

    Those in the future, and those of ``wrong`` commits, count as the date of the next commit that has a good one.
    """
    latest = now + SKEW
    said: list[datetime] = []
    following = now
    for commit, date in reversed(dated):
        following = date if date <= latest and commit not in wrong else following
        said.append(following)
    envelope = tuple(accumulate(reversed(said), max))
    return Dates(tuple(commit for commit, _ in dated), envelope, _contradictions(dated, envelope, latest, wrong))


def _contradictions(
    dated: Sequence[tuple[str, datetime]], envelope: Sequence[datetime], latest: datetime, wrong: Collection[str]
) -> tuple[Contradiction, ...]:
    found: list[Contradiction] = []
    behind: dict[int, list[int]] = {}
    top = -1
    for place, (commit, date) in enumerate(dated):
        if commit in wrong:
            continue
        if date > latest:
            since = envelope[place - 1] if place else datetime.min.replace(tzinfo=date.tzinfo)
            following = next((one for one in dated[place + 1 :] if one[1] <= latest and one[0] not in wrong), None)
            found.append(Contradiction(commit, date, (), since, following[1] if following else None))
        elif top >= 0 and date < dated[top][1] - SKEW:
            behind.setdefault(top, []).append(place)
        elif top < 0 or date >= dated[top][1]:
            top = place
    for place, others in behind.items():
        commit, date = dated[place]
        since = min(dated[other][1] for other in others)
        found.append(Contradiction(commit, date, tuple(dated[other][0] for other in others), since, date))
    return tuple(found)
