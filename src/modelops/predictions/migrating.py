"""Taking over a log of version 1, which was one file beside the directory."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import groupby
from pathlib import Path

from modelops.errors import Exit, failure
from modelops.predictions.schema import Row
from modelops.predictions.segments import day_of
from modelops.predictions.writer import Writer

OLD_NAME = "predictions.sqlite"
_BATCH = 4096
_ROWS = """SELECT id, time, model, release, arm, step, salt, entity, features, score, label, status, latency_ms, error,
    request, row FROM predictions ORDER BY time, rowid"""
_LABELS = "SELECT p.id, f.label, f.time, p.model FROM feedback f JOIN predictions p ON p.id = f.prediction_id"


def take_over(old: Path, writer: Writer) -> None:
    """Write the rows and labels of an old file into the log, and rename it to ``<name>.taken``.

    After an interruption it goes on: rows that are there already are left out, and labels again change nothing.
    """
    if not old.is_file():
        return
    with closing(sqlite3.connect(old, timeout=10)) as connection:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found != 1:
            raise failure(
                "log-version",
                f"{old} has version {found} of the prediction log, only version 1 was such a file",
                exit=Exit.WORLD,
                hint="use the modelops that wrote it, or move the file away",
            )
        cursor = connection.execute(_ROWS)
        while batch := cursor.fetchmany(_BATCH):
            rows = [Row(*values) for values in batch]
            for _, group in groupby(rows, lambda row: day_of(row.time)):
                writer.insert_missing(list(group))
        cursor = connection.execute(_LABELS)
        while labels := cursor.fetchmany(_BATCH):
            writer.label(labels)
        # The journal goes into the file before it is put away.
        connection.execute("PRAGMA journal_mode = DELETE")
    old.rename(old.with_name(f"{old.name}.taken"))
