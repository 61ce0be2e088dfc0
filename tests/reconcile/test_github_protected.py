"""The whole loop where GitHub protects main: as the App that may write there, and by pull requests of facts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from forges.forge_world import github_forge
from git_world import ADA, NOON, git
from github_git import Rules, protect
from github_world import APPS, REPOSITORY, github
from modelops.errors import ModelOpsError
from modelops.forges import PullRequest
from modelops.governance.judged import course_of
from modelops.governance.judging.line import judge_steps
from modelops.governance.landing import land
from modelops.repository import Landing, Repository
from reconcile.loop_world import MODEL, START, Answer, begin
from reconcile.test_github_loop import PROJECT, OnGitHub

CHECKS = ("modelops/gates", "modelops/approvals")
WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
JOBS = {"release": "release", "reconcile": "staging", "promote": "promote", "pr": "publish"}
"""Which job of which workflow runs a verb."""


def _permissions(verb: str) -> dict[str, str]:
    """Return what the token may do of the job that runs a verb."""
    workflow = yaml.safe_load((WORKFLOWS / f"{'publish' if verb == 'pr' else verb}.yml").read_text(encoding="utf-8"))
    return {key.replace("-", "_"): level for key, level in workflow["jobs"][JOBS[verb]]["permissions"].items()}


@dataclass
class Protected(OnGitHub):
    """A world whose main takes reviewed pull requests with passed checks, and nothing else from most."""

    given: dict[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in super().environ().items() if name != "GH_TOKEN"}
        return kept | self.given

    def run(self, *words: str, root: Path | None = None) -> Answer:
        persons = words[0] not in JOBS or words[:2] in (("pr", "view"), ("pr", "merge"))
        self.served.job = None if persons else _permissions(words[0])
        return super().run(*words, root=root)

    def told(self, head: str) -> dict[str, str]:
        """Return what the checks of a commit conclude that the loop or its second half wrote."""
        return {one["name"]: one["conclusion"] for one in self.served.runs if one["head_sha"] == head}

    def merge(self, number: int, *, approve: bool = True) -> PullRequest:
        """Review it, let the second half judge that, and merge it; what is to be measured is measured elsewhere."""
        if self.served.rules is None:
            return super().merge(number, approve=approve)
        forge = github_forge(self.served, Repository.discover(self.root), "token-of-grace")
        head = forge.get(number).head
        forge.review(number, "approved", head=head)
        if number not in {pull["number"] for pull in self.facts()}:
            github_forge(self.served, Repository.discover(self.root), "token-of-app").check(
                number, CHECKS[0], "success"
            )
        self.ok("pr", "approvals", "--match-head-commit", head)
        return forge.merge(number, head=head)

    def land(self, head: str) -> ModelOpsError:
        """Ask as `release` does for what it asked for by a commit, without building it again; return what that says."""
        workspace = self.workspace()
        repository = workspace.repository
        files = {path: repository.read(head, path) for path in repository.changed_paths(f"{head}^", head)}
        landing = Landing(files, git(self.remote, "log", "-1", "--format=%B", head))
        self.served.job = _permissions("release")
        with pytest.raises(ModelOpsError) as caught:
            land(workspace, lambda tip: landing, "release")
        return caught.value

    def facts(self) -> list[dict[str, Any]]:
        """Return the open pull requests of facts."""
        return [
            pull
            for pull in self.served.pulls.values()
            if pull["state"] == "open" and pull["head"]["ref"].startswith("modelops/facts-")
        ]

    def settle(self, environment: str) -> None:
        """Reconcile, and merge what is asked for, until nothing more is."""
        for _ in range(6):
            self.reconcile(environment)
            asked = self.facts()
            if not asked:
                return
            for pull in asked:
                self.merge(pull["number"])
        raise AssertionError("it never came to rest")


@contextmanager
def _protected(folder: Path, *, app: bool) -> Iterator[Protected]:
    """A model that was proposed and merged before main was protected."""
    (folder / "remote.git").mkdir(parents=True)
    with github(folder / "remote.git") as served:
        given = {"MODELOPS_APP_ID": "4711", "MODELOPS_APP_PRIVATE_KEY": served.app.pem} if app else {}
        made = Protected(folder, served, given or {"GITHUB_TOKEN": "ghs_of_job"})
        served.clock = lambda: (folder / "clock").read_text(encoding="utf-8")
        begin(folder, made, PROJECT.format(repository=REPOSITORY, url=served.url))
        protect(served, Rules(1, CHECKS, frozenset({"modelops[bot]"}), writer=APPS["modelops[bot]"] if app else None))
        yield made
        made.stop()


@pytest.fixture(params=["app", "facts"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Protected]:
    with _protected(tmp_path / "world", app=request.param == "app") as made:
        yield made


@pytest.fixture
def facts(tmp_path: Path) -> Iterator[Protected]:
    with _protected(tmp_path / "world", app=False) as made:
        yield made


def _leave_what_others_pushed(world: Protected, pull: dict[str, Any]) -> dict[str, Any]:
    """What others push to its branch is left, and never told to merge; one that is closed like that refuses nothing."""
    branch, head = pull["head"]["ref"], world.tip(pull["head"]["ref"])
    release = f"models/{MODEL}/releases/1/release.yaml"
    files = {
        path: world.show(path, branch) + "\n"
        for path in git(world.remote, "diff", "--name-only", f"{head}^", head).split()
    }
    git(world.remote, "update-ref", f"refs/heads/{branch}", world.tip())
    forged = world.push(files | {release: files[release] + "# mine\n"}, "Squat", branch)
    said = world.land(head).first.message
    (other,) = (one for one in world.facts() if one["number"] != pull["number"] or one["head"]["ref"] != branch)
    assert (f"{branch} holds what the loop did not sign" in said, f"#{other['number']} brings" in said) == (True, True)
    assert world.tip(branch) == forged
    assert (pull["state"], world.told(forged).get(CHECKS[1])) == ("closed", "failure")
    pull["closed_by"] = {"id": 13, "login": "grace", "type": "User"}
    git(world.remote, "update-ref", "-d", f"refs/heads/{branch}")
    github_forge(world.served, Repository.discover(world.root), "token-of-app").close(other["number"])
    assert world.land(head).first.code == "facts-proposed"
    (again,) = world.facts()
    assert again["head"]["ref"] == branch
    return again


def _revoke_what_is_old(world: Protected, pull: dict[str, Any]) -> None:
    """It is signed anew in time; merging the old commit by another one is refused, and days later in vain."""
    old = world.tip(pull["head"]["ref"])
    world.at("2026-03-03T12:00:00Z")
    world.ok("release", "--yes")
    head = world.tip(pull["head"]["ref"])
    assert (head != old, world.told(head)) == (True, dict.fromkeys(CHECKS, "success"))
    git(world.remote, "branch", "old", old)
    ada = github_forge(world.served, Repository.discover(world.root), "token-of-ada")
    number = ada.open(title="Bring it back", body="", source="old").pull.number
    said = world.ok("pr", "approvals", str(number)).out
    assert "something else since" in said
    assert world.told(old)[CHECKS[1]] == "failure"
    refused = world.run("pr", "merge", str(number))
    assert (refused.code, f"#{pull['number']}" in refused.err) == (1, True)
    ada.close(number)
    workspace = world.workspace()
    workspace.fetch()
    tip = workspace.tip()
    for instant, counts in (("2026-03-04T11:00:00Z", True), ("2026-03-04T13:00:00Z", False)):
        world.at(instant)
        made = workspace.repository.merge_commits(tip, old, "Merge", ADA, world.workspace().clock())
        course = course_of(world.workspace(), tip).copy()
        judge_steps(world.workspace(), course, workspace.repository.steps(made, tip))
        assert (course.open == []) is counts, instant
        assert counts or "signed more than 3 days before" in course.open[0].reason
    world.at(START)


def _hold_to_what_was_signed(world: Protected, head: str) -> None:
    """A merge of a fact counts if it makes what was signed of what was found, and in no other case."""
    workspace = world.workspace()
    workspace.fetch()
    repository, tip = workspace.repository, workspace.tip()
    release = f"models/{MODEL}/releases/1/release.yaml"

    def judged(commit: str, base: str = tip) -> list[str]:
        course = course_of(workspace, base).copy()
        judge_steps(workspace, course, repository.steps(commit, base))
        return [one.code for one in course.open]

    def merge(files: Mapping[str, bytes | None], base: str = tip, second: str = head) -> str:
        """Make a merge by hand, with more in it than what is merged."""
        made = repository.merge_commits(base, second, "Merge", ADA, workspace.clock())
        if not files:
            return made
        tree = git(world.root, "rev-parse", f"{repository.commit_files(made, files, 'More', ADA, NOON)}^{{tree}}")
        return git(world.root, "commit-tree", tree, "-p", base, "-p", second, "-m", "Merge")

    assert judged(merge({})) == []
    squashed = git(world.root, "commit-tree", f"{head}^{{tree}}", "-p", tip, "-m", "Squash")
    assert judged(squashed) == []
    text = repository.read(head, release)
    for more in ({"README.md": b"more\n"}, {release: text + b"# more\n"}, {release: None}, {"models/x/y.py": b"1\n"}):
        assert judged(merge(more)), more
    unsigned = repository.commit_files(
        tip, {path: repository.read(head, path) for path in repository.changed_paths(tip, head)}
        | {f"models/{MODEL}/environments/production.yaml": b"x: 1\n"}, "Not the loop's", ADA, NOON,
    )  # fmt: skip
    assert judged(merge({}, second=unsigned))
    merged = merge({})
    again = git(world.root, "commit-tree", f"{tip}^{{tree}}", "-p", merged, "-m", "Take it back by hand")
    twice = git(world.root, "commit-tree", f"{merged}^{{tree}}", "-p", again, "-p", head, "-m", "Merge it again")
    assert len(judged(twice, merged)) == 2


def _respect_who_closes(world: Protected, pull: dict[str, Any]) -> None:
    """A person who closes it is asked to open it again, and no other one is opened."""
    github_forge(world.served, Repository.discover(world.root), "token-of-grace").close(pull["number"])
    refused = world.land(world.tip(pull["head"]["ref"]))
    assert (refused.exit, refused.first.code) == (1, "facts-closed")
    assert f"gh pr reopen {pull['number']}" in str(refused.first.hint)
    assert world.facts() == []
    pull |= {"state": "open", "closed_by": None}


def test_what_the_loop_decides_comes_by_pull_requests_that_need_nobody_else(facts: Protected) -> None:
    """With the tokens of the jobs alone: signed and checked by the loop, merged by a person; nothing else counts."""
    told = facts.ok("release", "--yes")
    (pull,) = facts.facts()
    head = facts.tip(pull["head"]["ref"])
    assert f"#{pull['number']}" in told.out
    assert facts.told(head) == dict.fromkeys(CHECKS, "success")
    facts.land(head)
    assert (facts.facts(), facts.tip(pull["head"]["ref"])) == ([pull], head)
    _hold_to_what_was_signed(facts, head)
    _respect_who_closes(facts, pull)
    facts.served.runs.clear()
    said = facts.ok("pr", "publish", "--match-head-commit", head).out
    assert (said.count("success"), facts.told(head)) == (2, dict.fromkeys(CHECKS, "success"))
    assert "approvals: enough" in facts.ok("pr", "view", str(pull["number"])).out
    pull = _leave_what_others_pushed(facts, pull)
    _revoke_what_is_old(facts, pull)
    facts.merge(pull["number"])
    seen = facts.ok("pr", "view", str(pull["number"])).out
    assert "approvals: enough\n  the loop signed it, and it counts by that: nobody has to approve it" in seen
    assert "version: 1" in facts.show(f"models/{MODEL}/releases/1/release.yaml")
    facts.ok("audit", "branch")


@pytest.mark.slow
def test_a_model_lives_where_main_is_protected(world: Protected) -> None:
    """Released, proven in staging, promoted and proven in production; every commit of main counts."""
    by_app = "MODELOPS_APP_ID" in world.given
    told = world.ok("release", "--yes")
    assert bool(world.facts()) is not by_app
    if not by_app:
        (pull,) = world.facts()
        assert f"#{pull['number']}" in told.out
        world.merge(pull["number"])
    assert "version: 1" in world.show(f"models/{MODEL}/releases/1/release.yaml")
    world.settle("staging")
    assert world.deployment("staging")["stable"] == 1
    promoted = world.ok("promote", MODEL, "--to", "production", "--yes", "-o", "json").json
    world.merge(int(promoted["pullRequest"]))
    world.settle("production")
    assert world.deployment("production")["stable"] == 1

    tip = world.workspace()
    tip.fetch()
    course = course_of(tip, tip.tip())
    assert course.open == []
    authors = git(world.remote, "log", "--first-parent", "--format=%an", "main").splitlines()
    assert ("modelops[bot]" in authors) is by_app
    world.ok("audit", "branch")
    git(world.root, "pull", "-q", "--ff-only")
    said = world.ok("audit", "release", MODEL, "1", "-o", "json").json
    assert "grace" in json.dumps(said)
    assert world.reconcile("production")["done"] == []

    shown = {one["environment"]: world.served.deployment_statuses[one["id"]] for one in world.served.deployments}
    said = [[status["state"] for status in shown[name]][-1] for name in ("staging", "production")]
    assert (len(world.served.deployments), said) == (2, ["success", "success"])
    world.served.seen.clear()
    world.served.fault = lambda method, path, number: (403, {}, b'{"message": "no"}') if "deployments" in path else None
    (world.runtime() / "deployments.json").unlink()
    told = world.run("reconcile", "production", "--yes")
    assert (told.code, "deployments are not shown" in told.err) == (0, True)
