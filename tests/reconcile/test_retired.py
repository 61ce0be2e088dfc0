"""A model that is taken off main stops, and its past stays provable; a renamed one goes on from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from git_world import git
from reconcile.conftest import Live
from reconcile.loop_world import FILES, MODEL, MODEL_YAML, World

FOLDER = f"models/{MODEL}"
NEW = "customer-churn"
EMPTY = {path: text for path, text in FILES.items() if path.startswith(f"{FOLDER}/environments/")}
"""The model's environments as they are before anything runs there."""


def files_of(world: World, folder: str = FOLDER) -> list[str]:
    return git(world.remote, "ls-tree", "-r", "--name-only", "main", "--", folder).splitlines()


def check_out(world: World, branch: str) -> None:
    git(world.root, "fetch", "-q")
    git(world.root, "checkout", "-q", "-B", branch, f"origin/{branch}")


def answered(world: World) -> str:
    """Let production answer once, and return the id of that prediction."""
    ((status, body),) = world.ask(1)
    assert status == 200
    return str(body["parameters"]["prediction_id"])


def renamed(world: World, formerly: str = f"[{MODEL}]") -> dict[str, str | None]:
    """Return the files of a change that calls the model otherwise: its spec, code and data under the new name."""
    files: dict[str, str | None] = dict.fromkeys(files_of(world))
    keep = ("model.yaml", "train.py", "rollout.yaml", "data/initial.yaml")
    files |= {f"models/{NEW}/{name}": world.show(f"{FOLDER}/{name}") + "\n" for name in keep}
    for name in ("model.yaml", "rollout.yaml"):
        path = f"models/{NEW}/{name}"
        files[path] = str(files[path]).replace(f"name: {MODEL}", f"name: {NEW}", 1)
    files[f"models/{NEW}/model.yaml"] = str(files[f"models/{NEW}/model.yaml"]) + f"  formerly: {formerly}\n"
    return files | {path.replace(FOLDER, f"models/{NEW}"): text for path, text in EMPTY.items()}


def test_a_retired_model_stops_and_its_past_is_proven_from_git(live: Live):
    """Every view of the change says what ends; afterwards audit answers as before, and status has a tombstone."""
    world = live("promoted")
    world.reconcile()
    prediction = answered(world)
    before = {
        question: world.ok("audit", *question.split()).json
        for question in (
            f"release {MODEL} 1 -o json",
            "environment production --at 2026-03-02 -o json",
            f"prediction {prediction} -o json",
        )
    }
    pull = world.propose(dict.fromkeys(files_of(world)), "remove", "Remove churn")
    check_out(world, "remove")
    stops = f"stop {MODEL} in production: release 1 takes its traffic today"
    planned = world.run("plan", "--since", "origin/main", "--exit-code")
    assert planned.code == 1
    assert f"- {stops}" in planned.out
    assert f"- retire {MODEL}: release 1 can still be proven from git" in planned.out
    checked = world.ok("validate", "--since", "origin/main")
    assert f"{MODEL} is retired by this change; its releases (1) can still be proven from git" in checked.err
    assert f"{MODEL} stops in production by this change: stable is release 1 today" in checked.err
    assert stops in world.ok("pr", "view", str(pull.number)).out
    git(world.root, "checkout", "-q", "main")
    assert world.release_answering() == 1, "a proposal stops nothing"
    world.at("2026-03-05T12:00:00Z")
    world.merge(pull.number)
    done = world.ok("reconcile", "production", "--yes")
    assert f"{MODEL} stops" in done.err
    assert world.routes()["models"] == {}
    status = world.ok("status")
    assert f"{MODEL}: retired on 2026-03-05" in status.out
    assert "ran stable release 1 until then" in status.out
    assert f"{MODEL}: retired on" in world.ok("status", MODEL).out
    assert world.ok("status", "-o", "json").json[-1]["retired"][0]["releases"] == [1]
    for question, said in before.items():
        now = world.ok("audit", *question.split()).json
        assert _without_revision(now) == _without_revision(said), question
    told = world.ok("audit", "release", MODEL, "1").out
    assert "evidence verified, signed by local" in told
    assert "(Merge pull request" in told.partition("retired")[2].splitlines()[0]
    assert world.run("audit", "release", MODEL, "2").code == 2
    world.reconcile()


def _without_revision(answer: object) -> object:
    """Leave out where it was read from, that the model is gone, and how far the log is sealed meanwhile."""
    if isinstance(answer, dict):
        return {
            key: _without_revision(value)
            for key, value in answer.items()
            if key not in ("revision", "retired", "proof")
        }
    return [_without_revision(each) for each in answer] if isinstance(answer, list) else answer


