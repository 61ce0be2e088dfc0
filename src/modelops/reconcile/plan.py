"""From facts to an ordered plan: pure, deterministic, and empty when the world matches git."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from modelops.digests import digest_bytes
from modelops.errors import Exit
from modelops.governance.endings import Conclude
from modelops.reconcile.actions import (
    Action,
    Blocked,
    Entry,
    Hold,
    Judge,
    RecordPromotion,
    Rendered,
    Restore,
    RestoreInputs,
    Retire,
    Serve,
    SetStep,
    SmokeTest,
    Stop,
    Wait,
    runnable,
    stalled,
    to_dict,
)
from modelops.reconcile.facts import ModelFacts
from modelops.rollouts.state import Role, RolloutState
from modelops.spec.kinds.access_policy import ApiKey
from modelops.spec.routing import Route, RouteArm, RoutingTable, route_of, table_digest
from modelops.strategies import Step, Traffic
from modelops.targets import Running


@dataclass(frozen=True)
class Plan:
    """Ordered entries for one environment; ``rendered_by`` is the target of one that nobody runs here."""

    environment: str
    entries: tuple[Entry, ...]
    rendered_by: str | None = None

    @property
    def actions(self) -> tuple[Action, ...]:
        """The entries that would change something."""
        return tuple(entry for entry in self.entries if runnable(entry))

    @property
    def changes(self) -> tuple[Entry, ...]:
        """The entries after which something is not as before, also what merely ends once a change is merged."""
        return tuple(entry for entry in self.entries if runnable(entry) or isinstance(entry, Stop | Retire))

    @property
    def refused(self) -> bool:
        """Whether something that git asks for is refused."""
        return any(isinstance(entry, Blocked) for entry in self.entries)

    @property
    def exit(self) -> Exit:
        """What a pass that leaves these entries ends with."""
        return max((entry.exit for entry in self.entries if isinstance(entry, Blocked)), default=Exit.OK)

    def to_dict(self) -> dict[str, object]:
        """Return the plan as plain data."""
        return {"environment": self.environment, "entries": [to_dict(entry) for entry in self.entries]}

    @property
    def digest(self) -> str:
        """The plan's content address: equal plans have equal digests."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return digest_bytes(text.encode())


def _may_run(facts: ModelFacts, role: Role) -> bool:
    """Tell whether an arm is named, recorded, not refused, and in the store."""
    git, world = facts.desired, facts.observed
    return (
        role in git.arms
        and git.arms[role] not in world.lost
        and all(refusal.role != role for refusal in facts.refusals)
        and all(missing.role != role or (world.unpushed and missing.approved) for missing in git.unrecorded)
    )


def _trial_runs(facts: ModelFacts) -> bool:
    """Tell whether a rollout can run: a candidate, and nothing the matter with any arm on trial."""
    on_trial = [role for role in facts.desired.arms if role != "stable"]
    return facts.desired.candidate is not None and all(_may_run(facts, role) for role in on_trial)


def current(facts: ModelFacts) -> RolloutState | None:
    """Return the remembered rollout if it is about what git says now."""
    return facts.observed.rollout if facts.observed.about(facts.desired) else None


def route(facts: ModelFacts) -> Route | None:
    """Return how a model is to be answered now, or None when nothing of it may run.

    While its stable release is refused, unrecorded or lost, the model goes on as it runs: nothing is taken down and
    nothing unproven is put up. Only what was denied meanwhile loses its traffic. So it is while the model is frozen,
    and while another reconciler holds it: whoever that is, and however long it takes, a way back waits for nobody.
    """
    if facts.frozen or facts.observed.held_by is not None:
        return undenied(facts, facts.observed.running)
    if facts.desired.stable is not None and not _may_run(facts, "stable"):
        return undenied(facts, facts.observed.running)
    runs = _trial_runs(facts)
    state = current(facts) if runs and not facts.desired.direct and facts.desired.stable is not None else None
    traffic = Traffic({"stable": 1.0})
    if facts.desired.stable is None or (facts.desired.direct and runs):
        if not runs:
            return None
        traffic = Traffic({"candidate": 1.0})
    elif state is not None and state.outcome not in ("rollback", "keep"):
        traffic = state.traffic
    else:
        state = None
    return _routed(facts, traffic, state.step if state is not None else 0)


