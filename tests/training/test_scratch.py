"""A build that is killed: its processes end with it, and its folder goes at once or with the next build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_world import git
from modelops.cli import cli
from modelops.errors import Exit
from modelops.training.scratch import folder_for_a_build
from waiting import PATIENCE, wait_for

_ENDLESS = """
import time


def train(features, target, parameters, seed):
    open("started", "w").close()
    time.sleep(600)
"""

_BUILD = f"""
import sys
from pathlib import Path
from training.building_blocks import Workshop
workshop = Workshop(Path(sys.argv[1]))
workshop.build(workshop.request({_ENDLESS!r}))
"""


def _processes_of(folder: Path, prefix: str = "build-") -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/{prefix}" in command:
            found.append(command)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_build_leaves_no_process_and_its_folder_to_the_next(tmp_path: Path) -> None:
    """After SIGKILL the training ends too, and the next build removes the folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    build = subprocess.Popen([sys.executable, "-c", _BUILD, str(tmp_path)], env=environment)
    scratch = tmp_path / "scratch"
    wait_for(lambda: list(scratch.glob("build-*/training/started")))
    assert len(_processes_of(scratch)) >= 2
    build.kill()
    build.wait(timeout=PATIENCE)
    wait_for(lambda: not _processes_of(scratch))
    assert len(list(scratch.iterdir())) == 1
    with folder_for_a_build(scratch) as folder:
        assert list(scratch.iterdir()) == [folder]
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_terminated_command_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SIGTERM a build, and a command that makes data, end with all they started; the exit code says interrupted."""
    (tmp_path / "rows.csv").write_text(
        "x,kind,y\n" + "".join(f"{n * 7 % 13}.5,{'ab'[n % 2]},{n % 2}\n" for n in range(40))
    )
    monkeypatch.chdir(tmp_path)
    cli.main(["init", "--model", "m", "--data", "rows.csv", "--target", "y"], standalone_mode=False)
    (tmp_path / "models/m/train.py").write_text(_ENDLESS)
    (tmp_path / "models/m/endless.py").write_text(
        "import sys, time\nopen(sys.argv[1] + '/started', 'w')\ntime.sleep(600)\n"
    )
    git(tmp_path, "add", "-A")
    git(tmp_path, "-c", "user.name=ada", "-c", "user.email=ada@example.com", "commit", "-q", "-m", "Begin")
    kept = tmp_path / ".modelops"
    snapshot = ("data", "snapshot", "m", "--name", "q", "--owner", "o", "--command", "python endless.py {output}")
    for arguments, folder, mark in (
        (("build", "m"), kept / "scratch", "build-*/training/started"),
        (snapshot, kept / "cache/data", ".taking/.command-*/output/started"),
    ):
        command = subprocess.Popen([sys.executable, "-m", "modelops", *arguments])
        wait_for(lambda: list(folder.glob(mark)))  # noqa: B023 - used in this turn only
        assert _processes_of(folder, "")
        command.terminate()
        assert command.wait(timeout=PATIENCE) == Exit.INTERRUPTED
        wait_for(lambda: not _processes_of(folder, ""))  # noqa: B023
        assert [
            path for path in folder.glob("*") if path.is_dir() and path.name.startswith((".taking", "build-"))
        ] == []


def test_the_folder_of_a_living_build_stays(tmp_path: Path) -> None:
    """Two builds at once do not remove each other's folders; what is no build's folder is left alone."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "build-abandoned" / "deep").mkdir(parents=True)
    with folder_for_a_build(tmp_path) as first:
        with folder_for_a_build(tmp_path) as second:
            assert sorted(tmp_path.iterdir()) == sorted([first, second, tmp_path / "notes"])
        assert sorted(tmp_path.iterdir()) == sorted([first, tmp_path / "notes"])
    assert list(tmp_path.iterdir()) == [tmp_path / "notes"]
