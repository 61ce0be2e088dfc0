"""The workflows: valid, audited, least privileged, and nothing but modelops' own verbs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelops.cli import VERBS
from modelops.scaffold.files import project_folder
from modelops.scaffold.repository import repository_files
from modelops.scaffold.surroundings.workflows import WORKFLOWS

FOLDER = project_folder() / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
SCAFFOLDED = [FOLDER / name for name in WORKFLOWS]
SCRIPTS = Path(sysconfig.get_path("scripts"))
SETUP = (
    "python -m pip install --constraint requirements.lock --requirement .github/requirements.txt",
    'git config user.name "github-actions[bot]"\ngit config user.email "github-actions[bot]@users.noreply.github.com"',
)


def load(path: Path) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def steps(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in load(path)["jobs"].items():
        for step in job.get("steps", ()):
            yield name, step


def test_every_workflow_fits_the_schema_of_github() -> None:
    """A wrong event, key or type is found before GitHub sees it."""
    command = [SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *FILES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_security_audit_finds_nothing() -> None:
    """Zizmor reads every file and has no finding at any severity."""
    command = [SCRIPTS / "zizmor", "--offline", "--no-progress", "--format=json", *FILES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stderr
    assert "failed to validate" not in done.stderr
    assert done.stderr.count("completed") == len(FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    """A tag can be moved, a commit cannot; the comment says which release it was."""
    uses = re.findall(r"^\s*(?:- )?uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert uses
    for action in uses:
        assert action.startswith("./") or re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_one_action_has_one_version() -> None:
    """The same action is pinned to the same commit everywhere."""
    found = {line.split("@")[0]: set() for path in FILES for line in _uses(path)}  # type: ignore[var-annotated]
    for path in FILES:
        for line in _uses(path):
            found[line.split("@")[0]].add(line)
    assert all(len(versions) == 1 for versions in found.values()), found


def _uses(path: Path) -> list[str]:
    return [str(step["uses"]) for _, step in steps(path) if "uses" in step]


@pytest.mark.parametrize("path", SCAFFOLDED, ids=lambda path: path.stem)
def test_each_step_is_one_verb(path: Path) -> None:
    """What a workflow runs, a person can type: one existing verb of modelops a step, after the set-up."""
    runs = [step["run"].strip() for _, step in steps(path) if "run" in step]
    verbs = [run for run in runs if run not in SETUP]
    assert verbs
    for run in verbs:
        words = shlex.split(run)
        assert words[0] == "modelops"
        assert words[1] in VERBS
        assert not {";", "&&", "||", "|"} & set(words)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_interpolated_into_a_script(path: Path) -> None:
    """No expression stands inside `run:`, where its value would become code."""
    assert not [step["run"] for _, step in steps(path) if "${{" in step.get("run", "")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_permission_is_given_by_default(path: Path) -> None:
    """Each job names what it needs, and nothing else."""
    workflow = load(path)
    assert workflow["permissions"] == {}
    assert all("permissions" in job for job in workflow["jobs"].values())


def test_proposed_code_sees_no_secret_and_no_writing_token() -> None:
    """pull_request, never pull_request_target; read-only; credentials are not kept; no secret is named."""
    path = FOLDER / "pull-request.yml"
    workflow = load(path)
    assert set(workflow[True]) == {"pull_request"}
    assert "secrets." not in path.read_text(encoding="utf-8")
    assert "github.token" not in path.read_text(encoding="utf-8")
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
    checkouts = [step for _, step in steps(path) if "checkout" in step.get("uses", "")]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False, False]
    assert all("pull_request_target" not in file.read_text(encoding="utf-8") for file in FILES)


def test_forks_are_validated_and_planned_but_their_code_is_not_run() -> None:
    """Only the build job runs proposed code, and it skips forks."""
    jobs = load(FOLDER / "pull-request.yml")["jobs"]
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert not any("build" in run for run in runs["check"])
    assert "head.repo.full_name == github.repository" in jobs["build"]["if"]


@pytest.mark.parametrize("name", ["release", "reconcile", "monitor"])
def test_secrets_reach_only_the_step_that_needs_them(name: str) -> None:
    """The signing key and the token are in the environment of one step, of a job with a protected environment."""
    workflow = load(FOLDER / f"{name}.yml")
    assert "env" not in workflow
    for job in workflow["jobs"].values():
        assert "env" not in job
        if "steps" not in job:
            continue
        with_secrets = [step["run"] for step in job["steps"] if "env" in step]
        assert len(with_secrets) == 1
        assert with_secrets[0].startswith("modelops ")
        assert job["environment"]


def test_an_environment_is_reconciled_by_one_run_at_a_time() -> None:
    """Each environment has a group of its own in which runs wait for each other and are never cancelled."""
    jobs = load(FOLDER / "reconcile.yml")["jobs"]
    groups = {name: job["concurrency"] for name, job in jobs.items()}
    assert groups == {
        name: {"group": f"reconcile-{name}", "cancel-in-progress": False} for name in ("staging", "production")
    }
    assert {"schedule", "workflow_dispatch", "workflow_call"} == set(load(FOLDER / "reconcile.yml")[True])


def test_what_is_scaffolded_is_what_the_project_runs() -> None:
    """One source of truth: the four workflows are copied byte by byte."""
    scaffolded = repository_files("", ("grace",))
    for path in SCAFFOLDED:
        assert scaffolded[f".github/workflows/{path.name}"] == path.read_bytes()
    assert scaffolded[".github/requirements.txt"].startswith(b"modelops==")
    assert (project_folder() / ".github" / "requirements.txt").read_text().strip() == "."


def test_every_python_that_is_promised_has_a_job() -> None:
    """The project's own checks run on each version that its metadata names, from the oldest that may be installed."""
    metadata = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = [text.rpartition(" ")[2] for text in metadata["classifiers"] if "Python ::" in text]
    assert metadata["requires-python"] == f">={promised[0]}"
    assert load(FOLDER / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"] == promised


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return the variables of a machine that has only the given interpreters, each answering as a version of Python."""

    def make(**interpreters: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir()
        for tool in ("bash", "env", "sh", "make", "git"):
            (folder / tool).symlink_to(str(shutil.which(tool)))
        for name, version in interpreters.items():
            # It is this Python, which believes to be another one.
            patch = (
                f"import sys; sys.version_info = ({version.replace('.', ', ')}, 0, 'final', 0); exec(sys.argv.pop(1))"
            )
            script = folder / name.replace("_", ".")
            script.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -c "{patch}" "$@"\n')
            script.chmod(0o755)
        return {"PATH": str(folder), "HOME": str(tmp_path)}

    return make


@pytest.mark.parametrize(
    ("has", "found"),
    [
        ({}, ""),
        ({"python3_12": "3.12", "python3_13": "3.13"}, "python3.13"),
        ({"python3_14": "3.11", "python3_12": "3.12"}, "python3.12"),
        ({"python3": "3.13"}, ""),
    ],
)
def test_the_newest_python_is_found_or_none(
    machine: Callable[..., dict[str, str]], has: dict[str, str], found: str
) -> None:
    """A name that starts another version than it says is passed over, and nothing newer is no error."""
    environment = machine(ours="3.11", **has)
    script = FOLDER.parents[1] / ".ci" / "newer-python"
    done = subprocess.run([script, "ours"], env=environment, capture_output=True, text=True)
    assert (done.returncode, Path(done.stdout.strip()).name) == (0, found), done.stderr


@pytest.mark.parametrize(
    ("has", "picked"),
    [
        ({"python3": "3.12"}, "python3"),
        ({"python3": "3.9", "python3_13": "3.13"}, "python3.13"),
        ({"python3": "3.9"}, None),
        ({}, None),
    ],
)
def test_make_takes_a_python_that_is_new_enough(
    machine: Callable[..., dict[str, str]], tmp_path: Path, has: dict[str, str], picked: str | None
) -> None:
    """The system's own Python may be too old; where none will do, make says which would."""
    words = ["make", "-f", FOLDER.parents[1] / "Makefile", "-C", tmp_path, "-n", "install", "VENV=none"]
    (tmp_path / "requirements-dev.lock").touch()
    (tmp_path / "pyproject.toml").touch()
    shown = subprocess.run(words, env=machine(**has), capture_output=True, text=True).stdout
    assert (f'"{picked}" -m venv --clear none' in shown) if picked else ('"" -m venv' in shown)
    if picked is None:
        done = subprocess.run([w for w in words if w != "-n"], env={"PATH": str(tmp_path / "bin")}, capture_output=True)
        assert (done.returncode, b"Python 3.11 or newer" in done.stderr) == (2, True)
