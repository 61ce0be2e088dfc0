"""Logs of several servers that are copied to one place: each row once, in files that nobody has to rename."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelops.logs._carried import DROP, EXPORT, Carried, Copy, words_of
from modelops.logs.folder import Folder
from modelops.predictions import PredictionLog, Row
from modelops.predictions.segments import first_number, segments

PODS = ("6f1c2a34-0000-4000-8000-000000000001", "6f1c2a34-0000-4000-8000-000000000002")


def row(id: str) -> Row:
    return Row(id, time.time(), "fraud", 1, "stable", 0, "salt", "c", "{}", 0.5, "1", 200, 1.0)


def carried(log: Path, copy: Copy) -> str | None:
    """Copy what a pod has more than is here, by the very program that is run in it."""
    words = [sys.executable, "-I", "-c", EXPORT, str(log), *words_of(copy.marks())]
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


def test_a_log_of_thousands_of_files_is_known_and_dropped_in_one_call(tmp_path: Path) -> None:
    """What a program is told goes beyond the length of one argument, and arrives whole."""
    known = {f"2020-01-01-w{number}-1.sqlite": [2**40, time.time_ns(), 0, 0] for number in range(4000)}
    assert len(words_of(known)) > 1
    with PredictionLog(tmp_path, name="a") as writer:
        writer.write([row("first")])
    words = [sys.executable, "-I", "-c", EXPORT, str(tmp_path), *words_of(known)]
    done = subprocess.run(words, capture_output=True, check=True)
    copy = Copy(tmp_path / "here", "a")
    assert copy.take_all([done.stdout]) is None
    assert Folder(tmp_path / "here").find("first") is not None
    names = [*known, *(segment.name for segment in segments(tmp_path))]
    subprocess.run([sys.executable, "-I", "-c", DROP, str(tmp_path), *words_of(names)], check=True)
    assert list(segments(tmp_path)) == []


def test_what_cannot_be_dropped_there_is_kept_here(tmp_path: Path) -> None:
    """A copy goes only after the original, so that the next look does not bring it again."""
    with PredictionLog(tmp_path, name="a") as writer:
        writer.write([row("first")])
    asked: list[str] = []

    def refuse(names: Sequence[str]) -> None:
        asked.extend(names)
        raise ConnectionError("no pod answers")

    later = datetime.now(UTC) + timedelta(days=40)
    with pytest.raises(ConnectionError):
        Carried(tmp_path, "a pod", refuse).retain(later, days=30)
    (segment,) = segments(tmp_path)
    assert asked == [segment.name]
    assert Carried(tmp_path, "a pod", asked.extend).retain(later, days=30) == (segment.name,)
    assert list(segments(tmp_path)) == []


def test_what_is_dropped_in_a_pod_is_gone_there(tmp_path: Path) -> None:
    """Days that nobody keeps are removed where they were written, with their journals."""
    with PredictionLog(tmp_path, name="a") as writer:
        writer.write([row("first")])
    (segment,) = segments(tmp_path)
    subprocess.run([sys.executable, "-I", "-c", DROP, str(tmp_path), json.dumps([segment.name])], check=True)
    assert segments(tmp_path) == []


def archive(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as into:
        for member, data in members:
            member.size = len(data) if member.isreg() else 0
            into.addfile(member, io.BytesIO(data))
    return made.getvalue()


def a_file(name: str, data: bytes = b"", **said: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    for key, value in said.items():
        setattr(member, key, value)
    return member, data


MINE = f"2026-11-01-w{first_number(PODS[0])}-1.sqlite"
OTHERS = f"2026-11-01-w{first_number(PODS[1])}-1.sqlite"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"2026-02-30-w{first_number(PODS[0])}-1.sqlite", id="a day that there is not"),
        pytest.param(f"2026-13-01-w{first_number(PODS[0])}-1.sqlite", id="a month that there is not"),
        pytest.param(f"2026-11-01-w0{first_number(PODS[0])}-1.sqlite", id="a second name of a file"),
        pytest.param(f"٢٠٢٦-11-01-w{first_number(PODS[0])}-1.sqlite", id="digits of another script"),
        pytest.param(f"{MINE}-wal", id="a journal"),
        pytest.param("known.json", id="what is known"),
        pytest.param("known.json.mark", id="a mark of what is known"),
        pytest.param(OTHERS, id="a file of another pod"),
        pytest.param(f"{OTHERS}.mark", id="a mark of another pod"),
    ],
)
def test_a_pod_writes_its_own_files_and_no_others(tmp_path: Path, name: str) -> None:
    """What a pod sends is taken by the names that its own writers have; the log can be read as before."""
    here, log = tmp_path / "carried", tmp_path / "log"
    with PredictionLog(log, name=PODS[1]) as writer:
        writer.write([row("of another")])
    assert carried(log, Copy(here, PODS[1], ("churn-1", PODS[1]))) is None
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    sent = archive(a_file(name, b"[0, 0, 0, 0]"), a_file(f"../../{name}", b"[0, 0, 0, 0]"))
    assert Copy(here, PODS[0], ("churn-0", PODS[0])).take_all([sent]) is None
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before
    assert Folder(here).find("of another") is not None
    assert [path.name for path in tmp_path.iterdir() if path not in (here, log)] == []


def test_a_folder_with_a_day_that_there_is_not_is_read(tmp_path: Path) -> None:
    """What is only named like a file of the log is none, whoever put it there."""
    (tmp_path / "2026-02-30-w0-1.sqlite").write_bytes(b"")
    (tmp_path / "2026-02-30-w0-1.sqlite.damaged").write_bytes(b"")
    with PredictionLog(tmp_path) as writer:
        writer.write([row("a")])
    assert [segment.number for segment in segments(tmp_path)] == [1]
    assert Folder(tmp_path).find("a") is not None


def link(kind: bytes) -> bytes:
    return archive(a_file(MINE, type=kind, linkname="../secret"))


def sparse() -> bytes:
    """Return a file that says to be an exabyte of which nothing arrives."""
    headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 60), "GNU.sparse.numblocks": "1"}
    return archive(a_file(MINE, b"x", pax_headers=headers), form=tarfile.PAX_FORMAT)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: link(tarfile.SYMTYPE), id="a symbolic link"),
        pytest.param(lambda: link(tarfile.LNKTYPE), id="a hard link"),
        pytest.param(sparse, id="a file with holes"),
    ],
)
def test_only_plain_files_are_taken(tmp_path: Path, made: Callable[[], bytes]) -> None:
    """No link is followed, and no file is longer than what arrives of it."""
    (tmp_path / "secret").write_bytes(b"secret")
    copy = Copy(tmp_path / "carried", "v")
    assert copy.take_all([made()]) is None
    assert not (tmp_path / "carried").exists()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(archive(a_file(f"{MINE}.mark", b"{")), id="no JSON"),
        pytest.param(archive(a_file(f"{MINE}.mark", b"[" * 100_000)), id="nested without end"),
        pytest.param(archive(a_file(f"{MINE}.mark", b'{"a": 1}')), id="no numbers"),
        pytest.param(archive(a_file(f"{MINE}.mark", b"\xff")), id="no text"),
        pytest.param(
            archive(a_file(MINE, b"x", pax_headers={"GNU.sparse.map": "a,b"}), form=tarfile.PAX_FORMAT),
            id="holes that are no numbers",
        ),
        pytest.param(b"no archive" * 100, id="no archive"),
    ],
)
def test_what_makes_no_sense_is_told_and_ends_nothing_else(tmp_path: Path, sent: bytes) -> None:
    """It counts as cut off: what was copied before stays, and the next look tries again."""
    copy = Copy(tmp_path / "carried", "v")
    assert copy.take_all([sent])
    assert copy.marks() == {}
