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
from modelops.reconcile.history import arms_of, deployment_path
from modelops.reconcile.observe import target_of
from modelops.reconcile.plan import ModelFacts, RolloutState, StepState, checks_as_data, salt
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
    before = read_rollout(site, action.model) if action.step else None
    step = StepState(action.traffic, format_instant(workspace.clock()))
    state = RolloutState(
        arms=dict(action.arms),
        salt=salt(facts),
        steps=(*(before.steps[: action.step] if before is not None else ()), step),
        reason=action.reason,
        checks=checks_as_data(action.checks),
    )
    write_rollout(site, action.model, state)
    return f"{action.model} in {action.environment}: {shares(action.traffic, action.arms)}"


def _smoke_test(workspace: Workspace, graph: Graph, action: SmokeTest) -> str:
    from modelops.reconcile.smoking import smoke

    site = workspace.site(action.environment)
    state = read_rollout(site, action.model)
    if state is None:
        return f"{action.model}: the rollout is no longer known"
    found = smoke(workspace, graph, action.model, action.environment, action.arms, action.requests)
    write_rollout(site, action.model, replace(state, smoke=found))
    said = found.reason or f"{found.errors} of {found.requests} smoke requests failed, {found.stable_errors} of stable"
    return f"{action.model} in {action.environment}: {said}"


def _judge(workspace: Workspace, action: Judge, facts: ModelFacts) -> str:
    site = workspace.site(action.environment)
    state = read_rollout(site, action.model) or facts.rollout
    if state is None:
        return f"{action.model}: the rollout is no longer known"
    decided = replace(
        state,
        outcome=action.outcome,
        winner=action.winner,
        failed=action.failed,
        reason=action.reason,
        checks=checks_as_data(action.checks),
    )
    write_rollout(site, action.model, decided)
    return f"{action.model} in {action.environment}: {action.outcome} {action.winner}, {action.reason}"


def conclude(workspace: Workspace, action: Conclude) -> str:
    """Commit the end of a rollout together with its signed evidence, unless git has moved on."""
    site = workspace.site(action.environment)
    state = read_rollout(site, action.model)
    if state is not None and state.arms != action.arms:
        state = None
    path = deployment_path(action.model, action.environment)

    def change(tip: str) -> Landing | None:
        graph = workspace.graph(tip)
        deployment: DeploymentSpec = model_entry(graph, action.model).deployments[action.environment].spec
        if arms_of(deployment) != action.arms:
            return None
        data = remove(workspace.repository.read(tip, path), "spec.candidate", path)
        if deployment.challengers:
            data = remove(data, "spec.challengers", path)
        if action.outcome == "promote":
            data = set_value(data, "spec.stable", action.release, path)
        for arm in action.failed:
            data = append(data, "spec.denied", {"release": action.arms[arm], "reason": action.reason}, path)
        files = {path: data}
        for arm, release in action.arms.items():
            if arm != "stable":
                files |= _outcome(workspace, graph, tip, action, arm, release, state)
        word = {"promote": "is stable", "keep": "is withdrawn", "rollback": "is withdrawn"}[action.outcome]
        subject = f"{action.model} release {action.release} {word} in {action.environment}"
        return Landing(files, f"{subject}\n\n{action.reason}\n")

    commit = workspace.repository.land(workspace.branch, change, MACHINE, workspace.clock())
    forget_rollout(site, action.model)
    if commit is None:
        return f"{action.model} in {action.environment}: git says so already"
    return f"{action.model} release {action.release} in {action.environment}: {action.outcome}, commit {commit[:10]}"


def _outcome(
    workspace: Workspace, graph: Graph, tip: str, action: Conclude, arm: str, release: int, state: RolloutState | None
) -> dict[str, bytes]:
    """Return the promotion's evidence of one arm with the signed end of the rollout added."""
    from modelops.releases import rollout_outcome_line

    record = covering_promotion(graph, action.model, action.environment, release)
    if record is None:
        raise failure(
            "promotion-missing",
            f"{action.model} release {release} has no promotion record in {action.environment}",
            exit=Exit.NO,
            hint=f"run modelops reconcile {action.environment} again",
        )
    won = action.outcome == "promote" and action.release == release
    line = rollout_outcome_line(
        record.spec,
        stable=action.arms.get("stable"),
        outcome="succeeded" if won else "failed" if arm in action.failed else "withdrawn",
        reason=action.reason,
        step=state.step + 1 if state else 0,
        checks=state.checks if state else (),
        at=format_instant(workspace.clock()),
        signer=workspace.signer,
    )
    evidence = promotion_evidence(workspace, tip, action.model, record.name)
    return {f"models/{action.model}/promotions/{record.name}.intoto.jsonl": evidence + line}
