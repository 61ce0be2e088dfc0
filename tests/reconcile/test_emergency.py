"""Emergencies: the ways back work while other files are wrong, the remote is away, or main takes no pushes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from git_world import git
from modelops.spec.address import Address
from modelops.targets import Site, local
from reconcile.loop_world import MODEL, START, World
from reconcile.rollout_world import on_trial

Live = Callable[[str], World]
PRODUCTION = f"models/{MODEL}/environments/production.yaml"
BACK = ("rollback", MODEL, "--environment", "production", "--reason", "it harms people", "--yes")


def condition(world: World, environment: str = "production", model: str = MODEL) -> dict[str, Any]:
    """Return how a model stands, as status says."""
    rows = json.loads(world.run("status", "-o", "json").out)
    (row,) = (row for row in rows if row["environment"] == environment)
    found: dict[str, Any] = next(one for one in row["conditions"] if one["model"] == model)
    return found


def shares(world: World) -> dict[int, float]:
    """Return what share of the traffic each release has, by the routing table."""
    arms = json.loads((world.runtime() / "routes.json").read_text())["models"][MODEL]["arms"]
    return {arm["release"]: arm["weight"] for arm in arms}


def without_remote(world: World) -> Callable[[], None]:
    """Take the remote away; returns what brings it back."""
    away = world.remote.with_name("away.git")
    world.remote.rename(away)
    return lambda: away.rename(world.remote) and None


def test_a_typo_of_one_model_stalls_that_model(live: Live) -> None:
    """A wrong file stalls its own model, which goes on as it ran; others are planned, rolled back and stopped."""
    world = on_trial(live, "second", 2)
    world.propose_beside()
    world.ok("release", "--yes")
    world.reconcile("staging")
    text = world.show("models/beside/model.yaml")
    world.push({"models/beside/model.yaml": text.replace("  owner:", "  ownr:")}, "A typo")
    staging = world.run("reconcile", "staging", "--yes", "-o", "json")
    assert staging.code == 3
    rows = {row["model"]: row for row in staging.json["conditions"]}
    assert rows["beside"]["type"] == "Stalled"
    assert "models/beside/model.yaml:" in rows["beside"]["message"]
    assert "'ownr' is not a key here" in rows["beside"]["message"]
    assert rows[MODEL]["type"] == "Ready"
    table = json.loads((world.runtime("staging") / "routes.json").read_text())
    assert set(table["models"]) == {MODEL, "beside"}
    assert condition(world)["type"] == "Reconciling"
    done = world.run(*BACK)
    assert "release 2 is withdrawn, release 1 is stable" in done.err
    assert shares(world) == {1: 1.0}
    world.ok("reconcile", "staging", "--stop", "--yes")
    released = world.run("release", "beside", "--yes")
    assert (released.code, "[unknown-key]" in released.err) == (3, True)


@pytest.mark.parametrize("name", ["approvals", "trust", "project", "environments/staging"])
def test_a_broken_policy_moves_nothing_forward_and_keeps_no_way_back(live: Live, name: str) -> None:
    """What all need is taken from before it broke, so that going back works; going forward waits for the repair."""
    world = on_trial(live, "second", 2)
    path = f"policies/{name}.yaml"
    good = world.show(path)
    world.push({path: "spec: [\n"}, "Break a policy")
    assert world.run("status").code == 0
    done = world.run(*BACK)
    assert "release 2 is withdrawn, release 1 is stable" in done.err
    assert shares(world) == {1: 1.0}
    world.push({path: good + "\n"}, "Repair it")
    assert world.reconcile()["conditions"][0]["type"] == "Ready"


@pytest.mark.parametrize("wrong", ["name: prodction", "spec: [", "stable: one"])
def test_a_file_that_was_wrong_once_blocks_nothing_later(live: Live, wrong: str) -> None:
    """What an environment's file said before is a fact of the past: it is neither judged again nor able to block."""
    world = live("promoted")
    good = world.show(PRODUCTION)
    key = wrong.split(":")[0]
    lines = [f"  {wrong}" if line.strip().startswith(f"{key}:") else line for line in good.splitlines()]
    world.push({PRODUCTION: "\n".join(lines) + "\n"}, "A typo")
    world.push({PRODUCTION: good + "\n"}, "Repair it")
    assert world.run("plan", "production").code == 0
    assert world.run("status").code == 0
    assert world.reconcile()["conditions"][0]["type"] == "Ready"


