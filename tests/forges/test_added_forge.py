"""The forge of the how-to page: another storage and other ids than the embedded one's, and the same promises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from git_world import BOB, NOON, World
from modelops.conformance.forges import CHECKS, Ground, Side
from modelops.forges import MACHINE, Opening
from modelops.repository import Repository

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-forge.md"


@pytest.fixture(scope="module")
def shared() -> Iterator[ModuleType]:
    """Return the page's module as it stands there."""
    text = PAGE.read_text(encoding="utf-8")
    code = text.split("`src/team_forges/shared.py`:\n\n```python\n", 1)[1].split("```", 1)[0]
    module = ModuleType("team_forges_shared")
    sys.modules[module.__name__] = module
    exec(compile(code, str(PAGE), "exec"), vars(module))
    yield module
    del sys.modules[module.__name__]


def ground_of(shared: ModuleType, world: World) -> Ground:
    ada, bob = world.clone("ada"), world.clone("bob", BOB)
    params = shared.Params(path=str(world.folder / "pulls.sqlite"))

    def side(repository: Repository, acting: str | None = None) -> Side:
        return Side(repository, shared.open(params, Opening(repository, "main", lambda: NOON, {}, acting)))

    return Ground(side(ada), side(bob), side(ada, MACHINE), NOON)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_added_forge_keeps(check: Callable[[Ground], None], shared: ModuleType, world: World) -> None:
    """Each check of the shipped suite holds on it."""
    ground = ground_of(shared, world)
    try:
        check(ground)
    finally:
        for side in (ground.ada, ground.bob, ground.machine):
            side.forge.database.close()  # type: ignore[attr-defined]


def test_a_renamed_reviewer_is_the_same_person(shared: ModuleType, world: World) -> None:
    """An approval stays that person's under the new login, which the old record does not know."""
    ground = ground_of(shared, world)
    head = world.branch(ground.ada.repository, "change", {"x": "1"})
    pull = ground.ada.forge.open(title="T", body="", source="change").pull
    before = ground.bob.forge.review(pull.number, "approved", head=head)
    database = ground.bob.forge.database  # type: ignore[attr-defined]
    database.execute("UPDATE accounts SET login = 'robert' WHERE login = 'bob'")
    (after,) = ground.ada.forge.reviews(pull.number)
    assert (after.by.id, after.by.login, before.by.login) == (before.by.id, "robert", "bob")
    for side in (ground.ada, ground.bob, ground.machine):
        side.forge.database.close()  # type: ignore[attr-defined]
