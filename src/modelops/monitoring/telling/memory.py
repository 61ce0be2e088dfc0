"""What is remembered between passes: what was told to whom, which ways fail, and how many pages an owner got."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from modelops.alerts import Event, Happening
from modelops.clock import format_instant, parse_instant
from modelops.errors import ModelOpsError
from modelops.files import write_atomically
from modelops.spec.layout import Seat

__all__ = ["LASTING", "Book", "Cause", "Key", "Memory", "Seen", "Told", "Trouble", "elapsed", "memory_of"]

LASTING: frozenset[Event] = frozenset(
    {"stalled", "drift", "performance", "inputs", "silent", "burn", "slow-burn", "anomaly"}
)
"""What is over at some time; anything else has happened once and for all."""
_PAUSES = (0, 30, 60, 120, 240, 480, 960, 1800)
"""Seconds after which a way is tried again that failed once, twice, and so on; then the last of them for ever."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cause:
    """What people are to hear of: something that lasts, or the ``release`` to which something happened at ``since``."""

    event: Happening
    seat: Seat
    code: str
    summary: str
    next: str
    release: int | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one pass saw: causes, and what is well now; of anything else it knows nothing."""

    revision: str
    causes: tuple[Cause, ...]
    over: Mapping[Happening, Collection[Seat]]


@dataclass(frozen=True, slots=True)
class Key:
    """What is told once: a cause, by one way."""

    way: str
    event: Happening
    model: str
    environment: str
    code: str
    release: int | None

    @property
    def happening(self) -> tuple[str, Happening, Seat]:
        """What is one incident to who is told by the way, whatever reasons it has one after the other."""
        return self.way, self.event, Seat(self.model, self.environment)


@dataclass(frozen=True, slots=True)
class Told:
    """Since when a cause is known, when it was told last, and since when it is known to be over.

    ``why`` says what keeps one from being told that was never told: nothing, a silence by its name, or its turn.
    """

    since: str
    at: str | None = None
    over: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A way that failed: since when, how often in a row, when it is tried again, and what it said."""

    since: str
    tries: int
    again: str
    code: str
    said: str
    hint: str | None = None
    waiting: int = 0

    def waits(self, now: datetime) -> bool:
        """Tell whether it is too early to try again; a clock that was moved back makes nobody wait longer."""
        return timedelta(0) < parse_instant(self.again) - now <= timedelta(seconds=_PAUSES[-1])

    @classmethod
    def after(cls, before: Trouble | None, now: datetime, code: str, said: str, hint: str | None) -> Trouble:
        """Return the trouble of a way that has just failed, once more if it had before."""
        tries = 1 if before is None else before.tries + 1
        pause = timedelta(seconds=_PAUSES[min(tries, len(_PAUSES)) - 1])
        since = format_instant(now) if before is None else before.since
        return cls(since, tries, format_instant(now + pause), code, said, hint)


@dataclass
class Memory:
    """What one teller remembers of an environment; ``known`` are facts of the past that were looked at already.

    ``ways`` are those that failed last, by what tells one way from another.
    """

    path: Path
    began: str
    told: dict[Key, Told] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    ways: dict[str, Trouble] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, began: str) -> Memory:
        """Return what is remembered; a file that cannot be read is a memory that was lost."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            told = {Key(**row["key"]): Told(**row["told"]) for row in data["told"]}
            ways = {str(way): Trouble(**trouble) for way, trouble in data.get("ways", {}).items()}
            instants = [each.at or each.since for each in told.values()]
            for text in (*instants, *(each.again for each in ways.values())):
                parse_instant(text)
            return cls(path, str(data["began"]), told, set(data["known"]), ways)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ModelOpsError):
            return cls(path, began)

    def write(self) -> None:
        """Keep it."""
        rows = [{"key": asdict(key), "told": asdict(told)} for key, told in self.told.items()]
        ways = {way: asdict(trouble) for way, trouble in self.ways.items()}
        data = {"began": self.began, "told": rows, "known": sorted(self.known), "ways": ways}
        write_atomically(self.path, json.dumps(data, indent=1, sort_keys=True).encode())


@dataclass
class Book:
    """The pages and digests of the last day, of all environments of this machine: instants by way and owner, and id.

    A page is put down before it is sent, so that a process that dies in between sends none too many; the same id counts
    once.
    """

    path: Path
    pages: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, now: datetime) -> Book:
        """Return what was put down in the last day; a book that cannot be read is an empty one."""
        try:
            found: Any = json.loads(path.read_text(encoding="utf-8"))
            return cls.of(cls(path, {who: dict(pages) for who, pages in found.items()}), now)
        except (OSError, ValueError, TypeError, AttributeError, ModelOpsError):
            return cls(path)

    @classmethod
    def of(cls, book: Book, now: datetime) -> Book:
        """Return a book without what is older than a day; what a clock that was moved back left counts from now."""
        kept = {
            who: {one: format_instant(min(parse_instant(at), now)) for one, at in pages.items() if _young(at, now)}
            for who, pages in book.pages.items()
        }
        return cls(book.path, {who: pages for who, pages in kept.items() if pages})

    def write(self) -> None:
        """Keep it."""
        write_atomically(self.path, json.dumps(self.pages, indent=1, sort_keys=True).encode())


def _young(at: str, now: datetime) -> bool:
    return now - parse_instant(at) < DAY


def memory_of(runtime: Path, teller: str) -> Path:
    """Return where a teller remembers what it told of an environment."""
    return runtime / "alerts" / f"{teller}.json"


def elapsed(since: str, now: datetime) -> timedelta:
    """Return the time since an instant; one that lies ahead, as after a clock was moved back, is as good as past."""
    passed = now - parse_instant(since)
    return passed if passed >= timedelta(0) else timedelta.max
