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
    SmokeTest,
    Wait,
    describe,
    runnable,
    to_dict,
)
from modelops.reconcile.rollout import RolloutState, arms_in_order, salt_of
from modelops.spec.access import ApiKey
from modelops.spec.meta import Plugin
from modelops.spec.model import Serving
from modelops.spec.routing import Route, RouteArm, RoutingTable
from modelops.strategies import Progress, Step, Traffic
from modelops.targets import Observed


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


@dataclass(frozen=True, slots=True)
class Asked:
    """The pull request that asks a person to let a rollout end well.

    ``stale`` says that what it changes has changed on the branch since, so that it must be written again. The state is
    unknown while the forge does not answer.
    """

    number: int
    state: Literal["open", "merged", "closed", "unknown"]
    stale: bool = False


@dataclass(frozen=True)
class ModelFacts:
    """Everything about one model in one environment that decides what happens next.

    ``times`` is how often git has named the arms anew.
    """

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
    begin: Traffic | None = None
    next_step: Callable[[Progress], Step] | None = None
    progress: Progress | None = None
    strategy: Plugin | None = None
    on_failure: Literal["rollback", "hold", "alert"] = "rollback"
    on_success: Literal["commit", "pull-request"] = "commit"
    asked: Asked | None = None
    challengers: tuple[int, ...] = ()
    paused: bool = False
    held_by: str | None = None
    running: Route | None = None
    direct: bool = False
    times: int = 0

    @property
    def arms(self) -> dict[Role, int]:
        """Every release that git names here, by the arm that it is, in their order."""
        return arms_in_order(self.stable, self.candidate, self.challengers)


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
    """Return the salt of the rollout that git calls for."""
    return salt_of(facts.model, facts.environment, facts.times, facts.arms, facts.strategy)


def _may_run(facts: ModelFacts, role: Role) -> bool:
    """Tell whether an arm is named, recorded, not refused, and in the store."""
    return (
        role in facts.arms
        and facts.arms[role] not in facts.lost
        and all(refusal.role != role for refusal in facts.refusals)
        and all(missing.role != role for missing in facts.unrecorded)
    )


def _trial_runs(facts: ModelFacts) -> bool:
    """Tell whether a rollout can run: a candidate, and nothing the matter with any arm on trial."""
    return facts.candidate is not None and all(_may_run(facts, role) for role in facts.arms if role != "stable")


def current(facts: ModelFacts) -> RolloutState | None:
    """Return the remembered rollout if it is about what git says now."""
    state = facts.rollout
    return state if state is not None and state.salt == salt(facts) and state.arms == facts.arms else None


def route(facts: ModelFacts) -> Route | None:
    """Return how a model is to be answered now, or None when nothing of it may run.

    While its stable release is refused, unrecorded or lost, the model goes on as it runs: nothing is taken down and
    nothing unproven is put up. Only what was denied meanwhile loses its traffic.
    """
    if facts.stable is not None and not _may_run(facts, "stable"):
        return _undenied(facts)
    runs = _trial_runs(facts)
    state = current(facts) if runs and not facts.direct and facts.stable is not None else None
    traffic = Traffic({"stable": 1.0})
    if facts.stable is None or (facts.direct and runs):
        if not runs:
            return None
        traffic = Traffic({"candidate": 1.0})
    elif state is not None and state.outcome not in ("rollback", "keep"):
        traffic = state.traffic
    else:
        state = None
    arms = tuple(
        RouteArm(
            name=role,
            release=release,
            digest=facts.digests[release],
            weight=traffic.weights.get(role, 0.0),
            shadow=traffic.shadows.get(role, 0.0),
        )
        for role, release in facts.arms.items()
        if role in traffic.weights or role in traffic.shadows
    )
    return Route(
        arms=arms,
        salt=salt(facts),
        # Steps are logged from 1, so that the traffic of a rollout is never mixed with what ran before it.
        step=state.step + 1 if state is not None else 0,
        log=facts.serving.log,
        log_full=facts.serving.log_full,
        entity=facts.serving.entity,
        latency_objective_ms=facts.serving.latency_objective_ms,
    )


