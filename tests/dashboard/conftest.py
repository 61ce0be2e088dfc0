"""Repositories to look at: what a released version left in the middle of a rollout, nothing was trained for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboard.reading import Read, read
from git_world import nobodys_configuration
from kill.ends import end_processes
from modelops.dashboard.look import House
from modelops.dashboard.pages import Page, Pages
from modelops.project.workspace import open_workspace
from modelops.serving.guard.visible import ALL, Sight
from world.hostile import Hostile, hostile

Put = Callable[..., Hostile]


@pytest.fixture(scope="session", autouse=True)
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let git read nobody's configuration."""
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        yield


@pytest.fixture
def put(tmp_path: Path) -> Iterator[Put]:
    """Return worlds in which release 3 is on trial, or was denied."""
    folders: list[Path] = []

    def make(*, on_trial: bool = True) -> Hostile:
        folders.append(tmp_path / f"world-{len(folders)}")
        return hostile(folders[-1], on_trial=on_trial)

    yield make
    for folder in folders:
        end_processes(folder)


class Site:
    """The pages of a clone as they are made in this process."""

    def __init__(self, world: Hostile, *, static: bool = False) -> None:
        self.pages = Pages(House(open_workspace(world.root, world.environ()), observed=not static), static=static)

    def get(self, path: str = "index.html", sight: Sight = ALL, **query: str) -> Page:
        return self.pages.page(path, query, sight)

    def read(self, path: str = "index.html", sight: Sight = ALL, **query: str) -> Read:
        return read(self.get(path, sight, **query).html)

    def crawl(self) -> dict[str, Page]:
        """Return every page that can be reached from home."""
        found: dict[str, Page] = {}
        todo = ["index.html"]
        while todo:
            path = todo.pop()
            if path not in found:
                found[path] = self.get(path)
                todo += found[path].leads
        return found


@pytest.fixture(scope="session")
def on_trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """Return a world that nobody changes: release 2 is stable in production, release 3 on trial."""
    folder = tmp_path_factory.mktemp("looked-at") / "world"
    yield hostile(folder)
    end_processes(folder)


@pytest.fixture(scope="session")
def site(on_trial: Hostile) -> Site:
    """Return the pages of the world that nobody changes."""
    return Site(on_trial)
