"""Threat 5: an action's tag is moved to other code, which then runs with the secrets of a release."""

from __future__ import annotations

import re
from pathlib import Path

from git_world import git, write
from modelops.locks.wheel import Wheel
from modelops.scaffold.surroundings.workflows import Home, action_files, workflow_files

USES = re.compile(r"^\s*(?:-\s+)?uses:\s*['\"]?([^\s'\"#]+)", re.MULTILINE)


def movable(root: Path) -> list[str]:
    """Return what workflows use that whoever owns a tag or a branch can replace."""
    texts = [path.read_text() for path in sorted((root / ".github").rglob("*.y*ml"))]
    used = [name for text in texts for name in USES.findall(text)]
    assert used
    return [name for name in used if not name.startswith("./") and not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)]


def test_every_action_is_pinned_by_its_commit(tmp_path: Path) -> None:
    """What `modelops init --github` writes uses no tag and no branch, and the look would find one."""
    files = workflow_files(Home()) | action_files(Home(), Wheel("modelops.whl", "0" * 64, "here"))
    git(tmp_path, "init", "-q")
    write(tmp_path, {path: data.decode() for path, data in files.items()})
    assert movable(tmp_path) == []
    write(tmp_path, {".github/workflows/more.yml": "jobs: {a: {steps: [\n- uses: actions/checkout@v4\n]}}\n"})
    assert movable(tmp_path) == ["actions/checkout@v4"]
