"""A build that is killed: its processes end with it, and its folder goes at once or with the next build."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelops.training.scratch import folder_for_a_build

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


def _eventually(holds: Callable[[], object]) -> None:
    """Wait for something that other processes do; far longer than it takes."""
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    assert holds()


def _processes_of(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder / "build-") in command:
            found.append(command)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_build_leaves_no_process_and_no_folder(tmp_path: Path, number: int) -> None:
    """SIGTERM cleans up before it ends; after SIGKILL the training ends too and the next build removes the folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    build = subprocess.Popen([sys.executable, "-c", _BUILD, str(tmp_path)], env=environment, stderr=subprocess.PIPE)
    scratch = tmp_path / "scratch"
    _eventually(lambda: list(scratch.glob("build-*/training/started")))
    assert len(_processes_of(scratch)) == 2
    build.send_signal(number)
    _, told = build.communicate(timeout=60)
    _eventually(lambda: not _processes_of(scratch))
    if number == signal.SIGTERM:
        assert b"KeyboardInterrupt" in told
        assert list(scratch.iterdir()) == []
    else:
        assert len(list(scratch.iterdir())) == 1
        with folder_for_a_build(scratch) as folder:
            assert list(scratch.iterdir()) == [folder]
        assert list(scratch.iterdir()) == []


def test_the_folder_of_a_living_build_stays(tmp_path: Path) -> None:
    """Two builds at once do not remove each other's folders; what is no build's folder is left alone."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "build-abandoned" / "deep").mkdir(parents=True)
    with folder_for_a_build(tmp_path) as first:
        with folder_for_a_build(tmp_path) as second:
            assert sorted(tmp_path.iterdir()) == sorted([first, second, tmp_path / "notes"])
        assert sorted(tmp_path.iterdir()) == sorted([first, tmp_path / "notes"])
    assert list(tmp_path.iterdir()) == [tmp_path / "notes"]


def test_a_handler_of_sigterm_that_exists_is_kept(tmp_path: Path) -> None:
    """Whoever drains on SIGTERM still does so while a build runs; otherwise the default is back afterwards."""
    with folder_for_a_build(tmp_path):
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with folder_for_a_build(tmp_path):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, previous)
