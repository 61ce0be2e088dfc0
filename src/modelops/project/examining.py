"""The living repository, examined: its forge, its store, its workflows and who owns its files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from modelops import __version__
from modelops.errors import Exit, ModelOpsError
from modelops.forges import Examined, Job, Jobs, Point
from modelops.project.target import rendered_by, target_of
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph

__all__ = ["examine"]

_WORKFLOWS = ".github/workflows/"
_OWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
_NEEDS_A_RUNTIME = re.compile(r"\bmodelops\s+(reconcile|monitor)\s+([^\s\\;&|]+)")
_COMMITS = re.compile(r"\bmodelops\s+(release|reconcile)\b")
_TELLS = re.compile(r"\bmodelops\s+pr\s+(publish|approvals)\b")
_CALLS = "./"
_HOSTED = re.compile(r"^(ubuntu|windows|macos)-", re.IGNORECASE)
_NOBODYS = "sha256:" + "0" * 64


def examine(workspace: Workspace, away: ModelOpsError | None) -> tuple[Point, ...] | None:
    """Return how the repository stands where others work in it; None where its forge has no settings of its own.

    A forge that cannot be asked is one point that cannot be seen, and keeps the others from nothing; ``away`` is why
    the remote cannot be. The project must be the one that was approved: it says who is told the token.
    """
    try:
        forge = workspace.forge
    except ModelOpsError as error:
        return (Point("forge", "fails", error.first.message, error.first.hint),)
    if not isinstance(forge, Examined):
        return None
    points: list[Point] = [] if away is None else [_away("remote", away)]
    try:
        points += forge.examine(_secrets(workspace), _speaking(workspace))
    except ModelOpsError as error:
        points.append(_away("forge", error))
    return (*points, *_here(workspace))


def _away(name: str, error: ModelOpsError) -> Point:
    if error.exit is not Exit.WORLD or error.first.code.startswith("app-"):
        return Point(name, "fails", error.first.message, error.first.hint)
    return Point(name, "unseen", f"cannot see it: {error.first.message}", error.first.hint)


def _secrets(workspace: Workspace) -> tuple[str, ...]:
    """Return the names of the secrets that hold the keys which sign."""
    signing = workspace.project.signing
    named = [signing.variable, *(one.variable for one in signing.purposes.values())]
    return tuple(dict.fromkeys(name for name in named if name))


def _here(workspace: Workspace) -> Iterator[Point]:
    yield _store(workspace)
    try:
        tip, graph = workspace.known()
    except ModelOpsError as error:
        yield Point("specs", "fails", error.first.message, error.first.hint)
        return
    yield _owners(workspace, tip)
    yield from _runners(workspace, tip, graph)
    yield Point("version", "holds", f"modelops {__version__} here")


def _store(workspace: Workspace) -> Point:
    """Say whether releases outlive the machine that makes them."""
    kind = workspace.project.store.type
    if kind == "oci-layout":
        mend = (
            "name a registry in policies/project.yaml: store: {type: oci-registry, params: {registry: ghcr.io, "
            "repository: OWNER/NAME}}"
        )
        said = "releases lie on the machine that makes them, and a job's machine is thrown away"
        return Point("store", "fails", said, mend)
    try:
        workspace.store.has(_NOBODYS)
    except ModelOpsError as error:
        denied = "unauthorized" in error.first.code or "forbidden" in error.first.code
        if denied:
            mend = "in a job: docker login with the job's token, and `packages: write` in its permissions"
            return Point("store", "unseen", f"cannot see it: {error.first.message}", error.first.hint or mend)
        return Point("store", "fails", error.first.message, error.first.hint)
    return Point("store", "holds", f"{workspace.store.address.text} answers")


def _owners(workspace: Workspace, tip: str) -> Point:
    found = next((path for path in _OWNERS if path in workspace.repository.paths(tip, path)), None)
    if found is None:
        mend = "write .github/CODEOWNERS: who owns models/, policies/ and .github/, one line each"
        return Point("codeowners-file", "fails", "there is no CODEOWNERS, so nobody in particular is asked", mend)
    return Point("codeowners-file", "holds", found)


def _runners(workspace: Workspace, tip: str, graph: Graph) -> Iterator[Point]:
    """Say of each job that reconciles or monitors whether what it starts outlives it."""
    passing = {name for name in graph.environments if _passes(workspace, graph, name)}
    for path in workspace.repository.paths(tip, _WORKFLOWS):
        if not path.endswith((".yml", ".yaml")):
            continue
        for job, runs_on, text in _jobs(_workflow(workspace.repository.read(tip, path))):
            named = {environment.strip("'\"") for _, environment in _NEEDS_A_RUNTIME.findall(text)}
            if not named:
                continue
            # A name that is filled in when the job runs may be any of them.
            meant = passing & named or (passing if any("$" in name for name in named) else set())
            yield _runner(f"{path}: {job}", runs_on, meant)


def _speaking(workspace: Workspace) -> Jobs:
    """Return the jobs that commit, also by a workflow that they call, and those that write the checks."""
    repository, tip = workspace.repository, workspace.repository.find_tip(workspace.branch)
    if tip is None:
        return {}
    paths = [path for path in repository.paths(tip, _WORKFLOWS) if path.endswith((".yml", ".yaml"))]
    read = {path: _workflow(repository.read(tip, path)) for path in paths}
    verbs = {path: "\n".join(text for _, _, text in _jobs(found)) for path, found in read.items()}
    jobs: dict[str, Job] = {}
    for path, found in read.items():
        for name, _, text in _jobs(found):
            job = found["jobs"][name]
            called = str(job.get("uses") or "").removeprefix(_CALLS)
            commits = bool(_COMMITS.search(text) or _COMMITS.search(verbs.get(called, "")))
            tells = bool(_TELLS.search(text))
            if commits or tells:
                permissions = _permissions(job.get("permissions", found.get("permissions")))
                jobs[f"{path}: {name}"] = Job(permissions, _variables(found, job), commits, tells)
    return jobs


def _variables(workflow: Mapping[str, Any], job: Mapping[str, Any]) -> frozenset[str]:
    """Return the variables that every step has which writes the checks."""
    around = {str(name) for each in (workflow, job) for name in each.get("env") or ()}
    steps = [step for step in job.get("steps") or () if isinstance(step, Mapping)]
    telling = [step for step in steps if _TELLS.search(str(step.get("run") or ""))]
    found = [around | {str(name) for name in step.get("env") or ()} for step in telling]
    return frozenset(set.intersection(*found) if found else around)


def _permissions(said: Any) -> Mapping[str, str] | None:
    if isinstance(said, str):
        return dict.fromkeys(("checks", "contents", "pull-requests"), said.removesuffix("-all"))
    return {str(key): str(level) for key, level in said.items()} if isinstance(said, Mapping) else None


def _runner(where: str, runs_on: str, passing: set[str]) -> Point:
    names = ", ".join(sorted(passing))
    if not passing:
        return Point("runner", "holds", f"{where}: what it looks after runs elsewhere")
    if "$" in runs_on:
        said = f"cannot see on what {where} runs ({runs_on}); {names} needs a machine that stays"
        mend = "gh variable list says what is filled in; then: gh variable set MODELOPS_RUNNER --body self-hosted"
        return Point("runner", "unseen", said, mend)
    if _HOSTED.match(runs_on):
        said = f"{where} runs on {runs_on}, which is thrown away with what it starts for {names} [ephemeral-target]"
        mend = "runs-on: [self-hosted, modelops], or a target that stays: policies/environments/NAME.yaml"
        return Point("runner", "fails", said, mend)
    return Point("runner", "holds", f"{where} runs on {runs_on}")


def _passes(workspace: Workspace, graph: Graph, name: str) -> bool:
    """Tell whether what runs for an environment ends with a hosted job."""
    try:
        if rendered_by(graph, name) is not None:
            return False
        target = target_of(workspace, graph, name)
        return not target.runner.durable(target.params, {"RUNNER_ENVIRONMENT": "github-hosted"})
    except ModelOpsError:
        return False


def _workflow(data: bytes) -> Mapping[str, Any]:
    """Return a workflow as YAML has it; what is none is empty."""
    try:
        document: Any = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, Mapping) else {}


def _jobs(workflow: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the jobs of a workflow: name, what it runs on, and what its steps run."""
    jobs = workflow.get("jobs")
    for name, job in jobs.items() if isinstance(jobs, Mapping) else ():
        if isinstance(job, Mapping):
            steps = [step for step in job.get("steps") or () if isinstance(step, Mapping)]
            yield name, _runs_on(job.get("runs-on")), "\n".join(str(step.get("run") or "") for step in steps)


def _runs_on(said: Any) -> str:
    if isinstance(said, Mapping):
        said = said.get("labels") or said.get("group")
    labels = [said] if isinstance(said, str) else [str(one) for one in said or ()]
    # A runner of one's own has that label first or not at all; a hosted one has no other.
    return "self-hosted" if "self-hosted" in labels else next(iter(labels), "")
