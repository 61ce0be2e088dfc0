"""An environment whose server is several processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelops.spec.address import Address
from modelops.targets import Site, local
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import weights

Live = Callable[[str], World]


@pytest.mark.slow
def test_workers_share_one_rollout(live: Live) -> None:
    """They take up the same routes, count as one, and all end when the environment is stopped."""
    world = live("second")
    path = "policies/environments/production.yaml"
    world.approved({path: world.show(path).replace("port: 0", "port: 0, workers: 2") + "\n"}, "Take two workers")
    world.promote("--release", "2")
    world.reconcile()
    assert weights(world) == {1: 0.7, 2: 0.3}
    for _ in range(6):
        assert {status for status, _ in world.ask(25)} == {200}
    status = world.ok("rollout", "status", MODEL, "production", "-o", "json").json
    assert sum(arm["requests"] for arm in status["arms"]) == 150
    world.reconcile()
    assert weights(world) == {1: 0.4, 2: 0.6}
    world.stop()
    assert local.servers(Site("production", world.runtime(), Address("oci-layout:/"))) == []
