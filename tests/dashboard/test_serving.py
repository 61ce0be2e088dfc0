"""Who may look, by which name, and what browsers are told: over the application, and over a real server."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from unittest.mock import Mock, patch
from urllib.parse import quote

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from assets.kept import ASSETS, MODEL, prediction_ids
from dashboard.conftest import Put, Site
from dashboard.reading import read
from modelops.dashboard import links
from modelops.dashboard.live import MOST
from modelops.dashboard.serving import Door, Streams, application
from modelops.dashboard.telling import HIDDEN
from modelops.errors import ModelOpsError, Problem
from modelops.serving.guard.visible import ALL, Sight
from world.hostile import Hostile
from world.verbs import run

POLICY = """apiVersion: modelops/v1
kind: AccessPolicy
metadata:
  name: people
spec:
  keys:
    - {{name: everything, sha256: {admin}, scopes: [admin]}}
    - {{name: callers, sha256: {caller}, scopes: [infer]}}
    - {{name: others, sha256: {others}, scopes: [admin], models: [payments]}}
    - {{name: unset, variable: NOBODY_SETS_THIS, scopes: [admin]}}
"""
KEYS = {name: f"{name}-key" for name in ("admin", "caller", "others")}


async def ask(
    app: Starlette, path: str = "/", headers: Mapping[str, str] | None = None, method: str = "GET"
) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8090") as client:
        return await client.request(method, path, headers=dict(headers or {}))


def asked(*words: object, **more: object) -> httpx.Response:
    async def once() -> httpx.Response:
        return await ask(*words, **more)  # type: ignore[arg-type]

    return anyio.run(once)


@pytest.fixture
def guarded(put: Put) -> Starlette:
    """Return the application of a repository whose access policy names who may look."""
    world = put()
    digests = {name: hashlib.sha256(key.encode()).hexdigest() for name, key in KEYS.items()}
    world.settle("say-who", {"policies/access/people.yaml": POLICY.format(**digests)})
    pages = Site(world).pages
    return application(pages, door=Door(pages, "people"))


def basic(key: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"anybody:{key}".encode()).decode()}


def test_every_answer_tells_browsers_to_run_nothing_else(site: Site) -> None:
    """Pages, files, refusals and what is not there carry the policy, and nothing that is answered is kept."""
    app = application(site.pages)
    for path in ("/", "/static/style.css", "/static/search.js", "/nowhere", "/audit.html?id=x"):
        answer = asked(app, path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert asked(app, "/").status_code == 200
    assert asked(app, "/nowhere").status_code == 404


def test_it_only_reads(site: Site) -> None:
    """No method but GET and HEAD is answered."""
    app = application(site.pages)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert asked(app, "/", method=method).status_code == 405
    assert asked(app, "/", method="HEAD").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_a_name_that_is_not_ours_is_refused(site: Site, host: str) -> None:
    """A page elsewhere whose name was made to lead here learns nothing."""
    answer = asked(application(site.pages), "/", {"host": host})
    assert answer.status_code == 421
    assert MODEL not in answer.text


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8090", "LOCALHOST"])
def test_the_names_of_this_machine_are_ours(site: Site, host: str) -> None:
    """It is called by the names of this machine, with or without a port."""
    assert asked(application(site.pages), "/", {"host": host}).status_code == 200


def test_only_a_key_with_the_scope_may_look(guarded: Starlette) -> None:
    """No key, a wrong one, one that is off and one of a mere caller see nothing, not even that a page is not there."""
    for headers in ({}, basic("wrong"), basic(""), {"authorization": "Basic !!"}, {"authorization": "Bearer x"}):
        for path in ("/", f"/model/{MODEL}.html", "/nowhere"):
            answer = asked(guarded, path, headers)
            assert answer.status_code == 401, (headers, path)
            assert answer.headers["www-authenticate"].startswith("Basic")
            assert MODEL not in re.sub(re.escape(path), "", answer.text)
    assert asked(guarded, "/", basic(KEYS["caller"])).status_code == 403
    for headers in (basic(KEYS["admin"]), {"authorization": f"Bearer {KEYS['admin']}"}, {"x-api-key": KEYS["admin"]}):
        answer = asked(guarded, "/", headers)
        assert answer.status_code == 200
        assert MODEL in answer.text


@pytest.mark.slow
def test_a_key_for_other_models_sees_none_of_ours(guarded: Starlette) -> None:
    """The models of a key are all that there is for it."""
    answer = asked(guarded, "/", basic(KEYS["others"]))
    assert answer.status_code == 200
    assert MODEL not in answer.text
    assert asked(guarded, f"/model/{MODEL}.html", basic(KEYS["others"])).status_code == 404


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--host", "0.0.0.0"), "open-dashboard"),
        (("--host", "::"), "open-dashboard"),
        (("--host", "example.org"), "open-dashboard"),
        (("--host", "0.0.0.0", "--access", "nobody"), "unknown-access-policy"),
    ],
)
def test_it_is_not_opened_without_saying_who_may_look(on_trial: Hostile, words: tuple[str, ...], code: str) -> None:
    """Beyond this machine it needs a policy that the branch has."""
    answer = run(on_trial.root, on_trial.environ(), "dashboard", "--port", "0", *words)
    assert (answer.code, code in answer.err) == (2, True), answer.err


@pytest.mark.slow
def test_a_policy_without_a_key_that_may_look_is_refused(put: Put) -> None:
    """A policy whose keys may only ask models would let nobody in."""
    world = put()
    text = POLICY.format(**{name: hashlib.sha256(name.encode()).hexdigest() for name in KEYS})
    world.settle("say-who", {"policies/access/people.yaml": text.replace("[admin]", "[infer]")})
    answer = run(world.root, world.environ(), "dashboard", "--port", "0", "--access", "people")
    assert (answer.code, "no-admin-key" in answer.err) == (2, True), answer.err


@contextmanager
def served(world: Hostile, *words: str) -> Iterator[str]:
    """Run the verb as a person does; yield the address that it says, and end it as Ctrl-C does."""
    command = [sys.executable, "-m", "modelops", "dashboard", "--port", "0", *words]
    environ = {**world.environ(), "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, cwd=world.root, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            found = re.search(r"http://\S+", said)
            assert found is not None, said + process.stderr.read()
            yield found.group()
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
            assert (process.wait(), "Traceback" in rest) == (0, False), rest


@pytest.mark.slow
def test_a_served_dashboard_answers_and_ends_at_a_word(on_trial: Hostile) -> None:
    """It says its address, answers there with what status says, and ends well with Ctrl-C."""
    with served(on_trial) as address, httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
        home = client.get("/")
        assert home.status_code == 200
        assert MODEL in read(home.text).one("table", id="models").text
        assert client.get("/static/style.css").headers["content-type"].startswith("text/css")
        assert client.get("/", headers={"host": "evil.example"}).status_code == 421


def test_a_port_that_is_taken_is_said(on_trial: Hostile) -> None:
    """Another process on the port is the world's fault, with what to do."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = run(on_trial.root, on_trial.environ(), "dashboard", "--port", str(taken.getsockname()[1]))
    assert (answer.code, "address-in-use" in answer.err) == (4, True), answer.err


