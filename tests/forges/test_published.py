"""What a pull request on GitHub is told: `pr publish` and `pr approvals`, as workflows of the base branch run them."""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from markdown_it import MarkdownIt

from forges.forge_world import github_forge
from git_world import ADA, NOON, World, git
from github_world import ACCOUNTS, APPS, REPOSITORY, FakeGitHub, github
from modelops.changes import report as reports
from modelops.changes.report import (
    BuildReport,
    DataReport,
    EntryReport,
    MetricReport,
    ProblemReport,
    Report,
    VerdictReport,
    written,
)
from modelops.cli import main, pr
from modelops.forges import Explanation, PullRequest
from modelops.forges.github import GitHub, session
from modelops.forges.github.permissions import NEEDED
from modelops.governance.approvals import ApprovalVerdict, RuleVerdict
from modelops.repository import Repository
from modelops.views.proposals import published

APPROVALS = """apiVersion: modelops/v1
kind: ApprovalPolicy
metadata:
  name: approvals
spec:
  groups:
    ml: [bob, grace]
  rules:
    - {change: model, approvers: ["group:ml"], minimum: 1}
    - {change: policy, approvers: [grace], minimum: 1}
"""
PROJECT = """apiVersion: modelops/v1
kind: Project
metadata:
  name: project
spec:
  forge: {{type: github, params: {{repository: {repository}, apiUrl: "{url}"}}}}
"""
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "pull-request-report.md"
URL = "https://github.example/acme/models/actions/runs/5"
GATES, APPROVED = "modelops/gates", "modelops/approvals"
CALLS = {"first": 17, "again": 15, "review": 13}
"""Requests of the second half: for a first report, for the same of a newer run, and for a review."""


@dataclass
class Answer:
    code: object
    out: str
    err: str


