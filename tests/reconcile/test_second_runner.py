"""A runtime that is not this machine's: what must go on as it runs goes on there too, whoever looks after it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from git_world import git
from modelops import plugins
from modelops.project.target import Target
from modelops.reconcile import loop
from modelops.reconcile.lease import leases
from modelops.spec.routing import RoutingTable
from modelops.targets import Place, Runner
from reconcile.loop_world import MODEL, World
from targets import afar

Live = Callable[[str], World]
HELD: Runner = afar
ENVIRONMENT = "policies/environments/production.yaml"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The runner on the shelf, as the entry point of an installed package."""
    information = tmp_path_factory.mktemp("site") / "team_targets-1.dist-info"
    information.mkdir()
    (information / "entry_points.txt").write_text("[modelops.targets]\nafar = targets.afar\n")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: team-targets\nVersion: 1\n")
    sys.path.append(str(information.parent))
    for cached in (plugins.keys, plugins.load):
        cached.cache_clear()
    yield afar
    sys.path.remove(str(information.parent))
    for cached in (plugins.keys, plugins.load):
        cached.cache_clear()


@dataclass
class Afar:
    """A world whose production runs on another machine."""

    world: World
    params: afar.Params

    @property
    def place(self) -> Place:
        return Place("production", self.world.runtime())

    def releases(self) -> dict[str, int]:
        """Return what the machine answers with: a release for each arm of the model, none where it is off."""
        running = afar.observe(self.params, self.place)
        return {arm.arm: arm.release for arm in running.arms if arm.model == MODEL}

    def routes(self) -> RoutingTable | None:
        return afar.observe(self.params, self.place).routes


@pytest.fixture
def far(live: Live, shelf: ModuleType, tmp_path: Path) -> Iterator[Afar]:
    world = live("promoted")
    params = afar.Params(root=str(tmp_path / "machine"))
    target = f"{{type: afar, params: {{root: {params.root}}}}}"
    text = world.show(ENVIRONMENT).replace("{type: local, params: {port: 0}}", target)
    world.approved({ENVIRONMENT: text + "\n"}, "Run it elsewhere")
    world.reconcile()
    made = Afar(world, params)
    assert made.releases() == {"stable": 1}
    yield made
    afar.stop(params, made.place)


def rewrite(world: World) -> None:
    """Let main end before the commit that this machine has proven."""
    git(world.remote, "update-ref", "refs/heads/main", git(world.remote, "rev-parse", "main~1"))


def test_a_frozen_model_goes_on_where_it_runs(far: Afar) -> None:
    """While nothing may go forward, a machine that was switched off gets back what it had, and loses no model."""
    before = far.routes()
    world = far.world
    world.approved({"models/churn/README.md": "x\n"}, "Say more")
    world.reconcile()
    rewrite(world)
    afar.stop(far.params, far.place)
    assert far.releases() == {}
    found = world.reconcile(code=1)
    assert found["conditions"][0]["reason"] == "branch-rewritten"
    assert far.releases() == {"stable": 1}
    assert far.routes() == before


def test_a_leased_model_goes_on_where_it_runs(far: Afar) -> None:
    """What another reconciler moves stays in the table that this one gives to the machine."""
    before = far.routes()
    afar.stop(far.params, far.place)
    with leases(far.world.workspace().site("production"), [MODEL]):
        far.world.reconcile()
    assert far.releases() == {"stable": 1}
    assert far.routes() == before


def test_what_a_reconciler_elsewhere_has_is_left_to_it(far: Afar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second writes nothing there, however it looks in the middle of a change, and seals nothing."""

    @contextlib.contextmanager
    def reserved(_: Target) -> Iterator[str | None]:
        yield "reconciler-0 in the cluster"

    afar.stop(far.params, far.place)
    with monkeypatch.context() as patched:
        patched.setattr(Target, "reserved", reserved)
        patched.setattr(loop, "_seal", lambda *_: pytest.fail("it was sealed"))
        found = far.world.reconcile()
        assert (found["done"], found["conditions"][0]["reason"]) == ([], "held")
        assert "another reconciler works on it: reconciler-0" in found["conditions"][0]["message"]
        assert far.releases() == {}
    far.world.reconcile()
    assert far.releases() == {"stable": 1}


@pytest.mark.parametrize("on", [True, False], ids=["it runs", "it is switched off"])
def test_who_never_gave_it_a_table_takes_nothing_away(far: Afar, on: bool) -> None:
    """A clone without any memory of the machine, as after a crash or in a new job, asks the machine what goes on."""
    before = far.routes()
    other = far.world.clone("other")
    if not on:
        afar.stop(far.params, far.place)
    text = far.world.show(f"models/{MODEL}/model.yaml")
    far.world.push({f"models/{MODEL}/model.yaml": text + "\nunknown: 1\n"}, "Break it")
    done = far.world.run("reconcile", "production", "--yes", root=other)
    assert done.code == 3, done.err
    assert far.releases() == {"stable": 1}
    assert far.routes() == before


def test_a_moved_environment_takes_along_what_is_frozen(far: Afar) -> None:
    """A new target that was never given a table goes on with what ran at the last one."""
    world = far.world
    world.approved({"models/churn/README.md": "x\n"}, "Say more")
    world.reconcile()
    place = str(Path(far.params.root).with_name("second"))
    world.approved({ENVIRONMENT: world.show(ENVIRONMENT).replace(far.params.root, place) + "\n"}, "Move it")
    moved = Afar(world, afar.Params(root=place))
    model = f"models/{MODEL}/model.yaml"
    world.push({model: world.show(model) + "\nunknown: 1\n"}, "Break it")
    try:
        assert world.run("reconcile", "production", "--yes").code == 3
        assert moved.releases() == {"stable": 1}
    finally:
        afar.stop(moved.params, moved.place)
