"""Two machines that release at the same time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from git_world import git
from reconcile.loop_world import MODEL, World
from waiting import PATIENCE

Live = Callable[[str], World]

# Releases, but waits between the build and the commit until a file appears.
SLOWLY = """
import sys, time
from pathlib import Path
from modelops.changes import building
from modelops.changes import releasing
from modelops.project.workspace import open_workspace
real = building.judged_build
def judged_build(*args):
    found = real(*args)
    Path(sys.argv[1] + ".built").touch()
    while not Path(sys.argv[1]).exists():
        time.sleep(0.02)
    return found
building.judged_build = judged_build
print(releasing.release(open_workspace(), "churn"))
"""


def finish(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return out


@pytest.mark.slow
def test_equal_inputs_are_released_once(live: Live) -> None:
    """Two clones that release the same change at once make one release; both leave with success."""
    world = live("changed")
    other = world.clone("other")
    processes = [world.process("-m", "modelops", "release", "--yes", root=root) for root in (world.root, other)]
    said = sorted(finish(process) for process in processes)
    assert "churn 2" in "".join(said)
    releases = git(world.remote, "ls-tree", "--name-only", "main", f"models/{MODEL}/releases/").splitlines()
    assert [Path(path).name for path in releases] == ["1", "2"]


@pytest.mark.slow
def test_different_inputs_get_different_numbers(live: Live) -> None:
    """A clone whose release was overtaken still gets its own number, and its older model goes nowhere by itself."""
    world = live("promoted")
    world.change_model([("C: 1.0", "C: 0.7")], "first")
    other = world.clone("other")
    gate = world.folder / "go"
    slow = world.process("-c", SLOWLY, str(gate), root=other)
    try:
        while not Path(f"{gate}.built").exists():
            assert slow.poll() is None, slow.communicate()
        world.change_model([("C: 0.7", "C: 0.6")], "second")
        world.ok("release", "--yes")
        assert world.deployment("staging")["candidate"] == 2
        gate.touch()
        assert "released churn 3" in finish(slow)
    finally:
        slow.kill()
        slow.wait()
    assert world.deployment("staging")["candidate"] == 2
    assert "C: 0.6" in world.show(f"models/{MODEL}/releases/2/release.yaml")
    assert "C: 0.7" in world.show(f"models/{MODEL}/releases/3/release.yaml")
    assert "nothing to do" in world.ok("release", "--yes").out
