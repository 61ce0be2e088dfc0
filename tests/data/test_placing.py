"""Manifests, the stat cache, verification, and folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from data.snapshots import Project, problem_of
from modelops import data
from modelops.data.manifest import StatCache, found, hash_file, hash_files, walk
from modelops.errors import ModelOpsError
from modelops.spec.kinds.data_snapshot import SnapshotFile, Source
from modelops.spec.locations import refusal
from waiting import wait_for


def test_the_root_is_the_digest_of_a_canonical_manifest() -> None:
    """The manifest is one JSON array a line, sorted by path, so any tool can recompute the root."""
    files = [SnapshotFile(path=path, size=3, sha256="0" * 64) for path in ("b é.csv", "a\nb.csv")]
    expected = "".join(
        json.dumps([path, 3, "0" * 64], ensure_ascii=False, separators=(",", ":")) + "\n"
        for path in ("a\nb.csv", "b é.csv")
    )
    assert data.manifest_bytes(files) == expected.encode()
    assert (
        data.root_of(reversed(files))
        == data.root_of(files)
        == "sha256:" + hashlib.sha256(expected.encode()).hexdigest()
    )


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 * (1 << 20) + 5])
def test_hashing_agrees_with_hashlib_at_every_buffer_border(tmp_path: Path, size: int) -> None:
    """Small files are hashed whole and large ones in blocks, to the same digest."""
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    seen: list[int] = []
    assert hash_file(tmp_path / "f", seen.append) == hashlib.sha256(content).hexdigest()
    assert sum(seen) == size


def everything(name: str) -> bool:
    return True


def aged(path: Path) -> None:
    """Wait until the clock of the file system is past the tick in which the file was last changed."""
    time.sleep(0.05)
    assert path.exists()


def test_unchanged_files_are_not_read_again_and_changed_ones_are(tmp_path: Path) -> None:
    """The cache answers by stat alone: reading is not even possible, yet the manifest is the same."""
    folder, cache = tmp_path / "d", tmp_path / "c"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text(name)
    aged(folder / "b")
    first = hash_files(folder, walk(folder, everything), cache)
    read: list[int] = []
    assert hash_files(folder, walk(folder, everything), cache, read.append) == first
    assert read == []
    (folder / "a").write_text("c")
    second = hash_files(folder, walk(folder, everything), cache, read.append)
    assert read == [1]
    assert [file.path for file, old in zip(second, first, strict=True) if file != old] == ["a"]


def test_an_edit_within_the_same_tick_is_not_missed(tmp_path: Path) -> None:
    """A file as young as the cache entry is hashed again, since a later edit could leave the same times."""
    folder, cache = tmp_path / "d", tmp_path / "c"
    folder.mkdir()
    (folder / "a").write_text("1")
    hash_files(folder, walk(folder, everything), cache)
    stat = (folder / "a").stat()
    entry = found("a", stat)
    assert StatCache.open(cache, folder).lookup(entry) is None
    aged(folder / "a")
    hash_files(folder, walk(folder, everything), cache)
    assert StatCache.open(cache, folder).lookup(entry) == hashlib.sha256(b"1").hexdigest()


def test_a_broken_cache_only_costs_time(tmp_path: Path) -> None:
    """Garbage in the cache is ignored, and so is a cache that cannot be written."""
    (tmp_path / "a").write_text("1")
    remembered = StatCache.open(tmp_path / "c", tmp_path)
    remembered.file.parent.mkdir(parents=True)
    remembered.file.write_bytes(b"garbage")
    files = [found("a", (tmp_path / "a").stat())]
    expected = hash_files(tmp_path, files, tmp_path / "c")
    assert hash_files(tmp_path, files, Path("/proc/none")) == expected


def test_verify_names_each_file_that_differs(project: Project) -> None:
    """Changed, grown, truncated and missing files are all named in one pass, each by its own code."""
    names = ["changed", "grown", "missing", "same", "short"]
    project.write({f"d/{name}.csv": f"x\n1\n{len(name)}\n" for name in names})
    spec = project.take()
    assert data.verify(spec, **project.places) == ()
    project.write({"d/changed.csv": "x\n1\n9\n", "d/grown.csv": "x\n1\n5\n6\n", "d/short.csv": "x\n"})
    (project.root / "d/missing.csv").unlink()
    found_problems = {str(each.location): each.code for each in data.verify(spec, **project.places)}
    assert found_problems == {
        "changed.csv": "data-changed",
        "grown.csv": "data-changed",
        "missing.csv": "data-missing",
        "short.csv": "data-truncated",
    }


@pytest.mark.parametrize(
    ("content", "code"), [("x\n1\n3\n", "data-changed"), ("x\n", "data-truncated"), (None, "data-missing")]
)
def test_nothing_is_placed_that_does_not_verify(project: Project, content: str | None, code: str) -> None:
    """A source that differs from the snapshot is refused, and no folder is left."""
    project.write({"d/a.csv": "x\n1\n2\n", "d/b.csv": "x\n3\n"})
    spec = project.take()
    (project.root / "d/a.csv").unlink()
    if content is not None:
        project.write({"d/a.csv": content})
    with pytest.raises(ModelOpsError) as caught:
        data.materialise(spec, **project.places)
    assert problem_of(caught.value).code == code
    placed = [path for path in (project.root / ".modelops/cache/data").iterdir() if path.is_dir()]
    assert placed == []


def test_a_placed_folder_is_kept_checked_and_healed(project: Project) -> None:
    """A second call gives the same folder; a file edited in it is noticed and made again."""
    project.write({"d/a.csv": "x\n1\n2\n"})
    spec = project.take()
    folder = data.materialise(spec, **project.places)
    inode = (folder / "a.csv").stat().st_ino
    assert data.materialise(spec, **project.places) == folder
    assert (folder / "a.csv").stat().st_ino == inode
    (folder / "a.csv").chmod(0o644)
    (folder / "a.csv").write_text("x\n1\n7\n")
    assert data.read(data.materialise(spec, **project.places), spec).column("x").to_pylist() == [1, 2]


PLACE = """
import sys, json, pathlib
from modelops import data
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
root = pathlib.Path(sys.argv[1])
spec = DataSnapshotSpec.model_validate_json((root / "spec.json").read_text())
print("ready", flush=True)
data.materialise(spec, repository_root=root, model_folder=root / "models/m", cache=root / ".modelops/cache")
"""


def test_a_killed_run_leaves_nothing_half(project: Project) -> None:
    """Killed in the middle of a command, the next run starts from nothing and gives the whole folder."""
    program = (
        "import pathlib, sys, time; out = pathlib.Path(sys.argv[1]); (out / 'a.csv').write_text('x\\n1\\n2\\n'); "
        "flag = pathlib.Path('wait'); (flag.exists() and (pathlib.Path('started').touch(), time.sleep(600)))"
    )
    spec = data.take(Source(type="command", command=("python", "-c", program, "{output}"), owner="t"), **project.places)
    folder = data.materialise(spec, **project.places)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    project.write({"spec.json": spec.model_dump_json(by_alias=True), "models/m/wait": ""})
    with subprocess.Popen([sys.executable, "-c", PLACE, str(project.root)], stdout=subprocess.PIPE) as process:
        wait_for(lambda: list((project.root / ".modelops").rglob("started")))
        process.send_signal(signal.SIGKILL)
    assert not folder.exists()
    (project.root / "models/m/wait").unlink()
    assert data.materialise(spec, **project.places) == folder
    assert (folder / "a.csv").read_text() == "x\n1\n2\n"


@pytest.mark.parametrize("path", ["../a.csv", "/etc/passwd", "a/../../b.csv", "./a.csv", "a//b.csv", "a\\b.csv", ""])
def test_a_manifest_cannot_lead_out_of_its_folder(project: Project, path: str) -> None:
    """A path in a snapshot is checked before anything is read or written."""
    project.write({"d/a.csv": "x\n1\n2\n"})
    spec = project.take()
    files = (spec.files[0].model_copy(update={"path": path}),)
    evil = spec.model_copy(update={"files": files, "root": data.root_of(files)})
    with pytest.raises(ModelOpsError) as caught:
        data.materialise(evil, **project.places)
    assert problem_of(caught.value).code == "bad-file-path"


def test_a_manifest_that_does_not_give_its_root_is_refused(project: Project) -> None:
    """Editing a digest in the snapshot's file is noticed without reading any data."""
    project.write({"d/a.csv": "x\n1\n2\n"})
    spec = project.take()
    forged = spec.model_copy(update={"files": (spec.files[0].model_copy(update={"sha256": "1" * 64}),)})
    with pytest.raises(ModelOpsError) as caught:
        data.verify(forged, **project.places)
    assert problem_of(caught.value).code == "snapshot-root"


