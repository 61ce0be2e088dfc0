"""The prediction log: group commit, acknowledgement, bounds, crashes and full disks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from modelops.errors import Exit, ModelOpsError
from modelops.predictions import PredictionLog, Reception, Row, count, find, label_text
from waiting import PATIENCE, wait_for


def make_row(id: str, **changes: object) -> Row:
    row = Row(id, 100.0, "fraud", 1, "stable", 0, "salt", "customer-1", '{"amount":1.5}', 0.25, "0", 200, 1.5)
    return row._replace(**changes)


FIRST = "1970-01-01-w0-1.sqlite"
"""The file that holds the rows above."""


def test_an_acknowledged_row_is_readable_when_its_future_is_done(tmp_path: Path) -> None:
    """After awaiting the acknowledgement another connection finds the row."""
    path = tmp_path / "predictions"

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


def test_nobody_who_waits_is_forgotten(tmp_path: Path) -> None:
    """Rows and labels that come one after the other, each as soon as the one before is on disk, all get there."""

    async def rows(log: PredictionLog, name: str) -> None:
        for number in range(20):
            await log.append_acknowledged([make_row(f"{name}{number}")])

    async def labels(log: PredictionLog, name: str) -> None:
        for number in range(20):
            await log.feedback_acknowledged([(f"{name}{number}", "1", 101.0, "fraud")])

    async def scenario() -> None:
        with PredictionLog(tmp_path / "predictions") as log:
            together = [each(log, name) for name in "abcd" for each in (rows, labels)]
            await asyncio.wait_for(asyncio.gather(*together), PATIENCE)
            await asyncio.wait_for(rows(log, "z"), PATIENCE)

    asyncio.run(scenario())


def test_each_loop_hears_of_its_own_rows(tmp_path: Path) -> None:
    """Rows of several event loops, and of threads without one, share commits, and everybody who waits is told."""
    with PredictionLog(tmp_path / "predictions") as log:

        async def rows(name: str) -> None:
            for number in range(30):
                await asyncio.wait_for(log.append_acknowledged([make_row(f"{name}{number}")]), PATIENCE)

        def blocking(name: str) -> None:
            for number in range(30):
                log.write([make_row(f"{name}{number}")])

        with ThreadPoolExecutor() as threads:
            told = [threads.submit(lambda name=name: asyncio.run(rows(name))) for name in "abc"]
            told.append(threads.submit(blocking, "d"))
            for each in told:
                each.result(PATIENCE)
        assert log.stats.written == 120


def test_a_buffered_row_is_written_within_its_window(tmp_path: Path) -> None:
    """Buffered rows reach the disk without anyone waiting for them, and closing writes the rest."""
    path = tmp_path / "predictions"
    log = PredictionLog(path)
    for i in range(1200):
        log.append(make_row(f"a{i}"))
    wait_for(lambda: count(path) == 1200)
    log.append(make_row("last"))
    log.close()
    assert count(path) == 1201
    assert log.stats.commits < 100


def test_buffered_rows_that_keep_coming_share_windows(tmp_path: Path) -> None:
    """However fast rows come, each window is one commit: a sync costs as much as hundreds of rows."""
    ticker = threading.Event()
    with PredictionLog(tmp_path / "predictions", window_seconds=0.1) as log:
        started = time.monotonic()
        for i in range(300):
            log.append(make_row(f"a{i}"))
            ticker.wait(0.001)
        commits = log.stats.commits
        assert commits <= (time.monotonic() - started) / 0.1 + 1


def test_whoever_waits_is_woken_whatever_came_before(tmp_path: Path) -> None:
    """Rows, large requests and labels that are waited for in turns are each done soon: none has to come to wake it."""

    async def scenario() -> None:
        with PredictionLog(tmp_path / "predictions") as log:
            for turn in range(30):
                rows = [make_row(f"{turn}.{at}", row=at) for at in range(1 if turn % 3 else 600)]
                await asyncio.wait_for(log.append_acknowledged(rows), PATIENCE)
                waiting = log.feedback_acknowledged([(rows[-1].id, "1", 200.0, "fraud")])
                assert await asyncio.wait_for(waiting, PATIENCE) == [Reception.NEW]

    asyncio.run(scenario())


def test_a_single_row_does_not_wait_for_a_large_request(tmp_path: Path) -> None:
    """A row that comes behind thousands of others is on disk long before the last of them; labels find all of them."""

    async def scenario() -> None:
        with PredictionLog(tmp_path / "predictions") as log:
            many = [make_row(f"many.{at}", row=at) for at in range(20_000)]
            large = log.append_acknowledged(many)
            label = log.feedback_acknowledged([("many.19999", "1", 200.0, "fraud")])
            one = log.append_acknowledged([make_row("one")])
            order: list[object] = []
            for each in (large, one):
                each.add_done_callback(order.append)
            await asyncio.wait_for(one, PATIENCE)
            await asyncio.wait_for(large, PATIENCE)
            assert order == [one, large]
            assert await asyncio.wait_for(label, PATIENCE) == [Reception.NEW]
            assert large.done()

    asyncio.run(scenario())
    assert count(tmp_path / "predictions") == 20_001


def test_room_that_is_held_is_there_when_the_rows_come(tmp_path: Path) -> None:
    """What was reserved is not given to others, and can be given back."""
    with PredictionLog(tmp_path / "predictions", capacity=10) as log:
        log.reserve(8)
        assert (log.has_room(2), log.has_room(3)) == (True, False)
        with pytest.raises(ModelOpsError):
            log.reserve(3)
        log.append_all([make_row(f"a{at}", row=at) for at in range(5)], reserved=True)
        log.release(3)
        wait_for(lambda: (count(log.path), log.depth) == (5, 0))


def other_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE customers(name TEXT)")
        connection.execute("INSERT INTO customers VALUES ('Ada')")
        connection.commit()


@pytest.mark.parametrize("kind", ["garbage", "another database", "a folder"])
def test_a_file_that_is_no_log_is_set_aside_by_name(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The writer starts with the next file and says which one it renamed; nothing of that is thrown away."""
    path = tmp_path / "predictions"
    path.mkdir()
    if kind == "a folder":
        (path / FIRST).mkdir()
    elif kind == "garbage":
        (path / FIRST).write_bytes(b"this is not a database" * 500)
        # One of another writer that is gone would be in the way of whoever reads.
        (path / FIRST.replace("w0", "w7")).write_bytes(b"nor is this")
    else:
        other_database(path / FIRST)
    for _ in range(2):
        # Also at the start after the next one: the name is not given again.
        with PredictionLog(path) as log:
            log.write([make_row(os.urandom(4).hex())])
            aside = log.stats.set_aside
    assert (aside, (path / f"{FIRST}.damaged").exists(), (path / FIRST).exists()) == (0, True, False)
    assert count(path) == 2
    told = capfd.readouterr().err
    assert told.count(f"it is now {FIRST}.damaged") == 1
    if kind == "another database":
        with closing(sqlite3.connect(path / f"{FIRST}.damaged")) as connection:
            assert connection.execute("SELECT name FROM customers").fetchall() == [("Ada",)]


