"""Checking a whole repository for problems, model by model, on every processor: cost in time and memory stays low.

What a model's files may refer to lies in its own folder or in the policies, so folders are independent of each other.
Small processes forked after the imports take folders from one queue; the first process checks the policies, whose
plugins are slow to import, before it takes folders too.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelops.clock import parse_instant
from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.spec.around import Collection, Folder, Known, Metrics, collect
from modelops.spec.graph import (
    data_locations,
    draft_problems,
    identities,
    in_order,
    models_in,
    parameter_problems,
    plugins_named,
    policy_problems,
)
from modelops.spec.judging import Judge, rule_of
from modelops.spec.kinds import place
from modelops.spec.kinds.alert_policy import unknown_owners
from modelops.spec.kinds.monitor import metric_problems
from modelops.spec.layout import ENVIRONMENT, POLICIES
from modelops.spec.load import load_all, load_resource
from modelops.spec.meta import Plugin
from modelops.spec.parameters import loses_log, policy_warnings
from modelops.spec.references import folder_problems
from modelops.spec.resource import AnyResource, at
from modelops.spec.rollouts import PLAN_SHELVES, Severity, ordinary, plan_problems, plan_questions
from modelops.spec.yaml.text import hidden

FOLDERS_AT_ONCE = 40
ALONE_BELOW = 120
"""Up to so many folders one process is faster than several."""

Read = Callable[[str], bytes]
Named = tuple[str, str, str, str, str]
"""A plugin as a folder names it: shelf, type, parameters as JSON, path of the file, dotted path."""


@dataclass(slots=True)
class Findings:
    """What a sweep found; ``files`` and ``models`` count what was looked at."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    files: int = 0
    models: int = 0
    used: set[str] = field(default_factory=set)
    named: list[Named] = field(default_factory=list)
    owners: set[str] = field(default_factory=set)

    def add_hidden(self, data: bytes, path: str) -> None:
        """Add what a file holds that its reader does not see."""
        found = hidden(data, path)
        if found is not None:
            (self.problems if found[0] == "error" else self.warnings).append(found[1])

    def to_json(self) -> bytes:
        """Return the findings as the bytes that one process sends another."""
        told = [[_row(problem) for problem in problems] for problems in (self.problems, self.warnings)]
        return json.dumps([*told, self.files, self.models, sorted(self.used), self.named, sorted(self.owners)]).encode()

    def add(self, data: bytes) -> None:
        """Add what another process sent."""
        problems, warnings, files, models, used, named, owners = json.loads(data)
        self.problems += map(_problem, problems)
        self.warnings += map(_problem, warnings)
        self.files += files
        self.models += models
        self.used.update(used)
        self.named += (tuple(row) for row in named)
        self.owners.update(owners)


def _row(problem: Problem) -> list[str | int | None]:
    where = problem.location
    place_of = [where.path, where.line, where.column] if where else [None, 0, 0]
    return [problem.code, problem.message, problem.dotted, problem.hint, *place_of]


def _problem(row: Sequence[Any]) -> Problem:
    code, message, dotted, hint, path, line, column = row
    return Problem(code, message, Location(path, line, column) if path is not None else None, dotted, hint)


