"""The ways on the shelf of alerts, each against what every way keeps, and what is its own."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import hmac
import html
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.receivers import babble, drip, hang, post_office, raw, receiver
from certificates import key_and_certificate
from git_world import git
from github_world import REPOSITORY, github
from modelops import alerts, plugins
from modelops.alerts import Incident, Sending, alertmanager, file, github_issue, slack, smtp, webhook
from modelops.conformance.alerts import CHECKS, INCIDENT, Ground, refusal
from modelops.conformance.shelf import params_of
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.forges import read_block
from modelops.spec.graph import build_graph
from modelops.spec.meta import Plugin
from modelops.spec.sweep import sweep
from spec_world import world

SECRET = "xoxb-7-very-secret"


def sending(root: Path, seconds: float = 60.0, **environ: str) -> Sending:
    return Sending(root, environ, seconds)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def test_every_way_is_tried_here() -> None:
    """A new file on the shelf needs its place in this module."""
    assert (
        plugins.built_in("alerts") == {"alertmanager", "file", "github-issue", "slack", "smtp", "webhook"} == {*PLACES}
    )


@contextlib.contextmanager
def of_file(root: Path) -> Iterator[Ground]:
    """A file that can be written, and one in a folder that is a file."""
    (root / "way").touch()
    path = root / "logs" / "alerts.jsonl"
    yield Ground(file, {"path": "logs/alerts.jsonl"}, {"path": "way/alerts.jsonl"}, sending(root), lambda: lines(path))


@contextlib.contextmanager
def posted(module: Any, root: Path, read: Callable[[Any], dict[str, Any]], path: str = "/hook") -> Iterator[Ground]:
    """A server that takes what is posted, and one that fails."""
    with receiver(path=path) as other, receiver((500, {}), path=f"/{SECRET}") as refuses:
        header = {"variable": "KEY"}
        good, bad = ({"url": each.url, "header": header, "timeoutSeconds": 30, "tries": 1} for each in (other, refuses))
        yield Ground(
            module, good, bad, sending(root, KEY=SECRET), lambda: [read(one) for one in other.taken()], (SECRET,)
        )
        below = "/api/v2/alerts" if module is alertmanager else ""
        assert {(method, asked) for method, asked, _ in other.requests} <= {("POST", path.rstrip("/") + below)}


def typed(told: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of an incident from texts, as people read them."""
    held = [one for one in told.get("held", "").split("\n") if one]
    release = int(told["release"]) if "release" in told else None
    return {"reminds": None, **told, "release": release, "held": held}


def of_slack(told: dict[str, Any]) -> dict[str, Any]:
    """Return what a message of Slack's form says, as its fields do."""
    (attachment,) = told["attachments"]
    assert told["text"] == attachment["title"]
    return typed({one["title"]: html.unescape(one["value"]) for one in attachment["fields"]})


def of_alertmanager(told: Any) -> dict[str, Any]:
    """Return what an alert says, by its labels and annotations."""
    (alert,) = told
    labels, rest = dict(alert["labels"]), {key: value for key, value in alert["annotations"].items() if key != "title"}
    assert labels.pop("alertname").startswith("Model")
    fields = {**rest, **labels, "tier": labels["severity"], "key": labels["incident"]}
    assert alert["startsAt"] <= alert["endsAt"]
    return typed({key: value for key, value in fields.items() if key not in ("severity", "incident")})


@contextlib.contextmanager
def of_smtp(root: Path) -> Iterator[Ground]:
    """A mail server that takes what comes from who logs in, over TLS, and one that refuses the recipient."""
    pem, user = certificate(root), ("modelops", SECRET)
    with (
        pytest.MonkeyPatch.context() as patch,
        post_office(user=user, pem=pem) as other,
        post_office("550 no", user=user, pem=pem) as refuses,
    ):
        patch.setenv("SSL_CERT_FILE", str(pem))
        known = {"host": "127.0.0.1", "sender": "models@example.com", "recipient": "team@example.com"}
        known |= {"login": {"user": "modelops", "variable": "KEY"}}

        def received() -> list[dict[str, Any]]:
            mails = [BytesParser(policy=default).parsebytes(mail) for mail in other.mails]
            return [json.loads(part.get_content()) for mail in mails for part in mail.iter_attachments()]

        good, bad = ({**known, "port": each.port} for each in (other, refuses))
        yield Ground(smtp, good, bad, sending(root, KEY=SECRET), received, (SECRET,))
        assert all(other.secure)


