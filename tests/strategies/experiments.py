"""Arms of experiments, drawn: who answered how many requests of whom, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

from modelops.strategies import ArmData, Progress, Step, StepData, Traffic
from strategies.progress import START, joined

TWO = ("stable", "candidate")
THREE = ("stable", "candidate", "challenger-5")
UNGUARDED: dict[str, object] = {"errors": None, "slow": None, "scores": None, "outcome": None}
ENDS = ("promote", "keep", "rollback")


def outcomes(values: Sequence[float], units: Sequence[int] | None = None, errors: int = 0, slow: int = 0) -> ArmData:
    """Return an arm whose every answer has a label; a loss is 1 less the outcome."""
    found = np.asarray(values, dtype=float)
    entities = np.arange(len(found)) if units is None else np.asarray(units)
    return ArmData(
        len(found),
        errors,
        slow,
        losses=1 - found,
        outcomes=found,
        units=entities.astype(np.uint64),
        entities=len(np.unique(entities)),
    )


def share(n: int, ones: int, errors: int = 0, slow: int = 0) -> ArmData:
    """Return an arm with ``ones`` good outcomes of n, evenly over the time, each of another entity."""
    good = np.diff(np.arange(n + 1) * ones // max(1, n))
    return outcomes(good.astype(float), errors=errors, slow=slow)


def seen(
    arms: Mapping[str, ArmData], weights: Mapping[str, float] | None = None, minutes: float = 60.0, **changes: Any
) -> Progress:
    """Return the progress of a rollout in its first step; equal weights by default."""
    traffic = Traffic(dict(weights) if weights else dict.fromkeys(arms, 1 / len(arms)))
    at = changes.pop("step", 1)
    steps = (*changes.pop("before", ()), StepData(at, traffic, arms))
    now = START + timedelta(minutes=minutes)
    return Progress(at, START, now, steps, tuple(arms), started=START, **changes)


Truth = Callable[[np.random.Generator, str, int], ArmData]


def bernoulli(rates: Mapping[str, float]) -> Truth:
    """Return arms whose outcomes are 1 at their rates, every request being an entity of its own."""

    def draw(generator: np.random.Generator, arm: str, n: int) -> ArmData:
        units = generator.integers(0, 2**63, n)
        return outcomes(generator.binomial(1, rates[arm], n), units)

    return draw


class Experiment:
    """An experiment in logical time: every look brings an hour of traffic, and what the strategy asks for is done."""

    def __init__(self, module: Any, params: Any, arms: Sequence[str], seed: int, **changes: Any) -> None:
        self.module, self.params, self.generator = module, params, np.random.default_rng(seed)
        begun = module.begin(params, arms)
        self.progress = Progress(1, START, START, (StepData(1, begun, {}),), tuple(arms), started=START, **changes)

    @property
    def weights(self) -> Mapping[str, float]:
        return self.progress.steps[-1].traffic.weights

    def look(self, total: int, truth: Truth) -> Step:
        """Draw ``total`` requests and return what the strategy says."""
        *done, running = self.progress.steps
        names = [name for name, weight in self.weights.items() if weight > 0]
        shares = np.array([self.weights[name] for name in names])
        counts = self.generator.multinomial(total, shares / shares.sum()).tolist()
        arms = {name: truth(self.generator, name, n) for name, n in zip(names, counts, strict=True)}
        steps = (*done, joined(running, StepData(running.step, running.traffic, arms)))
        self.progress = replace(self.progress, now=self.progress.now + timedelta(hours=1), steps=steps)
        step: Step = self.module.next_step(self.params, self.progress)
        if step.action == "advance":
            fresh = (*steps, StepData(step.step, step.traffic, {}))
            self.progress = replace(self.progress, step=step.step, step_started=self.progress.now, steps=fresh)
        return step

    def run(self, looks: int, total: int, truth: Truth) -> Step:
        """Look until the end, and return what was said last."""
        for _ in range(looks):
            step = self.look(total, truth)
            if step.action in ENDS:
                break
        return step
