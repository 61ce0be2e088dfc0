"""One intention is one verb: from merged to the next promotion, and a proposal built where it is proposed."""

from __future__ import annotations

from collections.abc import Callable

from git_world import git
from reconcile.loop_world import MODEL, World

Live = Callable[[str], World]


def test_what_was_merged_runs_in_staging_and_asks_for_production(live: Live) -> None:
    """A proposal is built from any checkout; merged, one verb releases it, serves it and opens the promotion, once."""
    world = live("merged")
    text = world.show(f"models/{MODEL}/model.yaml")
    files = {f"models/{MODEL}/model.yaml": text.replace("C: 1.0", "C: 0.25") + "\n"}
    pull = world.propose(dict(files), "softer", "Soften")
    before = git(world.root, "rev-parse", "HEAD")
    built = world.ok("build", "--pull-request", str(pull.number), "-o", "json").json
    forge = world.workspace().forge_as("grace")
    assert [one["model"] for one in built] == [MODEL]
    assert git(world.root, "rev-parse", "HEAD") == before
    assert any("churn" in each.body for each in forge.comments(pull.number))
    world.merge(pull.number)

    first = world.ok("deliver", "--yes", "-o", "json").json
    assert [row["model"] for row in first["released"]] == [MODEL]
    (staging,) = first["reconciled"]
    assert (staging["environment"], [one["type"] for one in staging["conditions"]]) == ("staging", ["Ready"])
    (asked,) = first["proposals"]
    assert (asked["release"], asked["already"]) == (1, False)
    assert "C: 0.25" in world.show(f"models/{MODEL}/model.yaml")
    assert world.deployment("staging")["stable"] == 1
    assert world.deployment("production")["stable"] is None
    # What was measured for the proposal is what was released: nothing was trained twice.
    assert world.show(f"models/{MODEL}/releases/1/release.yaml").count(built[0]["artifact"]) == 1

    again = world.ok("deliver", MODEL, "--yes", "-o", "json").json
    assert (again["released"], again["reconciled"][0]["done"]) == ([], [])
    assert [one["already"] for one in again["proposals"]] == [True]
    assert "nothing to ask for" not in world.ok("deliver", "--yes").out
    world.merge(int(asked["pullRequest"]))
    world.reconcile("production")
    assert "nothing to ask for: production has what proved itself" in world.ok("deliver", "--yes").out
