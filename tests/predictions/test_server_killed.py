"""The log of a real server under load: killed again and again, and on a disk that is full."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modelops.predictions import count, examine, find, read_window
from modelops.predictions.lanes import PART_ROWS
from serving.served_models import Running, open_store, pack_model, route, tensor, write_table
from waiting import PATIENCE

INFER = "/v2/models/fraud/infer"
BODY = json.dumps({"inputs": [tensor("features", "FP64", [0.5, 1.0], [1, 2])]}).encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store and the digest of a model in it."""
    folder = tmp_path_factory.mktemp("store")
    values = np.random.default_rng(0).normal(size=(60, 2))
    rows = {"a": values[:, 0].tolist(), "b": values[:, 1].tolist()}
    signature = {
        "model": "fraud",
        "task": "binary-classification",
        "features": [(name, "number", False) for name in rows],
        "classes": (0, 1),
        "positive": 1,
    }
    target = (values[:, 0] > 0).astype(int).tolist()
    return folder, pack_model(open_store(folder), LogisticRegression(), rows, target, signature)


@contextmanager
def serving(runtime: Path, made: tuple[Path, str], log: str) -> Iterator[tuple[Running, subprocess.Popen[str]]]:
    runtime.mkdir(exist_ok=True)
    write_table(runtime / "routes.json", {"fraud": route(("stable", 1, made[1], 1.0), log=log)})
    options = ["--port", "0", "--runtime", str(runtime), "--store", str(made[0])]
    process = subprocess.Popen(
        [sys.executable, "-m", "modelops", "serve", "production", *options], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        server = Running(runtime, process.stderr.readline().split()[-1])
        server.await_status(lambda status: status["table"])
        yield server, process
    finally:
        process.kill()
        process.communicate()


def load(
    url: str, answered: list[str], refused: list[int], enough: threading.Event, target: int, body: bytes = BODY
) -> None:
    """Ask on one connection until it breaks; remember the ids of what was answered."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    try:
        while True:
            connection.request("POST", INFER, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = json.loads(answer.read())
            if answer.status == 200:
                answered.append(data["parameters"]["prediction_id"])
            else:
                refused.append(answer.status)
            if len(answered) >= target:
                enough.set()
    except (OSError, http.client.HTTPException):
        return
    finally:
        connection.close()


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_kill_9_under_load_loses_no_acknowledged_row(tmp_path: Path, made: tuple[Path, str], kills: int) -> None:
    """Whatever a client was told is in the log, once, after every kill; the next server goes on with it."""
    runtime, answered, refused = tmp_path / "runtime", [], []
    for kill in range(kills):
        with serving(runtime, made, "acknowledged") as (server, process):
            enough = threading.Event()
            arguments = (server.url, answered, refused, enough, len(answered) + 60 + 37 * kill)
            threads = [threading.Thread(target=load, args=arguments) for _ in range(6)]
            for thread in threads:
                thread.start()
            assert enough.wait(PATIENCE)
            os.kill(process.pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
        logged = read_window(server.log, "fraud", columns=("id",)).column("id").to_pylist()
        assert len(set(logged)) == len(logged)
        assert set(answered) <= set(logged)
        # What was on its way may be there although nobody was told: at most one answer for each client.
        assert len(logged) <= len(answered) + 6 * (kill + 1)
    assert refused == []
    # A row is whole and chained or it is not there, and the chain goes on behind every kill.
    assert [flaw for one in examine(runtime / "predictions", {}) for flaw in one.flaws] == []
    assert len(list((runtime / "predictions").glob("*.sqlite"))) <= 2


def test_kill_9_between_the_parts_of_batches_loses_no_answered_row(tmp_path: Path, made: tuple[Path, str]) -> None:
    """Of a batch that was answered all rows are there; of one that was not, whole parts from the first row on."""
    runtime, answered, refused, rows = tmp_path / "runtime", [], [], 10 * PART_ROWS + 5
    body = json.dumps({"inputs": [tensor("features", "FP64", [0.5, 1.0] * rows, [rows, 2])]}).encode()
    for kill in range(3):
        with serving(runtime, made, "acknowledged") as (server, process):
            enough = threading.Event()
            arguments = (server.url, answered, refused, enough, len(answered) + 8 + 3 * kill, body)
            threads = [threading.Thread(target=load, args=arguments) for _ in range(4)]
            for thread in threads:
                thread.start()
            assert enough.wait(PATIENCE)
            os.kill(process.pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
    logged: dict[str, list[int]] = {}
    for id in read_window(server.log, "fraud", columns=("id",)).column("id").to_pylist():
        request, _, row = id.partition(".")
        logged.setdefault(request, []).append(int(row))
    assert refused == []
    assert set(answered) <= set(logged)
    for request, found in logged.items():
        assert sorted(found) == list(range(len(found)))
        assert len(found) == rows or (request not in answered and len(found) % PART_ROWS == 0)
    assert [flaw for one in examine(server.log, {}) for flaw in one.flaws] == []


def limit_files(pid: int, size: int | None) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def largest(folder: Path) -> int:
    return max(file.stat().st_size for file in folder.iterdir())


def ask(server: Running) -> tuple[int, Any, Any]:
    reply = server.ask(INFER, BODY)
    return reply.status, reply.json, {name.lower(): value for name, value in reply.headers.items()}


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are set on Linux only")
def test_a_full_disk_is_refused_and_heals(tmp_path: Path, made: tuple[Path, str]) -> None:
    """An answer that must be on disk is refused with Retry-After while it cannot be, and given when it can again."""
    with serving(tmp_path / "runtime", made, "acknowledged") as (server, process):
        assert ask(server)[0] == 200
        limit_files(process.pid, largest(server.log))
        status, answer, headers = next(found for _ in range(100) if (found := ask(server))[0] != 200)
        assert (status, headers["retry-after"]) == (503, "1")
        assert "cannot be written" in answer["error"]
        assert str(tmp_path) not in str(answer)
        assert "cannot be written" in server.status()["log"]["error"]
        ready = server.ask("/v2/health/ready")
        assert (ready.status, ready.json["error"]) == (503, "the prediction log cannot be written")
        limit_files(process.pid, None)
        # Who is not ready is asked nothing: it finds out by itself that the disk has room again.
        server.await_status(lambda status: status["log"]["error"] is None)
        assert server.ask("/v2/health/ready").status == 200
        status, answer, _ = ask(server)
        assert status == 200
    assert find(server.log, answer["parameters"]["prediction_id"]) is not None
    assert [flaw for one in examine(server.log, {}) for flaw in one.flaws] == []


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are set on Linux only")
def test_buffered_rows_outlive_a_full_disk(tmp_path: Path, made: tuple[Path, str]) -> None:
    """Answers go on while the disk is full, their rows wait in memory, and all of them are there when it heals."""
    with serving(tmp_path / "runtime", made, "buffered") as (server, process):
        assert ask(server)[0] == 200
        server.await_status(lambda status: status["log"]["written"] == 1)
        limit_files(process.pid, largest(server.log))
        asked = 1
        while server.status()["log"]["error"] is None:
            assert ask(server)[0] == 200
            asked += 1
        limit_files(process.pid, None)
        server.await_status(lambda status: status["log"]["written"] == asked)
        assert server.status()["log"]["dropped"] == 0
    assert count(server.log) == asked
    assert [flaw for one in examine(server.log, {}) for flaw in one.flaws] == []
