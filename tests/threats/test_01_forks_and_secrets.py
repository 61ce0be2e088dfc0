"""Threat 1: a pull request from a fork reaches a secret, a token that writes, or what a trusted job keeps."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from git_world import git, write
from modelops.locks.wheel import Wheel
from modelops.scaffold.surroundings.workflows import Home, action_files, workflow_files

BY_STRANGERS = {
    *("pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment", "issues"),
    *("issue_comment", "discussion", "discussion_comment", "fork", "watch", "workflow_run", "check_run", "label"),
}
"""Events that somebody without rights can cause."""
STOLEN = """name: helpful
on: pull_request_target
permissions: write-all
jobs:
  build:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
        with: {ref: "${{ github.event.pull_request.head.sha }}"}
      - run: python models/churn/train.py
        env: {KEY: "${{ secrets.MODELOPS_SIGNING_KEY }}"}
"""


@pytest.fixture
def scaffolded(tmp_path: Path) -> Path:
    """Return a repository with what `modelops init --github` has GitHub run."""
    files = workflow_files(Home()) | action_files(Home(), Wheel("modelops.whl", "0" * 64, "here"))
    git(tmp_path, "init", "-q")
    write(tmp_path, {path: data.decode() for path, data in files.items()})
    git(tmp_path, "add", "--all")
    return tmp_path


def jobs_of_strangers(root: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return every job that an event of a stranger starts, with the workflow it belongs to."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for path in sorted((root / ".github" / "workflows").glob("*.y*ml")):
        workflow: dict[Any, Any] = yaml.safe_load(path.read_text())
        events = workflow[True] if isinstance(workflow[True], dict | list) else [workflow[True]]
        if BY_STRANGERS & set(events):
            found |= {f"{path.stem}/{name}": (job, workflow) for name, job in workflow["jobs"].items()}
    return found


def proposed(workflow: dict[Any, Any], job: dict[str, Any]) -> bool:
    """Tell whether a job has what a stranger wrote before it: all have, but for those that run main alone."""
    own = set(workflow[True]) == {"workflow_run"}
    taken = [step.get("with", {}) for step in job.get("steps", ()) if "checkout" in str(step.get("uses"))]
    return not own or any("ref" in words or "repository" in words for words in taken)


def reached(root: Path) -> list[str]:
    """Return what a stranger's pull request gets its hands on, by job."""
    found = []
    for name, (job, workflow) in jobs_of_strangers(root).items():
        told = yaml.safe_dump(job)
        permissions = job.get("permissions", workflow.get("permissions", "write-all"))
        kept = [step["with"] for step in job.get("steps", ()) if "checkout" in str(step.get("uses"))]
        found += [f"{name}: keeps credentials" for words in kept if words.get("persist-credentials") is not False]
        found += [f"{name}: {word}" for word in ("secrets:", "actions/cache") if word in told]
        # What runs main alone may speak as the App, whose key an environment of main keeps.
        if "secrets." in told and (proposed(workflow, job) or job.get("environment") != "release"):
            found.append(f"{name}: secrets.")
        if not proposed(workflow, job):
            continue
        levels = permissions.values() if isinstance(permissions, dict) else [permissions]
        if set(levels) - {"read"}:
            found.append(f"{name}: permissions {permissions}")
        # What builds runs what was proposed. A job that only reads may have the token of readers.
        if "pr report" in told and (permissions != {"contents": "read"} or "github.token" in told):
            found.append(f"{name}: a token beside proposed code")
    return found


def test_a_fork_reaches_no_secret(scaffolded: Path) -> None:
    """No job of what a stranger wrote has a secret or a token that writes, and none a trusted cache or credentials."""
    assert jobs_of_strangers(scaffolded)
    assert reached(scaffolded) == []


def test_a_workflow_that_gives_secrets_to_forks_is_found(scaffolded: Path) -> None:
    """The same look finds what is wrong with the workflow that attackers propose; so does the security audit of CI."""
    write(scaffolded, {".github/workflows/helpful.yml": STOLEN})
    assert len(reached(scaffolded)) >= 3
    zizmor = [Path(sysconfig.get_path("scripts")) / "zizmor", "--offline", "--no-progress", str(scaffolded)]
    done = subprocess.run(zizmor, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "dangerous-triggers" in done.stdout