def test_a_rollback_said_twice_is_done_once(live: Live) -> None:
    """The second time it says who did it; a step further back is taken when it is named."""
    world = live("third")
    for number in (2, 3):
        world.promote("--release", str(number))
        world.reconcile()
        world.ok("rollout", "promote", MODEL, "production", "--reason", "we know it", "--yes")
        world.merge(max(pull.number for pull in world.workspace().forge.find()))
        world.reconcile()
    assert world.deployment()["stable"] == 3
    assert "release 3 is withdrawn, release 2 is stable" in world.ok(*BACK).err
    again = world.ok(*BACK)
    assert "release 3 was withdrawn already by Ada" in again.err
    assert "say --to 1" in again.err
    assert world.deployment()["stable"] == 2
    further = world.ok(*BACK, "--to", "1")
    assert "release 2 is withdrawn, release 1 is stable" in further.err
    assert "release 1 takes all the traffic already" in world.ok(*BACK, "--to", "1").err
    assert world.run(*BACK, "--to", "3").code == 1
    assert shares(world) == {1: 1.0}


def test_a_rollback_without_the_remote_is_kept_and_pushed_later(live: Live) -> None:
    """The traffic leaves at once; git hears of it from the next pass that reaches the remote."""
    world = on_trial(live, "second", 2)
    back = without_remote(world)
    done = world.run(*BACK)
    assert "kept on this machine" in done.err
    assert shares(world) == {1: 1.0}
    assert condition(world)["reason"] == "kept-here"
    assert "is kept here already" in world.run(*BACK).err
    assert world.run("reconcile", "production", "--yes").code == 4
    assert shares(world) == {1: 1.0}
    back()
    found = world.reconcile()
    assert found["conditions"][0]["type"] == "Ready"
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"]) == (1, None)
    assert [one["release"] for one in deployment["denied"]] == [2]


def test_what_was_kept_takes_only_what_is_still_there(live: Live) -> None:
    """Somebody else withdrew it meanwhile: the kept rollback finds it done, and takes nothing else away."""
    world = on_trial(live, "second", 2)
    other = world.clone("other")
    back = without_remote(world)
    world.run(*BACK)
    back()
    world.run("rollout", "abort", MODEL, "production", "--reason", "I saw it too", "--yes", root=other)
    assert world.reconcile()["conditions"][0]["type"] == "Ready"
    deployment = world.deployment()
    assert (deployment["stable"], [one["release"] for one in deployment["denied"]]) == (1, [2])
    world.run("reconcile", "production", "--stop", "--yes", root=other)


def test_stop_and_status_need_no_remote(live: Live) -> None:
    """What runs here is known here."""
    world = live("promoted")
    world.reconcile()
    back = without_remote(world)
    shown = world.ok("status")
    assert "in sync" not in shown.out.split("production:")[1].split("\n")[0]
    assert "does not appear to be a git repository" in shown.out
    world.ok("reconcile", "production", "--stop", "--yes")
    assert local.servers(Site("production", world.runtime(), Address("oci-layout:/"))) == []
    back()


def test_main_that_takes_no_pushes(live: Live) -> None:
    """A rollback waits on this machine while main refuses it, and takes the traffic away all the same."""
    world = on_trial(live, "second", 2)
    hook = world.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho protected branch >&2\nexit 1\n")
    hook.chmod(0o755)
    done = world.run(*BACK)
    assert "protected branch" in done.err
    assert shares(world) == {1: 1.0}
    hook.unlink()
    world.reconcile()
    assert world.deployment()["candidate"] is None


def test_a_rewritten_branch_is_noticed(live: Live) -> None:
    """What was reconciled and is gone from main is shown and stops every move forward, until a person accepts it."""
    world = live("promoted")
    world.reconcile()
    before = git(world.remote, "rev-parse", "main~2")
    tip = world.tip()
    git(world.remote, "update-ref", "refs/heads/main", before)
    found = world.reconcile(code=1)
    assert found["conditions"][0]["reason"] == "branch-rewritten"
    assert world.release_answering() == 1
    assert "main was rewritten" in world.run("plan", "production").out
    git(world.remote, "update-ref", "refs/heads/main", tip)
    assert world.reconcile()["conditions"][0]["type"] == "Ready"
    git(world.remote, "update-ref", "refs/heads/main", before)
    assert world.run("reconcile", "production", "--accept-rewritten", "--yes").code == 0