def test_a_removal_that_nobody_approved_stops_nothing(live: Live):
    """A push that deletes the model, or only its file of the environment, is told; the release goes on answering."""
    world = live("promoted")
    world.reconcile()
    for gone in ([f"{FOLDER}/environments/production.yaml"], files_of(world)):
        world.push(dict.fromkeys(gone), "Delete")
        found = world.reconcile(code=1)
        assert [one["reason"] for one in found["conditions"]] == ["no-pull-request"]
        assert "came without a pull request" in found["conditions"][0]["message"]
        assert world.release_answering() == 1
        assert "no-pull-request" in world.ok("status").out


def test_a_renamed_model_goes_on_from_its_past(live: Live):
    """Its releases are counted on; whichever name one asks for, the answer is that of the release that was made."""
    world = live("promoted")
    pull = world.propose(renamed(world), "rename", "Rename churn")
    check_out(world, "rename")
    planned = world.ok("plan", "--since", "origin/main").out
    assert f"rename {MODEL} to {NEW}: release 1 can still be proven" in planned
    checked = world.ok("validate", "--since", "origin/main").err
    assert f"{MODEL} goes on as {NEW} by this change" in checked
    git(world.root, "checkout", "-q", "main")
    world.merge(pull.number)
    assert f"released {NEW} 2 as" in world.ok("release", "--yes").out
    for name in (MODEL, NEW):
        first, second = (world.ok("audit", "release", name, number, "-o", "json").json for number in "12")
        assert (first["model"], second["model"]) == (MODEL, NEW)
        assert first["retired"]["successor"] == NEW
    assert f"it goes on as {NEW}" in world.ok("audit", "release", NEW, "1").out
    assert f"{MODEL}: renamed to {NEW} on" in world.ok("status").out
    refused = world.run("audit", "release", NEW, "3")
    assert refused.code == 2
    assert "it has: 1, 2" in refused.err


def test_a_model_that_comes_back_under_its_name_counts_on(live: Live):
    """A number that was used once names that release for ever."""
    world = live("promoted")
    kept = {
        path: world.show(path) + "\n"
        for path in files_of(world)
        if "/releases/" not in path and "/promotions/" not in path
    }
    kept |= EMPTY
    digest = world.ok("audit", "release", MODEL, "1", "-o", "json").json["artifact"]
    world.merge(world.propose(dict.fromkeys(files_of(world)), "remove", "Remove churn").number)
    world.merge(world.propose(dict(kept), "again", "Bring it back").number)
    assert f"released {MODEL} 2 as" in world.ok("release", "--yes").out
    assert world.ok("audit", "release", MODEL, "1", "-o", "json").json["artifact"] == digest
    assert len(world.ok("audit", "release", MODEL, "1", "-o", "json").json["promotions"]) == 2


def test_what_a_model_was_called_before_is_no_model_now(stages: Callable[[str], World], tmp_path: Path):
    world = stages("merged").copy(tmp_path / "world")
    git(world.root, "pull", "-q", "--ff-only")
    path = world.root / f"{FOLDER}/model.yaml"
    path.write_text(MODEL_YAML + f"  formerly: [{MODEL}]\n")
    done = world.run("validate", "-o", "json")
    assert done.code == 3
    (problem,) = json.loads(done.out)["problems"]
    assert (problem["code"], problem["line"]) == ("still-there", 22)


def test_releases_that_are_moved_along_are_refused_with_what_to_do(live: Live):
    """Evidence is about the name it was signed for: a folder that is only moved is wrong, and says how it is meant."""
    world = live("released")
    git(world.root, "pull", "-q", "--ff-only")
    git(world.root, "mv", FOLDER, f"models/{NEW}")
    done = world.run("validate", "--since", "origin/main")
    assert done.code == 3
    assert f"formerly: [{MODEL}]" in done.err


@pytest.mark.parametrize("path", [f"{FOLDER}/releases/1/release.yaml", f"{FOLDER}/data/initial.yaml"])
def test_what_is_taken_from_a_model_that_stays_is_an_error(live: Live, path: str):
    """Only with its whole model an immutable file may go."""
    world = live("released")
    git(world.root, "pull", "-q", "--ff-only")
    (world.root / path).unlink()
    done = world.run("validate", "--since", "origin/main")
    assert done.code == 3
    assert "immutable-file" in done.err
