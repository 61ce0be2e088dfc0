"""The files of a log: one for each day, writer and size, named ``<day>-<writer>-<number>.sqlite`` in one directory."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions.schema import as_now, version_of

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)-w(\d+)-(\d+)\.sqlite")
# Ids that a server makes begin with their milliseconds, so the day of the file that holds one is known.
_SERVER_ID = re.compile(r"([0-9a-f]{12})[0-9a-f]{20}(\.\d+)?")
_DAY = 86_400
_LAST_DAY = date.max.toordinal() - 719_163


def first_number(name: str) -> int:
    """Return the number of the first writer of a name: 256 in a row are its own, and those of no name begin at 0."""
    return int.from_bytes(sha256(name.encode()).digest()[:5]) << 8 if name else 0


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of the log; ``day`` counts from 1970-01-01 UTC, and all times in the file are of that day."""

    day: int
    writer: int
    number: int

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{day_text(self.day)}-w{self.writer}-{self.number}.sqlite"


def day_of(time: float) -> int:
    """Return the day of a moment in epoch seconds; what is no moment of the calendar is of its nearest end."""
    return int(min(float(_LAST_DAY), max(0.0, time // _DAY)))


def day_span(day: int) -> tuple[float, float]:
    """Return where a day begins and ends in epoch seconds."""
    return float(day * _DAY), float((day + 1) * _DAY)


def day_text(day: int) -> str:
    """Return a day as YYYY-MM-DD."""
    return date.fromordinal(719_163 + day).isoformat()


def day_start(day: int) -> datetime:
    """Return the instant at which a day begins."""
    return datetime.combine(date.fromordinal(719_163 + day), datetime.min.time(), UTC)


def parse_day(text: str) -> int:
    """Return the day that is written YYYY-MM-DD."""
    return date.fromisoformat(text).toordinal() - 719_163


def id_day(id: str) -> int | None:
    """Return the day of a prediction whose id a server made, None for an id of another making."""
    found = _SERVER_ID.fullmatch(id)
    return day_of(int(found[1], 16) / 1000) if found else None


def segment_of(name: str) -> Segment | None:
    """Return what the name of a file says, None where it is none of the log: also one of a day that no calendar has."""
    found = _NAME.fullmatch(name)
    try:
        segment = Segment(parse_day(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        return None
    # Written in another way, with leading zeros, it would be a second name of one file.
    return segment if segment is not None and segment.name == name else None


def segments(path: Path, since: datetime | None = None, until: datetime | None = None) -> list[Segment]:
    """Return the files that can hold times with ``since <= time < until``, oldest day first."""
    first = day_of(since.timestamp()) if since else 0
    last = day_of(until.timestamp()) if until else _LAST_DAY
    try:
        names = [entry.name for entry in path.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(path, error) from None
    listed = sorted(segment for name in names if (segment := segment_of(name)) is not None)
    return [segment for segment in listed if first <= segment.day <= last]


_RACY = 2.0
"""Within so many seconds a file may be written to twice and have one time, by the clocks of file systems."""


def marks(path: Path, since: datetime, until: datetime) -> dict[str, str]:
    """Return the days of a window that have files, each with the sizes and times of those and of their journals.

    A day that was written to just now has "": as git does with its index, what may change without a trace is not known.
    """
    found: dict[str, list[str]] = {}
    fresh: set[str] = set()
    for segment in segments(path, since, until):
        day = day_text(segment.day)
        for name in (segment.name, f"{segment.name}-wal"):
            try:
                seen = (path / name).stat()
            except FileNotFoundError:
                continue
            if not seen.st_size:
                # Who only reads leaves an empty journal behind.
                continue
            if abs(time.time() - seen.st_mtime) < _RACY:
                fresh.add(day)
            found.setdefault(day, []).append(f"{name} {seen.st_ino} {seen.st_size} {seen.st_mtime_ns}")
    return {day: "" if day in fresh else "; ".join(each) for day, each in found.items()}


DAMAGED = ".damaged"
"""What the name of a file that was set aside ends with, before a number if there are several."""
_NUMBERED = re.compile(r"(-\d+)?")


def first_free(path: Path, day: int, writer: int) -> int:
    """Return the least number of a file that no file which was set aside had."""
    halves = (entry.name.partition(DAMAGED) for entry in path.iterdir())
    found = (segment_of(name) for name, mark, number in halves if mark and _NUMBERED.fullmatch(number))
    return max((each.number for each in found if each and (each.day, each.writer) == (day, writer)), default=0) + 1


def unreadable(path: Path, reason: object) -> ModelOpsError:
    """Return the error of a log that cannot be read."""
    return failure("log-unreadable", f"the prediction log {path} cannot be read: {reason}", exit=Exit.WORLD)


@contextmanager
def reading(file: Path, *, new: bool = False) -> Iterator[sqlite3.Connection | None]:
    """Open one file read-only; one that was dropped meanwhile is None, and so is one without tables unless ``new``."""
    with ExitStack() as opened:
        known: sqlite3.Connection | None = None
        try:
            if file.exists():
                uri = f"{file.resolve().as_uri()}?mode=ro"
                connection = opened.enter_context(closing(sqlite3.connect(uri, uri=True, timeout=10)))
                version = version_of(connection, file)
                as_now(connection, version)
                known = connection if version or new else None
        except sqlite3.Error as error:
            # It may have been dropped between the look and the opening.
            if file.exists():
                raise unreadable(file, error) from None
        try:
            yield known
        except sqlite3.Error as error:
            raise unreadable(file, error) from None
