"""The hours of whole days, kept so that a look reads only the days that changed since the last one.

What is kept can be deleted at any time: it is counted anew from the log. A day is known by the sizes and times of its
files, so that a label which arrives for an old answer has its day counted once more. It is written whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.artifacts.signature import canonical_json
from modelops.digests import digest_bytes
from modelops.files import write_atomically
from modelops.logs import RuntimeLog
from modelops.monitoring.objectives.hours import COLUMNS, WHAT, Hours, count, merged
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import Objectives
from modelops.spec.layout import slug

__all__ = ["hours_of"]

_VERSION = 2
_DAY = timedelta(days=1)


def hours_of(
    runtime: Path, name: str, log: RuntimeLog, objectives: Objectives, model: ModelSpec, since: datetime, now: datetime
) -> Hours:
    """Return the numbers of all answers from the day of ``since`` on, of which only what changed is read.

    Parameters
    ----------
    runtime : Path
        The folder of the environment on this machine; what is kept lies in its ``monitor/``.
    name, log : str, RuntimeLog
        The model, and the log of the environment.
    objectives, model : Objectives, ModelSpec
        When an answer is slow and when it is right; where that changes, all is counted anew.
    since, now : datetime
        The period.
    """
    file, key = runtime / "monitor" / f"{slug(name)}.hours.json", _key(objectives, model)
    known, first = _read(file, key), since.replace(hour=0, minute=0, second=0, microsecond=0)
    marks = log.marks(first, now)
    days = [(f"{day:%Y-%m-%d}", day) for day in _days(first, now)]
    kept: dict[str, Any] = {}
    parts = []
    for day, begins in days:
        mark, before = marks.get(day), known.get(day)
        if mark is None:
            continue
        part = _hours(before) if before is not None and before.get("mark") == mark else None
        if part is None:
            part = _counted(log, name, objectives, model, begins, min(begins + _DAY, now))
        # The last day goes on, and a file that is being written to may have more under the same mark.
        if mark and begins + _DAY <= now:
            kept[day] = _data(mark, part)
        parts.append(part)
    if kept != known:
        write_atomically(file, json.dumps({"key": key, "days": kept}, separators=(",", ":")).encode())
    return merged(parts)


def _days(first: datetime, now: datetime) -> Iterator[datetime]:
    day = first
    while day <= now:
        yield day
        day += _DAY


def _counted(
    log: RuntimeLog, name: str, objectives: Objectives, model: ModelSpec, since: datetime, until: datetime
) -> Hours:
    """Count a day batch by batch, so that it needs no more memory than one of them."""
    parts: list[pa.Table] = []
    found: list[Hours] = []
    rows = 0
    for batch in log.batches(name, since, until, columns=COLUMNS):
        parts.append(batch)
        rows += batch.num_rows
        if rows >= 200_000:
            found.append(count(objectives, model, pa.concat_tables(parts)))
            parts, rows = [], 0
    if parts:
        found.append(count(objectives, model, pa.concat_tables(parts)))
    return merged(found)


def _key(objectives: Objectives, model: ModelSpec) -> str:
    """Return the digest of all that says when an answer is bad."""
    latency, quality = objectives.latency, objectives.quality
    within = (latency.within_ms if latency is not None else None) or model.serving.latency_objective_ms
    near = quality.within if quality is not None else None
    return digest_bytes(canonical_json([_VERSION, WHAT, model.task, model.data.positive, within, near]))


def _read(file: Path, key: str) -> dict[str, Any]:
    """Return what is kept by day; what is broken, of another version or of other bounds is as if it were not there."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    days = found.get("days") if isinstance(found, dict) and found.get("key") == key else None
    return days if isinstance(days, dict) and all(isinstance(each, dict) for each in days.values()) else {}


def _data(mark: str, part: Hours) -> dict[str, Any]:
    kinds = [[*kind, *many] for kind, many in part.kinds.items()]
    numbers = {"hours": part.hours.tolist(), "counts": part.counts.tolist(), "sums": part.sums.tolist()}
    return {"mark": mark, **numbers, "kinds": kinds}


def _hours(kept: dict[str, Any]) -> Hours | None:
    """Return the numbers of a day, None where they are none."""
    try:
        hours = np.array(kept["hours"], dtype=np.int64)
        counts = np.array(kept["counts"], dtype=np.int64).reshape(len(hours), len(WHAT))
        sums = np.array(kept["sums"], dtype=np.float64).reshape(len(hours))
        kinds = {(int(day), str(label), bin_): (int(n), int(known)) for day, label, bin_, n, known in kept["kinds"]}
    except (KeyError, TypeError, ValueError):
        return None
    return Hours(hours, counts, sums, kinds)