def _undenied(facts: ModelFacts) -> Route | None:
    """Return what runs, without the arms on trial that are denied by now; their traffic goes to the stable one."""
    running = facts.running
    if running is None:
        return None
    kept = [arm for arm in running.arms if arm.name == "stable" or arm.release not in facts.denied]
    if len(kept) == len(running.arms) or all(arm.name != "stable" for arm in kept):
        return running
    taken = sum(arm.weight for arm in kept if arm.name != "stable")
    arms = [arm.model_copy(update={"weight": 1 - taken}) if arm.name == "stable" else arm for arm in kept]
    return running.model_copy(update={"arms": tuple(arms)})


def _rollout(facts: ModelFacts, serving: bool, refused: Mapping[str, str]) -> list[Entry]:
    """Return the next entry of a rollout.

    ``serving`` says that the runtime answers with the present routes, ``refused`` why it could not load an artifact.
    """
    candidate, stable = facts.candidate, facts.stable
    if candidate is None or not _trial_runs(facts):
        return []
    model, name, where = facts.model, facts.environment, facts.where
    on_trial = {role: release for role, release in facts.arms.items() if role != "stable"}
    broken = {role: refused[d] for role, release in on_trial.items() if (d := facts.digests[release]) in refused}
    if broken and (stable is None or facts.direct):
        hint = _abort_hint(facts)
        return [Blocked(model, name, "release-not-loaded", _unloaded(facts, broken), hint, where)]
    if stable is None or facts.direct:
        reason = "rollouts here are direct, and it answers"
        if stable is None:
            reason = "first release here, there is no stable one to compare it with"
        if facts.paused:
            return [Wait(model, name, f"the rollout is paused; it would promote: {reason}")]
        return [Conclude(model, name, facts.arms, candidate, "promote", reason, where)] if serving else []
    state = current(facts)
    if state is None:
        if facts.begin is None or facts.paused:
            return [Wait(model, name, "the rollout is paused")] if facts.paused else []
        return [SetStep(model, name, facts.arms, 0, facts.begin, "the rollout begins", (), where)]
    if state.outcome is not None:
        # Traffic leaves a failed candidate before anything else happens.
        if state.outcome != "promote" and not serving:
            return []
        return [_ending(facts, state, serving)]
    if broken:
        step = Step("rollback", state.step, state.traffic, _unloaded(facts, broken), failed=tuple(broken))
        return [_failed(facts, step)]
    if not serving or facts.next_step is None or facts.progress is None:
        return []
    return [_moved(facts, facts.next_step(facts.progress))]


def _abort_hint(facts: ModelFacts) -> str:
    return f"withdraw it: modelops rollout abort {facts.model} {facts.environment} --reason WHY"


def _ending(facts: ModelFacts, state: RolloutState, serving: bool) -> Entry:
    """Return how a decided rollout ends; what waits for a person is watched for harm as before."""
    model, name, where = facts.model, facts.environment, facts.where
    assert state.outcome is not None
    release = facts.arms[state.winner] if state.outcome == "promote" else facts.arms["candidate"]
    asks = state.outcome == "promote" and facts.on_success == "pull-request"
    end = Conclude(model, name, facts.arms, release, state.outcome, state.reason, where, state.failed, asks)
    if state.outcome == "rollback" or not (asks or facts.paused):
        return end
    if serving and facts.next_step is not None and facts.progress is not None:
        step = facts.next_step(facts.progress)
        if step.action == "rollback" or _evicts(step):
            return _moved(facts, step)
    if facts.paused:
        return Wait(model, name, f"the rollout is paused; it would {state.outcome}: {state.reason}")
    asked = facts.asked
    if asked is None or (asked.state == "open" and asked.stale):
        return end
    if asked.state == "closed":
        reason = f"pull request {asked.number}, which would make release {release} stable, was closed"
        hint = f"{_abort_hint(facts)}, or ask again: modelops rollout promote {model} {name} --reason WHY"
        return Blocked(model, name, "promotion-declined", reason, hint, where)
    if asked.state == "unknown":
        return Wait(model, name, f"the forge does not say how the pull request for release {release} stands")
    return Wait(model, name, f"pull request {asked.number} asks a person to make release {release} stable")


