from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from github_team import Ground, ground


@pytest.fixture(scope="module")
def github_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    place: Path = tmp_path_factory.getbasetemp() / "github"
    place.mkdir(exist_ok=True)
    with ground(place) as made:
        yield made
