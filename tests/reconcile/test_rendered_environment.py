"""An environment that is only rendered, beside others that run: every verb says what it can say, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from git_world import git
from modelops.targets import Place, local
from reconcile.conftest import Live
from reconcile.loop_world import MODEL, World

IMAGE = "registry.example/modelops@sha256:" + "a" * 64
TARGET = f"{{type: kubernetes, params: {{image: '{IMAGE}', storeClaim: store}}}}"
ENVIRONMENT = f"""apiVersion: modelops/v1
kind: Environment
metadata:
  name: box
spec:
  order: 3
  target: {TARGET}
"""
FILES = {
    "policies/environments/box.yaml": ENVIRONMENT,
    f"models/{MODEL}/environments/box.yaml": """apiVersion: modelops/v1
kind: Deployment
metadata:
  name: box
spec:
  stable: null
""",
}


@pytest.fixture(scope="module")
def seen(stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world with the environment box on kubernetes, and release 1 promoted to it; it is only looked at."""
    made = stages("promoted").copy(tmp_path_factory.mktemp("rendered"))
    made.merge(made.propose(dict(FILES), "box", "Render for kubernetes").number)
    made.promote(environment="box")
    return made


@pytest.fixture
def world(seen: World, tmp_path: Path) -> World:
    """Return a copy of it, to be changed."""
    return seen.copy(tmp_path)


def test_status_shows_every_environment(seen: World) -> None:
    """What is rendered is told beside what runs, and says that nobody looks at it."""
    rows = {row["environment"]: row for row in seen.ok("status", "-o", "json").json}
    assert rows["box"]["message"] == "rendered by kubernetes; nothing observed here"
    assert (rows["box"]["running"], rows["box"]["synced"], rows["box"]["conditions"]) == (None, None, [])
    assert [(each["model"], each["arms"]) for each in rows["box"]["rendered"]] == [(MODEL, {"candidate": 1})]
    assert (rows["production"]["target"], rows["production"]["running"]) == ("local", False)
    assert rows["production"]["conditions"][0]["reason"] == "pending"
    text = seen.ok("status").out
    assert f"box: rendered by kubernetes; nothing observed here\n  {MODEL}: candidate release 1\n" in text + "\n"


def test_plan_says_what_is_rendered_and_render_writes_it(seen: World) -> None:
    """The plan names the releases, has nothing to do, and the files say the same."""
    planned = seen.ok("plan", "box", "--exit-code", "-o", "json").json
    (entry,) = planned["entries"]
    assert (entry["action"], entry["target"], entry["arms"]) == ("Rendered", "kubernetes", {"candidate": 1})
    rendered, nothing, seen_by_plan = seen.ok("plan", "box").out.splitlines()
    assert (rendered, nothing) == (f"- rendered for kubernetes: {MODEL} in box: candidate release 1", "")
    assert seen_by_plan.startswith(f"{MODEL}: errors of 0.01 times 2 are seen in 0% of rollouts")
    seen.ok("render", "box", "-o", "out", "--target", "docker")
    table = json.loads((seen.root / "out" / "routes" / "routes.json").read_text())
    assert [arm["release"] for arm in table["models"][MODEL]["arms"]] == [1]


def test_the_lock_is_that_of_the_release(world: World) -> None:
    """What main pins since is for the next release; what is rendered gets what it was made and checked with."""
    world.ok("render", "box", "-o", "out", "--target", "docker")
    before = (world.root / "out" / "requirements.lock").read_bytes()
    world.merge(world.propose({"requirements.lock": "numpy==9\n"}, "lock", "Pin anew").number)
    world.ok("render", "box", "-o", "out", "--target", "docker")
    assert (world.root / "out" / "requirements.lock").read_bytes() == before != b"numpy==9\n"


def test_what_was_not_approved_is_not_rendered(world: World) -> None:
    """A release that nobody let in is refused by the plan, by the status and by the renderer."""
    path = f"models/{MODEL}/environments/box.yaml"
    world.push({path: world.show(path).replace("stable: null\n  candidate: 1", "stable: 1") + "\n"}, "Skip the review")
    assert world.run("plan", "box").code == 1
    (row,) = (row for row in world.ok("status", "-o", "json").json if row["environment"] == "box")
    assert [condition["type"] for condition in row["conditions"]] == ["Stalled"]
    refused = world.run("render", "box", "-o", "refused")
    assert (refused.code, (world.root / "refused").exists()) == (1, False)
    assert "box" in refused.err


