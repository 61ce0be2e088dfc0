"""Readers of the prediction log; they open it read-only, also while a server writes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from modelops.clock import parse_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions.schema import Row, check_version
from modelops.spec.model import Feature

if TYPE_CHECKING:
    # The server imports this package and must not pay for Arrow.
    import pyarrow as pa

__all__ = ["ArmRows", "Logged", "arm_rows", "count", "feature_columns", "find", "latest_time", "read_window"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

_REALS = ("time", "score", "latency_ms", "truth_time")
_INTEGERS = ("release", "step", "status", "row")
COLUMNS = (*Row._fields, "truth", "truth_time")
_EXPRESSIONS = {name: f"p.{name}" for name in Row._fields} | {"truth": "f.label", "truth_time": "f.time"}
_JOINED = "FROM predictions p LEFT JOIN feedback f ON f.prediction_id = p.id"
_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Logged:
    """One logged prediction and the truth that arrived for it, if any, with the time at which it arrived."""

    row: Row
    truth: str | None
    truth_time: float | None


@dataclass(frozen=True)
class ArmRows:
    """What one arm did in one step of a rollout.

    ``requests``, ``errors`` (status 500 or above) and ``slow`` (latency above the objective) count requests; ``scores``
    has one value per successfully answered row, shape (m,). ``labelled_scores`` (float), ``labels`` and ``truths``
    (text) have one value per answered row whose truth has arrived, in the same order.
    """

    release: int
    requests: int
    errors: int
    slow: int
    scores: FloatArray
    labelled_scores: FloatArray
    labels: tuple[str | None, ...]
    truths: tuple[str, ...]


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the log read-only; no file, or one without tables yet, is None: nothing has been predicted."""
    if not path.exists():
        yield None
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            yield connection if check_version(connection, path) else None
    except sqlite3.Error as error:
        raise failure("log-unreadable", f"the prediction log {path} cannot be read: {error}", exit=Exit.WORLD) from None


