"""What the arms of a rollout did, read from the log: a route's answers lie together, so cost follows the rollout."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from modelops.predictions.read import conditions
from modelops.predictions.segments import id_day, reading, segments

__all__ = ["ArmRows", "ShadowPairs", "arm_rows", "shadow_pairs"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
UnitArray = np.ndarray[Any, np.dtype[np.uint64]]
Key = tuple[int, str]


@dataclass(frozen=True)
class ArmRows:
    """What one arm did in one step of a rollout; all arrays are in the order of time.

    ``requests``, ``errors`` (status 500 or above) and ``slow`` (latency above the objective) count requests;
    ``scores`` has one value per successfully answered row, shape (m,). ``labelled_scores`` (float), ``labels`` and
    ``truths`` (text), ``propensities`` (the arm's share when it answered) and ``units`` (64 bits that stand for the
    entity) have one value per answered row whose truth has arrived, in the same order. ``entities`` counts the
    different entities that asked.
    """

    release: int
    requests: int
    errors: int
    slow: int
    scores: FloatArray
    labelled_scores: FloatArray
    labels: tuple[str | None, ...]
    truths: tuple[str, ...]
    propensities: FloatArray
    units: UnitArray
    entities: int


@dataclass(frozen=True)
class ShadowPairs:
    """What a shadow and the arm that answered said to the same requests, in the order of time; shape (n,) each.

    Scores are NaN and labels None where an answer failed (status 500 or above); latencies are milliseconds.
    """

    release: int
    scores: FloatArray
    labels: tuple[str | None, ...]
    statuses: IntArray
    latency_ms: FloatArray
    primary_scores: FloatArray
    primary_labels: tuple[str | None, ...]
    primary_statuses: IntArray
    primary_latency_ms: FloatArray

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return len(self.scores)


@dataclass
class _Found:
    release: int
    answers: list[np.ndarray[Any, Any]]
    labelled: list[tuple[Any, ...]]


# One array for each route, filled straight from SQLite; a row without a score is infinite there.
_ANSWER_TYPE = np.dtype(
    [("time", "f8"), ("row", "i8"), ("status", "i8"), ("latency_ms", "f8"), ("score", "f8"), ("unit", "i8")]
)
_ROUTES = """SELECT step, arm, release, propensity, route FROM routes
    WHERE model = ? AND salt = ? AND arm <> 'pinned' ORDER BY route"""


def arm_rows(
    path: Path,
    model: str,
    salt: str,
    *,
    objective_ms: float,
    since: datetime | None = None,
    until: datetime | None = None,
    warm_up: int = 0,
) -> dict[Key, ArmRows]:
    """Return by (step, arm) what the arms of a model did under one salt, pinned requests left out.

    The first ``warm_up`` requests of each arm in each step are left out, and what lies outside ``since <= time <
    until``.
    """
    where, values = conditions(None, since, until)
    span = " AND ".join(f"a.{condition}" if condition != "1" else "1" for condition in where)
    answers = f"""SELECT a.time, a.row, a.status, a.latency_ms, ifnull(a.score, 9e999), a.unit
        FROM answers a WHERE a.route = ? AND {span}"""  # noqa: S608
    labelled = f"""SELECT a.time, a.seq, a.score, a.label, f.label, a.unit FROM feedback f
        JOIN answers a ON a.route = f.route AND a.seq = f.seq WHERE f.route = ? AND a.status < 500 AND {span}"""  # noqa: S608
    found: dict[Key, _Found] = {}
    for number, segment in enumerate(segments(path, since, until)):
        with reading(path / segment.name) as connection:
            if connection is None:
                continue
            connection.execute("BEGIN")
            for step, arm, release, propensity, route in connection.execute(_ROUTES, (model, salt)).fetchall():
                of_arm = found.setdefault((step, arm), _Found(release, [], []))
                of_arm.release = max(release, of_arm.release)
                of_arm.answers.append(np.fromiter(connection.execute(answers, (route, *values)), _ANSWER_TYPE))
                more = connection.execute(labelled, (route, *values))
                of_arm.labelled += [(time, number, seq, *rest, propensity) for time, seq, *rest in more]
    return {key: _arm(each, objective_ms, warm_up) for key, each in found.items() if sum(map(len, each.answers))}


def _arm(found: _Found, objective_ms: float, warm_up: int) -> ArmRows:
    answers = np.concatenate(found.answers)
    answers = answers[np.argsort(answers["time"], kind="stable")]
    begin = -np.inf
    if warm_up:
        starts = np.flatnonzero(answers["row"] == 0)
        answers = answers[starts[warm_up] :] if len(starts) > warm_up else answers[:0]
        begin = answers["time"][0] if len(answers) else np.inf
    first, failed = answers["row"] == 0, answers["status"] >= 500
    slow, scores = answers["latency_ms"] > objective_ms, answers["score"]
    labelled = sorted((each for each in found.labelled if each[0] >= begin), key=lambda each: each[:3])
    columns = list(zip(*labelled, strict=True)) or [()] * 8
    return ArmRows(
        release=found.release,
        requests=int(first.sum()),
        errors=int((first & failed).sum()),
        slow=int((first & slow).sum()),
        scores=scores[~failed & np.isfinite(scores)],
        labelled_scores=np.array(columns[3], dtype=np.float64),
        labels=tuple(columns[4]),
        truths=tuple(columns[5]),
        propensities=np.array(columns[7], dtype=np.float64),
        units=np.array(columns[6], dtype=np.int64).view(np.uint64),
        entities=len(np.unique(answers["unit"])),
    )


_PAIRS = """SELECT s.time, s.prediction_id, s.step, s.arm, s.release, s.score, s.label, s.status, s.latency_ms,
    a.score, a.label, a.status, a.latency_ms
    FROM shadows s LEFT JOIN answers a ON a.id = s.prediction_id WHERE s.model = ? AND s.salt = ?"""
_ANSWER = "SELECT score, label, status, latency_ms FROM answers WHERE id = ?"


def shadow_pairs(
    path: Path, model: str, salt: str, *, since: datetime | None = None, until: datetime | None = None
) -> dict[Key, ShadowPairs]:
    """Return by (step, shadow arm) what shadows said under one salt beside what the caller was told.

    A copy whose prediction is not in the log (it was dropped, or is still on its way) is no pair.
    """
    where, values = conditions(None, since, until)
    query = " AND ".join([_PAIRS, *(f"s.{condition}" for condition in where if condition != "1")])
    pairs: list[tuple[Any, ...]] = []
    alone: list[tuple[Any, ...]] = []
    for segment in segments(path, since, until):
        with reading(path / segment.name) as connection:
            if connection is not None:
                for row in connection.execute(query, (model, salt, *values)):
                    (pairs if row[11] is not None else alone).append(row)
    pairs += _joined(path, alone)
    by_arm: dict[Key, list[tuple[Any, ...]]] = {}
    for row in sorted(pairs, key=lambda row: row[:2]):
        by_arm.setdefault((row[2], row[3]), []).append(row)
    return {key: _pairs(rows) for key, rows in by_arm.items()}


def _joined(path: Path, alone: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Find the predictions that lie in another file than their shadows: a new one was begun in between."""
    found: list[tuple[Any, ...]] = []
    days = {id_day(row[1]) for row in alone}
    for segment in segments(path):
        if not (segment.day in days or None in days):
            continue
        with reading(path / segment.name) as connection:
            for row in alone if connection is not None else ():
                answer = _answer(connection, row[1])
                if answer is not None:
                    found.append((*row[:9], *answer))
    return found


def _answer(connection: sqlite3.Connection | None, id: str) -> tuple[Any, ...] | None:
    return None if connection is None else connection.execute(_ANSWER, (id,)).fetchone()


def _pairs(rows: Sequence[tuple[Any, ...]]) -> ShadowPairs:
    columns = list(zip(*rows, strict=True))

    def reals(column: int) -> FloatArray:
        return np.array(columns[column], dtype=np.float64)

    return ShadowPairs(
        release=max(columns[4]),
        scores=reals(5),
        labels=columns[6],
        statuses=np.array(columns[7], dtype=np.int64),
        latency_ms=reals(8),
        primary_scores=reals(9),
        primary_labels=columns[10],
        primary_statuses=np.array(columns[11], dtype=np.int64),
        primary_latency_ms=reals(12),
    )
