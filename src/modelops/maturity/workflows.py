"""What the forge runs: the workflows of a commit, when each begins, and which verbs of modelops are in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from modelops.repository import Repository
from modelops.spec.layout import WORKFLOWS

__all__ = ["Workflow", "running", "workflows_at"]

_VERB = re.compile(r"(?m)(?:^|[\s;&|(])modelops(?:\s+-C\s+\S+)?\s+([a-z]+)")
_BYTES = 1 << 20
_COMMENT = re.compile(r"(?m)^\s*#.*$")


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow: its file, the events that begin it, and the verbs that its steps run."""

    path: str
    events: frozenset[str]
    verbs: frozenset[str]


def workflows_at(repository: Repository, commit: str) -> tuple[Workflow, ...]:
    """Return the workflows of a commit; a file that is no YAML, or no workflow, is none."""
    folder = f"{WORKFLOWS}workflows/"
    paths = [
        path
        for path in repository.paths(commit, folder)
        if path.endswith((".yml", ".yaml")) and path.count("/") == folder.count("/")
    ]
    found = repository.read_many(commit, paths) if paths else {}
    return tuple(one for path in paths if (one := _workflow(path, found[path])) is not None)


def running(found: tuple[Workflow, ...], verbs: set[str], event: str | None = None) -> Workflow | None:
    """Return the first workflow that runs one of some verbs, where one is named by an event of that kind."""
    return next(
        (one for one in found if not verbs.isdisjoint(one.verbs) and (event is None or event in one.events)), None
    )


def _workflow(path: str, data: bytes) -> Workflow | None:
    if len(data) > _BYTES:
        return None
    try:
        read = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(read, dict):
        return None
    # YAML 1.1 reads the key "on" as true.
    events = read.get("on", read.get(True))
    names = [events] if isinstance(events, str) else list(events) if isinstance(events, dict | list) else []
    verbs = {verb for text in _steps(read.get("jobs")) for verb in _VERB.findall(_COMMENT.sub("", text))}
    return Workflow(path, frozenset(map(str, names)), frozenset(verbs))


def _steps(jobs: Any) -> Iterator[str]:
    """Yield what the steps of all jobs run."""
    for job in jobs.values() if isinstance(jobs, dict) else ():
        for step in (job.get("steps") or ()) if isinstance(job, dict) else ():
            if isinstance(step, dict) and isinstance(step.get("run"), str):
                yield step["run"]
