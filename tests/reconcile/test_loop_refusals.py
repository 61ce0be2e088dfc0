"""What git may ask for and does not get: each with its stable code, while the stable release goes on answering."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from git_world import git
from modelops import training
from modelops.evidence import Signer, generate_key
from modelops.project.workspace import model_entry, snapshot_of, trusted
from modelops.releases import release_files
from reconcile.loop_world import MODEL, World

STAGING = f"models/{MODEL}/environments/staging.yaml"
PRODUCTION = f"models/{MODEL}/environments/production.yaml"


@pytest.fixture(scope="module")
def answering(stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return a world whose production answers with release 1, while release 2 is proven in staging."""
    world = stages("second").copy(tmp_path_factory.mktemp("answering"))
    world.reconcile()
    yield world
    world.stop()


# What each test does to main ends with it.
@pytest.fixture
def world(answering: World) -> Iterator[World]:
    """Return the answering world; what a test did to main is undone afterwards, by force."""
    before = answering.tip()
    yield answering
    # What is rewound here is a test, not a branch that lost something.
    git(answering.root, "update-ref", "-d", "refs/modelops-reconciled/production")
    git(answering.root, "update-ref", "refs/remotes/origin/main", before)
    git(answering.remote, "update-ref", "refs/heads/main", before)
    git(answering.root, "fetch", "-q", "--force")
    git(answering.root, "reset", "-q", "--hard", before)
    found = answering.reconcile()
    assert [condition["type"] for condition in found["conditions"]] == ["Ready"]


def ask_for(world: World, number: int, *, approve: bool = True) -> None:
    """Set a candidate by a merged pull request that was written by hand."""
    text = world.show(PRODUCTION).replace("stable: 1", f"stable: 1\n  candidate: {number}") + "\n"
    pull = world.propose({PRODUCTION: text}, f"by-hand-{number}", f"Try {number}")
    world.merge(pull.number, approve=approve)


def forge_release(world: World, number: int, verdict: str = "pass", signer: Signer | None = None) -> None:
    """Bring a release made by hand from release 1's build, with its verdicts replaced, signed by a key.

    What the project's own key signs is pushed as the loop does; for another key reviewers are talked into it.
    """
    workspace = world.workspace()
    _, graph = workspace.desired()
    entry = model_entry(graph, MODEL)
    old = entry.releases[1].spec
    found = training.find(workspace.store, old.inputs, trusted(workspace, workspace.tip()))
    assert found is not None
    verdicts = [one.model_copy(update={"verdict": verdict}) for one in old.verdicts]
    files = release_files(
        number,
        found.record,
        verdicts,
        model=entry.model,
        snapshot=snapshot_of(entry),
        commit=old.code.commit,
        champion=None,
        signer=signer or workspace.signer,
    )
    bring = world.push if signer is None else world.approved
    bring({f"models/{MODEL}/{path}": data.decode() for path, data in files.items()}, f"Release {number}")


def changed(world: World, path: str, old: str, new: str) -> None:
    """Change one file by an approved pull request."""
    text = world.show(path)
    assert old in text
    world.approved({path: text.replace(old, new, 1) + "\n"}, f"Change {path}")


def refused(world: World, code: str) -> None:
    """Reconcile, and see that it is refused by a code, that release 1 answers, and that status says why."""
    found = world.reconcile(code=1)
    reasons = {entry.get("code"): entry.get("reason") for entry in found["plan"]["entries"]}
    assert code in reasons, found["plan"]
    assert world.release_answering() == 1
    assert [arm["release"] for arm in world.routes()["models"][MODEL]["arms"]] == [1]
    rows = world.run("status", "-o", "json").json
    (condition,) = next(row for row in rows if row["environment"] == "production")["conditions"]
    assert (condition["type"], condition["reason"] in reasons) == ("Stalled", True)
    assert reasons[code] in condition["message"]
    assert world.run("plan", "production").code == 1


def test_merged_without_approval(world: World) -> None:
    """A hand-edited candidate whose pull request nobody approved gets no traffic."""
    ask_for(world, 2, approve=False)
    refused(world, "approval-missing")
    assert "grace" in world.run("plan", "production").out


def test_pushed_without_a_pull_request(world: World) -> None:
    """A candidate that was pushed straight to main gets no traffic."""
    world.push({PRODUCTION: world.show(PRODUCTION).replace("stable: 1", "stable: 1\n  candidate: 2") + "\n"})
    refused(world, "no-pull-request")


def test_stable_set_straight(world: World) -> None:
    """A release that was never stable in an environment does not become so by an edit, approved or not."""
    text = world.show(PRODUCTION).replace("stable: 1", "stable: 2") + "\n"
    world.merge(world.propose({PRODUCTION: text}, "straight", "Skip the rollout").number)
    refused(world, "never-stable")


