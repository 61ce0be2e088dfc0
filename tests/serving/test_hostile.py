"""Clients that want to break the server: whatever they send, it answers within limits and goes on serving others."""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelops.serving.http import Limits
from modelops.stores import Store
from serving.served_models import Running, route, running, tensor
from serving.test_http import BODY, INFER, LARGE, answers, connect, post
from waiting import PATIENCE, wait_for

CHUNKED = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def assert_serves(server: Running) -> None:
    assert server.ask(INFER, BODY).status == 200


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory, store: Store, digests: dict[str, str]) -> Iterator[Running]:
    """Return a server that holds little and waits for nobody that does nothing."""
    limits = Limits(idle_seconds=1.0, pending_bytes=300_000, sweep_seconds=0.05)
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="off")}
    with running(tmp_path_factory.mktemp("tight"), store, models, limits=limits) as started:
        yield started


@pytest.mark.parametrize("body", [BODY, json.dumps(LARGE).encode()], ids=["at once", "waiting"])
def test_a_client_that_has_said_everything_still_gets_its_answers(server: Running, body: bytes) -> None:
    """A socket that is closed for writing is still read from, so every request on it is answered."""
    with connect(server) as connection:
        connection.sendall(post(body) * 3)
        connection.shutdown(socket.SHUT_WR)
        assert [status for status, _, _ in answers(connection)] == [200, 200, 200]


def test_a_half_request_before_the_end_is_no_request(server: Running) -> None:
    """A client that leaves in the middle of a body gets nothing, and nothing is left behind."""
    with connect(server) as connection:
        connection.sendall(post()[:-5])
        connection.shutdown(socket.SHUT_WR)
        assert answers(connection) == []
    assert_serves(server)


@pytest.mark.parametrize("last", [b"", b"nonsense\r\n\r\n"], ids=["idle", "refused"])
def test_a_client_that_never_reads_is_dropped(tight: Running, last: bytes) -> None:
    """Answers that nobody takes hold their connection for the idle time only."""
    path = b"GET /v2/models/fraud HTTP/1.1\r\nHost: x\r\n\r\n"
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(0.5)
    host, port = tight.url.removeprefix("http://").split(":")
    with connection:
        connection.connect((host, int(port)))

        def cut_off() -> bool:
            """Send until it takes no more; tell whether that is because it has ended the connection."""
            try:
                for _ in range(10_000):
                    connection.sendall(path * 100 + last)
            except TimeoutError:
                return False
            except ConnectionError:
                return True
            return False

        wait_for(cut_off)
    assert_serves(tight)


def test_bodies_on_their_way_share_a_limit(tight: Running) -> None:
    """Many clients that send large bodies slowly are refused before they take the memory; then there is room again."""
    slow = [connect(tight) for _ in range(4)]
    for connection in slow:
        connection.sendall(post(b" " * 100_000)[:-1])
    # Whichever comes last finds no room.
    refused, _, _ = select.select(slow, [], [], PATIENCE)
    assert [[status for status, _, _ in answers(each)] for each in refused] == [[503]]
    for connection in slow:
        connection.close()

    def room() -> bool:
        with contextlib.suppress(OSError), connect(tight) as connection:
            connection.sendall(post(BODY + b" " * 200_000))
            return [status for status, _, _ in answers(connection, 1)] == [200]
        return False

    wait_for(room)


def test_a_body_of_tiny_chunks_is_put_together(server: Running) -> None:
    """How a body is cut says nothing about what it holds."""
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY)
    with connect(server) as connection:
        connection.sendall(CHUNKED + chunks + b"0\r\nTrailer: x\r\n\r\n")
        assert [status for status, _, _ in answers(connection, 1)] == [200]


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length : 3\r\n",
        "X: a\r\n Content-Length: 3\r\n",
    ],
)
def test_a_request_that_two_readers_could_cut_differently_is_refused(server: Running, head: str) -> None:
    """Nothing is smuggled: one refusal, and the connection is closed before what follows is read."""
    with connect(server) as connection:
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + b"abc" + post())
        assert [status for status, _, _ in answers(connection)] == [400]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://other/v2", 200),
        ("//other/v2", 404),
        ("/v2?x=/metrics", 200),
        ("/v2/%2e%2e/metrics", 404),
        ("http://[/v2", 400),
        ("*", 400),
        ("/v2/models/fraud/versions/99999999999999999999", 404),
        ("/v2/models/%ff%fe", 404),
    ],
)
def test_strange_targets(server: Running, target: str, status: int) -> None:
    """A target names what it says and nothing else."""
    with connect(server) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert [found for found, _, _ in answers(connection, 1)] == [status]


