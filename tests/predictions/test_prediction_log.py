"""The prediction log: group commit, acknowledgement, bounds, crashes and full disks."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from modelops.errors import Exit, ModelOpsError
from modelops.predictions import PredictionLog, Row, count, find, label_text


def make_row(id: str, **changes: object) -> Row:
    row = Row(id, 100.0, "fraud", 1, "stable", 0, "salt", "customer-1", '{"amount":1.5}', 0.25, "0", 200, 1.5)
    return row._replace(**changes)


def wait_for_count(path: Path, expected: int) -> None:
    ticker = threading.Event()
    for _ in range(500):
        if count(path) == expected:
            return
        ticker.wait(0.01)
    assert count(path) == expected


def test_an_acknowledged_row_is_readable_when_its_future_is_done(tmp_path: Path) -> None:
    """After awaiting the acknowledgement another connection finds the row."""
    path = tmp_path / "predictions.sqlite"

    async def scenario() -> None:
        with PredictionLog(path) as log:
            await log.append_acknowledged([make_row("a"), make_row("b", row=1)])
            assert count(path) == 2
            waiting = [log.append_acknowledged([make_row(f"c{i}")]) for i in range(200)]
            await asyncio.gather(*waiting)
            assert count(path) == 202
            assert log.stats.written == 202
            assert log.stats.commits < 100, "waiting rows share commits"

    asyncio.run(scenario())


def test_a_buffered_row_is_written_within_its_window(tmp_path: Path) -> None:
    """Buffered rows reach the disk without anyone waiting for them, and closing writes the rest."""
    path = tmp_path / "predictions.sqlite"
    log = PredictionLog(path)
    for i in range(1200):
        log.append(make_row(f"a{i}"))
    wait_for_count(path, 1200)
    log.append(make_row("last"))
    log.close()
    assert count(path) == 1201
    assert log.stats.commits < 100


def test_every_column_survives_the_way_through_the_file(tmp_path: Path) -> None:
    """What find returns is the row that was written, to the last bit."""
    row = make_row("x", score=0.1 + 0.2, label=None, error="boom\n'", entity="Ünï 💳", request="r", row=3, status=500)
    with PredictionLog(tmp_path / "p.sqlite") as log:
        log.write([row])
    found = find(tmp_path / "p.sqlite", "x")
    assert found is not None
    assert found.row == row
    assert found.truth is None


def test_a_full_queue_refuses_instead_of_growing(tmp_path: Path) -> None:
    """While another process holds the write lock the queue fills to its capacity and then says log-full."""
    path = tmp_path / "p.sqlite"
    log = PredictionLog(path, capacity=10)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    log.append(make_row("first"))
    while log.depth:
        threading.Event().wait(0.005)  # the writer takes it and then waits for the lock
    for i in range(10):
        log.append(make_row(f"a{i}"))
    with pytest.raises(ModelOpsError) as caught:
        log.append(make_row("one too many"))
    assert caught.value.problems[0].code == "log-full"
    assert caught.value.exit is Exit.WORLD
    assert caught.value.retryable
    blocker.execute("COMMIT")
    blocker.close()
    log.close()
    assert count(path) == 11


def test_feedback_sees_rows_queued_before_it_and_the_last_label_wins(tmp_path: Path) -> None:
    """Feedback for a row still in the buffer is accepted, for an unknown id or another model it is not."""
    path = tmp_path / "p.sqlite"
    with PredictionLog(path) as log:
        log.append(make_row("a"))
        known = log.feedback([("a", "1", 200.0, "fraud"), ("missing", "1", 200.0, "fraud"), ("a", "0", 200.0, "churn")])
        assert known == [True, False, False]
        assert log.feedback([("a", "0", 300.0, "fraud")]) == [True]
        found = find(path, "a")
    assert found is not None
    assert (found.truth, found.truth_time) == ("0", 300.0)


def test_a_closed_log_refuses(tmp_path: Path) -> None:
    """Appending after close is an error, not a silent loss."""
    log = PredictionLog(tmp_path / "p.sqlite")
    log.close()
    with pytest.raises(ModelOpsError) as caught:
        log.append(make_row("a"))
    assert caught.value.problems[0].code == "log-full"


@pytest.mark.parametrize("content", [b"this is not a database, it is a text file of some length" * 20])
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    """A foreign file in the log's place is named with exit 4 and left alone."""
    path = tmp_path / "p.sqlite"
    path.write_bytes(content)
    with pytest.raises(ModelOpsError) as caught:
        PredictionLog(path)
    assert caught.value.problems[0].code == "log-unwritable"
    with pytest.raises(ModelOpsError) as caught:
        count(path)
    assert caught.value.problems[0].code == "log-unreadable"
    assert caught.value.exit is Exit.WORLD
    assert path.read_bytes() == content