def test_a_file_that_breaks_while_it_is_open_is_followed_by_another(tmp_path: Path) -> None:
    """Rows go on into the next file, and labels for other days pass over one that cannot be read."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([make_row("yesterday", time=100.0), make_row("today", time=90_000.0)])
        for each in (*path.glob("*.sqlite"), *path.glob("*.sqlite-wal")):
            each.write_bytes(b"garbage" * 2000)
        log.write([make_row("later", time=90_001.0)])
        assert log.feedback([("later", "1", 95_000.0, "fraud"), ("yesterday", "1", 95_000.0, "fraud")]) == [
            Reception.NEW,
            Reception.UNKNOWN,
        ]
        assert log.stats.error is None
    assert count(path) == 1
    assert len(list(path.glob("*.damaged"))) == 2


def test_every_column_survives_the_way_through_the_file(tmp_path: Path) -> None:
    """What find returns is the row that was written, to the last bit."""
    row = make_row("x", score=0.1 + 0.2, label=None, error="boom\n'", entity="Ünï 💳", request="r", row=3, status=500)
    with PredictionLog(tmp_path / "predictions") as log:
        log.write([row])
    found = find(tmp_path / "predictions", "x")
    assert found is not None
    assert found.row == row
    assert found.truth is None


def test_a_full_queue_refuses_instead_of_growing(tmp_path: Path) -> None:
    """While another process holds the write lock the queue fills to its capacity and then says log-full."""
    path = tmp_path / "predictions"
    log = PredictionLog(path, capacity=10)
    log.write([make_row("first")])
    blocker = sqlite3.connect(path / FIRST, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
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
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.append(make_row("a"))
        known = log.feedback([("a", "1", 200.0, "fraud"), ("missing", "1", 200.0, "fraud"), ("a", "0", 200.0, "churn")])
        assert known == [Reception.NEW, Reception.UNKNOWN, Reception.UNKNOWN]
        assert log.feedback([("a", "1", 250.0, "fraud"), ("a", "0", 300.0, "fraud")]) == [
            Reception.REPEATED,
            Reception.CHANGED,
        ]
        found = find(path, "a")
        assert log.feedback([]) == []
    assert found is not None
    assert (found.truth, found.truth_time, found.revisions) == ("0", 300.0, 1)


def test_an_earlier_label_that_comes_late_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    """The latest by time is the truth, in whatever order labels arrive; one that repeats it keeps its first time."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([make_row("a")])
        for label, time, outcome in (("1", 300.0, Reception.NEW), ("0", 200.0, Reception.CHANGED), ("1", 400.0, 2)):
            assert log.feedback([("a", label, time, "fraud")]) == [outcome]
    found = find(path, "a")
    assert found is not None
    assert (found.truth, found.truth_time, found.revisions) == ("1", 300.0, 1)


def test_a_closed_log_refuses(tmp_path: Path) -> None:
    """Appending after close is an error, not a silent loss."""
    log = PredictionLog(tmp_path / "predictions")
    log.close()
    with pytest.raises(ModelOpsError) as caught:
        log.append(make_row("a"))
    assert caught.value.problems[0].code == "log-full"