def test_a_location_outside_the_repository_must_be_absolute(project: Project) -> None:
    """A relative location cannot climb out of the repository; a path outside it is written down absolute."""
    project.write({"d/a.csv": "x\n1\n2\n"})
    spec = project.take()
    climbing = spec.model_copy(update={"source": spec.source.model_copy(update={"location": "../other"})})
    with pytest.raises(ModelOpsError) as caught:
        data.materialise(climbing, **project.places)
    assert problem_of(caught.value).code == "data-location"
    source, paths = data.path_source(project.root / "d/a.csv", project.root / "models", owner="t")
    assert (source.location, paths) == ((project.root / "d").as_posix(), ("a.csv",))
    with pytest.raises(ModelOpsError) as caught:
        data.path_source(project.root / "nothing", project.root, owner="t")
    assert problem_of(caught.value).code == "data-missing"


@pytest.mark.parametrize(
    ("location", "listed", "allowed"),
    [
        ("d", (), True),
        ("https://h/d", (), True),
        ("/srv/d", (), False),
        ("/srv/d", ("/srv",), True),
        ("/srv/d", ("/srv/d/",), True),
        ("/srv//d/", ("file:///srv/",), True),
        ("/srv/../etc", ("/srv/",), False),
        ("/srvice/d", ("/srv/",), False),
        ("FILE:///srv/d", ("/srv/",), True),
        ("file:///srv/%2e%2e/etc", ("/srv/",), False),
        ("file://localhost/etc", ("/srv/",), False),
        ("http://h/d", (), False),
        ("http://h/d", ("http://h/",), True),
        ("http://h.evil/d", ("http://h",), False),
        ("http://h@evil/d", ("http://h",), False),
        ("s3://bucket/d", ("s3://bucket/",), True),
        ("s3://bucket2/d", ("s3://bucket",), False),
        ("../d", ("/",), False),
        (".git", ("/",), False),
        ("./.modelops/keys", ("/",), False),
        (".ModelOps/keys", ("/",), False),
    ],
)
def test_data_lie_in_the_repository_behind_https_or_where_the_project_says(
    location: str, listed: tuple[str, ...], allowed: bool
) -> None:
    """Everything else needs its folder or prefix in the list, whatever its spelling."""
    assert (refusal(location, listed) is None) is allowed


