"""The files of the log: days and sizes, several writers, labels across files, retention and export."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from modelops.errors import ModelOpsError
from modelops.predictions import (
    PredictionLog,
    Reception,
    Row,
    arm_rows,
    count,
    export,
    find,
    read_window,
    retain,
    writer,
)
from modelops.predictions.lanes import PART_ROWS

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_row(id: str, moment: datetime = START, **changes: object) -> Row:
    row = Row(id, moment.timestamp(), "fraud", 1, "stable", 0, "salt", "c", '{"a":1}', 0.25, "0", 200, 1.5)
    return row._replace(**changes)


def after(days: float) -> datetime:
    return START + timedelta(days=days)


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.glob("*.sqlite"))


def server_id(moment: datetime) -> str:
    return f"{int(moment.timestamp() * 1000):012x}{os.urandom(10).hex()}"


def test_a_file_holds_one_day_and_readers_see_all_of_them(tmp_path: Path) -> None:
    """Rows go to the file of their day, also when a clock goes back; windows, counts and finds cover every file."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        for number, day in enumerate((0, 1, 0, 3)):
            log.write([make_row(f"r{number}", after(day))])
    assert names(path) == [f"2026-03-0{day}-w0-1.sqlite" for day in (1, 2, 4)]
    assert read_window(path, "fraud").column("id").to_pylist() == ["r0", "r2", "r1", "r3"]
    assert count(path, "fraud", after(0.5), after(2)) == 1
    assert find(path, "r1") is not None
    assert arm_rows(path, "fraud", "salt", objective_ms=50)[0, "stable"].requests == 4


def test_a_file_that_has_grown_is_followed_by_another(tmp_path: Path) -> None:
    """Size ends a file; a new process goes on with the last one."""
    path = tmp_path / "predictions"
    with PredictionLog(path, segment_bytes=100_000) as log:
        for number in range(30):
            log.write([make_row(f"r{number}", features="x" * 20_000)])
    files = names(path)
    assert len(files) > 2
    assert count(path) == 30
    with PredictionLog(path) as log:
        log.write([make_row("more")])
    assert names(path) == files


def test_a_large_request_waits_for_the_disk_with_its_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts before the last are not synced one by one; where they end a file, that is synced before the next begins."""
    monkeypatch.setattr("modelops.predictions.lanes.CALM_ROWS", PART_ROWS)
    path, synced = tmp_path / "predictions", []
    rows = [make_row(f"r{number}", features="x" * 20_000) for number in range(5 * PART_ROWS)]
    original, transaction = os.fsync, writer._transaction

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        original(descriptor)

    @contextmanager
    def watched(connection: sqlite3.Connection) -> Iterator[None]:
        with transaction(connection):
            yield
            modes.append(connection.execute("PRAGMA synchronous").fetchone()[0])

    modes: list[int] = []
    with PredictionLog(path, segment_bytes=1_000_000) as log:
        log.write(rows[:1])
        monkeypatch.setattr(writer, "_transaction", watched)
        monkeypatch.setattr(os, "fsync", fsync)
        log.write(rows[1:])
        log.write([make_row("single")])
    full, normal = 2, 1
    parts = [mode for mode in modes if mode == normal]
    assert modes[-2:] == [full, full]
    assert len(parts) == 4
    ended = names(path)[:-1]
    assert ended
    assert [f"{name}-wal" for name in ended] == synced
    assert count(path) == len(rows) + 1


@pytest.mark.parametrize("wrong", ["row", "disk"])
def test_the_parts_before_one_that_fails_are_on_disk_when_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """Who waits hears how many rows are lost; the others are synced by then, though no last part did that."""
    monkeypatch.setattr("modelops.predictions.lanes.CALM_ROWS", PART_ROWS)
    path, synced = tmp_path / "predictions", []
    rows = [make_row(f"r{number}") for number in range(PART_ROWS + 1)]
    if wrong == "row":
        rows[-1] = rows[-1]._replace(label=object())  # type: ignore[arg-type]
    original, told = os.fsync, []

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        original(descriptor)

    def tell(lost: int, error: ModelOpsError | None) -> None:
        told.append((lost, error.first.code if error is not None else "", list(synced)))

    async def scenario() -> None:
        with PredictionLog(path) as log:
            log.write([make_row("before")])
            insert = log._files.insert

            def refusing(given: Sequence[Row], *rest: Any, **settings: Any) -> None:
                if len(given) == 1 and wrong == "disk":
                    raise sqlite3.OperationalError("database or disk is full")
                insert(given, *rest, **settings)

            monkeypatch.setattr(log._files, "insert", refusing)
            monkeypatch.setattr(os, "fsync", fsync)
            log.submit(rows, tell)
            while not told:
                await asyncio.sleep(0)

    asyncio.run(scenario())
    code = {"row": "log-refused", "disk": "log-unwritable"}[wrong]
    assert told == [(1, code, [f"{names(path)[0]}-wal"])]
    assert count(path) == PART_ROWS + 1


def test_processes_have_files_of_their_own(tmp_path: Path) -> None:
    """Two writers at the same time never share a file; the number of one that ended is taken again."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as first, PredictionLog(path) as second:
        second.write([make_row("b", after(0.1)), make_row("d", after(0.3))])
        first.write([make_row("a"), make_row("c", after(0.2))])
        assert names(path) == ["2026-03-01-w0-1.sqlite", "2026-03-01-w1-1.sqlite"]
        assert read_window(path, "fraud").column("id").to_pylist() == ["a", "b", "c", "d"]
    with PredictionLog(path) as third:
        third.write([make_row("e")])
    assert len(names(path)) == 2


