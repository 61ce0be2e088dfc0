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

__all__ = ["Run", "append", "runs"]

Outcome = Literal["ok", "cached", "failed"]

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
  metrics TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_by_model ON runs(model, id);
CREATE TRIGGER IF NOT EXISTS runs_keep BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'runs are append-only'); END;
CREATE TRIGGER IF NOT EXISTS runs_stay BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'runs are append-only'); END;
"""
_COLUMNS = "id, model, started, seconds, outcome, problem, message, inputs, artifact, build, parameters, metrics"


@dataclass(frozen=True, slots=True)
class Run:
    """One build: when, how long in seconds, how it ended, from which inputs, and what it measured."""

    id: int
    model: str
    started: str
    seconds: float
    outcome: Outcome
    problem: str | None
    message: str | None
    inputs: str
    artifact: str | None
    build: str | None
    parameters: Mapping[str, Scalar]
    metrics: Mapping[str, float]


@contextmanager
def _opened(path: Path, write: bool) -> Iterator[sqlite3.Connection]:
    try:
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            if write:
                connection.executescript(_SCHEMA)
            with connection:
                yield connection
    except (sqlite3.Error, OSError) as error:
        raise failure("ledger-unusable", f"the run ledger {path} cannot be used: {error}", exit=Exit.WORLD) from None


def append(path: Path, run: Run) -> int:
    """Add a run and return its number; ``run.id`` is ignored."""
    with _opened(path, write=True) as connection:
        cursor = connection.execute(
            "INSERT INTO runs(model, started, seconds, outcome, problem, message, inputs, artifact, build, parameters,"
            " metrics) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            ),
        )
        return int(cursor.lastrowid or 0)


def runs(path: Path, model: str | None = None, limit: int = 100) -> tuple[Run, ...]:
    """Return the newest runs, of one model or of all; a ledger that is not there yet has none."""
    if not path.is_file():
        return ()
    with _opened(path, write=False) as connection:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM runs WHERE ?1 IS NULL OR model = ?1 ORDER BY id DESC LIMIT ?2",  # noqa: S608
            (model, limit),
        ).fetchall()
    return tuple(Run(*(*row[:10], json.loads(row[10]), json.loads(row[11]))) for row in rows)