@pytest.mark.parametrize("content", [b"this is not a database, it is a text file of some length" * 20])
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    """A foreign file in the log's place is named with exit 4 and left alone."""
    path = tmp_path / "predictions"
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
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([make_row("a")])
    with sqlite3.connect(path / FIRST) as connection:
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
    path = tmp_path / "predictions"
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
log = PredictionLog(path, capacity=100)
log.write([make_row("before")])
size = max(file.stat().st_size for file in path.iterdir())
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
    log.append(make_row(f"kept-{i}")._replace(features="x" * 4000))
full = None
try:
    log.append(make_row("one too many"))
except ModelOpsError as problem:
    full = problem.problems[0].code
error = log.stats.error
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
while log.depth:
    time.sleep(0.01)
log.write([make_row("healed")])
log.close()
healed = log.stats.error is None
print(json.dumps(
    {"refused": refused, "full": full, "dropped": log.stats.dropped, "error": error, "healed": healed}
))
"""


def test_a_full_disk_refuses_acknowledged_rows_keeps_buffered_ones_and_heals(tmp_path: Path) -> None:
    """With a limit on the size of files the log refuses those who wait, keeps buffered rows up to its capacity, and
    writes them when there is room.
    """
    script = tmp_path / "writer.py"
    script.write_text(FULL.replace("from test_rows import make_row", ROWS), encoding="utf-8")
    path = tmp_path / "predictions"
    done = subprocess.run(
        [sys.executable, str(script), str(path)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["refused"], seen["full"]) == ("log-unwritable", "log-full")
    assert "cannot be written" in seen["error"]
    assert (seen["healed"], seen["dropped"]) == (True, 0)
    for id in ("before", "kept-0", "kept-99", "healed"):
        assert find(path, id) is not None
    assert find(path, "one too many") is None


ENDS_FULL = """
import json, resource, signal, sys
from pathlib import Path
from modelops.predictions import PredictionLog
from test_rows import make_row
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
log = PredictionLog(path, window_seconds=60)
log.write([make_row("before")])
size = max(file.stat().st_size for file in path.iterdir())
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300_000, hard))
for i in range(200):
    log.append(make_row(f"kept-{i}")._replace(features="x" * 4000))
log.close()
print(json.dumps({"lost": log.lost, "written": log.stats.written, "dropped": log.stats.dropped}))
"""


def test_what_still_fits_is_kept_when_a_log_ends_on_a_full_disk(tmp_path: Path) -> None:
    """The oldest buffered rows are written as far as there is room, and the others are counted as lost."""
    script = tmp_path / "writer.py"
    script.write_text(ENDS_FULL.replace("from test_rows import make_row", ROWS), encoding="utf-8")
    path = tmp_path / "predictions"
    command = [sys.executable, str(script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    kept = [find(path, f"kept-{i}") is not None for i in range(200)]
    assert 0 < sum(kept) < 200
    assert kept == sorted(kept, reverse=True)
    assert seen == {"lost": 200 - sum(kept), "written": 1 + sum(kept), "dropped": 200 - sum(kept)}


@pytest.mark.parametrize("bad", [{"status": 2**70}, {"entity": None}, {"time": float("nan")}, {"label": "\udc80"}])
def test_a_row_that_cannot_be_held_fails_alone(tmp_path: Path, bad: dict[str, object]) -> None:
    """Rows that share a commit with a bad one are written; whoever waits for the bad one is told."""
    path = tmp_path / "predictions"

    async def scenario() -> None:
        with PredictionLog(path) as log:
            waiting = [log.append_acknowledged([make_row(f"a{i}", **(bad if i == 7 else {}))]) for i in range(20)]
            log.append(make_row("b", **bad))
            log.append(make_row("c"))
            told = await asyncio.gather(*waiting, return_exceptions=True)
            refused = [i for i, each in enumerate(told) if each is not None]
            assert refused == [7]
            assert told[7].problems[0].code == "log-refused"
        assert (log.stats.written, log.stats.dropped) == (20, 1)

    asyncio.run(scenario())
    assert count(path) == 20


def test_closing_while_others_append_loses_nothing_that_was_taken(tmp_path: Path) -> None:
    """Every row whose append returned before the log closed is written; every other append is refused."""
    path = tmp_path / "predictions"
    log = PredictionLog(path, capacity=10_000_000)
    taken: list[list[str]] = [[], []]

    def append(kept: list[str], name: str) -> None:
        for i in range(1_000_000):
            try:
                log.append(make_row(f"{name}{i}"))
            except ModelOpsError:
                break
            kept.append(f"{name}{i}")

    threads = [threading.Thread(target=append, args=(kept, name)) for kept, name in zip(taken, "ab", strict=True)]
    for thread in threads:
        thread.start()
    wait_for(lambda: min(map(len, taken)) >= 100)
    log.close()
    for thread in threads:
        thread.join()
    assert count(path) == len(taken[0]) + len(taken[1])
    assert all(find(path, kept[-1]) is not None for kept in taken)


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
