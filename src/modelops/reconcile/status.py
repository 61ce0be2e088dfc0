"""Status: how every environment and model stands, observed now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from modelops.errors import ModelOpsError, Problem
from modelops.governance.history import arms_of
from modelops.governance.judged import known
from modelops.governance.waivers import Standing as WaiverStanding
from modelops.governance.waivers import in_scope, standings
from modelops.monitoring.telling import Standing, standing
from modelops.monitoring.triage import Kept, peeked
from modelops.project.retired import Retired, arms_at, numbers_at, retired_models, successor
from modelops.project.target import remembered, target_of
from modelops.project.workspace import Workspace, environment, model_entry
from modelops.reconcile.actions import Rendered
from modelops.reconcile.loop import Condition, Seen, before_a_pass, conditions_of, look, read_conditions
from modelops.spec.graph import Graph
from modelops.spec.kinds.release import ReleaseSpec
from modelops.targets import ObservedArm

if TYPE_CHECKING:
    from modelops import training


@dataclass(frozen=True)
class EnvironmentStatus:
    """How an environment stands; of one that others look after, ``running`` and ``synced`` are not known.

    What is ``rendered`` is None where nothing is; ``problems`` are sentences. ``triage`` is what the monitor's looks on
    this machine left, by model. ``seen`` is the look behind it, None
    where there could be none.
    """

    environment: str
    target: str
    running: bool | None = False
    url: str | None = None
    message: str = ""
    synced: bool | None = False
    arms: tuple[ObservedArm, ...] = ()
    conditions: tuple[Condition, ...] = ()
    problems: tuple[str, ...] = ()
    rendered: tuple[Rendered, ...] | None = None
    waivers: tuple[WaiverStanding, ...] = ()
    retired: tuple[Tombstone, ...] = ()
    telling: Standing | None = None
    triage: Mapping[str, Kept] = field(default_factory=dict)
    seen: Seen | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A model that is gone from main: what it ran where, until which commit, and as what it goes on if renamed."""

    past: Retired
    arms: Mapping[str, int]
    successor: str | None
    releases: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SeatStatus:
    """Which releases git names for a model in an environment."""

    environment: str
    stable: int | None
    candidate: int | None
    challengers: tuple[int, ...]
    paused: bool


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """A release by what it is made of, and what it measured; ``weight`` is the column that its rows count for."""

    release: int
    artifact: str
    snapshot: str
    metrics: Mapping[str, float]
    weight: str | None = None


@dataclass(frozen=True)
class ModelStatus:
    """A model's environments, releases and newest runs; ``problems`` are sentences."""

    model: str
    seats: tuple[SeatStatus, ...]
    releases: tuple[ReleaseStatus, ...]
    runs: tuple[training.Run, ...]
    problems: tuple[str, ...]
    waivers: tuple[WaiverStanding, ...] = ()
    retired: Tombstone | None = None


def _conditions(workspace: Workspace, name: str, seen: Seen) -> tuple[Condition, ...]:
    """Return how every model stands now; what stalled the last reconciliation stands while it still has to be done."""
    written = {each.model: each for each in read_conditions(workspace.site(name))}
    found = []
    for now in conditions_of(workspace, seen):
        last = written.get(now.model)
        stalled = last is not None and last.type == "Stalled" and last.revision == seen.tip
        found.append(last if last is not None and stalled and now.reason == "pending" else now)
    return tuple(found)


def status_of_environments(workspace: Workspace) -> tuple[EnvironmentStatus, ...]:
    """Return, per environment, what runs, whether it is in sync, and the conditions."""
    away = workspace.reach()
    tip, graph = known(workspace)
    excepted = standings(workspace, graph, tip)
    order = sorted(
        graph.environments,
        key=lambda key: (graph.environments[key].spec.order is None, graph.environments[key].spec.order, key),
    )
    found = (_environment(workspace, graph, name, away) for name in order)
    buried = _buried(workspace, tip)
    return tuple(
        replace(
            one,
            waivers=_about(graph, excepted, one.environment),
            retired=tuple(stone for (_, name), stone in buried.items() if name == one.environment),
            telling=_telling(workspace, graph, one.environment),
            triage=_triage(workspace, graph, one.environment),
        )
        for one in found
    )


def _telling(workspace: Workspace, graph: Graph, name: str) -> Standing | None:
    """Return how people are told of an environment."""
    deployed = [model for model, entry in graph.models.items() if name in entry.deployments]
    return standing(workspace, graph, name, deployed, workspace.clock())


def _triage(workspace: Workspace, graph: Graph, name: str) -> dict[str, Kept]:
    """Return what the last looks at the models of an environment left, by model; those nobody monitors are not told."""
    site = workspace.site(name)
    watched = [
        model for model, entry in graph.models.items() if entry.monitor is not None and name in entry.deployments
    ]
    found = {model: peeked(site.runtime, model) for model in sorted(watched)}
    return {model: kept for model, kept in found.items() if kept.at}


def _buried(workspace: Workspace, tip: str) -> dict[tuple[str, str], Tombstone]:
    """Return the tombstone of every model that is gone from a tip, by (model, environment) where it ran at last."""
    found: dict[tuple[str, str], Tombstone] = {}
    for model, past in retired_models(workspace.repository, tip).items():
        later = successor(workspace.repository, tip, model)
        numbers = numbers_at(workspace.repository, past.last, model)
        for seat, arms in arms_at(workspace.repository, past.last, model).items():
            found[seat] = Tombstone(past, arms, later, numbers)
    return found