@dataclass
class Scene:
    """A project on GitHub, a clone of its base as a job has it, and people with forges of their own."""

    served: FakeGitHub
    world: World
    job: Repository
    folder: Path
    capsys: pytest.CaptureFixture[str]
    ada: GitHub
    bob: GitHub

    def push(self, files: dict[str, bytes], source: str = "change", message: str = "Propose") -> str:
        clone = self.ada.repository
        clone.fetch()
        tip = clone.find_tip(source)
        head = clone.commit_files(tip or clone.tip("main"), files, message, ADA, NOON)
        clone.push_branch(source, head, expected=tip)
        return head

    def propose(self, source: str = "change", title: str = "T", files: dict[str, bytes] | None = None) -> PullRequest:
        self.push(files or {f"models/churn/{source.replace('/', '-')}.txt": b"1\n"}, source)
        return self.ada.open(title=title, body="", source=source).pull

    def run(self, *words: str) -> Answer:
        with pytest.raises(SystemExit) as caught:
            main(["-C", str(self.job.root), "pr", *words])
        captured = self.capsys.readouterr()
        return Answer(caught.value.code, captured.out, captured.err)

    def file(self, report: Report) -> str:
        path = self.folder / "report.json"
        report = report.model_copy(update={"base": self.world.tip()}) if report.base == "0" * 40 else report
        path.write_text(written(report), encoding="utf-8")
        return str(path)

    def publish(self, report: Report, *words: str, code: int = 0) -> Answer:
        done = self.run(
            "publish", self.file(report), "--match-head-commit", report.head, "--details-url", URL, "-o", "json", *words
        )
        assert done.code == code, done.err
        return done

    def check(self, name: str, commit: str | None = None) -> dict[str, Any]:
        """Return the newest run of a check by the job's app."""
        mine = [run for run in self.served.runs if run["name"] == name and run["app"]["slug"] == "modelops"]
        return [run for run in mine if commit in (None, run["head_sha"])][-1]

    @property
    def comments(self) -> list[str]:
        return [one["body"] for one in self.served.comments if one["user"]["login"] == "modelops[bot]"]

    def writes(self) -> list[tuple[str, str]]:
        return [one for one in self.served.seen if one[0] != "GET" and one[1] != "/graphql"]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Scene]:
    monkeypatch.setattr(session, "_PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setenv("MODELOPS_CLOCK", "2026-03-01T12:00:00Z")
    monkeypatch.setenv("GH_TOKEN", "token-of-app")
    for name in ("MODELOPS_GITHUB_TOKEN", "GITHUB_TOKEN", "GITHUB_API_URL", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    world = World(tmp_path)
    with github(world.remote) as served:
        clone = world.clone("ada")
        files = {
            "policies/approvals.yaml": APPROVALS.encode(),
            "policies/project.yaml": PROJECT.format(repository=REPOSITORY, url=served.url).encode(),
        }
        tip = clone.tip("main")
        clone.push_branch("main", clone.commit_files(tip, files, "Begin", ADA, NOON), expected=tip)
        people = (github_forge(served, clone, f"token-of-{who}") for who in ("ada", "bob"))
        yield Scene(served, world, world.clone("job"), tmp_path, capsys, *people)


def build(outcome: str = "passed", *, passed: bool = True, reason: str = "it is above") -> BuildReport:
    """Return a judged build of one gate."""
    word = {"passed": "pass", "failed": "fail", "undecided": "no-data", "waived": "fail"}[outcome]
    return BuildReport(
        model="churn",
        outcome=outcome,  # type: ignore[arg-type]
        passed=passed,
        stable=3,
        metrics=(
            MetricReport(name="roc-auc", value=0.9, lower=0.88, upper=0.92, level=0.95, n=400, stable=(0.8, 0.7, 0.9)),
        ),
        verdicts=(
            VerdictReport(policy="easy", gate="ranks", verdict=word, blocking=not passed, reason=reason),  # type: ignore[arg-type]
        ),
        data=DataReport(
            snapshot="q2", root="sha256:" + "0" * 64, rows=1000, before=900, changes=("rows: 900 -> 1000",)
        ),
    )


def report(head: str, *builds: BuildReport, **more: Any) -> Report:
    return Report(modelops="0.1.0", head=head, base="0" * 40, builds=builds or (build(),), **more)


# --- what is told, and that it is told in one place


def test_a_pull_request_is_told_once_and_in_place(scene: Scene) -> None:
    """One comment and two checks; a newer run replaces them where they stand, and the same run again writes nothing."""
    pull = scene.propose()
    done = json.loads(scene.publish(report(pull.head)).out)
    assert done == [
        {"pullRequest": 1, "commit": pull.head, "queued": False, "gates": "success", "approvals": "pending"}
    ]
    (text,) = scene.comments
    assert "| `roc-auc` | 0.9 (0.88 to 0.92) | 400 | – | 0.8 (0.7 to 0.9) |" in text
    assert "rows: 900 -&gt; 1000" in text
    assert "model: 1 approval missing" in text
    assert "bob, grace" in text
    assert URL in text
    gates = scene.check(GATES)
    assert (gates["head_sha"], gates["conclusion"], gates["details_url"]) == (pull.head, "success", URL)
    assert scene.check(APPROVED)["status"] == "in_progress"
    before = len(scene.writes())
    scene.publish(report(pull.head))
    assert len(scene.writes()) == before
    scene.publish(report(pull.head, build("failed", passed=False)))
    assert len(scene.comments) == 1
    assert "not to be released" in scene.comments[0]
    assert scene.check(GATES)["conclusion"] == "failure"


@pytest.mark.parametrize(
    ("made", "conclusion"),
    [
        ({}, "success"),
        ({"builds": (build("waived"),)}, "success"),
        ({"builds": (build("failed", passed=False),)}, "failure"),
        ({"builds": (build("undecided"),)}, "neutral"),
        ({"builds": (build("undecided", passed=False),)}, "failure"),
        ({"builds": ()}, "neutral"),
        ({"unmeasured": ("other",)}, "failure"),
        ({"plan": (EntryReport(text="blocked", does="refused"),)}, "failure"),
        ({"problems": (ProblemReport(level="failure", code="x", message="y"),)}, "failure"),
        ({"problems": (ProblemReport(level="warning", code="x", message="y"),)}, "success"),
    ],
)
def test_only_what_was_measured_and_may_be_released_is_a_success(made: dict[str, Any], conclusion: str) -> None:
    """Undecided is neutral, a missing verdict or measurement never passes, a warning holds nothing up."""
    whole = {"modelops": "0.1.0", "head": "1" * 40, "base": "0" * 40, "builds": (build(),)} | made
    assert Report(**whole).conclusion == conclusion


@pytest.mark.parametrize(
    "path",
    [".github/workflows/pull-request.yml", "requirements.lock", "pip.py", "sitecustomize.py", "src/a.py", ".lfsconfig"],
)
def test_a_change_of_what_measures_is_no_success(scene: Scene, path: str) -> None:
    """What a run says that the change itself defines is shown, and said to be that."""
    pull = scene.propose(files={path: b"x\n"})
    scene.publish(report(pull.head))
    run = scene.check(GATES)
    assert run["conclusion"] == "neutral"
    assert path in run["output"]["summary"]
    assert "by a run that this change itself defines" in scene.comments[0]


def test_what_is_read_as_data_measures_nothing(scene: Scene) -> None:
    """Models, policies, rows and words for people do not say how a change is measured."""
    files = ("models/churn/train.py", "policies/zz.txt", "data/rows.csv", "README.md")
    pull = scene.propose(files=dict.fromkeys(files, b"x\n"))
    scene.publish(report(pull.head))
    assert scene.check(GATES)["conclusion"] == "success"


def evil(scene: Scene, source: str) -> int:
    """Propose a branch into another one that changes how pull requests run, past the client that would not."""
    clone = scene.ada.repository
    clone.fetch()
    if clone.find_tip("evil-base") is None:
        files = {".github/workflows/pull-request.yml": b"on: {pull_request: {branches: [evil-base]}}\n"}
        base = clone.commit_files(clone.tip("main"), files, "Tidy", ADA, NOON)
        clone.push_branch("evil-base", base, expected=None)
    made = httpx.post(
        f"{scene.served.url}/repos/{REPOSITORY}/pulls",
        json={"title": "E", "body": "", "head": source, "base": "evil-base"},
        headers={"Authorization": "Bearer token-of-ada", "Content-Type": "application/json"},
    )
    assert made.status_code == 201, made.text
    return int(made.json()["number"])


@pytest.mark.parametrize("way", ["twin", "closed", "retargeted", "moved"])
def test_a_run_by_the_workflows_of_another_branch_is_no_success(scene: Scene, way: str) -> None:
    """A run tells its commit and branch; what was proposed elsewhere, open, closed or before, is named."""
    number = 0
    if way in ("closed", "retargeted", "moved"):
        scene.push({"models/churn/x.txt": b"1"})
        number = evil(scene, "change")
        if way == "retargeted":
            change = {"base": "main"}
        elif way == "closed":
            change = {"state": "closed"}
        else:
            scene.push({"models/churn/y.txt": b"1"})
            change = {"state": "closed"}
        asked = {"Authorization": "Bearer token-of-ada"}
        url = f"{scene.served.url}/repos/{REPOSITORY}/pulls/{number}"
        assert httpx.patch(url, json=change, headers=asked).status_code == 200
    pull = scene.ada.get(number) if way == "retargeted" else scene.propose()
    if way == "twin":
        git(scene.world.remote, "update-ref", "refs/heads/twin", pull.head)
        evil(scene, "twin")
    scene.publish(report(pull.head), "--head-branch", "change")
    run = scene.check(GATES, pull.head)
    assert run["conclusion"] == "neutral"
    assert "by a run that another branch may define" in run["output"]["title"]
    named = "another branch" if way == "retargeted" else "evil-base"
    assert named in run["output"]["summary"].replace("\\", "")


def test_a_run_on_another_branch_is_no_success(scene: Scene) -> None:
    """What ran on a branch that no pull request into main is from ran for another one."""
    pull = scene.propose()
    scene.publish(report(pull.head), "--head-branch", "mallory:change")
    assert scene.check(GATES, pull.head)["conclusion"] == "neutral"
    scene.publish(report(pull.head), "--head-branch", "change")
    assert scene.check(GATES, pull.head)["conclusion"] == "success"


def test_a_head_that_git_has_moved_on_from_is_not_spoken_of(scene: Scene) -> None:
    """GitHub still lists the older head when git has another: neither gets what was measured of the older one."""
    pull = scene.propose()
    document = scene.served.pulls[1]
    moved = scene.push({"models/churn/more.txt": b"1"})
    scene.served.look()
    scene.served.heads["change"] = moved
    document["head"]["sha"] = pull.head
    assert scene.ada.find(head=pull.head) == ()
    scene.publish(report(pull.head), code=1)
    assert scene.served.runs == []


def test_what_was_measured_against_another_base_is_not_believed(scene: Scene) -> None:
    """A tag, or the pull request's own commit, is no commit of main: against it nothing is known of the change."""
    own = scene.push({"models/churn/x.txt": b"1"})
    pull = scene.propose(files={"models/churn/y.txt": b"1"})
    older = scene.world.first
    for base, conclusion in ((own, "failure"), ("1" * 40, "failure"), (older, "success")):
        code = 0 if conclusion == "success" else 3
        scene.publish(report(pull.head).model_copy(update={"base": base}), code=code)
        assert scene.check(GATES)["conclusion"] == conclusion


@pytest.mark.parametrize("app", [True, False])
def test_the_checks_are_the_apps_where_there_is_one(scene: Scene, monkeypatch: pytest.MonkeyPatch, app: bool) -> None:
    """With the App's key beside the job's token, comment and checks are the App's, by a token of what it needs."""
    monkeypatch.setenv("GH_TOKEN", "ghs_of_job")
    if app:
        monkeypatch.setenv("MODELOPS_APP_ID", "4711")
        monkeypatch.setenv("MODELOPS_APP_PRIVATE_KEY", scene.served.app.pem)
    pull = scene.propose()
    scene.publish(report(pull.head))
    assert scene.run("approvals", "1").code == 0
    login = "modelops[bot]" if app else "github-actions[bot]"
    assert {run["app"]["id"] for run in scene.served.runs} == {APPS[login]}
    assert {one["user"]["login"] for one in scene.served.comments} == {login}
    if app:
        assert list(scene.served.app.tokens.values()) == [dict(NEEDED)] * 2


def test_reviews_are_followed_without_measuring_again(scene: Scene) -> None:
    """A review renews the check and the comment's part about approvals, and leaves the measured part as it is."""
    pull = scene.propose()
    scene.publish(report(pull.head))
    measured = scene.comments[0].partition("#### Approvals")[0]
    scene.bob.review(pull.number, "approved", head=pull.head)
    assert scene.run("approvals", "--match-head-commit", pull.head).code == 0
    assert scene.check(APPROVED)["conclusion"] == "success"
    assert scene.check(APPROVED)["output"]["title"] == "approved by bob"
    before, _, after = scene.comments[0].partition("#### Approvals")
    assert before == measured
    assert "✅ approved by bob" in after
    scene.served.reviews[1][0]["state"] = "DISMISSED"
    assert scene.run("approvals", "1").code == 0
    assert scene.check(APPROVED)["status"] == "in_progress"
    assert "the review of bob was dismissed" in scene.comments[0]


def _name_teams(scene: Scene, *teams: str) -> None:
    """Let the project begin with teams that approve: what is pushed later is judged by what was there before."""
    clone = scene.ada.repository
    tip, named = clone.tip("main"), ", ".join(f'"team:{team}"' for team in teams)
    files: dict[str, bytes | None] = {path: clone.read(tip, path) for path in clone.paths(tip, "policies/")}
    files["policies/approvals.yaml"] = APPROVALS.replace("[bob, grace]", f"[{named}]").encode()
    began = clone.commit_files(scene.world.first, files, "Begin", ADA, NOON)
    git(scene.world.remote, "fetch", "-q", str(clone.root), began)
    git(scene.world.remote, "update-ref", "refs/heads/main", began)
    scene.job.fetch()
    clone.fetch()


def test_a_team_of_the_organisation_approves(scene: Scene) -> None:
    """Who is in it is asked for once, by id, and is among what was heard; who is not in it does not count."""
    scene.served.teams = {"ml": ("bob", "ada"), "others": ("grace",)}
    _name_teams(scene, "ml")
    pull = scene.propose()
    scene.served.seen.clear()
    assert scene.run("approvals", "1").code == 0
    assert scene.served.seen.count(("GET", "/orgs/acme/teams/ml/members")) == 1
    assert "ask bob" in scene.check(APPROVED)["output"]["summary"]
    scene.bob.review(pull.number, "approved", head=pull.head)
    assert scene.run("approvals", "1").code == 0
    assert scene.check(APPROVED)["output"]["title"] == "approved by bob"
    assert [one.id for one in scene.bob.team("ml")] == ["12", "11"]
    heard = [one for one in scene.bob.heard(pull) if "/teams/" in one.call]
    assert [one.call.partition("?")[0] for one in heard] == ["GET /orgs/acme/teams/ml/members"]
    assert {one.digest for one in heard} <= scene.served.sent
    scene.served.teams["ml"] = ("ada",)
    assert scene.run("approvals", "1").code == 0
    assert scene.check(APPROVED)["status"] == "in_progress"


@pytest.mark.parametrize("way", ["absent", "forbidden", "granted", "traversal"])
def test_a_team_that_cannot_be_read_is_named_with_what_it_takes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """No such team, and an App that was not given `members`: nobody is in it, and what is missing is said."""
    monkeypatch.setenv("MODELOPS_APP_ID", "4711")
    monkeypatch.setenv("MODELOPS_APP_PRIVATE_KEY", scene.served.app.pem)
    scene.served.teams = {"ml": ("bob",)}
    if way != "forbidden":
        scene.served.app.permissions["members"] = "read"
    name = {"absent": "gone", "traversal": "../../repos"}.get(way, "ml")
    _name_teams(scene, name)
    pull = scene.propose()
    scene.bob.review(pull.number, "approved", head=pull.head)
    assert scene.run("approvals", "1").code == 0
    said = scene.check(APPROVED)["output"]["summary"]
    assert (scene.check(APPROVED)["status"] == "completed") == (way == "granted")
    if way != "granted":
        assert f"nobody knows who is in team:{name}" in said.replace("\\", "")
        assert ("members=read" in said) == (way != "traversal")


def test_a_head_that_moved_takes_approvals_along(scene: Scene) -> None:
    """After a push the approval of the old head counts no more, and the check of the new head says so."""
    pull = scene.propose()
    scene.bob.review(pull.number, "approved", head=pull.head)
    head = scene.push({"models/churn/change.txt": b"2\n"})
    scene.publish(report(head))
    run = scene.check(APPROVED, head)
    assert run["status"] == "in_progress"
    assert f"bob approved {pull.head[:12]}" in run["output"]["summary"]


def test_the_comments_of_others_are_left_alone(scene: Scene) -> None:
    """Who copies the whole comment with its marker keeps it, and it is not taken for the job's; a check likewise."""
    pull = scene.propose()
    scene.publish(report(pull.head))
    fake = {**scene.served.comments[0], "id": 0, "user": ACCOUNTS["bob"]}
    scene.served.comments.insert(0, fake)
    mine = scene.check(GATES)
    scene.served.runs.append({**mine, "id": 90, "app": {"id": 8, "slug": "evil"}, "conclusion": "success"})
    scene.publish(report(pull.head, build("failed", passed=False)))
    assert "✅" in fake["body"].splitlines()[0]
    assert "❌" in scene.comments[0].splitlines()[0]
    assert scene.check(GATES)["conclusion"] == "failure"
    assert [run["conclusion"] for run in scene.served.runs if run["app"]["slug"] == "evil"] == ["success"]


def test_a_comment_that_somebody_deletes_is_written_again(scene: Scene) -> None:
    """Also when it goes between being found and being changed."""
    pull = scene.propose()
    scene.publish(report(pull.head))
    scene.served.comments.clear()
    scene.publish(report(pull.head))
    assert len(scene.comments) == 1

    def fault(method: str, path: str, n: int) -> None:
        if method == "PATCH" and "/issues/comments/" in path:
            scene.served.comments.clear()

    scene.served.fault = fault
    scene.publish(report(pull.head, build("failed", passed=False)))
    assert len(scene.comments) == 1
    assert "❌" in scene.comments[0]


def test_two_runs_at_once_leave_one_comment(scene: Scene) -> None:
    """Of two comments that were made at the same time the older one stays, with what the later run says."""
    pull = scene.propose()

    def fault(method: str, path: str, n: int) -> None:
        if method == "POST" and path.endswith("/comments") and n == 0:
            body = "the other's\n\n<!-- modelops-comment modelops/report -->"
            scene.served.comments.append({"id": 1, "issue": 1, "user": ACCOUNTS["modelops[bot]"], "body": body})

    scene.served.fault = fault
    scene.publish(report(pull.head))
    assert [one["id"] for one in scene.served.comments] == [1]
    assert "churn" in scene.comments[0]


# --- the report is data of somebody else


def test_what_is_no_report_is_told_and_passes_nothing(scene: Scene) -> None:
    """The checks say so, approvals are judged all the same, and the verb ends with 3."""
    pull = scene.propose()
    path = scene.folder / "report.json"
    path.write_bytes(b"not json")
    done = scene.run("publish", str(path), "--match-head-commit", pull.head)
    assert done.code == 3
    assert "no report" in done.err
    assert scene.check(GATES)["conclusion"] == "failure"
    assert scene.check(APPROVED)["status"] == "in_progress"
    assert "not known" in scene.comments[0]


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"report": 2}', b"\xff\xfe", b"", b"null", b" " * (reports.LARGEST + 1), b'{"modelops": NaN}'],
)
def test_what_is_no_document_is_refused(tmp_path: Path, data: bytes) -> None:
    """Neither depth nor size nor bytes that are no text get further than the reader."""
    path = tmp_path / "report.json"
    path.write_bytes(data)
    with pytest.raises(reports.ModelOpsError) as error:
        reports.read_report(path, "1" * 40)
    assert error.value.first.code == "report-invalid"


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to, lambda path, _: os.mkfifo(path)])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    """Whatever an archive unpacks as: neither a link to a good report is followed, nor a pipe waited for."""
    good, path = tmp_path / "good.json", tmp_path / "report.json"
    good.write_text(written(report("1" * 40)), encoding="utf-8")
    assert reports.read_report(good, "1" * 40)
    make(path, good)
    with pytest.raises(reports.ModelOpsError) as error:
        reports.read_report(path, "1" * 40)
    assert error.value.first.code == "report-invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1}, {"folder": "x" * 1001}, {"head": "main"}, {"builds": [{"model": "../x"}]},
        {"problems": [{"level": "failure", "code": "x", "message": "y" * 2001}]}, {"plan": [{"text": "t"}] * 2001},
    ],
)  # fmt: skip
def test_a_report_of_another_form_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """Unknown keys, names that are none, texts and lists beyond their bounds."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps(json.loads(written(report("1" * 40))) | change), encoding="utf-8")
    with pytest.raises(reports.ModelOpsError) as error:
        reports.read_report(path, "1" * 40)
    assert error.value.first.code == "report-invalid"


def test_a_report_is_about_the_commit_that_the_event_names(scene: Scene) -> None:
    """A report that says to be about another commit is refused, whatever number it is published for."""
    pull, other = scene.propose(), scene.propose("other")
    path = scene.file(report(other.head))
    done = scene.run("publish", path, "--match-head-commit", pull.head)
    assert (done.code, scene.check(GATES)["conclusion"]) == (3, "failure")
    assert f"about {other.head[:12]}, not {pull.head[:12]}" in done.err


def test_a_stale_report_is_not_published(scene: Scene) -> None:
    """The head has moved, or the pull request is closed: exit 1, and nothing is written."""
    pull = scene.propose()
    head = scene.push({"models/churn/change.txt": b"2\n"})
    before = scene.writes()
    assert "report-stale" in scene.publish(report(pull.head), code=1).err
    assert "report-stale" in scene.publish(report(pull.head), "--pull", "1", code=1).err
    scene.ada.close(pull.number)
    before += [("PATCH", f"/repos/{REPOSITORY}/pulls/1")]
    assert "report-stale" in scene.publish(report(head), code=1).err
    assert scene.writes() == before
    scene.served.pulls[1] |= {"state": "open", "closed_by": None}
    scene.publish(report(head))
    assert len(scene.comments) == 1


def test_a_run_that_left_no_report_passes_nothing(scene: Scene) -> None:
    """No file, or none where one is named: the gates fail, and the next report mends it."""
    pull = scene.propose()
    assert scene.run("publish", "absent.json", "--match-head-commit", pull.head).code == 0
    assert scene.check(GATES)["conclusion"] == "failure"
    assert scene.run("publish", "--match-head-commit", pull.head).code == 0
    scene.publish(report(pull.head))
    assert scene.check(GATES)["conclusion"] == "success"
    assert len(scene.comments) == 1


@pytest.mark.parametrize(
    "words",
    [("publish",), ("publish", "--match-head-commit", "main"), ("approvals",), ("publish", "--details-url", "x")],
)
def test_what_is_asked_wrongly_is_usage(scene: Scene, words: tuple[str, ...]) -> None:
    """A report without its commit, a commit that is a name, no pull request, an address that is none: exit 2."""
    assert scene.run(*words).code == 2
    assert scene.writes() == []


WORDS = (
    *("@ada", "x_@ada", "@acme/ml-leads", "#12", "GH-7", "acme/models#5", "https://github.com/acme/models/pull/5"),
    *("www.evil.example", "HTTP://evil.example", "<script>alert(1)</script>", "![x](http://e/x.png)"),
    *("[l](javascript:x)", "```\nx", "`` @ada `", "x\\|@ada", "<!-- modelops:approvals -->", "&commat;ada"),
    *("> [!WARNING] x", "- [ ] x", "\x1b[2J"),
)  # fmt: skip
HOSTILE = (
    "@everyone see @acme/ml-leads #12 GH-7 <img src=x onerror=y> </details> | x | `c` [l](http://e) <!-- modelops -->"
)


def test_hostile_words_call_nobody_and_open_nothing(scene: Scene) -> None:
    """Titles, branches, reasons, paths and plans are text: no mention, no reference, no tag, no broken table."""
    pull = scene.propose("feat/@everyone-#12", title=HOSTILE)
    made = report(
        pull.head,
        build("failed", passed=False, reason=HOSTILE),
        plan=(EntryReport(text=HOSTILE, does="changes"),),
        waivers=(HOSTILE,),
        problems=(ProblemReport(level="failure", code="x", message=HOSTILE, hint=HOSTILE, path=HOSTILE, line=3),),
    )
    scene.publish(made)
    (text,) = scene.comments
    bare = re.sub(r"(?<![`\\])(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert not re.search(r"(?<!\w)@\w|(?<!&)#\d|GH-\d|<img|</details|(?<!run\]\()https?://", bare)
    assert re.findall(r"<!--.*?-->", bare) == [
        "<!-- modelops:approvals -->",
        "<!-- modelops-comment modelops/report -->",
    ]
    for rows in re.findall(r"(?:^\|.*\n)+", bare, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows.splitlines()}) == 1


@pytest.mark.parametrize("word", WORDS)
def test_no_word_of_a_report_is_more_than_text(word: str) -> None:
    """Read as Markdown with tables: no link, picture, tag or block but ours, no name, no number and no bare address."""
    verdicts = (VerdictReport(policy=word, gate=word, verdict="fail", blocking=True, reason=word, waived=word),)
    metrics = (MetricReport(name=word, value=1, lower=0, upper=1, level=0.95, n=1),)
    made = report(
        "1" * 40,
        build(reason=word).model_copy(update={"verdicts": verdicts, "metrics": metrics, "notes": (word,)}),
        plan=(EntryReport(text=word, does="changes"),),
        expectations=(word,),
        problems=(ProblemReport(level="failure", code=word, message=word, path=word, line=3),),
    )
    checked = published.gates(made, None, (word,), (word,), "")
    verdict = ApprovalVerdict(False, (), (word,), (RuleVerdict("model", word, 1, (word,), False, ()),))
    waiting = published.approvals(verdict, None, "")
    text = "\n\n".join([published.headline(checked), checked.said.summary, waiting.said.summary])
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = {one.type for token in tokens for one in (token, *(token.children or ()))}
    assert not kinds & {
        "link_open",
        "image",
        "html_inline",
        "html_block",
        "fence",
        "code_block",
        "blockquote_open",
        "hr",
    }
    said = "".join(one.content for token in tokens for one in token.children or () if one.type == "text")
    assert not re.search(r"(?<![A-Za-z0-9])@[A-Za-z0-9]|#\d|GH-\d|\x1b", said)
    marked = [one.content for token in tokens for one in token.children or () if one.type == "code_inline"]
    source = functools.reduce(lambda rest, one: rest.replace(one.replace("|", "\\|"), ""), marked, text)
    assert not re.search(r"(?i)(?<!\\)://|\bwww\.", source)
    rows = [token for token in tokens if token.type in ("tr_open", "th_open", "td_open")]
    cells = [len(list(group)) for kind, group in itertools.groupby(rows, lambda one: one.type == "tr_open") if not kind]
    assert set(cells) <= {4, 5, 7}


def test_nobody_can_fill_the_comment_with_who_must_approve(scene: Scene) -> None:
    """However many rules and names there are, what was measured has its room, and nothing ends in its middle."""
    reasons = tuple(f"{n} " + "@a" * 300 for n in range(1_000))
    rules = tuple(RuleVerdict("model", f"e{n}", 1, ("@" * 160,) * 50, False, ()) for n in range(1_000))
    pull = scene.propose()
    approved = published.approvals(ApprovalVerdict(False, (), reasons, rules), None, "")
    made = report(pull.head)
    text = published.comment(pull, made, published.gates(made, None, (), (), ""), approved)
    assert len(text) < 61_000
    assert "roc-auc" in text
    assert re.search(r"^… and 9\d\d more\.$", text, re.MULTILINE)
    assert re.search(r"^- … and 9\d\d more\.$", text, re.MULTILINE)


@pytest.mark.parametrize("count", [0, 1_000])
def test_no_gate_and_a_thousand_are_told(count: int) -> None:
    """Without any it is said that nothing judged it; of a thousand those that block come first, the rest is counted."""
    one = VerdictReport(policy="p", gate="g", verdict="pass", blocking=False, reason="fine")
    bad = one.model_copy(update={"gate": "bad", "verdict": "fail", "blocking": True})
    verdicts = (*(one,) * (count - 1), bad) if count else ()
    made = report("1" * 40, build("failed", passed=False).model_copy(update={"verdicts": verdicts}))
    text = published.gates(made, None, (), (), "").said.summary
    if count:
        assert text.index("`p/bad`") < text.index("`p/g`")
        assert "… and 960 more." in text
        assert "999 ✅ pass" in text
    else:
        assert "No gate judged it." in text
        assert "| Gate |" not in text


def test_a_summary_of_the_largest_size_is_taken(scene: Scene) -> None:
    """GitHub takes one character less for a check than for a comment."""
    pull = scene.propose()
    job = github_forge(scene.served, scene.ada.repository, "token-of-app")
    job.check(pull.number, GATES, "success", said=Explanation("t", "x" * 70_000))
    assert len(scene.check(GATES)["output"]["summary"]) == 65_535


def test_more_than_a_comment_holds_is_left_out_whole(scene: Scene) -> None:
    """What does not fit goes by parts, the reader is told where the rest is, and tables stay whole."""
    pull = scene.propose()
    builds = tuple(build(reason="y" * 1_900).model_copy(update={"model": f"m{n}"}) for n in range(400))
    scene.publish(report(pull.head, *builds))
    (text,) = scene.comments
    assert len(text) <= 65_536
    assert "parts did not fit here: the whole run has everything" in text
    assert URL in text
    assert "#### Approvals" in text
    assert len(scene.check(GATES)["output"]["summary"]) <= 65_535
    for rows in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows.splitlines()}) == 1


# --- annotations


def problems(count: int) -> tuple[ProblemReport, ...]:
    return tuple(
        ProblemReport(
            level="failure", code="unknown-key", message=f"no key {n}", path="models/churn/model.yaml", line=n
        )
        for n in range(count)
    )


@pytest.mark.parametrize(("method", "fault"), [("GET", None), ("POST", "lost"), ("PATCH", "lost"), ("PATCH", "drop")])
def test_problems_stand_at_their_lines_once(scene: Scene, fault: str | None, method: str) -> None:
    """120 annotations are three requests, each there once, also when an answer was lost or a connection broke."""
    pull = scene.propose()
    scene.served.fault = lambda each, path, n: fault if (each, n) == (method, 0) and "/check-runs" in path else None
    scene.publish(report(pull.head, problems=problems(120)))
    (run,) = [run for run in scene.served.runs if run["name"] == GATES]
    told = run["output"]["annotations"]
    assert [one["message"] for one in told] == [f"no key {n}" for n in range(120)]
    assert {(one["path"], one["annotation_level"]) for one in told} == {("models/churn/model.yaml", "failure")}
    assert [one["start_line"] for one in told] == [max(n, 1) for n in range(120)]
    assert (run["status"], run["conclusion"]) == ("completed", "failure")


def test_a_run_that_was_killed_between_annotations_is_finished(scene: Scene) -> None:
    """What is there already is not written again; the run ends with what was missing."""
    pull = scene.propose()
    scene.served.fault = lambda method, path, n: (
        (500, {}, b"{}") if method == "PATCH" and "/check-runs" in path else None
    )
    scene.publish(report(pull.head, problems=problems(120)), code=4)
    assert scene.check(GATES)["status"] == "in_progress"
    scene.served.fault = lambda *_: None
    scene.publish(report(pull.head, problems=problems(120)))
    (run,) = [run for run in scene.served.runs if run["name"] == GATES]
    assert len(run["output"]["annotations"]) == 120
    assert run["conclusion"] == "failure"


# --- permissions, faults and limits


@pytest.mark.parametrize(("lacking", "named"), [("checks=write", "checks"), ("pull_requests=write", "pull_requests")])
def test_a_permission_that_is_missing_is_named(scene: Scene, lacking: str, named: str) -> None:
    """Exit 4 with the permission; what may be written is, and nothing pretends to be a status."""
    pull = scene.propose()
    scene.served.lacking = {lacking}
    done = scene.publish(report(pull.head), code=4)
    assert f"it needs {named}=write" in done.err
    assert "token-of-app" not in done.err
    assert (len(scene.comments), len(scene.served.runs)) == ((1, 0) if named == "checks" else (0, 2))
    assert scene.served.statuses == []


def test_an_api_that_goes_down_in_the_middle_loses_nothing(scene: Scene) -> None:
    """What was written before stands, and the same run again writes the rest, once."""
    pull = scene.propose()
    scene.served.fault = lambda method, path, n: (503, {}, b"") if path.endswith("/comments") else None
    assert scene.publish(report(pull.head), code=4).err
    assert len(scene.served.runs) == 2
    scene.served.fault = lambda *_: None
    scene.publish(report(pull.head))
    assert (len(scene.served.runs), len(scene.comments)) == (2, 1)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((401, {}, b'{"message": "Bad credentials"}'), "forge-unauthorized"),
        ((429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "{late}"}, b"{}"), "forge-limited"),
        ((404, {}, b'{"message": "Not Found"}'), "forge-absent"),
    ],
)
def test_a_token_that_expired_or_is_limited_is_told(scene: Scene, reply: Any, said: str) -> None:
    """Exit 4 with the reason at once: an hour is not waited for, and nothing is written by halves."""
    pull = scene.propose()
    late = str(int(time.time()) + 3600)
    status, headers, body = reply
    scene.served.fault = lambda *_: (status, {key: value.format(late=late) for key, value in headers.items()}, body)
    assert said in scene.publish(report(pull.head), code=4).err
    assert (scene.served.runs, scene.comments) == ([], [])


def test_a_fork_is_told_like_everybody(scene: Scene) -> None:
    """A head in another repository is found by its commit; that its branch is not here matters to nobody."""
    pull = scene.propose()
    git(scene.world.remote, "update-ref", "-d", "refs/heads/change")
    scene.served.pulls[1]["head"] |= {"repo": {"id": 7, "name": "fork"}, "label": "eve:change"}
    scene.publish(report(pull.head))
    assert scene.check(GATES, pull.head)["conclusion"] == "success"
    assert len(scene.comments) == 1
    # Of a fork that is gone GitHub answers null, whatever its description says.
    scene.served.pulls[1]["head"]["repo"] = None
    assert scene.run("approvals", "1").code == 0
    assert {one.rpartition(": ")[2] for one in scene.served.untrue} == {"None is not of type 'object'"}
    scene.served.untrue.clear()


def test_a_merge_queue_is_judged_at_its_own_commit(scene: Scene) -> None:
    """Both checks are written for the commit that the queue tries, on what it is tried on; nobody gets a comment."""
    pull = scene.propose()
    scene.bob.review(pull.number, "approved", head=pull.head)
    clone = scene.ada.repository
    base = clone.tip("main")
    moved = clone.commit_files(base, {"models/other/x.txt": b"1"}, "Other", ADA, NOON)
    clone.push_branch("main", moved, expected=base)
    tried = clone.merge_commits(moved, pull.head, "Merge", clone.user(), NOON)
    git(clone.root, "push", "-q", "origin", f"{tried}:refs/heads/gh-readonly-queue/main/pr-1-{moved}")
    done = json.loads(scene.publish(report(tried)).out)
    assert [(one["pullRequest"], one["queued"], one["approvals"]) for one in done] == [(1, True, "success")]
    assert scene.check(GATES, tried)["conclusion"] == "success"
    assert scene.check(APPROVED, tried)["conclusion"] == "success"
    assert scene.comments == []
    git(scene.world.remote, "update-ref", "-d", f"refs/heads/gh-readonly-queue/main/pr-1-{moved}")
    scene.publish(report(tried), code=1)


def test_a_queue_that_tries_something_else_is_not_approved(scene: Scene) -> None:
    """The commit of a queue holds more than the pull request and what it is tried on."""
    pull = scene.propose()
    scene.bob.review(pull.number, "approved", head=pull.head)
    clone = scene.ada.repository
    base = clone.tip("main")
    tried = clone.commit_files(pull.head, {"models/churn/more.txt": b"x"}, "More", ADA, NOON)
    git(clone.root, "push", "-q", "origin", f"{tried}:refs/heads/gh-readonly-queue/main/pr-1-{base}")
    scene.publish(report(tried))
    assert scene.check(APPROVED, tried)["conclusion"] == "failure"


def test_two_pull_requests_of_one_commit_are_both_told(scene: Scene) -> None:
    """Each gets its comment; the check of the commit is that of the least approved, whichever is told last."""
    pull = scene.propose()
    scene.bob.review(pull.number, "approved", head=pull.head)
    git(scene.world.remote, "update-ref", "refs/heads/twin", pull.head)
    scene.ada.open(title="T", body="", source="twin")
    scene.publish(report(pull.head))
    assert sorted(one["issue"] for one in scene.served.comments) == [1, 2]
    assert [run["name"] for run in scene.served.runs] == [GATES, APPROVED]
    assert scene.run("approvals", "1").code == 0
    assert scene.check(APPROVED)["status"] == "in_progress"
    scene.bob.review(2, "approved", head=pull.head)
    assert scene.run("approvals", "1").code == 0
    assert scene.check(APPROVED)["conclusion"] == "success"


def test_a_review_of_nobody_and_too_many_commits_are_no_approval(scene: Scene) -> None:
    """A deleted reviewer counts for nobody; of 251 commits one author is not known, so nobody is known to be other."""
    pull = scene.propose()
    scene.bob.review(pull.number, "approved", head=pull.head)
    scene.served.reviews[1][0]["user"] = None
    assert scene.run("approvals", "1").code == 0
    assert scene.check(APPROVED)["status"] == "in_progress"
    clone = scene.ada.repository
    head = pull.head
    for number in range(250):
        head = git(clone.root, "commit-tree", f"{head}^{{tree}}", "-p", head, "-m", f"c{number}")
    clone.push_branch("change", head, expected=pull.head)
    scene.bob.review(pull.number, "approved", head=head)
    scene.publish(report(head))
    assert scene.check(APPROVED, head)["status"] == "in_progress"
    assert "more than 250 commits" in scene.comments[0]


def test_three_hundred_files_are_all_judged(scene: Scene) -> None:
    """What is changed comes from git, whose lists have no end: the last file needs its approval, too."""
    files = {f"models/churn/many/{n:03}.txt": b"1" for n in range(300)} | {"policies/zz.txt": b"1"}
    pull = scene.propose(files=files)
    scene.bob.review(pull.number, "approved", head=pull.head)
    scene.publish(report(pull.head))
    run = scene.check(APPROVED)
    assert run["status"] == "in_progress"
    assert run["output"]["title"] == "policy: 1 approval missing"


def test_how_many_requests_a_pull_request_costs(scene: Scene) -> None:
    """A first report, a newer run of the same head, and a review: each costs a known number of requests."""
    pull = scene.propose()
    told = {}
    for name, action in (
        ("first", lambda: scene.publish(report(pull.head))),
        ("again", lambda: scene.publish(report(pull.head, build("failed", passed=False)))),
        ("review", lambda: scene.run("approvals", "1")),
    ):
        if name == "review":
            scene.bob.review(pull.number, "approved", head=pull.head)
        scene.served.seen.clear()
        action()
        told[name] = len(scene.served.seen)
    assert told == CALLS


def test_the_page_of_the_verbs_is_true() -> None:
    """Every option of the three verbs is on the page, no other is, and it says how many requests they cost."""
    text = PAGE.read_text(encoding="utf-8")
    for section in text.split("\n## `modelops pr ")[1:]:
        verb = pr.command.commands[section.split()[0].rstrip("`")]
        options = {name for one in verb.params if isinstance(one, click.Option) for name in one.opts}
        told = set(re.findall(r"--[a-z][a-z-]*", section.partition("Exit")[0]))
        # --no-build is told, and is the other half of --build.
        assert told - {"--no-build"} == options - {"--output", "-o", "--build"}
    numbers = f"{CALLS['first']} for the first report, {CALLS['again']} for a newer one, {CALLS['review']} for a review"
    assert numbers in " ".join(text.split())