def test_what_is_seen_follows_the_branch(put: Put) -> None:
    """After a merge the next looks show it, without a restart."""
    world = put()
    site = Site(world)
    assert "payments" not in site.read().text
    world.push("Add payments", {"models/payments/model.yaml": "apiVersion: modelops/v1\nkind: Model\n"})
    site.pages.house.again()
    assert "payments" in site.read().text


def test_what_cannot_be_looked_at_anew_is_shown_as_old(put: Put) -> None:
    """When the remote is away what was seen stays, with a word that it may be old."""
    world = put()
    site = Site(world)
    before = json.dumps(site.read().one("table", id="models").text)
    world.away()
    site.pages.house.again()
    page = site.read()
    assert json.dumps(page.one("table", id="models").text)[:20] == before[:20]
    assert "remote" in page.text


def test_a_key_for_some_models_is_told_of_no_other_one(put: Put) -> None:
    """No page names another model: not by what is wrong with an environment, its own conditions or an old look."""
    world = put()
    secret = "secret-payments"
    world.push(f"Add {secret}", {f"models/{secret}/model.yaml": "apiVersion: modelops/v1\nkind: Model\n"})
    site = Site(world)
    site.pages.house.again()
    look, said = site.pages.house.look(), f"routes.json is invalid for {secret}"
    mine = Sight(frozenset({MODEL}))
    environments = tuple(
        replace(
            one,
            synced=one.environment == "production",
            message=said,
            problems=(said, "models/gone-payments is wrong"),
            conditions=tuple(replace(each, message=said) for each in one.conditions if one.environment == "production"),
        )
        for one in look.environments
    )
    site.pages.house._look = replace(look, environments=environments)
    site.pages.house.trouble = (Problem("unreadable", said, hint=said),)
    site.pages.house.observed = False
    assert secret in site.get("maturity.html").html
    found, todo = set[str](), ["index.html"]
    while todo:
        path = todo.pop()
        page = site.get(path, mine)
        found.add(path)
        assert not re.search("(secret|gone)-payments", page.html), path
        assert page.status == 200, path
        todo += page.leads - found - set(todo)
    assert {f"model/{MODEL}.html", "maturity.html", "audit.html"} <= found
    assert HIDDEN in site.get("index.html", mine).html
    assert HIDDEN in site.get(links.seat(MODEL, "production"), mine).html
    for path in (links.model(secret), links.model("no-such-model")):
        page = site.get(path, mine)
        assert (page.status, path in page.html) == (404, True)
    assert secret in site.get(q=secret, sight=mine).html, "what was typed tells nothing"
    error = ModelOpsError(Problem("unreadable", said))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.pages.house, "look", Mock(side_effect=error))
        assert secret not in site.get(sight=mine).html
        assert secret in site.get().html
        refused = asked(application(site.pages, door=Door(site.pages, "people")), "/", basic("x"))
    assert (refused.status_code, secret in refused.text) == (503, False)


