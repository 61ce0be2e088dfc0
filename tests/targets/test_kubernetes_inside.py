"""What programs in pods say: frames of the API server's protocol, and servers that say what no server says."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest

from modelops.targets import ObservedArm, Running
from modelops.targets.docker import inside as containers
from modelops.targets.docker.inside import read_status, whole
from modelops.targets.kubernetes import inside
from modelops.targets.kubernetes.inside import Program

websocket = pytest.importorskip("websocket")


class Wire:
    """The API server's side of a stream, and the product's."""

    def __init__(self) -> None:
        theirs, self.ours = socket.socketpair()
        self.client = websocket.WebSocket()
        self.client.sock, self.client.connected = theirs, True

    def sends(self, channel: int, data: bytes) -> None:
        frame = websocket.ABNF.create_frame(bytes([channel]) + data, websocket.ABNF.OPCODE_BINARY)
        self.ours.sendall(frame.format())

    def closes(self) -> None:
        self.ours.sendall(websocket.ABNF.create_frame(b"\x03\xe8", websocket.ABNF.OPCODE_CLOSE).format())

    def program(self, seconds: float = 60.0) -> Program:
        return Program(SimpleNamespace(sock=self.client), seconds)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    with closing(made.ours), closing(made.client.sock):
        yield made


def end(status: str) -> bytes:
    return json.dumps({"kind": "Status", "status": status}).encode()


@pytest.mark.parametrize(("status", "well"), [("Success", True), ("Failure", False)])
def test_a_program_is_heard_to_its_end(wire: Wire, status: str, well: bool) -> None:
    """What it writes comes as it is written; what it complains of and how it ended is known then."""
    wire.sends(1, b"one ")
    wire.sends(2, b"a warning")
    wire.sends(255, b"\x01")
    wire.sends(1, b"")
    wire.sends(1, b"two")
    wire.sends(3, end(status))
    wire.closes()
    running = wire.program()
    assert list(running.out()) == [b"one ", b"two"]
    assert (running.complaint, running.succeeded()) == (b"a warning", well)


@pytest.mark.parametrize("last", [b"", b"{", b"[]", b"3", b'{"status": []}', end("Success")[:-9]])
def test_of_a_program_that_was_cut_off_nobody_knows_how_it_ended(wire: Wire, last: bytes) -> None:
    """Half of what it wrote is never taken for all of it."""
    wire.sends(1, b"half")
    wire.sends(3, last)
    wire.ours.close()
    running = wire.program()
    assert list(running.out()) == [b"half"]
    assert not running.succeeded()


def test_half_a_frame_holds_nobody_up(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that falls silent in the middle of a frame is given up."""
    monkeypatch.setattr(inside, "SECONDS", 0.05)
    wire.ours.sendall(b"\x82\x7e\x10")
    running = wire.program()
    assert list(running.out()) == []
    assert running.complaint
    assert not running.succeeded()


def test_who_never_ends_is_not_waited_for(wire: Wire) -> None:
    """An answer has a time of its own, however often something comes."""
    wire.sends(1, b"more")
    assert list(wire.program(0.0).out()) == []


def test_an_answer_that_never_ends_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than any server says is not kept in memory."""
    monkeypatch.setattr(containers, "MOST_BYTES", 10)
    assert whole([b"ten", b" bytes."]) == "ten bytes."
    taken = iter([b"x" * 11, b"never asked for"])
    assert whole(taken) is None
    assert next(taken) == b"never asked for"


ARM = {"model": "fraud", "arm": "stable", "release": 1, "digest": "sha256:a", "ready": True, "error": None}


@pytest.mark.parametrize(
    "said",
    [
        "",
        "{",
        "3",
        "[]",
        "[" * 100_000,
        '{"more": ' + "[" * 100_000,
        json.dumps({"table": 3}),
        json.dumps({"arms": {"a": 1}}),
        json.dumps({"arms": [{**ARM, "release": "1"}]}),
        json.dumps({"arms": [{**ARM, "ready": "yes"}]}),
        json.dumps({"arms": [{key: ARM[key] for key in ("model", "arm")}]}),
    ],
    ids=lambda said: said[:20],
)
def test_what_no_server_says_counts_as_nothing(said: str) -> None:
    """A pod that answers something else does not answer with the routes, and breaks no pass."""
    assert read_status(said) is None


def test_what_a_server_says_is_read() -> None:
    """Its table, its arms and its trouble; what else it says is passed over."""
    told = {"table": "sha256:t", "arms": [{**ARM, "engine": "onnx"}], "error": "it is late", "log": {"depth": 0}}
    assert read_status(json.dumps(told)) == Running(
        True, "sha256:t", (ObservedArm("fraud", "stable", 1, "sha256:a", True, None),), "it is late"
    )
