"""The ways on the shelf of alerts, each against what every way keeps, and what is its own."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from alerts.receivers import babble, drip, hang, raw, receiver
from modelops import alerts, plugins
from modelops.alerts import Incident, Sending, file, webhook
from modelops.conformance.alerts import CHECKS, INCIDENT, Ground, refusal
from modelops.conformance.shelf import params_of
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.spec.graph import build_graph
from modelops.spec.meta import Plugin
from spec_world import world

SECRET = "xoxb-7-very-secret"


def sending(root: Path, seconds: float = 60.0, **environ: str) -> Sending:
    return Sending(root, environ, seconds)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def test_every_way_is_tried_here() -> None:
    """A new file on the shelf needs its place in this module."""
    assert plugins.built_in("alerts") == {"file", "webhook"}


@pytest.fixture(params=sorted(plugins.built_in("alerts")))
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """Each way with a place that takes incidents and one that does not."""
    if request.param == "file":
        (tmp_path / "way").touch()
        path = tmp_path / "logs" / "alerts.jsonl"
        good, bad = {"path": "logs/alerts.jsonl"}, {"path": "way/alerts.jsonl"}
        yield Ground(file, good, bad, sending(tmp_path), lambda: lines(path))
        return
    with receiver() as other, receiver((500, {}), path=f"/{SECRET}") as refuses:
        header = {"variable": "KEY"}
        good, bad = ({"url": each.url, "header": header, "timeoutSeconds": 30, "tries": 1} for each in (other, refuses))
        yield Ground(webhook, good, bad, sending(tmp_path, KEY=SECRET), other.taken, (SECRET,))
        assert {(method, path) for method, path, _ in other.requests} <= {("POST", "/hook")}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_way_keeps_what_ways_keep(check: Callable[[Ground], None], ground: Ground) -> None:
    """What is written down as conformance holds for each file of the shelf."""
    check(ground)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        ("loses", "check_everything_arrives"),
        ("renames", "check_a_repeat_can_be_told"),
        ("swallows", "check_what_is_not_taken_is_told"),
        ("leaks", "check_what_is_not_taken_is_told"),
    ],
)
def test_the_checks_notice(tmp_path: Path, broken: str, check: str) -> None:
    """A way that loses a field, gives a repeat another id, is silent about a failure or tells a secret is found out."""
    arrived: list[dict[str, Any]] = []

    def send(params: file.Params, incident: Incident, how: Sending) -> None:
        if params.path == "bad" and broken != "swallows":
            raise failure("alert-unwritable", SECRET if broken == "leaks" else "no", exit=Exit.WORLD)
        lost = {"owner"} if broken == "loses" else set()
        told = {name: value for name, value in incident.data().items() if name not in lost}
        arrived.append(told | ({"id": len(arrived)} if broken == "renames" else {}))

    module = SimpleNamespace(__name__="broken", Params=file.Params, send=send)
    ground = Ground(module, {"path": "x"}, {"path": "bad"}, sending(tmp_path), lambda: arrived, (SECRET,))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        next(one for one in CHECKS if one.__name__ == check)(ground)


@pytest.mark.parametrize("there", ["", '{"id": "to', '{"whole": 1}\n'])
def test_a_torn_line_spoils_no_other(tmp_path: Path, there: str) -> None:
    """What a killed writer left is closed, so that the next line can be read by itself."""
    path = tmp_path / "alerts.jsonl"
    path.write_text(there)
    file.send(file.Params(path="alerts.jsonl"), INCIDENT, sending(tmp_path))
    text = path.read_text(encoding="utf-8")
    assert text.startswith(there)
    assert json.loads(text.splitlines()[-1]) == INCIDENT.data()


def test_many_write_one_file(tmp_path: Path) -> None:
    """Lines of several writers do not mix."""

    def write() -> None:
        for _ in range(20):
            file.send(file.Params(path="a.jsonl"), replace(INCIDENT, summary="x" * 3000), sending(tmp_path))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(one["summary"]) for one in lines(tmp_path / "a.jsonl")] == [3000] * 80


@pytest.mark.parametrize("path", ["way", "way/alerts.jsonl"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, path: str) -> None:
    """A folder or a file in the way is told with its path."""
    (tmp_path / "way").mkdir() if path == "way" else (tmp_path / "way").touch()
    error = refusal(file, {"path": path}, sending(tmp_path))
    assert (error.problems[0].code, str(tmp_path / path) in str(error)) == ("alert-unwritable", True)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """What was not written whole was not told."""
    error = refusal(file, {"path": "/dev/full"}, sending(tmp_path))
    assert error.problems[0].code == "alert-unwritable"


@pytest.mark.parametrize(
    ("route", "line", "said"),
    [
        ("{send: {type: file}}", 0, ""),
        ("{send: {type: file, params: {pth: x}}}", 7, "'pth' is not a key here"),
        ('{send: {type: file, params: {path: ""}}}', 7, "path"),
        ('{send: {type: file, params: {path: "a\\0b"}}}', 7, "path"),
        ("{send: {type: pager}}", 7, "'pager' is not one of the alerts"),
        ("{send: {type: file}, environments: [moon]}", 7, "there is no environment 'moon'"),
        ("{send: {type: file}, events: [stall]}", 7, "'stall'"),
        ("{send: {type: file}, atMostEvery: 0}", 7, "atMostEvery"),
        ("{events: [stalled]}", 7, "send"),
    ],
)
def test_a_policy_is_checked_with_its_lines(route: str, line: int, said: str) -> None:
    """What is wrong in a route, or in the parameters of its way, is told where it stands, in the one pass over all."""
    head = "apiVersion: modelops/v1\nkind: AlertPolicy\nmetadata:\n  name: alerting\nspec:\n  routes:\n"
    files = {**world(1), "policies/alerting.yaml": f"{head}    - {route}\n".encode()}
    problems: tuple[Problem, ...] = ()
    try:
        build_graph(files)
    except ModelOpsError as error:
        problems = error.problems
    assert [str(one.location).startswith(f"policies/alerting.yaml:{line}:") for one in problems] == [True] * bool(line)
    assert all(said in str(one) for one in problems), problems


# --- the webhook


def test_the_secret_of_a_header_comes_from_the_environment(tmp_path: Path) -> None:
    """The value of the variable is sent as it is, without the end of the line that it was read from."""
    with receiver() as other:
        params = params_of(webhook, {"url": other.url, "header": {"name": "X-Key", "variable": "KEY"}})
        webhook.send(params, INCIDENT, sending(tmp_path, KEY=f"Bearer {SECRET}\n"))
        assert other.requests[0][2]["X-Key"] == f"Bearer {SECRET}"


def test_a_secret_url_comes_from_the_environment(tmp_path: Path) -> None:
    """A URL whose path is the secret is nowhere in git, nor in what is said when it does not work."""
    with receiver((403, {}), path=f"/T0/{SECRET}?token={SECRET}") as other:
        error = refusal(webhook, {"urlVariable": "HOOK"}, sending(tmp_path, HOOK=other.url), [SECRET])
        assert other.requests[0][1] == f"/T0/{SECRET}?token={SECRET}"
    assert (error.problems[0].code, "403" in str(error)) == ("alert-refused", True)


@pytest.mark.parametrize(
    ("params", "environ", "code"),
    [
        ({"urlVariable": "HOOK"}, {}, "alert-unset"),
        ({"urlVariable": "HOOK"}, {"HOOK": f"http://example.com/{SECRET}"}, "bad-alert-url"),
        ({"urlVariable": "HOOK"}, {"HOOK": f"https://me:{SECRET}@example.com/"}, "bad-alert-url"),
        ({"urlVariable": "HOOK"}, {"HOOK": f"https://[{SECRET}/"}, "bad-alert-url"),
        ({"urlVariable": "HOOK"}, {"HOOK": f"file:///{SECRET}"}, "bad-alert-url"),
        ({"urlVariable": "HOOK"}, {"HOOK": f"https://example.com/{SECRET}\r\nX: y"}, "bad-alert-url"),
        ({"url": "https://127.0.0.1:1/", "header": {"variable": "KEY"}}, {}, "alert-unset"),
        (
            {"url": "https://127.0.0.1:1/", "header": {"variable": "KEY"}},
            {"KEY": f"{SECRET}\nX: y"},
            "bad-alert-header",
        ),
        ({"url": "https://127.0.0.1:1/", "header": {"variable": "KEY"}}, {"KEY": f"{SECRET}é"}, "bad-alert-header"),
    ],
)
def test_secrets_that_do_not_fit_are_not_repeated(
    tmp_path: Path, params: dict[str, object], environ: dict[str, str], code: str
) -> None:
    """What is wrong with the value of a variable is told by the variable's name."""
    error = refusal(webhook, params, sending(tmp_path, **environ), [SECRET])
    assert error.problems[0].code == code
    assert {*environ, "HOOK", "KEY"} & set(str(error).replace(",", " ").split())


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"url": f"http://example.com/{SECRET}"}, "without TLS"),
        ({"url": f"https://me:{SECRET}@example.com/"}, "a user or password"),
        ({"url": f"https://example.com/{SECRET} x"}, "a space"),
        ({"url": f"https://[{SECRET}"}, "is not a URL"),
        ({"url": f"https://example.com:{SECRET}/"}, "is not a URL"),
        ({"url": f"ftp://example.com/{SECRET}"}, "not the URL of a host"),
        ({"url": f"https:///{SECRET}"}, "not the URL of a host"),
        ({}, "either url or urlVariable"),
        ({"url": "https://example.com", "urlVariable": "X"}, "either url or urlVariable"),
        ({"url": "https://example.com", "header": {"name": "Host", "variable": "X"}}, "written by the client"),
        ({"url": "https://example.com", "header": {"name": "X-Key", "value": SECRET}}, "'value' is not a key here"),
    ],
)
def test_a_wrong_url_is_told_without_its_secrets(params: dict[str, object], said: str) -> None:
    """Validation says what is wrong with a URL, and repeats nothing of it."""
    with pytest.raises(ModelOpsError) as caught:
        alerts.bind(Plugin(type="webhook", params=params))
    assert (said in str(caught.value), SECRET in str(caught.value)) == (True, False), str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:1/x", "http://[::1]:1/", "http://127.8.0.1/", "https://example.com/x?y"]
)
def test_plain_http_stays_on_this_machine(url: str) -> None:
    """The loopback needs no TLS; another machine does, or somebody says that it is fine."""
    alerts.bind(Plugin(type="webhook", params={"url": url}))
    alerts.bind(Plugin(type="webhook", params={"url": "http://example.com/", "insecure": True}))