@dataclass(frozen=True, slots=True)
class _Work:
    """What every process knows before it takes its first folder."""

    read: Read
    folders: Sequence[tuple[str, Sequence[str]]]
    known: Known
    judge: Judge
    findings: Findings
    metrics: Callable[[], Metrics] | None = None
    policies: Collection = field(default_factory=Collection)

    def with_metrics(self) -> Known:
        """Return the known names with those of the metrics, which are slow to import and seldom needed here."""
        return replace(self.known, metrics=self.metrics()) if self.metrics else self.known

    def load(self, paths: Iterable[str]) -> dict[str, bytes]:
        files = {}
        for path in paths:
            try:
                files[path] = self.read(path)
            except ModelOpsError as error:
                self.findings.problems += error.problems
                continue
            self.findings.add_hidden(files[path], path)
        self.findings.files += len(files)
        return files

    def check(self, index: int) -> None:
        """Check one share of the folders."""
        findings = self.findings
        for _, paths in self.folders[index * FOLDERS_AT_ONCE : (index + 1) * FOLDERS_AT_ONCE]:
            loaded = load_all(self.load(paths))
            collection = collect(loaded.resources.values())
            findings.problems += loaded.problems
            for draft in loaded.drafts:
                known = self.known if draft.resource.kind != "Monitor" else self.with_metrics()
                findings.problems += draft_problems(draft, collection, known)
            self.judge.assume(loaded.broken)
            for folder in collection.folders.values():
                findings.problems += folder_problems(folder, self.policies, self.known)
                model = folder.only("Model")
                findings.models += model is not None
                findings.owners |= {model.spec.owner} if model is not None else set()
            for severity, problem in self.judge.judge(loaded.resources.values(), collection.risks()):
                (findings.problems if severity == "error" else findings.warnings).append(problem)
            findings.named += _watched(collection)
            for folder in collection.folders.values():
                findings.named += plan_questions(folder)
                findings.named += _acknowledged(folder, self.policies)
            findings.named += (
                (shelf, plugin.type, json.dumps(plugin.params, sort_keys=True), resource.path, dotted)
                for shelf, plugin, resource, dotted in plugins_named(collection)
            )
        findings.used |= self.judge.used


def _watched(collection: Collection) -> Iterator[Named]:
    """Yield the metrics that monitors watch, in the form of plugins: their names too are slow to import."""
    for folder in collection.folders.values():
        monitor = folder.only("Monitor")
        if monitor is not None and monitor.spec.performance is not None:
            model = folder.only("Model")
            task = json.dumps({"task": model.spec.task if model is not None else None})
            yield "metrics", monitor.spec.performance.metric, task, monitor.path, "spec.performance.metric"


_KEPT = "kept logs"


def _acknowledged(folder: Folder, policies: Collection) -> Iterator[Named]:
    """Yield the targets where a model answers by what is on disk, as plugins; the last word is the environment."""
    model = folder.only("Model")
    if model is None or model.spec.serving.log != "acknowledged":
        return
    targets = {one.name: one.spec.target for one in policies.of("Environment").values()}
    for deployment in folder.of("Deployment").values():
        target = targets.get(deployment.name)
        if target is not None and (deployment.spec.stable is not None or deployment.spec.candidate is not None):
            yield _KEPT, target.type, json.dumps(target.params, sort_keys=True), model.path, deployment.name


def sweep(
    paths: Iterable[str],
    read: Read,
    *,
    metrics: Callable[[], Metrics] | None = None,
    every_path: frozenset[str] | None = None,
    only: frozenset[str] | None = None,
    processes: int | None = None,
    models: Iterable[str] = (),
    today: str = "",
) -> Findings:
    """Return every problem of a repository.

    ``paths`` are its YAML files below ``models/`` and ``policies/``, read one by one with ``read``. ``every_path`` are
    all paths, for files that are only named; ``metrics`` gives the metrics that a monitor may watch. With
    ``only``, what lies beyond the specs (parameters of plugins, metrics) is checked for these files alone. ``models``
    are those there are beside the ones whose files are given. ``today`` is the day by which waivers are judged.
    """
    policies, folders = _by_folder(paths)
    names = identities([*policies, *(path for _, some in folders for path in some)])
    known = Known(names, None, every_path, None, models_in(names) | frozenset(models))
    findings = Findings()
    work = _Work(read, folders, known, Judge(()), findings)
    loaded = load_all(work.load(policies))
    collection = collect(loaded.resources.values())
    known = replace(known, locations=data_locations(collection))
    findings.problems += [*loaded.problems, *policy_problems(collection, known)]
    judge = Judge(collection.of("Rule").values())
    findings.problems += judge.problems
    judge.assume(loaded.broken)
    for severity, problem in judge.judge(loaded.resources.values(), {}):
        (findings.problems if severity == "error" else findings.warnings).append(problem)
    work = _Work(read, folders, known, judge, findings, metrics, collection)

    def check_policies() -> None:
        for shelf, plugin, resource, dotted in plugins_named(collection):
            if only is None or resource.path in only:
                findings.problems += parameter_problems(shelf, plugin, resource, dotted)
        for policy in collection.of("GatePolicy").values():
            if only is None or policy.path in only:
                findings.warnings += policy_warnings(policy)

    _share(work, check_policies, processes or os.cpu_count() or 1)
    findings.problems += _late_parameters(findings.named, read, only, metrics)
    findings.problems += _late_logs(findings.named, read)
    for severity, problem in _late_plans(findings.named, read, only):
        (findings.problems if severity == "error" else findings.warnings).append(problem)
    findings.problems += _late_owners(collection, findings, known)
    judge.used |= findings.used
    findings.warnings += [*judge.constant(), *judge.unused()]
    waivers = [one for path, one in sorted(collection.of("Waiver").items())]
    _except_waived(findings, waivers, today)
    findings.warnings += [_over(one) for one in waivers if one.spec.expires < today]
    findings.warnings += [_unneeded(one) for _, one in sorted(collection.of("Silence").items()) if _past(one, today)]
    findings.problems.sort(key=in_order)
    findings.warnings.sort(key=in_order)
    return findings


