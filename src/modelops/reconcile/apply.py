"""Applying: one function per action, each idempotent; the world changes nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from modelops.clock import format_instant
from modelops.errors import Exit, failure
from modelops.reconcile.actions import (
    Action,
    Build,
    Conclude,
    Judge,
    RecordPromotion,
    Release,
    Restore,
    Serve,
    SetStep,
    SmokeTest,
    shares,
)
from modelops.reconcile.concluding import close_asked, conclude
from modelops.reconcile.observe import target_of
from modelops.reconcile.plan import ModelFacts, salt
from modelops.reconcile.promotion import record_promotion
from modelops.reconcile.rollout import RolloutState, StepState, decision
from modelops.reconcile.state import read_rollout, write_rollout
from modelops.reconcile.workspace import Workspace, model_entry
from modelops.spec.graph import Graph


def apply(workspace: Workspace, graph: Graph, tip: str, action: Action, facts: tuple[ModelFacts, ...]) -> str:
    """Carry out one action and return one sentence about what was done."""
    match action:
        case Build():
            from modelops.reconcile import building

            record = building.run_build(workspace, graph, action.model, tip)
            return f"built {action.model}: artifact {record.artifact.digest[:19]}"
        case Release():
            from modelops.reconcile.releasing import release

            return release(workspace, action.model)
        case RecordPromotion():
            commit = record_promotion(
                workspace, action.model, action.environment, action.release, action.role, action.commit
            )
            return f"recorded {action.model} release {action.release} in {action.environment}" + (
                f" as {commit[:10]}" if commit else ": it was recorded already"
            )
        case Restore():
            return restore(workspace, graph, action)
        case Serve():
            module, params = target_of(graph, action.environment)
            observed = module.apply(params, workspace.site(action.environment), action.table)
            return f"{action.environment} answers on {observed.url}: {action.reason}"
        case SmokeTest():
            return _smoke_test(workspace, graph, action)
        case SetStep():
            return _set_step(workspace, action, _facts_of(action.model, facts))
        case Judge():
            return _judge(workspace, action, _facts_of(action.model, facts))
        case Conclude():
            return conclude(workspace, action)
        case _:
            assert_never(action)


def _facts_of(model: str, facts: tuple[ModelFacts, ...]) -> ModelFacts:
    return next(found for found in facts if found.model == model)


def restore(workspace: Workspace, graph: Graph, action: Restore) -> str:
    """Rebuild a lost artifact from git; anything but the released digest is refused."""
    from modelops.reconcile import building

    release = model_entry(graph, action.model).releases[action.release].spec
    commit = release.code.commit
    record = building.run_build(workspace, workspace.graph(commit), action.model, commit)
    if record.artifact.digest != release.artifact.digest:
        raise failure(
            "not-reproducible",
            f"{action.model} release {action.release} is not in the store, and rebuilding it here gives "
            f"{record.artifact.digest[:19]} instead of {release.artifact.digest[:19]}",
            exit=Exit.WORLD,
            hint="copy the store from a machine that has it, or rebuild on the platform it was made on",
        )
    return f"restored {action.model} release {action.release} by rebuilding it from {commit[:10]}"


def _set_step(workspace: Workspace, action: SetStep, facts: ModelFacts) -> str:
    site = workspace.site(action.environment)
    now = workspace.clock()
    before = read_rollout(site, action.model) if action.step else None
    word = "advance" if action.step else "begin"
    made = decision(word, before, action.reason, action.checks, facts.strategy, now)
    state = RolloutState(
        arms=dict(action.arms),
        salt=salt(facts),
        steps=(
            *(before.steps[: action.step] if before is not None else ()),
            StepState(action.traffic, format_instant(now)),
        ),
        decisions=(*(before.decisions if before is not None else ()), made),
    )
    write_rollout(site, action.model, state)
    if before is not None and before.outcome is not None:
        # What a person was asked has changed: an arm failed meanwhile.
        close_asked(workspace, action.model, action.environment)
    return f"{action.model} in {action.environment}: {shares(action.traffic, action.arms)}"


def _smoke_test(workspace: Workspace, graph: Graph, action: SmokeTest) -> str:
    from modelops.reconcile.smoking import smoke

    site = workspace.site(action.environment)
    state = read_rollout(site, action.model)
    if state is None:
        return f"{action.model}: the rollout is no longer known"
    found = smoke(workspace, graph, action.model, action.environment, action.arms, action.requests)
    running = replace(state.steps[-1], smoke=found)
    write_rollout(site, action.model, replace(state, steps=(*state.steps[:-1], running)))
    said = found.reason or f"{found.errors} of {found.requests} smoke requests failed, {found.stable_errors} of stable"
    return f"{action.model} in {action.environment}: {said}"


def _judge(workspace: Workspace, action: Judge, facts: ModelFacts) -> str:
    site = workspace.site(action.environment)
    state = read_rollout(site, action.model) or facts.rollout
    if state is None:
        return f"{action.model}: the rollout is no longer known"
    made = decision(action.outcome, state, action.reason, action.checks, facts.strategy, workspace.clock())
    decided = replace(
        state,
        outcome=action.outcome,
        winner=action.winner,
        failed=action.failed,
        decisions=(*state.decisions, made),
    )
    write_rollout(site, action.model, decided)
    return f"{action.model} in {action.environment}: {action.outcome} {action.winner}, {action.reason}"
