"""Observing: the only place that reads the world for a plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from modelops import strategies
from modelops.clock import parse_instant
from modelops.errors import Exit, ModelOpsError
from modelops.governance import waivers
from modelops.governance.ahead import read_ahead
from modelops.governance.endings import asked
from modelops.governance.pending import Intent, kept, overlaid, standing
from modelops.governance.promotions import Refusal
from modelops.logs import Log
from modelops.project.standing import exit_of
from modelops.project.target import remembered, site_of, target_of
from modelops.project.workspace import Workspace, environment, model_entry
from modelops.reconcile.desired import Desired, desired_of
from modelops.reconcile.facts import ModelFacts, Observed
from modelops.rollouts.memory import read_rollout
from modelops.rollouts.state import RolloutState, seed_of
from modelops.spec.graph import Graph
from modelops.spec.kinds.model import ModelSpec, Serving
from modelops.spec.layout import Seat
from modelops.spec.routing import Route, RoutingTable
from modelops.strategies import Progress, StepData
from modelops.targets import Site

if TYPE_CHECKING:
    from modelops.changes.restoring import Aftermath

_AT_ONCE = 500
"""So many models' files are read ahead together; what was read of them may be let go before the next ones are."""


@dataclass(frozen=True)
class Runtime:
    """What this machine knows of an environment before a model is looked at.

    ``held`` says who moves the models that another reconciler leased, ``loaded`` are the artifacts that the runtime
    answers with (None leaves the store out of it), ``kept`` is what people decided here and git does not know yet.
    ``trouble`` keeps every model from going forward, ``frozen`` as it runs; ``unpushed`` models cannot be recorded.
    """

    site: Site
    running: RoutingTable | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    loaded: Collection[str] | None = None
    kept: Mapping[str, Sequence[Intent]] = field(default_factory=dict)
    trouble: ModelOpsError | None = None
    frozen: bool = False
    unpushed: Collection[str] = ()

    def route(self, model: str) -> Route | None:
        """Return how a model is answered now."""
        return self.running.models.get(model) if self.running is not None else None


def runtime_of(workspace: Workspace, name: str) -> Runtime:
    """Return what this machine knows of an environment, without a look at its store and at what runs."""
    site = site_of(workspace, name)
    return Runtime(site, kept=kept(site))


def ran_before(workspace: Workspace, name: str) -> RoutingTable | None:
    """Return how an environment was answered by what was started here last, whatever target git names by now.

    What has moved elsewhere for good may be beyond reach, and keeps nothing from going on.
    """
    before = remembered(workspace, name)
    try:
        return before.observe().routes if before is not None else None
    except ModelOpsError as error:
        if error.exit is Exit.WORLD:
            return None
        raise


def progress(log: Log, model: str, spec: ModelSpec, state: RolloutState, now: datetime) -> Progress:
    """Return what traffic has said in each step of a rollout so far."""
    from modelops.rollouts.measures import arm_data, shadow_data, stretch

    rows = log.arms(model, state.salt, objective_ms=spec.serving.latency_objective_ms)
    length = stretch(row.times for row in rows.values())
    copied = any(step.traffic.shadows for step in state.steps)
    pairs = log.shadows(model, state.salt) if copied else {}
    steps = []
    for number, step in enumerate(state.steps, start=1):
        arms = {arm: arm_data(spec, rows[number, arm], length) for arm in state.arms if (number, arm) in rows}
        shadows = shadow_data(spec, pairs, number, arms, step.traffic)
        steps.append(StepData(number, step.traffic, arms, shadows))
    return Progress(
        state.step,
        parse_instant(state.steps[-1].started),
        now,
        tuple(steps),
        tuple(state.arms),
        parse_instant(state.steps[0].started),
        state.smoke,
        seed=seed_of(state.salt, state.step),
    )


def _held(workspace: Workspace, digest: str) -> bool:
    """Return whether the store still has what runs; a store that cannot say takes nothing away from it."""
    try:
        return workspace.store.has(digest)
    except ModelOpsError as error:
        if error.exit is Exit.WORLD:
            return True
        raise


def _artifacts(
    workspace: Workspace, desired: Desired, loaded: Collection[str]
) -> tuple[tuple[int, ...], tuple[Refusal, ...]]:
    """Return which releases the store has lost, and which ones it holds with other bytes than were released.

    What runs was verified when it was loaded, so that a pass over a healthy environment reads no artifact.
    """
    lost: dict[int, None] = {}
    damaged: list[Refusal] = []
    for role, number in desired.arms.items():
        digest = desired.digests[number]
        if digest in loaded and _held(workspace, digest):
            continue
        # What opens artifacts is slow to import.
        from modelops.artifacts import verify_artifact

        try:
            verify_artifact(workspace.store, digest)
        except ModelOpsError as error:
            problem = error.first
            if problem.code == "not-in-store":
                lost[number] = None
                continue
            word = "is damaged" if problem.code in ("digest-mismatch", "bad-artifact") else "cannot be read"
            reason = f"the artifact of release {number} {word}: {problem.message}"
            hint = f"delete {problem.location} and reconcile again: it is rebuilt from git" if problem.location else ""
            damaged.append(Refusal(role, problem.code, reason, hint or problem.hint or "copy the store again"))
    return tuple(lost), tuple(damaged)