@contextlib.contextmanager
def of_github(root: Path) -> Iterator[Ground]:
    """An issue tracker, and one that has no such repository."""
    git(root, "init", "--quiet", "--bare", str(root / "remote"))
    with github(root / "remote") as fake:

        def received() -> list[dict[str, Any]]:
            told = [(1, one["number"], one["body"]) for one in fake.issues]
            told += [(2, one["id"], one["body"]) for one in fake.comments]
            facts = [block for _, _, body in sorted(told) if (block := read_block(body)) is not None]
            return sorted(facts, key=lambda one: order.index((one["id"], one["key"])))

        class Noting:
            """What was sent, in its order: an issue and its comments are kept apart."""

            Params = github_issue.Params

            @staticmethod
            def send(params: github_issue.Params, incident: Incident, how: Sending) -> None:
                order.append((incident.id, incident.key))
                github_issue.send(params, incident, how)

        order: list[tuple[str, str]] = []
        known = {"apiUrl": fake.url, "tokenVariable": "KEY"}
        good, bad = {"repository": REPOSITORY, **known}, {"repository": "acme/gone", **known}
        Noting.__name__ = "github_issue"
        yield Ground(Noting, good, bad, sending(root, KEY="token-of-ada"), received, ("token-of-ada",))  # type: ignore[arg-type]


PLACES: Mapping[str, Callable[[Path], contextlib.AbstractContextManager[Ground]]] = {
    "alertmanager": lambda root: posted(alertmanager, root, of_alertmanager, "/"),
    "file": of_file,
    "github-issue": of_github,
    "slack": lambda root: posted(slack, root, of_slack),
    "smtp": of_smtp,
    "webhook": lambda root: posted(webhook, root, lambda one: one),
}


@pytest.fixture(params=sorted(plugins.built_in("alerts")))
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """Each way with a place that takes incidents and one that does not."""
    with PLACES[request.param](tmp_path) as found:
        yield found


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
        (
            "{send: {type: alertmanager, params: {url: 'https://a.example/api/v2/alerts'}}}",
            7,
            "url ends before /api/v2",
        ),
        ("{send: {type: file}, environments: [moon]}", 7, "there is no environment 'moon'"),
        ("{send: {type: file}, events: [stall]}", 7, "'stall'"),
        ("{send: {type: file}, atMostEvery: 0}", 7, "atMostEvery"),
        ("{events: [stalled]}", 7, "send"),
        ("{send: {type: file}, owners: [payments-rik]}", 7, "did you mean 'payments-risk'?"),
        ("{send: {type: file}, tiers: [urgent]}", 7, "'urgent'"),
        ("{send: {type: file}, pagesPerDay: 0}", 7, "pagesPerDay"),
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


