"""HTTP itself: pieces, pipelines, limits in bytes and seconds, deadlines, and a drain that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelops.serving.http import Answer, HttpServer, Limits, Request
from modelops.serving.http.connection import Connection
from modelops.serving.inputs import Bound
from modelops.serving.table import LoadedArm
from modelops.stores import Store
from serving.served_models import Running, route, running, tensor
from waiting import PATIENCE, wait_for

INFER = "/v2/models/fraud/infer"
BODY = json.dumps({"inputs": [tensor("features", "FP64", [0.5, 0.25], [1, 2])]}).encode()
LARGE = {"inputs": [tensor("features", "FP64", [0.5, 0.25] * 400, [400, 2])]}
SHORT = Limits(head_seconds=0.2, body_seconds=0.2, sweep_seconds=0.05)
SMALL = Limits(head_bytes=2048, connections=3)


def post(body: bytes = BODY, path: str = INFER, version: str = "1.1", extra: str = "") -> bytes:
    return f"POST {path} HTTP/{version}\r\nHost: x\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


def connect(server: Running) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def answers(connection: socket.socket, count: int | None = None) -> list[tuple[int, dict[str, str], bytes]]:
    """Read answers until there are ``count``, or until the server closes."""
    found: list[tuple[int, dict[str, str], bytes]] = []
    with connection.makefile("rb") as stream:
        while (count is None or len(found) < count) and (line := stream.readline()):
            status = int(line.split()[1])
            headers = {}
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.decode().partition(": ")
                headers[name.lower()] = value
            body = stream.read(int(headers.get("content-length", 0)))
            if status != 100:
                found.append((status, headers, body))
    return found


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[Running]:
    """Return a server that waits for nobody."""
    with running(tmp_path_factory.mktemp("hurried"), store, {}, limits=SHORT) as started:
        yield started


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[Running]:
    """Return a server that holds little."""
    with running(tmp_path_factory.mktemp("small"), store, {}, limits=SMALL) as started:
        yield started


@pytest.mark.parametrize("size", [1, 7, 50])
def test_a_request_may_come_in_any_pieces(server: Running, size: int) -> None:
    """Wherever the bytes are cut, the answer is the same."""
    with connect(server) as connection:
        data = post(extra="Expect: nothing\r\n") + post(path="/v2/models/fraud/infer?a=b")
        for start in range(0, len(data), size):
            connection.sendall(data[start : start + size])
        first, second = answers(connection, 2)
    assert first[0] == second[0] == 200
    assert json.loads(first[2])["outputs"] == json.loads(second[2])["outputs"]


HEADS = [
    "",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "X-Long: " + "a" * 3000 + "\r\n",
]


@pytest.mark.parametrize("extra", HEADS, ids=["plain", "keep-alive", "expect", "upgrade", "long"])
def test_a_head_means_the_same_every_time(server: Running, extra: str) -> None:
    """A head that came before is answered by what follows it: another body, in pieces, or with a request behind it."""
    other = BODY.replace(b"0.25", b"0.75")
    assert len(other) == len(BODY)
    head, _, _ = post(extra=extra).partition(b"\r\n\r\n")
    head += b"\r\n\r\n"
    with connect(server) as connection:
        found = []
        for data in (head + BODY, head + BODY, head + other):
            connection.sendall(data)
            found += answers(connection, 1)
        connection.sendall(head)
        connection.sendall(other)
        found += answers(connection, 1)
        connection.sendall(head + other + head + BODY + b"\r\n" + head + other[:9])
        found += answers(connection, 2)
        connection.sendall(other[9:])
        found += answers(connection, 1)
        connection.sendall(head + b"x" * len(BODY))
        found += answers(connection, 1)
        connection.sendall(b"HEAD /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nnonsense\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")
    assert [status for status, _, _ in found] == [200] * 7 + [400]
    said = [json.loads(body)["outputs"][0]["data"] for _, _, body in found[:7]]
    assert said[0] == said[1] == said[5] != said[2]
    assert said[2] == said[3] == said[4] == said[6]


def test_a_defect_is_answered_whether_the_head_is_known_or_not() -> None:
    """A handler that raises is answered with 500 on a connection that closes, and the event loop gets the error."""
    reported: list[object] = []

    def handle(request: Request) -> Answer:
        if request.body == b"bad":
            raise UserWarning("a defect of the server")
        return Answer(200, b"{}")

    async def ask(port: int, *bodies: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in bodies:
            writer.write(post(body))
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
        rest = await reader.read() if b"close" in head else b""
        writer.close()
        return head.partition(b"\r\n")[0] + rest

    async def run() -> list[bytes]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        server = HttpServer(handle, lambda: Answer(500, b"{}"))
        listener = await loop.create_server(server.protocol, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        found = [await ask(port, b"bad"), await ask(port, b"yes"), await ask(port, b"bad"), await ask(port, b"yes")]
        listener.close()
        return found

    good, bad = b"HTTP/1.1 200 OK", b"HTTP/1.1 500 Internal Server Error{}"
    assert asyncio.run(run()) == [bad, good, bad, good]
    assert [type(each) for each in reported] == [UserWarning, UserWarning]


def test_a_connection_that_ended_leaves_nothing_in_memory(server: Running) -> None:
    """Nor does its last request, however large: nobody has to look for what is held by itself alone."""

    def left() -> int:
        return sum(isinstance(each, Connection) for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = left()
        for _ in range(5):
            with connect(server) as connection:
                connection.sendall(post(extra="Connection: close\r\n"))
                assert answers(connection)[0][0] == 200
        deadline = time.monotonic() + 60
        while left() > before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        gc.enable()


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    """Quick, waiting and refused requests in one packet get their answers in the order of the requests."""
    sizes = [1, 400, 2, 1, 300]
    bodies = [json.dumps({"inputs": [tensor("x", "FP64", [0.5] * n), tensor("y", "FP64", [0.1] * n)]}) for n in sizes]
    data = b"".join(post(body.encode()) for body in bodies)
    with connect(server) as connection:
        nothing = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(data + nothing + post(extra="Connection: close\r\n") + post())
        found = answers(connection)
    assert [status for status, _, _ in found] == [200] * 5 + [404, 200]
    assert [json.loads(body)["outputs"][0]["shape"] for _, _, body in found[:5]] == [[size] for size in sizes]
    assert found[-1][1]["connection"] == "close"


def test_keep_alive_of_old_and_new_clients(server: Running) -> None:
    """HTTP/1.0 is closed unless it asks for keep-alive, which is granted; a HEAD has no body."""
    with connect(server) as connection:
        connection.sendall(post(version="1.0", extra="Connection: keep-alive\r\n") + post(version="1.0"))
        first, second = answers(connection)
    assert (first[0], second[0]) == (200, 200)
    assert (first[1]["connection"], second[1]["connection"]) == ("keep-alive", "close")
    with connect(server) as connection:
        connection.sendall(b"HEAD /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = connection.makefile("rb").read()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")


def test_a_client_that_asks_first_is_told_to_go_on(server: Running) -> None:
    """Expect: 100-continue gets 100 before the body is sent, and 413 instead when the body would be too large."""
    with connect(server) as connection:
        head, _, body = post(extra="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert answers(connection, 1)[0][0] == 200
    with connect(server) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
        assert answers(connection)[0][0] == 413


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n", 200),
        (b"GET http://host/v2?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
        (b"CONNECT host:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (post(b"x", extra="X-Request-Timeout-Ms: soon\r\nConnection: close\r\n"), 400),
    ],
)
def test_what_is_no_plain_request_gets_one_answer(server: Running, data: bytes, status: int) -> None:
    """Broken framing is 400 in JSON, an upgrade is ignored, and the connection is closed after the answer."""
    with connect(server) as connection:
        connection.sendall(data)
        found = answers(connection)
    assert [each[0] for each in found] == [status]
    assert found[0][1]["content-type"] == "application/json"


def test_heads_that_do_not_end_are_refused(hurried: Running, small: Running) -> None:
    """A head that is too large is 431, one that takes too long 408, and so is a body that does not arrive."""
    cases = [
        (small, b"GET /v2 HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 400, 431),
        (hurried, b"GET /v2 HTTP/1.1\r\nHost: x\r\nX-A: ", 408),
        (hurried, b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{", 408),
    ]
    for server, data, status in cases:
        with connect(server) as connection:
            connection.sendall(data)
            found = answers(connection)
        assert [each[0] for each in found] == [status]
        assert "error" in json.loads(found[0][2])


def test_a_trickled_head_does_not_hold_its_connection(hurried: Running) -> None:
    """Sending a byte now and then does not prolong the time for a head."""
    with connect(hurried) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nX-A: ")
        for _ in range(int(PATIENCE / 0.02)):
            try:
                connection.sendall(b"a")
            except OSError:
                break
            time.sleep(0.02)
        else:
            pytest.fail("the head was waited for")


def test_only_so_many_connections_are_held(tmp_path: Path, store: Store) -> None:
    """One above the limit gets 503 with Retry-After; those that are held are answered."""
    with running(tmp_path, store, None, limits=SMALL) as server, contextlib.ExitStack() as open_ones:
        held = [open_ones.enter_context(connect(server)) for _ in range(3)]
        for _ in range(2):
            for each in held:
                each.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                assert answers(each, 1)[0][0] == 200
            with connect(server) as connection:
                refused = answers(connection)
            assert (refused[0][0], refused[0][1]["retry-after"]) == (503, "1")


def test_idle_connections_are_closed(tmp_path: Path, store: Store) -> None:
    """An idle connection is closed without a word."""
    limits = Limits(idle_seconds=0.2, sweep_seconds=0.05)
    with running(tmp_path, store, {}, limits=limits) as server, connect(server) as connection:
        assert connection.recv(10) == b""


@pytest.mark.parametrize(("encoding", "undo"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
def test_large_answers_are_compressed_for_those_who_ask(server: Running, encoding: str, undo: Any) -> None:
    """Gzip and deflate are applied to large answers when accepted, never to small ones or when refused by q=0."""
    plain = server.ask(INFER, LARGE)
    packed = server.ask(INFER, LARGE, headers={"Accept-Encoding": f"br, {encoding};q=0.5"})
    assert packed.headers["content-encoding"] == encoding
    assert json.loads(undo(packed.body))["outputs"] == plain.json["outputs"]
    for headers in ({"Accept-Encoding": f"{encoding};q=0"}, {"Accept-Encoding": "br"}):
        assert "content-encoding" not in server.ask(INFER, LARGE, headers=headers).headers
    assert "content-encoding" not in server.ask(INFER, BODY, headers={"Accept-Encoding": encoding}).headers


def test_a_request_past_the_deadline_that_it_set_is_its_callers(server: Running) -> None:
    """What is waited for ends at the caller's deadline; what is answered at once does not have one."""
    rows = {"inputs": [tensor("features", "FP64", [0.5, 0.25] * 40_000, [40_000, 2])]}
    late = server.ask(INFER, rows, headers={"X-Request-Timeout-Ms": "1"})
    assert late.status == 408
    assert "within 0.001 s, which the request allowed" in late.json["error"]
    assert server.ask(INFER, LARGE, headers={"X-Request-Timeout-Ms": "20000"}).status == 200