@pytest.mark.parametrize("make_id", [server_id, lambda moment: f"p-{moment:%d}"])
def test_a_label_finds_its_prediction_in_any_file(tmp_path: Path, make_id: object) -> None:
    """Whichever writer gets a label, for a day long ago or another writer's row, it says what became of it."""
    path = tmp_path / "predictions"
    ids = [make_id(after(day)) for day in range(3)]
    with PredictionLog(path) as first, PredictionLog(path) as second:
        for writer, id, day in ((first, ids[0], 0), (second, ids[1], 1), (first, ids[2], 2)):
            writer.write([make_row(id, after(day))])
        labels = [(id, "1", after(10).timestamp(), "fraud") for id in (*ids, make_id(after(5)))]
        assert second.feedback(labels) == [Reception.NEW] * 3 + [Reception.UNKNOWN]
        late = [(ids[0], "0", after(11).timestamp(), "fraud"), (ids[1], "1", after(11).timestamp(), "fraud")]
        assert first.feedback(late) == [Reception.CHANGED, Reception.REPEATED]
    truths = read_window(path, "fraud", columns=("id", "truth", "revisions")).to_pylist()
    assert truths == [
        {"id": id, "truth": truth, "revisions": revisions}
        for id, truth, revisions in zip(ids, "011", (1, 0, 0), strict=True)
    ]
    assert arm_rows(path, "fraud", "salt", objective_ms=50)[0, "stable"].truths == ("0", "1", "1")


def test_a_log_that_was_deleted_under_its_writer_begins_anew(tmp_path: Path) -> None:
    """What is acknowledged after somebody removed the files is where readers look."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([make_row("a")])
        shutil.rmtree(path)
        log.write([make_row("b")])
        assert find(path, "b") is not None
    assert count(path) == 1


LABELS = """
import sys
from pathlib import Path
from typing import Any
from modelops.predictions import PredictionLog

with PredictionLog(Path(sys.argv[1])) as log:
    print([outcome.name for outcome in log.feedback([(sys.argv[2], "1", 1.0, "fraud")])])