def test_a_prediction_of_another_model_is_as_unknown_as_none(site: Site) -> None:
    """An id that another model answered and one that nobody did have the same answer, but for the id."""
    known = prediction_ids(ASSETS[0])[0]
    assert site.get("audit.html", id=known).status == 200
    others = Sight(frozenset({"payments"}))
    pages = [site.get("audit.html", others, id=one) for one in (known, "0" * len(known))]
    assert [one.status for one in pages] == [404, 404]
    assert pages[0].html.replace(known, "") == pages[1].html.replace("0" * len(known), "")
    assert site.get("audit.html", others, environment="production", at="secret-payments").status == 404


def renamed(world: Hostile) -> str:
    """Return the model's spec with another owner."""
    return (world.root / f"models/{MODEL}/model.yaml").read_text().replace("owner: ", "owner: other-")


def events(stream: bytes) -> list[str]:
    return re.findall(r"event: seen\ndata: (\S+)\n\n", stream.decode())


def test_an_open_page_is_told_when_it_reads_otherwise(put: Put) -> None:
    """The stream says how the page reads, again when that is something else, and nothing of what it holds."""
    from modelops.dashboard.live import asked_for, changes

    world = put()
    pages = Site(world).pages
    page = pages.page("index.html")
    assert f'data-seen="{page.seen}"' in page.html
    assert asked_for("model/a%20b.html?q=x&y=1") == ("model/a%20b.html", {"q": "x", "y": "1"})

    async def follow() -> list[bytes]:
        told = []
        async for event in changes(lambda: pages.page("index.html").seen, 0):
            told.append(event)
            if len(told) == 2:
                description = (
                    (world.root / f"models/{MODEL}/model.yaml").read_text().replace("owner: ", "owner: other-")
                )
                world.settle("renamed", {f"models/{MODEL}/model.yaml": description})
                pages.house.again()
            if len(told) == 4:
                break
        return told

    told = anyio.run(follow)
    assert events(told[0]) == [page.seen]
    assert told[1] == told[3] == b": nothing new\n\n"
    assert events(told[2]) == [pages.page("index.html").seen] != [page.seen]
    assert MODEL.encode() not in b"".join(told)