@pytest.mark.parametrize(
    "words",
    [
        ("reconcile", "box", "--yes"),
        ("reconcile", "box", "--stop", "--yes"),
        ("monitor", "box", "--yes"),
        ("feedback", "box", "labels.csv"),
    ],
)
def test_verbs_that_need_a_runtime_say_that_there_is_none(seen: World, words: tuple[str, ...]) -> None:
    """It is the question that is wrong, and the answer names the verbs that work."""
    (seen.root / "labels.csv").write_text("id,label\na,1\n")
    done = seen.run(*words)
    assert done.code == 2, done.err
    assert "box is rendered by kubernetes" in done.err
    assert "[render-only]" in done.err
    assert "modelops render box" in done.err


def test_a_rollback_lands_and_says_how_it_gets_there(world: World) -> None:
    """Git goes back at once; the files follow by whoever applies them."""
    done = world.ok("rollback", MODEL, "-e", "box", "--reason", "it is wrong", "--yes")
    assert "modelops render box" in done.err
    assert world.deployment("box")["candidate"] is None
    assert world.ok("plan", "box").out == "box: nothing is rendered for kubernetes\n"


def test_what_ran_before_is_named_and_can_be_stopped(live: Live) -> None:
    """A server of an environment that is rendered by now is no longer looked after, and not forgotten either."""
    world = live("promoted")
    world.reconcile()
    path = "policies/environments/production.yaml"
    world.approved({path: world.show(path).replace("{type: local, params: {port: 0}}", TARGET) + "\n"})
    (row,) = (row for row in world.ok("status", "-o", "json").json if row["environment"] == "production")
    assert "what local ran before still runs" in row["message"]
    world.ok("reconcile", "production", "--stop", "--yes")
    assert local.servers(Place("production", world.runtime())) == []


@pytest.mark.parametrize("version", ["this", "0.1.0"])
def test_stop_needs_neither_main_nor_its_remote(live: Live, version: str) -> None:
    """A server ends although main is broken and the remote is gone; 0.1.0 had but one target, and did not note it."""
    world = live("promoted")
    world.reconcile()
    if version == "0.1.0":
        (world.runtime() / "target.json").unlink()
    world.push({f"models/{MODEL}/model.yaml": "spec: [\n", "policies/project.yaml": "kind: [\n"})
    git(world.root, "pull", "-q", "--ff-only")
    world.remote.rename(world.folder / "away.git")
    world.ok("reconcile", "production", "--stop", "--yes")
    assert local.servers(Place("production", world.runtime())) == []


def test_nothing_is_stopped_outside_of_the_runtimes(seen: World) -> None:
    """An environment is a name, not a path."""
    outside = seen.folder / "outside"
    outside.mkdir()
    Path(outside / "target.json").write_text('{"type": "local"}')
    done = seen.run("reconcile", f"../../../{outside.name}", "--stop", "--yes")
    assert done.code == 2, done.err
    assert "unknown-environment" in done.err


@pytest.mark.slow
def test_what_ends_with_its_job_proves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a runner that is thrown away nothing is started, and so nothing is concluded from what goes with it."""
    monkeypatch.setattr(World, "environ", _hosted(World.environ))
    world.change_model([("C: 1.0", "C: 0.5")], "softer")
    world.run("release", "--yes")
    before = world.tip()
    done = world.run("reconcile", "staging", "--yes", "-o", "json")
    assert (done.code, "[ephemeral-target]" in done.err, "self-hosted" in done.err) == (1, True, True)
    assert "serve" not in done.err
    assert world.deployment("staging")["stable"] == 1
    assert world.tip() == before
    assert "[ephemeral-target]" in world.run("monitor", "staging", "--yes").err


def _hosted(environ: Callable[[World], dict[str, str]]) -> Callable[[World], Mapping[str, str]]:
    return lambda self: environ(self) | {"RUNNER_ENVIRONMENT": "github-hosted"}
