"""The whole loop with pull requests on GitHub: proposed, reviewed and merged there, released by the loop."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from forges.forge_world import github_forge
from git_world import git
from github_git import Rules, good_settings, protect
from github_world import APPS, REPOSITORY, FakeGitHub, github
from modelops.errors import ModelOpsError
from modelops.forges import PullRequest
from modelops.forges.github import session
from modelops.governance.pulls import open_pull
from modelops.project.workspace import MACHINE
from modelops.repository import Repository
from reconcile.loop_world import MODEL, World, begin

CHECKS = ("modelops/gates", "modelops/approvals")
PROJECT = """apiVersion: modelops/v1
kind: Project
metadata:
  name: project
spec:
  signing: {{simulatedClock: true}}
  forge: {{type: github, params: {{repository: {repository}, apiUrl: "{url}"}}}}
"""


@dataclass
class OnGitHub(World):
    """A world whose people use GitHub, and whose verbs run with the token of an app, as in a job."""

    served: FakeGitHub

    token: str | None = field(default="token-of-app", kw_only=True)

    def environ(self) -> dict[str, str]:
        found = {name: value for name, value in super().environ().items() if not name.startswith(("GH_", "GITHUB_"))}
        return found | ({"GH_TOKEN": self.token} if self.token else {})

    def propose(self, files: Mapping[str, str | None], branch: str, title: str = "Change") -> PullRequest:
        self.push(files, title, branch)
        forge = github_forge(self.served, Repository.discover(self.root), "token-of-ada")
        return forge.open(title=title, body="", source=branch).pull

    def merge(self, number: int, *, approve: bool = True) -> PullRequest:
        forge = github_forge(self.served, Repository.discover(self.root), "token-of-grace")
        head = forge.get(number).head
        if approve:
            forge.review(number, "approved", head=head)
        return forge.merge(number, head=head)

    def tuned(self, value: str) -> dict[str, str | None]:
        """Return the model as it is on main with another strength of its regularization."""
        path = f"models/{MODEL}/model.yaml"
        return {path: re.sub(r"C: [0-9.]+", f"C: {value}", self.show(path)) + "\n"}


@contextmanager
def on_github(folder: Path) -> Iterator[OnGitHub]:
    """A model proposed, approved and merged on GitHub."""
    folder.mkdir()
    (folder / "remote.git").mkdir()
    with github(folder / "remote.git") as served:
        made = OnGitHub(folder, served)
        begin(folder, made, PROJECT.format(repository=REPOSITORY, url=served.url))
        yield made
        made.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnGitHub]:
    """A model that came to production by pull requests; tests propose and release more, and push nothing to main."""
    with on_github(tmp_path_factory.mktemp("github") / "world") as made:
        made.ok("release", "--yes")
        made.reconcile("staging")
        promoted = made.ok("promote", MODEL, "--to", "production", "--yes", "-o", "json").json
        made.merge(int(promoted["pullRequest"]))
        made.reconcile("production")
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OnGitHub]:
    """A world for a test that leaves main as nobody else could use it."""
    with on_github(tmp_path / "world") as made:
        yield made


def test_a_model_lives_from_proposal_to_production_on_github(world: OnGitHub) -> None:
    """Released for a review there, promoted by a pull request there, and who approved is in the signed record."""
    assert "version: 1" in world.show(f"models/{MODEL}/releases/1/release.yaml")
    assert (world.deployment("staging")["stable"], world.deployment("production")["stable"]) == (1, 1)
    (promotion,) = [one for one in world.served.pulls.values() if one["user"]["login"] == "modelops[bot]"]
    assert promotion["merged"]
    git(world.root, "pull", "-q", "--ff-only")
    said = world.ok("audit", "release", MODEL, "1", "-o", "json").json
    assert "grace" in json.dumps(said)
    listed = {one["number"]: one["state"] for one in world.ok("pr", "list", "--state", "all", "-o", "json").json}
    assert listed[promotion["number"]] == "merged"


def test_what_the_loop_asks_for_can_be_approved(world: OnGitHub) -> None:
    """It is written by the account that opens it: a commit of nobody's account could be of whoever approves it."""
    workspace = world.workspace()
    repository, person = workspace.repository, workspace.machine
    commit = repository.commit_files(
        repository.tip("main"), {"README.md": b"Asked.\n"}, "Ask", person, workspace.clock()
    )
    asked = open_pull(workspace, "modelops/asked", commit, "Ask", "", "asked", MACHINE.name, lambda head: False)
    try:
        involved = workspace.forge.involved(asked.pull, repository.tip("main"))
        assert {one.login for one in involved} == {"modelops[bot]"}
        assert all(one.id for one in involved)
    finally:
        workspace.forge.close(asked.pull.number)


def approval_of(path: str, world: OnGitHub) -> dict[str, Any]:
    """Return the approval among the signed statements of a file on main."""
    for line in world.show(path).splitlines():
        said = json.loads(base64.b64decode(json.loads(line)["payload"]))
        if said["predicateType"].endswith("/approval/v1"):
            predicate: dict[str, Any] = said["predicate"]
            return predicate
    raise AssertionError(path)