def _unloaded(facts: ModelFacts, broken: Mapping[str, str]) -> str:
    return "; ".join(
        f"the runtime cannot load release {facts.arms[role]}: {reason}" for role, reason in sorted(broken.items())
    )


def _evicts(step: Step) -> bool:
    """Tell whether a step takes the traffic of a failed arm away and goes on with the others."""
    return step.action == "advance" and bool(step.failed)


def _moved(facts: ModelFacts, step: Step) -> Entry:
    """Return the entry that a strategy's step asks for; a paused rollout only ever goes back, or drops a failed arm."""
    model, name, where = facts.model, facts.environment, facts.where
    if step.action == "rollback" or (_evicts(step) and facts.on_failure != "rollback"):
        return _failed(facts, step)
    if step.action == "hold":
        return Wait(model, name, step.reason, step.checks)
    if facts.paused and not _evicts(step):
        return Wait(model, name, f"the rollout is paused; it would {step.action}: {step.reason}", step.checks)
    match step.action:
        case "advance":
            return SetStep(model, name, facts.arms, step.step, step.traffic, step.reason, step.checks, where)
        case "smoke":
            return SmokeTest(model, name, facts.arms, step.requests, step.reason, where)
        case "promote" | "keep":
            return Judge(model, name, step.action, step.reason, step.checks, where, step.winner, step.failed)


def _failed(facts: ModelFacts, step: Step) -> Entry:
    model, name, where = facts.model, facts.environment, facts.where
    if facts.on_failure != "rollback":
        failed = ", ".join(f"release {facts.arms[arm]}" for arm in step.failed) or f"release {facts.candidate}"
        return Blocked(model, name, "rollout-held", f"{failed} failed: {step.reason}", _abort_hint(facts), where)
    return Judge(model, name, "rollback", step.reason, step.checks, where, "stable", step.failed)


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
    wanted = {number for role, number in facts.arms.items() if role not in blocked}
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
    keys: tuple[ApiKey, ...] | None = None,
) -> Plan:
    """Return what makes an environment match git.

    Records and restorations come first, then the one change of the runtime, then the next move of each rollout. A
    rollout moves only while the runtime answers with the routes that git and the rollout's step call for. What failed
    for the ``stuck`` models holds up no other model, nor the runtime.
    """
    routes = {facts.model: found for facts in models if (found := route(facts)) is not None}
    table = RoutingTable(environment=environment, models=routes, keys=keys)
    wanted = digest(table)
    # A model that another reconciler holds must not be moved by us, so the shared table waits for it as well.
    free = all(facts.held_by is None for facts in models)
    serving = observed.running and observed.table == wanted
    refused = {arm.digest: arm.error or "it is not ready" for arm in observed.arms if not arm.ready}
    entries = [entry for facts in models for entry in _entries(facts, serving, refused)]
    preparing = any(isinstance(entry, RecordPromotion | Restore) and entry.model not in stuck for entry in entries)
    if (routes or observed.running) and not serving and free and not preparing:
        entries.append(Serve(environment, table, wanted, _why(table, observed)))
    order = (RecordPromotion, Restore, Serve, Judge, SmokeTest, SetStep, Conclude, Wait, Blocked)
    return Plan(environment, tuple(sorted(entries, key=lambda entry: order.index(type(entry)))))


def _why(table: RoutingTable, observed: Observed) -> str:
    if not observed.running:
        return f"not running ({observed.message})" if observed.message else "not running"
    shares = [
        f"{model} " + ", ".join(f"release {arm.release} {arm.weight:.0%}" for arm in found.arms)
        for model, found in sorted(table.models.items())
    ]
    return "; ".join(shares) or "no model may run here"
