"""What all tests share: golden files, written anew by `--update-golden`, and how examples are generated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

Golden = Callable[[str, str], None]

# A commit is refused for what it does, not for the dice or a busy machine: examples are the same in every run, and
# take their time. `pytest --hypothesis-profile=default` looks for others.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes golden files instead of comparing with them."""
    parser.addoption("--update-golden", action="store_true", help="write the golden files; review the diff")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the stories: one takes minutes, and nothing is left to do beside one that begins at the end."""
    items.sort(key=lambda item: item.get_closest_marker("story") is None)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Return what compares a text with a file of the folder ``golden`` beside the test."""

    def compare(name: str, text: str) -> None:
        file = Path(request.path).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"{file} is missing; run pytest with --update-golden"
        assert text == file.read_text(encoding="utf-8")

    return compare
