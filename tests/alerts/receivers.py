"""Other sides of alerts: real servers of HTTP and mail on the loopback that take, refuse, wait, hang and drip."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = tuple[int, dict[str, str]]
TAKEN: Answer = (204, {})


@dataclass
class Receiver:
    """What a server was sent; its answers are those of ``answers`` and then the last of them for ever."""

    url: str = ""
    answers: Sequence[Answer] = (TAKEN,)
    received: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def taken(self) -> list[dict[str, Any]]:
        """Return the bodies that were answered with success."""
        return list(self.received)


@contextlib.contextmanager
def receiver(*answers: Answer, path: str = "/hook") -> Iterator[Receiver]:
    """Run a server that gives these answers, one after the other, and then the last one again."""
    state = Receiver(answers=answers or (TAKEN,))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(data)
            state.bodies.append(data)
            status, headers = state.answers[min(len(state.requests), len(state.answers) - 1)]
            state.requests.append((self.command, self.path, dict(self.headers)))
            if status < 300:
                state.received.append(body)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}{path}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a server that does something with each connection, whatever HTTP says; yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            answer(connection)
            over.wait()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
                threads[-1].start()

    first = threading.Thread(target=accept)
    first.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (first, *threads):
            thread.join()


def hang(connection: socket.socket) -> None:
    """Say nothing."""


def drip(connection: socket.socket) -> None:
    """Send a header that never ends, letter by letter."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def babble(connection: socket.socket) -> None:
    """Answer with what is no HTTP."""
    connection.recv(100)
    connection.sendall(b"220 mail.example ESMTP\r\n")


@dataclass
class Post:
    """What a mail server was sent, and how the way to it was: its answers to a recipient, and who may log in."""

    port: int = 0
    answers: Sequence[str] = ("250 ok",)
    user: tuple[str, str] | None = None
    context: ssl.SSLContext | None = None
    mails: list[bytes] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@contextlib.contextmanager
def post_office(
    *answers: str, user: tuple[str, str] | None = None, pem: Path | None = None, tls: bool = False
) -> Iterator[Post]:
    """Run a mail server (RFC 5321) that offers STARTTLS with a certificate, or speaks TLS from the start."""
    state = Post(answers=answers or ("250 ok",), user=user)
    if pem is not None:
        state.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        state.context.load_cert_chain(pem)

    def serve(connection: socket.socket) -> None:
        secure = False
        if tls and state.context is not None:
            connection, secure = state.context.wrap_socket(connection, server_side=True), True
        stream = connection.makefile("rwb")

        def say(text: str) -> None:
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        say("220 post.example ESMTP")
        while line := stream.readline().decode().strip():
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "HELO"):
                offers = ["post.example", *(["STARTTLS"] if state.context and not secure else [])]
                offers += ["AUTH PLAIN"] if state.user else []
                for number, offer in enumerate(offers, 1):
                    say(f"250{' ' if number == len(offers) else '-'}{offer}")
            elif verb == "STARTTLS" and state.context is not None:
                say("220 go on")
                connection, secure = state.context.wrap_socket(connection, server_side=True), True
                stream = connection.makefile("rwb")
            elif verb == "AUTH":
                given = base64.b64decode(line.split(" ")[2]).decode().split("\0")[1:]
                say("235 ok" if tuple(given) == state.user else "535 no")
            elif verb == "MAIL":
                say("250 ok")
            elif verb == "RCPT":
                state.names.append(line)
                say(state.answers[min(len(state.names), len(state.answers)) - 1])
            elif verb == "DATA":
                say("354 go on")
                mail = bytearray()
                while (data := stream.readline()) != b".\r\n":
                    mail += data.removeprefix(b".") if data.startswith(b"..") else data
                state.mails.append(bytes(mail))
                state.secure.append(secure)
                say("250 taken")
            else:
                say("250 ok" if verb == "RSET" else "221 bye" if verb == "QUIT" else "500 what?")
        connection.close()

    with raw(serve) as url:
        state.port = int(url.rpartition(":")[2].partition("/")[0])
        yield state