@pytest.mark.slow
def test_two_reconcilers_of_different_models_share_the_table(live: Live) -> None:
    """A model that another process holds keeps its routes, and holds up the routes of no other."""
    world = live("promoted")
    world.reconcile("staging")
    world.propose_beside()
    world.ok("release", "--yes")
    script = (
        "import time\n"
        "from modelops.project.workspace import open_workspace\n"
        "from modelops.reconcile.lease import leases\n"
        f"with leases(open_workspace().site('staging'), ['{MODEL}']):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    holder = world.process("-c", script)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    found = world.reconcile("staging")
    rows = {row["model"]: row["type"] for row in found["conditions"]}
    assert rows == {MODEL: "Reconciling", "beside": "Ready"}
    table = json.loads((world.runtime("staging") / "routes.json").read_text())
    assert set(table["models"]) == {MODEL, "beside"}
    holder.kill()
    holder.communicate()


def stable_second(live: Live) -> World:
    """Return a world in which release 2 has become stable in production after its rollout."""
    world = on_trial(live, "second", 2)
    world.reconcile()
    world.ok("rollout", "promote", MODEL, "production", "--reason", "we know it", "--yes")
    world.merge(max(pull.number for pull in world.workspace().forge.find()))
    world.reconcile()
    assert shares(world) == {2: 1.0}
    git(world.root, "pull", "-q", "--ff-only")
    return world


def revert(world: World, name: str = "Grace", email: str = "grace@example.com") -> None:
    """Revert, as somebody, the change that made the present release stable, and push that to main."""
    last = git(world.root, "log", "-1", "--first-parent", "--format=%H %P", "--", PRODUCTION).split()
    person = ("-c", f"user.name={name}", "-c", f"user.email={email}")
    words = [*person, "revert", "--no-edit", *(["-m", "1"] if len(last) > 2 else []), last[0]]
    # Nothing can be signed that is dated before a commit which it builds on.
    dates = {"GIT_AUTHOR_DATE": START, "GIT_COMMITTER_DATE": START}
    subprocess.run(["git", *words], cwd=world.root, check=True, capture_output=True, env=os.environ | dates)
    git(world.root, "push", "-q", "origin", "HEAD:main")


def test_a_pushed_revert_is_a_rollback(live: Live) -> None:
    """Whoever may approve promotions goes back by git revert; it is recorded, and the release is not tried again."""
    world = stable_second(live)
    revert(world)
    found = world.reconcile()
    assert found["conditions"][0]["type"] == "Ready"
    assert shares(world) == {1: 1.0}
    deployment = world.deployment()
    assert (deployment["stable"], deployment["candidate"]) == (1, None)
    assert world.run("plan", "production", "--exit-code").code == 0
    told = world.ok("audit", "environment", "production", "--at", "2026-03-01T12:00:00Z").out
    assert "emergency" in told
    assert "grace: Revert" in told


def test_a_revert_by_somebody_else_moves_nothing(live: Live) -> None:
    """Who may not approve promotions here may not go back by a push either; the message names the verb that does."""
    world = stable_second(live)
    revert(world, "Mallory", "mallory@example.com")
    found = world.reconcile(code=1)
    assert found["conditions"][0]["reason"] == "no-pull-request"
    assert "mallory may not approve promotions" in found["conditions"][0]["message"]
    assert "modelops rollback churn --environment production --to 1" in json.dumps(found["plan"])
    assert shares(world) == {2: 1.0}


def test_a_merged_revert_is_a_rollback(live: Live) -> None:
    """A revert that comes by an approved pull request goes back as well."""
    world = stable_second(live)
    git(world.root, "checkout", "-q", "-b", "back")
    last = git(world.root, "log", "-1", "--first-parent", "--format=%H %P", "--", PRODUCTION).split()
    git(world.root, "revert", "--no-edit", *(["-m", "1"] if len(last) > 2 else []), last[0])
    git(world.root, "push", "-q", "origin", "back")
    workspace = world.workspace()
    workspace.repository.fetch()
    pull = workspace.forge_as("ada").open(title="Back", body="", source="back").pull
    world.merge(pull.number)
    assert world.reconcile()["conditions"][0]["type"] == "Ready"
    assert shares(world) == {1: 1.0}
    assert world.deployment()["candidate"] is None


def test_a_withdrawn_release_leaves_no_bad_inputs_in_silence(live: Live) -> None:
    """After a failed trial one pull request takes the model back to what stable was made from, and is asked once."""
    world = on_trial(live, "third", 3)
    world.ask(80, strange=True)
    found = world.reconcile()
    assert shares(world) == {1: 1.0}
    (pull,) = (one for one in world.workspace().forge.find() if one.source.startswith("modelops/restore/"))
    assert "Take churn back to the inputs of release 1" in pull.title
    assert f"pull request {pull.number} takes them back" in found["conditions"][0]["message"]
    assert world.run("plan", "production", "--exit-code").code == 0
    world.merge(pull.number)
    assert world.run("plan").out.startswith("the models of this change: nothing to do")
    after = world.reconcile()
    assert "main still has" not in after["conditions"][0]["message"]
    assert len([one for one in world.workspace().forge.find(state="all") if one.source == pull.source]) == 1


def test_what_was_never_right_is_told_by_status(live: Live) -> None:
    """A model that was wrong from its first day stalls nobody, and is not passed over in silence."""
    world = live("promoted")
    world.push({"models/newcomer/model.yaml": "kind: Model\n"}, "A beginning")
    shown = world.ok("status")
    assert "deployed nowhere: models/newcomer/model.yaml" in shown.err
    assert world.run("plan", "production").code == 0
