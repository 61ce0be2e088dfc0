"""Progress of a rollout, made up or drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from modelops.conformance.traffic import START, answered, joined
from modelops.spec.kinds.model import ModelSpec
from modelops.strategies import ArmData, Progress, StepData, Traffic

__all__ = ["START", "answered", "arm", "drawn", "joined", "model", "progress", "step_data"]

NONE = np.empty(0)


def arm(requests: int = 0, errors: int = 0, slow: int = 0, scores=NONE, losses=NONE) -> ArmData:
    return ArmData(requests, errors, slow, np.asarray(scores, dtype=float), np.asarray(losses, dtype=float))


def step_data(step: int, weight: float, candidate: ArmData, stable: ArmData) -> StepData:
    traffic = Traffic({"stable": round(1 - weight, 9), "candidate": weight})
    return StepData(step, traffic, {"stable": stable, "candidate": candidate})


def progress(steps: Sequence[StepData] = (), step: int | None = None, minutes: float = 60.0) -> Progress:
    at = step if step is not None else steps[-1].step if steps else 1
    return Progress(at, START, START + timedelta(minutes=minutes), tuple(steps))


def drawn(
    generator: np.random.Generator,
    step: int,
    weight: float,
    total: int,
    *,
    errors: tuple[float, float] = (0.01, 0.01),
    slow: tuple[float, float] = (0.02, 0.02),
    shift: float = 0.0,
    losses: tuple[float, float] = (0.1, 0.1),
    labelled: float = 0.0,
) -> StepData:
    """Draw the data of a step of ``total`` requests; pairs are (stable, candidate)."""
    of_candidate = int(generator.binomial(total, weight))
    arms = []
    for place, n in enumerate((total - of_candidate, of_candidate)):
        scores = generator.beta(2, 5, n) + shift * place
        lost = generator.binomial(1, losses[place], int(n * labelled))
        arms.append(
            arm(n, int(generator.binomial(n, errors[place])), int(generator.binomial(n, slow[place])), scores, lost)
        )
    return step_data(step, weight, arms[1], arms[0])


def model(task: str = "binary-classification", **serving: object) -> ModelSpec:
    """Return a small model."""
    return ModelSpec.model_validate_json(
        json.dumps(
            {
                "description": "x",
                "owner": "x",
                "risk": "minimal",
                "task": task,
                "intendedUse": "x",
                "data": {"snapshot": "x", "target": "y", "features": [{"name": "a", "type": "number"}]},
                "gates": ["x"],
                "serving": serving,
            }
        )
    )