def _except_waived(findings: Findings, waivers: Iterable[AnyResource], today: str) -> None:
    """Turn rules that a waiver of these files is about into warnings; if it was granted is asked where it counts."""
    for problem in list(findings.problems):
        waiver = next((one for one in waivers if _excepts(one, problem, today)), None)
        if waiver is not None:
            findings.problems.remove(problem)
            said = f"{problem.message}: waived until {waiver.spec.expires} by {waiver.name}, once that is granted"
            findings.warnings.append(replace(problem, code="rule-waived", message=said))


def _over(waiver: AnyResource) -> Problem:
    said = f"the waiver {waiver.name!r} expired on {waiver.spec.expires}, so it excepts nothing"
    hint = "delete its file, or give it another end, in a reviewed pull request"
    return Problem("waiver-expired", said, waiver.marks.get("spec.expires"), "spec.expires", hint)


def _past(silence: AnyResource, today: str) -> bool:
    """Tell whether a silence has ended before a day; without a day nothing has."""
    return bool(today) and silence.spec.ends <= parse_instant(today)


def _unneeded(silence: AnyResource) -> Problem:
    said = f"the silence {silence.name!r} ended with {silence.spec.expires}, so people are told again"
    hint = "delete its file, or give it another end, in a reviewed pull request"
    return Problem("silence-expired", said, silence.marks.get("spec.expires"), "spec.expires", hint)


def _excepts(waiver: AnyResource, problem: Problem, today: str) -> bool:
    rule, spec = rule_of(problem), waiver.spec
    placed = place(problem.location.path) if rule is not None and problem.location is not None else None
    if placed is None or spec.rule != rule or placed[1] not in spec.models:
        return False
    here = placed[0] != "Deployment" or not {"*", placed[2]}.isdisjoint(spec.environments)
    return here and (spec.begins or "") <= today <= spec.expires


