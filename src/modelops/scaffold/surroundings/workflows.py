"""The workflows of a project: those of modelops, for the project's branch, folder, Python and environments."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from modelops.locks.wheel import Wheel
from modelops.scaffold.files import TEMPLATES, project_folder
from modelops.spec.layout import LOCK, action, workflow

__all__ = ["WORKFLOWS", "Home", "action_files", "workflow_files"]

WORKFLOWS = (
    *("pull-request.yml", "review.yml", "publish.yml", "release.yml", "reconcile.yml", "monitor.yml"),
    *("promote.yml", "rollback.yml"),
)
_TAUGHT = ("staging", "production")
"""The environments that the workflows are written for."""
_PINNED = 'python-version: "3.12"'


@dataclass(frozen=True, slots=True)
class Home:
    """Where a project lives: its branch, its remote's name, and its folder in the repository, "" for all of it."""

    branch: str = "main"
    remote: str = "origin"
    folder: str = ""


def workflow_files(home: Home, environments: Sequence[str] = _TAUGHT, *, hosted: bool = True) -> dict[str, bytes]:
    """Return the workflows by their path from the top of the repository: the forge looks nowhere else for them.

    ``environments`` are those of the chain of promotion, in its order. ``hosted`` tells whether GitHub runs the server:
    one of your own may be older, and refuses a whole workflow for a word that it does not know.
    """
    folder = project_folder() / ".github" / "workflows"
    return {
        workflow(name, home.folder): _adapted(
            _chained(name, _taken((folder / name).read_text(encoding="utf-8"), hosted), environments), home
        ).encode()
        for name in WORKFLOWS
    }


def action_files(home: Home, wheel: Wheel) -> dict[str, bytes]:
    """Return the action that installs modelops by its hash, and what it installs, by path from the top."""
    folder = action(home.folder)
    text = (TEMPLATES / "action.yml").read_text(encoding="utf-8")
    text = text.replace(_PINNED, f'python-version: "{sys.version_info.major}.{sys.version_info.minor}"')
    text = text.replace(f" {LOCK}\n", f" {home.folder}/{LOCK}\n") if home.folder else text
    text = text.replace(action(), folder)
    told = f"# modelops itself, from {wheel.origin}; a newer one: modelops init --github\n"
    files = {f"{folder}/action.yml": text.encode()}
    files[f"{folder}/requirements.txt"] = (told + wheel.requirement(folder) + "\n").encode()
    if wheel.data is not None:
        files[f"{folder}/{wheel.name}"] = wheel.data
    return files


def _taken(text: str, hosted: bool) -> str:
    return text if hosted else re.sub(r"(?m)^ +queue: max\b.*\n", "", text)


def _chained(name: str, text: str, environments: Sequence[str]) -> str:
    """Let workflows that are written for staging and production be for other environments."""
    if tuple(environments) == _TAUGHT or not environments:
        return text
    if name == "reconcile.yml":
        head, first, last = re.split(r"(?m)^  (?=(?:staging|production):$)", text)
        jobs = []
        for here, after in zip(environments, [*environments[1:], None], strict=True):
            job = (first if after is not None else last).replace(_TAUGHT[after is None], here)
            job = job.replace(_TAUGHT[1], after) if after is not None else job
            jobs.append(f"  {job}")
        return head + "".join(jobs)
    text = text.replace(f"options: [{', '.join(_TAUGHT)}]", f"options: [{', '.join(environments)}]")
    text = text.replace("default: production", f"default: {environments[-1]}")
    return re.sub(r"\bproduction\b", environments[-1], text) if name == "monitor.yml" else text


def _adapted(text: str, home: Home) -> str:
    if home.branch != "main":
        text = text.replace("branches: [main]", f'branches: ["{home.branch}"]').replace("with main", "with its target")
        text = text.replace("origin/main", f"origin/{home.branch}")
    return _in_folder(text, home.folder) if home.folder else text


def _in_folder(text: str, folder: str) -> str:
    """Let every step run in the project's folder, and set what a repository has one of apart from other projects'."""
    slug = folder.replace("/", "-")
    names = [name.removesuffix(".yml") for name in WORKFLOWS]
    text = re.sub(r"(?m)^name: (\S+)$", rf"name: {slug} \1", text, count=1)
    text = re.sub(r"(?m)^    workflows: \[(.+)\]$", lambda found: _named(slug, found[1].split(", ")), text)
    text = re.sub(rf"(workflow_run\.name == ')({'|'.join(names)})'", rf"\g<1>{slug} \2'", text)
    there = f"defaults:\n  run:\n    working-directory: {folder}\n"
    text = text.replace("permissions: {}\n", "permissions: {}\n" + there, 1)
    text = re.sub(r"(?m)^( +group: )", rf"\g<1>{slug}-", text)
    text = text.replace(f"./{action()} ", f"./{action(folder)} ")
    return re.sub(r"\./\.github/workflows/(\S+\.yml)", lambda found: f"./{workflow(found[1], folder)}", text)


def _named(slug: str, names: Sequence[str]) -> str:
    return f"    workflows: [{', '.join(f'{slug} {name}' for name in names)}]"