def test_approvals_are_signed_with_the_digests_of_what_github_answered(world: OnGitHub) -> None:
    """People by the number of their account, and each answer about pull request, reviews, commits and pushes."""
    files = {
        1: f"models/{MODEL}/releases/1/evidence.intoto.jsonl",
        2: f"models/{MODEL}/promotions/production-1.intoto.jsonl",
    }
    for number, path in files.items():
        said = approval_of(path, world)
        assert [(one["login"], one["id"]) for one in said["approvals"]] == [("grace", "13")]
        calls = {call.partition("?")[0].removeprefix(f"GET /repos/{REPOSITORY}") for call in said["heard"]}
        pull = f"/pulls/{number}"
        assert calls == {pull, f"{pull}/reviews", f"{pull}/commits", "/activity"}
        assert set(said["heard"].values()) <= world.served.sent


def test_whoever_asks_later_asks_no_forge(world: OnGitHub) -> None:
    """In a fresh clone, with GitHub out of reach: who approved what, from signed statements alone."""
    later = world.clone("later")
    world.served.seen.clear()
    world.served.fault = lambda *_: "drop"
    try:
        said = world.run("audit", "release", MODEL, "1", "-o", "json", root=later)
        branch = world.run("audit", "branch", root=later)
    finally:
        world.served.fault = lambda *_: None
    assert (said.code, branch.code) == (0, 0), said.err + branch.err
    assert said.json["trust"]["status"] == "verified"
    assert [(one["login"], one["id"]) for one in said.json["approval"]["approvals"]] == [("grace", "13")]
    by = {one["environment"]: [each["id"] for each in one["approvals"]] for one in said.json["promotions"]}
    assert by == {"production": ["13"], "staging": []}
    assert {one["trust"]["status"] for one in said.json["promotions"]} == {"verified"}
    assert world.served.seen == []


@pytest.mark.slow
def test_a_token_that_has_expired_stops_nothing_for_good(world: OnGitHub) -> None:
    """A token that has expired is told with exit 4, and nothing is changed; afterwards it goes on."""
    world.merge(world.propose(world.tuned("0.6"), "again", "Tune").number)
    tip = world.tip()
    world.served.fault = lambda *_: (401, {}, b'{"message": "Bad credentials"}')
    done = world.run("release", "--yes")
    assert (done.code, world.tip()) == (4, tip)
    assert "GH_TOKEN" in done.err
    assert "token-of-app" not in done.err
    world.served.fault = lambda *_: None
    world.ok("release", "--yes")
    assert world.show(f"models/{MODEL}/releases/2/release.yaml")


def measured(world: OnGitHub, head: str, *words: str, code: int) -> dict[str, Any]:
    """Run the first half on a commit as a job without any token does, and return its report."""
    folder = world.clone(f"job-{head[:8]}-{len(words)}")
    git(folder, "checkout", "-q", head)
    world.token = None
    try:
        done = world.run("pr", "report", "--since", "origin/main", "--out", "report.json", *words, root=folder)
    finally:
        world.token = "token-of-app"
    assert done.code == code, done.err
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def test_a_pull_request_is_told_what_its_model_is_worth(world: OnGitHub) -> None:
    """The first half builds and judges with no token, the second publishes it: numbers beside stable, plan, gates."""
    pull = world.propose(world.tuned("0.9"), "measured", "Tune")
    world.served.seen.clear()
    found = measured(world, pull.head, "--summary", "summary.md", code=0)
    assert world.served.seen == []
    (build,) = found["builds"]
    assert (build["model"], build["outcome"], build["stable"]) == (MODEL, "passed", 1)
    assert len(build["metrics"][0]["stable"]) == 3
    assert [one["gate"] for one in build["verdicts"]] == ["ranks"]
    assert any("release churn" in one["text"] for one in found["plan"])
    assert found["rules"] == [{"change": "model", "minimum": 1, "approvers": ["ada", "grace"]}]
    assert "### ✅ passed: churn" in (world.folder / f"job-{pull.head[:8]}-2" / "summary.md").read_text()
    report = world.folder / f"job-{pull.head[:8]}-2" / "report.json"
    world.ok("pr", "publish", str(report), "--match-head-commit", pull.head)
    (comment,) = [one["body"] for one in world.served.comments if one["issue"] == pull.number]
    assert "| `easy/ranks` | ✅ pass |" in comment
    assert "ask grace" in comment
    unbuilt = measured(world, pull.head, "--no-build", code=0)
    assert (unbuilt["unmeasured"], unbuilt.get("builds")) == ([MODEL], None)


