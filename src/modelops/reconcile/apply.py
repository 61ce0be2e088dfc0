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
)
from modelops.reconcile.history import deployment_path
from modelops.reconcile.observe import target_of
from modelops.reconcile.plan import ModelFacts, RolloutState, checks_as_data, salt
from modelops.reconcile.promotion import covering_promotion, promotion_evidence, record_promotion
from modelops.reconcile.state import forget_rollout, read_rollout, write_rollout
from modelops.reconcile.workspace import MACHINE, Workspace, model_entry
from modelops.repository import Landing
from modelops.spec.delivery import DeploymentSpec
from modelops.spec.edit import append, remove, set_value
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
    state = RolloutState(
        candidate=action.release,
        stable=action.stable,
        salt=salt(facts),
        step=action.step,
        weight=action.weight,
        started=format_instant(workspace.clock()),
        reason=action.reason,
        checks=checks_as_data(action.checks),
    )
    write_rollout(workspace.site(action.environment), action.model, state)
    return f"{action.model} release {action.release} is to take {action.weight:.0%} in {action.environment}"


def _judge(workspace: Workspace, action: Judge, facts: ModelFacts) -> str:
    site = workspace.site(action.environment)
    state = read_rollout(site, action.model) or facts.rollout
    if state is None:
        return f"{action.model}: the rollout is no longer known"
    decided = replace(state, outcome=action.outcome, reason=action.reason, checks=checks_as_data(action.checks))
    write_rollout(site, action.model, decided)
    return f"{action.model} release {action.release} in {action.environment}: {action.outcome}, {action.reason}"


def conclude(workspace: Workspace, action: Conclude) -> str:
    """Commit the end of a rollout together with its signed evidence, unless git has moved on."""
    from modelops.releases import rollout_outcome_line

    site = workspace.site(action.environment)
    state = read_rollout(site, action.model)
    if state is not None and state.candidate != action.release:
        state = None
    path = deployment_path(action.model, action.environment)

    def change(tip: str) -> Landing | None:
        graph = workspace.graph(tip)
        entry = model_entry(graph, action.model)
        deployment: DeploymentSpec = entry.deployments[action.environment].spec
        if deployment.candidate != action.release or deployment.stable != action.stable:
            return None
        data = workspace.repository.read(tip, path)
        if action.outcome == "promote":
            data = set_value(remove(data, "spec.candidate", path), "spec.stable", action.release, path)
        else:
            denied = {"release": action.release, "reason": action.reason}
            data = append(remove(data, "spec.candidate", path), "spec.denied", denied, path)
        record = covering_promotion(graph, action.model, action.environment, action.release)
        if record is None:
            raise failure(
                "promotion-missing",
                f"{action.model} release {action.release} has no promotion record in {action.environment}",
                exit=Exit.NO,
                hint=f"run modelops reconcile {action.environment} again",
            )
        line = rollout_outcome_line(
            record.spec,
            stable=action.stable,
            outcome="succeeded" if action.outcome == "promote" else "failed",
            reason=action.reason,
            step=state.step + 1 if state else 0,
            checks=state.checks if state else (),
            at=format_instant(workspace.clock()),
            signer=workspace.signer,
        )
        evidence_path = f"models/{action.model}/promotions/{record.name}.intoto.jsonl"
        evidence = promotion_evidence(workspace, tip, action.model, record.name)
        word = "is stable" if action.outcome == "promote" else "is withdrawn"
        subject = f"{action.model} release {action.release} {word} in {action.environment}"
        return Landing({path: data, evidence_path: evidence + line}, f"{subject}\n\n{action.reason}\n")

    commit = workspace.repository.land(workspace.branch, change, MACHINE, workspace.clock())
    forget_rollout(site, action.model)
    if commit is None:
        return f"{action.model} in {action.environment}: git says so already"
    return f"{action.model} release {action.release} in {action.environment}: {action.outcome}, commit {commit[:10]}"
