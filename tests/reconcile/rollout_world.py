"""Rollouts under way, and what tests of them ask: the traffic, the signed outcomes, the conditions, a killed loop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from modelops.evidence import ROLLOUT_OUTCOME, check_promotion
from modelops.governance.promotions import covering_promotion, promotion_evidence
from modelops.project.workspace import trusted
from modelops.spec.layout import Seat
from reconcile.loop_world import MODEL, World
from waiting import PATIENCE

Live = Callable[[str], World]
HERE = (MODEL, "production")
CANARY = """  strategy:
    type: canary
    params:
      slow: null
      steps:
        - {weight: 0.3, minRequests: 20}
        - {weight: 0.6, minRequests: 20}
"""
AB_TEST = """  strategy:
    type: ab-test
    params:
      {metric: errors, minimumEffect: 0.1, minUnits: 20, minMinutes: 0, slow: null, onDeadline: keep,
       deadlineMinutes: 60}
"""
AFTER_ACTIONS = """
import os, signal, sys
from modelops.reconcile import loop
from modelops.views.pull_requests import LOOP
from modelops.project.workspace import open_workspace
real, left = loop._apply, int(sys.argv[2])
def apply(*args):
    global left
    said = real(*args)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return said
loop._apply = apply
loop.reconcile(open_workspace(), sys.argv[1], LOOP)
"""


def weights(world: World) -> dict[int, float]:
    return {arm["release"]: arm["weight"] for arm in world.routes()["models"][MODEL]["arms"]}


def on_trial(live: Live, stage: str, release: int) -> World:
    """Return a world in which a release has the first step of its rollout in production."""
    world = live(stage)
    world.promote("--release", str(release))
    found = world.reconcile()
    assert weights(world) == {1: 0.7, release: 0.3}
    assert "no data" in found["conditions"][0]["message"]
    return world


def planned(world: World, rest: str = "", strategy: str = CANARY) -> None:
    """Write another rollout plan to main."""
    text = f"apiVersion: modelops/v1\nkind: RolloutPlan\nmetadata:\n  name: churn\nspec:\n{strategy}{rest}"
    if world.show("models/churn/rollout.yaml") != text.strip():
        world.approved({"models/churn/rollout.yaml": text}, "Plan another rollout")


def begun(live: Live, stage: str, release: int, rest: str = "", strategy: str = CANARY) -> World:
    """Return a world in which a release has the first step of a rollout by another plan."""
    world = live(stage)
    planned(world, rest, strategy)
    world.promote("--release", str(release))
    world.reconcile()
    return world


def said(world: World, release: int) -> list[dict[str, Any]]:
    """Return the signed statements about a release's rollouts in production."""
    workspace = world.workspace()
    tip, graph = workspace.desired()
    record = covering_promotion(graph, Seat(MODEL, "production"), release)
    assert record is not None
    found = check_promotion(record, promotion_evidence(workspace, tip, MODEL, record.name), trusted(workspace, tip))
    return [dict(one.predicate) for one in found if one.predicate_type == ROLLOUT_OUTCOME]


def outcomes(world: World, release: int) -> list[str]:
    """Return the signed outcomes of a release's rollouts in production."""
    return [one["outcome"] for one in said(world, release)]


def message(found: Mapping[str, Any]) -> str:
    (condition,) = found["conditions"]
    return f"{condition['type']} {condition['reason']}: {condition['message']}"


def monitored(world: World) -> tuple[int, dict[str, object]]:
    """Run the monitor and return its exit code and what it says about the model."""
    done = world.run("monitor", "production", "--yes", "-o", "json")
    assert done.code in (0, 1), done.err
    (found,) = done.json
    return done.code, found


def local_clock_settles() -> None:
    """Wait until every process has seen the new logical time."""
    time.sleep(0.05)


def killed(world: World, script: str, number: int) -> bool:
    """Run the loop in a process of its own, and tell whether it was killed or came to rest."""
    process = world.process("-c", script, "production", str(number))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode != 0
