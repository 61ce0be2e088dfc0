"""Worlds at the stages of the loop, each made once and copied by the tests that change it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from git_world import git, nobodys_configuration
from kill.ends import end_processes
from reconcile.loop_world import MODEL, STRICT, World, begin
from shared_folders import shared_folder

Live = Callable[[str], World]


@pytest.fixture(scope="session", autouse=True)
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let git read nobody's configuration."""
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        yield


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], World]:
    """Return worlds by stage, all of them at rest.

    ``merged``: the model is on main. ``released``: release 1 is stable in staging. ``promoted``: and in production.
    ``changed``: a change of the model is merged and built. ``second``: release 2, made from it, is stable in staging.
    ``third``: and so is release 3, which fails on strange requests.
    """
    order = ("merged", "released", "promoted", "changed", "second", "third")

    def make(name: str, folder: Path) -> None:
        world = begin(folder) if name == "merged" else stage(order[order.index(name) - 1]).copy(folder)
        try:
            if name == "promoted":
                world.promote()
                world.reconcile()
            elif name == "changed":
                world.change_model([("C: 1.0", "C: 0.5")], "softer")
                git(world.root, "pull", "-q", "--ff-only")
                world.ok("build", MODEL)
            elif name != "merged":
                if name == "third":
                    world.change_model([STRICT], "strict")
                world.ok("release", "--yes")
                world.reconcile("staging")
        finally:
            world.stop()

    def stage(name: str) -> World:
        return World(shared_folder(tmp_path_factory, f"stage-{name}", partial(make, name)))

    return stage


@pytest.fixture
def live(stages: Callable[[str], World], tmp_path: Path) -> Iterator[Live]:
    """Return an own copy of a stage; its servers end with the test."""
    worlds: list[World] = []

    def take(stage: str) -> World:
        worlds.append(stages(stage).copy(tmp_path / f"world-{len(worlds)}"))
        return worlds[-1]

    yield take
    for world in worlds:
        # Nobody looks at it any more: nothing is left to drain for.
        end_processes(world.folder)
