"""`modelops pr fetch`, and MODELOPS_STORE: a machine that has no way to the project's store builds what is proposed."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from git_world import git, identify
from modelops.data import take_rows
from modelops.spec.yaml.dump import dump
from reconcile.loop_world import ADA, MODEL, World, rows

Live = Callable[[str], World]


@dataclass
class Elsewhere(World):
    """Another machine: a clone and nothing else, whose store is the one that MODELOPS_STORE names."""

    store: str = ""

    def environ(self) -> dict[str, str]:
        return super().environ() | {"MODELOPS_STORE": self.store}


@pytest.fixture
def proposed(live: Live) -> World:
    """Return the world of release 1 in staging, with a change of the model checked out."""
    world = live("released")
    world.push({"models/churn/model.yaml": world.show("models/churn/model.yaml").replace("C: 1.0", "C: 0.5")}, "", "c")
    git(world.root, "fetch", "-q", "origin")
    git(world.root, "checkout", "-q", "--detach", "origin/c")
    return world


def elsewhere(world: World, folder: Path, store: Path) -> Elsewhere:
    other = Elsewhere(folder, str(store))
    folder.mkdir()
    shutil.copy(world.folder / "clock", folder / "clock")
    git(folder, "clone", "-q", str(world.remote), "checkout")
    identify(other.root, ADA)
    git(other.root, "checkout", "-q", "--detach", "origin/c")
    return other


def blobs(store: Path) -> set[str]:
    return {path.name for path in (store / "blobs" / "sha256").iterdir()}


def fetch(world: World, store: Path, code: int = 0) -> str:
    done = world.run("pr", "fetch", "--since", "origin/main", "--to", str(store), "-o", "json")
    assert done.code == code, done.err
    return done.out or done.err


@pytest.mark.slow
def test_a_machine_without_the_store_compares_with_what_was_fetched(proposed: World, tmp_path: Path) -> None:
    """What is stable is fetched, the same twice; with it alone a clone judges the change against stable."""
    store = tmp_path / "stable"
    assert json.loads(fetch(proposed, store)) == [{"model": MODEL, "release": 1, "snapshot": None, "missing": None}]
    fetched = blobs(store)
    fetch(proposed, store)
    assert blobs(store) == fetched
    other = elsewhere(proposed, tmp_path / "other", store)
    found = other.ok("pr", "report", "--since", "origin/main", "--out", "report.json", "-o", "json").json
    (build,) = found["builds"]
    assert (build["model"], build["stable"]) == (MODEL, 1)
    assert all(metric["stable"] is not None for metric in build["metrics"])
    assert blobs(store) > fetched
    assert not (other.root / ".modelops" / "store").exists()


def test_what_the_store_lost_is_told_and_left_out(proposed: World, tmp_path: Path) -> None:
    """A release that the project's store has not is named and keeps nothing else from being fetched."""
    shutil.rmtree(proposed.root / ".modelops" / "store")
    (found,) = json.loads(fetch(proposed, tmp_path / "stable"))
    assert (found["model"], found["release"]) == (MODEL, 1)
    assert found["missing"]
    assert (tmp_path / "stable").is_dir()


@pytest.fixture
def retrained(proposed: World) -> World:
    """Return a world whose change trains on other rows, which are in the store alone, as those of a retraining are."""
    workspace = proposed.workspace()
    entry = workspace.graph("origin/c").models[MODEL]
    assert entry.model is not None
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(300, 7)), buffer)
    old = entry.snapshots["initial"].spec
    spec = take_rows(buffer.getvalue(), "more.parquet", old, entry.model.spec, store=workspace.store, reason="more")
    path = f"models/{MODEL}/data/more.yaml"
    model = proposed.show(f"models/{MODEL}/model.yaml").replace("snapshot: initial", "snapshot: more")
    files = {path: dump("DataSnapshot", "more", spec, None, path).decode(), f"models/{MODEL}/model.yaml": model}
    proposed.push(files, "Train on more", "c")
    git(proposed.root, "fetch", "-q", "origin")
    git(proposed.root, "checkout", "-q", "--detach", "origin/c")
    return proposed