def test_a_rollout_is_not_concluded_by_hand(world: World) -> None:
    """Making an approved candidate stable takes the signed outcome of its rollout, not an edit."""
    world.promote("--release", "2")
    world.reconcile()
    text = world.show(PRODUCTION).replace("stable: 1", "stable: 2").replace("  candidate: 2\n", "") + "\n"
    text = text.replace("candidate: 2", "")
    world.push({PRODUCTION: text}, "Call it done")
    found = world.reconcile(code=1)
    assert [entry["code"] for entry in found["plan"]["entries"]] == ["no-pull-request"]
    assert world.routes()["models"][MODEL]["arms"][-1]["weight"] < 1


def test_not_proven(world: World) -> None:
    """A release that the environment before has never run as stable is refused, in promote and in reconcile."""
    forge_release(world, 3)
    done = world.run("promote", MODEL, "--to", "production", "--yes")
    assert (done.code, "[not-proven]" in done.err) == (1, True)
    assert "modelops promote churn --to staging --release 3" in done.err
    # On trial there, it is not promoted there again: its trial has to end.
    text = world.show(STAGING).replace("stable: 2", "stable: 2\n  candidate: 3") + "\n"
    world.merge(world.propose({STAGING: text}, "try-3", "Try 3 in staging").number)
    assert "modelops reconcile staging" in world.run("promote", MODEL, "--to", "production", "--yes").err
    ask_for(world, 3)
    refused(world, "not-proven")


def test_failing_gates(world: World) -> None:
    """A release with a blocking verdict is refused although its evidence is genuine."""
    forge_release(world, 3, "fail")
    done = world.run("promote", MODEL, "--to", "staging", "--release", "3", "--yes")
    assert (done.code, "[gates-not-passed]" in done.err) == (1, True)
    ask_for(world, 3)
    refused(world, "gates-not-passed")


def test_denied(world: World) -> None:
    """A release on the deny list is refused until a reviewed commit clears it."""
    changed(world, PRODUCTION, "stable: 1", 'stable: 1\n  denied: [{release: 2, reason: "it broke"}]')
    done = world.run("promote", MODEL, "--to", "production", "--release", "2", "--yes")
    assert (done.code, "[release-denied]" in done.err, "it broke" in done.err) == (1, True, True)
    # Asked for on main all the same: the check of the files says so, the loop refuses it and nothing else stops.
    ask_for(world, 2)
    done = world.run("validate")
    assert (done.code, "production.yaml:7:14" in done.err, "[denied-release]" in done.err) == (3, True, True)
    refused(world, "release-denied")


def test_a_plan_that_sees_too_late(world: World) -> None:
    """On main all the same it keeps the candidate from its trial; every commit can still be read, and others go on."""
    plan = "models/churn/rollout.yaml"
    changed(world, plan, "spec:\n", "spec:\n  expect: {requestsPerHour: 60.0}\n")
    changed(world, plan, "{weight: 0.3, minRequests: 20}", "{weight: 0.3, minRequests: 20, deadlineMinutes: 5.0}")
    ask_for(world, 2)
    assert "[step-too-short]" in world.run("validate").err
    refused(world, "step-too-short")


def test_a_denied_challenger(world: World) -> None:
    """A challenger on the deny list is refused too, and with it the rollout that it is part of."""
    forge_release(world, 3)
    arms = 'stable: 1\n  candidate: 2\n  challengers: [3]\n  denied: [{release: 3, reason: "it broke"}]\n'
    plan = "apiVersion: modelops/v1\nkind: RolloutPlan\nmetadata:\n  name: churn\nspec:\n  strategy:\n"
    plan += "    {type: ab-test, params: {metric: outcome, minimumEffect: 0.2, weights: {stable: 0.4, candidate: 0.3,\n"
    plan += "     challenger-3: 0.3}}}\n"
    files = {PRODUCTION: world.show(PRODUCTION).replace("stable: 1", arms), f"models/{MODEL}/rollout.yaml": plan}
    world.merge(world.propose(dict(files), "denied-challenger").number)
    refused(world, "release-denied")


def test_a_denied_stable_release_stops_no_other_model(live: Callable[[str], World]) -> None:
    """What answers goes on answering and is reported, while the model beside it is released and put up."""
    world = live("released")
    world.reconcile("staging")
    changed(world, STAGING, "stable: 1", 'stable: 1\n  denied: [{release: 1, reason: "it broke"}]')
    world.propose_beside()
    git(world.root, "pull", "-q", "--ff-only")
    world.ok("release", "beside", "--yes")
    found = world.reconcile("staging", code=1)
    assert {entry.get("code") for entry in found["plan"]["entries"]} == {"release-denied", "denied-still-runs"}
    conditions = {condition["model"]: condition["type"] for condition in found["conditions"]}
    assert conditions == {"beside": "Ready", MODEL: "Stalled"}
    models = world.routes("staging")["models"]
    assert {name: [arm["release"] for arm in models[name]["arms"]] for name in models} == {"beside": [1], MODEL: [1]}


