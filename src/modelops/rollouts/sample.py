"""A bounded sample of logged answers: drawn evenly by their ids, whatever the log's size, the same every time."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.logs import Log
from modelops.predictions.schema import unit_of

__all__ = ["Drawn", "drawn"]

_COLUMNS = ("id", "time", "release", "arm", "entity", "features", "score", "label", "status", "truth", "truth_time")
_SPAN = 2**64


@dataclass(frozen=True)
class Drawn:
    """Answers of one release, oldest first; ``logged`` are all that it gave, ``others`` those of other releases."""

    release: int
    rows: pa.Table
    logged: int
    others: int
    pinned: int


def drawn(log: Log, model: str, since: datetime, most: int, prefer: int | None) -> Drawn | None:
    """Return at most so many answers of one release since an instant; None where there are no answers.

    It is the release ``prefer`` if it answered anything, else the one that answered most. What callers asked of a
    version by its name is left out: it is no traffic. All answers are counted first; of more than ``most`` only those
    whose ids have the smallest hashes are read whole.
    """
    counts = _counts(log, model, since)
    pinned = sum(count for (_, is_pinned), count in counts.items() if is_pinned)
    answered = Counter({release: count for (release, is_pinned), count in counts.items() if not is_pinned})
    if not answered:
        return None
    chosen = prefer if prefer in answered else answered.most_common(1)[0][0]
    assert chosen is not None, "there are counts"
    # Enough more than asked for that chance does not leave too few.
    share = most / answered[chosen] * (1 + 6 / math.sqrt(most))
    limit = _SPAN if share >= 1 else int(share * _SPAN)
    parts = log.batches(model, since, columns=_COLUMNS, wanted=None if share >= 1 else lambda id: _hash(id) < limit)
    mine = pa.concat_tables([part.filter(_of(part, chosen)) for part in parts])
    rows = _fewest(mine, most).sort_by([("time", "ascending"), ("id", "ascending")])
    return Drawn(chosen, rows, answered[chosen], sum(answered.values()) - answered[chosen], pinned)


def _counts(log: Log, model: str, since: datetime) -> Counter[tuple[int, bool]]:
    """Count answers by release, and whether the caller asked for that version."""
    counts = Counter[tuple[int, bool]]()
    for part in log.batches(model, since, columns=("release", "arm")):
        of = part.group_by(["release", "arm"]).aggregate([([], "count_all")]).to_pylist()
        for row in of:
            counts[row["release"], row["arm"] == "pinned"] += row["count_all"]
    return counts


def _of(part: pa.Table, release: int) -> pa.ChunkedArray:
    return pc.and_(pc.equal(part.column("release"), release), pc.not_equal(part.column("arm"), "pinned"))


def _fewest(rows: pa.Table, most: int) -> pa.Table:
    if len(rows) <= most:
        return rows
    hashes = np.array([_hash(id) for id in rows.column("id").to_pylist()], dtype=np.uint64)
    return rows.take(pa.array(np.argpartition(hashes, most)[:most]))


def _hash(id: str) -> int:
    return unit_of(id) % _SPAN
