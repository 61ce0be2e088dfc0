"""The head of a request: what a client offers costs it nothing, what RFC 9110 and 9112 forbid is refused in words."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from typing import Any

import pytest

from modelops.serving.http import Answer, HttpServer, Limits
from serving.served_models import Running
from serving.test_hostile import CHUNKED
from serving.test_http import BODY, INFER, answers, connect, post

H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
CHUNKS = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{H2C}Transfer-Encoding: chunked\r\n\r\n".encode()
CHUNKS += b"5\r\n" + BODY[:5] + b"\r\n%x\r\n" % len(BODY[5:]) + BODY[5:] + b"\r\n0\r\n\r\n"
WAITS = b"POST /v2 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"


def statuses(server: Running, data: bytes) -> list[int]:
    with connect(server) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return [status for status, _, _ in answers(connection)]


@pytest.mark.parametrize(
    "extra",
    [
        H2C,
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
        "Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.0, h2c\r\n",
        "Connection: keep-alive\r\nConnection: TE\r\nTE: trailers, deflate;q=0.5\r\n",
        "Expect: nothing, at all\r\n",
        "Accept: application/json\r\nAccept: */*;q=0.1\r\nAccept-Encoding: br\r\nAccept-Encoding: zstd\r\n",
        "Via: 1.1 a\r\nVia: 1.0 b\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nForwarded: for=a\r\n",
        "Cookie: a=b\r\nCookie: c=d\r\nCache-Control: no-cache\r\nPragma: no-cache\r\nPriority: u=1, i\r\n",
        "Trailer: X-Sum\r\nPrefer: wait=10\r\nRange: bytes=0-\r\nIf-None-Match: *\r\nEarly-Data: 1\r\n",
        "X-Request-Timeout-Ms: 9000 \t\r\n",
        "X-Empty:\r\nX-Latin: \xe9\r\nContent-Encoding: identity \r\nUser-Agent: a\r\nUser-Agent: b\r\n",
    ],
)
def test_what_a_client_offers_costs_it_nothing(server: Running, extra: str) -> None:
    """Fields that a server may pass over change nothing: the same answer, and the connection stays."""
    plain = server.ask(INFER, BODY).json["outputs"]
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {len(BODY)}\r\n\r\n".encode("latin-1")
    with connect(server) as connection:
        connection.sendall((head + BODY) * 2 + post())
        found = answers(connection, 3)
    assert [status for status, _, _ in found] == [200] * 3
    assert all(json.loads(body)["outputs"] == plain for _, _, body in found)


@pytest.mark.parametrize("size", [1, 3, 64, 100_000])
def test_an_offer_of_http_2_leaves_every_body_whole(server: Running, size: int) -> None:
    """Wherever the bytes are cut: bodies with a length, in chunks, none, and the requests behind them."""
    data = post(extra=H2C) + CHUNKS + f"GET /v2 HTTP/1.1\r\nHost: x\r\n{H2C}\r\n".encode() + post()
    data += post(b"", path="/v2/repository/index", extra=H2C) + CHUNKS
    with connect(server) as connection:
        for start in range(0, len(data), size):
            connection.sendall(data[start : start + size])
        found = answers(connection, 6)
    assert [status for status, _, _ in found] == [200] * 6
    predictions = [json.loads(found[place][2])["outputs"] for place in (0, 1, 3, 5)]
    assert all(each == predictions[0] for each in predictions)


def test_an_offer_does_not_open_a_way_around_the_framing(server: Running) -> None:
    """What could be cut in two ways is refused with an offer as without, and so is a body that is too large."""
    for head in ("Content-Length: 3\r\nContent-Length: 4\r\n", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"):
        data = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{H2C}{head}\r\n".encode() + b"abc" + post()
        assert statuses(server, data) == [400]
    large = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{H2C}Content-Length: 9999999999\r\n\r\n"
    assert statuses(server, large.encode()) == [413]
    assert statuses(server, post(extra=H2C.replace("Upgrade,", "close, Upgrade,")) + post()) == [200]


def test_a_client_that_waits_behind_another_request_gets_its_word(server: Running) -> None:
    """The word to go on comes when the answers before it are out, though the client offers HTTP/2 too."""
    slow = json.dumps({"inputs": [{"name": "features", "datatype": "FP64", "shape": [400, 2], "data": [0.5] * 800}]})
    head, _, body = post(extra=f"Expect: 100-Continue\r\n{H2C}").partition(b"\r\n\r\n")
    with connect(server) as connection:
        connection.sendall(post(slow.encode()) + head + b"\r\n\r\n")
        seen = b""
        while not seen.endswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            seen += connection.recv(65536)
        assert seen.startswith(b"HTTP/1.1 200 OK")
        connection.sendall(body)
        assert answers(connection, 1)[0][0] == 200


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"GET /v2 HTTP/1.1\r\n\r\n", 400, "no Host"),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "more than one host"),
        (b"GET /v2 HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "more than one host"),
        (b"GET /v2 HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "not a host"),
        (b"GET /v2 HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "not a host"),
        (b"GET /v2 HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "not a host"),
        (b"GET /v2 HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "not a host"),
        (b"GET /v2 HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400, "not a host"),
        (b"GET /v2 HTTP/2.0\r\nHost: x\r\n\r\n", 505, "HTTP/2.0"),
        (b"GET /v2\r\n\r\n", 505, "HTTP/0.9"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 400, "HTTP/2 is not spoken"),
        (CHUNKED.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n", 501, "gzip"),
        (CHUNKED.replace(b"chunked", b"gzip\r\nTransfer-Encoding: chunked") + b"0\r\n\r\n", 501, "gzip"),
        (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n", 400, "HTTP/1.0"),
        (post(extra="Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), 400, "more than one authorization"),
        (post(extra="Content-Type: a/b\r\ncontent-type: a/b\r\n"), 400, "more than one content-type"),
        (post(extra="Content-Encoding: gzip\r\nContent-Encoding: identity\r\n"), 400, "more than one content-encoding"),
        (post(extra="X-Request-Timeout-Ms: 5\r\nX-Request-Timeout-Ms: 9\r\n"), 400, "than one x-request-timeout-ms"),
        (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n", 413, "larger than 8388608"),
        (b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 67108865\r\n\r\n", 413, "larger than 8388608"),
        (WAITS + b"Content-Length: " + b"0" * 5000 + b"1\r\n\r\n", 400, "not a number"),
        (WAITS + b"Content-Length: 99999999\r\n\r\n", 413, "larger than 8388608"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "the target"),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 33_000 + b"\r\n\r\n", 431, "32768 bytes"),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 10_000 + b"\r\n", 431, "32768 bytes"),
        (CHUNKED + b"0\r\n" + b"X: a\r\n" * 8000 + b"\r\n", 431, "32768"),
    ],
)  # fmt: skip
def test_what_the_rfcs_forbid_is_refused_at_once(server: Running, data: bytes, status: int, words: str) -> None:
    """One answer that says what is wrong, without waiting for the rest, and the connection ends."""
    with connect(server) as connection:
        connection.sendall(data)
        found = answers(connection)
    assert [each[0] for each in found] == [status]
    assert words in json.loads(found[0][2])["error"]
    assert found[0][1]["connection"] == "close"


@pytest.mark.parametrize("host", ["x", "x:80", "x:", "[::1]:8080", "a_b.c-d", "127.0.0.1", "%41"])
def test_every_way_to_write_a_host_is_taken(server: Running, host: str) -> None:
    """A name, an address, with a port or without, and none where the target has no authority."""
    assert statuses(server, f"GET /v2 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()) == [200]
    assert statuses(server, b"GET /v2 HTTP/1.1\r\nHost:\r\n\r\n") == [200]
    assert statuses(server, b"GET /v2 HTTP/1.0\r\n\r\n") == [200]


def test_a_refused_client_that_still_sends_reads_its_answer(server: Running) -> None:
    """The answer to a body that is too large is not lost to a reset while the client goes on sending for a while."""
    with connect(server) as connection:
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".encode())
        for _ in range(60):
            connection.sendall(b" " * 65536)
        assert [status for status, _, _ in answers(connection)] == [413]
        connection.settimeout(10)
        with pytest.raises(OSError):  # noqa: PT011, PT012 - reset or timed out, as the kernel has it
            while True:
                connection.sendall(b" " * 65536)


def test_names_are_decoded_once(server: Running) -> None:
    """%2F in a path is a slash of a model's name, %252F is another name."""
    assert server.ask("/v2/models/payments%2Fchurn/ready").status == 200
    assert server.ask("/v2/models/payments%252Fchurn/ready").status == 404
    assert server.ask("/v2/models/payments%252Fchurn/infer", BODY).status == 404


