"""Time as an argument: the wall clock, a fixed instant, or an instant held in a file (logical time)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelops.errors import Exit, failure

Clock = Callable[[], datetime]
"""Returns the current instant as an aware datetime in UTC."""

VARIABLE = "MODELOPS_CLOCK"


def wall_clock() -> datetime:
    """Return the instant of the machine's clock."""
    return datetime.now(UTC)


def parse_instant(text: str) -> datetime:
    """Parse an ISO 8601 date or instant; without an offset it is UTC."""
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise failure(
            "bad-instant",
            f"{text!r} is not an ISO 8601 date or time",
            exit=Exit.USAGE,
            hint="write 2026-04-30T12:00:00Z",
        ) from None
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        message = f"{text!r} is no date or time in UTC: the years are 1 to 9999"
        raise failure("bad-instant", message, exit=Exit.USAGE, hint="write 2026-04-30T12:00:00Z") from None


def end_of_day(day: str) -> datetime:
    """Return the end of a day in UTC; of the last one that there is, the last instant that there is."""
    begins = parse_instant(day)
    last = datetime.max.replace(tzinfo=UTC)
    return begins + timedelta(days=1) if last - begins >= timedelta(days=1) else last


def format_instant(instant: datetime) -> str:
    """Return the one spelling of an instant that modelops writes, in UTC with seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def file_clock(path: Path) -> Clock:
    """Return a clock that reads its instant from a file, at most every 20 ms, so that many processes share one time."""
    state: tuple[float, datetime] | None = None

    def now() -> datetime:
        nonlocal state
        tick = time.monotonic()
        if state is None or tick - state[0] > 0.02:
            state = (tick, parse_instant(path.read_text(encoding="utf-8")))
        return state[1]

    return now


def is_given(environment: Mapping[str, str]) -> bool:
    """Tell whether the environment, and not the machine, says what time it is."""
    return bool(environment.get(VARIABLE, ""))


def clock_from(environment: Mapping[str, str] = os.environ) -> Clock:
    """Return the clock that ``MODELOPS_CLOCK`` names: an instant, a file holding one; unset, the wall clock."""
    value = environment.get(VARIABLE, "")
    if not value:
        return wall_clock
    path = Path(value)
    if path.is_file():
        return file_clock(path)
    instant = parse_instant(value)
    return lambda: instant
