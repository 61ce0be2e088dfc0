"""One file of the log: its tables, its version, and the rows that both the writer and the readers use."""

from __future__ import annotations

import sqlite3
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from modelops.errors import Exit, failure
from modelops.spec.meta import Scalar

VERSION = 5
UNREASONED = 4
"""The version that logs have which keep no reasons: their rows are chained as those of this one."""
UNEXPLORED = 3
"""The version that logs have which do not say either what was drawn for review.

Logs of former versions are read and labelled, and nothing is written behind their rows.
"""
UNCHAINED = 2
"""The version that logs have whose rows are not chained: they are read, and labelled, and never written to again."""
CHAINED = frozenset({UNEXPLORED, UNREASONED, VERSION})

# What repeats on every row is a row of routes; what only a few readers want, the features, lies apart, so that the
# judge of a rollout reads a route's answers as one narrow range. ``unit`` is a hash of the entity. ``labels`` is how
# the labels came, ``feedback`` where they led to; see ``chain`` for the links and the origin. The statements of one
# version run in one transaction together with user_version, so a reader never sees half of it.
_FIRST = (
    """CREATE TABLE routes(
        route INTEGER PRIMARY KEY, model TEXT NOT NULL, release INT NOT NULL, arm TEXT NOT NULL, step INT NOT NULL,
        salt TEXT NOT NULL, propensity REAL NOT NULL)""",
    """CREATE TABLE answers(
        route INT NOT NULL, seq INT NOT NULL, id TEXT NOT NULL UNIQUE, time REAL NOT NULL, row INT NOT NULL,
        status INT NOT NULL, latency_ms REAL NOT NULL, score REAL, unit INT NOT NULL, entity TEXT NOT NULL, label TEXT,
        error TEXT, request TEXT NOT NULL, PRIMARY KEY(route, seq)) WITHOUT ROWID""",
    "CREATE TABLE inputs(seq INTEGER PRIMARY KEY, features TEXT NOT NULL, link BLOB NOT NULL)",
    """CREATE TABLE feedback(
        route INT NOT NULL, seq INT NOT NULL, label TEXT NOT NULL, time REAL NOT NULL, revisions INT NOT NULL,
        PRIMARY KEY(route, seq)) WITHOUT ROWID""",
    """CREATE TABLE labels(
        number INTEGER PRIMARY KEY, seq INT NOT NULL, label TEXT NOT NULL, time REAL NOT NULL, link BLOB NOT NULL)""",
    """CREATE TABLE shadows(
        number INTEGER PRIMARY KEY, prediction_id TEXT NOT NULL, time REAL NOT NULL, model TEXT NOT NULL,
        release INT NOT NULL, arm TEXT NOT NULL, step INT NOT NULL, salt TEXT NOT NULL, score REAL, label TEXT,
        status INT NOT NULL, latency_ms REAL NOT NULL, error TEXT, link BLOB NOT NULL,
        UNIQUE(prediction_id, release))""",
    "CREATE TABLE origin(name TEXT NOT NULL, before TEXT NOT NULL, rows INT NOT NULL, link BLOB, nonce BLOB NOT NULL)",
    """CREATE VIEW predictions AS SELECT
        a.id, a.time, r.model, r.release, r.arm, r.step, r.salt, a.entity, CAST(i.features AS TEXT) AS features,
        a.score, a.label, a.status, a.latency_ms, a.error, a.request, a.row, r.propensity,
        f.label AS truth, f.time AS truth_time, coalesce(f.revisions, 0) AS revisions, a.seq
        FROM answers a JOIN routes r ON r.route = a.route
        LEFT JOIN inputs i ON i.seq = a.seq LEFT JOIN feedback f ON f.route = a.route AND f.seq = a.seq""",
)
_DRAWN = tuple(
    statement.replace(
        "propensity REAL NOT NULL)", "propensity REAL NOT NULL, review REAL NOT NULL, drawn INT NOT NULL)"
    ).replace("r.propensity,", "r.propensity, r.review, r.drawn,")
    for statement in _FIRST
)
CREATE = (
    *_DRAWN[:-1],
    "CREATE TABLE reasons(seq INTEGER PRIMARY KEY, reasons TEXT NOT NULL)",
    _DRAWN[-1]
    .replace("r.drawn,", "r.drawn, CAST(e.reasons AS TEXT) AS reasons,")
    .replace("LEFT JOIN inputs", "LEFT JOIN reasons e ON e.seq = a.seq LEFT JOIN inputs"),
)
_WITHOUT_REASONS = "CREATE TEMP VIEW reasons AS SELECT 0 AS seq, '' AS reasons WHERE 0"
_AS_NOW: dict[int, tuple[str, ...]] = {
    UNREASONED: (
        _WITHOUT_REASONS,
        "CREATE TEMP VIEW predictions AS SELECT *, NULL AS reasons FROM main.predictions",
    ),
    **dict.fromkeys(
        (UNCHAINED, UNEXPLORED),
        (
            _WITHOUT_REASONS,
            "CREATE TEMP VIEW routes AS SELECT *, 0.0 AS review, 0 AS drawn FROM main.routes",
            """CREATE TEMP VIEW predictions AS
                SELECT *, 0.0 AS review, 0 AS drawn, NULL AS reasons FROM main.predictions""",
        ),
    ),
}


