"""The log's table, its version, and the row that both the writer and the readers use."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from modelops.errors import Exit, failure
from modelops.spec.meta import Scalar

FILE_NAME = "predictions.sqlite"
VERSION = 1

# The statements of one version run in one transaction together with user_version, so a reader never sees half of it.
CREATE = (
    """CREATE TABLE predictions(
        id TEXT PRIMARY KEY, time REAL NOT NULL, model TEXT NOT NULL, release INT NOT NULL, arm TEXT NOT NULL,
        step INT NOT NULL, salt TEXT NOT NULL, entity TEXT NOT NULL, features TEXT NOT NULL, score REAL, label TEXT,
        status INT NOT NULL, latency_ms REAL NOT NULL, error TEXT, request TEXT NOT NULL, row INT NOT NULL)""",
    "CREATE INDEX predictions_window ON predictions(model, time)",
    "CREATE INDEX predictions_rollout ON predictions(salt, step)",
    "CREATE TABLE feedback(prediction_id TEXT PRIMARY KEY, label TEXT NOT NULL, time REAL NOT NULL)",
)


class Row(NamedTuple):
    """One logged answer for one row of input.

    ``time`` is epoch seconds by the server's clock; ``arm`` is stable or candidate, or pinned when the caller asked
    for a version; ``features`` is a JSON object; ``score`` is the probability of the positive class (binary), of the
    answered class (multiclass) or the prediction (regression); ``label`` is the answered class as text. A failed
    answer has status 500 or above, ``error``, and neither score nor label. ``request`` is the id that the caller sent
    ("" for none) and ``row`` the position inside the request: a request of n rows is n rows of the log.
    """

    id: str
    time: float
    model: str
    release: int
    arm: str
    step: int
    salt: str
    entity: str
    features: str
    score: float | None
    label: str | None
    status: int
    latency_ms: float
    error: str | None = None
    request: str = ""
    row: int = 0


def label_text(value: Scalar) -> str:
    """Return the one spelling under which a label is logged, so that answers and truths compare equal as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return "" if value is None else str(value)


def check_version(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the log has its tables; a version that this code does not know is refused."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found not in (0, VERSION):
        raise failure(
            "log-version",
            f"{path} has version {found} of the prediction log, this modelops reads version {VERSION}",
            exit=Exit.WORLD,
            hint="use the modelops that wrote it, or move the file away",
        )
    return found == VERSION
