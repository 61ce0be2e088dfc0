"""Worlds with and without troubles; their servers end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from git_world import nobodys_configuration
from kill.ends import end_processes
from world.hostile import Hostile, Trouble, hostile

Put = Callable[..., Hostile]


@pytest.fixture(scope="session", autouse=True)
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let git read nobody's configuration."""
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        yield


@pytest.fixture
def put(tmp_path: Path) -> Iterator[Put]:
    """Return worlds with troubles in them; release 3 is on trial, or was denied."""
    folders: list[Path] = []

    def make(*troubles: Trouble, on_trial: bool = True) -> Hostile:
        folders.append(tmp_path / f"world-{len(folders)}")
        world = hostile(folders[-1], on_trial=on_trial)
        for trouble in troubles:
            trouble(world)
        return world

    yield make
    for folder in folders:
        end_processes(folder)
