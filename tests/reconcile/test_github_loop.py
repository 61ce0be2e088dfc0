"""The whole loop with pull requests on GitHub: proposed, reviewed and merged there, released by the loop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from forges.forge_world import github_forge
from git_world import git
from github_git import good_settings
from github_world import REPOSITORY, FakeGitHub, github
from modelops.forges import PullRequest
from modelops.forges.github import session
from modelops.repository import Repository
from reconcile.loop_world import MODEL, World, begin

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

    def environ(self) -> dict[str, str]:
        return super().environ() | {"GH_TOKEN": "token-of-app"}

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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnGitHub]:
    """A model proposed, approved and merged on GitHub."""
    folder = tmp_path_factory.mktemp("github") / "world"
    folder.mkdir()
    (folder / "remote.git").mkdir()
    with github(folder / "remote.git") as served:
        made = OnGitHub(folder, served)
        begin(folder, made, PROJECT.format(repository=REPOSITORY, url=served.url))
        yield made
        made.stop()


def test_a_model_lives_from_proposal_to_production_on_github(world: OnGitHub) -> None:
    """Released for a review there, promoted by a pull request there, and who approved is in the signed record."""
    world.ok("release", "--yes")
    release = f"models/{MODEL}/releases/1/release.yaml"
    assert "version: 1" in world.show(release)
    world.reconcile("staging")
    assert world.deployment("staging")["stable"] == 1
    promoted = world.ok("promote", MODEL, "--to", "production", "--yes", "-o", "json").json
    pull = world.served.pulls[int(promoted["pullRequest"])]
    assert pull["user"]["login"] == "modelops[bot]"
    world.merge(pull["number"])
    world.reconcile("production")
    assert world.deployment("production")["stable"] == 1
    git(world.root, "pull", "-q", "--ff-only")
    said = world.ok("audit", "release", MODEL, "1", "-o", "json").json
    assert "grace" in json.dumps(said)
    status = world.ok("pr", "list", "--state", "all", "-o", "json").json
    assert {one["state"] for one in status} == {"merged"}


def test_a_token_that_has_expired_stops_nothing_for_good(world: OnGitHub) -> None:
    """A token that has expired is told with exit 4, and nothing is changed; afterwards it goes on."""
    text = world.show(f"models/{MODEL}/model.yaml").replace("C: 1.0", "C: 0.6") + "\n"
    world.merge(world.propose({f"models/{MODEL}/model.yaml": text}, "again", "Tune").number)
    tip = world.tip()
    world.served.fault = lambda *_: (401, {}, b'{"message": "Bad credentials"}')
    done = world.run("release", "--yes")
    assert (done.code, world.tip()) == (4, tip)
    assert "GH_TOKEN" in done.err
    assert "token-of-app" not in done.err
    world.served.fault = lambda *_: None
    world.ok("release", "--yes")
    assert world.show(f"models/{MODEL}/releases/2/release.yaml")


def test_what_nobody_approved_is_not_released(world: OnGitHub) -> None:
    """A merge on GitHub without the review that the policy asks for is told, with the pull request."""
    text = world.show(f"models/{MODEL}/model.yaml").replace("C: 0.6", "C: 0.7") + "\n"
    pull = world.propose({f"models/{MODEL}/model.yaml": text}, "alone", "Tune")
    world.merge(pull.number, approve=False)
    done = world.run("release", "--yes")
    assert done.code == 1
    assert "approv" in done.err
    assert f"#{pull.number}" in done.err + done.out


def test_the_doctor_examines_the_repository_too(world: OnGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a clone: settings of GitHub, store and runners, with what mends them; a token that sees less says so."""
    monkeypatch.setattr(session, "_PAUSES", (0.01,))
    world.served.settings = good_settings()
    flow = "jobs:\n  go:\n    runs-on: ubuntu-24.04\n    steps: [{run: modelops reconcile staging --yes}]\n"
    world.push({".github/workflows/loop.yml": flow, ".github/CODEOWNERS": "* @grace\n"}, "Add a workflow")
    done = world.run("doctor", "-o", "json")
    points = {one["name"]: one for one in done.json["repository"]}
    assert done.code == 1
    assert (points["store"]["state"], "oci-registry" in points["store"]["mend"]) == ("fails", True)
    assert (points["reviews"]["state"], points["job-token"]["state"]) == ("holds", "unseen")
    assert "cannot see" in points["job-token"]["said"]
    assert "[ephemeral-target]" in points["runner"]["said"]
    world.served.fault = lambda *_: (503, {}, b"")
    told = world.run("doctor")
    world.served.fault = lambda *_: None
    assert "CANNOT SEE     forge" in told.out
    assert "DOES NOT HOLD  runner: .github/workflows/loop.yml: go runs on ubuntu-24.04" in told.out
    assert "holds          codeowners-file: .github/CODEOWNERS" in told.out
    assert "token-of-app" not in told.out + told.err + done.out + done.err


def test_a_push_that_nobody_approved_does_not_say_whom_to_ask(world: OnGitHub) -> None:
    """Another forge in the Project of the tip is not believed: no request and no secret goes there."""
    with github(world.remote) as evil:
        world.push({"policies/project.yaml": PROJECT.format(repository=REPOSITORY, url=evil.url)}, "Ask elsewhere")
        listed = world.ok("pr", "list", "--state", "all", "-o", "json").json
        assert len(listed) == len(world.served.pulls)
        world.run("doctor")
        assert evil.seen == []
