"""Ports and pages: gRPC beside HTTP in processes of their own, and pages of other origins."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from modelops.clock import wall_clock
from modelops.errors import ModelOpsError
from modelops.predictions import count
from modelops.serving import Service
from modelops.stores import Store
from serving.served_models import Running, route, running, write_table
from waiting import PATIENCE

ORIGIN = "https://app.example"
ROW = {"x": 0.5, "y": 0.25}
PREDICT = "/v2/models/fraud/predict"


@contextlib.contextmanager
def served(
    folder: Path, store: Any, models: dict[str, Any], options: Sequence[str], start: Sequence[str] = ("-m", "modelops")
) -> Iterator[tuple[list[str], subprocess.Popen[str]]]:
    """Run ``modelops serve`` and return what it says first, up to the line with its addresses."""
    write_table(folder / "routes.json", models)
    command = [sys.executable, *start, "serve", "production", "--port", "0", "--runtime", str(folder)]
    process = subprocess.Popen([*command, "--store", str(store.folder), *options], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = []
        while not said or "serving production" not in said[-1]:
            line = process.stderr.readline()
            assert line, said
            said.append(line.rstrip())
        yield said, process
    finally:
        process.kill()
        process.communicate()


def asked() -> Any:
    request = service_pb2.ModelInferRequest(model_name="fraud")
    for name, value in ROW.items():
        request.inputs.add(name=name, datatype="FP64", shape=[1]).contents.fp64_contents.append(value)
    return request


@pytest.mark.slow
def test_workers_share_the_port_of_grpc(tmp_path: Path, store: Store, models: dict[str, Any]) -> None:
    """Calls on one port reach both workers, count as one server's, are all logged, and end with the server."""
    chosen = {"fraud": models["fraud"]}
    with served(tmp_path, store, chosen, ["--workers", "2", "--grpc-port", "0"]) as (said, process):
        found = re.fullmatch(r"serving production on (\S+) and over gRPC on (\S+)", said[-1])
        assert found is not None
        server = Running(tmp_path, found[1], found[2])
        workers = set()
        for _ in range(40):
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(server.grpc, options=options) as channel:
                service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(asked(), timeout=PATIENCE)
        lines = server.ask("/metrics").body.decode().splitlines()
        answered = [line for line in lines if "requests_total{" in line]
        workers = {re.search(r'worker="(\d)"', line)[1] for line in answered if float(line.split()[-1])}  # type: ignore[index]
        assert sum(float(line.split()[-1]) for line in answered) == 40
        assert workers == {"0", "1"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
    assert count(server.log) == 40


def test_a_server_without_the_library_says_so_and_serves(tmp_path: Path, store: Store, models: dict[str, Any]) -> None:
    """Asked for gRPC where grpcio is not installed, it says that it is off, and answers over HTTP."""
    start = ["-c", "import sys; sys.modules['grpc'] = None; from modelops.cli import main; main()"]
    with served(tmp_path, store, {"fraud": models["fraud"]}, ["--grpc-port", "0"], start) as (said, process):
        assert said[0] == "gRPC is off: its library, grpcio, is not installed; the extra grpc of modelops brings it"
        assert "gRPC" not in said[1]
        server = Running(tmp_path, said[1].split()[-1])
        server.await_status(lambda status: status["table"])
        assert server.ask(PREDICT, ROW).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0


def test_a_port_for_grpc_that_is_taken_is_said_at_once(tmp_path: Path, store: Store, server: Running) -> None:
    """Nothing is loaded before both ports are known to be free."""
    taken = int(server.grpc.rpartition(":")[2])
    with pytest.raises(ModelOpsError) as caught:
        Service(
            *(tmp_path / "routes.json", store, tmp_path / "predictions"),
            **{"host": "127.0.0.1", "port": 0, "clock": wall_clock, "grpc_port": taken},
        )
    assert (caught.value.first.code, caught.value.exit) == ("port-taken", 4)
    assert not (tmp_path / "predictions").exists()


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}


