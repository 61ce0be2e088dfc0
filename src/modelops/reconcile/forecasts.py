"""What the steps of rollouts need to see what they guard against, for the plans that a reader is about to decide on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from modelops import plugins
from modelops.reconcile import building
from modelops.reconcile.actions import Entry
from modelops.reconcile.workspace import Workspace, model_entry, parameters
from modelops.spec.graph import Graph
from modelops.strategies import Forecast

__all__ = ["Planned", "forecasts", "forecasts_of_change", "forecasts_of_environment"]


@dataclass(frozen=True, slots=True)
class Planned:
    """The forecasts of one model's rollout plan, at the traffic that it expects."""

    model: str
    strategy: str
    requests_per_hour: float
    steps: tuple[Forecast, ...]

    def to_dict(self) -> dict[str, object]:
        """Return them as plain data."""
        return {
            "model": self.model,
            "strategy": self.strategy,
            "requestsPerHour": self.requests_per_hour,
            "steps": [asdict(step) for step in self.steps],
        }

    def rows(self) -> list[list[str]]:
        """Return a line for people per step: what it is to see, requests, a single look's, time, deadline, chance."""
        return [
            [
                f"{self.model} step {step.step + 1}",
                step.what,
                "never" if step.requests is None else f"{step.requests:,}",
                "" if step.fixed is None else f"{step.fixed:,}",
                _time(step.minutes),
                _time(step.deadline_minutes),
                "" if step.chance is None else f"{step.chance:.0%}",
                "yes" if step.sees else "NO",
            ]
            for step in self.steps
        ]


HEADERS = ("rollout", "to see", "requests", "one look", "time", "deadline", "chance at minimum", "in time")


def _time(minutes: float | None) -> str:
    if minutes is None:
        return ""
    return (
        f"{minutes:.0f} min"
        if minutes < 120
        else f"{minutes / 60:.1f} h"
        if minutes < 4320
        else f"{minutes / 1440:.1f} d"
    )


def forecasts(graph: Graph, models: Iterable[str]) -> tuple[Planned, ...]:
    """Return the forecasts of those models whose rollout plan says what traffic it expects."""
    found = []
    for name in sorted(models):
        rollout = model_entry(graph, name).rollout
        if rollout is not None and rollout.spec.expect is not None:
            strategy, expect = rollout.spec.strategy, rollout.spec.expect
            module = plugins.load("strategies", strategy.type)
            steps = module.forecast(parameters(module, strategy), expect)
            found.append(Planned(name, strategy.type, expect.requests_per_hour, tuple(steps)))
    return tuple(found)


def forecasts_of_environment(workspace: Workspace, environment: str) -> tuple[Planned, ...]:
    """Return the forecasts of all models that have a candidate in an environment."""
    _, graph = workspace.known()
    on_trial = (
        name
        for name, entry in graph.models.items()
        if environment in entry.deployments and entry.deployments[environment].spec.candidate is not None
    )
    return forecasts(graph, on_trial)


def forecasts_of_change(
    workspace: Workspace, entries: Iterable[Entry], *, since: str | None, dirty: bool
) -> tuple[Planned, ...]:
    """Return the forecasts of the models that a change touches, that its plan is about, or that have a candidate."""
    revision = None if dirty else workspace.repository.head()
    graph = workspace.graph(revision)
    names = {str(entry.model) for entry in entries if hasattr(entry, "model")} & set(graph.models)
    if since is not None:
        names |= set(building.changed_models(workspace, graph, since, revision or workspace.repository.head()))
    names |= {
        name
        for name, entry in graph.models.items()
        if since is None and any(one.spec.candidate is not None for one in entry.deployments.values())
    }
    return forecasts(graph, names)
