"""Logs of several servers that are copied to one place: each row once, in files that nobody has to rename."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelops.logs._carried import DROP, EXPORT, Copy
from modelops.logs.folder import Folder
from modelops.predictions import PredictionLog, Row
from modelops.predictions.log import first_number
from modelops.predictions.segments import segments

PODS = ("6f1c2a34-0000-4000-8000-000000000001", "6f1c2a34-0000-4000-8000-000000000002")


def row(id: str) -> Row:
    return Row(id, time.time(), "fraud", 1, "stable", 0, "salt", "c", "{}", 0.5, "1", 200, 1.0)


def carried(log: Path, copy: Copy) -> str | None:
    """Copy what a pod has more than is here, by the very program that is run in it."""
    words = [sys.executable, "-I", "-c", EXPORT, str(log), json.dumps(copy.marks())]
    done = subprocess.run(words, capture_output=True, check=True)
    return copy.take_all([done.stdout])


def test_the_logs_of_pods_are_read_as_one(tmp_path: Path) -> None:
    """Files of two pods that wrote at once lie side by side, whole and chained; what grew is copied again."""
    here = tmp_path / "carried"
    logs = {pod: tmp_path / pod / "predictions" for pod in PODS}
    for number, (pod, log) in enumerate(logs.items()):
        with PredictionLog(log, name=pod) as writer:
            writer.write([row(f"first-{number}")])
        assert carried(log, Copy(here, pod)) is None
    folder = Folder(here)
    assert len({segment.writer for segment in segments(here)}) == 2
    assert all(folder.find(f"first-{number}") is not None for number in range(2))
    before = {path.name: path.read_bytes() for path in here.glob("*.sqlite")}
    with PredictionLog(logs[PODS[0]], name=PODS[0]) as writer:
        writer.write([row("second")])
    for pod, log in logs.items():
        assert carried(log, Copy(here, pod)) is None
    changed = {path.name for path in here.glob("*.sqlite") if before.get(path.name) != path.read_bytes()}
    assert {name.split("-w")[1].split("-")[0] for name in changed} == {str(first_number(PODS[0]))}
    assert folder.window("fraud").column("id").to_pylist().count("second") == 1
    assert folder.window("fraud").num_rows == 3
    assert [one.flaws for one in folder.examine({})] == [()] * len(segments(here))


def test_two_processes_of_one_pod_have_numbers_of_their_own(tmp_path: Path) -> None:
    """The next one of the same name takes the next number, which no other name begins with."""
    with PredictionLog(tmp_path, name=PODS[0]) as one, PredictionLog(tmp_path, name=PODS[0]) as other:
        one.write([row("a")])
        other.write([row("b")])
    first = first_number(PODS[0])
    assert {segment.writer for segment in segments(tmp_path)} == {first, first + 1}
    assert abs(first_number(PODS[1]) - first) > 255
    assert first_number("") == 0


def test_a_volume_that_took_the_place_of_another_writes_over_nothing(tmp_path: Path) -> None:
    """A set's pod comes again by its name with a new volume: the rows of the lost one are put aside, not lost."""
    here = tmp_path / "carried"
    for number, volume in enumerate(("one", "two")):
        log = tmp_path / volume
        with PredictionLog(log, name="churn-0") as writer:
            writer.write([row(f"of-{number}")])
        assert carried(log, Copy(here, volume)) is None
    assert Folder(here).find("of-1") is not None
    assert Folder(here / "earlier" / "one").find("of-0") is not None


@pytest.mark.parametrize("cut", [1, 700, 20_000])
def test_what_was_cut_off_is_copied_again(tmp_path: Path, cut: int) -> None:
    """Half a file is never taken for one; the next look takes all of it."""
    here, log = tmp_path / "carried", tmp_path / "log"
    with PredictionLog(log, name="a") as writer:
        writer.write([row("first")])
    copy = Copy(here, "a")
    words = [sys.executable, "-I", "-c", EXPORT, str(log), "{}"]
    whole = subprocess.run(words, capture_output=True, check=True).stdout
    assert copy.take_all([whole[:cut]]) is not None
    assert carried(log, copy) is None
    assert Folder(here).find("first") is not None


def test_what_is_dropped_in_a_pod_is_gone_there(tmp_path: Path) -> None:
    """Days that nobody keeps are removed where they were written, with their journals."""
    with PredictionLog(tmp_path, name="a") as writer:
        writer.write([row("first")])
    (segment,) = segments(tmp_path)
    subprocess.run([sys.executable, "-I", "-c", DROP, str(tmp_path), json.dumps([segment.name])], check=True)
    assert segments(tmp_path) == []
