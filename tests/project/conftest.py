"""Repositories of the tests of what opens one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_world import nobodys_configuration


@pytest.fixture(scope="session", autouse=True)
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let git read nobody's configuration."""
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        yield
