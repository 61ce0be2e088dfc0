"""Bots: what a machine says counts as no approval, wherever a person's does, and grants nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelops.forges import MACHINE
from reconcile.conftest import configuration, stages  # noqa: F401
from reconcile.loop_world import MODEL, World

APPROVALS = "policies/approvals.yaml"
BOTS = (MACHINE, "dependabot[bot]", "github-actions[bot]", "Renovate[bot]")


@pytest.fixture(scope="module")
def world(stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> World:  # noqa: F811
    """Return a world whose policy names machines among those who may approve everything."""
    found = stages("merged").copy(tmp_path_factory.mktemp("bots"))
    names = ", ".join(f'"{bot}"' for bot in BOTS)
    text = found.show(APPROVALS).replace("[ada, grace]", f"[ada, grace, {names}]") + "\n"
    found.merge(found.propose({APPROVALS: text}, "bots", "Let bots approve").number)
    return found


@pytest.mark.parametrize(
    "path", [f"models/{MODEL}/train.py", "policies/gates/easy.yaml", "policies/waivers/pilot.yaml", "requirements.lock"]
)
def test_approvals_by_machines_count_nowhere(world: World, tmp_path: Path, path: str):
    """Code, gates, waivers and the lock alike: the merge is refused, also where the policy names the machines."""
    here = world.copy(tmp_path / "world")
    pull = here.propose({path: "# changed\n"}, "change", "Change something")
    for bot in BOTS:
        here.workspace().forge_as(bot).review(pull.number, "approved", head=pull.head)
    refused = here.run("pr", "merge", str(pull.number), "--as", "grace")
    assert refused.code == 1, refused.out
    for bot in BOTS:
        assert f"{bot.lower()} is a machine, which cannot approve" in refused.err
    assert here.workspace().forge.get(pull.number).state == "open"


def test_a_person_beside_a_machine_is_asked_all_the_same(world: World, tmp_path: Path):
    """What a machine said neither replaces nor spoils the approval of somebody who may give it."""
    here = world.copy(tmp_path / "world")
    pull = here.propose({f"models/{MODEL}/train.py": "# changed\n"}, "change", "Change something")
    for bot in BOTS:
        here.workspace().forge_as(bot).review(pull.number, "changes-requested", head=pull.head)
    assert here.run("pr", "merge", str(pull.number), "--as", "grace").code == 1
    here.workspace().forge_as("grace").review(pull.number, "approved", head=pull.head)
    here.ok("pr", "merge", str(pull.number), "--as", "grace")
