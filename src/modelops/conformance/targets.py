"""What every target keeps: what it renders is a function of git alone, and a runner is the one memory of what runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelops import logs
from modelops.conformance.loans import model
from modelops.conformance.shelf import check_module, params_of
from modelops.locks.wheel import Wheel
from modelops.logs import RuntimeLog
from modelops.spec.meta import Plugin
from modelops.spec.routing import Route, RouteArm, RoutingTable, table_digest
from modelops.stores import Address
from modelops.targets import Deployable, Place, Renderer, Runner, Site

__all__ = ["CHECKS", "RUNNER_CHECKS", "Ground", "check", "deployable"]

_RUNNER = ("observe", "apply", "stop", "endpoint", "logs", "durable")
_EMPTY = RoutingTable(environment="staging", models={})
_OTHER = RoutingTable(environment="staging", models={}, keys=())


@dataclass(frozen=True)
class Ground:
    """A target with parameters as YAML has them, of a runtime that never ran, and an empty folder for it alone."""

    target: Renderer
    params: Mapping[str, object]
    folder: Path

    @property
    def bound(self) -> Any:
        """The validated parameters."""
        return params_of(self.target, self.params)

    @property
    def site(self) -> Site:
        """Where the environment of the checks lives."""
        return Site("staging", self.folder / "runtime", Address(f"oci-layout:{self.folder / 'store'}"))

    @property
    def runner(self) -> Runner:
        """The target as the runner that it is."""
        assert isinstance(self.target, Runner), f"{self.target} is no runner"
        return self.target


def deployable() -> Deployable:
    """Return two models, one of them nested and on trial, as an environment calls for them."""

    def arm(name: str, release: int, weight: float) -> RouteArm:
        return RouteArm(name=name, release=release, digest="sha256:" + str(release) * 64, weight=weight)

    routes = {
        "crm/churn": Route(arms=(arm("stable", 1, 0.95), arm("candidate", 2, 0.05)), salt="abc", entity="customer: x"),
        "fraud-detection": Route(arms=(arm("stable", 3, 1.0),), salt="def"),
    }
    return Deployable(
        table=RoutingTable(environment="production", models=routes),
        models=dict.fromkeys(routes, model()),
        releases={},
        lock=lambda: "numpy==2.0 --hash=sha256:ab\n",
        store=Address("oci-layout:/srv/models/store", folder=Path("/srv/models/store")),
        wheel=lambda: Wheel("modelops-1-py3-none-any.whl", "ab" * 32, "nowhere", data=b"wheel"),
    )


def check(ground: Ground) -> None:
    """Run every check; those of runners on a runner only."""
    for one in (*CHECKS, *(RUNNER_CHECKS if isinstance(ground.target, Runner) else ())):
        one(ground)


def check_shelf(ground: Ground) -> None:
    """It exposes what the Protocol names and refuses unknown parameters."""
    check_module("targets", ground.target, ground.params)


def check_it_renders(ground: Ground) -> None:
    """Equal input gives equal files, whose paths stay inside of the folder that they are written to."""
    once, twice = (ground.target.render(ground.bound, deployable()) for _ in range(2))
    assert once == twice, "equal input gives other files"
    assert once, "nothing is rendered"
    for path in once:
        assert not path.startswith("/"), f"{path} is no relative path"
        assert ".." not in path.split("/"), f"{path} leads out of the folder"


def check_it_renders_the_routes(ground: Ground) -> None:
    """What is rendered changes with the routing table, as what it makes a runtime answer does."""
    asked = deployable()
    route = asked.table.models["fraud-detection"].model_copy(update={"salt": "other"})
    table = asked.table.model_copy(update={"models": {**asked.table.models, "fraud-detection": route}})
    other = replace(asked, table=table)
    found, changed = (ground.target.render(ground.bound, one) for one in (asked, other))
    assert found != changed, "another routing table renders the same files"


def check_it_runs_wholly_or_not_at_all(ground: Ground) -> None:
    """Half a runner would fail in the middle of somebody's incident."""
    have = [name for name in _RUNNER if hasattr(ground.target, name)]
    lacks = [name for name in _RUNNER if name not in have]
    assert not have or not lacks, f"it has {', '.join(have)} and lacks {', '.join(lacks)}"