def test_a_stream_ends_for_a_key_that_is_taken_back(guarded: Starlette) -> None:
    """Nobody follows a page without a key, and who has one does as long as it counts."""
    from modelops.dashboard.live import changes

    assert asked(guarded, "/live?of=index.html").status_code == 401
    answers = iter(["one", "one"])

    def read() -> str:
        found = next(answers, None)
        if found is None:
            raise ModelOpsError(Problem("unauthenticated", "the key is off"))
        return found

    async def whole() -> list[bytes]:
        return [event async for event in changes(read, 0)]

    assert len(anyio.run(whole)) == 2


def test_an_exported_page_follows_nothing(put: Put) -> None:
    """A folder has no server to be told by: its pages load no such script and may connect to nobody."""
    html = Site(put(), static=True).get().html
    assert "live.js" not in html
    assert "connect-src" not in html
    assert "<body>" in html


def test_an_answer_is_given_once(site: Site) -> None:
    """What takes long to answer is not asked again every few seconds by whoever left it open; its question is."""
    app = application(site.pages)
    for query in (f"id={prediction_ids(ASSETS[0])[0]}", "entity=c1", "environment=production&at=2026-05-05"):
        answer = asked(app, f"/audit.html?{query}")
        assert (answer.status_code, "live.js" in answer.text) == (200, False), query
        assert asked(app, f"/live?of={quote(f'audit.html?{query}')}").status_code == 400
    assert "live.js" in asked(app, "/audit.html").text
    assert site.pages.follows("audit.html", {"id": " "})


def test_what_is_no_address_is_followed_by_nobody(site: Site) -> None:
    """It is the fault of who asked."""
    assert asked(application(site.pages), "/live?of=//[").status_code == 400


def test_a_page_is_made_once_for_all_who_follow_it(put: Put) -> None:
    """As long as nothing was looked at anew it is not made again; for another caller it is."""
    site = Site(put())
    site.pages.house.observed = False
    streams = Streams(site.pages, Door(site.pages), 0)
    with patch.object(site.pages, "page", wraps=site.pages.page) as made:
        first = [streams.seen("index.html", {}, ALL) for _ in range(9)]
        assert (set(first), made.call_count) == ({site.get().seen}, 1)
        streams.seen("index.html", {}, Sight(frozenset()))
        streams.seen("index.html", {"q": "x"}, ALL)
        assert made.call_count == 4
        site.pages.house.again()
        streams.seen("index.html", {}, ALL)
        streams.seen("index.html", {}, ALL)
        assert made.call_count == 5
        # A look that failed is told, although what was seen is the same.
        site.pages.house.trouble = (Problem("unreadable", "the remote is away"),)
        assert streams.seen("index.html", {}, ALL) != first[0]


def test_no_burst_has_more_streams_than_there_are(site: Site) -> None:
    """They count from when they are asked for, and who left before the first word gives the place back."""
    streams = Streams(site.pages, Door(site.pages), 0)
    answers = [streams.open("index.html", {}) for _ in range(MOST + 3)]
    assert [one.status_code for one in answers] == [200] * MOST + [503] * 3
    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}

    async def left() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def unheard(message: MutableMapping[str, Any]) -> None:
        raise OSError("nobody is there")

    async def end() -> None:
        for one in answers[:MOST]:
            with suppress(Exception):
                await one(scope, left, unheard)

    anyio.run(end)
    assert streams.count == 0
    assert streams.open("index.html", {}).status_code == 200


def test_a_look_of_an_open_page_is_no_request(put: Put) -> None:
    """A key that may ask twice a day follows a page as long as it likes, and is refused a third page."""
    world = put()
    digest = hashlib.sha256(b"seldom").hexdigest()
    key = f"{{name: seldom, sha256: {digest}, scopes: [admin], rate: {{requestsPerSecond: 0.00001, burst: 2}}}}"
    text = POLICY.partition("    - {{name: everything")[0] + f"    - {key}\n"
    world.settle("say-who", {"policies/access/people.yaml": text})
    pages = Site(world).pages
    door = Door(pages, "people")
    headers = {b"authorization": b"Bearer seldom"}
    assert door.sight(headers) == door.sight(headers)
    for _ in range(9):
        assert door.sight(headers, counted=False).models is None
    with pytest.raises(ModelOpsError, match="seldom") as caught:
        door.sight(headers)
    assert caught.value.first.code == "rate-limited"