def made(version: int) -> tuple[str, ...]:
    """Return the statements that a file of a version was made with."""
    return {VERSION: CREATE, UNREASONED: _DRAWN}.get(version, _FIRST)


def as_now(connection: sqlite3.Connection, version: int) -> None:
    """Let a file of a former version be asked as one of this: what it lacks was never asked for."""
    for statement in _AS_NOW.get(version, ()):
        connection.execute(statement)


class Row(NamedTuple):
    """One logged answer for one row of input.

    ``time`` is epoch seconds by the server's clock; ``arm`` is stable, candidate or challenger-<release>, or pinned
    when the caller asked for a version; ``features`` is a JSON object (readers return text); ``score`` is the
    probability of the positive class (binary), of the answered class (multiclass) or the prediction (regression);
    ``label`` is the answered class as text. A failed answer has status 500 or above, ``error``, and neither score nor
    label. ``request`` is the id that the caller sent ("" for none) and ``row`` the position inside the request: a
    request of n rows is n rows of the log. ``propensity`` is the probability with which the arm was to answer,
    ``review`` that with which the answer was to be drawn for review, whatever it said, and ``drawn`` is 1 if it was.
    ``reasons`` is a JSON object that says why, where the caller asked for that (see ``modelops.reasons``).
    """

    id: str
    time: float
    model: str
    release: int
    arm: str
    step: int
    salt: str
    entity: str
    features: str | bytes
    score: float | None
    label: str | None
    status: int
    latency_ms: float
    error: str | None = None
    request: str = ""
    row: int = 0
    propensity: float = 1.0
    review: float = 0.0
    drawn: int = 0
    reasons: str | None = None


class ShadowRow(NamedTuple):
    """What a shadow said to a copy of a logged prediction; ``time`` is the time of that prediction."""

    prediction_id: str
    time: float
    model: str
    release: int
    arm: str
    step: int
    salt: str
    score: float | None
    label: str | None
    status: int
    latency_ms: float
    error: str | None = None


class Reception(IntEnum):
    """What became of a label; an unknown prediction is the one that is false."""

    UNKNOWN = 0
    NEW = 1
    REPEATED = 2
    CHANGED = 3


def label_text(value: Scalar) -> str:
    """Return the one spelling under which a label is logged, so that answers and truths compare equal as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return "" if value is None else str(value)


def spellings(label: Scalar) -> tuple[str, ...]:
    """Return the texts under which a label may be logged: a boolean label is sent as true or as 1."""
    text = label_text(label)
    return ("true", "1") if text == "true" else ("1", "true") if text == "1" else (text,)


def positive_spellings(positive: Scalar) -> tuple[str, ...]:
    """Return the texts that stand for the positive class; where the spec names none, it is true."""
    return spellings(True if positive is None else positive)


def label_number(text: str) -> float:
    """Return a logged label as a number, NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def unit_of(entity: str) -> int:
    """Return the 64 bits that stand for an entity in analysis, as a signed integer."""
    return int.from_bytes(blake2b(entity.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a file, 0 where it has no tables yet; one that this code does not know is refused."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found not in (0, UNCHAINED, *CHAINED):
        raise failure(
            "log-version",
            f"{path} has version {found} of the prediction log, this modelops reads version {VERSION}",
            exit=Exit.WORLD,
            hint="use the modelops that wrote it, or move the file away",
        )
    return found
