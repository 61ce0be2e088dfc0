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

from actions_world import Engine, Event, Expressions, Refused, State, needs_engine
from modelops.cli import VERBS
from modelops.scaffold.files import TEMPLATES, project_folder
from modelops.scaffold.surroundings.workflows import WORKFLOWS, Home, workflow_files

FOLDER = project_folder() / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
SCAFFOLDED = [FOLDER / name for name in WORKFLOWS]
ACTION_FILES = [FOLDER.parent / "actions" / "modelops" / "action.yml", TEMPLATES / "action.yml"]
SCRIPTS = Path(sysconfig.get_path("scripts"))
IDENTITY = (
    'git config user.name "github-actions[bot]"\n'
    'git config user.email "41898282+github-actions[bot]@users.noreply.github.com"'
)
FIRST_HALF = ("pull-request", "review")
"""Workflows that run what a pull request proposes."""
WITH_KEY = ("release", "reconcile", "monitor")


def load(path: Path) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def steps(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in load(path)["jobs"].items():
        for step in job.get("steps", ()):
            yield name, step


@pytest.mark.parametrize(
    ("schema", "files"), [("vendor.github-workflows", FILES), ("vendor.github-actions", ACTION_FILES)]
)
def test_every_file_fits_the_schema_of_github(schema: str, files: list[Path]) -> None:
    """A wrong event, key or type is found before GitHub sees it."""
    command = [SCRIPTS / "check-jsonschema", "--builtin-schema", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_engine
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_github_s_own_parser_takes_every_workflow(path: Path) -> None:
    """What GitHub would refuse, such as a name that an expression may not use where it stands, is refused here."""
    engine = Engine()
    try:
        engine.check(path.name, path.read_text(encoding="utf-8"))
        with pytest.raises(Refused, match="nmae"):
            engine.check("x.yml", "on: push\njobs: {a: {runs-on: x, steps: [{run: a, nmae: b}]}}")
    finally:
        engine.close()


def test_the_security_audit_finds_nothing() -> None:
    """Zizmor reads every file and has no finding at any severity."""
    files = [*FILES, *ACTION_FILES]
    command = [SCRIPTS / "zizmor", "--offline", "--no-progress", "--format=json", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stderr
    assert "failed to validate" not in done.stderr
    assert done.stderr.count("completed") == len(files)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    """A tag can be moved, a commit cannot; the comment says which release it was."""
    uses = re.findall(r"^\s*(?:- )?uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert uses or path.stem == "review"
    for action in uses:
        assert action.startswith("./.github/") or re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


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
    verbs = [run for run in runs if run != "true"]
    assert verbs or path.stem == "review"
    for run in verbs:
        words = shlex.split(run)
        assert words[0] == "modelops"
        assert words[1] in VERBS
        assert not {";", "&&", "||", "|"} & set(words)


@pytest.mark.parametrize("path", ACTION_FILES, ids=["own", "scaffolded"])
def test_installing_runs_no_module_of_the_checkout(path: Path, tmp_path: Path) -> None:
    """A `pip.py` or `sitecustomize.py` that a pull request brings is not what installs for it."""
    *runs, last = [step["run"] for step in load(path)["runs"]["steps"] if "run" in step]
    assert (len(runs), last.strip()) == (2, IDENTITY)
    for name in ("pip", "sitecustomize", "runpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('proposed code ran')\n")
    for run in runs:
        program, *words = shlex.split(run)
        start = [sys.executable, *words[: words.index("pip") + 1], "--version"]
        done = subprocess.run(start, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (program, done.returncode, "proposed" in done.stdout + done.stderr) == ("python", 0, False), done.stderr


@pytest.mark.parametrize("name", ["promote", "rollback"])
def test_what_is_typed_into_a_button_is_never_an_option_or_a_program(name: str) -> None:
    """Every input is a variable in quotation marks, bound to its option or behind the last one."""
    (run,) = (step["run"] for _, step in steps(FOLDER / f"{name}.yml") if "run" in step)
    bare = re.sub(r'--[a-z]+="\$[A-Z]+"', "", run)
    assert re.findall(r"\$[A-Z]+", bare) == ["$MODEL"]
    assert bare.endswith(' -- "$MODEL"')
    inputs = load(FOLDER / f"{name}.yml")[True]["workflow_dispatch"]["inputs"]
    assert inputs["environment"]["type"] == "choice"
    assert inputs["model"]["required"] is True


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


@pytest.mark.parametrize("name", FIRST_HALF)
def test_proposed_code_sees_no_secret_and_no_writing_token(name: str) -> None:
    """The job that builds holds nothing; the one that may read the registry runs no proposed code and sees none."""
    path = FOLDER / f"{name}.yml"
    assert "secrets." not in path.read_text(encoding="utf-8")
    for job, one in load(path)["jobs"].items():
        assert one["permissions"] in ({}, {"contents": "read"}, {"contents": "read", "packages": "read"})
        told = yaml.safe_dump(one)
        builds = any("pr report" in step.get("run", "") for step in one["steps"])
        assert builds == (job == "report")
        assert ("github.token" in told) == (one["permissions"].get("packages") == "read")
        assert not builds or one["permissions"] == {"contents": "read"}
        assert all(
            step["with"]["persist-credentials"] is False
            for step in one["steps"]
            if "with" in step and "checkout" in step["uses"]
        )
    assert all("pull_request_target" not in file.read_text(encoding="utf-8") for file in FILES)


def test_a_public_repository_hands_no_artifact_of_a_private_registry_on() -> None:
    """The job with a token of the registry is for private repositories, whose readers may read it anyway."""
    jobs = load(FOLDER / "pull-request.yml")["jobs"]
    assert jobs["fetch"]["if"] == "github.event.repository.private"


def test_the_second_half_runs_main_and_waits_for_both_first_halves() -> None:
    """It checks out no head, names the workflows that it follows as they call themselves, and hears the merge queue."""
    publish = load(FOLDER / "publish.yml")
    assert publish[True]["workflow_run"]["workflows"] == [load(FOLDER / f"{name}.yml")["name"] for name in FIRST_HALF]
    (checkout,) = (step for _, step in steps(FOLDER / "publish.yml") if "checkout" in step.get("uses", ""))
    assert "ref" not in checkout["with"]
    assert "merge_group" in load(FOLDER / "pull-request.yml")[True]
    assert set(publish["jobs"]["publish"]["permissions"]) == {"actions", "checks", "contents", "pull-requests"}


@needs_engine
@pytest.mark.parametrize(
    ("event", "conclusion", "follows"),
    [
        ("pull_request", "success", True),
        ("pull_request", "failure", True),
        ("pull_request_review", "success", True),
        ("merge_group", "success", True),
        ("pull_request", "cancelled", False),
        *((event, "success", False) for event in ("push", "workflow_dispatch", "pull_request_target", "schedule")),
    ],
)
def test_the_second_half_follows_what_github_ran_on_proposals(event: str, conclusion: str, follows: bool) -> None:
    """A workflow that somebody pushed may be called as the first half; what it runs on is GitHub's word."""
    engine = Engine()
    try:
        context = {"github": {"event": {"workflow_run": {"event": event, "conclusion": conclusion}}}}
        condition = load(FOLDER / "publish.yml")["jobs"]["publish"]["if"]
        assert Expressions(engine).holds(condition, context, State()) == follows
    finally:
        engine.close()


@pytest.mark.parametrize("name", WITH_KEY)
def test_the_key_reaches_only_the_step_that_needs_it(name: str) -> None:
    """The signing key is in the environment of one step, of a job of the environment `release`, and of no other."""
    workflow = load(FOLDER / f"{name}.yml")
    assert "env" not in workflow
    for job in workflow["jobs"].values():
        assert "env" not in job
        if "steps" not in job:
            assert job["secrets"] == {n: f"${{{{ secrets.{n} }}}}" for n in job["secrets"]}
            continue
        assert job["environment"] == "release"
        with_key = [step["run"] for step in job["steps"] if "MODELOPS_SIGNING_KEY" in step.get("env", {})]
        assert len(with_key) == 1
        assert with_key[0].startswith("modelops ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_who_puts_something_into_the_registry_may(path: Path) -> None:
    """Releases and the rows of a retraining are written by three verbs; a token that may only read fails there."""
    for job in load(path)["jobs"].values():
        typed = " ".join(step.get("run", "") for step in job.get("steps", []))
        if re.search(r"modelops (release|reconcile|monitor)\b", typed):
            assert job["permissions"]["packages"] == "write"


def test_the_apps_key_is_for_steps_that_speak_as_it_on_the_branch() -> None:
    """Each step that has it runs one verb, in a job of the environment that only the branch may use."""
    having = set()
    for path in SCAFFOLDED:
        for job in load(path)["jobs"].values():
            for step in job.get("steps", ()):
                if "MODELOPS_APP_PRIVATE_KEY" in step.get("env", {}):
                    assert job["environment"] == "release"
                    assert step["env"]["MODELOPS_APP_ID"] == "${{ vars.MODELOPS_APP_ID }}"
                    having.add(f"{path.stem}: {step['run'].split()[1]}")
    assert having == {
        *("monitor: monitor", "promote: promote", "publish: pr", "reconcile: promote", "reconcile: reconcile"),
        *("release: release", "rollback: rollback"),
    }


def test_a_called_workflow_is_passed_every_secret_that_it_declares() -> None:
    """What is not passed is empty there, and the run red."""
    declared = load(FOLDER / "reconcile.yml")[True]["workflow_call"]["secrets"]
    (call,) = (job for job in load(FOLDER / "release.yml")["jobs"].values() if "uses" in job)
    assert call["secrets"].keys() == declared.keys()
    named = set(re.findall(r"secrets\.([A-Z_]+)", (FOLDER / "reconcile.yml").read_text()))
    assert named == declared.keys()
    needed = [job["permissions"] for job in load(FOLDER / "reconcile.yml")["jobs"].values()]
    assert all(needs.items() <= call["permissions"].items() for needs in needed)


def test_an_environment_is_reconciled_by_one_run_at_a_time() -> None:
    """Each environment has a group of its own in which runs wait for each other and are never cancelled."""
    jobs = load(FOLDER / "reconcile.yml")["jobs"]
    groups = {name: job["concurrency"] for name, job in jobs.items()}
    assert groups == {
        name: {"group": f"reconcile-{name}", "cancel-in-progress": False} for name in ("staging", "production")
    }
    assert {"workflow_dispatch", "workflow_call"} == set(load(FOLDER / "reconcile.yml")[True])


def happened(name: str, ref: str = "refs/heads/main", **payload: Any) -> Event:
    return Event(name, payload, ref, "0" * 40)


INTO_MAIN = {"pull_request": {"base": {"ref": "main"}}}
ELSEWHERE = {"pull_request": {"base": {"ref": "release-1"}}}


@pytest.mark.parametrize(
    ("event", "started"),
    [
        (happened("pull_request", action="opened", **INTO_MAIN), "pull-request"),
        (happened("pull_request", action="synchronize", **INTO_MAIN), "pull-request"),
        (happened("pull_request", action="reopened", **INTO_MAIN), "pull-request"),
        (happened("pull_request", action="closed", **INTO_MAIN), ""),
        (happened("pull_request", action="opened", **ELSEWHERE), ""),
        (happened("pull_request_review", action="submitted", **INTO_MAIN), "review"),
        (happened("pull_request_review", action="dismissed", **INTO_MAIN), "review"),
        (
            happened("merge_group", "refs/heads/gh-readonly-queue/main/pr-1-0", action="checks_requested"),
            "pull-request",
        ),
        (happened("workflow_run", workflow_run={"name": "pull-request"}, action="completed"), "publish"),
        (happened("workflow_run", workflow_run={"name": "review"}, action="completed"), "publish"),
        (happened("workflow_run", workflow_run={"name": "release"}, action="completed"), ""),
        (happened("push"), "release"),
        (happened("push", "refs/heads/propose-churn"), ""),
        (happened("schedule"), "monitor release"),
        (happened("workflow_dispatch"), "monitor promote reconcile release rollback"),
        (happened("pull_request_target", action="opened", **INTO_MAIN), ""),
    ],
    ids=lambda value: value.name if isinstance(value, Event) else None,
)
def test_each_event_starts_what_it_should_and_nothing_else(event: Event, started: str) -> None:
    """Which workflows run is read from their triggers, as GitHub reads them."""
    found = {path.stem: {on: None} if isinstance(on := load(path)[True], str) else on for path in SCAFFOLDED}
    assert sorted(name for name, on in found.items() if event.starts(on)) == started.split()


def test_no_report_and_no_button_is_lost_to_what_was_asked_later() -> None:
    """In a group one run waits, and a newer one takes its place: reports queue, and buttons are of one model each."""
    publish = load(FOLDER / "publish.yml")["concurrency"]
    assert (publish["queue"], publish["cancel-in-progress"]) == ("max", False)
    for name in ("promote", "rollback"):
        assert load(FOLDER / f"{name}.yml")["concurrency"]["group"] == (
            f"{name}-${{{{ inputs.model }}}}-${{{{ inputs.environment }}}}"
        )
    # A server that is older than the word would refuse the file.
    for path, data in workflow_files(Home(), hosted=False).items():
        assert b"queue" not in re.sub(rb"merge[-_ ]queue|the queue", b"", data), path
        assert yaml.safe_load(data).keys() == load(FOLDER / Path(path).name).keys()


def test_what_writes_is_never_ended_by_a_newer_run() -> None:
    """Every workflow waits for its like or ends it, and what is ended may only read."""
    ended = set()
    for path in SCAFFOLDED:
        workflow = load(path)
        jobs = workflow["jobs"].values()
        groups = [workflow["concurrency"]] if "concurrency" in workflow else [job["concurrency"] for job in jobs]
        if any(group["cancel-in-progress"] for group in groups):
            ended.add(path.stem)
            assert all(level == "read" for job in jobs for level in job["permissions"].values())
    assert ended == set(FIRST_HALF)


@pytest.mark.parametrize("branch", ["main", "trunk"])
def test_the_base_is_named_as_no_tag_can_be(branch: str) -> None:
    """Git takes a tag `origin/main` before the branch of that name."""
    for path, data in workflow_files(Home(branch=branch)).items():
        assert f"refs/remotes/origin/{branch}" in data.decode() or not path.endswith("pull-request.yml")
        assert not re.search(r"(?<!refs/remotes/)origin/", data.decode()), path


def test_no_store_travels_in_a_cache() -> None:
    """A cache can be read by every fork; what is cached are packages, whose hashes are checked again."""
    for path in [*FILES, *ACTION_FILES]:
        assert "actions/cache" not in path.read_text()
    for path in ACTION_FILES:
        installs = [step["run"] for step in load(path)["runs"]["steps"] if "pip install" in step.get("run", "")]
        assert installs
        assert all("--require-hashes" in run or "--no-index" in run for run in installs)


def minutes_a_month(files: list[Path], minutes_a_job: int) -> int:
    """Return what GitHub bills of a repository in which nothing happens: every job of every run of a schedule."""
    total = 0
    for path in files:
        workflow = load(path)
        for entry in workflow[True].get("schedule", ()) if isinstance(workflow[True], dict) else ():
            minute, hour, *rest = entry["cron"].split()
            assert (minute.isdigit(), hour.isdigit(), rest) == (True, True, ["*", "*", "*"])
            jobs = 0
            for job in workflow["jobs"].values():
                called = load(FOLDER / Path(job["uses"]).name)["jobs"] if "uses" in job else [job]
                jobs += len(called)
            total += 31 * jobs * minutes_a_job
    return total


def test_a_quiet_repository_costs_less_than_300_minutes_a_month() -> None:
    """Release, two environments and monitoring look once a day: four jobs, of two billed minutes at most."""
    assert minutes_a_month(SCAFFOLDED, 2) == 248


def test_what_is_scaffolded_is_what_the_project_runs() -> None:
    """One source of truth: the workflows are copied byte by byte; the action differs in what it installs alone."""
    scaffolded = workflow_files(Home())
    for path in SCAFFOLDED:
        assert scaffolded[f".github/workflows/{path.name}"] == path.read_bytes()
    ours, theirs = (load(path) for path in ACTION_FILES)
    assert ours["runs"]["steps"][0]["uses"] == theirs["runs"]["steps"][0]["uses"]


@needs_engine
def test_other_names_environments_and_folders_make_valid_workflows(tmp_path: Path) -> None:
    """A branch, a remote, a folder and a chain of three environments of other names go through GitHub's parser."""
    made = workflow_files(Home("trunk", "upstream", "ml/churn"), ("dev", "qa", "live"))
    engine = Engine()
    try:
        for path, data in made.items():
            engine.check(path, data.decode())
    finally:
        engine.close()
    jobs = yaml.safe_load(made[".github/workflows/modelops-ml-churn-reconcile.yml"])["jobs"]
    assert list(jobs) == ["dev", "qa", "live"]
    due = [[s["run"] for s in job["steps"] if "promote" in s.get("run", "")] for job in jobs.values()]
    assert due == [["modelops promote --to qa --due --yes"], ["modelops promote --to live --due --yes"], []]
    text = b"\n".join(made.values()).decode()
    assert "staging" not in text
    assert "origin/main" not in text
    assert "uses: ./.github/actions/modelops-ml-churn #" in text
    publish = yaml.safe_load(made[".github/workflows/modelops-ml-churn-publish.yml"])
    named = {yaml.safe_load(made[f".github/workflows/modelops-ml-churn-{n}.yml"])["name"] for n in FIRST_HALF}
    assert set(publish[True]["workflow_run"]["workflows"]) == named
    assert {s["if"].split("'")[1] for s in publish["jobs"]["publish"]["steps"] if "if" in s} == named


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
