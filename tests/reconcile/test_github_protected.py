"""The whole loop where GitHub protects main: as the App that may write there, and by pull requests of facts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from forges.forge_world import github_forge
from git_world import ADA, NOON, git
from github_git import Rules, protect
from github_world import REPOSITORY, github
from modelops.forges import PullRequest
from modelops.governance.judged import course_of
from modelops.governance.judging.line import judge_steps
from modelops.repository import Repository
from reconcile.loop_world import MODEL, begin
from reconcile.test_github_loop import PROJECT, OnGitHub

CHECKS = ("modelops/gates", "modelops/approvals")


@dataclass
class Protected(OnGitHub):
    """A world whose main takes reviewed pull requests with passed checks, and nothing else from most."""

    given: dict[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in super().environ().items() if name != "GH_TOKEN"}
        return kept | self.given

    def merge(self, number: int, *, approve: bool = True) -> PullRequest:
        app = github_forge(self.served, Repository.discover(self.root), "token-of-app")
        for name in CHECKS:
            app.check(number, name, "success")
        return super().merge(number, approve=approve)

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


@pytest.fixture(params=["app", "facts"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    """A model that was proposed and merged before main was protected."""
    folder = tmp_path_factory.mktemp("protected") / "world"
    (folder / "remote.git").mkdir(parents=True)
    with github(folder / "remote.git") as served:
        app = request.param == "app"
        given = {"MODELOPS_APP_ID": "4711", "MODELOPS_APP_PRIVATE_KEY": served.app.pem} if app else {}
        made = Protected(folder, served, given or {"GITHUB_TOKEN": "ghs_of_job"})
        begin(folder, made, PROJECT.format(repository=REPOSITORY, url=served.url))
        protect(served, Rules(1, CHECKS, frozenset({"modelops[bot]"})))
        yield made
        made.stop()


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
    done = world.run("release", "--yes")
    assert (done.code, "facts-closed" in done.err, f"gh pr reopen {pull['number']}" in done.err) == (1, True, True)
    assert world.facts() == []
    pull |= {"state": "open", "closed_by": None}


def test_a_model_lives_where_main_is_protected(world: Protected) -> None:
    """Released, proven in staging, promoted and proven in production; every commit of main counts."""
    by_app = "MODELOPS_APP_ID" in world.given
    told = world.ok("release", "--yes")
    assert bool(world.facts()) is not by_app
    if not by_app:
        (pull,) = world.facts()
        assert f"#{pull['number']}" in told.out
        head = world.tip(pull["head"]["ref"])
        world.ok("release", "--yes")
        assert world.facts() == [pull]
        assert world.tip(pull["head"]["ref"]) == head
        _hold_to_what_was_signed(world, head)
        _respect_who_closes(world, pull)
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
