"""What arms get of a model's traffic in a step of its trial, in the numbers that other tools count by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from modelops.errors import Exit, ModelOpsError, failure
from modelops.exports import ModelView, Trial, View
from modelops.spec.meta import ModelName
from modelops.spec.routing import Route
from modelops.strategies import Traffic
from modelops.targets import Deployable

__all__ = ["INSTEAD", "RUN_IT", "STEP", "Steps", "gateway_divides", "percents", "refused", "routes", "whole"]

INSTEAD = "take arms: together, where the pods of the model divide its traffic themselves"
RUN_IT = "let modelops run the environment, as with the target kubernetes and apply: server-side"
STEP = "step of the plan of models on trial, where modelops does not run the environment; the first if not said"
Steps = dict[ModelName, Annotated[int, Field(ge=1)]]
_BASES = (100, 1_000, 10_000, 100_000, 1_000_000)
"""What weights may sum to: HTTPRoute counts to a million, and people read percent."""
_EXACT = 1e-6


def refused(trial: Trial, dotted: str, message: str, hint: str) -> ModelOpsError:
    """Return that another tool cannot do what a plan asks for, with the place that asks for it."""
    path = f"spec.{dotted or 'strategy.type'}"
    return failure("export-refused", message, location=trial.where(path), dotted=path, hint=hint)


def routes(view: View, deployable: Deployable, steps: Steps) -> Mapping[str, Route]:
    """Return how each model is to be answered, its trial in the step that ``steps`` says, or else in its first one.

    Where modelops runs the environment it moves the trials, and a step that is said from outside would be another one.
    """
    models = {model.name: model for model in view.models}
    for name in sorted(steps):
        trial = models[name].trial if name in models else None
        if view.reconciled or trial is None:
            why = f"modelops runs {view.environment} and moves its trials itself" if trial else "nothing is on trial"
            raise failure(
                "bad-param", f"steps names a step of {name}: {why}", exit=Exit.USAGE, hint=f"leave {name} out of steps"
            )
    table = deployable.table.models
    if view.reconciled:
        return dict(sorted(table.items()))
    return {name: _at(models.get(name), route, steps.get(name)) for name, route in sorted(table.items())}


def _at(model: ModelView | None, route: Route, said: int | None) -> Route:
    trial = model.trial if model is not None else None
    if trial is None or not route.step:
        if model is not None and said is not None:
            raise failure(
                "bad-param",
                f"steps says step {said} of {model.name}, and its trial does not go on: stable answers alone",
                exit=Exit.USAGE,
                location=trial.where("spec.strategy") if trial is not None else None,
                hint=f"leave {model.name} out of steps",
            )
        return route
    step = said or 1
    assert model is not None
    if not trial.stages:
        why = f"the traffic of {trial.strategy} follows what its arms do, and nobody who is told of it here sees that"
        raise refused(trial, "", f"{model.name}: {why}", f"{RUN_IT}; or take canary")
    if step > len(trial.stages):
        raise failure(
            "bad-param",
            f"steps says step {step} of {model.name}, and its plan has {len(trial.stages)}",
            exit=Exit.USAGE,
            location=trial.where("spec.strategy"),
            hint="name one that it has",
        )
    return _with(route, trial.stages[step - 1].traffic, step)


def _with(route: Route, traffic: Traffic, step: int) -> Route:
    weights, shadows = traffic.weights, traffic.shadows
    arms = (
        arm.model_copy(update={"weight": weights.get(arm.name, 0.0), "shadow": shadows.get(arm.name, 0.0)})
        for arm in route.arms
    )
    return route.model_copy(update={"arms": tuple(arms), "step": step})


def gateway_divides(model: ModelView, route: Route, instead: str) -> None:
    """Refuse what a gateway that divides requests by weight cannot do; ``instead`` says what can."""
    trial = model.trial
    if trial is None:
        return
    if not trial.stages:
        said = f"the traffic of {trial.strategy} follows what its arms earn, and weights of a gateway follow nothing"
        raise refused(trial, "", f"{model.name}: {said}", instead)
    if route.entity is not None and any(sum(w > 0 for w in one.traffic.weights.values()) > 1 for one in trial.stages):
        said = f"a gateway draws an arm for each request, and {model.name} keeps each {route.entity} with one arm"
        raise refused(trial, "", f"{said} (serving.entity)", instead)


def whole(shares: Mapping[str, float]) -> dict[str, int]:
    """Return shares that sum to 1 as whole numbers that sum to 100, or to the power of ten where they are exact.

    What no such number up to a million has exactly is less than a millionth from it.
    """
    for base in _BASES:
        found = {name: round(share * base) for name, share in shares.items()}
        near = all(abs(found[name] - share * base) <= _EXACT for name, share in shares.items())
        if near and sum(found.values()) == base:
            return found
    # What is left over goes to those who lost most by rounding down.
    found = {name: int(share * base) for name, share in shares.items()}
    by_loss = sorted(shares, key=lambda name: (found[name] - shares[name] * base, name))
    for name in by_loss[: base - sum(found.values())]:
        found[name] += 1
    return found


def percents(trial: Trial, tool: str) -> list[int]:
    """Return the candidate's weight in each step of a canary, for tools that count whole percent and nothing else."""
    found = []
    for number, stage in enumerate(trial.stages):
        shares = whole(stage.traffic.weights)
        if sum(shares.values()) != 100:
            said = f"{tool} counts whole percent, and step {number + 1} gives {stage.traffic.weights['candidate']:.4%}"
            raise refused(trial, f"strategy.params.steps[{number}].weight", said, "choose weights of whole percent")
        found.append(shares["candidate"])
    return found