@pytest.mark.parametrize(
    ("spec", "line", "said"),
    [
        ("{models: [model-0000], reason: moving, expires: 2026-04-30}", 0, ""),
        ('{models: ["*"], reason: moving, expires: 2026-04-30T18:00:00Z, begins: 2026-04-30}', 0, ""),
        ("{models: [model-0000], expires: 2026-04-30}", 5, "reason"),
        ('{reason: " ", expires: 2026-04-30}', 5, "it says nothing"),
        ("{reason: moving}", 5, "expires"),
        ("{reason: moving, expires: soon}", 5, "neither a day nor an instant"),
        ("{reason: moving, expires: 2026-02-30}", 5, "neither a day nor an instant"),
        ("{reason: moving, expires: 2026-04-30}", 5, "it is about everything"),
        ("{owners: ['*'], reason: moving, expires: 2026-04-30, begins: 2026-05-01}", 5, "not before it expires"),
        ("{reason: moving, expires: 2026-04-30, models: [modl-0000]}", 5, "did you mean 'model-0000'?"),
        ("{reason: moving, expires: 2026-04-30, environments: [moon]}", 5, "there is no environment 'moon'"),
        ("{reason: moving, expires: 2026-04-30, owners: [nobody]}", 5, "no model is owned by 'nobody'"),
        ("{reason: moving, expires: 2026-04-30, events: [recovered]}", 5, "'recovered'"),
    ],
)
def test_a_silence_is_checked_with_its_lines(spec: str, line: int, said: str) -> None:
    """A silence needs a reason and an end, and is about what there is; validation names the line, of all at once."""
    text = f"apiVersion: modelops/v1\nkind: Silence\nmetadata:\n  name: moving\nspec: {spec}\n"
    files = {**world(1), "policies/silences/moving.yaml": text.encode()}
    problems = sweep(files, files.__getitem__, today="2026-04-01").problems
    assert [str(one.location).startswith(f"policies/silences/moving.yaml:{line}:") for one in problems] == [
        True
    ] * bool(line), problems
    assert all(said in f"{one.dotted} {one}" for one in problems), problems


def test_an_expired_silence_and_an_unknown_owner_are_said_by_validation() -> None:
    """Both are told where models are read on several processes too; expired is a warning, as nothing is silenced."""
    head = "apiVersion: modelops/v1\nkind: {}\nmetadata:\n  name: {}\nspec: "
    silence = head.format("Silence", "moving") + "{events: [drift], reason: moving, expires: 2026-04-30}\n"
    policy = head.format("AlertPolicy", "alerting") + "{routes: [{send: {type: file}, owners: [nobody]}]}\n"
    files = {
        **world(150),
        "policies/silences/moving.yaml": silence.encode(),
        "policies/alerting.yaml": policy.encode(),
    }
    for processes in (1, 2):
        for today, warned in (("2026-04-30", []), ("2026-05-01", ["silence-expired"])):
            found = sweep(files, files.__getitem__, today=today, processes=processes)
            assert [one.code for one in found.problems] == ["unknown-owner"]
            assert [one.code for one in found.warnings if one.code != "rule-unused"] == warned


# --- the webhook


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The vector that the standard's own libraries are tested with."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = webhook.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signed_request_can_be_checked(tmp_path: Path) -> None:
    """A receiver that knows the secret finds it right for the bytes it got, and wrong for any others."""
    secret = b"x" * 32
    with receiver() as other:
        params = params_of(webhook, {"url": other.url, "signing": {"variable": "KEY"}})
        key = "whsec_" + base64.b64encode(secret).decode()
        how = Sending(tmp_path, {"KEY": key}, 60.0, datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC))
        webhook.send(params, INCIDENT, how)
        (headers,) = [{name.lower(): value for name, value in told.items()} for _, _, told in other.requests]
        body = other.bodies[0]
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (INCIDENT.id, "1772323200")
    signed = f"{INCIDENT.id}.1772323200.".encode() + body
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("held", [SECRET, "whsec_c2hvcnQ=", "whsec_é", f"whsec_{'*' * 40}"])
def test_a_secret_that_cannot_sign_sends_nothing(tmp_path: Path, held: str) -> None:
    """What is too short or no base64 is told by its variable, and nothing unsigned leaves."""
    with receiver() as other:
        params = {"url": other.url, "signing": {"variable": "KEY"}}
        error = refusal(webhook, params, sending(tmp_path, KEY=held), [held])
        assert (error.problems[0].code, other.requests) == ("bad-alert-secret", [])


# --- slack


