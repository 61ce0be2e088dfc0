"""Rollout plans: whether a plan fits its model and its arms, and sees what it guards against at the traffic it expects.

What a strategy says about a plan depends on little, and many models have the same, so each distinct question is asked
once. A question is plain data: it can come from another process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Literal

from modelops import plugins
from modelops.errors import ModelOpsError, Problem
from modelops.spec.around import Folder
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.model import Serving
from modelops.spec.kinds.rollout_plan import Expectation, Served
from modelops.spec.meta import Plugin
from modelops.spec.parameters import bind

__all__ = ["PLAN_CODES", "PLAN_SHELVES", "Severity", "ordinary", "plan_problems", "plan_questions", "strategies_for"]

PLAN_SHELVES = frozenset({"rollouts", "arms"})
PLAN_CODES = frozenset({"strategy-refused", "step-too-short", "effect-never-seen", "too-many-arms", "rollout-arms"})
Severity = Literal["error", "warning"]
_Found = tuple[Severity, str, str, str, str]  # severity, code, dotted path, message, hint


def plan_questions(folder: Folder) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (shelf, strategy, data, path of the file, dotted path) of what there is to ask about a model's rollouts.

    What a strategy may look at of a model is in ``Served``.
    """
    rollout, model = folder.only("RolloutPlan"), folder.only("Model")
    if rollout is None:
        return
    strategy, expect = rollout.spec.strategy, rollout.spec.expect
    if model is not None:
        data = {
            "params": strategy.params,
            "expect": None if expect is None else expect.model_dump(mode="json"),
            "task": model.spec.task,
            "risk": model.spec.risk,
            "serving": model.spec.serving.model_dump(mode="json"),
        }
        yield "rollouts", strategy.type, json.dumps(data, sort_keys=True), rollout.path, "spec.strategy"
    for deployment in folder.of("Deployment").values():
        if deployment.spec.candidate is not None:
            more = [f"challenger-{release}" for release in deployment.spec.challengers]
            named = {"params": strategy.params, "arms": ["stable", "candidate", *more]}
            yield "arms", strategy.type, json.dumps(named, sort_keys=True), deployment.path, "spec.candidate"


def ordinary(shelf: str, data: str) -> bool:
    """Tell whether a question is about what any strategy can do: most are, and the answer needs no import."""
    asked = json.loads(data)
    if shelf == "arms":
        return len(asked["arms"]) == 2
    serving = asked["serving"]
    return asked["task"] != "regression" and serving["log"] != "off" and not serving["side_effects"]


def plan_problems(
    shelf: str, strategy: str, data: str, resource: AnyResource | None = None
) -> Iterator[tuple[Severity, Problem]]:
    """Yield (severity, problem) of the answer to one question; without the file they have no place."""
    answer = _arms if shelf == "arms" else _plan
    for severity, code, dotted, message, hint in answer(strategy, data):
        yield severity, Problem(code, message, resource.where(dotted) if resource else None, dotted, hint)


def _module(strategy: str, params: dict[str, object]) -> tuple[Any, Any] | None:
    """Return a strategy with its parameters; None where either is wrong, which is told elsewhere."""
    try:
        bound = bind("strategies", Plugin(type=strategy, params=params))
    except ModelOpsError:
        return None
    return bound.module, bound.params


def strategies_for(arms: int) -> tuple[str, ...]:
    """Return the strategies that take so many arms, stable included."""
    found = []
    for key in plugins.keys("strategies"):
        with suppress(ModelOpsError):  # a third party's that cannot be loaded takes none
            fewest, most = plugins.load("strategies", key).ARMS
            found += [key] if fewest <= arms <= most else []
    return tuple(found)


@cache
def _arms(strategy: str, data: str) -> tuple[_Found, ...]:
    asked = json.loads(data)
    loaded = _module(strategy, asked["params"])
    if loaded is None:
        return ()
    module, params = loaded
    most, arms = module.ARMS[1], asked["arms"]
    if len(arms) > most:
        said = f"the strategy {strategy!r} takes {most} arms, and this makes {len(arms)}"
        hint = "remove challengers"
        others = strategies_for(len(arms))
        hint += f", or choose a strategy that takes so many: {' or '.join(others)}" if others else ""
        return (("error", "too-many-arms", f"spec.challengers[{most - 2}]", said, hint),)
    try:
        module.begin(params, tuple(arms))
    except ModelOpsError as error:
        return tuple(("error", one.code, "spec.candidate", one.message, one.hint or "") for one in error.problems)
    return ()


@cache
def _plan(strategy: str, data: str) -> tuple[_Found, ...]:
    asked = json.loads(data)
    loaded = _module(strategy, asked["params"])
    if loaded is None:
        return ()
    module, params = loaded
    serving = Serving.model_validate_json(json.dumps(asked["serving"]))
    model = Served(asked["task"], asked["risk"], serving)
    found: list[_Found] = []
    for objection in module.objections(params, model):
        dotted = f"spec.strategy.params.{objection.path}" if objection.path else "spec.strategy.type"
        found.append(("error", "strategy-refused", dotted, objection.message, objection.hint))
    if asked["expect"] is not None:
        expectation = Expectation.model_validate_json(json.dumps(asked["expect"]))
        severity: Severity = "warning" if expectation.on_too_short == "warn" else "error"
        forecasts = module.forecast(params, expectation)
        for forecast in forecasts:
            if not forecast.sees:
                path = f".{forecast.path}" if forecast.path else ""
                found.append((severity, *_too_short(forecast, expectation, f"spec.strategy.params{path}")))
        found += _often_missed(forecasts, expectation)
    return tuple(found)


def _often_missed(forecasts: Sequence[Any], expectation: Expectation) -> list[_Found]:
    """Warn of a plan whose steps may all end before they have seen what it expects to see."""
    so_far = [forecast.so_far for forecast in forecasts if forecast.so_far is not None]
    if not so_far or so_far[-1] >= expectation.power:
        return []
    rate = f"{expectation.error_rate:.3g} times {expectation.effect:g}"
    said = (
        f"the plan sees errors of {rate} in {so_far[-1]:.0%} of rollouts that take the fewest requests, and promotes "
    )
    said += f"them in the others; it expects {expectation.power:.0%}"
    hint = "raise minRequests, expect a larger effect, or say in `power` what is enough; modelops plan tells each step"
    return [("warning", "effect-often-missed", "spec.strategy.params", said, hint)]


def _too_short(forecast: Any, expectation: Expectation, dotted: str) -> tuple[str, str, str, str]:
    if forecast.minutes is None:
        said = f"step {forecast.step} never sees {forecast.what}"
        hint = "let the steps before it answer more requests, allow less difference, or expect a larger effect"
        return "effect-never-seen", dotted, said, hint
    said = f"step {forecast.step} needs {forecast.requests:,} requests for {forecast.what}: "
    said += f"{forecast.minutes:,.0f} minutes at {expectation.requests_per_hour:g} requests an hour, and its deadline "
    said += f"is after {forecast.deadline_minutes:g}"
    hint = "give it more time or more weight, expect a larger effect, or say `onTooShort: warn` under `expect`"
    return "step-too-short", dotted, said, hint