def test_what_follows_a_compressed_body_is_refused(server: Running) -> None:
    """Bytes behind the end of gzip are no part of it, so they are not passed over."""
    headers = {"Content-Encoding": "gzip"}
    assert server.ask(INFER, gzip.compress(BODY), headers=headers).status == 200
    refused = server.ask(INFER, gzip.compress(BODY) + b"more", headers=headers)
    takes = "(the model takes x FP64, y FP64, each of shape [n], or one features FP64 of shape [n, 2])"
    assert (refused.status, refused.json["error"]) == (400, f"4 bytes follow the gzip body {takes}")


def test_a_method_that_is_not_allowed_is_told_which_are(server: Running) -> None:
    """Allow names HEAD where GET works."""
    assert server.ask("/v2/health/live", b"", method="POST").headers["allow"] == "GET, HEAD, OPTIONS"
    assert server.ask(INFER, method="PUT").headers["allow"] == "OPTIONS, POST"


def test_a_failing_callback_answers_and_closes() -> None:
    """Whatever breaks while a head is read, the client gets an answer instead of silence, and the loop the reason."""
    reported: list[str] = []

    async def talk() -> bytes:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(type(context["exception"]).__name__))
        broken: Any = "so many"
        http = HttpServer(
            lambda _: Answer(200, b"{}"), lambda: Answer(500, b'{"error":"failed"}'), Limits(drain_bytes=broken)
        )
        listener = await loop.create_server(http.protocol, "127.0.0.1", 0)
        async with listener:
            reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
            said = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return said

    said = asyncio.run(talk())
    assert said.startswith(b"HTTP/1.1 500 ")
    assert said.endswith(b'{"error":"failed"}')
    assert reported == ["TypeError"]