def test_a_newer_version_of_the_log_is_refused(tmp_path: Path) -> None:
    """A log with a higher user_version is neither written nor read."""
    path = tmp_path / "p.sqlite"
    PredictionLog(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    for use in (lambda: PredictionLog(path), lambda: count(path)):
        with pytest.raises(ModelOpsError) as caught:
            use()
        assert caught.value.problems[0].code == "log-version"


KILLED = """
import sys
from pathlib import Path
from modelops.predictions import PredictionLog
from test_rows import make_row
log = PredictionLog(Path(sys.argv[1]))
for i in range(100_000):
    log.write([make_row(f"id-{i}")])
    sys.stdout.write(f"id-{i}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_no_acknowledged_row(tmp_path: Path) -> None:
    """Every id that the process printed after its acknowledgement is in the log after kill -9."""
    path = tmp_path / "p.sqlite"
    script = tmp_path / "writer.py"
    script.write_text(KILLED.replace("from test_rows import make_row", ROWS), encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(script), str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = [process.stdout.readline().strip() for _ in range(300)]
    os.kill(process.pid, signal.SIGKILL)
    printed += [line.strip() for line in process.stdout.read().splitlines()]
    process.wait()
    process.stdout.close()
    complete = [id for id in printed if id.startswith("id-")]
    assert len(complete) >= 300
    assert all(find(path, id) is not None for id in complete[-50:])
    assert count(path) >= len(complete)
    with PredictionLog(path) as log:
        log.write([make_row("after")])
    assert find(path, "after") is not None


ROWS = textwrap.dedent("""
    from modelops.predictions import Row
    def make_row(id):
        return Row(id, 100.0, "fraud", 1, "stable", 0, "salt", "customer-1", '{"amount":1.5}', 0.25, "0", 200, 1.5)
""")

FULL = """
import json, resource, signal, sys, time
from pathlib import Path
from modelops.errors import ModelOpsError
from modelops.predictions import PredictionLog, count
from test_rows import make_row
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
log = PredictionLog(path)
log.write([make_row("before")])
size = max(file.stat().st_size for file in path.parent.iterdir())
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, hard))
refused = None
for i in range(200):
    try:
        log.write([make_row(f"full-{i}")._replace(features="x" * 4000)])
    except ModelOpsError as error:
        refused = error.problems[0].code
        break
for i in range(100):
    log.append(make_row(f"dropped-{i}")._replace(features="x" * 4000))
deadline = time.monotonic() + 5
while log.stats.dropped < 100 and time.monotonic() < deadline:
    time.sleep(0.01)
dropped, error = log.stats.dropped, log.stats.error
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.write([make_row("healed")])
log.close()
print(json.dumps({"refused": refused, "dropped": dropped, "error": error, "healed": log.stats.error is None}))
"""


def test_a_full_disk_refuses_acknowledged_rows_counts_buffered_ones_and_heals(tmp_path: Path) -> None:
    """With a limit on the size of files the log refuses, counts its drops, and writes again when there is room."""
    import json

    script = tmp_path / "writer.py"
    script.write_text(FULL.replace("from test_rows import make_row", ROWS), encoding="utf-8")
    folder = tmp_path / "log"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(script), str(folder / "p.sqlite")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["refused"] == "log-unwritable"
    assert seen["dropped"] == 100
    assert "cannot be written" in seen["error"]
    assert seen["healed"]
    assert find(folder / "p.sqlite", "before") is not None
    assert find(folder / "p.sqlite", "healed") is not None
    assert find(folder / "p.sqlite", "dropped-0") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (1.0, "1"),
        (1.5, "1.5"),
        ("yes", "yes"),
        (1e300, "1e+300"),
        (-0.5, "-0.5"),
    ],
)
def test_labels_have_one_spelling(value: object, text: str) -> None:
    """A label is logged as the same text whether it came as an integer, a float or a text."""
    assert label_text(value) == text  # type: ignore[arg-type]