def test_links_lead_nowhere_that_is_not_allowed(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A linked folder, a folder within it and a linked file are refused with their name, unless the place is listed."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.csv").write_text("x\n1\n2\n")
    project.write({"d/a.csv": "x\n1\n2\n", "d/sub/a.csv": "x\n3\n", ".modelops/keys/a.csv": "x\n1\n2\n"})
    spec = project.take("a.csv")
    (project.root / "linked").symlink_to(outside)
    (project.root / "d/linked").symlink_to(outside)
    (project.root / "d/b.csv").symlink_to(outside / "a.csv")
    (project.root / "keys").symlink_to(".modelops/keys")
    for folder, path in (("linked", "a.csv"), ("d", "linked/a.csv"), ("d", "b.csv"), ("keys", "a.csv")):
        with pytest.raises(ModelOpsError) as caught:
            project.take(path, folder=folder)
        assert problem_of(caught.value).code == "data-location"
    assert replace(project, locations=(f"{outside}/",)).take("linked/a.csv").rows == 2
    (project.root / "d/a.csv").unlink()
    (project.root / "d/a.csv").symlink_to(outside / "a.csv")
    for act in (data.materialise, data.verify):
        with pytest.raises(ModelOpsError) as caught:
            act(spec, **project.places)
        assert problem_of(caught.value).code == "data-location"
