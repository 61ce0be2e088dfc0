"""A forge in a world of clones: who acts from which clone, and when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from git_world import BOB, NOON, World
from github_world import REPOSITORY, FakeGitHub, github
from modelops import plugins
from modelops.conformance.forges import Ground, Side
from modelops.forges import MACHINE, Opening
from modelops.forges.embedded import Embedded, Params
from modelops.forges.github import GitHub
from modelops.repository import Repository

LATER = NOON + timedelta(hours=1)


def forge_of(
    repository: Repository, login: str | None = None, when: datetime = NOON, params: Params | None = None
) -> Embedded:
    """Open the embedded forge of a clone, by default as the person whom git knows there."""
    module = plugins.load("forges", "embedded")
    opened = module.open(params or module.Params(), Opening(repository, "main", lambda: when, {}, login))
    assert isinstance(opened, Embedded)
    return opened


@contextmanager
def github_ground(world: World) -> Iterator[Ground]:
    """Let a GitHub serve a world, over HTTP."""
    with github(world.remote) as served:
        ada, bob = world.clone("ada"), world.clone("bob", BOB)

        def side(repository: Repository, token: str) -> Side:
            return Side(repository, github_forge(served, repository, token))

        yield Ground(side(ada, "token-of-ada"), side(bob, "token-of-bob"), side(ada, "token-of-app"), NOON)


def github_forge(served: FakeGitHub, repository: Repository, token: str, acting: str | None = None) -> GitHub:
    """Open the forge of a clone with somebody's token."""
    module = plugins.load("forges", "github")
    params = module.Params(repository=REPOSITORY, api_url=served.url)
    opened = module.open(params, Opening(repository, "main", lambda: NOON, {"GH_TOKEN": token}, acting))
    assert isinstance(opened, GitHub)
    return opened


@contextmanager
def embedded_ground(world: World) -> Iterator[Ground]:
    """Let the embedded forge serve a world, as a context."""
    yield ground_of(world)


def ground_of(world: World) -> Ground:
    """Let the embedded forge serve a world."""
    ada, bob = world.clone("ada"), world.clone("bob", BOB)
    machine = Side(ada, forge_of(ada, MACHINE))
    return Ground(Side(ada, forge_of(ada)), Side(bob, forge_of(bob)), machine, NOON)
