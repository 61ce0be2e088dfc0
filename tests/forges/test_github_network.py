"""The way to GitHub: an Enterprise Server below its own path, an authority of one's own, and proxies."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from certificates import key_and_certificate
from git_world import ADA, NOON, World
from github_world import ACCOUNTS, REPOSITORY, FakeGitHub, github
from modelops.errors import Exit, ModelOpsError
from modelops.forges import Account, Opening
from modelops.forges.github import GitHub, Params, open, session
from modelops.forges.github.credentials import Token
from modelops.forges.github.session import Session

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on loopback; yields host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # a client that hangs up
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        return

    def reply(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class Repository(Quiet):
    def do_GET(self) -> None:
        self.reply(200, b'{"full_name": "acme/models"}')


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(session, "_PAUSES", (0.01, 0.01))


def ask(url: str) -> object:
    return Session(url, Token("GH_TOKEN", "token-of-ada")).get(f"/repos/{REPOSITORY}").document


def refused(url: str) -> ModelOpsError:
    with pytest.raises(ModelOpsError) as caught:
        ask(url)
    assert (caught.value.first.code, caught.value.exit) == ("forge-unreachable", Exit.WORLD)
    return caught.value


# --- an Enterprise Server


@contextmanager
def enterprise(served: FakeGitHub) -> Iterator[tuple[str, list[str]]]:
    """Show a GitHub where an Enterprise Server has it: the API below /api/v3, GraphQL beside that, nothing else."""
    asked: list[str] = []

    class Server(Quiet):
        def handle_any(self) -> None:
            asked.append(self.path.partition("?")[0])
            inner = "/graphql" if self.path == "/api/graphql" else self.path.removeprefix("/api/v3")
            if inner == self.path:
                self.reply(404, b"{}")
                return
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
            found = httpx.request(self.command, served.url + inner, content=data, headers=told, trust_env=False)
            link = found.headers.get("Link", "").replace(served.url, f"http://{self.headers['Host']}/api/v3")
            self.reply(found.status_code, found.content, {"Link": link} if link else {})

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    with serving(Server) as place:
        yield f"http://{place}/api/v3", asked


def _open(world: World, url: str, **environ: str) -> GitHub:
    params = Params(repository=REPOSITORY, api_url=None if "GITHUB_API_URL" in environ else url)
    opened = open(params, Opening(world.clone(f"clone-{len(environ)}"), "main", lambda: NOON, environ))
    assert isinstance(opened, GitHub)
    return opened


def test_an_enterprise_server_has_all_of_it_below_its_own_paths(world: World) -> None:
    """Pages of lists and GraphQL are asked for where that server has them; who it is and two pages of comments come."""
    with github(world.remote) as served, enterprise(served) as (url, asked):
        ada = _open(world, url, GH_TOKEN="token-of-ada")
        clone = ada.repository
        clone.push_branch("change", clone.commit_files(clone.tip("main"), {"x": b"1"}, "Propose", ADA, NOON))
        pull = ada.open(title="T", body="", source="change").pull
        for number in range(120):
            served.comments.append({"id": number + 1, "issue": 1, "user": ACCOUNTS["ada"], "body": f"c{number}"})
        assert len(ada.comments(pull.number)) == 120
        job = _open(world, url, GH_TOKEN="token-of-app", GITHUB_API_URL=url)
        assert job.whoami() == Account("99", "modelops[bot]", machine=True)
        assert {path.split("/")[1] for path in asked} == {"api"}
        assert asked.count("/api/graphql") == 1


# --- certificates


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the certificate of an authority of one's own, and what serves with one that it gave."""
    (tmp_path / "ca.pem").write_bytes(key_and_certificate(tmp_path / "both.pem", "Acme"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    return tmp_path / "ca.pem", context


def test_an_authority_of_ones_own_is_named_by_the_environment(
    authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without SSL_CERT_FILE the certificate is refused once, and which variable mends it is said."""
    file, context = authority
    with serving(Repository, context) as place:
        error = refused(f"https://{place}")
        assert not error.retryable
        assert "its certificate is not trusted here" in str(error)
        assert "SSL_CERT_FILE" in str(error.first.hint)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert ask(f"https://{place}") == {"full_name": "acme/models"}
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
        assert "that cannot be used" in str(refused(f"https://{place}"))


# --- proxies


def test_a_proxy_is_gone_through_and_left_out_where_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY and NO_PROXY count as for every other program."""
    through: list[str] = []

    class Proxy(Quiet):
        def do_GET(self) -> None:
            through.append(self.path)
            self.reply(200, httpx.get(self.path, trust_env=False).content)

    with serving(Repository) as place, serving(Proxy) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        ask(f"http://{place}")
        assert through == [f"http://{place}/repos/{REPOSITORY}"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        ask(f"http://{place}")
        assert len(through) == 1


def test_a_proxy_that_refuses_says_so_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked once, and neither its password nor the token is told anybody."""
    asked: list[str] = []

    class Refusing(Quiet):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.reply(407, b"")

    with serving(Refusing) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:swordfish@{proxy}")
        error = refused("https://127.0.0.1:9")
    assert (len(asked), error.retryable) == (1, False)
    assert "the proxy refuses: 407" in str(error)
    assert "swordfish" not in f"{error} {error.first.hint}"


@pytest.mark.parametrize("value", ["socks5://ada:swordfish@127.0.0.1:9", "gopher://ada:swordfish@127.0.0.1"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A kind that is not known, or takes another library, is no defect of modelops."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    error = refused("https://127.0.0.1:9")
    assert "names a proxy or a file of certificates that cannot be used" in str(error)
    assert "swordfish" not in f"{error} {error.first.hint}"
