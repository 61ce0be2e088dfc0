"""Two machines, or two people, that ask for the same at the same time: one pull request, and both are told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from git_world import git
from modelops.forges import read_block
from reconcile.loop_world import MODEL, World
from reconcile.rollout_world import local_clock_settles, monitored
from waiting import PATIENCE

Live = Callable[[str], World]
PROMOTE = ("-m", "modelops", "promote", MODEL, "--to", "production", "--yes", "-o", "json")


def test_two_promotions_at_once_are_one_pull_request(live: Live) -> None:
    """The loser of the race is told of the winner's and exits 0; the body says for machines too what is asked."""
    world = live("released")
    world.reconcile("staging")
    clones = [world.root, world.clone("other")]
    git(clones[1], "config", "user.email", "grace@example.com")
    processes = [world.process(*PROMOTE, root=clone) for clone in clones]
    done = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], done
    found = [json.loads(out) for out, _ in done]
    assert found[0]["pullRequest"] == found[1]["pullRequest"]
    assert sorted(one["already"] for one in found) == [False, True]
    (pull,) = world.workspace().forge.find(label=f"promote:{MODEL}:production")
    assert read_block(pull.body) == {
        "kind": "promotion", "model": MODEL, "environment": "production", "release": 1, "role": "candidate",
    }  # fmt: skip
    assert "modelops:" not in world.ok("pr", "view", str(pull.number)).out


def test_the_remote_is_the_projects_for_every_verb(live: Live) -> None:
    """Under another name than origin, what promote opens is what pr and reconcile see, on the remote itself."""
    world = live("released")
    path = "policies/project.yaml"
    named = world.show(path).replace("spec: {", "spec: {remote: upstream, ") + "\n"
    world.approved({path: named}, "Call the remote upstream")
    git(world.root, "pull", "--quiet", "origin", "main")
    git(world.root, "remote", "rename", "origin", "upstream")
    world.reconcile("staging")
    opened = world.ok("promote", MODEL, "--to", "production", "--yes", "-o", "json").json
    assert git(world.remote, "rev-parse", opened["branch"])
    (found,) = world.ok("pr", "list", "-o", "json").json
    assert (found["number"], found["source"]) == (opened["pullRequest"], opened["branch"])
    world.ok("pr", "review", str(found["number"]), "--approve", "--as", "grace")
    world.ok("pr", "merge", str(found["number"]), "--as", "grace")
    assert world.reconcile()["conditions"][0]["type"] == "Ready"


def drifted(world: World) -> None:
    world.reconcile()
    world.at("2026-03-20T12:00:00Z")
    local_clock_settles()
    world.label(world.ask(200, shift=3.0))
    world.at("2026-04-10T12:00:00Z")


def second(world: World) -> Path:
    """Return another checkout whose runtime has seen the same traffic."""
    clone = world.clone("other")
    shutil.copytree(world.root / ".modelops" / "runtime", clone / ".modelops" / "runtime", dirs_exist_ok=True)
    return clone


def test_two_monitors_open_one_pull_request_and_foreign_ones_decide_nothing(live: Live) -> None:
    """Whoever labels and names a pull request like a retraining keeps none from being opened."""
    world = live("promoted")
    drifted(world)
    world.push({"notes.txt": "mine\n"}, "Mine", "mine")
    world.push({"notes.txt": "theirs\n"}, "Theirs", f"modelops/retrain/{MODEL}/20260409T120000")
    body = f'<!-- modelops: {{"kind":"retraining","model":"{MODEL}"}} -->'
    for source in ("mine", f"modelops/retrain/{MODEL}/20260409T120000"):
        world.ok("pr", "create", "--head", source, "--label", f"retrain:{MODEL}", "--body", body)
    clones = [world.root, second(world)]
    words = ("-m", "modelops", "monitor", "production", "--yes", "-o", "json")
    processes = [world.process(*words, root=clone) for clone in clones]
    done = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [1, 1], done
    opened = [pull for pull in world.workspace().forge.find(state="all") if pull.author.machine]
    assert len(opened) == 1
    assert {json.loads(out)[0]["pullRequest"] for out, _ in done} <= {opened[0].number, None}
    branches = git(world.remote, "for-each-ref", "--format=%(refname:short)", "refs/heads/modelops").splitlines()
    assert sorted(branches) == sorted([f"modelops/retrain/{MODEL}/20260409T120000", opened[0].source])
    _, found = monitored(world)
    assert "already open" in json.dumps(found["retraining"])