def test_rows_that_are_in_the_store_alone_are_fetched_and_built(retrained: World, tmp_path: Path) -> None:
    """A retraining's rows are in no clone: they come along, and the change is built and judged with them."""
    store = tmp_path / "stable"
    found = json.loads(fetch(retrained, store))
    assert [(one["snapshot"], one["release"], one["missing"]) for one in found] == [
        ("more", None, None),
        (None, 1, None),
    ]
    other = elsewhere(retrained, tmp_path / "other", store)
    report = other.ok("pr", "report", "--since", "origin/main", "--out", "report.json", "-o", "json").json
    (build,) = report["builds"]
    assert (build["model"], build["stable"]) == (MODEL, 1)


def test_rows_that_no_clone_has_are_fetched_wherever_they_were(proposed: World, tmp_path: Path) -> None:
    """Rows that were pushed to the store and taken out of git come along; those that git has do not."""
    assert proposed.run("data", "push", MODEL).code == 0
    git(proposed.root, "rm", "-q", "data/rows.csv")
    git(proposed.root, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "Leave them out")
    found = json.loads(fetch(proposed, tmp_path / "stable"))
    assert [(one["snapshot"], one["release"]) for one in found] == [("initial", None), (None, 1)]


def test_rows_that_the_store_lost_are_told(retrained: World, tmp_path: Path) -> None:
    """Without them the build cannot be made; which file of which snapshot it is is said here already."""
    shutil.rmtree(retrained.root / ".modelops" / "store")
    first, second = json.loads(fetch(retrained, tmp_path / "stable"))
    assert (first["snapshot"], first["missing"]) == ("more", "more.parquet is not in the store")
    assert second["missing"]


def test_a_snapshot_whose_place_is_refused_is_told_and_left_out(proposed: World, tmp_path: Path) -> None:
    """What a pull request says wrongly of its rows keeps nothing else from being fetched for its report."""
    path = f"models/{MODEL}/data/initial.yaml"
    text = proposed.show(path).replace("location: ", "location: ../../../../", 1)
    assert text != proposed.show(path)
    proposed.push({path: text}, "Lead elsewhere", "c")
    git(proposed.root, "fetch", "-q", "origin")
    git(proposed.root, "checkout", "-q", "--detach", "origin/c")
    first, second = json.loads(fetch(proposed, tmp_path / "stable"))
    assert (first["snapshot"], second["release"], second["missing"]) == ("initial", 1, None)
    assert first["missing"]


def test_what_was_tampered_with_is_not_fetched(proposed: World, tmp_path: Path) -> None:
    """Every blob is verified on its way: one that is another than its digest says ends the fetching."""
    release = proposed.show(f"models/{MODEL}/releases/1/release.yaml")
    digest = release.partition("build: sha256:")[2][:64]
    file = proposed.root / ".modelops" / "store" / "blobs" / "sha256" / digest
    data = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(data.replace(b"0", b"1", 1))
    assert "digest-mismatch" in fetch(proposed, tmp_path / "stable", 3)
    assert digest not in blobs(tmp_path / "stable")


def test_a_store_that_nobody_knows_is_refused(proposed: World, tmp_path: Path) -> None:
    """The address of neither a folder nor a kind of store is an error in the words typed, and in the variable."""
    done = proposed.run("pr", "fetch", "--since", "origin/main", "--to", "ftp:stable")
    assert done.code == 2
    assert "bad-store-address" in done.err
    other = elsewhere(proposed, tmp_path / "other", Path("ftp:stable"))
    done = other.run("pr", "report", "--since", "origin/main", "--out", "report.json")
    assert done.code == 2
    assert "bad-store-address" in done.err
