"""Applying: one function per action, each idempotent; the world changes nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from modelops.changes.restoring import propose_restoration
from modelops.clock import format_instant
from modelops.errors import Exit, failure
from modelops.governance.endings import Conclude, close_asked, conclude, reverted
from modelops.governance.promotions import record_promotion
from modelops.project.target import Target, site_of, target_of
from modelops.project.workspace import Workspace, model_entry
from modelops.reconcile.actions import (
    Action,
    Build,
    Hold,
    Judge,
    RecordPromotion,
    Release,
    Restore,
    RestoreInputs,
    Serve,
    SetStep,
    SmokeTest,
    Texts,
    shares,
)
from modelops.reconcile.facts import ModelFacts
from modelops.reconcile.lease import table_lock
from modelops.reconcile.plan import undenied
from modelops.rollouts.memory import read_rollout, write_rollout
from modelops.rollouts.state import RolloutState, StepState, decision
from modelops.spec.graph import Graph
from modelops.spec.routing import RoutingTable
from modelops.stores import release_tag


def apply(
    workspace: Workspace, graph: Graph, tip: str, action: Action, facts: tuple[ModelFacts, ...], texts: Texts
) -> str:
    """Carry out one action and return one sentence about what was done."""
    match action:
        case Build():
            from modelops.changes import building

            made = building.run_build(workspace, graph, action.model, tip)
            return f"built {action.model}: artifact {made.record.artifact.digest[:19]}{building.told(made.refused)}"
        case Release():
            from modelops.changes.releasing import release

            return release(workspace, action.model)
        case RecordPromotion():
            commit = record_promotion(
                *(workspace, action.seat, action.release, action.role, action.commit),
                more=lambda tip: reverted(workspace, tip, action.seat),
            )
            return f"recorded {action.seat.model} release {action.release} in {action.seat.environment}" + (
                f" as {commit[:10]}" if commit else ": it was recorded already"
            )
        case Restore():
            return restore(workspace, graph, action)
        case Serve():
            target = target_of(workspace, graph, action.environment)
            site = workspace.site(action.environment)
            with table_lock(site):
                target.apply(_with_those_of_others(target, action, facts))
                _begin_steps(workspace, action, facts)
            return f"{action.environment} answers on {target.endpoint()}: {action.reason}"
        case SmokeTest():
            return _smoke_test(workspace, graph, action)
        case SetStep():
            return _set_step(workspace, action, _facts_of(action.seat.model, facts))
        case Judge():
            return _judge(workspace, action, _facts_of(action.seat.model, facts))
        case Hold():
            return _hold(workspace, action, _facts_of(action.seat.model, facts))
        case RestoreInputs():
            pull = propose_restoration(workspace, action.seat, action.release, texts.restoration)
            what = f"pull request {pull.number}: {pull.title}" if pull is not None else "nothing is left to take back"
            return f"{action.seat.model}: {what}"
        case Conclude():
            target_of(workspace, graph, action.seat.environment).must_be_durable()
            return conclude(workspace, action, texts.ending)
        case _:
            assert_never(action)


def _begin_steps(workspace: Workspace, action: Serve, facts: tuple[ModelFacts, ...]) -> None:
    """Let the steps of rollouts begin whose routes are answered by just now, however long that took."""
    site = site_of(workspace, action.environment)
    for each in facts:
        model = each.seat.model
        route = action.table.models.get(model)
        if each.observed.rollout is None or route is None or model in action.held:
            continue
        state = read_rollout(site, model)
        if state is None or state.salt != route.salt or state.step != route.step or state.steps[-1].answered:
            continue
        running = replace(state.steps[-1], started=format_instant(workspace.clock()), answered=True)
        write_rollout(site, model, replace(state, steps=(*state.steps[:-1], running)))


def _with_those_of_others(target: Target, action: Serve, facts: tuple[ModelFacts, ...]) -> RoutingTable:
    """Return the routing table with what runs now of the models that another reconciler moves, denied arms left out."""
    running = target.observe().routes if action.held else None
    now = {model: running.models.get(model) if running is not None else None for model in action.held}
    theirs = {model: left for model in action.held if (left := undenied(_facts_of(model, facts), now[model]))}
    ours = {model: one for model, one in action.table.models.items() if model not in action.held}
    return action.table.model_copy(update={"models": dict(sorted((ours | theirs).items()))})


def _facts_of(model: str, facts: tuple[ModelFacts, ...]) -> ModelFacts:
    return next(found for found in facts if found.seat.model == model)


def restore(workspace: Workspace, graph: Graph, action: Restore) -> str:
    """Rebuild a lost artifact from git; anything but the released digest is refused."""
    from modelops.changes import building

    release = model_entry(graph, action.seat.model).releases[action.release].spec
    commit = release.code.commit
    # What the store says about the build counts for nothing here: the digest that it gives must be the released one.
    record = building.run_build(workspace, workspace.graph(commit), action.seat.model, commit, graph).record
    if record.artifact.digest != release.artifact.digest:
        raise failure(
            "not-reproducible",
            f"{action.seat.model} release {action.release} is not in the store, and rebuilding it here gives "
            f"{record.artifact.digest[:19]} instead of {release.artifact.digest[:19]}",
            exit=Exit.WORLD,
            hint="copy the store from a machine that has it, or rebuild on the platform it was made on",
        )
    workspace.store.tag(release_tag(action.seat.model, action.release), release.artifact.digest)
    return f"restored {action.seat.model} release {action.release} by rebuilding it from {commit[:10]}"


def _set_step(workspace: Workspace, action: SetStep, facts: ModelFacts) -> str:
    site = site_of(workspace, action.seat.environment)
    now = workspace.clock()
    before = read_rollout(site, action.seat.model) if action.step > 1 else None
    word = "advance" if action.step > 1 else "begin"
    made = decision(word, before, action.reason, action.checks, facts.desired.strategy, now)
    state = RolloutState(
        arms=dict(action.arms),
        salt=facts.desired.salt,
        steps=(
            *(before.steps[: action.step - 1] if before is not None else ()),
            StepState(action.traffic, format_instant(now)),
        ),
        decisions=(*(before.decisions if before is not None else ()), made),
    )
    write_rollout(site, action.seat.model, state)
    if before is not None and before.outcome is not None:
        # What a person was asked has changed: an arm failed meanwhile.
        close_asked(workspace, action.seat)
    return f"{action.seat}: {shares(action.traffic, action.arms)}"


def _smoke_test(workspace: Workspace, graph: Graph, action: SmokeTest) -> str:
    from modelops.reconcile.smoke import smoke

    site = site_of(workspace, action.seat.environment)
    state = read_rollout(site, action.seat.model)
    if state is None:
        return f"{action.seat.model}: the rollout is no longer known"
    found = smoke(workspace, graph, action.seat, action.arms, action.requests)
    running = replace(state.steps[-1], smoke=found)
    write_rollout(site, action.seat.model, replace(state, steps=(*state.steps[:-1], running)))
    said = found.reason or f"{found.errors} of {found.requests} smoke requests failed, {found.stable_errors} of stable"
    return f"{action.seat}: {said}"


def _hold(workspace: Workspace, action: Hold, facts: ModelFacts) -> str:
    site = site_of(workspace, action.seat.environment)
    state = read_rollout(site, action.seat.model) or facts.observed.rollout
    if state is None:
        return f"{action.seat.model}: the rollout is no longer known"
    if state.held is None:
        made = decision("hold", state, action.reason, action.checks, facts.desired.strategy, workspace.clock())
        write_rollout(site, action.seat.model, replace(state, decisions=(*state.decisions, made)))
    return f"{action.seat}: held for a person, {action.reason}"


def _judge(workspace: Workspace, action: Judge, facts: ModelFacts) -> str:
    site = site_of(workspace, action.seat.environment)
    state = read_rollout(site, action.seat.model) or facts.observed.rollout
    if state is None:
        return f"{action.seat.model}: the rollout is no longer known"
    made = decision(action.outcome, state, action.reason, action.checks, facts.desired.strategy, workspace.clock())
    decided = replace(
        state,
        outcome=action.outcome,
        winner=action.winner,
        failed=action.failed,
        decisions=(*state.decisions, made),
    )
    write_rollout(site, action.seat.model, decided)
    return f"{action.seat}: {action.outcome} {action.winner}, {action.reason}"
