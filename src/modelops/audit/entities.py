"""What was ever answered about one entity: a customer, a device, whatever a model's callers name."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelops.audit.logged import KnownLog
from modelops.clock import format_instant

__all__ = ["Answered", "of_entity"]

_COLUMNS = ("id", "time", "entity", "arm", "release", "label", "score", "status", "truth")


@dataclass(frozen=True, slots=True)
class Answered:
    """One logged answer; its id leads to everything that is known of it."""

    id: str
    environment: str
    model: str
    release: int
    arm: str
    time: str
    label: str | None
    score: float | None
    status: int
    truth: str | None


def of_entity(
    logs: Iterable[KnownLog],
    models: Sequence[str],
    entity: str,
    limit: int,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[list[Answered], int]:
    """Return the newest answers about an entity, at most ``limit``, the newest first, and how many there are in all.

    They are those from ``since`` on and before ``until``. Every row of the models' logs is read once, in parts that fit
    into memory.
    """
    newest: list[tuple[float, str, Answered]] = []
    count = 0
    for known in logs:
        for model in models:
            for batch in known.log.batches(model, since, until, columns=_COLUMNS):
                for row in _mine(batch, entity):
                    count += 1
                    when = float(row["time"])
                    found = (when, str(row["id"]), _answered(known.environment, model, row))
                    push = heapq.heappush if len(newest) < limit else heapq.heappushpop
                    push(newest, found)
    return [one for _, _, one in sorted(newest, reverse=True)], count


def _mine(batch: Any, entity: str) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    rows: list[dict[str, Any]] = batch.filter(pc.equal(batch.column("entity"), entity)).to_pylist()
    return rows


def _answered(environment: str, model: str, row: dict[str, Any]) -> Answered:
    return Answered(
        str(row["id"]),
        environment,
        model,
        int(row["release"]),
        str(row["arm"]),
        format_instant(datetime.fromtimestamp(row["time"], UTC)),
        row["label"],
        row["score"],
        int(row["status"]),
        row["truth"],
    )
