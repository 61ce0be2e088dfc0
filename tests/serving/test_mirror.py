"""Shadow arms: copies after the answer, within a budget, never seen and never felt."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelops.artifacts import open_artifact, put_artifact
from modelops.predictions import count, find, read_window
from modelops.serving import mirror
from modelops.serving.http import Limits
from modelops.serving.inputs import Bound
from modelops.serving.mirror import CONCURRENCY, QUEUE
from modelops.serving.table import LoadedArm
from modelops.stores import Store
from serving.served_models import Running, route, running, tensor
from waiting import PATIENCE, wait_for

INFER = "/v2/models/fraud/infer"
MATRIX = {"inputs": [tensor("features", "FP64", [0.5, 0.25], [1, 2])]}


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no copy run out of time because the machine is busy."""
    monkeypatch.setattr(mirror, "TIMEOUT_SECONDS", PATIENCE)


def shadowed(stable: str, shadow: str, share: float = 1.0) -> dict[str, Any]:
    table = route(("stable", 1, stable, 1.0), ("candidate", 2, shadow, 0.0), log="acknowledged", step=3)
    table["arms"][1]["shadow"] = share
    return {"fraud": table}


def shadows(log: Path) -> list[dict[str, Any]]:
    found = []
    for file in sorted(log.glob("*.sqlite")):
        with closing(sqlite3.connect(file)) as connection:
            connection.row_factory = sqlite3.Row
            found += [dict(row) for row in connection.execute("SELECT * FROM shadows")]
    return found


