"""Threat 3: files that are not what they seem. Whoever reads the work tree follows no link out of the repository."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from modelops.data.acquire import Place, run_command
from modelops.errors import ModelOpsError
from modelops.project.workspace import Workspace, open_workspace
from modelops.spec.kinds.data_snapshot import Source
from modelops.spec.layout import LOCK


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "repository"
    (root / "models" / "m").mkdir(parents=True)
    (root / "models" / "m" / "train.py").write_text("x = 1\n")
    (root / LOCK).write_text("numpy==2\n")
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    (tmp_path / "secret.txt").write_text("top secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "secret.txt").write_text("top secret")
    return open_workspace(root, dirty=True)


def run(workspace: Workspace) -> None:
    program = "import sys, pathlib; pathlib.Path(sys.argv[1], 'a').write_text(pathlib.Path('notes.txt').read_text())"
    source = Source(type="command", command=("python", "-c", program, "{output}"), owner="o")
    place = Place(workspace.root, workspace.root / "models" / "m", workspace.cache)
    run_command(source, place, workspace.cache / "made")


READERS: list[Callable[[Workspace], object]] = [lambda workspace: workspace.code(None, "m"), run]


@pytest.mark.parametrize("read", READERS, ids=["the code of a dirty build", "what a data command gets"])
@pytest.mark.parametrize("target", ["../../../secret.txt", "../../../folder", "/etc/passwd"])
def test_no_link_leads_out(workspace: Workspace, read: Callable[[Workspace], object], target: str) -> None:
    """A link to a file or a folder outside is refused by name, as it is at a revision."""
    (workspace.root / "models" / "m" / "notes.txt").symlink_to(target)
    with pytest.raises(ModelOpsError) as caught:
        read(workspace)
    assert caught.value.first.code == "symlink-refused"
    assert "models/m/notes.txt" in caught.value.first.message


@pytest.mark.parametrize("read", READERS, ids=["the code of a dirty build", "what a data command gets"])
def test_a_pipe_is_not_waited_for(workspace: Workspace, read: Callable[[Workspace], object]) -> None:
    """A pipe in the model's folder is an error, and nobody waits for its writer."""
    os.mkfifo(workspace.root / "models" / "m" / "notes.txt")
    with pytest.raises(ModelOpsError) as caught:
        read(workspace)
    assert caught.value.first.code == "not-a-regular-file"


def test_the_lock_is_a_file_of_the_repository(workspace: Workspace) -> None:
    """The environment lock of a dirty build is not read through a link that leads out either."""
    (workspace.root / LOCK).unlink()
    assert workspace.lock(None) == b""
    (workspace.root / LOCK).symlink_to("../secret.txt")
    with pytest.raises(ModelOpsError) as caught:
        workspace.lock(None)
    assert caught.value.first.code == "symlink-refused"


def test_code_of_a_dirty_build_is_what_it_was(workspace: Workspace) -> None:
    """Plain files, links within the repository to files, and none of what modelops writes."""
    folder = workspace.root / "models" / "m"
    (folder / "data").mkdir()
    (folder / "data" / "rows.csv").write_text("")
    (folder / "alias.py").symlink_to("train.py")
    assert workspace.code(None, "m") == {"train.py": b"x = 1\n", "alias.py": b"x = 1\n"}
