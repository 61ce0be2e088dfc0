"""From facts to an ordered plan: pure, deterministic, and empty when the world matches git."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from modelops.errors import Location
from modelops.reconcile.actions import (
    Blocked,
    Conclude,
    Entry,
    Judge,
    RecordPromotion,
    Restore,
    Role,
    Serve,
    SetStep,
    Wait,
    describe,
    runnable,
    to_dict,
)
from modelops.spec.model import Serving
from modelops.spec.routing import Route, RouteArm, RoutingTable
from modelops.strategies import Check, Progress, Step
from modelops.targets import Observed


@dataclass(frozen=True, slots=True)
class RolloutState:
    """How far a rollout came, as the runtime remembers it; losing it restarts the rollout at its first step."""

    candidate: int
    stable: int
    salt: str
    step: int
    weight: float
    started: str
    outcome: Literal["promote", "rollback"] | None = None
    reason: str = ""
    checks: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a release that git names may not run here."""

    role: Role
    code: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A release that git names and for which no promotion record exists yet."""

    role: Role
    release: int
    commit: str


@dataclass(frozen=True)
class ModelFacts:
    """Everything about one model in one environment that decides what happens next."""

    model: str
    environment: str
    where: Location
    serving: Serving
    stable: int | None
    candidate: int | None
    denied: tuple[int, ...]
    digests: Mapping[int, str]
    lost: tuple[int, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    unrecorded: tuple[Unrecorded, ...] = ()
    rollout: RolloutState | None = None
    first_weight: float = 1.0
    next_step: Callable[[Progress], Step] | None = None
    progress: Progress | None = None
    on_failure: Literal["rollback", "hold"] = "rollback"
    held_by: str | None = None
    running: Route | None = None
    direct: bool = False


@dataclass(frozen=True)
class Plan:
    """Ordered entries for one environment and the routing table they lead to."""

    environment: str
    entries: tuple[Entry, ...]

    @property
    def actions(self) -> tuple[Entry, ...]:
        """The entries that would change something."""
        return tuple(entry for entry in self.entries if runnable(entry))

    @property
    def refused(self) -> bool:
        """Whether something that git asks for is refused."""
        return any(isinstance(entry, Blocked) for entry in self.entries)

    def to_dict(self) -> dict[str, object]:
        """Return the plan as plain data."""
        return {"environment": self.environment, "entries": [to_dict(entry) for entry in self.entries]}

    @property
    def digest(self) -> str:
        """The plan's content address: equal plans have equal digests."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def explain(self) -> str:
        """Return the plan for people."""
        if not self.entries:
            return f"{self.environment}: nothing to do, the world matches git"
        return "\n".join(f"{'+' if runnable(entry) else '-'} {describe(entry)}" for entry in self.entries)


