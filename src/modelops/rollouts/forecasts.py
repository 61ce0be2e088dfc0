"""What the steps of rollouts need to see what they guard against, for the plans that a reader is about to decide on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelops import strategies
from modelops.project.workspace import model_entry
from modelops.spec.graph import Graph
from modelops.spec.kinds.rollout_plan import Expectation
from modelops.strategies import Forecast

__all__ = ["Planned", "forecasts", "on_trial_in"]


@dataclass(frozen=True, slots=True)
class Planned:
    """The forecasts of one model's rollout plan, at what it expects; what it does not say is assumed.

    Without a stated traffic there are no times: ``requests_per_hour`` is None.
    """

    model: str
    strategy: str
    expect: Expectation
    stated: bool
    steps: tuple[Forecast, ...]

    @property
    def requests_per_hour(self) -> float | None:
        """The traffic that the plan expects."""
        return self.expect.requests_per_hour if self.stated else None

    @property
    def chance(self) -> float | None:
        """The chance that the whole plan sees the effect where each step ends as early as it may."""
        return next((step.so_far for step in reversed(self.steps) if step.so_far is not None), None)


ASSUMED = Expectation(requests_per_hour=1.0)
"""What a plan that says nothing is held to: twice as many errors as 1 %, and no requests beyond its minimum."""


def forecasts(graph: Graph, models: Iterable[str]) -> tuple[Planned, ...]:
    """Return the forecasts of those models that have a rollout plan."""
    found = []
    for name in sorted(models):
        rollout = model_entry(graph, name).rollout
        if rollout is not None:
            strategy, expect = rollout.spec.strategy, rollout.spec.expect or ASSUMED
            stated = rollout.spec.expect is not None
            bound = strategies.bind(strategy, rollout, "spec.strategy")
            steps = tuple(bound.module.forecast(bound.params, expect))
            if not stated:
                untimed = (replace(step, minutes=None, sees=step.requests is not None) for step in steps)
                steps = tuple(step for step in untimed if step.so_far is not None)
            if steps:
                found.append(Planned(name, strategy.type, expect, stated, steps))
    return tuple(found)


def on_trial_in(graph: Graph, environment: str) -> tuple[str, ...]:
    """Return the models that have a candidate in an environment."""
    return tuple(
        name
        for name, entry in graph.models.items()
        if environment in entry.deployments and entry.deployments[environment].spec.candidate is not None
    )