def test_what_passes_is_tried_again(tmp_path: Path) -> None:
    """429 and 5xx are waited for, as long as the other side asks, and the same incident is sent again."""
    pauses: list[float] = []
    with receiver((429, {"Retry-After": "2"}), (503, {}), (200, {})) as other:
        params = params_of(webhook, {"url": other.url, "timeoutSeconds": 10})
        webhook.send(params, INCIDENT, sending(tmp_path, 10.0), pauses.append)
        assert (len(other.requests), len(other.received), pauses) == (3, 1, [2.0, 1.0])


def test_an_instant_to_come_back_at_is_by_their_clock(tmp_path: Path) -> None:
    """A date in Retry-After is taken relative to the Date of the same answer, which no clock here knows better."""
    when = {"Retry-After": "Thu, 01 Jan 2037 00:00:03 GMT", "Date": "Thu, 01 Jan 2037 00:00:00 GMT"}
    pauses: list[float] = []

    def answer(connection: Any) -> None:
        connection.recv(10_000)
        told = "".join(f"{name}: {value}\r\n" for name, value in when.items())
        connection.sendall(f"HTTP/1.1 503 Wait\r\n{told}Content-Length: 0\r\n\r\n".encode())

    with raw(answer) as url:
        params = params_of(webhook, {"url": url, "tries": 2})
        with pytest.raises(ModelOpsError, match="it answered 503"):
            webhook.send(params, INCIDENT, sending(tmp_path), pauses.append)
    assert pauses == [3.0]


