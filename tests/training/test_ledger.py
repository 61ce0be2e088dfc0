"""The run ledger on disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from modelops.errors import ModelOpsError
from modelops.training import Run, runs
from modelops.training.ledger import append

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
