"""What every export keeps: texts that git alone decides, which a parser of their kind reads, and that never meet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations

import yaml

from modelops.conformance.shelf import check_module, params_of
from modelops.exports import Export, ModelView, Trial, View
from modelops.locks.wheel import Wheel
from modelops.spec.address import Address
from modelops.spec.kinds.access_policy import ApiKey
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec
from modelops.spec.kinds.monitor import FreshnessObjective, LatencyObjective, Objective, Objectives, QualityObjective
from modelops.spec.routing import Route, RouteArm, RoutingTable
from modelops.strategies import canary
from modelops.targets import Deployable

__all__ = ["CHECKS", "HOSTILE", "PROMISED", "TRIAL", "VIEW", "check", "view"]

HOSTILE = 'Fraud {{ $x }} "team" #1: {a}'
"""An owner that means something in many languages."""


def _model(name: str, risk: str, arms: Mapping[str, int]) -> ModelView:
    return ModelView(name, "Scores payments.", HOSTILE, risk, "binary-classification", 50.0, arms, True, True)  # type: ignore[arg-type]


PROMISED = Objectives(
    period_days=28,
    availability=Objective(target=0.99),
    latency=LatencyObjective(target=0.95, within_ms=100.0),
    freshness=FreshnessObjective(target=0.9, within_days=90.0),
    quality=QualityObjective(target=0.8),
)
"""All that can be promised of a model."""


_CANARY = canary.Params.model_validate_json(
    """{"steps": [{"weight": 0.05, "minRequests": 500, "deadlineMinutes": 60},
                  {"weight": 0.5, "minRequests": 2000, "minMinutes": 10, "deadlineMinutes": 60}],
        "onDeadline": "rollback"}"""
)
TRIAL = Trial("canary", _CANARY, canary.stages(_CANARY, ("stable", "candidate")))
"""A canary of two steps."""
_MODELS = (
    replace(_model("a-b", "high", {"stable": 3, "candidate": 4}), trial=TRIAL),
    replace(_model("a/b", "minimal", {"stable": 1}), objectives=PROMISED),
    replace(_model("fraud", "high", {"stable": 3, "candidate": 4}), trial=TRIAL),
)


def view(environment: str = "production", models: tuple[ModelView, ...] = _MODELS) -> View:
    """Return an environment that has some models; what runs them is a cluster, what holds them a registry."""
    store = Address("oci-registry://registry.example/models", ports=(443,), variables=("STORE_PASSWORD",))

    def deployable() -> Deployable:
        keys = (ApiKey(name="shop", variable="SHOP_KEY"),)
        table = RoutingTable(environment=environment, models={each.name: _route(each) for each in models}, keys=keys)
        specs = {each.name: _SPEC for each in models}
        wheel = Wheel("modelops-1-py3-none-any.whl", "ab" * 32, "a test", data=b"")
        return Deployable(
            table=table, models=specs, releases={}, lock=lambda: "", store=store, wheel=lambda: wheel
        )  # fmt: skip

    return View(environment, models, deployable)


def _route(model: ModelView) -> Route:
    weights = model.trial.stages[0].traffic.weights if model.trial is not None else {"stable": 1.0}
    arms = tuple(
        RouteArm(name=name, release=number, digest=f"sha256:{number:064x}", weight=weights.get(name, 0.0))
        for name, number in model.arms.items()
    )
    return Route(arms=arms, salt="salt", step=1 if model.trial is not None else 0)


_SPEC = ModelSpec(
    description="Scores payments.",
    owner=HOSTILE,
    risk="high",
    task="binary-classification",
    intended_use="Calls.",
    data=ModelData(snapshot="s", target="fraud", features=(Feature(name="amount", type="number"),)),
    gates=("standard",),
)
VIEW = view()
"""Three models, two of them with names that are easily taken for one another, and two of them on trial."""
_NAMES = ("production", "production-eu", "p" * 63, "p" * 62 + "q", "a-b", "a--b")


def check(export: Export, params: Mapping[str, object]) -> None:
    """Run every check."""
    for one in CHECKS:
        one(export, params)


def check_shelf(export: Export, params: Mapping[str, object]) -> None:
    """It exposes what the Protocol names and refuses unknown parameters."""
    check_module("exports", export, params)


def check_it_is_a_function(export: Export, params: Mapping[str, object]) -> None:
    """Twice the same, in relative paths and plain text that a parser of its kind reads; no models are no error."""
    once, twice = (_files(export, params, VIEW) for _ in range(2))
    assert once == twice, "equal input gives other files"
    assert once, "nothing is exported"
    for path, text in {**once, **_files(export, params, view(models=()))}.items():
        assert not path.startswith("/"), f"{path} is no relative path"
        assert ".." not in path.split("/"), f"{path} leads out of the folder"
        assert text.endswith("\n"), f"{path} does not end with a line break"
        if path.endswith(".json"):
            json.loads(text)
        if path.endswith((".yaml", ".yml")):
            assert all(one is not None for one in yaml.safe_load_all(text)), f"{path} holds an empty document"


def check_environments_do_not_meet(export: Export, params: Mapping[str, object]) -> None:
    """Whatever two environments are called, what is exported of one never replaces what is exported of the other."""
    found = [_files(export, params, view(name)) for name in _NAMES]
    for one, other in combinations(found, 2):
        both = one.keys() & other.keys()
        assert not both, f"two environments write {', '.join(both)}"


def _files(export: Export, params: Mapping[str, object], view: View) -> dict[str, str]:
    return dict(export.files(params_of(export, params), view))


CHECKS: tuple[Callable[[Export, Mapping[str, object]], None], ...] = (
    check_shelf,
    check_it_is_a_function,
    check_environments_do_not_meet,
)
