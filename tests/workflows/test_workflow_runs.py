"""The workflows' own steps, run in order against a bare remote: from a pull request to a model that is served."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from git_world import git, nobodys_configuration

pytestmark = pytest.mark.slow

ADA = {"name": "Ada", "email": "ada@example.com"}
SHELL = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


class Runner:
    """One machine that runs jobs: a work tree that stays between jobs, and what GitHub would put into each step."""

    def __init__(self, remote: Path, work: Path, secrets: Mapping[str, str]) -> None:
        self.work = work
        self.values = {"github.token": "token"} | {f"secrets.{name}": value for name, value in secrets.items()}
        self.summary = work.parent / f"{work.name}-summary.md"
        self.ran: list[str] = []
        subprocess.run(["git", "clone", "-q", str(remote), str(work)], check=True)

    def check_out(self, reference: str, *, detach: bool) -> None:
        """Do what actions/checkout does with fetch-depth 0 and clean off."""
        git(self.work, "fetch", "-q", "--prune", "origin", "+refs/heads/*:refs/remotes/origin/*")
        how = ["--detach", reference] if detach else ["-B", reference.removeprefix("origin/"), reference]
        git(self.work, "checkout", "-q", "--force", *how)

    def run(self, workflow: str, reference: str, *, detach: bool = False) -> None:
        """Run every job of a workflow in order of its needs, and the workflows that it calls."""
        loaded = yaml.safe_load((self.work / ".github/workflows" / workflow).read_text(encoding="utf-8"))
        for job in in_order(loaded["jobs"]):
            if "uses" in job:
                self.run(Path(job["uses"]).name, reference, detach=detach)
                continue
            self.check_out(reference, detach=detach)
            for step in job["steps"]:
                if "run" in step:
                    self.step(step)

    def step(self, step: Mapping[str, Any]) -> None:
        """Run one step with the runner's shell; packages are installed already."""
        if step["name"] == "Install":
            return
        environment = {name: EXPRESSION.sub(self.value, text) for name, text in step.get("env", {}).items()}
        done = subprocess.run(
            [*SHELL, step["run"]],
            cwd=self.work,
            env=clean() | environment | {"GITHUB_STEP_SUMMARY": str(self.summary), "CI": "true"},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{step['run']}\n{done.stdout}\n{done.stderr}"
        assert "PRIVATE KEY" not in done.stdout + done.stderr
        self.ran.append(step["run"].strip().splitlines()[0])

    def value(self, found: re.Match[str]) -> str:
        """Return what an expression stands for."""
        return self.values[found.group(1)]


def in_order(jobs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield jobs after those that they need."""
    waiting, done = dict(jobs), set[str]()
    while waiting:
        for name, job in list(waiting.items()):
            needs = job.get("needs", [])
            if set([needs] if isinstance(needs, str) else needs) <= done:
                yield waiting.pop(name)
                done.add(name)


def clean() -> dict[str, str]:
    """Return this process's environment with modelops on the path and without what a runner would not have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODELOPS", "GITHUB", "RUNNER_"))}
    return kept | {"PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"}


def modelops(folder: Path, *arguments: str, ok: tuple[int, ...] = (0,)) -> str:
    command = [sys.executable, "-m", "modelops", *arguments]
    done = subprocess.run(command, cwd=folder, env=clean(), capture_output=True, text=True, check=False)
    assert done.returncode in ok, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def configuration(tmp_path: Path) -> Iterator[None]:
    with nobodys_configuration(tmp_path):
        yield


@pytest.fixture
def developer(tmp_path: Path, configuration: None) -> Path:
    """A clone with a scaffolded repository on main, and the bare remote beside it."""
    remote, work = tmp_path / "remote.git", tmp_path / "developer"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(remote)], check=True)
    subprocess.run(["git", "clone", "-q", str(remote), str(work)], check=True, capture_output=True)
    for key, value in ADA.items():
        git(work, "config", f"user.{key}", value)
    modelops(work, "init", "--approver", "grace")
    git(work, "checkout", "-q", "-B", "main")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Begin")
    git(work, "push", "-q", "-u", "origin", "main")
    return work


def propose(work: Path) -> int:
    """Propose a model made from a CSV file of the repository, and return the pull request's number."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=800)
    frame = pd.DataFrame({"x": x.round(3), "kind": rng.choice(["a", "b"], 800), "y": (x + rng.normal(size=800) > 0)})
    (work / "data").mkdir()
    frame.to_csv(work / "data" / "rows.csv", index=False)
    git(work, "checkout", "-q", "-b", "add-churn")
    modelops(work, "init", "--model", "churn", "--data", "data/rows.csv", "--target", "y", "--owner", "growth")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Propose churn")
    git(work, "push", "-q", "-u", "origin", "add-churn")
    created = modelops(work, "pr", "create", "--title", "Propose churn", "--body", "New model", "-o", "json")
    return int(yaml.safe_load(created)["number"])


def test_every_step_of_the_workflows_runs_in_order(developer: Path, tmp_path: Path) -> None:
    """A proposal is planned and built without secrets; its merge is released, deployed to staging and monitored."""
    remote = tmp_path / "remote.git"
    key = (developer / ".modelops" / "keys" / "local.pem").read_text()
    number = propose(developer)

    hosted = Runner(remote, tmp_path / "hosted", {})
    hosted.check_out("origin/add-churn", detach=True)
    hosted.run("pull-request.yml", "origin/add-churn", detach=True)
    assert "churn" in hosted.summary.read_text()

    modelops(developer, "pr", "review", str(number), "--approve", "--as", "grace")
    modelops(developer, "pr", "merge", str(number), "--as", "grace")
    own = Runner(remote, tmp_path / "own", {"MODELOPS_SIGNING_KEY": key})
    own.check_out("origin/main", detach=False)
    try:
        own.run("release.yml", "origin/main")
        own.run("reconcile.yml", "origin/main")
        own.run("monitor.yml", "origin/main")
        own.check_out("origin/main", detach=False)
        deployment = yaml.safe_load((own.work / "models/churn/environments/staging.yaml").read_text())
        status = yaml.safe_load(modelops(own.work, "status", "-o", "json", ok=(0, 1)))
    finally:
        for environment in ("staging", "production"):
            modelops(own.work, "reconcile", environment, "--stop", "--yes", ok=(0, 1, 2, 3, 4))
    assert deployment["spec"]["stable"] == 1
    assert (own.work / "models/churn/releases/1/release.yaml").is_file()
    assert any(row["environment"] == "staging" and row["url"] for row in status)
    assert [run.split()[1] for run in hosted.ran] == ["validate", "plan", "build"]
    verbs = [run.split()[1] for run in own.ran if run.startswith("modelops")]
    assert verbs == ["release", "reconcile", "reconcile", "reconcile", "reconcile", "monitor"]
