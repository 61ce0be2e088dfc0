"""The server as a process: the verb, signals, ports and crashes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

import modelops
from git_world import commit, git
from modelops.clock import wall_clock
from modelops.errors import Exit, ModelOpsError
from modelops.locks import normal_name, pins_of, serving_part
from modelops.predictions import count, find
from modelops.serving import Service
from modelops.spec.routing import RoutingTable
from modelops.stores import Store, open_at
from modelops.targets import Site, local
from serving.served_models import Running, tensor, write_table
from waiting import PATIENCE, wait_for

MATRIX = {"inputs": [tensor("features", "FP64", [0.5, 0.25], [1, 2])]}
INFER = "/v2/models/fraud/infer"
LOCK = Path(__file__).parents[2] / "requirements.lock"


@contextmanager
def serve(
    folder: Path, store: Any, models: dict[str, Any], *options: str
) -> Iterator[tuple[Running, subprocess.Popen[str]]]:
    """Run ``modelops serve`` on a free port and wait until it is ready."""
    write_table(folder / "routes.json", models)
    command = [
        sys.executable, "-m", "modelops", "serve", "production", "--port", "0", "--runtime", str(folder), "--store",
        str(store.folder), *options,
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


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
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
        wait_for(lambda: len(answered) >= 20)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.wait(timeout=PATIENCE) == 0
    assert len(answered) >= 20
    assert count(server.log) == len(answered)


def hammer(server: Running, seen: list[tuple[float, str]]) -> None:
    """Ask with a connection of its own for each request until nobody listens any more."""
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps(MATRIX).encode()
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    while not seen or seen[-1][1] in ("keep-alive", "close"):
        try:
            with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
                connection.sendall(head + body)
                answer = connection.recv(65536)
                said = "close" if b"connection: close" in answer else "keep-alive"
                seen.append((time.monotonic(), said if answer.startswith(b"HTTP/1.1 200") else repr(answer)))
        except OSError as error:
            seen.append((time.monotonic(), type(error).__name__))


@pytest.mark.parametrize("options", [["--notice", "2"], pytest.param(["--workers", "2"], marks=pytest.mark.slow)])
def test_who_connects_while_the_server_goes_is_answered_or_refused(
    tmp_path: Path, store: Store, models: dict[str, Any], options: list[str]
) -> None:
    """With a connection for each request nobody is reset: answers close, readiness says no, then the port is closed."""
    seen: list[list[tuple[float, str]]] = [[] for _ in range(4)]
    with serve(tmp_path, store, {"fraud": models["fraud"]}, *options) as (server, process):
        threads = [threading.Thread(target=hammer, args=(server, each)) for each in seen]
        for thread in threads:
            thread.start()
        wait_for(lambda: all(len(each) > 20 for each in seen))
        process.send_signal(signal.SIGTERM)
        if "--notice" in options:
            wait_for(lambda: server.ask("/v2/health/ready").status == 503)
            unready = time.monotonic()
        for thread in threads:
            thread.join()
        assert process.wait(timeout=PATIENCE) == 0
    assert {each[-1][1] for each in seen} == {"ConnectionRefusedError"}
    answered = [moment for each in seen for moment, said in each if said == "close"]
    assert answered
    if "--notice" in options:
        assert max(answered) > unready
    assert count(server.log) >= sum(len(each) - 1 for each in seen)


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
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert done.returncode == Exit.WORLD
    assert f"port {port} of 127.0.0.1 is taken [port-taken]" in done.stderr
    assert not (tmp_path / "predictions").exists()


def test_serve_finds_what_the_loop_wrote_from_every_folder_of_the_clone(
    tmp_path: Path, store: Store, models: dict[str, Any]
) -> None:
    """A subfolder and a linked work tree share the runtime folder of the clone; no --runtime is needed."""
    root, linked = tmp_path / "clone", tmp_path / "linked"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "Ada")
    git(root, "config", "user.email", "ada@example.com")
    commit(root, {"models/fraud/readme": "x\n"}, "Begin")
    git(root, "worktree", "add", "-q", "--detach", str(linked))
    write_table(root / ".modelops" / "runtime" / "production" / "routes.json", models)
    for folder in (root / "models" / "fraud", linked / "models"):
        command = ["-m", "modelops", "serve", "production", "--port", "0", "--store", str(store.folder)]
        with ended(subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, cwd=folder)) as one:
            assert one.stderr is not None
            assert "serving production on http://127.0.0.1:" in one.stderr.readline()


MODULES = """
import atexit, sys
atexit.register(lambda: print("modules", *sorted(sys.modules), file=sys.stderr))
from modelops.cli import main
main()
"""
"""The command, and at its end the names of all that was imported by then."""
FOREIGN = re.compile(r"(git|pandas|sklearn|scipy|skops|pyarrow|docker|grpc|joblib)\b|modelops\.(repository|project)\b")


def test_serving_onnx_imports_nothing_that_only_building_needs(
    tmp_path: Path, store: Store, models: dict[str, Any]
) -> None:
    """Outside of a repository a server of ONNX releases answers everything without git, pandas and scikit-learn."""
    write_table(tmp_path / "table.json", {"fraud": models["fraud"]})
    command = [sys.executable, "-c", MODULES, "serve", "production", "--port", "0"]
    command += ["--table", str(tmp_path / "table.json"), "--runtime", str(tmp_path / "runtime")]
    command += ["--store", str(store.folder)]
    with ended(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/")) as process:
        assert process.stderr is not None
        server = Running(tmp_path / "runtime", process.stderr.readline().split()[-1])
        server.await_status(lambda status: status["table"] is not None)
        rows = {"inputs": [tensor("features", "FP64", [0.5, 0.25] * 2000, [2000, 2])]}
        answered = [server.ask(INFER, body) for body in (MATRIX, rows)]
        assert [reply.status for reply in answered] == [200, 200]
        label = {"id": answered[0].json["parameters"]["prediction_id"], "label": 1}
        assert server.ask("/v2/models/fraud/feedback", label).status == 200
        for path in ("/metrics", "/v2/models/stats", "/v2/models/fraud", "/docs", "/openapi.json"):
            assert server.ask(path).status == 200
        process.terminate()
        told = process.stderr.read().split("modules ")[-1].split()
    assert {"modelops.serving.app", "onnxruntime"} <= set(told)
    assert [name for name in told if FOREIGN.match(name)] == []
    # All of it is in the part of the lock that an image for such releases installs.
    found = packages_distributions()
    imported = {normal_name(each) for name in told for each in found.get(name, ())} - {"modelops", "setuptools"}
    part = {pin.name for pin in pins_of(serving_part(LOCK.read_bytes()))}
    assert imported <= part
    assert "onnxruntime" in imported
    assert part.isdisjoint({"pandas", "scikit-learn", "scipy", "skops", "pyarrow", "skl2onnx", "gitpython"})


@pytest.mark.slow
def test_an_environment_of_the_serving_part_serves(tmp_path: Path, store: Store, models: dict[str, Any]) -> None:
    """What `modelops lock --serving` prints, installed by its hashes and alone, answers releases in ONNX."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("uv is not installed")
    part, environment = tmp_path / "serving.lock", tmp_path / "environment"
    part.write_bytes(serving_part(LOCK.read_bytes()))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    python = environment / "bin" / "python"
    install = [uv, "pip", "install", "--quiet", "--offline", "--require-hashes", "--no-deps", "--python", python]
    if subprocess.run([*install, "-r", part], check=False).returncode:
        pytest.skip("the cache of uv does not hold the packages of the lock")
    write_table(tmp_path / "table.json", {"fraud": models["fraud"] | {"log": "acknowledged"}})
    command = [python, "-m", "modelops", "serve", "production", "--port", "0", "--table", tmp_path / "table.json"]
    command += ["--runtime", tmp_path / "runtime", "--store", str(store.folder)]
    alone = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(modelops.__file__).parents[1])}
    with ended(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/", env=alone)) as process:
        assert process.stderr is not None
        server = Running(tmp_path / "runtime", process.stderr.readline().split()[-1])
        server.await_status(lambda status: status["table"] is not None)
        assert server.ask(INFER, MATRIX).status == 200
        large = {"inputs": [tensor("features", "FP64", [0.512345, 0.25] * 20_000, [20_000, 2])]}
        assert server.ask(INFER, large).status == 200
        assert server.ask("/v2/models/fraud/predict", {"x": 0.5, "y": 0.25}).status == 200
        assert server.ask("/metrics").status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process are set on Linux alone")
def test_rows_that_no_disk_has_taken_are_said_at_the_end(tmp_path: Path, store: Store, models: dict[str, Any]) -> None:
    """A server that ends while its disk is full says how many answered rows are not in the log, and exits with 4."""
    import resource

    with serve(tmp_path, store, {"fraud": models["fraud"] | {"log": "buffered"}}) as (server, process):
        assert server.ask(INFER, MATRIX).status == 200
        server.await_status(lambda status: status["log"]["written"] == 1)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        assert [server.ask(INFER, MATRIX).status for _ in range(20)] == [200] * 20
        process.terminate()
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(timeout=60) == Exit.WORLD
    assert re.search(r"\b20 rows that were answered are not in the log: .*\[log-rows-lost\]", said), said
    assert count(server.log) == 1


def test_no_routing_table_is_exit_3(tmp_path: Path) -> None:
    """An environment without a routing table is named, with the verb that writes it."""
    done = subprocess.run(
        [sys.executable, "-m", "modelops", "serve", "staging"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
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


def test_a_server_starts_anew_when_its_store_has_moved(tmp_path: Path, store: Store, models: dict[str, Any]) -> None:
    """After the project's store has moved, the next routes are served by a process that reads the new one."""
    other = tmp_path / "moved"
    shutil.copytree(store.address.folder, other)
    table = RoutingTable.model_validate_json(
        json.dumps({"environment": "production", "models": {"fraud": models["fraud"]}})
    )
    site = Site("production", tmp_path / "runtime", store.address)
    try:
        local.apply(local.Params(), site, table)
        first = local.servers(site)
        local.apply(local.Params(), site, table)
        assert local.servers(site) == first
        site = Site("production", tmp_path / "runtime", open_at(f"oci-layout:{other}", tmp_path, {}).address)
        observed = local.apply(local.Params(), site, table)
        assert [arm.ready for arm in observed.arms] == [True] * len(observed.arms)
        assert set(local.servers(site)).isdisjoint(first)
    finally:
        local.stop(local.Params(), site)
