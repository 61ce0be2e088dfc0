"""Other sides of a webhook: real servers on the loopback that take, refuse, wait, hang and drip."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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

    def taken(self) -> list[dict[str, Any]]:
        """Return the bodies that were answered with success."""
        return list(self.received)


@contextlib.contextmanager
def receiver(*answers: Answer, path: str = "/hook") -> Iterator[Receiver]:
    """Run a server that gives these answers, one after the other, and then the last one again."""
    state = Receiver(answers=answers or (TAKEN,))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
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