def planned(facts: ModelFacts) -> Route | None:
    """Return how a model is to be answered where others move its trial: every arm is there, as its first step has it.

    Where no trial may begin that is what ``route`` says.
    """
    desired = facts.desired
    begins = desired.begin is not None and desired.stable is not None and not desired.direct
    if facts.frozen or not begins or not _may_run(facts, "stable") or not _trial_runs(facts):
        return route(facts)
    assert desired.begin is not None
    return _routed(facts, desired.begin, 1)


def _routed(facts: ModelFacts, traffic: Traffic, step: int) -> Route:
    arms = tuple(
        RouteArm(
            name=role,
            release=release,
            digest=facts.desired.digests[release],
            weight=traffic.weights.get(role, 0.0),
            shadow=traffic.shadows.get(role, 0.0),
        )
        for role, release in facts.desired.arms.items()
        if role in traffic.weights or role in traffic.shadows
    )
    wanted = facts.desired
    return route_of(wanted.serving, arms, wanted.salt, step, wanted.review)


def undenied(facts: ModelFacts, running: Route | None) -> Route | None:
    """Return what runs, without the arms that are denied by now.

    The traffic of those on trial goes to the stable one; where that is denied itself, to the release that git names
    stable, if it may run here.
    """
    if running is None:
        return None
    kept = [arm for arm in running.arms if arm.release not in facts.desired.denied]
    if len(kept) == len(running.arms):
        return running
    if all(arm.name != "stable" for arm in kept):
        return _given_way(facts, running)
    taken = sum(arm.weight for arm in kept if arm.name != "stable")
    arms = [arm.model_copy(update={"weight": 1 - taken}) if arm.name == "stable" else arm for arm in kept]
    return running.model_copy(update={"arms": tuple(arms)})


def _given_way(facts: ModelFacts, running: Route) -> Route:
    """Return how a model goes on whose running stable release is denied; what cannot be replaced goes on, and is told.

    An arm beside it was on trial against what is gone, and goes with it.
    """
    stable = facts.desired.stable
    if stable is None or stable in facts.desired.denied or not _may_run(facts, "stable"):
        return running
    arm = RouteArm(name="stable", release=stable, digest=facts.desired.digests[stable], weight=1.0)
    return running.model_copy(update={"arms": (arm,), "salt": facts.desired.salt, "step": 0})


def _denied_still(facts: ModelFacts) -> list[Entry]:
    """Return what is to be said of a denied release that goes on, as nothing may take its place."""
    found = route(facts) if facts.desired.denied else None
    still = [arm.release for arm in found.arms if arm.release in facts.desired.denied] if found is not None else []
    if not still:
        return []
    stable = facts.desired.stable
    instead = f"release {stable}, which is to take its place, may not run here" if stable else "none takes its place"
    reason = f"release {' and '.join(map(str, still))} is denied and goes on all the same: {instead}"
    model, name = facts.seat.model, facts.seat.environment
    hint = (
        f"name one that may: modelops rollback {model} --environment {name} --to RELEASE --reason WHY; "
        f"or end it for now: modelops reconcile {name} --stop"
    )
    return [Blocked(facts.seat, "denied-still-runs", reason, hint, facts.where)]


def _rollout(facts: ModelFacts, serving: bool, refused: Mapping[str, str]) -> list[Entry]:
    """Return the next entry of a rollout; its end is told to git, where the record of its beginning comes first."""
    moves = _next_move(facts, serving, refused)
    return [move for move in moves if not (isinstance(move, Conclude) and facts.desired.unrecorded)]


