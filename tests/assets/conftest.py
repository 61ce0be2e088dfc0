"""Assets of released versions, each brought to life once for the tests that only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from assets.kept import ASSETS, Kept, Revive, revive
from git_world import nobodys_configuration


@pytest.fixture(scope="session", autouse=True)
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let git read nobody's configuration."""
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        yield


@pytest.fixture(scope="session", params=ASSETS, ids=lambda path: path.name)
def asset(request: pytest.FixtureRequest) -> Path:
    """Return the folder of each version's asset in turn."""
    found: Path = request.param
    return found


@pytest.fixture(scope="session")
def ended(asset: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Return the end of the story, for reading."""
    return revive(asset, tmp_path_factory.mktemp(asset.name) / "ended")


@pytest.fixture(scope="session")
def on_trial(asset: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Return the time when release 3 was on trial, for reading."""
    return revive(asset, tmp_path_factory.mktemp(asset.name) / "trial", on_trial=True)


@pytest.fixture
def reviving(asset: Path, tmp_path: Path) -> Iterator[Revive]:
    """Return copies to write into; their servers end with the test."""
    made: list[Kept] = []

    def take(*, on_trial: bool = False) -> Kept:
        made.append(revive(asset, tmp_path / str(len(made)), on_trial=on_trial))
        return made[-1]

    yield take
    for kept in made:
        kept.stop()
