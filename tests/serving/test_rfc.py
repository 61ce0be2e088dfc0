"""RFC 9110 and 9112, rule by rule: what a server must take and what it must refuse, as raw bytes and statuses."""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime

import pytest

from serving.served_models import Running
from serving.test_http import BODY, INFER, answers, connect, post

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
SIZE = b"%x" % len(BODY)


def live(line: bytes = b"GET /v2/health/live HTTP/1.1", fields: bytes = b"") -> bytes:
    return line + b"\r\nHost: x\r\n" + fields + b"\r\n"


def sized(length: bytes, body: bytes = BODY) -> bytes:
    return f"POST {INFER} HTTP/1.1\r\nHost: x\r\n".encode() + b"Content-Length: " + length + b"\r\n\r\n" + body


WHOLE = SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n"


def coded(coding: bytes = b"chunked", body: bytes = WHOLE, fields: bytes = b"") -> bytes:
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n".encode() + fields + b"Transfer-Encoding: " + coding
    return head + b"\r\n\r\n" + body


def chunk(size: bytes, rest: bytes = BODY + b"\r\n0\r\n\r\n") -> bytes:
    return coded(body=size + b"\r\n" + rest)


LENGTHS = {
    "9112-6.2 leading zeros are digits": (sized(b"000%d" % len(BODY)), [200]),
    "9112-6.2 spaces around it": (sized(b" \t%d \t" % len(BODY)), [200]),
    "9112-6.3 a plus": (sized(b"+%d" % len(BODY)), [400]),
    "9112-6.3 a minus": (sized(b"-1"), [400]),
    "9112-6.3 minus nothing": (sized(b"-0"), [400]),
    "9112-6.3 hexadecimal": (sized(b"0x%x" % len(BODY)), [400]),
    "9112-6.3 a list of the same": (sized(b"%d, %d" % (len(BODY), len(BODY))), [400]),
    "9112-6.3 a list that differs": (sized(b"%d, 3" % len(BODY)), [400]),
    "9112-6.3 two fields of the same": (sized(b"5\r\nContent-Length: 5"), [400]),
    "9112-6.3 a space between digits": (sized(b"5 5"), [400]),
    "9112-6.3 an underscore": (sized(b"1_0"), [400]),
    "9112-6.3 a fraction": (sized(b"5.0"), [400]),
    "9112-6.3 nothing": (sized(b""), [400]),
    "9112-6.3 digits that are none in ASCII": (sized("٥".encode()), [400]),
    "9112-6.3 behind a vertical tab": (sized(b"\x0b5"), [400]),
    "9112-6.3 beyond 64 bits": (sized(b"18446744073709551621"), [400]),
    "9112-6.3 2^40": (sized(b"%d" % (1 << 40)), [413]),
    "9112-6.3 both ways of framing": (coded(fields=b"Content-Length: 5\r\n"), [400]),
    "9112-6.3 none is an empty body": (sized(b"0", b"") + LIVE, [400, 200]),
}
CHUNKS = {
    "9112-7.1 plain": (chunk(SIZE) + LIVE, [200, 200]),
    "9112-7.1 capital digits": (chunk(SIZE.upper()) + LIVE, [200, 200]),
    "9112-7.1 leading zeros": (chunk(b"0" * 40 + SIZE) + LIVE, [200, 200]),
    "9112-7.1 a last chunk of many zeros": (chunk(SIZE, BODY + b"\r\n00000\r\n\r\n") + LIVE, [200, 200]),
    "9112-7.1.1 extensions are passed over": (chunk(SIZE + b';a=b;c="d \\" e";f') + LIVE, [200, 200]),
    "9112-7.1.1 an extension of the last chunk": (chunk(SIZE, BODY + b"\r\n0;a=b\r\n\r\n") + LIVE, [200, 200]),
    "9112-7.1.1 extensions without end": (chunk(SIZE + b";" + b"a" * (1 << 20)), [413]),
    "9112-7.1.1 extensions, a few in each chunk": (
        coded(body=b"".join(b"1;%b\r\n%c\r\n" % (b"a" * 4000, byte) for byte in BODY) + b"0\r\n\r\n"),
        [413],
    ),
    "9112-7.1.1 a line feed within": (chunk(SIZE + b";a\nb"), [400]),
    "9112-7.1.2 trailers are passed over": (
        chunk(SIZE, BODY + b"\r\n0\r\nX-Sum: a\r\nContent-Encoding: gzip\r\nHost: y\r\n\r\n") + LIVE,
        [200, 200],
    ),
    "9110-6.5.1 a trailer that would frame the body": (
        chunk(SIZE, BODY + b"\r\n0\r\nContent-Length: 3\r\n\r\n"),
        [400],
    ),
    "9112-7.1.2 a trailer with a broken name": (chunk(SIZE, BODY + b"\r\n0\r\nX Sum: a\r\n\r\n"), [400]),
    "9112-7.1 2^40": (chunk(b"10000000000", BODY), [413]),
    "9112-7.1 2^40 behind zeros": (chunk(b"0000010000000000", BODY), [413]),
    "9112-7.1 2^40 with an extension": (chunk(b"10000000000;a=b", BODY), [413]),
    "9112-7.1 2^40 as a later chunk": (chunk(SIZE, BODY + b"\r\n10000000000\r\n"), [413]),
    "9112-7.1 just beyond what is read": (chunk(b"4000001", BODY), [413]),
    "9112-7.1 beyond 64 bits": (chunk(b"1" + b"0" * 16 + SIZE), [400]),
    "9112-7.1 a sign": (chunk(b"+" + SIZE), [400]),
    "9112-7.1 minus": (chunk(b"-1"), [400]),
    "9112-7.1 a prefix": (chunk(b"0x" + SIZE), [400]),
    "9112-7.1 nothing": (chunk(b""), [400]),
    "9112-7.1 a space before": (chunk(b" " + SIZE), [400]),
    "9112-7.1 no end of line behind the data": (chunk(b"5", b"abcdeXX0\r\n\r\n"), [400]),
    "9112-7.1 line feeds alone": (coded(body=SIZE + b"\n" + BODY + b"\n0\n\n"), [400]),
    "9112-7.1 a carriage return alone": (coded(body=SIZE + b"\r" + BODY + b"\r\n0\r\n\r\n"), [400]),
}
CODINGS = {
    "9112-7 names of codings have no case": (coded(b"Chunked") + LIVE, [200, 200]),
    "9112-7 a tab before it": (coded(b"\tchunked") + LIVE, [200, 200]),
    "9112-6.1 twice": (coded(b"chunked, chunked"), [400]),
    "9112-6.1 in two fields": (coded(b"chunked\r\nTransfer-Encoding: chunked"), [400]),
    "9112-6.1 not the last": (coded(b"chunked, gzip"), [400]),
    "9112-6.1 identity is no coding": (coded(b"identity"), [400]),
    "9112-6.1 an unknown one before": (coded(b"gzip, chunked"), [501]),
    "9112-6.1 a name that only begins so": (coded(b"chunked-not"), [400]),
    "9112-6.1 a parameter": (coded(b"chunked;q=1"), [400]),
    "9112-6.1 behind a vertical tab": (coded(b"\x0bchunked"), [400]),
    "9112-6.1 nothing": (coded(b""), [400]),
    "9112-6.1 in HTTP/1.0": (coded().replace(b"HTTP/1.1", b"HTTP/1.0"), [400]),
}
FIELDS = {
    "9112-5.1 a space before the colon": (live(fields=b"X-A : b\r\n"), [400]),
    "9112-5.1 no name": (live(fields=b": b\r\n"), [400]),
    "9112-5.1 no colon": (live(fields=b"X-A\r\n"), [400]),
    "9110-5.1 a name of other characters": (live(fields=b"X(A): b\r\n"), [400]),
    "9112-5.2 a folded line": (live(fields=b"X-A: b\r\n c\r\n"), [400]),
    "9112-5.2 a folded length": (sized(b"\r\n %d" % len(BODY)), [400]),
    "9112-2.2 a space before the first field": (b"GET /v2 HTTP/1.1\r\n Host: x\r\n\r\n", [400]),
    "9110-5.5 NUL": (live(fields=b"X-A: b\0c\r\n"), [400]),
    "9110-5.5 a carriage return alone": (live(fields=b"X-A: b\rX-B: c\r\n"), [400]),
    "9112-2.2 a line feed alone": (live(fields=b"X-A: b\nX-B: c\r\n"), [400]),
    "9112-2.2 line feeds as ends of lines": (b"GET /v2 HTTP/1.1\nHost: x\n\n", [400]),
    "9110-5.5 bytes beyond ASCII": (live(fields=b"X-A: \xe9\xff\r\n") + LIVE, [200, 200]),
    "9110-5.6.3 nothing but spaces": (live(fields=b"X-A: \t \r\n") + LIVE, [200, 200]),
    "9112-2.2 empty lines before a request": (b"\r\n\r\n" + LIVE + LIVE, [200, 200]),
}
LINES = {
    "9112-3.2.1 origin-form": (live(b"GET /v2/health/live?a=b HTTP/1.1"), [200]),
    "9112-3.2.2 absolute-form": (live(b"GET http://localhost/v2/health/live HTTP/1.1"), [200]),
    "9112-3.2.2 with a port": (live(b"GET http://localhost:81/v2/health/live?a=b HTTP/1.1"), [200]),
    "9112-3.2.2 by TLS, which ended before": (live(b"GET https://localhost/v2/health/live HTTP/1.1"), [200]),
    "9110-4.2.3 a scheme has no case": (live(b"GET HTTP://LOCALHOST/v2/health/live HTTP/1.1"), [200]),
    "9110-4.2.1 no host": (live(b"GET http:///v2/health/live HTTP/1.1"), [400]),
    "9110-4.2.1 a port of no host": (live(b"GET http://:80/v2/health/live HTTP/1.1"), [400]),
    "9110-4.2.4 a user": (live(b"GET http://me@example.org/v2/health/live HTTP/1.1"), [400]),
    "9110-7.4 another scheme": (live(b"GET ftp://example.org/v2/health/live HTTP/1.1"), [400]),
    "9112-3.2.2 its host counts, which is none of this server": (
        live(b"GET http://example.org/v2/health/live HTTP/1.1"),
        [421],
    ),
    "9112-3.2.2 a post": (post(path=f"http://localhost{INFER}"), [200]),
    "9112-3.2.3 authority-form": (live(b"CONNECT example.org:443 HTTP/1.1"), [501]),
    "9112-3.2.3 for CONNECT alone": (live(b"GET example.org:443 HTTP/1.1"), [400]),
    "9112-3.2.4 asterisk-form": (live(b"OPTIONS * HTTP/1.1") + LIVE, [200, 200]),
    "9112-3.2.4 for OPTIONS alone": (live(b"GET * HTTP/1.1"), [400]),
    "9110-9.3.7 of a path": (live(b"OPTIONS /v2/health/live HTTP/1.1") + LIVE, [200, 200]),
    "9110-9.3.7 of no path": (live(b"OPTIONS /nothing HTTP/1.1") + LIVE, [404, 200]),
    "9112-3.2 no slash": (live(b"GET v2/health/live HTTP/1.1"), [400]),
    "9112-3.2 a fragment": (live(b"GET /v2/health/live#a HTTP/1.1"), [400]),
    "9112-3.2 bytes beyond ASCII": (live("GET /v2/ü HTTP/1.1".encode()), [400]),
    "9112-3 a tab": (live(b"GET\t/v2/health/live HTTP/1.1"), [400]),
    "9112-3.2 a space within": (live(b"GET /v2/health /live HTTP/1.1"), [400]),
    "9112-3 NUL": (live(b"GET /v2\0 HTTP/1.1"), [400]),
    "9110-9.1 a method has a case": (live(b"get /v2/health/live HTTP/1.1"), [501]),
    "9110-9.1 a method that nobody knows": (live(b"BREW /v2/health/live HTTP/1.1"), [501]),
    "9110-9.1 no method": (live(b"G@T /v2/health/live HTTP/1.1"), [400]),
    "9110-15.5.6 a method that others know": (live(b"DELETE /v2/health/live HTTP/1.1") + LIVE, [405, 200]),
    "9110-9.3.8 TRACE": (live(b"TRACE /v2/health/live HTTP/1.1") + LIVE, [405, 200]),
    "9112-2.3 a later version of 1": (live(b"GET /v2/health/live HTTP/1.2") + LIVE, [200, 200]),
    "9112-2.3 HTTP/1.0 ends with its answer": (live(b"GET /v2/health/live HTTP/1.0") + LIVE, [200]),
    "9112-9.3 HTTP/1.0 that asks to stay": (
        live(b"GET /v2/health/live HTTP/1.0", b"Connection: Keep-Alive\r\n") + LIVE,
        [200, 200],
    ),
    "9112-9.6 close": (live(fields=b"Connection: Close\r\n") + LIVE, [200]),
    "9112-9.6 close in a list": (live(fields=b"Connection: foo, close\r\n") + LIVE, [200]),
    "9112-2.3 two digits": (live(b"GET /v2/health/live HTTP/1.10"), [400]),
    "9112-2.3 lower case": (live(b"GET /v2/health/live http/1.1"), [400]),
    "9110-15.6.6 HTTP/2.0": (live(b"GET /v2/health/live HTTP/2.0"), [505]),
    "9110-15.6.6 HTTP/3.0": (live(b"GET /v2/health/live HTTP/3.0"), [505]),
    "9110-15.6.6 HTTP/2.1 behind a request that was fine": (LIVE + live(b"GET /v2/health/live HTTP/2.1"), [200, 505]),
    "9112-2.3 HTTP/1.0 behind it": (LIVE + live(b"GET /v2/health/live HTTP/1.0"), [200, 200]),
    "9113-3.3 prior knowledge of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", [400]),
    "9110-7.8 an offer of HTTP/2": (
        live(fields=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n") + LIVE,
        [200, 200],
    ),
    "9112-3.2 Host may be empty": (b"GET /v2 HTTP/1.1\r\nHost:\r\n\r\n", [200]),
    "9112-3.2 but not absent": (b"GET /v2 HTTP/1.1\r\n\r\n", [400]),
}
MEANINGS = {
    "9110-10.1.1 a word for a body that is too large": (
        sized(b"9000000\r\nExpect: 100-continue", b""),
        [413],
    ),
    "9110-10.1.1 in HTTP/1.0 it is passed over": (post(version="1.0", extra="Expect: 100-continue\r\n"), [200]),
    "9110-10.1.1 other expectations are passed over": (post(extra="Expect: 42-maybe\r\n") + LIVE, [200, 200]),
    "9110-15.5.16 an unknown coding of the body": (post(extra="Content-Encoding: zstd\r\n") + LIVE, [415, 200]),
    "9110-8.4 identity is none": (post(extra="Content-Encoding: identity\r\n") + LIVE, [200, 200]),
    "9110-9.3.1 a body of GET is read and means nothing": (
        b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde" + LIVE,
        [200, 200],
    ),
    "9110-14.2 ranges may be passed over": (live(fields=b"Range: bytes=0-1\r\n") + LIVE, [200, 200]),
}
RULES = {**LENGTHS, **CHUNKS, **CODINGS, **FIELDS, **LINES, **MEANINGS}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("step", [0, 7], ids=["whole", "in pieces"])
def test_each_rule_has_its_answer(server: Running, rule: str, step: int) -> None:
    """However the bytes are cut, the statuses are the right ones, and what cannot be framed ends the connection."""
    data, wanted = RULES[rule]
    if step and len(wanted) == 1:
        # What is sent after the last answer may take it away again.
        data = data.removesuffix(LIVE) or data
    with connect(server) as connection:
        try:
            for start in range(0, len(data), step or len(data)):
                connection.sendall(data[start : start + (step or len(data))])
        except ConnectionError:
            assert wanted[-1] in (400, 413, 501, 505)
        found = answers(connection, len(wanted))
        assert [status for status, _, _ in found] == wanted
        for status, headers, body in found:
            if status != 200:
                assert json.loads(body)["error"]
            if status in (400, 413, 501, 505) and status != found[0][0]:
                assert headers["connection"] == "close"


