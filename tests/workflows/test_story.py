"""The story of a team on GitHub: what `init --github` wrote runs, step by step, from a proposal to production."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from actions_world import Actions, Event, Run, needs_engine
from git_world import git, nobodys_configuration
from github_git import Rules, protect
from github_world import REPOSITORY, FakeGitHub, github
from modelops.clock import format_instant
from registry_world import needs_registry, registry

pytestmark = [pytest.mark.slow, needs_engine, needs_registry]

ADDRESS = f"https://github.com/{REPOSITORY}.git"


def clean() -> dict[str, str]:
    """Return this process's environment without what another machine would not have."""
    left = ("MODELOPS", "GITHUB", "GH_", "RUNNER_", "PYTHON", "CI")
    return {name: value for name, value in os.environ.items() if not name.startswith(left)}


@dataclass
class Team:
    """Ada, who proposes, and Grace, who reviews; GitHub, its runners and its registry."""

    folder: Path
    hub: FakeGitHub
    store: str
    work: Path = field(init=False)
    actions: Actions = field(init=False)
    delivered: set[str] = field(default_factory=set)
    environment: str = ""

    def __post_init__(self) -> None:
        self.work = self.folder / "ada"
        tokens = {"GITHUB_API_URL": self.hub.url, "GITHUB_SERVER_URL": "https://github.com"}
        self.actions = Actions(
            folder=self.folder / "runners",
            remote=self.hub.remote,
            repository=REPOSITORY,
            environ=clean() | tokens | {"PIP_NO_INDEX": "1"},
            token="ghs_of_job",
        )
        (self.folder / "runners").mkdir()
        self.hub.clock = lambda: format_instant(datetime.now(UTC))

    # --- what a person types and clicks

    def modelops(self, *arguments: str, ok: tuple[int, ...] = (0,), work: Path | None = None) -> str:
        path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
        paths = {"PATH": path, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "GH_TOKEN": "token-of-ada"}
        done = subprocess.run(
            [sys.executable, "-m", "modelops", *arguments],
            cwd=work or self.work,
            env=clean() | paths | {"GITHUB_API_URL": self.hub.url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in ok, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def call(self, method: str, path: str, who: str, **body: Any) -> Any:
        import httpx

        answer = httpx.request(
            method,
            f"{self.hub.url}/repos/{REPOSITORY}{path}",
            headers={"Authorization": f"Bearer token-of-{who}"},
            json=body,
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    def set_up(self) -> None:
        """Type what the page says, in a clone of the empty repository; one address is another, as it is here."""
        git(self.folder, "clone", "-q", ADDRESS, "ada")
        for key, value in (("name", "Ada"), ("email", "ada@example.com")):
            git(self.work, "config", f"user.{key}", value)
        (self.folder / "APP.private-key.pem").write_text(self.hub.app.pem)
        (self.folder / "bin").mkdir()
        (self.folder / "bin/gh").symlink_to(Path(__file__).parent / "gh.py")
        for command in commands_of_the_page():
            if command.startswith("modelops init --model"):
                table(self.work / "data/customers.csv")
            self.type(command)
            if command.startswith("modelops init --github"):
                project = self.work / "policies/project.yaml"
                project.write_text(project.read_text().replace("ghcr.io", self.store))
        secrets = self.actions.secrets["release"]
        assert set(secrets) == {"MODELOPS_SIGNING_KEY", "MODELOPS_APP_PRIVATE_KEY"}
        assert self.actions.variables == {"MODELOPS_APP_ID": "4711", "MODELOPS_RUNNER": "self-hosted"}
        assert self.hub.rules is not None

    def type(self, command: str) -> None:
        """Type one line into a shell, and let GitHub do what its command line was asked for."""
        asked = self.folder / "asked"
        asked.write_text("")
        path = os.pathsep.join([str(self.folder / "bin"), sysconfig.get_path("scripts"), os.environ["PATH"]])
        words = {"PATH": path, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "GH_ASKED": str(asked)}
        words |= {"GH_TOKEN": "token-of-ada", "GITHUB_API_URL": self.hub.url}
        line = ["bash", "-eo", "pipefail", "-c", command.replace("12345", "4711")]
        done = subprocess.run(line, cwd=self.work, env=clean() | words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        for each in asked.read_text().splitlines():
            self.heed(**json.loads(each))

    def heed(self, words: list[str], input: str) -> None:
        match words:
            case ["secret", "set", name, "--repo", "acme/models", "--env", "release"]:
                self.actions.secrets.setdefault("release", {})[name] = input
            case ["variable", "set", name, "--repo", "acme/models", "--body", value]:
                self.actions.variables[name] = value
            case ["api", "--method", "POST", "repos/acme/models/rulesets", "--input", "-"]:
                protect(self.hub, rules_of(json.loads(input)))
            case ["api", "--method", "PUT", "repos/acme/models/environments/release", *_]:
                self.environment = "release"
            case ["api", "--method", "POST", path, "-f", "name=main"] if path.endswith("/deployment-branch-policies"):
                assert self.environment == "release"
            case ["pr", "create", "--fill"]:
                branch = git(self.work, "branch", "--show-current")
                title = git(self.work, "log", "-1", "--format=%s")
                self.call("POST", "/pulls", "ada", title=title, body="", head=branch, base="main")
                self.deliver()
            case _:
                raise AssertionError(f"gh {words} is not known here")

    def propose(self, branch: str, title: str) -> int:
        """Commit what lies in the work tree on a branch, push it, and open its pull request."""
        git(self.work, "switch", "-q", "--create", branch)
        git(self.work, "add", "--all")
        git(self.work, "commit", "-q", "--message", title)
        git(self.work, "push", "-q", "--set-upstream", "origin", branch)
        number = self.call("POST", "/pulls", "ada", title=title, body="", head=branch, base="main")["number"]
        self.deliver()
        return int(number)

    def approve(self, number: int, who: str = "grace") -> None:
        head = self.hub.pulls[number]["head"]["sha"]
        review = self.call("POST", f"/pulls/{number}/reviews", who, commit_id=head, event="APPROVE", body="looks right")
        self.emit("pull_request_review", number, "submitted", who, review=review)

    def merge(self, number: int, who: str = "grace") -> None:
        head = self.hub.pulls[number]["head"]["sha"]
        self.call("PUT", f"/pulls/{number}/merge", who, sha=head, merge_method="merge")
        git(self.work, "switch", "-q", "main")
        git(self.work, "pull", "-q")
        self.deliver(who)
        git(self.work, "pull", "-q")

    # --- what GitHub does

    @property
    def repository(self) -> dict[str, Any]:
        return {"full_name": REPOSITORY, "private": True, "default_branch": "main", "owner": {"login": "acme"}}

    def emit(self, name: str, number: int, action: str, who: str, **more: Any) -> list[Run]:
        """Tell the runners of something that happened to a pull request."""
        pull = self.hub.pulls[number]
        sha = self.merge_commit(number)
        payload = {"action": action, "number": number, "pull_request": pull, "repository": self.repository}
        payload |= {"sender": {"login": who, "type": "Bot" if who.endswith("[bot]") else "User"}, **more}
        runs = self.actions.emit(Event(name, payload, f"refs/pull/{number}/merge", sha))
        assert runs
        return runs

    def merge_commit(self, number: int) -> str:
        """Make what GitHub calls refs/pull/N/merge."""
        remote, pull = self.hub.remote, self.hub.pulls[number]
        base, head = git(remote, "rev-parse", "refs/heads/main"), pull["head"]["sha"]
        tree = git(remote, "merge-tree", "--write-tree", base, head).splitlines()[0]
        who = ("-c", "user.name=GitHub", "-c", "user.email=noreply@github.com")
        made = git(remote, *who, "commit-tree", tree, "-p", base, "-p", head, "-m", f"Merge {head} into {base}")
        git(remote, "update-ref", f"refs/pull/{number}/merge", made)
        return made

    def deliver(self, who: str = "modelops[bot]") -> list[Run]:
        """Deliver the webhooks of all that happened since, until nothing follows on them."""
        made: list[Run] = []
        while True:
            self.hub.look()
            tip, before = git(self.hub.remote, "rev-parse", "refs/heads/main"), len(made)
            for number, pull in list(self.hub.pulls.items()):
                key = f"pull {number} {pull['head']['sha']}"
                if pull["state"] == "open" and key not in self.delivered:
                    first = not any(one.startswith(f"pull {number} ") for one in self.delivered)
                    self.delivered.add(key)
                    action = "opened" if first else "synchronize"
                    made += self.emit("pull_request", number, action, pull["user"]["login"])
            if f"push {tip}" not in self.delivered:
                self.delivered.add(f"push {tip}")
                made += self.push(tip, who)
                who = "modelops[bot]"
            if len(made) == before:
                return made

    def push(self, sha: str, who: str) -> list[Run]:
        kind = "Bot" if who.endswith("[bot]") else "User"
        payload = {"ref": "refs/heads/main", "after": sha, "repository": self.repository}
        return self.actions.emit(
            Event("push", payload | {"sender": {"login": who, "type": kind}}, "refs/heads/main", sha)
        )

    def schedule(self, name: str) -> list[Run]:
        sha = git(self.hub.remote, "rev-parse", "refs/heads/main")
        payload = {"repository": self.repository, "sender": {"login": "ada", "type": "User"}}
        runs = self.actions.emit(Event("schedule", payload, "refs/heads/main", sha), name)
        return [*runs, *self.deliver()]

    def dispatch(self, name: str, **inputs: str) -> list[Run]:
        sha = git(self.hub.remote, "rev-parse", "refs/heads/main")
        payload = {"repository": self.repository, "sender": {"login": "ada", "type": "User"}, "inputs": inputs}
        runs = self.actions.emit(Event("workflow_dispatch", payload, "refs/heads/main", sha), name)
        return [*runs, *self.deliver()]

    # --- what one sees

    def deployment(self, environment: str) -> dict[str, Any]:
        text = git(self.hub.remote, "show", f"main:models/churn/environments/{environment}.yaml")
        return dict(yaml.safe_load(text)["spec"])

    def promotions(self) -> list[int]:
        return [n for n, pull in self.hub.pulls.items() if pull["state"] == "open" and "Promote" in pull["title"]]


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    remote = tmp_path / "remote.git"
    with nobodys_configuration(tmp_path):
        settings = Path(os.environ["GIT_CONFIG_GLOBAL"])
        settings.write_text(settings.read_text() + f'[url "{remote}"]\n\tinsteadOf = {ADDRESS}\n')
        git(tmp_path, "init", "-q", "--bare", "-b", "main", str(remote))
        with registry(tmp_path / "registry") as store, github(remote) as hub:
            team = Team(tmp_path, hub, store)
            try:
                yield team
            finally:
                team.actions.close()
                own = tmp_path / "runners/own/workspace"
                for environment in ("staging", "production") if own.exists() else ():
                    team.modelops("reconcile", environment, "--stop", "--yes", ok=(0, 1, 2, 3, 4), work=own)


def commands_of_the_page() -> list[str]:
    """Return what the page has one type, from an empty repository to the first pull request."""
    page = (Path(__file__).parents[2] / "docs/how-to/set-it-up-on-github.md").read_text(encoding="utf-8")
    before, heading, _ = page.partition("## Who may do what")
    assert heading
    return [line.removeprefix("$ ") for line in before.splitlines() if line.startswith("$ ")]


def rules_of(asked: dict[str, Any]) -> Rules:
    """Return what a ruleset asks for, as far as the fake knows rules."""
    by_type = {rule["type"]: rule.get("parameters", {}) for rule in asked["rules"]}
    assert by_type.keys() == {"deletion", "non_fast_forward", "pull_request", "required_status_checks"}
    assert [one["actor_id"] for one in asked["bypass_actors"]] == [4711]
    checks = by_type["required_status_checks"]["required_status_checks"]
    assert {one["integration_id"] for one in checks} == {4711}
    return Rules(
        reviews=by_type["pull_request"]["required_approving_review_count"],
        checks=tuple(one["context"] for one in checks),
        bypass=frozenset({"modelops[bot]"}),
        writer=4711,
    )


def table(path: Path, seed: int = 0, noise: float = 1.0) -> None:
    """Write a table of customers."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=800)
    kinds, leaves = rng.choice(["a", "b"], 800), x + noise * rng.normal(size=800) > 0
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame({"x": x.round(3), "kind": kinds, "churned": leaves}).to_csv(path, index=False)


def fine(runs: list[Run]) -> None:
    for run in runs:
        quiet = "\n".join(line for line in run.log.splitlines() if "already satisfied" not in line)
        assert run.conclusion != "failure", f"{run.file} ({run.event.name})\n{quiet}"


def check_of(team: Team, number: int, name: str) -> str:
    """Return what a check of the App concluded about the head of a pull request."""
    head = team.hub.pulls[number]["head"]["sha"]
    found = [run for run in team.hub.runs if (run["head_sha"], run["name"], run["app"]["id"]) == (head, name, 4711)]
    return str(found[-1].get("conclusion")) if found else "none"


def test_a_model_goes_from_a_proposal_to_production_by_reviews_alone(team: Team) -> None:
    """A report and two checks; review and merge; release, staging, a promotion; its review; production."""
    team.set_up()
    fine(team.actions.runs)
    (said,) = (one["body"] for one in team.hub.comments if one["issue"] == 1)
    assert "churn" in said
    assert (check_of(team, 1, "modelops/gates"), check_of(team, 1, "modelops/approvals")) != ("none", "none")
    assert check_of(team, 1, "modelops/gates") == "success"
    assert check_of(team, 1, "modelops/approvals") != "success"
    team.approve(1)
    assert check_of(team, 1, "modelops/approvals") == "success"
    assert len([one for one in team.hub.comments if one["issue"] == 1]) == 1
    began = time.monotonic()
    team.merge(1)
    print(f"from merge to staging and its promotion: {time.monotonic() - began:.1f} s")
    fine(team.actions.runs)
    assert team.deployment("staging")["stable"] == 1
    (second,) = team.promotions()
    assert team.hub.pulls[second]["user"]["type"] == "Bot"
    team.approve(second)
    team.merge(second)
    fine(team.actions.runs)
    assert team.deployment("production")["stable"] == 1