def test_random_bytes_and_broken_requests_never_break_the_server(server: Running) -> None:
    """Requests with bytes changed, cut and doubled get whole answers or none; no answer is a failure of the server."""
    generator = random.Random(7)
    seeds = [post(), CHUNKED + b"5;a=b\r\n" + BODY[:5] + b"\r\n0\r\n\r\n", post(extra="Expect: 100-continue\r\n")]
    seeds.append(b"GET /v2/models/fraud/versions/1?q=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n")
    for _ in range(300):
        data = bytearray(generator.choice(seeds) * generator.choice([1, 1, 3]))
        for _ in range(generator.choice([1, 2, 8])):
            at = generator.randrange(len(data))
            match generator.randrange(4):
                case 0:
                    data[at] = generator.randrange(256)
                case 1:
                    del data[at : at + generator.randrange(1, 40)]
                case 2:
                    data[at:at] = data[at : at + generator.randrange(1, 200)]
                case _:
                    data[at:at] = generator.randbytes(3)
            data = data or bytearray(b"\r\n")
        with connect(server) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            found = answers(connection)
        assert all(status in {200, 400, 404, 405, 413, 415, 501, 505} for status, _, _ in found), bytes(data)
    assert_serves(server)


def one(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**tensor("x", "FP64", [0.5]), **changes}, tensor("y", "FP64", [0.5])]}


DEEP = "nested too deeply" if sys.version_info < (3, 14) else "has no inputs"
"""From 3.14 on Python looks at the stack and not at a count, and this much of it is passed over."""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (one(shape=[2**62] * 200_000), "200000 dimensions"),
        (one(shape=[-1, -1]), "no values"),
        (one(shape=[2**62, 2**62]), "values"),
        (one(shape=[1, 1], data=[[[[0.5]]]]), "not a value"),
        (one(name="é" * 100_000), "is not an input"),
        (one(datatype="FP64" * 1000), "not a datatype"),
        ({**one(), "id": "i" * 2000}, "longer than 1024"),
        ({**one(), "parameters": {"entity_id": "e" * 2000}}, "longer than 1024"),
        (b'{"inputs":' + b"[" * 100_000, "not valid"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"inputs":[]}', DEEP),
    ],
    ids=["dimensions", "negative", "product", "nested", "name", "datatype", "id", "entity", "deep", "deep and unknown"],
)
def test_what_is_huge_is_refused_in_few_words(server: Running, body: Any, words: str) -> None:
    """A request cannot make the server work, log or answer out of proportion."""
    refused = server.ask(INFER, body)
    assert refused.status == 400
    assert words in refused.json["error"]
    assert len(refused.body) < 1000


def test_a_flood_of_labels_is_refused_whole(server: Running) -> None:
    """Labels come in requests of a size that leaves time for predictions."""
    refused = server.ask("/v2/models/fraud/feedback", [{"id": "", "label": 1}] * 10_001)
    assert (refused.status, "at most 10000" in refused.json["error"]) == (413, True)
    taken = server.ask("/v2/models/fraud/feedback", [{"id": "", "label": 1}] * 1000)
    assert (taken.status, taken.json["accepted"]) == (200, 0)


@pytest.mark.parametrize("log", ["acknowledged", "buffered"])
def test_a_full_log_that_may_drop_answers_and_counts(
    tmp_path: Path, store: Store, digests: dict[str, str], log: str
) -> None:
    """Where the route says drop, a request that the log has no room for is answered and its rows are counted."""
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log=log, log_full="drop")}
    rows = 70_000
    many = {"inputs": [tensor("x", "INT64", [1] * rows), tensor("y", "INT64", [1] * rows)]}
    with running(tmp_path, store, models) as server:
        answered = server.ask(INFER, many)
        assert (answered.status, answered.json["outputs"][0]["shape"]) == (200, [rows])
        assert server.status()["log"]["dropped"] == rows
        assert_serves(server)
