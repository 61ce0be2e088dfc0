"""What every export keeps: texts that git alone decides, which a parser of their kind reads, and that never meet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations

import yaml

from modelops.conformance.shelf import check_module, params_of
from modelops.exports import Export, ModelView, View
from modelops.spec.kinds.monitor import FreshnessObjective, LatencyObjective, Objective, Objectives, QualityObjective

__all__ = ["CHECKS", "HOSTILE", "PROMISED", "VIEW", "check"]

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


VIEW = View(
    "production",
    (
        _model("a-b", "high", {"stable": 3, "candidate": 4}),
        replace(_model("a/b", "minimal", {"stable": 1}), objectives=PROMISED),
        _model("fraud", "high", {"stable": 3, "candidate": 4}),
    ),
)
"""Three models, two of them with names that are easily taken for one another."""
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
    for path, text in {**once, **_files(export, params, View("production", ()))}.items():
        assert not path.startswith("/"), f"{path} is no relative path"
        assert ".." not in path.split("/"), f"{path} leads out of the folder"
        assert text.endswith("\n"), f"{path} does not end with a line break"
        if path.endswith(".json"):
            json.loads(text)
        if path.endswith((".yaml", ".yml")):
            assert all(one is not None for one in yaml.safe_load_all(text)), f"{path} holds an empty document"


def check_environments_do_not_meet(export: Export, params: Mapping[str, object]) -> None:
    """Whatever two environments are called, what is exported of one never replaces what is exported of the other."""
    found = [_files(export, params, View(name, VIEW.models)) for name in _NAMES]
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
