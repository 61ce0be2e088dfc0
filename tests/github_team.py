"""A team on GitHub for tests: what people type and click, and what GitHub makes of it, by the scaffolded workflows.

`Ground` keeps how the world stood after each chapter of the story, so that a test begins where it wants to and costs
what it does itself. A chapter is told once by each process of tests.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import yaml

from actions_world import Actions, Event, Run
from git_world import git, nobodys_configuration
from github_git import Installed, Rules, protect
from github_world import REPOSITORY, FakeGitHub, github
from modelops.clock import format_instant
from registry_world import registry
from waiting import wait_for

ADDRESS = f"https://github.com/{REPOSITORY}.git"
PAGE = Path(__file__).parents[1] / "docs/how-to/set-it-up-on-github.md"
ROLLOUT = """apiVersion: modelops/v1
kind: RolloutPlan
metadata:
  name: churn
spec:
  strategy:
    type: canary
    params:
      steps:
        - {weight: 0.25, minRequests: 40}
        - {weight: 1.0, minRequests: 40}
  onFailure: rollback
"""


def clean() -> dict[str, str]:
    """Return this process's environment without what another machine would not have."""
    left = ("MODELOPS", "GITHUB", "GH_", "RUNNER_", "PYTHON", "CI")
    return {name: value for name, value in os.environ.items() if not name.startswith(left)}


@dataclass
class Cost:
    """What something cost: calls of the API by the loop, jobs on any runner, and seconds by the clock and of work."""

    calls: int
    jobs: int
    seconds: float
    processor: float