def _about(graph: Graph, excepted: Iterable[WaiverStanding], name: str) -> tuple[WaiverStanding, ...]:
    """Return the waivers for some model that is deployed in an environment, counting or not."""
    there = {model for model, entry in graph.models.items() if name in entry.deployments}
    mine = (one for one in excepted if in_scope(one.spec.environments, name))
    return tuple(one for one in mine if not there.isdisjoint(one.spec.models))


def stalled_nowhere(workspace: Workspace) -> tuple[Problem, ...]:
    """Return what is wrong on the branch and stalls no model in any environment, so that no condition tells of it."""
    _, graph = known(workspace)
    deployed = {name: entry.deployments.values() for name, entry in graph.models.items()}
    seated = [name for name, files in deployed.items() if any(arms_of(file.spec) for file in files)]
    told = [problem for model in seated for problem in graph.troubles(model)]
    told += [problem for name in graph.environments for problem in graph.troubles(None, name)]
    every = dict.fromkeys(problem for problems in graph.stalled.values() for problem in problems)
    return tuple(problem for problem in every if not seated or problem not in told)


def _environment(workspace: Workspace, graph: Graph, name: str, away: ModelOpsError | None) -> EnvironmentStatus:
    """Return how one environment stands, or why that cannot be said; that keeps no other from being shown."""
    said = (*(away.problems if away is not None else ()), *workspace.trust_problems())
    problems = tuple(map(str, said))
    found = EnvironmentStatus(name, environment(graph, name).spec.target.type, problems=problems)
    try:
        seen = look(workspace, name, before_a_pass(workspace, name, away))
        if seen.observed is None:
            return _rendered(workspace, found, seen)
    except ModelOpsError as error:
        return replace(found, problems=(*problems, *map(str, error.problems)))
    observed = seen.observed
    return replace(
        found,
        seen=seen,
        running=observed.running,
        url=target_of(workspace, graph, name).endpoint() if observed.running else None,
        message=observed.message,
        synced=not seen.plan.actions and not seen.plan.refused,
        arms=tuple(observed.arms),
        conditions=_conditions(workspace, name, seen),
    )


def _rendered(workspace: Workspace, found: EnvironmentStatus, seen: Seen) -> EnvironmentStatus:
    """Return what can be said of an environment that others look after: what git lets in, and what it refuses."""
    name = found.environment
    message = f"rendered by {seen.plan.rendered_by}; nothing observed here"
    left = remembered(workspace, name)
    if left is not None and left.observe().running:
        message += f"; what {left.reference.type} ran before still runs: modelops reconcile {name} --stop ends it"
    return replace(
        found,
        seen=seen,
        running=None,
        message=message,
        synced=None,
        rendered=tuple(entry for entry in seen.plan.entries if isinstance(entry, Rendered)),
        conditions=tuple(each for each in conditions_of(workspace, seen) if each.type == "Stalled"),
    )


def status_of_model(workspace: Workspace, model: str, limit: int) -> ModelStatus:
    """Return a model's environments, releases and newest runs."""
    away = workspace.reach()
    tip, graph = known(workspace)
    if model not in graph.models and model not in graph.stalled_models:
        past = retired_models(workspace.repository, tip).get(model)
        if past is not None:
            return _status_of_retired(workspace, tip, past, limit, away)
    entry = model_entry(graph, model)
    from modelops import training

    runs = training.runs(workspace.ledger, model, limit)
    seats = [
        SeatStatus(name, d.spec.stable, d.spec.candidate, tuple(d.spec.challengers), d.spec.paused)
        for name, d in sorted(entry.deployments.items())
    ]
    releases = [_release_status(number, r.spec) for number, r in sorted(entry.releases.items())]
    problems = (*(away.problems if away is not None else ()), *graph.troubles(model))
    told = tuple(map(str, problems))
    excepted = standings(workspace, graph, tip, [model])
    return ModelStatus(model, tuple(seats), tuple(releases), runs, told, excepted)


def _release_status(number: int, spec: ReleaseSpec) -> ReleaseStatus:
    measured = {metric.name: metric.value for metric in spec.metrics}
    return ReleaseStatus(number, spec.artifact.digest, spec.data.snapshot, measured, spec.weight)


def _status_of_retired(
    workspace: Workspace, tip: str, past: Retired, limit: int, away: ModelOpsError | None
) -> ModelStatus:
    """Return what is left of a model that is gone from main; its releases as the commit before had them."""
    from modelops import training

    entry = workspace.graph(past.last).models.get(past.model)
    releases = [
        _release_status(number, r.spec) for number, r in sorted(entry.releases.items() if entry is not None else ())
    ]
    later = successor(workspace.repository, tip, past.model)
    stone = Tombstone(past, {}, later, numbers_at(workspace.repository, past.last, past.model))
    runs = training.runs(workspace.ledger, past.model, limit)
    problems = tuple(map(str, away.problems)) if away is not None else ()
    return ModelStatus(past.model, (), tuple(releases), runs, problems, retired=stone)
