"""A runner of GitHub workflows for tests: real git, real processes, and GitHub's own parser and expression engine.

A workflow is read from the commit that its event is about, as GitHub does, so what is run is what was pushed. What the
runner does not know it refuses, so that a step which nobody thought of does not pass. Without Node or its packages
(``npm ci`` in ``tests/workflows/engine``) the tests that need it are skipped.
"""

from __future__ import annotations

import contextlib
import copy
import fnmatch
import hashlib
import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from git_world import git
from github_world import ACCOUNTS

ENGINE = Path(__file__).parent / "workflows" / "engine"
ready = (ENGINE / "node_modules" / "@actions" / "expressions").is_dir() and shutil.which("node") is not None
needs_engine = pytest.mark.skipif(
    not ready, reason="no workflow engine here: Node, and npm ci in tests/workflows/engine"
)
SHELLS = {"bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"], "": ["bash", "-e"]}
LEVELS = {"none": 0, "read": 1, "write": 2}
USUAL = {"pull_request": ("opened", "synchronize", "reopened")}
"""What starts a workflow that names no types."""


class Refused(Exception):
    """GitHub refuses a workflow, or this runner does not know what it asks for."""


class Engine:
    """GitHub's parser and expression engine in a process of Node."""

    def __init__(self) -> None:
        command = ["node", str(ENGINE / "engine.mjs")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lock = threading.Lock()

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        if "failed" in answer:
            raise Refused(f"{question.get('evaluate', question.get('name'))}: {answer['failed']}")
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def check(self, name: str, text: str) -> None:
        """Refuse what GitHub's parser refuses."""
        errors = self.ask(parse=text, name=name)["errors"]
        if errors:
            raise Refused("\n".join(errors))


@dataclass
class State:
    """Whether all went well so far, for success(), failure() and cancelled()."""

    ok: bool = True
    cancelled: bool = False

    def data(self) -> dict[str, bool]:
        return {"ok": self.ok and not self.cancelled, "failed": not self.ok, "cancelled": self.cancelled}


class Expressions:
    """Values with ``${{ }}`` in them, by GitHub's rules."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def evaluate(self, expression: str, context: Mapping[str, Any], state: State) -> dict[str, Any]:
        return self.engine.ask(evaluate=expression, context=context, status=state.data())

    def fill(self, text: str, context: Mapping[str, Any], state: State) -> str:
        def value(found: re.Match[str]) -> str:
            return str(self.evaluate(found[1], context, state)["text"])

        return re.sub(r"\$\{\{(.*?)\}\}", value, text, flags=re.DOTALL)

    def resolve(self, value: Any, context: Mapping[str, Any], state: State) -> Any:
        if isinstance(value, dict):
            return {key: self.resolve(each, context, state) for key, each in value.items()}
        if isinstance(value, list):
            return [self.resolve(each, context, state) for each in value]
        if not isinstance(value, str) or "${{" not in value:
            return value
        whole = re.fullmatch(r"\s*\$\{\{((?:(?!\}\}).)*)\}\}\s*", value, re.DOTALL)
        return self.evaluate(whole[1], context, state)["value"] if whole else self.fill(value, context, state)

    def texts(self, values: Mapping[str, Any], context: Mapping[str, Any], state: State) -> dict[str, str]:
        found = self.resolve(dict(values), context, state)
        return {key: _text(value) for key, value in found.items()}

    def holds(self, condition: Any, context: Mapping[str, Any], state: State) -> bool:
        if condition is None:
            return state.ok and not state.cancelled
        text = str(condition).strip()
        text = text[3:-2] if text.startswith("${{") and text.endswith("}}") else text
        if not re.search(r"\b(success|failure|always|cancelled)\s*\(", text):
            text = f"success() && ({text})"
        return bool(self.evaluate(text, context, state)["true"])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass
class Event:
    """What happened, and the commit and ref that it is about."""

    name: str
    payload: dict[str, Any]
    ref: str
    sha: str
    fork: bool = False

    def starts(self, on: Mapping[str, Any]) -> bool:
        """Tell whether a workflow that names its events so is started."""
        if self.name not in on:
            return False
        asked = on[self.name] or {}
        if self.name in ("schedule", "workflow_dispatch"):
            return True
        usual = USUAL.get(self.name)
        if (types := asked.get("types", usual)) is not None and self.payload.get("action") not in types:
            return False
        if "workflows" in asked and self.payload["workflow_run"]["name"] not in asked["workflows"]:
            return False
        branch = self.payload["pull_request"]["base"]["ref"] if "pull_request" in self.payload else self.ref[11:]
        return not any(
            not any(fnmatch.fnmatchcase(branch, pattern) for pattern in asked[key])
            for key in ("branches",)
            if key in asked and self.name != "workflow_run"
        )


@dataclass
class JobRun:
    """How a job went; ``log`` is what its steps printed, secrets masked; ``environments`` what its programs saw."""

    name: str
    result: str = "success"
    outputs: dict[str, str] = field(default_factory=dict)
    steps: list[tuple[str, str, float]] = field(default_factory=list)
    log: str = ""
    environments: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Run:
    """A run of a workflow."""

    id: int
    file: str
    name: str
    event: Event
    jobs: dict[str, JobRun] = field(default_factory=dict)
    cancelled: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[bytes] | None = None

    def cancel(self) -> None:
        """End what runs; what did not begin does not."""
        self.cancelled.set()
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def conclusion(self) -> str:
        results = {job.result for job in self.jobs.values()}
        if self.cancelled.is_set():
            return "cancelled"
        return "failure" if "failure" in results else "skipped" if results == {"skipped"} else "success"

    @property
    def log(self) -> str:
        return "\n".join(f"{job.log}\n== {name}: {job.result} {job.steps}" for name, job in self.jobs.items())


class Group:
    """Runs of which one is carried out at a time and one waits; the newest takes the place of what waits.

    Those of a workflow that says so all wait.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.running: Run | None = None
        self.waiting: Run | None = None

    def enter(self, run: Run, *, ends: bool, queues: bool) -> bool:
        """Wait until a run may begin; False where a newer one came. ``ends`` cancels what is running instead."""
        with self.changed:
            while queues and self.running is not None:
                self.changed.wait()
            if self.running is not None:
                self.waiting = run
                self.changed.notify_all()
                if ends:
                    self.running.cancel()
                while self.running is not None and self.waiting is run:
                    self.changed.wait()
                if self.waiting is not run:
                    return False
                self.waiting = None
            self.running = run
            return True

    def leave(self) -> None:
        with self.changed:
            self.running = None
            self.changed.notify_all()


@dataclass
class Actions:
    """The runners of a repository: ``own`` is the label of one whose folder stays between jobs.

    Each job has a token of its own in ``tokens``, with the permissions that it asks for, which ends with it.
    ``deploying`` are the patterns of branches that alone may use an environment, as its deployment branch policies say.
    ``pythons`` is where environments lie that jobs share: what is installed by hash alone is installed once.
    """

    folder: Path
    remote: Path
    repository: str
    environ: Mapping[str, str]
    tokens: dict[str, dict[str, str]]
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    deploying: dict[str, list[str]] = field(default_factory=dict)
    own: str = "self-hosted"
    branch: str = "main"
    runs: list[Run] = field(default_factory=list)
    pythons: Path | None = None
    artifacts: dict[tuple[int, str], Path] = field(default_factory=dict)
    caches: dict[str, Path] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.engine = Engine()
        self.expressions = Expressions(self.engine)
        self.groups: dict[str, Group] = {}

    def close(self) -> None:
        self.engine.close()

    # --- what starts

    def files(self, sha: str) -> list[str]:
        listed = git(self.remote, "ls-tree", "--name-only", sha, ".github/workflows/")
        return [Path(name).name for name in listed.splitlines()]

    def load(self, name: str, sha: str) -> dict[str, Any]:
        text = git(self.remote, "show", f"{sha}:.github/workflows/{name}") + "\n"
        self.engine.check(name, text)
        found: dict[Any, Any] = yaml.safe_load(text)
        on = found.pop(True)
        found["on"] = {on: None} if isinstance(on, str) else dict.fromkeys(on) if isinstance(on, list) else on
        return found

    def emit(self, event: Event, only: str | None = None) -> list[Run]:
        """Run every workflow that an event starts, and then those that follow on them."""
        event, made = copy.deepcopy(event), list[Run]()
        for name in self.files(event.sha):
            workflow = self.load(name, event.sha)
            if (only is not None and name != only) or not event.starts(workflow["on"]):
                continue
            with self.lock:
                run = Run(len(self.runs) + 1, name, workflow.get("name", name), event)
                self.runs.append(run)
            self.run(workflow, run)
            made += [run, *self._follow(run)]
        return made

    def _follow(self, run: Run) -> list[Run]:
        """Run what waits for a run's end: from the default branch, with that branch's rights."""
        if run.event.name == "workflow_run":
            return []
        head = run.event.payload.get("pull_request", {}).get("head", {})
        home = (head.get("repo") or {}).get("full_name", self.repository)
        said = {
            "id": run.id,
            "name": run.name,
            "event": run.event.name,
            "conclusion": run.conclusion,
            "head_sha": head.get("sha", run.event.sha),
            "head_branch": head.get("ref", run.event.ref[11:]),
            "head_repository": {"full_name": home, "owner": {"login": home.partition("/")[0]}},
            "pull_requests": [] if run.event.fork or not head else [{"number": run.event.payload["number"]}],
        }
        payload = {"action": "completed", "workflow_run": said, "repository": run.event.payload["repository"]}
        ref = f"refs/heads/{self.branch}"
        return self.emit(Event("workflow_run", payload, ref, git(self.remote, "rev-parse", ref)))

    # --- a run

    def run(self, workflow: dict[str, Any], run: Run) -> None:
        inputs = self._dispatched(workflow, run.event)
        secrets = {} if run.event.fork else dict(self.secrets.get("", {}))
        base = {"github": self._github(run, workflow), "inputs": inputs, "vars": self.variables}
        with self._group(workflow.get("concurrency"), base, run) as may:
            if not may:
                run.cancelled.set()
            self._jobs(workflow, run, inputs, Call(secrets, True, None), "")

    def _dispatched(self, workflow: dict[str, Any], event: Event) -> dict[str, Any]:
        if event.name != "workflow_dispatch":
            return {}
        declared = (workflow["on"]["workflow_dispatch"] or {}).get("inputs", {})
        given, found = event.payload.get("inputs") or {}, {}
        for name in given.keys() - declared.keys():
            raise Refused(f"workflow_dispatch has no input {name}")
        for name, one in declared.items():
            if one.get("required") and not given.get(name, one.get("default")):
                raise Refused(f"the input {name} is required")
            value = given.get(name, one.get("default", ""))
            if one.get("type") == "choice" and value not in one["options"]:
                raise Refused(f"{value} is no option of the input {name}")
            found[name] = value
        event.payload["inputs"] = found
        return found

    def _jobs(self, workflow: dict[str, Any], run: Run, inputs: Mapping[str, Any], call: Call, prefix: str) -> bool:
        done: dict[str, JobRun] = {}
        for name, job in _in_order(workflow["jobs"]):
            needed = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            needs = {each: {"result": done[each].result, "outputs": done[each].outputs} for each in needed}
            state = State(all(each["result"] == "success" for each in needs.values()), run.cancelled.is_set())
            base = {"github": self._github(run, workflow), "needs": needs, "inputs": dict(inputs)}
            base |= {"vars": self.variables}
            record = JobRun(prefix + name)
            done[name] = run.jobs[prefix + name] = record
            if not self.expressions.holds(job.get("if"), base, state):
                record.result = "cancelled" if state.cancelled else "skipped"
            elif "uses" in job:
                self._call(job, run, base, call, record, prefix + name)
            else:
                with self._group(job.get("concurrency"), base, run) as may:
                    if refused := self._barred(job, run.event.ref):
                        record.result, record.log = "failure", refused
                    elif may and not run.cancelled.is_set():
                        OneJob(self, workflow, run, job, base, call, record).run()
                    else:
                        record.result = "cancelled"
        return all(one.result != "failure" for one in done.values())

    def _barred(self, job: Mapping[str, Any], ref: str) -> str:
        """Return why a job of this ref may not use its environment; GitHub starts no step of it then."""
        name = environment_of(job)
        patterns = self.deploying.get(name)
        branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""
        if patterns is None or any(branch and _names(pattern, branch) for pattern in patterns):
            return ""
        return f"{ref} is not allowed to deploy to {name} due to environment protection rules.\n"

    @contextlib.contextmanager
    def _group(self, concurrency: Any, base: Mapping[str, Any], run: Run) -> Iterator[bool]:
        """Let one of a group run at a time; yield whether it may, as a newer one takes the place of what waits."""
        group = concurrency.get("group") if isinstance(concurrency, dict) else concurrency
        if group is None:
            yield True
            return
        name = self.expressions.fill(group, base, State())
        with self.lock:
            held = self.groups.setdefault(name, Group())
        ends = isinstance(concurrency, dict) and concurrency.get("cancel-in-progress") is True
        queues = isinstance(concurrency, dict) and concurrency.get("queue") == "max"
        may = held.enter(run, ends=ends, queues=queues)
        try:
            yield may
        finally:
            if may:
                held.leave()

    def _call(
        self, job: dict[str, Any], run: Run, base: dict[str, Any], call: Call, record: JobRun, prefix: str
    ) -> None:
        called = self.load(Path(job["uses"]).name, run.event.sha)
        declared = called["on"]["workflow_call"] or {}
        given = self.expressions.resolve(job.get("with", {}), base, State())
        inputs = {name: given.get(name, one.get("default", "")) for name, one in declared.get("inputs", {}).items()}
        if job.get("secrets") == "inherit":
            passed, names = call.secrets, None
        else:
            words = job.get("secrets", {})
            passed = self.expressions.texts(words, {**base, "secrets": call.secrets}, State())
            names = set(words)
        if unknown := set(passed) - set(declared.get("secrets", {})) if names is not None else set():
            raise Refused(f"{job['uses']} has no secret {', '.join(sorted(unknown))}")
        further = Call(passed, call.inherit and names is None, names, job.get("permissions"))
        record.result = "success" if self._jobs(called, run, inputs, further, f"{prefix} / ") else "failure"

    def _github(self, run: Run, workflow: dict[str, Any]) -> dict[str, Any]:
        event, pull = run.event, run.event.payload.get("pull_request")
        actor = event.payload.get("sender", {}).get("login", "ada")
        return {
            "event": event.payload, "event_name": event.name, "sha": event.sha, "ref": event.ref,
            "ref_name": event.ref.split("/", 2)[2], "head_ref": pull["head"]["ref"] if pull else "",
            "base_ref": pull["base"]["ref"] if pull else "", "repository": self.repository,
            "repository_owner": self.repository.partition("/")[0], "actor": actor, "triggering_actor": actor,
            "actor_id": str(ACCOUNTS[actor]["id"]),
            "run_id": str(run.id), "run_number": str(run.id), "run_attempt": "1",
            "workflow": workflow.get("name", run.file),
            "workflow_ref": f"{self.repository}/.github/workflows/{run.file}@{event.ref}",
            "api_url": self.environ["GITHUB_API_URL"], "server_url": self.environ["GITHUB_SERVER_URL"],
        }  # fmt: skip


@dataclass
class Call:
    """What a called workflow gets: the secrets that its caller passes, and no more rights than the caller has."""

    secrets: dict[str, str]
    inherit: bool
    names: set[str] | None
    permissions: dict[str, str] | None = None


def environment_of(job: Mapping[str, Any]) -> str:
    """Return the name of the environment that a job is of, "" for none."""
    named = job.get("environment")
    return str((named.get("name") if isinstance(named, dict) else named) or "")


def _names(pattern: str, branch: str) -> bool:
    """Tell whether a pattern, in which no star stands for a slash, is of a branch."""
    parts, words = pattern.split("/"), branch.split("/")
    return len(parts) == len(words) and all(map(fnmatch.fnmatchcase, words, parts))


def _in_order(jobs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    waiting, done = dict(jobs), set[str]()
    while waiting:
        for name, job in list(waiting.items()):
            needs = job.get("needs", [])
            if set([needs] if isinstance(needs, str) else needs) <= done:
                yield name, waiting.pop(name)
                done.add(name)


class OneJob:
    """One job on one machine: a folder that ends with it, or that of a runner of one's own."""

    def __init__(
        self,
        actions: Actions,
        workflow: dict[str, Any],
        run: Run,
        job: dict[str, Any],
        base: dict[str, Any],
        call: Call,
        record: JobRun,
    ) -> None:
        self.actions, self.workflow, self.run_of, self.job, self.base = actions, workflow, run, job, base
        self.call, self.record, self.x = call, record, actions.expressions
        self.state, self.steps = State(), dict[str, Any]()
        label = _text(self.x.resolve(job["runs-on"], base, State()))
        self.hosted = label != actions.own
        place = actions.folder / (f"job-{run.id}-{len(run.jobs)}" if self.hosted else "own")
        self.place, self.workspace = place, place / "workspace"
        self.temp = actions.folder / f"temp-{run.id}-{len(run.jobs)}"
        self.workspace.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.temp, ignore_errors=True)
        self.temp.mkdir()
        self.tracked = f"github_{self.temp}"
        self.environment, self.path = dict[str, str](), list[str]()
        self.python = self.temp / "python"
        self.masks: list[str] = []
        self.later: list[Callable[[], None]] = []
        granted = job.get("permissions", workflow.get("permissions", {}))
        self.permissions: dict[str, str] = granted if isinstance(granted, dict) else {"contents": granted[:-4]}
        for name, level in self.permissions.items() if call.permissions is not None else ():
            if LEVELS[level] > LEVELS[call.permissions.get(name, "none")]:
                raise Refused(f"{record.name} asks for {name}: {level}, which its caller does not have")
        if run.event.fork:
            self.permissions = {name: "read" for name, level in self.permissions.items() if level != "none"}
        own = actions.secrets.get(environment_of(job), {}) if not run.event.fork else {}
        counted = {key: value for key, value in own.items() if call.inherit or key in (call.names or ())}
        self.token = f"ghs_job_{run.id}_{len(run.jobs)}_" + "x" * 20
        actions.tokens[self.token] = {name.replace("-", "_"): level for name, level in self.permissions.items()}
        self.secrets = {**call.secrets, **counted, "GITHUB_TOKEN": self.token}
        self.masks += [value for value in self.secrets.values() if len(value) > 3]

    def context(self, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        about = {"workspace": str(self.workspace), "job": self.record.name, "token": self.token}
        found = {
            **self.base,
            "github": {**self.base["github"], **about},
            "steps": self.steps,
            "secrets": self.secrets,
            "matrix": {},
            "job": {"status": "success" if self.state.ok else "failure"},
            "runner": {
                "os": "Linux",
                "arch": "X64",
                "temp": str(self.temp),
                "environment": "github-hosted" if self.hosted else "self-hosted",
            },
        }
        levels = [self.workflow.get("env", {}), self.job.get("env", {})]
        environment: dict[str, str] = {}
        for level in levels:
            environment |= self.x.texts(level, {**found, "env": environment}, self.state)
        return {**found, "env": {**environment, **self.environment}, **(extra or {})}

    def run(self) -> None:
        try:
            for index, step in enumerate(self.job["steps"]):
                self.step(step, str(index), self.steps, {})
            for each in reversed(self.later if self.state.ok else []):
                each()
            self.record.outputs = self.x.texts(self.job.get("outputs", {}), self.context(), self.state)
        finally:
            self.sweep()
            del self.actions.tokens[self.token]
        if self.run_of.cancelled.is_set():
            self.record.result = "cancelled"
        elif not self.state.ok and not self.job.get("continue-on-error"):
            self.record.result = "failure"
        if self.hosted:
            shutil.rmtree(self.place, ignore_errors=True)

    def step(self, step: dict[str, Any], index: str, steps: dict[str, Any], extra: Mapping[str, Any]) -> bool:
        self.state.cancelled = self.run_of.cancelled.is_set()
        name = step.get("name") or step.get("uses") or step["run"].strip().splitlines()[0]
        began = time.monotonic()
        key, context = step.get("id", f"__{index}"), {**self.context(extra), "steps": steps}
        if not self.x.holds(step.get("if"), context, self.state):
            steps[key] = {"outcome": "skipped", "conclusion": "skipped", "outputs": {}}
            self.record.steps.append((name, "skipped", 0.0))
            return True
        environment = self.x.texts(step.get("env", {}), context, self.state)
        context = {**context, "env": {**context["env"], **environment}}
        files = {}
        for what in ("ENV", "OUTPUT", "PATH", "STATE", "STEP_SUMMARY"):
            files[f"GITHUB_{what}"] = str(self.temp / f"{what.lower()}-{index}")
            Path(files[f"GITHUB_{what}"]).touch()
        ok, outputs = self.carry_out(step, context, files, index)
        outputs |= _pairs(Path(files["GITHUB_OUTPUT"]))
        self.environment |= _pairs(Path(files["GITHUB_ENV"]))
        self.path[:0] = Path(files["GITHUB_PATH"]).read_text().split("\n")[:-1][::-1]
        forgiven = self.x.resolve(step.get("continue-on-error", False), context, self.state) is True
        steps[key] = {"outcome": "success" if ok else "failure", "outputs": outputs}
        steps[key]["conclusion"] = "success" if ok or forgiven else "failure"
        self.record.steps.append((name, steps[key]["outcome"], round(time.monotonic() - began, 1)))
        summary = Path(files["GITHUB_STEP_SUMMARY"]).read_text()
        self.record.log += f"-- summary\n{summary}\n" if summary else ""
        self.state.ok = self.state.ok and (ok or forgiven)
        return ok

    def carry_out(
        self, step: dict[str, Any], context: dict[str, Any], files: Mapping[str, str], index: str
    ) -> tuple[bool, dict[str, str]]:
        if "run" in step:
            # What a workflow sets for its steps is not for those of an action.
            told = () if "action_path" in context["github"] else (self.workflow, self.job)
            defaults = {key: value for one in told for key, value in one.get("defaults", {}).get("run", {}).items()}
            shell = step.get("shell", defaults.get("shell", ""))
            if shell not in SHELLS:
                raise Refused(f"the shell {shell} is not known here")
            script = self.temp / f"step-{index}"
            script.write_text(self.x.fill(step["run"], context, self.state))
            below = self.x.fill(
                step.get("working-directory", defaults.get("working-directory", "")), context, self.state
            )
            command, where = [*SHELLS[shell], str(script)], self.workspace / below
            if self.actions.pythons is not None and "--require-hashes" in (words := step["run"].split()):
                named = where / words[words.index("--requirement") + 1]
                with self.actions.lock:
                    return self.install(named, step["run"], lambda: self.process(command, where, context, files)), {}
            return self.process(command, where, context, files), {}
        inputs = self.x.texts(step.get("with", {}), context, self.state)
        if step["uses"].startswith("./"):
            return self.composite(self.workspace / step["uses"], inputs, context, index)
        action = step["uses"].partition("@")[0]
        if action not in ACTIONS:
            raise Refused(f"the action {action} is not known here")
        known, carry_out = ACTIONS[action]
        if inputs.keys() - known:
            raise Refused(f"{action}: {', '.join(sorted(inputs.keys() - known))} is not known here")
        try:
            return True, carry_out(self, inputs) or {}
        except (subprocess.CalledProcessError, AssertionError, OSError) as error:
            self.record.log += f"{action}: {error}\n"
            return False, {}

    def composite(
        self, folder: Path, inputs: Mapping[str, str], context: dict[str, Any], index: str
    ) -> tuple[bool, dict[str, str]]:
        action = yaml.safe_load((folder / "action.yml").read_text())
        if action["runs"]["using"] != "composite":
            raise Refused(f"{folder.name} is no composite action")
        declared = action.get("inputs", {})
        if inputs.keys() - declared.keys():
            raise Refused(f"{folder.name} has no input {', '.join(inputs.keys() - declared.keys())}")
        given = {name: inputs.get(name, _text(one.get("default"))) for name, one in declared.items()}
        extra = {"inputs": given, "github": {**context["github"], "action_path": str(folder)}}
        steps: dict[str, Any] = {}
        ok = True
        for number, step in enumerate(action["runs"]["steps"]):
            assert "uses" in step or "shell" in step, "a composite action's step needs a shell"
            ok = self.step(step, f"{index}-{number}", steps, extra) and ok
        outputs = {name: one["value"] for name, one in action.get("outputs", {}).items()}
        return ok, self.x.texts(outputs, {**context, **extra, "steps": steps}, self.state)

    def process(self, command: list[str], where: Path, context: dict[str, Any], files: Mapping[str, str]) -> bool:
        about, event = context["github"], self.temp / "event.json"
        event.write_text(json.dumps(about["event"]))
        names = ("sha", "ref", "ref_name", "head_ref", "base_ref", "repository", "repository_owner", "event_name")
        names += ("run_id", "run_number", "run_attempt", "workflow", "workflow_ref", "actor", "api_url", "server_url")
        words = {f"GITHUB_{name.upper()}": str(about[name]) for name in names}
        words |= {"GITHUB_EVENT_PATH": str(event), "GITHUB_WORKSPACE": str(self.workspace), "GITHUB_ACTIONS": "true"}
        words |= {"CI": "true", "GITHUB_JOB": self.record.name, "RUNNER_TEMP": str(self.temp)}
        words |= {"RUNNER_ENVIRONMENT": context["runner"]["environment"], "RUNNER_OS": "Linux", "RUNNER_ARCH": "X64"}
        words |= {"RUNNER_NAME": self.place.name, "RUNNER_TRACKING_ID": self.tracked}
        path = ":".join([*self.path, self.actions.environ["PATH"]])
        seen = {**self.actions.environ, **words, **context["env"], **files, "PATH": path}
        self.record.environments.append(seen)
        with (self.temp / "log").open("w+b") as log:
            process = subprocess.Popen(
                command,
                cwd=where,
                env=seen,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.run_of.process = process
            process.wait(timeout=1800)
            self.run_of.process = None
            log.seek(0)
            said = log.read().decode(errors="replace")
        self.masks += re.findall(r"^::add-mask::(.*)$", said, re.MULTILINE)
        for secret in sorted(self.masks, key=len, reverse=True):
            for line in {secret, *[each for each in secret.splitlines() if len(each) > 8]}:
                said = said.replace(line, "***")
        self.record.log += said
        return process.returncode == 0

    def sweep(self) -> None:
        """End what the job left running: on a hosted machine everything, on one of one's own what carries its mark."""
        # Whole words, as another job, also of a world beside this one, may be called so and some more.
        mark = f"{self.place}/" if self.hosted else f"RUNNER_TRACKING_ID={self.tracked}\0"
        for process in Path("/proc").iterdir():
            if not process.name.isdigit() or int(process.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                words = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                if mark.encode() in words or (self.hosted and f"{(process / 'cwd').readlink()}/".startswith(mark)):
                    os.kill(int(process.name), signal.SIGKILL)

    # --- actions

    def checkout(self, inputs: Mapping[str, str]) -> None:
        """Do what actions/checkout does: all history with fetch-depth 0, the event's commit else.

        When the branch has moved on since, origin's is put back to the event's commit, as the action does.
        """
        where, event = self.workspace / inputs.get("path", ""), self.run_of.event
        where.mkdir(parents=True, exist_ok=True)
        if not (where / ".git").exists():
            git(where, "init", "-q", "-b", "master")
            git(where, "remote", "add", "origin", str(self.actions.remote))
        if inputs.get("clean") != "false":
            git(where, "clean", "-ffdxq")
        ref, commit = inputs.get("ref") or event.ref, event.sha
        ref, commit = ("", ref) if re.fullmatch(r"[0-9a-f]{40}", ref) else (ref, commit if ref == event.ref else "")
        if inputs.get("fetch-depth") == "0":
            git(
                where,
                "fetch",
                "-q",
                "--prune",
                "origin",
                "+refs/heads/*:refs/remotes/origin/*",
                "+refs/tags/*:refs/tags/*",
            )
        if ref.startswith("refs/pull/") or not ref:
            git(where, "fetch", "-q", "origin", commit or ref)
            git(where, "checkout", "-q", "--force", "--detach", "FETCH_HEAD")
        else:
            name = ref.removeprefix("refs/heads/")
            git(where, "fetch", "-q", "origin", f"+{commit or f'refs/heads/{name}'}:refs/remotes/origin/{name}")
            git(where, "checkout", "-q", "--force", "-B", name, f"refs/remotes/origin/{name}")
        may = self.permissions.get("contents") == "write"
        if inputs.get("persist-credentials") == "false" or not may:
            git(where, "config", "remote.origin.pushurl", "file:///no-credentials-that-may-push")
        else:
            subprocess.run(["git", "config", "--unset", "remote.origin.pushurl"], cwd=where, check=False)

    def setup_python(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """Put a new environment on the path that finds every package but modelops, which has to be installed."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.python)], check=True)
        packages = next(self.python.glob("lib/python*/site-packages"))
        (packages / "others.pth").write_text("".join(f"{path}\n" for path in site.getsitepackages()))
        self.path.insert(0, str(self.python / "bin"))
        return {"python-version": f"{sys.version_info[0]}.{sys.version_info[1]}"}

    def install(self, named: Path, run: str, pip: Callable[[], bool]) -> bool:
        """Install what a file names by hash; where another job did the very same, use its environment.

        As pip holds every package to its hash, the same command over the same files leaves the same environment. The
        first of its kind is made by pip, and nothing is kept of one that failed.
        """
        assert self.actions.pythons is not None
        before = "" if self.python.parent == self.temp else self.python.parent.name
        told = hashlib.sha256(f"{before}/{run}/".encode())
        for file in [named, *sorted(named.parent.glob("*.whl"))]:
            told.update(file.read_bytes() if file.exists() else b"")
        here = self.actions.pythons / told.hexdigest()[:16] / "python"
        was = self.path.index(str(self.python / "bin"))
        there = here.is_dir()
        if not there:
            shutil.copytree(self.python, here, symlinks=True)
        self.path[was], self.python = str(here / "bin"), here
        if there:
            self.record.log += f"{run}: installed before\n"
            return True
        if pip():
            return True
        shutil.rmtree(here.parent)
        return False

    def cache(self, inputs: Mapping[str, str]) -> dict[str, str]:
        key = inputs["key"]
        self.actions.caches.setdefault(key, self.actions.folder)
        return {"cache-hit": "false"}

    def upload(self, inputs: Mapping[str, str]) -> None:
        found = [self.workspace / line.strip() for line in inputs["path"].splitlines() if line.strip()]
        found = [path for path in found if path.exists()]
        if not found:
            assert inputs.get("if-no-files-found", "warn") != "error", f"nothing at {inputs['path']}"
            return
        key = (self.run_of.id, inputs["name"])
        assert key not in self.actions.artifacts or inputs.get("overwrite") == "true", (
            f"{inputs['name']} is there already"
        )
        to = self.actions.folder / f"artifact-{key[0]}-{key[1]}"
        shutil.rmtree(to, ignore_errors=True)
        for path in found:
            if path.is_dir():
                shutil.copytree(path, to, dirs_exist_ok=True)
            else:
                to.mkdir(exist_ok=True)
                shutil.copy(path, to)
        self.actions.artifacts[key] = to

    def download(self, inputs: Mapping[str, str]) -> None:
        run = int(inputs.get("run-id") or self.run_of.id)
        if run != self.run_of.id:
            assert self.permissions.get("actions") in ("read", "write"), "reading another run needs actions: read"
            assert inputs.get("github-token"), "reading another run needs a token"
        found = {
            name: path
            for (id, name), path in self.actions.artifacts.items()
            if id == run and fnmatch.fnmatchcase(name, inputs.get("name") or inputs.get("pattern", "*"))
        }
        assert found or not inputs.get("name"), f"run {run} has no artifact {inputs.get('name')}"
        for name, path in found.items():
            to = self.workspace / inputs.get("path", "")
            apart = not inputs.get("name") and inputs.get("merge-multiple") != "true"
            shutil.copytree(path, to / name if apart else to, dirs_exist_ok=True)


ACTIONS: dict[str, tuple[set[str], Callable[[OneJob, Mapping[str, str]], dict[str, str] | None]]] = {
    "actions/checkout": (
        {"fetch-depth", "ref", "path", "clean", "persist-credentials", "lfs"},
        OneJob.checkout,
    ),
    "actions/setup-python": ({"python-version", "cache", "cache-dependency-path"}, OneJob.setup_python),
    "actions/cache": ({"path", "key", "restore-keys"}, OneJob.cache),
    "actions/upload-artifact": (
        {"name", "path", "if-no-files-found", "retention-days", "overwrite", "include-hidden-files"},
        OneJob.upload,
    ),
    "actions/download-artifact": (
        {"name", "pattern", "path", "run-id", "github-token", "merge-multiple"},
        OneJob.download,
    ),
}


def _pairs(file: Path) -> dict[str, str]:
    """Read what a step set: ``name=value``, or ``name<<END`` and lines up to END."""
    found, lines = {}, iter(file.read_text().splitlines())
    for line in lines:
        if many := re.fullmatch(r"([^=<]+)<<(.+)", line):
            body = []
            for each in lines:
                if each == many[2]:
                    break
                body.append(each)
            found[many[1]] = "\n".join(body)
        elif "=" in line:
            name, _, found[name] = line.partition("=")  # type: ignore[misc]
    return found