def salt(facts: ModelFacts) -> str:
    """Return the salt of the assignment: a function of git alone, new for every rollout and after every rollback."""
    text = "\n".join((facts.model, facts.environment, str(facts.stable), str(facts.candidate), *map(str, facts.denied)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refused(facts: ModelFacts, role: Role) -> bool:
    return any(refusal.role == role for refusal in facts.refusals) or any(
        missing.role == role for missing in facts.unrecorded
    )


def _current(facts: ModelFacts) -> RolloutState | None:
    """Return the remembered rollout if it is about what git says now."""
    state = facts.rollout
    if state is None or (state.candidate, state.stable, state.salt) != (facts.candidate, facts.stable, salt(facts)):
        return None
    return state


def route(facts: ModelFacts) -> Route | None:
    """Return how a model is to be answered now, or None when nothing of it may run.

    While its stable release is refused, unrecorded or lost, the model goes on as it runs: nothing is taken down and
    nothing unproven is put up.
    """
    if facts.stable is not None and (_refused(facts, "stable") or facts.stable in facts.lost):
        return facts.running
    weights: list[tuple[Role, int, float]] = []
    candidate_runs = (
        facts.candidate is not None and not _refused(facts, "candidate") and facts.candidate not in facts.lost
    )
    state = _current(facts)
    if facts.stable is None or (facts.direct and candidate_runs):
        if candidate_runs and facts.candidate is not None:
            weights = [("candidate", facts.candidate, 1.0)]
    elif candidate_runs and facts.candidate is not None and state is not None and state.outcome != "rollback":
        weights = [("stable", facts.stable, round(1 - state.weight, 9)), ("candidate", facts.candidate, state.weight)]
    else:
        weights = [("stable", facts.stable, 1.0)]
    arms = tuple(RouteArm(name=role, release=n, digest=facts.digests[n], weight=w) for role, n, w in weights)
    if not arms:
        return None
    return Route(
        arms=arms,
        salt=salt(facts),
        # Steps are logged from 1, so that the traffic of a rollout is never mixed with what ran before it.
        step=state.step + 1 if state is not None and len(arms) == 2 else 0,
        log=facts.serving.log,
        entity=facts.serving.entity,
        latency_objective_ms=facts.serving.latency_objective_ms,
    )


def _rollout(facts: ModelFacts, serving: bool, refused: Mapping[str, str]) -> list[Entry]:
    """Return the next entry of a rollout.

    ``serving`` says that the runtime answers with the present routes, ``refused`` why it could not load an artifact.
    """
    candidate, stable = facts.candidate, facts.stable
    if candidate is None or _refused(facts, "candidate") or candidate in facts.lost:
        return []
    model, name, where = facts.model, facts.environment, facts.where
    broken = refused.get(facts.digests[candidate])
    if broken is not None and (stable is None or facts.direct):
        hint = f"withdraw it: modelops rollback {model} --environment {name}"
        return [Blocked(model, name, "release-not-loaded", f"release {candidate}: {broken}", hint, where)]
    if stable is None or facts.direct:
        reason = "rollouts here are direct, and it answers"
        if stable is None:
            reason = "first release here, there is no stable one to compare it with"
        return [Conclude(model, name, candidate, stable, "promote", reason, where)] if serving else []
    state = _current(facts)
    if state is None:
        return [SetStep(model, name, candidate, stable, 0, facts.first_weight, "the rollout begins", (), where)]
    if state.outcome is not None:
        # Traffic leaves a failed candidate before anything else happens.
        if state.outcome == "rollback" and not serving:
            return []
        return [Conclude(model, name, candidate, stable, state.outcome, state.reason, where)]
    if broken is not None:
        return [_failed(facts, candidate, f"the runtime cannot load it: {broken}", ())]
    if not serving or facts.next_step is None or facts.progress is None:
        return []
    step = facts.next_step(facts.progress)
    match step.action:
        case "hold":
            return [Wait(model, name, step.reason, step.checks)]
        case "advance":
            return [SetStep(model, name, candidate, stable, step.step, step.weight, step.reason, step.checks, where)]
        case "rollback":
            return [_failed(facts, candidate, step.reason, step.checks)]
        case "promote":
            return [Judge(model, name, candidate, "promote", step.reason, step.checks, where)]


def _failed(facts: ModelFacts, candidate: int, reason: str, checks: tuple[Check, ...]) -> Entry:
    model, name, where = facts.model, facts.environment, facts.where
    if facts.on_failure == "hold":
        hint = f"withdraw it: modelops rollback {model} --environment {name}"
        return Blocked(model, name, "rollout-held", f"release {candidate} failed: {reason}", hint, where)
    return Judge(model, name, candidate, "rollback", reason, checks, where)


def _entries(facts: ModelFacts, serving: bool, refused: Mapping[str, str]) -> list[Entry]:
    if facts.held_by is not None:
        return [Wait(facts.model, facts.environment, f"another reconciler works on it: {facts.held_by}")]
    entries: list[Entry] = [
        Blocked(facts.model, facts.environment, refusal.code, refusal.reason, refusal.hint, facts.where)
        for refusal in facts.refusals
    ]
    blocked = {refusal.role for refusal in facts.refusals}
    entries += [
        RecordPromotion(facts.model, facts.environment, missing.release, missing.role, missing.commit, facts.where)
        for missing in facts.unrecorded
        if missing.role not in blocked
    ]
    wanted = {
        number for role, number in (("stable", facts.stable), ("candidate", facts.candidate)) if role not in blocked
    }
    entries += [
        Restore(facts.model, facts.environment, lost, facts.digests[lost], facts.where)
        for lost in facts.lost
        if lost in wanted
    ]
    broken = refused.get(facts.digests[facts.stable]) if facts.stable is not None else None
    if broken is not None and facts.stable not in facts.lost and "stable" not in blocked:
        hint = f"go back: modelops rollback {facts.model} --environment {facts.environment}"
        reason = f"release {facts.stable}: {broken}"
        entries.append(Blocked(facts.model, facts.environment, "release-not-loaded", reason, hint, facts.where))
    return entries + _rollout(facts, serving, refused)


def plan_environment(
    environment: str,
    models: tuple[ModelFacts, ...],
    observed: Observed,
    digest: Callable[[RoutingTable], str],
    stuck: Collection[str] = (),
) -> Plan:
    """Return what makes an environment match git.

    Records and restorations come first, then the one change of the runtime, then the next move of each rollout. A
    rollout moves only while the runtime answers with the routes that git and the rollout's step call for. What failed
    for the ``stuck`` models holds up no other model, nor the runtime.
    """
    routes = {facts.model: found for facts in models if (found := route(facts)) is not None}
    table = RoutingTable(environment=environment, models=routes)
    wanted = digest(table)
    # A model that another reconciler holds must not be moved by us, so the shared table waits for it as well.
    free = all(facts.held_by is None for facts in models)
    serving = observed.running and observed.table == wanted
    refused = {arm.digest: arm.error or "it is not ready" for arm in observed.arms if not arm.ready}
    entries = [entry for facts in models for entry in _entries(facts, serving, refused)]
    preparing = any(isinstance(entry, RecordPromotion | Restore) and entry.model not in stuck for entry in entries)
    if (routes or observed.running) and not serving and free and not preparing:
        entries.append(Serve(environment, table, wanted, _why(table, observed)))
    order = {RecordPromotion: 0, Restore: 1, Serve: 2, Judge: 3, SetStep: 4, Conclude: 5, Wait: 6, Blocked: 7}
    return Plan(environment, tuple(sorted(entries, key=lambda entry: order[type(entry)])))


def _why(table: RoutingTable, observed: Observed) -> str:
    if not observed.running:
        return f"not running ({observed.message})" if observed.message else "not running"
    shares = [
        f"{model} " + ", ".join(f"release {arm.release} {arm.weight:.0%}" for arm in found.arms)
        for model, found in sorted(table.models.items())
    ]
    return "; ".join(shares) or "no model may run here"


def checks_as_data(checks: tuple[Check, ...]) -> tuple[Mapping[str, object], ...]:
    """Return a decision's comparisons as plain data for the rollout's evidence."""
    return tuple(
        {
            "name": check.name,
            "verdict": check.verdict,
            "reason": check.reason,
            "statistic": check.statistic,
            "threshold": check.threshold,
            "alpha": check.alpha,
            "counts": dict(check.counts or {}),
        }
        for check in checks
    )
