"""Several worker processes behind one port: one view, a death that is made good, and an end together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelops.predictions import count
from modelops.serving.workers.peers import _sum
from serving.served_models import Running, tensor, write_table
from waiting import PATIENCE, wait_for

INFER = "/v2/models/fraud/infer"
MATRIX = {"inputs": [tensor("features", "FP64", [0.5, 0.25], [1, 2])]}


@contextmanager
def workers(
    folder: Path, store: Any, models: dict[str, Any], env: Mapping[str, str] | None = None
) -> Iterator[tuple[Running, subprocess.Popen[str]]]:
    write_table(folder / "routes.json", models)
    command = [sys.executable, "-m", "modelops", "serve", "production", "--port", "0", "--workers", "2"]
    command += ["--runtime", str(folder), "--store", str(store.folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "serving production on http://127.0.0.1:" in line
        server = Running(folder, line.split()[-1])
        server.await_status(lambda status: status["table"] and len(status["workers"]) == 2)
        yield server, process
    finally:
        process.kill()
        process.communicate()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
def test_workers_are_one_server(tmp_path: Path, store: Any, models: dict[str, Any]) -> None:
    """Requests reach both workers; status, metrics and statistics of any of them count all; each has its own log."""
    with workers(tmp_path, store, {"fraud": models["fraud"]}) as (server, process):
        ids = [server.ask(INFER, MATRIX).json["parameters"]["prediction_id"] for _ in range(60)]
        for _ in range(6):
            assert server.status()["log"]["written"] == 60
            stats = server.ask("/v2/models/fraud/stats").json["model_stats"]
            assert [each["inference_count"] for each in stats] == [60]
        lines = server.ask("/metrics").body.decode().splitlines()
        answered = {line.split("}")[0]: float(line.split()[-1]) for line in lines if "requests_total{" in line}
        assert len(answered) == 2
        assert sum(answered.values()) == 60
        assert all(answered.values())
        for id in ids[::10]:
            assert server.ask("/v2/models/fraud/feedback", {"id": id, "label": 1}).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
    assert count(server.log) == 60


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(tmp_path: Path, store: Any, models: dict[str, Any]) -> None:
    """After kill -9 of one worker the other answers, and a new one takes its place."""
    with workers(tmp_path, store, {"fraud": models["fraud"] | {"log": "off"}}) as (server, _):
        before = {each["worker"]: each["pid"] for each in server.status()["workers"]}
        os.kill(before[0], signal.SIGKILL)

        def replaced() -> dict[int, int] | None:
            # What waited in the queue of the killed worker is reset by the kernel.
            with contextlib.suppress(OSError):
                found = {each["worker"]: each["pid"] for each in server.status()["workers"]}
                return found if len(found) == 2 and before[0] not in found.values() else None
            return None

        assert wait_for(replaced)[1] == before[1]
        assert server.ask(INFER, MATRIX).status == 200


@pytest.mark.slow
def test_workers_do_not_outlive_their_parent(tmp_path: Path, store: Any, models: dict[str, Any]) -> None:
    """When the parent is killed its workers drain, end by themselves and leave nothing of what they shared."""
    shared = tmp_path / "shared"
    shared.mkdir()
    only = {"fraud": models["fraud"] | {"log": "off"}}
    with workers(tmp_path, store, only, env=os.environ | {"TMPDIR": str(shared)}) as (server, process):
        pids = [each["pid"] for each in server.status()["workers"]]
        assert len(list(shared.glob("modelops-*"))) == 1
        process.kill()
        process.wait()
        wait_for(lambda: all(map(gone, pids)))
    assert list(shared.glob("modelops-*")) == []


def test_workers_that_cannot_start_are_an_error(tmp_path: Path, store: Any, models: dict[str, Any]) -> None:
    """When no worker can write its log the command says so and leaves with exit 4."""
    write_table(tmp_path / "routes.json", models)
    (tmp_path / "predictions").write_text("no folder", encoding="utf-8")
    command = [sys.executable, "-m", "modelops", "serve", "x", "--port", "0", "--workers", "2"]
    done = subprocess.run(
        [*command, "--runtime", str(tmp_path), "--store", str(store.folder)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "[workers-failed]" in done.stderr
    assert "[log-unwritable]" in done.stderr


def test_the_slowest_commit_of_all_workers_is_no_sum() -> None:
    """Counts add up; the longest of several is the longest."""
    one: dict[str, Any] = {"depth": 1, "slowest_commit_seconds": 0.5, "error": None}
    assert _sum([one, one | {"slowest_commit_seconds": 0.25, "error": "full"}]) == {
        "depth": 2,
        "slowest_commit_seconds": 0.5,
        "error": "full",
    }