def test_every_answer_has_a_date(server: Running) -> None:
    """RFC 9110 6.6.1: a server with a clock says when it answered, in the one form that is written today."""
    with connect(server) as connection:
        connection.sendall(LIVE + post() + live(b"GET /nothing HTTP/1.1") + live(b"HEAD /v2 HTTP/1.1"))
        found = []
        connection.settimeout(10)
        with connection.makefile("rb") as stream:
            while len(found) < 4 and (line := stream.readline()):
                if line.lower().startswith(b"date: "):
                    found.append(line[6:].strip().decode())
    assert len(found) == 4
    for said in found:
        assert re.fullmatch(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", said)
        assert parsedate_to_datetime(said).tzinfo is not None


@pytest.mark.parametrize(
    ("target", "allow"),
    [("*", "GET, HEAD, OPTIONS, POST"), (INFER, "OPTIONS, POST"), ("/v2", "GET, HEAD, OPTIONS")],
)
def test_options_are_told(server: Running, target: str, allow: str) -> None:
    """RFC 9110 9.3.7: what may be asked, of the server as a whole or of one path."""
    with connect(server) as connection:
        connection.sendall(f"OPTIONS {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        ((status, headers, _),) = answers(connection, 1)
    assert (status, headers["allow"]) == (200, allow)
