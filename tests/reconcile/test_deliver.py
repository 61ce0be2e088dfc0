"""One intention is one verb: from merged to the next promotion, and a proposal built where it is proposed."""

from __future__ import annotations

import json
from collections.abc import Callable

from git_world import git
from modelops.stores import release_tag
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


def test_an_environment_that_cannot_be_reconciled_keeps_nothing_back(live: Live) -> None:
    """What was released is told, what was left untagged is tagged, and the next environment is reconciled."""
    world = live("released")
    path = "policies/environments/production.yaml"
    world.approved({path: world.show(path).replace("order: 2", "order: 2\n  promotion: automatic")}, "By itself")
    world.change_model([("C: 1.0", "C: 0.5")], "softer")
    git(world.root, "pull", "-q", "--ff-only")
    world.ok("build", MODEL)
    store, tag = world.workspace().store, release_tag(MODEL, 1)
    tagged = store.resolve(tag)
    assert tagged is not None
    index = world.root / ".modelops" / "store" / "index.json"
    said = json.loads(index.read_text())
    kept = [one for one in said["manifests"] if tag not in one.get("annotations", {}).values()]
    assert len(kept) == len(said["manifests"]) - 1
    index.write_text(json.dumps(said | {"manifests": kept}))
    assert world.workspace().store.resolve(tag) is None
    world.stop()
    runtime = world.runtime("staging")
    runtime.rename(runtime.with_name("away"))
    runtime.write_text("no folder")
    done = world.run("deliver", MODEL, "--yes", "-o", "json")
    assert done.code == 4, done.err
    assert [row["model"] for row in done.json["released"]] == [MODEL]
    assert [one["environment"] for one in done.json["failed"]] == ["staging"]
    assert done.json["failed"][0]["code"] in done.err
    assert [one["environment"] for one in done.json["reconciled"]] == ["production"]
    assert world.workspace().store.resolve(tag) == tagged