def check_what_was_never_started_is_not_running(ground: Ground) -> None:
    """Observing changes nothing; stopping what does not run is no error; there is no address and no table yet."""
    place = Place("staging", ground.site.runtime)
    observed = ground.runner.observe(ground.bound, place)
    assert (observed.running, observed.table, observed.arms) == (False, None, ()), f"{observed} was never started"
    assert observed.routes is None, "it has a table that nobody gave to it"
    assert observed.message, "it does not say why it is not running"
    assert ground.runner.endpoint(ground.bound, place) is None, "there is an address, and nothing ever ran"
    assert not place.runtime.exists(), "observing has made the runtime directory"
    ground.runner.stop(ground.bound, place)


def check_it_is_started_once(ground: Ground) -> None:
    """Applied twice it runs once, by the table that was given; stopped, it answers no more and can be started again."""
    runner, params, here = ground.runner, ground.bound, ground.site
    try:
        assert runner.apply(params, here, _EMPTY).table == table_digest(_EMPTY), "it runs by another table"
        first = runner.endpoint(params, here)
        assert first is not None, "what runs has no address"
        assert runner.apply(params, here, _EMPTY).running, "applied twice it does not run"
        assert runner.endpoint(params, here) == first, "applied twice it runs twice"
        assert runner.observe(params, here).table == table_digest(_EMPTY), "it is observed with another table"
        runner.stop(params, here)
        assert not runner.observe(params, here).running, "stopped, it still answers"
        runner.stop(params, here)
        assert runner.apply(params, here, _OTHER).table == table_digest(_OTHER), "it cannot be started again"
    finally:
        runner.stop(params, here)


def check_it_remembers_its_table(ground: Ground) -> None:
    """The table that it was given last is told while it runs and after it has ended: models go on by it as they ran."""
    runner, params, here = ground.runner, ground.bound, ground.site
    try:
        for table in (_OTHER, _EMPTY):
            assert runner.apply(params, here, table).routes == table, "applied, it does not tell its table"
            assert runner.observe(params, here).routes == table, "it tells another table than it was given"
    finally:
        runner.stop(params, here)
    assert runner.observe(params, here).routes == _EMPTY, "stopped, it has forgotten its table"


def check_its_log_is_one_of_the_shelf(ground: Ground) -> None:
    """The runner names a log and its parameters; a runtime that never ran has predicted nothing."""
    reference = ground.runner.logs(ground.bound, ground.site)
    assert isinstance(reference, Plugin), f"{reference!r} names no log"
    bound = logs.bind(reference)
    log = bound.module.open(bound.params)
    assert isinstance(log, RuntimeLog), f"the log {reference.type} lacks what the log of a runtime can do"
    assert log.begins() is None, "nothing ever ran, and its log holds something"


def check_it_says_whether_it_is_durable(ground: Ground) -> None:
    """It answers by the environment's variables alone, with yes or no."""
    for environ in ({}, {"RUNNER_ENVIRONMENT": "github-hosted"}):
        said = ground.runner.durable(ground.bound, environ)
        assert isinstance(said, bool), f"{said!r} is neither yes nor no"


CHECKS: tuple[Callable[[Ground], None], ...] = (
    check_shelf,
    check_it_renders,
    check_it_renders_the_routes,
    check_it_runs_wholly_or_not_at_all,
)
RUNNER_CHECKS: tuple[Callable[[Ground], None], ...] = (
    check_what_was_never_started_is_not_running,
    check_it_is_started_once,
    check_it_remembers_its_table,
    check_its_log_is_one_of_the_shelf,
    check_it_says_whether_it_is_durable,
)
"""Each takes a ground of its own."""