def test_what_is_wrong_is_reported_with_its_line(world: OnGitHub) -> None:
    """A file that is wrong, a build that fails and a project that cannot be opened leave a report, too."""
    text = world.show(f"models/{MODEL}/model.yaml")
    wrong = world.propose({f"models/{MODEL}/model.yaml": text.replace("seed: 1", "sede: 1")}, "wrong", "Break")
    (problem, *_) = measured(world, wrong.head, code=3)["problems"]
    line = 1 + text[: text.index("seed: 1")].count("\n")
    assert (problem["level"], problem["path"], problem["line"]) == ("failure", f"models/{MODEL}/model.yaml", line)
    failing = {f"models/{MODEL}/train.py": world.show(f"models/{MODEL}/train.py") + "\nraise ValueError('no')\n"}
    found = measured(world, world.propose(failing, "failing", "Break").head, code=3)
    assert found["unmeasured"] == [MODEL]
    assert any("no" in one["message"] for one in found["problems"])
    project = {"policies/project.yaml": "kind: Project\n"}
    found = measured(world, world.propose(project, "project", "Break").head, code=3)
    assert {one["path"] for one in found["problems"]} == {"policies/project.yaml"}


def test_what_nobody_approved_is_not_released(own: OnGitHub) -> None:
    """A merge on GitHub without the review that the policy asks for is told, with the pull request."""
    pull = own.propose(own.tuned("0.7"), "alone", "Tune")
    own.merge(pull.number, approve=False)
    done = own.run("release", "--yes")
    assert done.code == 1
    assert "approv" in done.err
    assert f"#{pull.number}" in done.err + done.out


def test_a_forged_green_check_releases_nothing(own: OnGitHub) -> None:
    """Checks that count from the App alone hold GitHub's button; forged ones that let it by release nothing at all.

    A workflow of the pushed branch writes both required checks with the token of its job. Nobody reviews.
    """
    pull = own.propose(own.tuned("0.7"), "forged", "Tune")
    there = Repository.discover(own.root)
    grace, job = (github_forge(own.served, there, token) for token in ("token-of-grace", "ghs_of_job"))
    for name in CHECKS:
        job.check(pull.number, name, "success")
    protect(own.served, Rules(0, CHECKS, writer=APPS["modelops[bot]"]))
    with pytest.raises(ModelOpsError) as caught:
        grace.merge(pull.number, head=pull.head)
    assert caught.value.first.code == "merge-refused"
    assert 'check "modelops/gates" is expected' in str(caught.value)
    protect(own.served, Rules(0, CHECKS, writer=APPS["github-actions[bot]"]))
    for name in CHECKS:
        github_forge(own.served, there, "token-of-app").check(pull.number, name, "success")
    assert grace.merge(pull.number, head=pull.head).state == "merged"
    own.served.seen.clear()
    done = own.run("release", "--yes")
    assert (done.code, f"#{pull.number}" in done.err + done.out) == (1, True)
    assert not any("check-runs" in path or "/status" in path for _, path in own.served.seen)
    assert "/releases/" not in git(own.remote, "ls-tree", "-r", "--name-only", "main")


def test_the_doctor_examines_the_repository_too(own: OnGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a clone: settings of GitHub, store and runners, with what mends them; a token that sees less says so."""
    monkeypatch.setattr(session, "_PAUSES", (0.01,))
    own.served.settings = good_settings()
    flow = "jobs:\n  go:\n    runs-on: ubuntu-24.04\n    steps: [{run: modelops reconcile staging --yes}]\n"
    own.push({".github/workflows/loop.yml": flow, ".github/CODEOWNERS": "* @grace\n"}, "Add a workflow")
    done = own.run("doctor", "-o", "json")
    points = {one["name"]: one for one in done.json["repository"]}
    assert done.code == 1
    assert (points["store"]["state"], "oci-registry" in points["store"]["mend"]) == ("fails", True)
    assert (points["reviews"]["state"], points["job-token"]["state"]) == ("holds", "unseen")
    assert "cannot see" in points["job-token"]["said"]
    assert "[ephemeral-target]" in points["runner"]["said"]
    own.served.admins = frozenset({"modelops[bot]"})
    own.served.settings["/rulesets/5"]["bypass_actors"] = []
    points = {one["name"]: one for one in own.run("doctor", "-o", "json").json["repository"]}
    assert ".github/workflows/loop.yml: go has no `checks: write" in points["job-permissions"]["said"]
    assert points["commits"]["state"] == "fails"
    own.served.fault = lambda *_: (503, {}, b"")
    told = own.run("doctor")
    own.served.fault = lambda *_: None
    assert "CANNOT SEE     forge" in told.out
    assert "DOES NOT HOLD  runner: .github/workflows/loop.yml: go runs on ubuntu-24.04" in told.out
    assert "holds          codeowners-file: .github/CODEOWNERS" in told.out
    assert "token-of-app" not in told.out + told.err + done.out + done.err


def test_a_push_that_nobody_approved_does_not_say_whom_to_ask(own: OnGitHub) -> None:
    """Another forge in the Project of the tip is not believed: no request and no secret goes there."""
    with github(own.remote) as evil:
        own.push({"policies/project.yaml": PROJECT.format(repository=REPOSITORY, url=evil.url)}, "Ask elsewhere")
        listed = own.ok("pr", "list", "--state", "all", "-o", "json").json
        assert len(listed) == len(own.served.pulls)
        own.run("doctor")
        assert evil.seen == []
