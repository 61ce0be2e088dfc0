"""What every forge on the shelf keeps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from forges.forge_world import embedded_ground, github_ground
from git_world import World
from modelops import plugins
from modelops.conformance.forges import CHECKS, Ground

GROUNDS: dict[str, Callable[[World], AbstractContextManager[Ground]]] = {
    "embedded": embedded_ground,
    "github": github_ground,
}


def test_every_forge_is_in_this_suite() -> None:
    """A new forge file must be given a ground here."""
    assert set(plugins.keys("forges")) == set(GROUNDS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("key", sorted(GROUNDS))
def test_the_forge_keeps(key: str, check: Callable[[Ground], None], world: World) -> None:
    """Each check of the shipped suite holds on the forge."""
    with GROUNDS[key](world) as ground:
        check(ground)


def test_every_check_is_run() -> None:
    """A check that is written but not listed would be run by nobody."""
    from modelops.conformance import forges

    assert {name for name in vars(forges) if name.startswith("check_")} == {check.__name__ for check in CHECKS}
