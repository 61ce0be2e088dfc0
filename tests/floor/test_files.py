"""Files that are replaced whole, whatever kills their writers."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelops.errors import Exit, ModelOpsError
from modelops.files import replacing, sweep, unwritable, write_atomically

WRITER = """
import sys, time
from pathlib import Path
from modelops.files import replacing
with replacing(Path(sys.argv[1]), "routes.json") as (file, commit):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def writer(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that is in the middle of writing a file."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_file_is_replaced_in_folders_that_are_made(tmp_path: Path) -> None:
    """The folders of a new file are made, its content is replaced, and nothing else is left."""
    path = tmp_path / "a" / "b" / "routes.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["routes.json"]


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    """Under umask 077 nobody else can read what is written."""
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_the_next_write_sweeps_what_a_killed_writer_left(tmp_path: Path) -> None:
    """A killed writer's half file goes with the next write of the same file."""
    with writer(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(names(tmp_path)) == 1
    write_atomically(tmp_path / "routes.json", b"{}")
    assert names(tmp_path) == ["routes.json"]


def test_what_a_living_writer_writes_is_not_swept(tmp_path: Path) -> None:
    """Neither its age nor its number tells a living writer's file from a leftover: its lock does."""
    with writer(tmp_path):
        (name,) = names(tmp_path)
        os.utime(tmp_path / name, (0, 0))
        assert sweep(tmp_path) == ()
        write_atomically(tmp_path / "routes.json", b"{}")
        assert names(tmp_path) == [name, "routes.json"]
    assert sweep(tmp_path) == (name,)


def test_leftovers_of_older_versions_are_swept(tmp_path: Path) -> None:
    """A file without a lock goes when its process is gone, or when its number belongs to another one by now."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone, alive, reused = f".a.{ended.pid}", f".b.{os.getpid()}", ".c.1"
    for name in (gone, alive, reused):
        (tmp_path / name).write_bytes(b"half")
    os.utime(tmp_path / reused, (time.time() - 2 * 86_400,) * 2)
    assert sorted(sweep(tmp_path)) == [gone, reused]
    assert names(tmp_path) == [alive]


@pytest.mark.parametrize("name", [".gitignore", ".env.local", ".npmrc.bak-1", "routes.json.12", ".a.12x", ".12"])
def test_files_of_people_are_never_swept(tmp_path: Path, name: str) -> None:
    """A hidden file that does not have a writer's name is somebody's own."""
    (tmp_path / name).write_bytes(b"mine")
    os.utime(tmp_path / name, (0, 0))
    assert sweep(tmp_path) == ()


def test_a_write_sweeps_only_its_own_file(tmp_path: Path) -> None:
    """In a folder of other people only what was to become this very file is looked at."""
    (tmp_path / ".notes.1").write_bytes(b"mine")
    os.utime(tmp_path / ".notes.1", (0, 0))
    write_atomically(tmp_path / "routes.json", b"{}")
    assert names(tmp_path) == [".notes.1", "routes.json"]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """What could not be written is gone, and the file has its old content."""
    write_atomically(tmp_path / "file", b"old")

    def fail() -> None:
        with replacing(tmp_path, "file") as (file, _):
            file.write(b"new")
            raise OSError(errno.EIO, "disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_file_in_the_place_of_a_folder_is_an_error_of_the_world(tmp_path: Path) -> None:
    """The error names the file, and a retry may help."""
    (tmp_path / "folder").write_bytes(b"")
    with pytest.raises(ModelOpsError, match="folder/file") as caught:
        write_atomically(tmp_path / "folder" / "file", b"")
    assert (caught.value.exit, caught.value.retryable) == (Exit.WORLD, True)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "ulimit -n"),
        (errno.ENOSPC, "free disk space"),
        (errno.EROFS, "repair the permissions"),
    ],
)
def test_the_hint_fits_what_the_system_said(number: int, words: str) -> None:
    """Too many open files is no matter of disk space."""
    hint = unwritable(Path("x"), OSError(number, os.strerror(number))).problems[0].hint
    assert hint is not None
    assert words in hint
    assert ("ulimit" in hint) == ("ulimit" in words)