def _next_move(facts: ModelFacts, serving: bool, refused: Mapping[str, str]) -> list[Entry]:
    """Return the next entry of a rollout, whatever is recorded of it.

    ``serving`` says that the runtime answers with the present routes, ``refused`` why it could not load an artifact.
    """
    candidate, stable = facts.desired.candidate, facts.desired.stable
    if candidate is None or not _trial_runs(facts):
        return []
    seat, where = facts.seat, facts.where
    on_trial = {role: release for role, release in facts.desired.arms.items() if role != "stable"}
    broken = {
        role: refused[d] for role, release in on_trial.items() if (d := facts.desired.digests[release]) in refused
    }
    if broken and (stable is None or facts.desired.direct):
        hint = _abort_hint(facts)
        return [Blocked(seat, "release-not-loaded", _unloaded(facts, broken), hint, where)]
    if stable is None or facts.desired.direct:
        reason = "rollouts here are direct, and it answers"
        if stable is None:
            reason = "first release here, there is no stable one to compare it with"
        if facts.desired.paused:
            return [Wait(seat, f"the rollout is paused; it would promote: {reason}")]
        return [Conclude(seat, facts.desired.arms, candidate, "promote", reason, where)] if serving else []
    state = current(facts)
    if state is None:
        if facts.desired.begin is None or facts.desired.paused:
            return [Wait(seat, "the rollout is paused")] if facts.desired.paused else []
        return [SetStep(seat, facts.desired.arms, 1, facts.desired.begin, "the rollout begins", (), where)]
    held = _held(facts, state)
    if held is not None:
        return [held]
    if state.outcome is not None:
        # Traffic leaves a failed candidate before anything else happens.
        if state.outcome != "promote" and not serving:
            return []
        return [_ending(facts, state, serving)]
    if broken:
        step = Step("rollback", state.step, state.traffic, _unloaded(facts, broken), failed=tuple(broken))
        # What does not load may load yet: where a person is to act, nothing is written down that stays.
        if facts.desired.on_failure != "rollback":
            return [_left_to_a_person(facts, f"{_those(facts, step)} failed: {step.reason}")]
        return [_failed(facts, step)]
    if not serving or facts.observed.step is None:
        return []
    return [_moved(facts, facts.observed.step)]


def _abort_hint(facts: ModelFacts) -> str:
    return f"withdraw it: modelops rollout abort {facts.seat.model} {facts.seat.environment} --reason WHY"


def _ending(facts: ModelFacts, state: RolloutState, serving: bool) -> Entry:
    """Return how a decided rollout ends; what waits for a person is watched for harm as before."""
    seat, where = facts.seat, facts.where
    assert state.outcome is not None
    release = facts.desired.arms[state.winner] if state.outcome == "promote" else facts.desired.arms["candidate"]
    asks = state.outcome == "promote" and facts.desired.on_success == "pull-request"
    end = Conclude(seat, facts.desired.arms, release, state.outcome, state.reason, where, state.failed, asks)
    if state.outcome == "rollback" or not (asks or facts.desired.paused):
        return end
    if serving and facts.observed.step is not None:
        step = facts.observed.step
        if step.action == "rollback" or _evicts(step):
            return _moved(facts, step)
    if facts.desired.paused:
        return Wait(seat, f"the rollout is paused; it would {state.outcome}: {state.reason}")
    asked = facts.observed.asked
    if asked is None or (asked.state == "open" and asked.stale):
        return end
    if asked.state == "closed":
        reason = f"pull request {asked.number}, which would make release {release} stable, was closed"
        hint = (
            f"{_abort_hint(facts)}, or ask again: modelops rollout promote {seat.model} {seat.environment} --reason WHY"
        )
        return Blocked(seat, "promotion-declined", reason, hint, where)
    if asked.state == "unknown":
        return Wait(seat, f"the forge does not say how the pull request for release {release} stands")
    return Wait(seat, f"pull request {asked.number} asks a person to make release {release} stable")


def _unloaded(facts: ModelFacts, broken: Mapping[str, str]) -> str:
    return "; ".join(
        f"the runtime cannot load release {facts.desired.arms[role]}: {reason}"
        for role, reason in sorted(broken.items())
    )


def _evicts(step: Step) -> bool:
    """Tell whether a step takes the traffic of a failed arm away and goes on with the others."""
    return step.action == "advance" and bool(step.failed)


def _moved(facts: ModelFacts, step: Step) -> Entry:
    """Return the entry that a strategy's step asks for; a paused rollout only ever goes back, or drops a failed arm."""
    seat, where = facts.seat, facts.where
    if step.action == "rollback" or (_evicts(step) and facts.desired.on_failure != "rollback"):
        return _failed(facts, step)
    if step.action == "hold":
        return Wait(seat, step.reason, step.checks)
    if facts.desired.paused and not _evicts(step):
        return Wait(seat, f"the rollout is paused; it would {step.action}: {step.reason}", step.checks)
    match step.action:
        case "advance":
            return SetStep(seat, facts.desired.arms, step.step, step.traffic, step.reason, step.checks, where)
        case "smoke":
            return SmokeTest(seat, facts.desired.arms, step.requests, step.reason, where)
        case "promote" | "keep":
            return Judge(seat, step.action, step.reason, step.checks, where, step.winner, step.failed)


