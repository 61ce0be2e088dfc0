from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from git_world import World, nobodys_configuration


@pytest.fixture(autouse=True, scope="package")
def _nobodys_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with nobodys_configuration(tmp_path_factory.mktemp("home")):
        yield


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