def test_only_so_many_requests_wait(
    tmp_path: Path, store: Store, digests: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would wait beyond the limit is 503 with Retry-After at once; what needs no waiting is answered."""
    go_on = threading.Event()
    answered = LoadedArm.predict

    def predict(arm: LoadedArm, bound: Bound) -> Any:
        assert bound.rows == 1 or go_on.wait(PATIENCE)
        return answered(arm, bound)

    monkeypatch.setattr(LoadedArm, "predict", predict)
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="off")}
    rows = {"inputs": [tensor("features", "FP64", [0.5, 0.25] * 40_000, [40_000, 2])]}
    replies = []
    with running(tmp_path, store, models, limits=Limits(pending_requests=1)) as server:
        threads = [threading.Thread(target=lambda: replies.append(server.ask(INFER, rows))) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(replies) == 7)
        assert server.ask(INFER, BODY).status == 200
        go_on.set()
        for thread in threads:
            thread.join()
        refused = [reply for reply in replies if reply.status == 503]
        assert sorted(reply.status for reply in replies) == [200] + [503] * 7
        assert all(reply.headers["retry-after"] == "1" and "waiting" in reply.json["error"] for reply in refused)


def test_a_drain_answers_what_arrives_and_closes(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """While the server drains, requests on open connections are answered with Connection: close; none is lost."""
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="acknowledged")}
    seen: list[list[tuple[int, str]]] = [[] for _ in range(4)]
    lost: list[OSError] = []

    def ask(server: Running, mine: list[tuple[int, str]]) -> None:
        with connect(server) as connection:
            while not mine or mine[-1][1] != "close":
                try:
                    connection.sendall(post())
                    ((status, headers, _),) = answers(connection, 1)
                except (OSError, ValueError) as error:
                    lost.append(OSError(str(error)))
                    return
                mine.append((status, headers.get("connection", "keep-alive")))

    threads = []
    with running(tmp_path, store, models) as server:
        for mine in seen:
            threads.append(threading.Thread(target=ask, args=(server, mine)))
            threads[-1].start()
        wait_for(lambda: all(len(mine) > 20 for mine in seen))
    for thread in threads:
        thread.join()
    assert not lost
    assert all({status for status, _ in mine} == {200} and mine[-1][1] == "close" for mine in seen)