def _schema(columns: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    def kind(column: str) -> pa.DataType:
        return pa.float64() if column in _REALS else pa.int64() if column in _INTEGERS else pa.string()

    return pa.schema([(column, kind(column)) for column in columns])


def _conditions(model: str | None, since: datetime | None, until: datetime | None) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    for condition, value in (
        ("p.model = ?", model),
        ("p.time >= ?", since.timestamp() if since else None),
        ("p.time < ?", until.timestamp() if until else None),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return conditions or ["1"], values


def read_window(
    path: Path,
    model: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    arms: Sequence[str] = (),
    releases: Sequence[int] = (),
    labelled: bool = False,
    succeeded: bool = False,
    columns: Sequence[str] = COLUMNS,
) -> pa.Table:
    """Return the logged rows of a model with ``since <= time < until``, oldest first, the truth joined as ``truth``.

    ``time`` and ``truth_time`` are epoch seconds; the last feedback of a prediction wins. ``labelled`` keeps only rows
    with a truth, ``succeeded`` only rows with a status below 500. A log that does not exist yet has no rows.
    """
    import pyarrow as pa

    conditions, values = _conditions(model, since, until)
    for column, allowed in (("arm", arms), ("release", releases)):
        if allowed:
            conditions.append(f"p.{column} IN ({', '.join('?' * len(allowed))})")
            values.extend(allowed)
    if labelled:
        conditions.append("f.label IS NOT NULL")
    if succeeded:
        conditions.append("p.status < 500")
    selected = ", ".join(_EXPRESSIONS[column] for column in columns)
    schema = _schema(columns)
    query = f"SELECT {selected} {_JOINED} WHERE {' AND '.join(conditions)} ORDER BY p.time, p.rowid"
    batches: list[pa.RecordBatch] = []
    with _reading(path) as connection:
        if connection is not None:
            cursor = connection.execute(query, values)
            while rows := cursor.fetchmany(_BATCH):
                arrays = [pa.array(c, field.type) for c, field in zip(zip(*rows, strict=True), schema, strict=True)]
                batches.append(pa.record_batch(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema)


def count(path: Path, model: str | None = None, since: datetime | None = None, until: datetime | None = None) -> int:
    """Return how many rows a window holds."""
    conditions, values = _conditions(model, since, until)
    with _reading(path) as connection:
        if connection is None:
            return 0
        query = f"SELECT count(*) FROM predictions p WHERE {' AND '.join(conditions)}"  # noqa: S608
        return int(connection.execute(query, values).fetchone()[0])


def find(path: Path, id: str) -> Logged | None:
    """Return the logged prediction with this id."""
    selected = ", ".join(_EXPRESSIONS.values())
    with _reading(path) as connection:
        if connection is None:
            return None
        found = connection.execute(f"SELECT {selected} {_JOINED} WHERE p.id = ?", (id,)).fetchone()
    if found is None:
        return None
    return Logged(Row._make(found[:-2]), found[-2], found[-1])


def latest_time(path: Path, model: str | None = None) -> float | None:
    """Return the time of the newest row in epoch seconds, None for an empty log."""
    conditions, values = _conditions(model, None, None)
    with _reading(path) as connection:
        if connection is None:
            return None
        query = f"SELECT max(p.time) FROM predictions p WHERE {' AND '.join(conditions)}"  # noqa: S608
        found = connection.execute(query, values).fetchone()[0]
    return None if found is None else float(found)


def arm_rows(
    path: Path, model: str, salt: str, *, objective_ms: float, since: datetime | None = None
) -> dict[tuple[int, str], ArmRows]:
    """Return by (step, arm) what the arms of a model did under one salt, pinned requests left out."""
    conditions, values = _conditions(model, since, None)
    where = f"WHERE p.salt = ? AND p.arm IN ('stable', 'candidate') AND {' AND '.join(conditions)}"
    counts = f"""SELECT p.step, p.arm, max(p.release), sum(p.row = 0), sum(p.row = 0 AND p.status >= 500),
        sum(p.row = 0 AND p.latency_ms > ?) FROM predictions p {where} GROUP BY p.step, p.arm"""  # noqa: S608
    rows = f"""SELECT p.step, p.arm, p.score, p.label, f.label {_JOINED} {where} AND p.status < 500
        ORDER BY p.time, p.rowid"""
    with _reading(path) as connection:
        if connection is None:
            return {}
        connection.execute("BEGIN")
        counted = connection.execute(counts, [objective_ms, salt, *values]).fetchall()
        answered: dict[tuple[int, str], list[tuple[float | None, str | None, str | None]]] = {}
        for step, arm, *row in connection.execute(rows, [salt, *values]):
            answered.setdefault((step, arm), []).append(tuple(row))
    return {
        (step, arm): _arm(release, n, e, s, answered.get((step, arm), [])) for step, arm, release, n, e, s in counted
    }


def _arm(
    release: int, requests: int, errors: int, slow: int, rows: list[tuple[float | None, str | None, str | None]]
) -> ArmRows:
    labelled = [(score, label, truth) for score, label, truth in rows if truth is not None]
    return ArmRows(
        release=release,
        requests=requests,
        errors=errors,
        slow=slow,
        scores=np.array([score for score, _, _ in rows if score is not None], dtype=np.float64),
        labelled_scores=np.array([np.nan if score is None else score for score, _, _ in labelled], dtype=np.float64),
        labels=tuple(label for _, label, _ in labelled),
        truths=tuple(truth for _, _, truth in labelled),
    )


def feature_columns(window: pa.Table, features: Sequence[Feature]) -> pa.Table:
    """Return the logged ``features`` of a window as one typed column per feature, missing values as nulls.

    Numbers are float64, integers int64, booleans bool, categories string, datetimes timestamp[us, UTC]. A value that
    does not fit its type (another release had other features) is a null.
    """
    import pyarrow as pa

    objects = [orjson.loads(text) for text in window.column("features").to_pylist()]
    columns = {
        feature.name: _column([each.get(feature.name) for each in objects], feature.type) for feature in features
    }
    return pa.table(columns)


def _column(values: list[Any], kind: str) -> pa.Array:
    import pyarrow as pa

    match kind:
        case "category":
            return pa.array([value if isinstance(value, str) else None for value in values], pa.string())
        case "boolean":
            return pa.array([value if isinstance(value, bool) else None for value in values], pa.bool_())
        case "datetime":
            return pa.array([_microseconds(value) for value in values], pa.timestamp("us", "UTC"))
        case "integer":
            return pa.array([_int64(int(v)) if _is_number(v) and v == int(v) else None for v in values], pa.int64())
        case _:
            return pa.array([float(value) if _is_number(value) else None for value in values], pa.float64())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _int64(value: int) -> int | None:
    """Return a whole number, or None for one that 64 bits cannot hold: a caller may have sent anything."""
    return value if -(2**63) <= value < 2**63 else None


def _microseconds(value: Any) -> int | None:
    """Return microseconds since 1970 UTC for epoch seconds or an ISO 8601 text."""
    if _is_number(value):
        return _int64(round(float(value) * 1_000_000))
    if not isinstance(value, str):
        return None
    try:
        return round(parse_instant(value).timestamp() * 1_000_000)
    except ModelOpsError:
        return None
