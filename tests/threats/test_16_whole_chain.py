"""Threat 16: what was proven once is told otherwise later. ``modelops audit verify`` goes from the first commit on."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from assets.kept import MODEL
from git_world import git
from world.conftest import Put
from world.hostile import Hostile

HOME = f"models/{MODEL}"
RELEASE = f"{HOME}/releases/1/release.yaml"
CARD = f"{HOME}/releases/2/MODEL_CARD.md"
RECORD = f"{HOME}/promotions/production-1.intoto.jsonl"


def verified(world: Hostile) -> tuple[int, dict[str, Any]]:
    """Return the exit code and what is told of the branch."""
    ended = world.run("audit", "verify", "-o", "json")
    return ended.code, json.loads(ended.out)


def told(found: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {(one["code"], one["file"]) for one in found["problems"]}


def test_an_honest_branch_holds_from_its_first_commit(put: Put) -> None:
    """Every commit, release and promotion is counted, nothing is wrong, and what has no signature is named."""
    world = put(on_trial=False)
    code, found = verified(world)
    assert (code, found["ok"], found["problems"], found["branch"]["violations"]) == (0, True, [], []), found
    assert found["branch"]["from"] is None
    counted = found["checked"]
    lines = int(git(world.origin, "rev-list", "--first-parent", "--count", "main"))
    assert (counted["commits"], counted["releases"]) == (lines, 3)
    assert counted["promotions"] >= 3
    assert f"{MODEL}/initial" in found["unsigned"]


EDITS = {
    RELEASE: lambda text: text.replace("value: 0.9", "value: 0.99", 1),
    CARD: lambda text: text + "It is better than that.\n",
    RECORD: lambda text: text.partition("\n")[0] + "\n",
    f"{HOME}/data/initial.yaml": lambda text: text.replace("  rows: ", "  rows: 1", 1),
}


def test_what_may_not_change_is_found_even_when_it_was_changed_back(put: Put) -> None:
    """A pushed edit of a metric, card, outcome or snapshot is named with its commit, and after its revert too."""
    world = put(on_trial=False)
    bad = world.push("tidy", {path: edit(world.text(path).removesuffix("\n")) for path, edit in EDITS.items()})
    code, found = verified(world)
    edited = {("immutable-file", path) for path in EDITS}
    assert (code, edited <= told(found)) == (1, True), found["problems"]
    assert ("not-proven", RELEASE) in told(found)
    assert bad in [one["commit"] for one in found["branch"]["violations"]]
    world.git("revert", "--no-edit", bad)
    world.git("push", "-q", world.remote, world.branch)
    code, found = verified(world)
    assert (code, edited <= told(found)) == (1, True), found["problems"]
    assert ("not-proven", RELEASE) not in told(found)


def test_what_a_machine_remembers_is_not_asked(put: Put) -> None:
    """A commit that nobody approved is found although the machine's own memory was put beyond it."""
    world = put(on_trial=False)
    bad = world.push("tidy", {f"{HOME}/train.py": world.text(f"{HOME}/train.py") + "# tidy\n"})
    assert world.run("audit", "branch").code == 1
    code, found = verified(world)
    assert (code, [one["commit"] for one in found["branch"]["violations"]]) == (1, [bad])
    text = world.run("audit", "verify").out
    assert "1 thing does not hold" in text
    assert "to clear one:" in text


def test_a_branch_that_was_pressed_into_one_commit_does_not_hold(put: Put) -> None:
    """Releases whose commits are no part of the line are named, in a clone that has them and in one that has not."""
    world = put(on_trial=False)
    tree = git(world.origin, "rev-parse", "main^{tree}")
    alone = world.git("commit-tree", tree, "-m", "All at once")
    git(world.root, "push", "-q", "--force", world.remote, f"{alone}:refs/heads/main")
    fresh = world.another("fresh")
    code, found = verified(fresh)
    assert code == 1
    gone = {file for code, file in told(found) if code == "code-gone"}
    assert gone == {f"{HOME}/releases/{number}/release.yaml" for number in (1, 2, 3)}


def test_a_shallow_clone_is_refused(put: Put) -> None:
    """What lacks a part of history is no proof of anything."""
    world = put(on_trial=False)
    other = world.another("shallow")
    subprocess.run(["rm", "-rf", str(other.root)], check=True)
    git(world.folder, "clone", "-q", "--depth", "1", "-o", world.remote, f"file://{world.origin}", "shallow")
    ended = other.run("audit", "verify")
    assert ended.code != 0
    assert "shallow" in ended.err
