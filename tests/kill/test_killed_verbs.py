"""Stopped anywhere and said again, a verb ends where it would have ended; said twice, it is done once.

``MODELOPS_DRILL_RUNS`` sets how often each verb is killed at an event (2 if not set); a third as many runs kill it
several times in a row and at a random time. ``python tests/kill`` prints the table.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from kill.drill import HOOK, VERBS, Mode, States, Undisturbed, drill, undisturbed
from kill.ends import differences

RUNS = int(os.environ.get("MODELOPS_DRILL_RUNS", "2"))
SCRIPT = """
import os, pathlib, subprocess
subprocess.run(["true"])
with open("made", "w") as file:
    os.fsync(file.fileno())
pathlib.Path("made").rename("kept")
pathlib.Path("kept").unlink()
"""


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> States:
    return States(tmp_path_factory.mktemp("states"))


@pytest.fixture(scope="module")
def calm(states: States) -> Callable[[str], Undisturbed]:
    """Return what each verb does undisturbed, found once."""
    return cache(lambda name: undisturbed(states, name))


def counted(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a process group of its own under the hook."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HOOK), **more}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, cwd=folder, env=environ, start_new_session=True, check=False, text=True)


def test_the_hook_counts_and_kills(tmp_path: Path) -> None:
    """Each event that changes the world is counted in order, and the process group ends at the one that is named."""
    assert counted(tmp_path, KILL_EVENTS=str(tmp_path / "events")).returncode == 0
    names = [line.split(" (")[0].split(" '")[0] for line in (tmp_path / "events").read_text().splitlines()]
    expected = ["subprocess.Popen", "open for writing", "before fsync", "after fsync", "os.rename", "os.remove"]
    assert [name.rstrip(" 0123456789") for name in names] == expected
    for number, left in ((2, False), (3, True), (5, True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert counted(folder, KILL_AT=str(number)).returncode == -signal.SIGKILL
        assert (folder / "made").exists() is left


def test_differences_are_named() -> None:
    """Ends are compared fact by fact; git's check is compared only where both were checked."""
    wanted = {"git: branches": ["main"], "fsck: shop": (0, False), "process: servers": 1}
    got = {"git: branches": ["main", "left"], "process: servers": 1, "left over: x": True}
    assert [line.split(": ")[1] for line in differences(wanted, got)] == ["branches", "x"]
    assert differences(wanted, wanted) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_a_verb_said_twice_is_done_once(states: States, calm: Callable[[str], Undisturbed], name: str) -> None:
    """A verb that is run again after it ended well changes nothing and ends well."""
    found = drill(states, name, "twice", 1, reference=calm(name))
    assert not found.differs, "\n".join(found.differs)


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_a_killed_verb_is_ended_by_saying_it_again(
    states: States, calm: Callable[[str], Undisturbed], name: str
) -> None:
    """Killed with its whole process group and said again, a verb ends like one that nobody disturbed."""
    runs: list[tuple[Mode, int]] = [("event", RUNS), ("chain", RUNS // 3), ("time", RUNS // 3)]
    found = [drill(states, name, mode, number, reference=calm(name)) for mode, number in runs if number]
    assert sum(result.kills for result in found)
    differs = [line for result in found for line in result.differs]
    assert not differs, "\n".join(differs)
