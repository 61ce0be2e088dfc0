"""A shadow against a real server: copies are answered, compared by request, and seen by nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import HERE, begun, message, weights
from waiting import wait_for

Live = Callable[[str], World]

SHADOW = """  strategy:
    type: shadow
    params: {minPairs: 40, slow: null, minimumAgreement: 0.6}
"""


def shadows(world: World) -> dict[int, float]:
    return {arm["release"]: arm["shadow"] for arm in world.routes()["models"][MODEL]["arms"] if arm["shadow"]}


def test_a_shadow_answers_copies_and_becomes_stable(live: Live) -> None:
    """It takes no traffic, is compared by request, and is promoted after enough pairs agree."""
    world = begun(live, "second", 2, strategy=SHADOW)
    assert weights(world) == {1: 1.0, 2: 0.0}
    assert shadows(world) == {2: 1.0}
    answers = world.ask(60)
    assert {body["parameters"]["release"] for _, body in answers} == {1}
    settled(world, 60)
    status = world.ok("rollout", "status", *HERE, "-o", "json").json
    assert [arm["pairs"] for arm in status["arms"]] == [0, 60]
    found = world.reconcile()
    assert message(found).startswith("Ready"), found
    assert weights(world) == {2: 1.0}
    again = world.ok("rollout", "replay", *HERE, "-o", "json").json
    assert again["replayed"]["outcome"] == "succeeded"


def settled(world: World, pairs: int) -> None:
    """Wait until the copies are answered and logged."""
    wait_for(
        lambda: sum(arm["pairs"] for arm in world.ok("rollout", "status", *HERE, "-o", "json").json["arms"]) >= pairs
    )


@pytest.mark.slow
def test_a_shadow_that_fails_is_withdrawn_unseen(live: Live) -> None:
    """Copies that it cannot answer deny it; nobody got an error."""
    world = begun(live, "third", 3, strategy=SHADOW)
    assert {status for status, _ in world.ask(80, strange=True)} == {200}
    settled(world, 80)
    world.reconcile()
    assert weights(world) == {1: 1.0}
    assert world.deployment()["denied"][0]["release"] == 3
