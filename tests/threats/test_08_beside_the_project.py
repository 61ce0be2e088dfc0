"""Threat 8, where the project is a folder of a larger repository: what runs on the forge lies beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_world import World, commit, git
from modelops.governance.judged import unapproved
from modelops.project.workspace import open_workspace
from threats.proposals import POLICY

PROJECT = "apiVersion: modelops/v1\nkind: Project\nmetadata:\n  name: project\nspec: {}\n"


@pytest.mark.parametrize(
    ("folder", "path", "counts"),
    [
        ("ml", ".github/workflows/x.yml", True),
        ("ml", ".github/actions/setup/action.yml", True),
        ("teams/ml", ".github/workflows/x.yml", True),
        ("ml", "github/workflows/modelops-x.yml", False),
        ("ml", "web/index.html", False),
    ],
)
def test_a_workflow_of_the_larger_repository_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, path: str, counts: bool
) -> None:
    """Any workflow on the branch may ask for the keys, whatever its name; the code of others is theirs."""
    files = {f"{folder}/policies/approvals.yaml": POLICY, f"{folder}/policies/project.yaml": PROJECT}
    clone = World(tmp_path, files).clone("mallory")
    commit(clone.root, {path: "on: push\n"}, "Tidy")
    git(clone.root, "push", "--quiet", "origin", "HEAD:main")
    monkeypatch.chdir(clone.root / folder)
    found = unapproved(open_workspace())
    assert [(one.subject, set(one.files)) for one in found] == (
        [("Tidy", {"../" * (folder.count("/") + 1) + path})] if counts else []
    )
