"""The workflows of a new project: those of modelops, for the project's branch, its remote, and its folder."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelops.scaffold.files import project_folder
from modelops.spec.layout import STATE, workflow

__all__ = ["WORKFLOWS", "Home", "workflow_files"]

WORKFLOWS = ("pull-request.yml", "release.yml", "reconcile.yml", "monitor.yml")
_CHECKED_OUT = "      - name: Set up Python\n"


@dataclass(frozen=True, slots=True)
class Home:
    """Where a project lives: its branch, its remote's name, and its folder in the repository, "" for all of it."""

    branch: str = "main"
    remote: str = "origin"
    folder: str = ""


def workflow_files(home: Home) -> dict[str, bytes]:
    """Return the workflows by their path from the top of the repository: the forge looks nowhere else for them."""
    folder = project_folder() / ".github" / "workflows"
    return {
        workflow(name, home.folder): _adapted((folder / name).read_text(encoding="utf-8"), home).encode()
        for name in WORKFLOWS
    }


def _adapted(text: str, home: Home) -> str:
    if home.branch != "main":
        text = text.replace("branches: [main]", f'branches: ["{home.branch}"]').replace("with main", "with its target")
        text = text.replace("origin/main", f"origin/{home.branch}")
    if home.remote != "origin":
        # A checkout of the forge calls its remote origin; the project's own name counts.
        step = (
            f"      - name: Name the remote as the project does\n        run: git remote rename origin {home.remote}\n"
        )
        text = text.replace(_CHECKED_OUT, step + _CHECKED_OUT).replace("origin/", f"{home.remote}/")
    return _in_folder(text, home.folder) if home.folder else text


def _in_folder(text: str, folder: str) -> str:
    """Let every step run in the project's folder, and set what a repository has one of apart from other projects'."""
    slug = folder.replace("/", "-")
    text = re.sub(r"(?m)^name: (\S+)$", rf"name: {slug} \1", text, count=1)
    there = f"defaults:\n  run:\n    working-directory: {folder}\n"
    text = text.replace("permissions: {}\n", "permissions: {}\n" + there, 1)
    text = re.sub(r"(?m)^( +group: )", rf"\g<1>{slug}-", text)
    text = text.replace(f"path: {STATE}/store", f"path: {folder}/{STATE}/store")
    text = text.replace("modelops-store-", f"modelops-{slug}-store-")
    return re.sub(r"\./\.github/workflows/(\S+\.yml)", lambda found: f"./{workflow(found[1], folder)}", text)
