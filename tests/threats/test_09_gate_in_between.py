"""Threat 9: a gate that is weak for a while, by pushes that nobody approved and that are taken back in time."""

from __future__ import annotations

import pytest

from git_world import git
from reconcile.conftest import configuration, stages  # noqa: F401
from reconcile.loop_world import MODEL, World
from threats.test_22_waivers import GATES, Strict, made, refused, strict  # noqa: F401

TRAIN = f"models/{MODEL}/train.py"


def weaken(world: World) -> dict[str, str]:
    return {GATES: world.show(GATES).replace("minimum: 0.999", "minimum: 0.1") + "\n"}


def test_a_gate_that_was_weak_while_the_code_was_touched_judges_nothing(strict: Strict):  # noqa: F811
    """Code and gate are pushed and taken back: what is released is judged by the gate that was approved."""
    world = strict()
    kept = {path: world.show(path) + "\n" for path in (GATES, TRAIN)}
    world.push({**weaken(world), TRAIN: kept[TRAIN] + "# more\n"}, "Tidy")
    world.push(kept, "Take it back")
    assert "ranks fail" in refused(world)


@pytest.mark.slow
def test_a_gate_that_was_weak_while_a_change_was_merged_does_not_judge_it(strict: Strict):  # noqa: F811
    """The change is approved, the gate before it was nobody's: it counts as it stands now, as it was approved."""
    world = strict()
    kept = world.show(GATES) + "\n"
    world.push(weaken(world), "Tidy")
    world.change_model([("C: 0.5", "C: 0.4")], "softest")
    world.push({GATES: kept}, "Take it back")
    git(world.root, "pull", "-q", "--ff-only")
    assert "ranks fail" in refused(world)
