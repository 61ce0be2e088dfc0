"""A workshop per test, and one with a finished build that tests only read."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelops.artifacts import BuildRecord
from training.building_blocks import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workshop, BuildRecord]:
    workshop = Workshop(tmp_path_factory.mktemp("built"))
    return workshop, workshop.build(workshop.request())
