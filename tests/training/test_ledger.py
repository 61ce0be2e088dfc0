"""The run ledger on disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from modelops.errors import ModelOpsError
from modelops.training import Run, runs
from modelops.training.ledger import append, looks

RUN = Run(
    0, "churn", "2026-05-01T00:00:00Z", 1.5, "failed", "training-failed", "boom", "sha256:0", None, None, {"a": 1}, {}
)


def test_runs_come_newest_first_and_per_model(tmp_path: Path) -> None:
    """What was appended is read back, filtered by model and limited."""
    path = tmp_path / "deep" / "runs.sqlite"
    assert runs(path) == ()
    assert [append(path, RUN) for _ in range(3)] == [1, 2, 3]
    assert [run.id for run in runs(path, "churn", limit=2)] == [3, 2]
    assert runs(path)[0].parameters == {"a": 1}
    assert runs(path, "other") == ()


@pytest.mark.parametrize("statement", ["UPDATE runs SET outcome = 'ok'", "DELETE FROM runs"])
def test_runs_cannot_be_changed_or_removed(tmp_path: Path, statement: str) -> None:
    """The file itself refuses updates and deletions."""
    path = tmp_path / "runs.sqlite"
    append(path, RUN)
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()
    assert runs(path)[0].outcome == "failed"


def test_a_file_that_is_no_ledger_is_the_worlds_fault(tmp_path: Path) -> None:
    """Garbage in its place is exit 4 with the path."""
    path = tmp_path / "runs.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ModelOpsError, match="ledger-unusable") as caught:
        append(path, RUN)
    assert caught.value.exit == 4


def test_builds_on_the_rows_of_one_snapshot_are_counted(tmp_path: Path) -> None:
    """Each build once, however often it was found again; failed runs and other snapshots are none."""
    path = tmp_path / "runs.sqlite"
    for build, data in (("b1", "d"), ("b1", "d"), ("b2", "d"), ("b3", "other"), (None, "d")):
        append(path, replace(RUN, outcome="ok" if build else "failed", build=build, data=data))
    assert looks(path, "churn", "d") == {"b1", "b2"}
    assert looks(path, "other", "d") == frozenset()
    assert looks(tmp_path / "none.sqlite", "churn", "d") == frozenset()


def test_a_ledger_of_0_1_0_is_read_and_written_on(tmp_path: Path) -> None:
    """It does not say which data tested a build, so its builds are not counted; new ones are."""
    path = tmp_path / "runs.sqlite"
    append(path, RUN)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE runs DROP COLUMN data")
    assert (runs(path)[0].data, looks(path, "churn", "d")) == (None, frozenset())
    append(path, replace(RUN, outcome="ok", build="b", data="d"))
    assert [run.data for run in runs(path)] == ["d", None]
    assert looks(path, "churn", "d") == {"b"}