def test_nothing_calls_or_links_in_a_chat_room(tmp_path: Path) -> None:
    """What a name or a message holds is text there: no mention of everybody, no link, no markup."""
    with receiver() as other:
        said = "<!channel> see <https://evil.example|here> & *now*, @all, [here](https://evil.example)"
        bad = replace(INCIDENT, summary=said, owner="<@U1>", held=("@here \x1b[2K\ud800",))
        slack.send(params_of(slack, {"url": other.url}), bad, sending(tmp_path))
        text = json.dumps(other.received[0], ensure_ascii=False)
    assert ("<" in text, "&lt;!channel&gt;" in text, '"mrkdwn_in": []' in text) == (False, True, True)
    assert ("@all" in text, "@\u200ball" in text, "@here" in text, "](" in text) == (False, True, False, False)
    assert "&lt;U+001B&gt;[2K&lt;U+D800&gt;" in text


# --- alertmanager


def test_an_alert_ends_with_the_labels_that_it_began_with(tmp_path: Path) -> None:
    """The end has equal labels and an end that is now, or at its beginning where the clock was moved back."""
    with receiver(path="") as other:
        params = params_of(alertmanager, {"url": other.url, "lastsHours": 2})
        noon = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
        end = replace(INCIDENT, event="recovered", code="other", since="2026-03-01T12:00:00Z")
        for incident, hours in ((INCIDENT, 0), (end, 0), (end, -48)):
            how = Sending(tmp_path, {}, 60.0, noon + datetime.timedelta(hours=hours))
            alertmanager.send(params, incident, how)
        began, over, back = (one[0] for one in other.taken())
    assert began["labels"] == over["labels"] == back["labels"]
    assert began["labels"]["alertname"] == "ModelStalled"
    assert [one["endsAt"] for one in (began, over, back)] == [
        "2026-03-01T14:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T11:00:00Z",
    ]  # fmt: skip


# --- mail


def by_mail(port: int, **given: Any) -> dict[str, Any]:
    known = {"host": "127.0.0.1", "port": port, "sender": "models@example.com", "recipient": "team@example.com"}
    return {**known, "security": "none", **given}


def test_a_mail_says_it_to_people_and_to_programs(tmp_path: Path) -> None:
    """Subject, text and thread are of the incident; what a line break in a name would make a header is text."""
    with post_office() as other:
        noon = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
        how = Sending(tmp_path, {}, 60.0, noon)
        told = replace(INCIDENT, owner="x\r\nBcc: evil@example.com", held=("First \x1b[2K.", "Next \ud800."))
        smtp.send(params_of(smtp, by_mail(other.port)), told, how)
        mail = BytesParser(policy=default).parsebytes(other.mails[0])
    assert mail["Subject"] == "[page] stalled: payments/fraud-detection in production"
    assert mail["Bcc"] is None
    assert mail["Message-ID"] == f"<{told.id}@example.com>"
    assert mail["References"] == f"<{INCIDENT.key}@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_body(("plain",)).get_content()
    assert ("Next: clear its entry" in text, "owner: x Bcc: evil@example.com" in text) == (True, True), text
    assert "First <U+001B>[2K.\r\nNext <U+D800>." in text.replace("\r\n", "\n").replace("\n", "\r\n"), text


@pytest.mark.parametrize(
    ("answer", "code", "again"), [("550 no", "alert-refused", False), ("451 later", "alert-unreachable", True)]
)
def test_a_mail_server_refuses_for_good_or_for_now(tmp_path: Path, answer: str, code: str, again: bool) -> None:
    """5xx says that it will not do, 4xx that it may later."""
    with post_office(answer) as other:
        error = refusal(smtp, by_mail(other.port), sending(tmp_path))
        assert (error.problems[0].code, error.retryable, other.mails) == (code, again, [])


def test_no_password_and_no_mail_leave_without_tls(tmp_path: Path) -> None:
    """Who offers no TLS, or a certificate that nobody signed, gets neither; a wrong password is told without it."""
    pem, login = certificate(tmp_path), {"user": "me", "variable": "KEY"}
    secure = {"security": "starttls", "login": login}
    with post_office(user=("me", SECRET)) as plain:
        error = refusal(smtp, by_mail(plain.port, **secure), sending(tmp_path, KEY=SECRET), [SECRET])
        assert ("it offers no STARTTLS" in str(error), plain.mails) == (True, [])
    for tls, security in ((False, "starttls"), (True, "tls")):
        with post_office(pem=pem, user=("me", SECRET), tls=tls) as unknown:
            given = by_mail(unknown.port, **secure | {"security": security})
            error = refusal(smtp, given, sending(tmp_path, KEY=SECRET), [SECRET])
            assert ("CERTIFICATE_VERIFY_FAILED" in str(error), unknown.mails) == (True, [])
    with pytest.MonkeyPatch.context() as patch, post_office(pem=pem, user=("me", "other"), tls=True) as wrong:
        patch.setenv("SSL_CERT_FILE", str(pem))
        error = refusal(smtp, by_mail(wrong.port, security="tls", login=login), sending(tmp_path, KEY=SECRET), [SECRET])
        assert "refuses the user or password: 535" in str(error)


