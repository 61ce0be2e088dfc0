"""`modelops pr fetch`, and MODELOPS_STORE: a machine that has no way to the project's store builds what is proposed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from git_world import git, identify
from reconcile.loop_world import ADA, MODEL, World

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


def test_a_machine_without_the_store_compares_with_what_was_fetched(proposed: World, tmp_path: Path) -> None:
    """What is stable is fetched, the same twice; with it alone a clone judges the change against stable."""
    store = tmp_path / "stable"
    assert json.loads(fetch(proposed, store)) == [{"model": MODEL, "release": 1, "missing": None}]
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
