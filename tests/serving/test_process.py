"""The server as a process: the verb, signals, ports and crashes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelops.clock import wall_clock
from modelops.errors import Exit, ModelOpsError
from modelops.predictions import count, find
from modelops.serving import Service
from modelops.stores import Store
from serving.served_models import Running, tensor, write_table

MATRIX = {"inputs": [tensor("features", "FP64", [0.5, 0.25], [1, 2])]}
INFER = "/v2/models/fraud/infer"


@contextmanager
def serve(folder: Path, store: Any, models: dict[str, Any]) -> Iterator[tuple[Running, subprocess.Popen[str]]]:
    """Run ``modelops serve`` on a free port and wait until it is ready."""
    write_table(folder / "routes.json", models)
    command = [
        sys.executable, "-m", "modelops", "serve", "production", "--port", "0", "--runtime", str(folder), "--store",
        str(store.folder),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "serving production on http://127.0.0.1:" in line
        server = Running(folder, line.split()[-1])
        server.await_status(lambda status: status["table"])
        yield server, process
    finally:
        process.kill()
        process.communicate()


def test_sigterm_answers_what_runs_and_exits_cleanly(tmp_path: Path, store: Store, models: dict[str, Any]) -> None:
    """After SIGTERM the running requests are answered, buffered rows are on disk, and the exit code is 0."""
    answered: list[str] = []
    with serve(tmp_path, store, {"fraud": models["fraud"] | {"log": "buffered"}}) as (server, process):
        started = threading.Barrier(9)

        def ask() -> None:
            started.wait()
            for _ in range(50):
                try:
                    reply = server.ask(INFER, MATRIX)
                except OSError:
                    return
                answered.append(reply.json["parameters"]["prediction_id"])

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        started.wait()
        while len(answered) < 20:
            threading.Event().wait(0.005)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.wait(timeout=20) == 0
    assert len(answered) >= 20
    assert count(server.log) == len(answered)


def test_kill_9_loses_no_acknowledged_prediction(tmp_path: Path, store: Store, models: dict[str, Any]) -> None:
    """Every answer of an acknowledged route is in the log after kill -9, and the next server goes on with it."""
    with serve(tmp_path, store, {"fraud": models["fraud"]}) as (server, process):
        ids = [server.ask(INFER, MATRIX).json["parameters"]["prediction_id"] for _ in range(30)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert all(find(server.log, id) is not None for id in ids)
    with serve(tmp_path, store, {"fraud": models["fraud"]}) as (server, _):
        assert server.ask("/v2/models/fraud/feedback", {"id": ids[-1], "label": 1}).status == 200


def test_a_taken_port_is_exit_4(tmp_path: Path, store: Store, models: dict[str, Any]) -> None:
    """The verb says which port is taken and leaves with the code of a failed world."""
    write_table(tmp_path / "routes.json", {"fraud": models["fraud"]})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "modelops", "serve", "x", "--port", str(port), "--runtime", str(tmp_path)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == Exit.WORLD
    assert f"port {port} of 127.0.0.1 is taken [port-taken]" in done.stderr
    assert not (tmp_path / "predictions").exists()


def test_no_routing_table_is_exit_3(tmp_path: Path) -> None:
    """An environment without a routing table is named, with the verb that writes it."""
    done = subprocess.run(
        [sys.executable, "-m", "modelops", "serve", "staging"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == Exit.FILES
    assert "no-routing-table" in done.stderr
    assert "modelops reconcile staging" in done.stderr


@pytest.mark.parametrize(("host", "code"), [("no such host", "bad-host"), ("192.0.2.1", "port-refused")])
def test_an_address_of_another_machine_is_refused(tmp_path: Path, store: Store, host: str, code: str) -> None:
    """A host that this machine cannot listen on is an error before anything is loaded."""
    with pytest.raises(ModelOpsError) as caught:
        Service(tmp_path / "routes.json", store, tmp_path / "p.sqlite", host=host, port=0, clock=wall_clock)
    assert caught.value.problems[0].code == code


def test_an_unwritable_log_is_said_at_the_start(tmp_path: Path, store: Store) -> None:
    """A log that cannot be created ends the start with log-unwritable and frees the port."""
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(ModelOpsError) as caught:
        Service(tmp_path, store, tmp_path / "file" / "p.sqlite", host="127.0.0.1", port=0, clock=wall_clock)
    assert caught.value.problems[0].code == "log-unwritable"