@pytest.mark.parametrize("answer", [hang, drip], ids=["hang", "drip"])
def test_a_mail_server_that_does_not_answer_costs_the_stated_time(
    tmp_path: Path, answer: Callable[[Any], None]
) -> None:
    """Silence, or an answer letter by letter, is given up after the timeout."""
    with raw(answer) as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        error = refusal(smtp, by_mail(port, timeoutSeconds=0.4), sending(tmp_path))
    assert error.problems[0].code == "alert-unreachable"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"login": {"user": "me", "variable": "X"}}, "in the clear"),
        ({"host": "mail.example.com"}, "in the clear"),
        ({"recipient": "a@example.com, b@example.com"}, "recipient"),
        ({"recipient": "a@example.com\nBcc: b@example.com"}, "recipient"),
        ({"sender": "nobody"}, "sender"),
    ],
)
def test_a_wrong_way_by_mail_is_told(given: dict[str, Any], said: str) -> None:
    """What would leak a password or a mail, and what is no address of one mailbox, is refused by validation."""
    with pytest.raises(ModelOpsError, match=said):
        alerts.bind(Plugin(type="smtp", params=by_mail(25, **given)))


# --- issues


def test_an_issue_is_opened_once_and_closed_at_the_end(tmp_path: Path) -> None:
    """One issue for one happening, a comment for what changes, closed when it is over; a repeat writes nothing."""
    git(tmp_path, "init", "--quiet", "--bare", str(tmp_path / "remote"))
    with github(tmp_path / "remote") as fake:
        params = params_of(github_issue, {"repository": REPOSITORY, "apiUrl": fake.url, "tokenVariable": "KEY"})
        how = sending(tmp_path, KEY="token-of-ada")
        fake.fault = lambda method, path, number: "lost" if method == "POST" and number == 0 else None
        end = replace(INCIDENT, event="recovered", since="2026-03-01T14:00:00Z")
        for incident in (INCIDENT, INCIDENT, replace(INCIDENT, code="other"), end, end):
            github_issue.send(params, incident, how)
        (issue,) = fake.issues
        assert (issue["state"], issue["state_reason"], [one["name"] for one in issue["labels"]]) == (
            "closed", "completed", ["incident"],
        )  # fmt: skip
        assert issue["title"] == "[page] stalled: payments/fraud-detection in production"
        assert len(fake.comments) == 2
        github_issue.send(params, replace(INCIDENT, opened="2026-03-02T11:00:00Z"), how)
        assert [one["state"] for one in fake.issues] == ["closed", "open"]


def test_an_app_asks_for_issues_alone(tmp_path: Path) -> None:
    """The token of an App is allowed to write issues, and nothing else."""
    git(tmp_path, "init", "--quiet", "--bare", str(tmp_path / "remote"))
    with github(tmp_path / "remote") as fake:
        params = params_of(github_issue, {"repository": REPOSITORY, "apiUrl": fake.url})
        environ = {"MODELOPS_APP_ID": "4711", "MODELOPS_APP_PRIVATE_KEY": fake.app.pem}
        github_issue.send(params, INCIDENT, sending(tmp_path, **environ))
        assert [dict(one) for one in fake.app.tokens.values()] == [{"issues": "write", "metadata": "read"}]
        assert len(fake.issues) == 1


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
    path = folder / "hook.pem"
    key_and_certificate(path, "hook")
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