def told(reply: Any) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


def test_pages_of_other_origins_may_not_ask(server: Running) -> None:
    """Without more no page is let in, neither by a preflight nor unseen; who is no browser's page notices nothing."""
    preflight = server.ask(PREDICT, method="OPTIONS", headers=PREFLIGHT | {"origin": ORIGIN})
    assert (preflight.status, told(preflight)) == (200, {})
    before = server.ask("/v2/models/fraud/stats").json["model_stats"][0]["inference_count"]
    for headers in (
        {"origin": ORIGIN, "content-type": "text/plain"},
        {"origin": "null", "content-type": "text/plain"},
        {"origin": ORIGIN, "content-type": "text/plain", "sec-fetch-site": "cross-site"},
    ):
        reply = server.ask(PREDICT, ROW, headers=headers)
        assert (reply.status, "may not ask this server" in reply.json["error"]) == (403, True)
    assert server.ask("/v2/models/fraud/stats").json["model_stats"][0]["inference_count"] == before
    own = {"origin": server.url, "content-type": "application/json"}
    for headers in (own, own | {"sec-fetch-site": "same-origin"}, {"origin": ORIGIN, "sec-fetch-site": "same-origin"}):
        assert server.ask(PREDICT, ROW, headers=headers).status == 200
    assert told(server.ask("/v2", headers={"origin": ORIGIN})) == {}


def test_pages_of_named_origins_may_ask(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """A named origin gets its preflight and sees the answer, refusals too, quick and slow ones; others do not."""
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="acknowledged")}
    with running(tmp_path / "one", store, models, origins=[ORIGIN]) as server:
        preflight = server.ask(PREDICT, method="OPTIONS", headers=PREFLIGHT | {"origin": ORIGIN})
        assert preflight.status == 200
        allowed = told(preflight)
        assert allowed["access-control-allow-origin"] == ORIGIN
        assert "authorization" in allowed["access-control-allow-headers"]
        assert "POST" in allowed["access-control-allow-methods"]
        for body, status in ((ROW, 200), ({"z": 1}, 400)):
            reply = server.ask(PREDICT, body, headers={"origin": ORIGIN, "sec-fetch-site": "cross-site"})
            assert (reply.status, told(reply)["access-control-allow-origin"]) == (status, ORIGIN)
            assert reply.headers["vary"] == "origin"
        other = server.ask(PREDICT, method="OPTIONS", headers=PREFLIGHT | {"origin": ORIGIN + ".evil"})
        assert (other.status, told(other)) == (200, {})
    with running(tmp_path / "all", store, models, origins=["*"]) as server:
        reply = server.ask(PREDICT, ROW, headers={"origin": "null"})
        assert (reply.status, told(reply)["access-control-allow-origin"]) == (200, "null")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("evil.example:80", 421),
        ("EVIL.Example.", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("[::1].evil.example", 400),
        ("localhost", 200),
        ("localhost:8080", 200),
        ("app.localhost", 200),
        ("127.0.0.1:8080", 200),
        ("10.1.2.3", 200),
        ("[::1]:8080", 200),
        ("server", 200),
    ],
)
def test_a_server_for_one_machine_answers_to_no_name_of_others(server: Running, host: str, status: int) -> None:
    """A page whose name leads here reads nothing where only the address keeps others away."""
    for path, body in (("/v2", None), (PREDICT, ROW)):
        assert server.ask(path, body, headers={"host": host}).status == status


@pytest.mark.parametrize("origin", ["app.example", "https://App.example", "https://app.example/", "ftp://x", ""])
def test_what_is_no_origin_is_a_usage_error(tmp_path: Path, origin: str) -> None:
    """It is said before anything is opened."""
    from click.testing import CliRunner

    from modelops.cli.serve import command

    found = CliRunner().invoke(command, ["production", "--cors", origin])
    assert found.exit_code == 2
    assert "is not an origin: write https://HOST" in found.output
