from __future__ import annotations

from pathlib import Path

import pytest

from data.snapshots import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "models" / "m").mkdir(parents=True)
    (tmp_path / "d").mkdir()
    return Project(tmp_path)
