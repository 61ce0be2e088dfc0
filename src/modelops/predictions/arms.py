"""What the arms of a rollout did, read from the log: a route's answers lie together, so cost follows the rollout."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelops.predictions.read import conditions
from modelops.predictions.schema import unit_of
from modelops.predictions.segments import id_day, reading, segments

if TYPE_CHECKING:
    # The server imports this package and must not pay for Arrow.
    import pyarrow as pa

__all__ = ["ArmRows", "ShadowPairs", "arm_rows", "arm_rows_of", "shadow_pairs"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
UnitArray = np.ndarray[Any, np.dtype[np.uint64]]
FlagArray = np.ndarray[Any, np.dtype[np.bool_]]
Key = tuple[int, str]


@dataclass(frozen=True)
class ArmRows:
    """What one arm did in one step of a rollout; all arrays are in the order of time.

    ``requests``, ``errors`` (status 500 or above) and ``slow`` (latency above the objective) count requests;
    ``scores`` has one value per successfully answered row, shape (m,). ``labelled_scores`` (float), ``labels`` and
    ``truths`` (text), ``propensities`` (the arm's share when it answered) and ``units`` (64 bits that stand for the
    entity) have one value per answered row whose truth has arrived, in the same order. ``entities`` counts the
    different entities that asked. Of every request ``times`` (epoch seconds), ``people`` (64 bits that stand for the
    entity), ``failed`` and ``late`` say when it came, from whom, and what became of it. ``by_answer`` counts, by the
    answered label, the answered rows and those whose truth has arrived.
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
    times: FloatArray
    people: UnitArray
    failed: FlagArray
    late: FlagArray
    by_answer: Mapping[str, tuple[int, int]]


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
    said: Counter[str | None]


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
) -> dict[Key, ArmRows]:
    """Return by (step, arm) what the arms of a model did under one salt, pinned requests left out.

    What lies outside ``since <= time < until`` is left out too.
    """
    where, values = conditions(None, since, until)
    span = " AND ".join(f"a.{condition}" if condition != "1" else "1" for condition in where)
    answers = f"""SELECT a.time, a.row, a.status, a.latency_ms, ifnull(a.score, 9e999), a.unit
        FROM answers a WHERE a.route = ? AND {span}"""  # noqa: S608
    said = f"""SELECT a.label, count(*) FROM answers a
        WHERE a.route = ? AND a.status < 500 AND a.label IS NOT NULL AND {span} GROUP BY a.label"""  # noqa: S608
    labelled = f"""SELECT a.time, a.seq, a.score, a.label, f.label, a.unit FROM feedback f
        JOIN answers a ON a.route = f.route AND a.seq = f.seq WHERE f.route = ? AND a.status < 500 AND {span}"""  # noqa: S608
    found: dict[Key, _Found] = {}
    for number, segment in enumerate(segments(path, since, until)):
        with reading(path / segment.name) as connection:
            if connection is None:
                continue
            connection.execute("BEGIN")
            for step, arm, release, propensity, route in connection.execute(_ROUTES, (model, salt)).fetchall():
                of_arm = found.setdefault((step, arm), _Found(release, [], [], Counter()))
                of_arm.release = max(release, of_arm.release)
                of_arm.answers.append(np.fromiter(connection.execute(answers, (route, *values)), _ANSWER_TYPE))
                of_arm.said.update(dict(connection.execute(said, (route, *values)).fetchall()))
                more = connection.execute(labelled, (route, *values))
                of_arm.labelled += [(time, number, seq, *rest, propensity) for time, seq, *rest in more]
    return {key: _arm(each, objective_ms) for key, each in found.items() if sum(map(len, each.answers))}


def arm_rows_of(answers: pa.Table, *, objective_ms: float) -> dict[Key, ArmRows]:
    """Return by (step, arm) what arms did, from the rows of one rollout in the order of time."""
    found: dict[Key, _Found] = {}
    for at, row in enumerate(answers.to_pylist()):
        of_arm = found.setdefault((row["step"], row["arm"]), _Found(row["release"], [], [], Counter()))
        of_arm.release = max(row["release"], of_arm.release)
        unit, score, time = unit_of(row["entity"]), row["score"], row["time"]
        answer = (time, row["row"], row["status"], row["latency_ms"], np.inf if score is None else score, unit)
        of_arm.answers.append(np.array([answer], _ANSWER_TYPE))
        if row["label"] is not None and row["status"] < 500:
            of_arm.said[row["label"]] += 1
        if row["truth"] is not None and row["status"] < 500:
            of_arm.labelled.append((time, 0, at, score, row["label"], row["truth"], unit, row["propensity"]))
    return {key: _arm(each, objective_ms) for key, each in found.items()}


def _arm(found: _Found, objective_ms: float) -> ArmRows:
    answers = np.concatenate(found.answers)
    answers = answers[np.argsort(answers["time"], kind="stable")]
    first, failed = answers["row"] == 0, answers["status"] >= 500
    slow, scores = answers["latency_ms"] > objective_ms, answers["score"]
    labelled = sorted(found.labelled, key=lambda each: each[:3])
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
        times=answers["time"][first],
        people=answers["unit"][first].view(np.uint64),
        failed=failed[first],
        late=slow[first],
        by_answer=_by_answer(found.said, columns[4]),
    )


def _by_answer(said: Mapping[str | None, int], labelled: Sequence[str | None]) -> dict[str, tuple[int, int]]:
    known = Counter(labelled)
    return {label: (count, known[label]) for label, count in said.items() if label is not None}


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