def test_untrusted_key(world: World, tmp_path: Path) -> None:
    """A release that is signed by a key which the trust policy does not name is refused."""
    generate_key(tmp_path / "other.pem")
    forge_release(world, 3, signer=Signer.load(tmp_path / "other.pem"))
    ask_for(world, 3)
    refused(world, "signature-untrusted")
    done = world.run("promote", MODEL, "--to", "staging", "--release", "3", "--yes")
    assert (done.code, "[signature-untrusted]" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("path", "old", "new", "code"),
    [
        (f"models/{MODEL}/releases/2/release.yaml", "seeds:", "seeds: ", "subject-mismatch"),
        (f"models/{MODEL}/releases/2/evidence.intoto.jsonl", '"sig": "M', '"sig": "N', "signature-invalid"),
        pytest.param(
            *(f"models/{MODEL}/releases/2/evidence.intoto.jsonl", "{", "[", "evidence-unparsed"), marks=pytest.mark.slow
        ),
    ],
)
def test_one_changed_byte(world: World, path: str, old: str, new: str, code: str) -> None:
    """A release with one byte changed after it was signed is refused."""
    ask_for(world, 2)
    text = world.show(path)
    if old not in text:
        old, new = old.replace('": "', '":"'), new.replace('": "', '":"')
    changed(world, path, old, new)
    refused(world, code)


def test_an_edited_promotion_record(world: World) -> None:
    """A promotion record that was edited after it was signed no longer covers the release it is about."""
    changed(world, f"models/{MODEL}/promotions/production-1.yaml", "promotedAt:", "promotedAt: ")
    refused(world, "subject-mismatch")
    rendered = world.run("render", "production", "-o", str(world.root.parent / "rendered"))
    assert (rendered.code, "subject-mismatch" in rendered.err) == (1, True)
    assert not (world.root.parent / "rendered").exists()


def test_a_damaged_artifact_is_named_and_never_served(world: World) -> None:
    """One changed byte in the store keeps a candidate out; with the right bytes it goes on trial."""
    release = world.show(f"models/{MODEL}/releases/2/release.yaml")
    digest = release.split("artifact:")[1].split("sha256:")[1][:64]
    blobs = world.root / ".modelops" / "store" / "blobs" / "sha256"
    layer = json.loads((blobs / digest).read_bytes())["layers"][0]["digest"].removeprefix("sha256:")
    whole = (blobs / layer).read_bytes()
    data = bytearray(whole)
    data[len(data) // 2] ^= 1
    (blobs / layer).write_bytes(data)
    ask_for(world, 2)
    refused(world, "digest-mismatch")
    assert layer in world.run("plan", "production").out

    (blobs / layer).write_bytes(whole)
    world.reconcile()
    assert [arm["release"] for arm in world.routes()["models"][MODEL]["arms"]] == [1, 2]


@pytest.mark.parametrize(
    ("words", "exit", "code"),
    [
        (("--to", "production", "--release", "1"), 1, "already-there"),
        (("--to", "production", "--release", "9"), 2, "unknown-release"),
        (("--to", "moon"), 2, "unknown-environment"),
    ],
)
def test_promotions_that_make_no_sense(world: World, words: tuple[str, ...], exit: int, code: str) -> None:
    """Promote says what is wrong before it opens anything."""
    done = world.run("promote", MODEL, *words, "--yes")
    assert (done.code, f"[{code}]" in done.err) == (exit, True), done.err


def test_an_unknown_model_is_named(world: World) -> None:
    """The models that there are stand in the hint."""
    done = world.run("promote", "chrun", "--to", "production", "--yes")
    assert (done.code, "models here: churn" in done.err) == (2, True)


def test_a_refused_change_holds_up_no_restart(world: World) -> None:
    """While one change is refused, a killed server is started again with the stable release."""
    ask_for(world, 2, approve=False)
    world.kill()
    refused(world, "approval-missing")


@pytest.mark.parametrize("trouble", ["main is broken", "the remote is gone"])
def test_what_ran_is_looked_after_when_main_cannot_be_read(world: World, trouble: str) -> None:
    """A broken file on main, or no remote at all, is an error; a dead server is started again all the same."""
    away = world.folder / "away.git"
    if trouble == "main is broken":
        world.push({f"models/{MODEL}/model.yaml": "apiVersion: modelops/v1\n"}, "Break it")
    else:
        world.remote.rename(away)
    world.kill()
    try:
        done = world.run("reconcile", "production", "--yes")
    finally:
        if away.exists():
            away.rename(world.remote)
    assert done.code == (3 if trouble == "main is broken" else 4)
    assert world.release_answering() == 1
