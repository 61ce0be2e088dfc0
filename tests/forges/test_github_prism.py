"""What modelops asks of GitHub, held by a third party's reader of GitHub's description: Prism takes every request."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import httpx
import pytest

from git_world import ADA, BOB, NOON, World
from github_description import DESCRIPTION
from github_world import REPOSITORY, FakeGitHub, github
from modelops.forges import Annotation, Deployed, Explanation, Job, Opening
from modelops.forges.github import GitHub, Params, open
from waiting import wait_for

PRISM = Path(__file__).parent / "prism" / "node_modules" / ".bin" / "prism"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PRISM.exists() or shutil.which("node") is None,
        reason="no Prism here: Node, and npm ci in tests/forges/prism",
    ),
]
_REF = re.compile(r"(.*/git/(?:refs|matching-refs)/)([^?]+)(.*)")


@dataclass(frozen=True)
class Asked:
    """A request as it was sent."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@contextmanager
def recording(served: FakeGitHub) -> Iterator[tuple[str, list[Asked]]]:
    """Hand every request on to a GitHub, and keep it."""
    asked: list[Asked] = []

    class Recorder(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            return

        def hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            # The media type that GitHub advises to accept is in its words for people alone, not in the description.
            kept = ("authorization", "content-type", "x-github-api-version", "if-none-match")
            headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
            asked.append(Asked(self.command, self.path, tuple(headers.items()), body))
            found = httpx.request(self.command, served.url + self.path, content=body, headers=headers, trust_env=False)
            self.send_response(found.status_code)
            for name in ("ETag", "Link"):
                if name in found.headers:
                    own = found.headers[name].replace(served.url, f"http://{self.headers['Host']}")
                    self.send_header(name, own)
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = hand_on

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def prism(folder: Path) -> Iterator[str]:
    """Let Prism stand for an API that is described, and refuse what does not fit the description."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (folder / "prism.log").open("wb") as log:
        started = subprocess.Popen(
            [PRISM, "mock", "--errors", "--host", "127.0.0.1", "--port", str(port), DESCRIPTION],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(lambda: started.poll() is not None or _answers(url))
            assert started.poll() is None, (folder / "prism.log").read_text()
            yield url
        finally:
            started.terminate()
            started.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code > 0
    except httpx.HTTPError:
        return False


def _live(world: World, served: FakeGitHub, url: str) -> None:
    """Do all that modelops does on GitHub: as people, as a job and as the App."""
    served.teams = {"ml": ("bob",)}
    served.app.permissions["members"] = "read"
    given = {"MODELOPS_APP_ID": "4711", "MODELOPS_APP_PRIVATE_KEY": served.app.pem}
    tokens = [{"GH_TOKEN": "token-of-ada"}, {"GH_TOKEN": "token-of-bob"}, {"GITHUB_TOKEN": "ghs_of_job"}, given]
    clones = [world.clone("ada"), world.clone("bob", BOB), world.clone("job"), world.clone("app")]
    forges = []
    for clone, environ in zip(clones, tokens, strict=True):
        opened = open(Params(repository=REPOSITORY, api_url=url), Opening(clone, "main", lambda: NOON, environ))
        assert isinstance(opened, GitHub)
        forges.append(opened)
    ada, bob, job, app = forges
    clone = ada.repository
    tip = clone.tip("main")
    clone.push_branch("change", clone.commit_files(tip, {"x": b"1"}, "Propose", ADA, NOON))
    pull = ada.open(title="T", body="B", source="change", labels=["model"]).pull
    for speaker in (job, app):
        said = Explanation(
            "t", "s", tuple(Annotation("x", n, "failure", "m", "t") for n in range(60)), "https://e.example"
        )
        speaker.check(pull.number, "modelops/gates", "failure", said=said)
        speaker.check(pull.number, "modelops/approvals", "pending", said=Explanation("t", "s"))
        for body in ("one", "two"):
            speaker.comment(pull.number, "k", body)
    ada.check(pull.number, "by-hand", "success", said=Explanation("t", url="https://e.example"))
    ada.review(pull.number, "commented", head=pull.head, body="seen")
    bob.review(pull.number, "approved", head=pull.head)
    assert ada.checks(pull.number)
    for read in (bob.comments, bob.reviews, bob.get):
        read(pull.number)
    bob.involved(pull, tip)
    bob.heard(pull)
    bob.find(state="all", source="change", head=pull.head)
    bob.queued(pull.head)
    bob.other_targets(pull, pull.head)
    app.team("ml")
    merged = bob.merge(pull.number, head=pull.head)
    bob.merged_with(str(merged.merge))
    app.repository.fetch()
    tip = app.repository.tip("main")
    files = {"text": b"1", "bytes": b"\xff", "x": None}
    app.put(tip, app.repository.commit_files(tip, files, "Put", ADA, NOON))
    app.deployed("staging", "churn", tip, [Deployed(1, "in_progress", "canary 25%")], ())
    app.deployed("staging", "churn", tip, [Deployed(2, "success", "stable")], (1,))
    ada.close(_other(ada))
    served.admins = frozenset({"ada"})
    ada.examine(["KEY"], {"job": Job(None)})


def _other(ada: GitHub) -> int:
    clone = ada.repository
    clone.fetch()
    clone.push_branch("other", clone.commit_files(clone.tip("main"), {"y": b"1"}, "Other", ADA, NOON))
    return ada.open(title="O", body="", source="other").pull.number


def test_prism_takes_every_request(world: World, tmp_path: Path) -> None:
    """Path, query and body of each call fit GitHub's own description by another reader of it; a wrong one does not."""
    with github(world.remote) as served, recording(served) as (url, asked):
        _live(world, served, url)
    kinds = {(one.method, re.sub(r"\d+|[0-9a-f]{40}", "N", one.path.partition("?")[0])) for one in asked}
    assert len(kinds) > 35
    refused: list[str] = []
    with prism(tmp_path) as base, httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
        for one in asked:
            if one.path == "/graphql":
                continue  # it is described elsewhere
            # A name of a ref may have slashes, which a template of a path has no word for.
            parts = _REF.fullmatch(one.path)
            path = f"{parts[1]}{quote(parts[2], '')}{parts[3]}" if parts else one.path
            found = client.request(one.method, path, headers=dict(one.headers), content=one.body)
            # A conflict is what Prism picks of the answers of a call that ends without a body, and refuses nothing.
            if found.status_code >= 400 and found.status_code != 409:
                # Prism also holds the answer that it made up itself against the description, and says so here.
                problem = found.headers.get("content-type", "").startswith("application/problem+json")
                places = [each["location"][0] for each in found.json().get("validation", ())] if problem else []
                if not places or "request" in places:
                    refused.append(f"{one.method} {one.path}: {found.status_code} {found.text[:300]}")
        wrong = client.post(f"/repos/{REPOSITORY}/pulls", json={"title": 1}, headers={"Authorization": "Bearer x"})
        assert wrong.status_code == 422
        assert client.get("/repos/acme/models/nothing").status_code == 404
    assert refused == []