"""


def test_a_label_from_another_process_takes_no_journal_away(tmp_path: Path) -> None:
    """What is written after another process labelled a row of the file, opening and closing it, is read and stays."""
    path = tmp_path / "predictions"
    id = server_id(START)
    with PredictionLog(path) as log:
        log.write([make_row(id)])
        log.write([make_row("second")])
        done = subprocess.run([sys.executable, "-c", LABELS, str(path), id], capture_output=True, text=True, check=True)
        assert done.stdout == "['NEW']\n"
        log.write([make_row("third")])
        assert read_window(path, "fraud").column("id").to_pylist() == [id, "second", "third"]
    assert read_window(path, "fraud").column("id").to_pylist() == [id, "second", "third"]


def test_a_file_that_was_replaced_is_gone_on_in(tmp_path: Path) -> None:
    """A copy put in the place of the open file is where the next rows go: readers see no other file."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([make_row("first")])
    (file,) = path.glob("*.sqlite")
    with PredictionLog(path) as log:
        log.write([make_row("lost with its file")])
        copy = tmp_path / "copy.sqlite"
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.execute("PRAGMA wal_checkpoint")
            source.backup(target)
        for each in path.glob("*.sqlite-*"):
            each.unlink()
        copy.rename(file)
        log.write([make_row("behind")])
    assert read_window(path, "fraud").column("id").to_pylist() == ["first", "lost with its file", "behind"]


def test_old_files_are_dropped_whole_and_needed_ones_stay(tmp_path: Path) -> None:
    """Retention counts whole days, keeps what windows and labels need, and never takes today's file."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        for day in range(6):
            log.write([make_row(f"r{day}", after(day))])
    assert retain(path, after(5), days=3, needed_days=30) == ()
    assert retain(path, after(5), days=3) == ("2026-03-01-w0-1.sqlite", "2026-03-02-w0-1.sqlite")
    assert read_window(path, "fraud").column("id").to_pylist() == ["r2", "r3", "r4", "r5"]
    assert len(retain(path, after(5), days=0)) == 3
    assert count(path) == 1
    assert retain(tmp_path / "none", after(5), days=1) == ()


def test_readers_labels_and_exports_go_on_while_files_are_dropped(tmp_path: Path) -> None:
    """Dropping files under those who use them is no error, and nobody makes a dropped file anew."""
    path, days = tmp_path / "predictions", 40
    ids = [server_id(after(day)) for day in range(days)]
    failed: list[BaseException] = []
    over = threading.Event()

    def use(work: Callable[[], object]) -> None:
        try:
            while not over.is_set():
                work()
        except ModelOpsError as error:
            failed.append(error)

    with PredictionLog(path) as log:
        log.write([make_row(id, after(day)) for day, id in enumerate(ids)])
        works = (
            lambda: count(path),
            lambda: find(path, ids[0]),
            lambda: log.feedback([(id, "1", 1.0, "fraud") for id in (*ids, "other")]),
            lambda: export(path, tmp_path / "a", after(days)),
        )
        threads = [threading.Thread(target=use, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for day in range(1, days):
            retain(path, after(day), days=0)
            time.sleep(0.01)
        over.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert names(path) == [f"{after(days - 1):%Y-%m-%d}-w0-1.sqlite"]


def test_an_export_that_was_killed_is_made_again(tmp_path: Path) -> None:
    """What a killed export left behind is no data for those who read the folder."""
    path, out = tmp_path / "predictions", tmp_path / "out"
    with PredictionLog(path) as log:
        log.write([make_row("r0")])
    folder = out / "model=fraud"
    folder.mkdir(parents=True)
    (folder / ".day=2026-03-01.parquet.1").write_bytes(b"PAR1")
    assert [file.name for file in export(path, out, after(1))] == ["day=2026-03-01.parquet"]
    assert ds.dataset(out, partitioning="hive").count_rows() == 1


def test_whole_days_are_exported_as_parquet(tmp_path: Path) -> None:
    """There is one file per model and day, with the schema's version; a late label writes its day anew."""
    path, out = tmp_path / "predictions", tmp_path / "out"
    with PredictionLog(path) as log:
        for day in range(3):
            log.write([make_row(f"r{day}", after(day)), make_row(f"s{day}", after(day), model="payments/churn")])
        written = export(path, out, after(2))
        assert [str(file.relative_to(out)) for file in written] == [
            f"model={model}/day=2026-03-0{day}.parquet" for day in (1, 2) for model in ("fraud", "payments%2Fchurn")
        ]
        assert pq.read_schema(written[0]).metadata[b"modelops.predictions.version"] == b"5"
        assert export(path, out, after(2)) == ()
        log.feedback([("r1", "1", after(2).timestamp(), "fraud")])
        assert written[2] in export(path, out, after(2))
    table = ds.dataset(out, partitioning="hive").to_table(columns=["id", "model", "truth"])
    assert sorted(zip(*table.to_pydict().values(), strict=True)) == [
        ("r0", "fraud", None),
        ("r1", "fraud", "1"),
        ("s0", "payments/churn", None),
        ("s1", "payments/churn", None),
    ]
    assert sorted(out.rglob("*.*")) == sorted(out.rglob("day=*.parquet"))
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(ModelOpsError, match="cannot be written"):
        export(path, tmp_path / "taken", after(2))


