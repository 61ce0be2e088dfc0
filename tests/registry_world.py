"""A real registry process for tests, a token server that it trusts, and a proxy before it that can misbehave."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from certificates import own_certificate
from waiting import PATIENCE, wait_for

USER, PASSWORD = "ada", "correct-horse"
# bcrypt of PASSWORD: the registry reads no other kind of htpasswd.
HTPASSWD = f"{USER}:$2y$04$0ttPnIv.MBtKuZJeR2EYz.0PJhhJaK6KxfY3iSUueDub6mjrJl3lK\n"
BINARY = shutil.which("docker-registry") or shutil.which("registry")

needs_registry = pytest.mark.skipif(BINARY is None, reason="no registry here: apt-get install docker-registry")
needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo here: apt-get install skopeo")


def free_port() -> int:
    """Return a port that nobody uses, below those that the kernel gives to who asks for any."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is taken")


@contextmanager
def registry(folder: Path, auth: str = "", host: str = "") -> Iterator[str]:
    """Run a registry on loopback whose files are in a folder, and yield its host and port; ``host`` says which."""
    assert BINARY is not None
    folder.mkdir(parents=True, exist_ok=True)
    host = host or f"127.0.0.1:{free_port()}"
    settings = f"""version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder / "data"}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}"}}
{auth}
"""
    (folder / "config.yml").write_text(settings)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([BINARY, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is not None or _answers(host))
        assert process.poll() is None, (folder / "log").read_text()
        yield host
    finally:
        process.kill()
        process.wait()


def _answers(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status in (200, 401)
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def locked_registry(folder: Path) -> Iterator[str]:
    """Run a registry that wants USER and PASSWORD."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(HTPASSWD)
    with registry(folder, f"auth: {{htpasswd: {{realm: tests, path: {folder / 'htpasswd'}}}}}") as host:
        yield host


def delete_manifest(host: str, repository: str, digest: str) -> None:
    """Lose a manifest as a registry's cleaning does."""
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    connection.request("DELETE", f"/v2/{repository}/manifests/{digest}")
    assert connection.getresponse().status == 202
    connection.close()


def _kind(path: str) -> str:
    """Return a path without what is different for each upload."""
    return re.sub(r"(/blobs/uploads/).*", r"\1", path)


@dataclass
class Proxy:
    """A server before a registry: ``fault`` says for the n-th request of a kind what goes wrong, None lets it pass.

    ``503`` and ``429`` refuse, ``reset`` drops the connection, ``cut`` ends a body half way, ``flip`` changes one byte
    of it, ``away:URL`` redirects there, ``pages`` lists tags by two, ``again`` says
    of a list that it goes on where it began.
    """

    host: str
    fault: Callable[[str, str, int], str | None] = lambda method, path, number: None
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def proxy(backend: str) -> Iterator[Proxy]:
    """Run a proxy before a registry, or before nothing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            return

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            number = sum(
                1 for method, path, _ in state.seen if (method, _kind(path)) == (self.command, _kind(self.path))
            )
            state.seen.append((self.command, self.path, dict(self.headers)))
            fault = state.fault(self.command, self.path, number) or ""
            self.close_connection = True
            if fault == "reset":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if fault in ("503", "429"):
                self.answer(int(fault), {"Retry-After": "1", "Content-Length": "0"}, b"")
                return
            if fault.startswith("away:"):
                self.answer(307, {"Location": fault.removeprefix("away:"), "Content-Length": "0"}, b"")
                return
            connection = http.client.HTTPConnection(backend, timeout=PATIENCE)
            connection.request(self.command, self.path, body, dict(self.headers))
            found = connection.getresponse()
            data = found.read()
            kept = {key: value for key, value in found.getheaders() if key.lower() != "transfer-encoding"}
            connection.close()
            if fault == "pages":
                last = parse_qs(urlsplit(self.path).query).get("last", [""])[0]
                tags = sorted(tag for tag in json.loads(data)["tags"] if tag > last)
                data = json.dumps({"tags": tags[:2]}).encode()
                kept["Content-Length"] = str(len(data))
                if tags[2:]:
                    kept["Link"] = f'<{urlsplit(self.path).path}?n=2&last={tags[1]}>; rel="next"'
            if fault == "again":
                kept["Link"] = f'<{self.path}>; rel="next"'
            if fault == "flip":
                data = data[:-1] + bytes([data[-1] ^ 1])
            if fault == "cut":
                data = data[: len(data) // 2]
            self.answer(found.status, kept, data)

        def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response_only(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

    with _serving(Handler) as host:
        state = Proxy(host)
        yield state


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def token_registry(folder: Path) -> Iterator[str]:
    """Run a registry that wants bearer tokens: everyone may pull, USER with PASSWORD may push."""
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = own_certificate("tokens")
    (folder / "tokens.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    chain = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()

    def token(scopes: list[str], user: str | None) -> str:
        access = []
        for scope in scopes:
            kind, repository, actions = scope.split(":")
            granted = [action for action in actions.split(",") if user is not None or action == "pull"]
            access.append({"type": kind, "name": repository, "actions": granted})
        seconds = int(time.time())
        claims = {"iss": "tokens", "aud": "registry", "sub": user or "", "access": access, "jti": "1"}
        claims |= {"exp": seconds + 3600, "nbf": seconds - 60, "iat": seconds}
        signed = _b64(json.dumps({"typ": "JWT", "alg": "ES256", "x5c": [chain]}).encode())
        signed += "." + _b64(json.dumps(claims).encode())
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    class Tokens(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            return

        def do_GET(self) -> None:
            given = self.headers.get("Authorization")
            user = None
            if given is not None:
                if given != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
                    self.send_response(401)
                    self.end_headers()
                    return
                user = USER
            scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
            data = json.dumps({"token": token(scopes, user)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with _serving(Tokens) as tokens:
        auth = f"realm: http://{tokens}/token, service: registry, issuer: tokens"
        with registry(folder, f"auth: {{token: {{{auth}, rootcertbundle: {folder / 'tokens.pem'}}}}}") as host:
            yield host


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
