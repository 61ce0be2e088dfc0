"""The run ledger: one row per build, failed ones too, in an append-only SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelops.errors import Exit, failure
from modelops.spec.meta import Scalar

__all__ = ["Run", "append", "looks", "runs"]

RunOutcome = Literal["ok", "cached", "failed"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs(
  id INTEGER PRIMARY KEY,
  model TEXT NOT NULL,
  started TEXT NOT NULL,
  seconds REAL NOT NULL,
  outcome TEXT NOT NULL,
  problem TEXT,
  message TEXT,
  inputs TEXT NOT NULL,
  artifact TEXT,
  build TEXT,
  parameters TEXT NOT NULL,
  metrics TEXT NOT NULL,
  data TEXT
);
CREATE INDEX IF NOT EXISTS runs_by_model ON runs(model, id);
CREATE TRIGGER IF NOT EXISTS runs_keep BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'runs are append-only'); END;
CREATE TRIGGER IF NOT EXISTS runs_stay BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'runs are append-only'); END;
"""
_COLUMNS = "id, model, started, seconds, outcome, problem, message, inputs, artifact, build, parameters, metrics"
_DATA = "ALTER TABLE runs ADD COLUMN data TEXT"


@dataclass(frozen=True, slots=True)
class Run:
    """One build: when, how long in seconds, how it ended, from which inputs, and what it measured.

    ``data`` is the root of the snapshot whose rows tested it; ledgers of 0.1.0 do not say.
    """

    id: int
    model: str
    started: str
    seconds: float
    outcome: RunOutcome
    problem: str | None
    message: str | None
    inputs: str
    artifact: str | None
    build: str | None
    parameters: Mapping[str, Scalar]
    metrics: Mapping[str, float]
    data: str | None = None


@contextmanager
def _opened(path: Path, write: bool) -> Iterator[sqlite3.Connection]:
    try:
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            if write:
                connection.executescript(_SCHEMA)
                if not _says_data(connection):
                    connection.execute(_DATA)
            with connection:
                yield connection
    except (sqlite3.Error, OSError) as error:
        raise failure("ledger-unusable", f"the run ledger {path} cannot be used: {error}", exit=Exit.WORLD) from None


def _says_data(connection: sqlite3.Connection) -> bool:
    return any(row[1] == "data" for row in connection.execute("PRAGMA table_info(runs)"))


def append(path: Path, run: Run) -> int:
    """Add a run and return its number; ``run.id`` is ignored."""
    with _opened(path, write=True) as connection:
        cursor = connection.execute(
            "INSERT INTO runs(model, started, seconds, outcome, problem, message, inputs, artifact, build, parameters,"
            " metrics, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run.model,
                run.started,
                run.seconds,
                run.outcome,
                run.problem,
                run.message,
                run.inputs,
                run.artifact,
                run.build,
                json.dumps(dict(run.parameters), sort_keys=True),
                json.dumps(dict(run.metrics), sort_keys=True),
                run.data,
            ),
        )
        return int(cursor.lastrowid or 0)


def runs(path: Path, model: str | None = None, limit: int = 100) -> tuple[Run, ...]:
    """Return the newest runs, of one model or of all; a ledger that is not there yet has none."""
    if not path.is_file():
        return ()
    with _opened(path, write=False) as connection:
        columns = f"{_COLUMNS}, data" if _says_data(connection) else _COLUMNS
        rows = connection.execute(
            f"SELECT {columns} FROM runs WHERE :model IS NULL OR model = :model ORDER BY id DESC LIMIT :limit",  # noqa: S608
            {"model": model, "limit": limit},
        ).fetchall()
    return tuple(Run(*(*row[:10], json.loads(row[10]), json.loads(row[11]), *row[12:])) for row in rows)


def looks(path: Path, model: str, data: str) -> frozenset[str]:
    """Return the builds of a model that were measured on rows of a snapshot, by the digests of their records.

    ``data`` is the root of the snapshot: another seed tests other rows of it, and is one more try all the same.
    """
    if not path.is_file():
        return frozenset()
    with _opened(path, write=False) as connection:
        if not _says_data(connection):
            return frozenset()
        asked = "SELECT DISTINCT build FROM runs WHERE model = ? AND data = ? AND build IS NOT NULL"
        return frozenset(row[0] for row in connection.execute(asked, (model, data)))