def observed_of(workspace: Workspace, graph: Graph, tip: str, desired: Desired, runtime: Runtime) -> Observed:
    """Return what this machine and the world say about a model that git calls for."""
    model, name = desired.seat.model, desired.seat.environment
    intents = " and ".join(map(str, runtime.kept.get(model, ())))
    lost, damaged = _artifacts(workspace, desired, runtime.loaded) if runtime.loaded is not None else ((), ())
    trial = desired.candidate is not None
    found = Observed(
        lost=lost,
        damaged=damaged,
        held_by=runtime.held.get(model),
        running=runtime.route(model),
        kept=f"{intents} is kept on this machine until it can be pushed" if intents else "",
        unpushed=model in runtime.unpushed,
        aftermath=_aftermath(workspace, graph, tip, Seat(model, name)) if desired.denied and not trial else None,
    )
    return _with_rollout(workspace, graph, runtime.site, desired, found) if desired.strategy is not None else found


def _aftermath(workspace: Workspace, graph: Graph, tip: str, seat: Seat) -> Aftermath | None:
    # What builds a model is slow to import, and a pass over a healthy environment builds none.
    from modelops.changes.restoring import aftermath

    return aftermath(workspace, graph, tip, seat)


def _with_rollout(workspace: Workspace, graph: Graph, site: Site, desired: Desired, found: Observed) -> Observed:
    """Add how far the rollout that git calls for came, and what its strategy says of the traffic so far."""
    state = read_rollout(site, desired.seat.model)
    found = replace(found, rollout=state)
    if state is None or not found.about(desired):
        return found
    waits = state.outcome == "promote" and desired.on_success == "pull-request"
    if waits:
        found = replace(found, asked=asked(workspace, desired.seat, desired.salt, state))
    if state.outcome is not None and not waits and not desired.paused:
        return found
    log = target_of(workspace, graph, desired.seat.environment).log()
    spec = model_entry(graph, desired.seat.model).model.spec
    seen = progress(log, desired.seat.model, spec, state, workspace.clock())
    seen = replace(seen, tolerant=desired.on_failure == "alert")
    assert desired.strategy is not None, "it was asked before"
    bound = strategies.bind(desired.strategy)
    return replace(found, progress=seen, step=bound.module.next_step(bound.params, seen))


def environment_facts(
    workspace: Workspace, graph: Graph, tip: str, name: str, runtime: Runtime
) -> tuple[ModelFacts, ...]:
    """Return the facts about every model that has a release in an environment.

    What is wrong with one model, whatever it is, stalls that model here and no other.
    """
    environment(graph, name)
    runtime = replace(runtime, kept=standing(graph, runtime.kept))
    graph = overlaid(graph, runtime.kept)
    general, worst = ((), Exit.OK) if runtime.trouble is None else (runtime.trouble.problems, runtime.trouble.exit)
    found, held = [], workspace.standing(tip).blobs
    for at, model in enumerate(models := sorted({*graph.models, *graph.stalled_models})):
        if at % _AT_ONCE == 0:
            share = models[at : at + _AT_ONCE]
            workspace.once(("ahead", tip, name, at), partial(read_ahead, workspace.repository, graph, tip, name, share))
        facts = None
        troubles = waivers.troubles(workspace, graph, tip, model, name)
        exit = max(exit_of(troubles) if troubles else Exit.OK, worst)
        troubles += general
        try:
            facts = model_facts(workspace, graph, tip, Seat(model, name), runtime) if model in graph.models else None
        except ModelOpsError as error:
            facts, troubles = _unknown(graph, Seat(model, name), runtime), troubles + error.problems
            exit = max(exit, error.exit)
        if facts is None and troubles and _meant(workspace, tip, Seat(model, name)):
            facts = _unknown(graph, Seat(model, name), runtime)
        if facts is not None and troubles:
            # Who changed its file without approval says nothing about what runs: neither does the history since.
            frozen = facts.frozen or runtime.frozen or facts.seat.deployment in held
            facts = replace(facts, troubles=tuple(dict.fromkeys(troubles)), exit=exit, frozen=frozen)
        found += [facts] if facts is not None else []
    return tuple(found)


def model_facts(workspace: Workspace, graph: Graph, tip: str, seat: Seat, runtime: Runtime) -> ModelFacts | None:
    """Return the facts about one model in one environment, or None when it has no release there."""
    desired = desired_of(workspace, graph, tip, seat, next(iter(runtime.kept.get(seat.model, ())), None))
    return ModelFacts(desired, observed_of(workspace, graph, tip, desired, runtime)) if desired is not None else None


def _meant(workspace: Workspace, tip: str, seat: Seat) -> bool:
    """Tell whether a model is meant to be in an environment, whatever can be read of it."""
    return seat.deployment in workspace.repository.paths(tip)


def _unknown(graph: Graph, seat: Seat, runtime: Runtime) -> ModelFacts:
    """Return the facts of a model of which nothing is known but what runs."""
    entry = graph.models.get(seat.model)
    serving = entry.model.spec.serving if entry is not None else Serving()
    nothing = Desired(seat, serving, None, None, (), {})
    return ModelFacts(
        nothing, Observed(held_by=runtime.held.get(seat.model), running=runtime.route(seat.model)), frozen=True
    )