def _held(facts: ModelFacts, state: RolloutState) -> Entry | None:
    """Return what follows from a guard that failed at any look before, whatever the present one says of it.

    Evidence that was there once stays: a look that sees less has only more noise. Only a person goes on from here.
    """
    made = state.held
    if made is None or state.outcome in ("rollback", "keep") or facts.desired.on_failure == "alert":
        return None
    if facts.desired.on_failure == "rollback":
        failed = tuple(arm for arm in state.arms if arm in {check["arm"] for check in made.failed}) or ("candidate",)
        return Judge(facts.seat, "rollback", made.reason, (), facts.where, "stable", failed)
    return _left_to_a_person(facts, f"{made.reason} (at {made.until})")


def _left_to_a_person(facts: ModelFacts, reason: str) -> Entry:
    model, environment = facts.seat.model, facts.seat.environment
    hint = f"{_abort_hint(facts)}, or go on all the same: modelops rollout promote {model} {environment} --reason WHY"
    return Blocked(facts.seat, "rollout-held", reason, hint, facts.where)


def _those(facts: ModelFacts, step: Step) -> str:
    failed = ", ".join(f"release {facts.desired.arms[arm]}" for arm in step.failed)
    return failed or f"release {facts.desired.candidate}"


def _failed(facts: ModelFacts, step: Step) -> Entry:
    seat, where = facts.seat, facts.where
    if facts.desired.on_failure != "rollback":
        return Hold(seat, f"{_those(facts, step)} failed: {step.reason}", step.checks, where)
    return Judge(seat, "rollback", step.reason, step.checks, where, "stable", step.failed)


def _entries(facts: ModelFacts, serving: bool, refused: Mapping[str, str]) -> list[Entry]:
    still = _denied_still(facts)
    if facts.observed.held_by is not None:
        return [
            Wait(facts.seat, f"another reconciler works on it: {facts.observed.held_by}"),
            *still,
        ]
    if facts.observed.kept:
        return [Wait(facts.seat, facts.observed.kept), *_ways_back(facts, serving, refused), *still]
    if facts.troubles:
        return [*_troubles(facts), *_ways_back(facts, serving, refused), *still]
    entries: list[Entry] = still + [
        Blocked(facts.seat, refusal.code, refusal.reason, refusal.hint, facts.where) for refusal in facts.refusals
    ]
    blocked = {refusal.role for refusal in facts.refusals}
    entries += [
        RecordPromotion(facts.seat, missing.release, missing.role, missing.commit, facts.where)
        for missing in facts.desired.unrecorded
        if missing.role not in blocked
    ]
    wanted = {number for role, number in facts.desired.arms.items() if role not in blocked}
    entries += [
        Restore(facts.seat, lost, facts.desired.digests[lost], facts.where)
        for lost in facts.observed.lost
        if lost in wanted
    ]
    broken = refused.get(facts.desired.digests[facts.desired.stable]) if facts.desired.stable is not None else None
    if broken is not None and facts.desired.stable not in facts.observed.lost and "stable" not in blocked:
        hint = f"go back: modelops rollback {facts.seat.model} --environment {facts.seat.environment} --reason WHY"
        reason = f"release {facts.desired.stable}: {broken}"
        entries.append(Blocked(facts.seat, "release-not-loaded", reason, hint, facts.where))
    entries += _rollout(facts, serving, refused)
    left = facts.observed.aftermath
    if left is not None and left.due:
        entries.append(RestoreInputs(facts.seat, left.release, left.stable, facts.where))
    return entries


def _troubles(facts: ModelFacts) -> list[Entry]:
    """Return one entry for each thing that is wrong with what a model needs."""
    return [stalled(facts.seat, one, facts.where, facts.exit) for one in facts.troubles]


def _ways_back(facts: ModelFacts, serving: bool, refused: Mapping[str, str]) -> list[Entry]:
    """Return what a stalled model may still do: have what it runs on restored, and lose a candidate that does harm."""
    if facts.frozen:
        return []
    restore: list[Entry] = [
        Restore(facts.seat, lost, facts.desired.digests[lost], facts.where) for lost in facts.observed.lost
    ]
    moves = _rollout(facts, serving, refused)
    return restore + [one for one in moves if isinstance(one, Judge | Conclude) and one.outcome == "rollback"]