def _by_folder(paths: Iterable[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Split paths into those of the policies and those of each model."""
    policies: list[str] = []
    folders: dict[str, list[str]] = {}
    for path in sorted(paths):
        if path.startswith(POLICIES):
            policies.append(path)
        else:
            found = place(path)
            model = found[1] if found else None
            folders.setdefault(model or "", []).append(path)
    return policies, list(folders.items())


def _share(work: _Work, first: Callable[[], None], processes: int) -> None:
    """Check all folders, in this process and in as many forked ones as help."""
    shares = -(-len(work.folders) // FOLDERS_AT_ONCE)
    if len(work.folders) < ALONE_BELOW or processes < 2 or not hasattr(os, "fork"):
        first()
        for index in range(shares):
            work.check(index)
        return
    queue, feed = os.pipe()
    # Two bytes a share: a pipe holds tens of thousands, and a read takes one whole entry from it or none.
    shares = min(shares, 4096)
    os.write(feed, b"".join(index.to_bytes(2, "big") for index in range(shares)))
    os.close(feed)
    pipes = [_fork(work, queue) for _ in range(min(processes, 8) - 1)]
    first()
    for index in _taken(queue):
        work.check(index)
    os.close(queue)
    for child, pipe in pipes:
        with os.fdopen(pipe, "rb") as stream:
            data = stream.read()
        _, status = os.waitpid(child, 0)
        if status:
            raise failure("worker-lost", f"a checking process ended with status {status}", exit=Exit.WORLD)
        work.findings.add(data)


def _taken(queue: int) -> Iterator[int]:
    while entry := os.read(queue, 2):
        yield int.from_bytes(entry, "big")


def _fork(work: _Work, queue: int) -> tuple[int, int]:
    """Start a process that takes shares until there are none; return its id and the pipe of its findings."""
    receive, send = os.pipe()
    child = os.fork()
    if child:
        os.close(send)
        return child, receive
    status = int(Exit.BUG)
    try:
        mine = replace(work, findings=Findings())
        for index in _taken(queue):
            mine.check(index)
        with os.fdopen(send, "wb") as stream:
            stream.write(mine.findings.to_json())
        status = 0
    finally:
        # Never back into the caller's frames: this is a copy of its process.
        if status:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        os._exit(status)


def _late_parameters(
    named: Iterable[Named],
    read: Read,
    only: frozenset[str] | None,
    metrics: Callable[[], Metrics] | None,
) -> Iterator[Problem]:
    """Yield the problems of what models' folders name beyond the specs, each distinct set checked once."""
    sets: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for shelf, kind, params, path, dotted in named:
        if shelf not in PLAN_SHELVES and shelf != _KEPT and (only is None or path in only):
            sets.setdefault((shelf, kind, params), []).append((path, dotted))
    for (shelf, kind, params), places in sets.items():
        if shelf == "metrics":
            if metrics is not None:
                task, catalog = json.loads(params)["task"], metrics()
                for path, _ in places:
                    yield from metric_problems(load_resource(read(path), path), kind, task, catalog)
            continue
        plugin = Plugin(type=kind, params=json.loads(params))
        for path, dotted in places:
            problems = parameter_problems(shelf, plugin, load_resource(read(path), path), dotted)
            if not problems:
                break
            yield from problems


def _late_owners(policies: Collection, findings: Findings, known: Known) -> Iterator[Problem]:
    """Yield the owners whom policies name and who own no model, once every model was read."""
    if findings.models and findings.models == len(known.models):
        for resource in (*policies.of("AlertPolicy").values(), *policies.of("Silence").values()):
            yield from unknown_owners(resource, findings.owners)


def _late_logs(named: Iterable[Named], read: Read) -> Iterator[Problem]:
    """Yield the models whose log is on disk before the caller is answered, on a disk that goes."""
    for shelf, kind, params, path, environment in named:
        if shelf == _KEPT and loses_log(Plugin(type=kind, params=json.loads(params))):
            model = load_resource(read(path), path)
            said = f"{model.name} has log: acknowledged, and in {environment} its log goes with who writes it"
            hint = f"give it a place that stays, in {ENVIRONMENT.path(None, environment)}, or say log: buffered"
            yield at(model, "spec.serving.log", "log-not-kept", said, hint)


def _late_plans(named: Iterable[Named], read: Read, only: frozenset[str] | None) -> Iterator[tuple[Severity, Problem]]:
    """Yield (severity, problem) of what strategies say about plans and arms, each distinct question asked once.

    A plan that did not change is asked about where the model it belongs to is one that strategies may object to.
    """
    for shelf, strategy, data, path, _ in named:
        if shelf not in PLAN_SHELVES or (only is not None and path not in only and ordinary(shelf, data)):
            continue
        if any(plan_problems(shelf, strategy, data)):
            yield from plan_problems(shelf, strategy, data, load_resource(read(path), path))
