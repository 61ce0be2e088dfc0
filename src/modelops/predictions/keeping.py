"""How long the log is kept, and the way out of it: Parquet files by model and day."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from modelops.errors import Exit, failure
from modelops.files import replacing, sweep
from modelops.predictions.carried import CHAINS_FOLDER, chains_of
from modelops.predictions.read import COLUMNS, read_window
from modelops.predictions.schema import VERSION
from modelops.predictions.segments import Segment, day_of, day_start, day_text, reading, segments

if TYPE_CHECKING:
    # The server imports this package and must not pay for Arrow.
    import pyarrow as pa

__all__ = ["SCHEMA_KEY", "expired", "export", "retain"]

SCHEMA_KEY = b"modelops.predictions.version"
"""Under this key an exported file's metadata holds the version of the log's schema."""


def expired(path: Path, now: datetime, *, days: float, needed_days: float = 0.0) -> tuple[str, ...]:
    """Return the files that hold only predictions older than ``days``, oldest first.

    None is younger than ``needed_days``, whatever ``days`` says: that is what the longest window of a monitor or a
    retraining, or the latest label, still asks for. Today's files never are.
    """
    limit = day_of((now - timedelta(days=max(days, needed_days))).timestamp())
    found = [segment for segment in segments(path) if segment.day < min(limit, day_of(now.timestamp()))]
    return tuple(segment.name for segment in found)


def retain(path: Path, now: datetime, *, days: float, needed_days: float = 0.0) -> tuple[str, ...]:
    """Drop the files that are ``expired``; return their names."""
    dropped = expired(path, now, days=days, needed_days=needed_days)
    for name in dropped:
        # The file first: what is left when this is interrupted is no log without its journal.
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                (path / (name + suffix)).unlink()
    return dropped


def export(path: Path, directory: Path, until: datetime) -> tuple[Path, ...]:
    """Write the whole days before ``until`` as ``model=<m>/day=<d>.parquet`` and return the files that were written.

    A file that exists is written anew when the log of its day has changed since: labels come late. It has the time of
    the change that it holds. A file of a day that the log no longer holds stays. Beside them lie the chains of each
    day, by which the rows can be held to the seals of the log.
    """
    written: list[Path] = []
    by_day: dict[int, list[Segment]] = {}
    last = day_of(until.timestamp())
    for segment in segments(path):
        if segment.day < last:
            by_day.setdefault(segment.day, []).append(segment)
    for day, files in by_day.items():
        changed = max(_changed(path / segment.name) for segment in files)
        for model in sorted({model for segment in files for model in _models(path / segment.name)}):
            target = directory / f"model={quote(model, safe='')}" / f"day={day_text(day)}.parquet"
            if not target.exists() or target.stat().st_mtime_ns < changed:
                _write(_rows(path, model, day), target)
                os.utime(target, ns=(changed, changed))
                written.append(target)
        chains = directory / CHAINS_FOLDER / f"day={day_text(day)}.parquet"
        if not chains.exists() or chains.stat().st_mtime_ns < changed:
            _write(chains_of([path / segment.name for segment in files]), chains)
            os.utime(chains, ns=(changed, changed))
    return tuple(written)


def _changed(file: Path) -> int:
    """Return when a file or its journal was last written; readers leave an empty journal behind."""
    found = []
    for each in (file, file.with_name(f"{file.name}-wal")):
        with suppress(FileNotFoundError):  # it may be dropped meanwhile
            found.append(each.stat())
    return max((each.st_mtime_ns for each in found if each.st_size), default=0)


def _models(file: Path) -> list[str]:
    with reading(file) as connection:
        return [] if connection is None else [row[0] for row in connection.execute("SELECT DISTINCT model FROM routes")]


def _rows(path: Path, model: str, day: int) -> pa.Table:
    columns = (*COLUMNS, "segment", "seq")
    table = read_window(path, model, day_start(day), day_start(day + 1), columns=columns)
    return table.replace_schema_metadata({SCHEMA_KEY: str(VERSION).encode()})


def _write(table: pa.Table, target: Path) -> None:
    import pyarrow.parquet as pq

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Two exports may run at once, and readers of a folder pass over what begins with a dot.
        with replacing(target.parent, target.name) as (file, commit):
            pq.write_table(table, file, compression="zstd")
            commit(target)
        sweep(target.parent, target.name)
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror or error}"
        raise failure("unwritable", message, exit=Exit.WORLD, hint="choose another folder") from None