def plan_environment(
    environment: str,
    models: tuple[ModelFacts, ...],
    observed: Running,
    digest: Callable[[RoutingTable], str],
    stuck: Collection[str] = (),
    keys: tuple[ApiKey, ...] | None = None,
) -> Plan:
    """Return what makes an environment match git.

    Records and restorations come first, then the one change of the runtime, then the next move of each rollout. A
    rollout moves only while the runtime answers with the routes that git and the rollout's step call for. What failed
    for the ``stuck`` models holds up no other model, nor the runtime. Where arms only go, they go before all else.
    """
    routes = {facts.seat.model: found for facts in models if (found := route(facts)) is not None}
    table = RoutingTable(environment=environment, models=routes, keys=keys)
    wanted = digest(table)
    serving = observed.running and observed.table == wanted
    refused = {arm.digest: arm.error or "it is not ready" for arm in observed.arms if not arm.ready}
    entries = [entry for facts in models for entry in _entries(facts, serving, refused)]
    preparing = any(isinstance(entry, RecordPromotion | Restore) and entry.seat.model not in stuck for entry in entries)
    held = tuple(facts.seat.model for facts in models if facts.observed.held_by is not None)
    first: list[Entry] = []
    # What is only made whole again answers as it is to meanwhile, so that no rollout waits for it.
    if (routes or observed.running) and not (serving and not observed.changed) and not preparing:
        entries.append(Serve(environment, table, wanted, _why(table, observed), held))
    elif observed.running and preparing and any(_only_goes(facts) for facts in models):
        lessened = table.model_copy(update={"models": _lessened(models)})
        first.append(Serve(environment, lessened, digest(lessened), _why(lessened, observed), held))
    order = (RecordPromotion, Restore, Serve, Judge, Hold, SmokeTest, SetStep, Conclude, RestoreInputs, Wait, Blocked)
    return Plan(environment, (*first, *sorted(entries, key=lambda entry: order.index(type(entry)))))


def _only_goes(facts: ModelFacts) -> bool:
    """Tell whether a model's next routes only take away: a denied release, or arms beside the same stable one."""
    running, found = facts.observed.running, route(facts)
    if running is None or found is None:
        return False
    before, after = {arm.release for arm in running.arms}, {arm.release for arm in found.arms}
    gone = before - after
    stable = [{arm.release for arm in each.arms if arm.name == "stable"} for each in (running, found)]
    return bool(gone & {*facts.desired.denied}) or (after < before and stable[0] == stable[1])


def _lessened(models: tuple[ModelFacts, ...]) -> dict[str, Route]:
    """Return the routes that run, but for those of the models that arms are taken from."""
    routes = {facts.seat.model: route(facts) if _only_goes(facts) else facts.observed.running for facts in models}
    return {model: found for model, found in routes.items() if found is not None}


def rendered_facts(models: tuple[ModelFacts, ...]) -> tuple[ModelFacts, ...]:
    """Return the facts as they count where nobody reconciles: no record says what the merge says, judged just now."""
    return tuple(replace(facts, desired=replace(facts.desired, unrecorded=())) for facts in models)


def plan_rendered(environment: str, target: str, models: tuple[ModelFacts, ...]) -> Plan:
    """Return what the files of an environment say that another tool applies; nothing of it is done here."""
    refused = [
        Blocked(facts.seat, refusal.code, refusal.reason, refusal.hint, facts.where)
        for facts in models
        for refusal in facts.refusals
    ]
    shown = [
        Rendered(facts.seat, target, {arm.name: arm.release for arm in found.arms}, facts.where)
        for facts in models
        if (found := route(facts)) is not None
    ]
    return Plan(environment, (*shown, *refused), target)


def _why(table: RoutingTable, observed: Running) -> str:
    if not observed.running:
        return f"not running ({observed.message})" if observed.message else "not running"
    if observed.changed and observed.table == table_digest(table):
        return "; ".join(observed.changed)
    shares = [
        f"{model} " + ", ".join(f"release {arm.release} {arm.weight:.0%}" for arm in found.arms)
        for model, found in sorted(table.models.items())
    ]
    before = observed.routes.models if observed.routes is not None else {}
    gone = [f"{model} stops" for model in sorted(before) if model not in table.models]
    late = [observed.message] if observed.table is None and observed.message else []
    return "; ".join([*shares, *gone, *late]) or "no model may run here"