@dataclass
class Team:
    """Ada, who proposes, and Grace, who reviews; GitHub, its runners and its registry."""

    folder: Path
    hub: FakeGitHub
    store: str
    actions: Actions
    delivered: set[str] = field(default_factory=set)
    environment: str = ""
    typed: list[str] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.folder / "ada"

    # --- what a person types and clicks

    def modelops(
        self,
        *arguments: str,
        ok: tuple[int, ...] = (0,),
        work: Path | None = None,
        more: Mapping[str, str] | None = None,
    ) -> str:
        path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
        paths = {"PATH": path, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "GH_TOKEN": "token-of-ada"}
        done = subprocess.run(
            [sys.executable, "-m", "modelops", *arguments],
            cwd=work or self.work,
            env=clean() | paths | {"GITHUB_API_URL": self.hub.url} | dict(more or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in ok, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def call(self, method: str, path: str, who: str, **body: Any) -> Any:
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
        (self.folder / "bin/gh").symlink_to(Path(__file__).parent / "workflows/gh.py")
        for command in commands_of_the_page():
            if command.startswith("modelops init --model"):
                break
            self.type(command)
            if command.startswith("modelops init --github"):
                project = self.work / "policies/project.yaml"
                project.write_text(project.read_text().replace("ghcr.io", self.store))

    def propose_first(self) -> None:
        """Type the rest of the page: a model is proposed, and its plans are corrected before they are committed."""
        table(self.work / "data/customers.csv")
        commands = commands_of_the_page()
        at = next(place for place, command in enumerate(commands) if command.startswith("modelops init --model"))
        for command in commands[at:]:
            self.type(command)
            if command.startswith("modelops init --model"):
                (self.work / "models/churn/rollout.yaml").write_text(ROLLOUT)

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
        self.typed.append(command)
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
                self.actions.deploying["release"] = ["main"]
            case ["api", "--method", "PUT", "repos/acme/models/actions/permissions/workflow", *given]:
                self.hub.settings["/actions/permissions/workflow"] = dict(
                    word.split("=") for word in given if word not in ("-f", "-F")
                )
            case ["pr", "create", "--fill"]:
                branch = git(self.work, "branch", "--show-current")
                title = git(self.work, "log", "-1", "--format=%s")
                self.call("POST", "/pulls", "ada", title=title, body="", head=branch, base="main")
                self.deliver()
            case _:
                raise AssertionError(f"gh {words} is not known here")

    def write(self, files: Mapping[str, str], branch: str, title: str, *, deliver: bool = True) -> int:
        """Begin at the newest main, write files on a branch, and open its pull request."""
        git(self.work, "switch", "-q", "main")
        git(self.work, "pull", "-q", "--ff-only")
        git(self.work, "switch", "-q", "--create", branch)
        for path, text in files.items():
            (self.work / path).parent.mkdir(parents=True, exist_ok=True)
            (self.work / path).write_text(text)
        return self.propose(branch, title, deliver=deliver)

    def propose(self, branch: str, title: str, *, deliver: bool = True) -> int:
        """Commit what lies in the work tree on the branch it is on, push it, and open its pull request."""
        git(self.work, "add", "--all")
        git(self.work, "commit", "-q", "--allow-empty", "--message", title)
        git(self.work, "push", "-q", "--set-upstream", "origin", branch)
        number = self.call("POST", "/pulls", "ada", title=title, body="", head=branch, base="main")["number"]
        if deliver:
            self.deliver()
        return int(number)

    def approve(self, number: int, who: str = "grace") -> None:
        self.hub.look()
        head = self.hub.pulls[number]["head"]["sha"]
        review = self.call("POST", f"/pulls/{number}/reviews", who, commit_id=head, event="APPROVE", body="looks right")
        self.emit("pull_request_review", number, "submitted", who, review=review)

    def merge(self, number: int, who: str = "grace", way: str = "merge", *, deliver: bool = True) -> list[Run]:
        head = self.hub.pulls[number]["head"]["sha"]
        self.call("PUT", f"/pulls/{number}/merge", who, sha=head, merge_method=way)
        return self.deliver(who) if deliver else []

    # --- what GitHub does

    @property
    def repository(self) -> dict[str, Any]:
        return {"full_name": REPOSITORY, "private": True, "default_branch": "main", "owner": {"login": "acme"}}

    def emit(self, name: str, number: int, action: str, who: str, *, fork: bool = False, **more: Any) -> list[Run]:
        """Tell the runners of something that happened to a pull request."""
        pull = self.hub.pulls[number]
        sha = self.merge_commit(number)
        payload = {"action": action, "number": number, "pull_request": pull, "repository": self.repository}
        payload |= {"sender": {"login": who, "type": "Bot" if who.endswith("[bot]") else "User"}, **more}
        return self.actions.emit(Event(name, payload, f"refs/pull/{number}/merge", sha, fork))

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
            tip, before = self.tip(), len(made)
            for number, pull in list(self.hub.pulls.items()):
                key = f"pull {number} {pull['head']['sha']}"
                if pull["state"] == "open" and key not in self.delivered:
                    first = not any(one.startswith(f"pull {number} ") for one in self.delivered)
                    self.delivered.add(key)
                    if pull["user"]["login"] == "github-actions[bot]":
                        continue  # what a job's own token does starts no workflow
                    action = "opened" if first else "synchronize"
                    made += self.emit("pull_request", number, action, pull["user"]["login"])
            if f"push {tip}" not in self.delivered:
                self.delivered.add(f"push {tip}")
                made += self.push(tip, who)
                who = "modelops[bot]"
            if len(made) == before:
                return made

    def miss(self) -> None:
        """Lose the webhooks of all that happened since."""
        self.hub.look()
        self.delivered.add(f"push {self.tip()}")
        self.delivered |= {f"pull {number} {pull['head']['sha']}" for number, pull in self.hub.pulls.items()}

    def push(self, sha: str, who: str) -> list[Run]:
        kind = "Bot" if who.endswith("[bot]") else "User"
        payload = {"ref": "refs/heads/main", "after": sha, "repository": self.repository}
        return self.actions.emit(
            Event("push", payload | {"sender": {"login": who, "type": kind}}, "refs/heads/main", sha)
        )

    def schedule(self, name: str) -> list[Run]:
        payload = {"repository": self.repository, "sender": {"login": "ada", "type": "User"}}
        runs = self.actions.emit(Event("schedule", payload, "refs/heads/main", self.tip()), name)
        return [*runs, *self.deliver()]

    def dispatch(self, name: str, who: str = "ada", **inputs: str) -> list[Run]:
        payload = {"repository": self.repository, "sender": {"login": who, "type": "User"}, "inputs": inputs}
        runs = self.actions.emit(Event("workflow_dispatch", payload, "refs/heads/main", self.tip()), name)
        return [*runs, *self.deliver()]

    # --- what one sees

    def tip(self) -> str:
        return git(self.hub.remote, "rev-parse", "refs/heads/main")

    def deployment(self, environment: str) -> dict[str, Any]:
        text = git(self.hub.remote, "show", f"main:models/churn/environments/{environment}.yaml")
        return dict(yaml.safe_load(text)["spec"])

    def releases(self) -> list[str]:
        """Return the numbers of the releases on main."""
        names = git(self.hub.remote, "ls-tree", "--name-only", "main", "models/churn/releases/").splitlines()
        return [Path(name).name for name in names]

    def open_pulls(self, title: str = "") -> list[int]:
        return [n for n, pull in self.hub.pulls.items() if pull["state"] == "open" and title in pull["title"]]

    def check(self, number: int, name: str, head: str = "") -> str:
        """Return what a check of the App concluded about the head of a pull request, or about another commit."""
        head = head or self.hub.pulls[number]["head"]["sha"]
        wanted = (head, f"modelops/{name}", 4711)
        found = [run for run in self.hub.runs if (run["head_sha"], run["name"], run["app"]["id"]) == wanted]
        return str(found[-1].get("conclusion")) if found else "none"

    def comments(self, number: int) -> list[str]:
        return [one["body"] for one in self.hub.comments if one["issue"] == number]

    def shown(self, environment: str) -> list[tuple[str, str]]:
        """Return state and words of the statuses of an environment's deployments, in order."""
        return [
            (status["state"], status.get("description") or "")
            for made in self.hub.deployments
            if made["environment"] == environment
            for status in self.hub.deployment_statuses[made["id"]]
        ]

    @contextmanager
    def costing(self, what: str) -> Iterator[None]:
        """Write down what something costs."""
        calls, runs, began = len(self.hub.by_bots), len(self.actions.runs), time.monotonic()
        worked = os.times()
        yield
        now = os.times()
        worked_on = now.children_user + now.children_system - worked.children_user - worked.children_system
        jobs = [job for run in self.actions.runs[runs:] for job in run.jobs.values() if job.steps]
        self.costs[what] = Cost(len(self.hub.by_bots) - calls, len(jobs), time.monotonic() - began, worked_on)

    # --- what runs

    @property
    def own(self) -> Path:
        return self.folder / "runners/own/workspace"

    @property
    def url(self) -> str:
        """Where production answers."""
        told = json.loads((self.own / ".modelops/runtime/production/server.json").read_text())
        return f"http://127.0.0.1:{told['port']}"

    def answers(
        self, count: int, *, kind: str = "", mean: float = 0.0, seed: int = 0
    ) -> list[tuple[float, httpx.Response]]:
        """Ask production's model that often; return each ``x`` with the answer to it."""
        rng, answers = np.random.default_rng(seed), []
        with httpx.Client(base_url=self.url, timeout=60) as client:
            wait_for(lambda: client.get("/v2/health/ready").status_code == 200)
            for _ in range(count):
                x, which = round(float(rng.normal(mean)), 3), kind or str(rng.choice(["a", "b"]))
                inputs = [
                    {"name": "x", "shape": [1], "datatype": "FP64", "data": [x]},
                    {"name": "kind", "shape": [1], "datatype": "BYTES", "data": [which]},
                ]
                answers.append((x, client.post("/v2/models/churn/infer", json={"inputs": inputs})))
        return answers

    def ask(self, count: int, *, kind: str = "", seed: int = 0) -> list[int]:
        """Ask production's model that often; return the statuses of its answers."""
        return [answer.status_code for _, answer in self.answers(count, kind=kind, seed=seed)]

    def label(self, answers: list[tuple[float, httpx.Response]], border: float = 4.0) -> None:
        """Report what became of each customer: beyond the border they left, one of ten the other way round."""
        items = [
            {"id": answer.json()["parameters"]["prediction_id"], "label": (x > border) != (number % 10 == 0)}
            for number, (x, answer) in enumerate(answers)
        ]
        httpx.post(f"{self.url}/v2/models/churn/feedback", json=items, timeout=60).raise_for_status()


def end_what_runs(folder: Path) -> None:
    """End every process that was started for a world: a machine that is switched off."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                if f"{folder}/".encode() in words:
                    os.kill(int(process.name), signal.SIGKILL)


def in_production(team: Team) -> None:
    """Merge the first model, and its promotion."""
    (promotion,) = team.open_pulls("Promote")
    team.approve(promotion)
    team.merge(promotion)


def on_trial(team: Team) -> None:
    """Bring a second release to production, where it is tried on a part of the traffic: one is squashed, one rebased.

    It is as good as the first on every row there is, and answers no kind of customer that it has not seen.
    """
    lenient = '{"handle_unknown": "use_encoded_value", "unknown_value": -1}'
    files = edited(team, "models/churn/train.py", lenient, '{"handle_unknown": "error"}')
    number = team.write(files, "strict", "Refuse kinds that are not known")
    assert team.check(number, "gates") == "success", team.comments(number)
    team.approve(number)
    fine(team.merge(number, way="squash"))
    (promotion,) = team.open_pulls("Promote")
    team.approve(promotion)
    fine(team.merge(promotion, way="rebase"))


def edited(team: Team, path: str, before: str, after: str) -> dict[str, str]:
    """Return a file of main with one thing in it replaced."""
    text = git(team.hub.remote, "show", f"main:{path}") + "\n"
    assert before in text
    return {path: text.replace(before, after)}


CHAPTERS: dict[str, tuple[str, Callable[[Team], object]]] = {
    "set up": ("", Team.set_up),
    "proposed": ("set up", Team.propose_first),
    "approved": ("proposed", lambda team: team.approve(1)),
    "staging": ("approved", lambda team: team.merge(1)),
    "production": ("staging", in_production),
    "on trial": ("production", on_trial),
}
"""What is told by whom, after which chapter."""


@dataclass
class Kept:
    """How a world stood: its files, and what GitHub and its runners knew."""

    files: Path
    known: dict[str, Any]


@dataclass
class Ground:
    """Where teams work: one place, so that an address that is in git stays the same whichever chapter a test is of."""

    base: Path
    hub: FakeGitHub
    store: str
    actions: Actions
    team: Team = field(init=False)

    def __post_init__(self) -> None:
        self.team = Team(self.folder, self.hub, self.store, self.actions)

    @property
    def folder(self) -> Path:
        return self.base / "world"

    def after(self, chapter: str) -> Team:
        """Return the team as it is after a chapter, which is told if nobody did so far."""
        kept = _kept.setdefault(self.base, {})
        if chapter not in kept:
            if chapter:
                before, tell = CHAPTERS[chapter]
                team = self.after(before)
                with team.costing(chapter):
                    tell(team)
                fine(team.actions.runs)
            end_what_runs(self.folder)
            kept[chapter] = Kept(self.base / "chapters" / (chapter or "nothing"), self.known())
            shutil.copytree(self.folder, kept[chapter].files, symlinks=True)
        self.put(kept[chapter])
        return self.team

    def put(self, kept: Kept) -> None:
        end_what_runs(self.folder)
        shutil.rmtree(self.folder)
        shutil.copytree(kept.files, self.folder, symlinks=True)
        # What runs answer with is theirs alone; everything else is put back as it was.
        for name, value in kept.known.items():
            of, attribute = name.split(".")
            setattr({"hub": self.hub, "actions": self.actions, "team": self.team}[of], attribute, _copied(value))

    def known(self) -> dict[str, Any]:
        found = {f"hub.{one.name}": getattr(self.hub, one.name) for one in fields(self.hub) if one.name not in _FIXED}
        found |= {
            f"actions.{name}": getattr(self.actions, name)
            for name in ("secrets", "variables", "deploying", "runs", "artifacts")
        }
        found |= {f"team.{name}": getattr(self.team, name) for name in ("delivered", "environment", "typed", "costs")}
        return {name: _copied(value) for name, value in found.items()}


_FIXED = ("remote", "url", "lock", "jobs")
_kept: dict[Path, dict[str, Kept]] = {}
_hosts: dict[Path, str] = {}
_apps: dict[Path, Installed] = {}
"""What stays the same in a process of tests, as it is written down somewhere in what is kept."""


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) and value and isinstance(value[0], Run) else copy.deepcopy(value)


@contextmanager
def ground(base: Path) -> Iterator[Ground]:
    """Yield where a team works: GitHub, its runners and a registry, all at one place of this process of tests."""
    world = base / "world"
    if not world.exists():
        git(base, "init", "-q", "--bare", "-b", "main", str(world / "remote.git"))
        (world / "runners").mkdir()
        (base / "pythons").mkdir()
    with nobodys_configuration(base):
        settings = Path(os.environ["GIT_CONFIG_GLOBAL"])
        settings.write_text(settings.read_text() + f'[url "{world / "remote.git"}"]\n\tinsteadOf = {ADDRESS}\n')
        place = base / "registry"
        place.mkdir(exist_ok=True)
        if not (place / "data").is_symlink():
            (world / "registry").mkdir()
            (place / "data").symlink_to(world / "registry")
        with registry(place, host=_hosts.get(base, "")) as store, github(world / "remote.git") as hub:
            _hosts[base] = store
            vars(hub)["app"] = _apps.setdefault(base, hub.app)
            hub.clock = lambda: format_instant(datetime.now(UTC))
            tokens = {"GITHUB_API_URL": hub.url, "GITHUB_SERVER_URL": "https://github.com"}
            actions = Actions(
                folder=world / "runners",
                remote=hub.remote,
                repository=REPOSITORY,
                environ=clean() | tokens | {"PIP_NO_INDEX": "1"},
                tokens=hub.jobs,
                pythons=base / "pythons",
            )
            try:
                yield Ground(base, hub, store, actions)
            finally:
                actions.close()
                end_what_runs(world)


def commands_of_the_page(*, whole: bool = False) -> list[str]:
    """Return what the page has one type, from an empty repository to the first pull request, or to its end."""
    before, heading, after = PAGE.read_text(encoding="utf-8").partition("## Who may do what")
    assert heading
    text = before + after if whole else before
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


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
    """Fail with what was printed if a run did."""
    for run in runs:
        assert run.conclusion != "failure", f"{run.file} ({run.event.name})\n{run.log}"