@pytest.mark.parametrize("wait", ["3600", "99999999999999999999", "soon", "-1", ""])
def test_it_never_waits_longer_than_it_may(tmp_path: Path, wait: str) -> None:
    """A pause that does not fit into the time ends the tries at once: a later pass is in time."""
    with receiver((503, {"Retry-After": wait})) as other:
        pauses: list[float] = []
        params = params_of(webhook, {"url": other.url, "timeoutSeconds": 0.4})
        with pytest.raises(ModelOpsError) as caught:
            webhook.send(params, INCIDENT, sending(tmp_path, 60.0), pauses.append)
        assert (caught.value.retryable, len(other.requests), pauses) == (True, 1, [])


def test_tries_are_bounded(tmp_path: Path) -> None:
    """A server that fails for ever is asked as often as the policy says."""
    with receiver((500, {})) as other:
        params = params_of(webhook, {"url": other.url, "tries": 2})
        with pytest.raises(ModelOpsError, match="it answered 500"):
            webhook.send(params, INCIDENT, sending(tmp_path), lambda seconds: None)
        assert len(other.requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(tmp_path: Path, status: int) -> None:
    """Who is sent elsewhere sends nothing there, secrets least of all."""
    with receiver() as elsewhere, receiver((status, {"Location": elsewhere.url})) as other:
        error = refusal(
            webhook, {"url": other.url, "header": {"variable": "KEY"}}, sending(tmp_path, KEY=SECRET), [SECRET]
        )
        assert (error.problems[0].code, len(other.requests), elsewhere.requests) == ("alert-refused", 1, [])


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_refusal_is_not_repeated(tmp_path: Path, status: int) -> None:
    """4xx says that the same request will not do."""
    with receiver((status, {"Retry-After": "0"})) as other:
        error = refusal(webhook, {"url": other.url}, sending(tmp_path))
        assert (error.retryable, len(other.requests), f": {status}" in str(error)) == (False, 1, True)


@pytest.mark.parametrize("answer", [hang, drip], ids=["hang", "drip"])
@pytest.mark.parametrize(("own", "given"), [(0.3, 60.0), (60.0, 0.3)])
def test_who_does_not_answer_costs_the_stated_time(
    tmp_path: Path, answer: Callable[[Any], None], own: float, given: float
) -> None:
    """A server that hangs, or answers letter by letter, is given up after the timeout, or when the pass has no time."""
    with raw(answer) as url:
        began = time.monotonic()
        error = refusal(webhook, {"url": url, "timeoutSeconds": own}, sending(tmp_path, given))
        took = time.monotonic() - began
    assert ("it took too long" in str(error), 0.25 <= took < 50) == (True, True), (str(error), took)


def test_what_is_no_http_is_an_error(tmp_path: Path) -> None:
    """A mail server, or nobody, on the port is told as what it is."""
    with raw(babble) as url:
        assert "BadStatusLine" in str(refusal(webhook, {"url": url}, sending(tmp_path)))
    assert "refused" in str(refusal(webhook, {"url": url}, sending(tmp_path)))


def certificate(folder: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1 that nobody signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hook")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "hook.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_certificate_that_nobody_trusts_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS is verified: a certificate of one's own counts when its authority is named, and not before."""
    pem = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def answer(connection: Any) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            asked = b""
            while not asked.endswith(b"}"):
                asked += secure.recv(10_000)
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with raw(answer) as url:
        params = {"url": url.replace("http:", "https:")}
        assert "CERTIFICATE_VERIFY_FAILED" in str(refusal(webhook, params, sending(tmp_path)))
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        webhook.send(params_of(webhook, params), INCIDENT, sending(tmp_path))


@given(st.text())
def test_no_text_is_a_url_that_leaks(text: str) -> None:
    """Whatever stands in the place of a URL, it is either one that can be posted to, or told without its path."""
    said, url = "", "https://"
    try:
        url = alerts.bind(Plugin(type="webhook", params={"url": f"{text}/{SECRET}"})).params.url
    except ModelOpsError as error:
        said = str(error)
    assert (SECRET in said, url.startswith(("https://", "http://"))) == (False, True)