def test_a_number_is_free_when_its_process_was_killed(tmp_path: Path) -> None:
    """A writer that died without closing leaves its rows and its number to the next one."""
    path = tmp_path / "predictions"
    script = (
        "import os, sys; from pathlib import Path; from modelops.predictions import PredictionLog, Row\n"
        "log = PredictionLog(Path(sys.argv[1]))\n"
        f"log.write([Row._make({tuple(make_row('killed'))!r})])\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -9
    with PredictionLog(path) as log:
        log.write([make_row("next")])
    assert names(path) == ["2026-03-01-w0-1.sqlite"]
    assert count(path) == 2


OLD = """CREATE TABLE predictions(
        id TEXT PRIMARY KEY, time REAL NOT NULL, model TEXT NOT NULL, release INT NOT NULL, arm TEXT NOT NULL,
        step INT NOT NULL, salt TEXT NOT NULL, entity TEXT NOT NULL, features TEXT NOT NULL, score REAL, label TEXT,
        status INT NOT NULL, latency_ms REAL NOT NULL, error TEXT, request TEXT NOT NULL, row INT NOT NULL);
    CREATE TABLE feedback(prediction_id TEXT PRIMARY KEY, label TEXT NOT NULL, time REAL NOT NULL);
    PRAGMA user_version = 1;"""


def write_old(file: Path, rows: list[Row]) -> None:
    connection = sqlite3.connect(file)
    connection.executescript(OLD)
    connection.executemany(f"INSERT INTO predictions VALUES ({', '.join('?' * 16)})", [row[:16] for row in rows])
    connection.execute("INSERT INTO feedback VALUES (?, '1', 7.0)", (rows[0].id,))
    connection.commit()
    connection.close()


def test_a_log_of_version_1_is_taken_over(tmp_path: Path) -> None:
    """Rows and labels of the one old file are in the new log, once, also when taking them over was interrupted."""
    old, path = tmp_path / "predictions.sqlite", tmp_path / "predictions"
    rows = [make_row(f"r{day}", after(day)) for day in range(3)]
    with PredictionLog(path) as log:
        log.write(rows[:1])
    write_old(old, rows)
    for _ in range(2):
        PredictionLog(path).close()
        assert count(path) == 3
    assert [find(path, row.id).row for row in rows] == rows
    assert find(path, "r0").truth == "1"
    assert (old.exists(), old.with_name("predictions.sqlite.taken").exists()) == (False, True)


def test_an_old_file_of_another_version_is_refused(tmp_path: Path) -> None:
    """A file that is not of version 1 is left alone, and its writer's number is free again."""
    old, path = tmp_path / "predictions.sqlite", tmp_path / "predictions"
    write_old(old, [make_row("a")])
    with sqlite3.connect(old) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    for _ in range(2):
        with pytest.raises(ModelOpsError) as caught:
            PredictionLog(path)
        assert caught.value.problems[0].code == "log-version"
    assert old.exists()
    assert [file.name for file in path.iterdir()] == ["w0.lock"]