def counter(server: Running, name: str) -> float:
    lines = server.ask("/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"modelops_shadow_{name}_total{{"))


def errors(server: Running, release: int) -> int:
    lines = server.ask("/metrics").body.decode().splitlines()
    mine = (line for line in lines if line.startswith("modelops_errors_total{") and f'release="{release}"' in line)
    return sum(int(float(line.split()[-1])) for line in mine)


def test_a_shadow_answers_copies_that_nobody_sees(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """Every answer is stable's; the shadow's answers are logged beside them by prediction id and counted."""
    with running(tmp_path, store, shadowed(digests["fraud-1"], digests["fraud-2"])) as server:
        answers = [server.ask(INFER, MATRIX).json for _ in range(20)]
        assert {answer["model_version"] for answer in answers} == {"1"}
        pinned = server.ask("/v2/models/fraud/versions/2/infer", MATRIX).json
        wait_for(lambda: counter(server, "answered") == 20)
        assert counter(server, "dropped") == counter(server, "errors") == counter(server, "timeouts") == 0
    rows = shadows(server.log)
    assert {row["prediction_id"] for row in rows} == {answer["parameters"]["prediction_id"] for answer in answers}
    assert {(row["release"], row["arm"], row["step"], row["status"], row["error"]) for row in rows} == {
        (2, "candidate", 3, 200, None)
    }
    assert {row["score"] for row in rows} == {pinned["outputs"][0]["data"][0]}
    assert count(server.log) == 21
    stable = find(server.log, answers[0]["parameters"]["prediction_id"])
    assert stable is not None
    assert (stable.row.arm, stable.row.propensity) == ("stable", 1.0)


def test_a_share_of_the_requests_is_copied_row_by_row(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """About a third of the requests is copied, and a copy of two rows is two rows of the log."""
    body = {"inputs": [tensor("features", "FP64", [0.5, 0.25, -1.0, 0.5], [2, 2])]}
    with running(tmp_path, store, shadowed(digests["fraud-1"], digests["fraud-2"], 0.33)) as server:
        for _ in range(200):
            server.ask(INFER, body)
        wait_for(lambda: counter(server, "answered") > 30)
    rows = shadows(server.log)
    assert 2 * 35 < len(rows) < 2 * 100
    assert {row["prediction_id"].partition(".")[2] for row in rows} == {"0", "1"}


def test_a_shadow_that_fails_is_logged_and_not_felt(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """A shadow with other inputs than the request's fails on each copy; the callers get their answers."""
    renamed = dict(open_artifact(store, digests["fraud-2"]).files)
    renamed["models/signature.json"] = renamed["models/signature.json"].replace(b'"name":"y"', b'"name":"z"')
    renamed["models/smoke.json"] = renamed["models/smoke.json"].replace(b'"y":', b'"z":')
    other = put_artifact(store, renamed).digest
    body = {"inputs": [tensor("x", "FP64", [0.5]), tensor("y", "FP64", [0.25])]}
    with running(tmp_path, store, shadowed(digests["fraud-1"], other)) as server:
        assert {server.ask(INFER, body).status for _ in range(5)} == {200}
        wait_for(lambda: counter(server, "errors") == 5)
        assert "modelops_errors_total{" in server.ask("/metrics").body.decode()
    rows = shadows(server.log)
    assert {(row["status"], row["score"], row["label"]) for row in rows} == {(500, None, None)}
    assert "'z' is missing" in rows[0]["error"]


def hanging_candidate(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event, threading.Semaphore]:
    """Let the candidate hang between two events; the semaphore counts how often it began to."""
    hangs, ends, hanging = threading.Event(), threading.Event(), threading.Semaphore(0)
    answered = LoadedArm.predict

    def predict(arm: LoadedArm, bound: Bound) -> Any:
        if arm.name == "candidate" and hangs.is_set():
            hanging.release()
            ends.wait()
        return answered(arm, bound)

    monkeypatch.setattr(LoadedArm, "predict", predict)
    return hangs, ends, hanging


def test_a_shadow_that_hangs_times_out_and_its_copies_are_dropped(
    tmp_path: Path, store: Store, digests: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies that are not answered in time are errors "timeout"; when all threads hang the rest is dropped."""
    monkeypatch.setattr(mirror, "TIMEOUT_SECONDS", 0.5)
    hangs, ends, hanging = hanging_candidate(monkeypatch)
    table = shadowed(digests["fraud-1"], digests["fraud-2"])
    with running(tmp_path, store, table) as server:
        hangs.set()
        for asked in range(CONCURRENCY + QUEUE + 6):
            assert server.ask(INFER, MATRIX).status == 200
            # The first are with the threads, and no longer in the queue, before the rest comes.
            assert asked >= CONCURRENCY or hanging.acquire(timeout=PATIENCE)
        wait_for(lambda: counter(server, "timeouts") == CONCURRENCY)
        assert counter(server, "dropped") == 6
    ends.set()
    assert [(row["status"], row["error"]) for row in shadows(server.log)] == [(504, "timeout")] * CONCURRENCY


def test_a_candidate_that_hangs_fails_alone(
    tmp_path: Path, store: Store, digests: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not answer in the server's time is 504 and its error; stable's large requests go on meanwhile.

    On a busy machine the time may be over before a request is decoded: that is no error of the release, and no row. A
    caller that waits less long than the server is answered 408; that counts only if the server's time passes, too.
    """
    hangs, ends, _ = hanging_candidate(monkeypatch)
    arms = (("stable", 1, digests["fraud-1"], 0.5), ("candidate", 2, digests["fraud-2"], 0.5))
    table = {"fraud": route(*arms, latency_objective_ms=50.0)}
    rows = {"inputs": [tensor("features", "FP64", [9.0, 9.0] * 5_000, [5_000, 2])]}
    late = {"X-Request-Timeout-Ms": "100", "Content-Type": "application/json"}
    with running(tmp_path, store, table, limits=Limits(request_seconds=2.0)) as server:
        hangs.set()
        assert server.ask("/v2/models/fraud/versions/2/infer", rows, headers=late).status == 408
        assert errors(server, release=2) == 0
        while errors(server, release=2) < 2:
            assert server.ask("/v2/models/fraud/versions/2/infer", rows).status == 504
            wait_for(lambda: server.ask("/v2/models/fraud/versions/1/infer", rows).status == 200)
        met = errors(server, release=2)
        ends.set()
    failed = read_window(server.log, "fraud", releases=(2,)).to_pylist()
    assert {(row["status"], row["error"]) for row in failed} == {(500, "there was no answer in time")}
    assert len(failed) == met * 5_000


def test_what_is_late_before_it_meets_a_release_is_nobodys_error(
    tmp_path: Path, store: Store, digests: dict[str, str]
) -> None:
    """Whatever time callers have, as many requests are logged as the release is blamed for, also when a server ends."""
    table = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), latency_objective_ms=0.001)}
    rows = {"inputs": [tensor("features", "FP64", [9.0, 9.0] * 5_000, [5_000, 2])]}
    with running(tmp_path, store, table) as server:
        for milliseconds in (1, 2, 4, 8, 12, 16) * 2:
            late = {"X-Request-Timeout-Ms": str(milliseconds), "Content-Type": "application/json"}
            server.ask(INFER, rows, headers=late)
        blamed = errors(server, release=1)
    failed = [row for row in read_window(server.log, "fraud").to_pylist() if row["status"] == 500]
    assert len(failed) == blamed * 5_000
