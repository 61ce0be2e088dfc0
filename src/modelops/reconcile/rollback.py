"""The emergency path: back to the last stable release at once, recorded as such."""

from __future__ import annotations

from dataclasses import dataclass

from modelops.clock import format_instant
from modelops.errors import Exit, failure
from modelops.evidence import digest_bytes
from modelops.reconcile.history import deployment_history, deployment_path, ever_stable
from modelops.reconcile.promotion import covering_promotion, promotion_evidence, release_evidence
from modelops.reconcile.state import read_rollout
from modelops.reconcile.workspace import Workspace, environment, model_entry
from modelops.repository import Landing
from modelops.spec.delivery import DeploymentSpec, PromotionSpec
from modelops.spec.edit import append, remove, set_value
from modelops.spec.graph import Graph


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did: which release was withdrawn, which one takes the traffic, and the commit that says so."""

    withdrawn: int
    stable: int
    commit: str


def rollback(workspace: Workspace, model: str, name: str, reason: str) -> RolledBack:
    """Withdraw the candidate if one is on trial, else return to the release that was stable before; deny what left."""
    path = deployment_path(model, name)
    outcome: list[tuple[int, int]] = []

    def change(tip: str) -> Landing | None:
        graph = workspace.graph(tip)
        entry = model_entry(graph, model)
        environment(graph, name)
        if name not in entry.deployments:
            raise failure("no-deployment", f"{model} has no {path}", exit=Exit.NO)
        deployment: DeploymentSpec = entry.deployments[name].spec
        data = workspace.repository.read(tip, path)
        if deployment.candidate is not None and deployment.stable is not None:
            withdrawn, stable = deployment.candidate, deployment.stable
            data = remove(data, "spec.candidate", path)
        else:
            withdrawn, stable = _previous(workspace, tip, model, name, deployment)
            data = set_value(data, "spec.stable", stable, path)
            if deployment.candidate is not None:
                data = remove(data, "spec.candidate", path)
        if all(denied.release != withdrawn for denied in deployment.denied):
            data = append(data, "spec.denied", {"release": withdrawn, "reason": reason}, path)
        outcome[:] = [(withdrawn, stable)]
        subject = f"Roll {model} in {name} back to release {stable}"
        files = {path: data}
        if deployment.stable != stable:
            files |= _record(workspace, tip, model, name, stable, reason)
        else:
            files |= _aborted(workspace, graph, tip, model, name, withdrawn, stable, reason)
        return Landing(files, f"{subject}\n\n{reason}\n")

    commit = workspace.repository.land(workspace.branch, change, workspace.person, workspace.clock())
    withdrawn, stable = outcome[0]
    return RolledBack(withdrawn, stable, commit or workspace.tip())


def _previous(workspace: Workspace, tip: str, model: str, name: str, deployment: DeploymentSpec) -> tuple[int, int]:
    if deployment.stable is None:
        raise failure(
            "nothing-to-roll-back",
            f"no release of {model} is stable in {name}",
            exit=Exit.NO,
            hint=f"see what runs: modelops status {model}",
        )
    denied = {found.release for found in deployment.denied}
    history = deployment_history(workspace.repository, tip, model, name)
    before = [number for number in ever_stable(history) if number != deployment.stable and number not in denied]
    if not before:
        raise failure(
            "nothing-to-roll-back",
            f"release {deployment.stable} of {model} is the only one that was ever stable in {name}",
            exit=Exit.NO,
            hint="there is nothing to return to; repair it with a new release",
        )
    return deployment.stable, before[0]


def _aborted(
    workspace: Workspace, graph: Graph, tip: str, model: str, name: str, withdrawn: int, stable: int, reason: str
) -> dict[str, bytes]:
    """Add the signed end of the rollout to the candidate's promotion, if it got as far as being recorded."""
    from modelops.releases import rollout_outcome_line

    record = covering_promotion(graph, model, name, withdrawn)
    if record is None:
        return {}
    state = read_rollout(workspace.site(name), model)
    running = state if state is not None and withdrawn in state.arms.values() else None
    line = rollout_outcome_line(
        record.spec,
        stable=stable,
        outcome="aborted",
        reason=f"{workspace.login}: {reason}",
        step=running.step + 1 if running else 0,
        checks=running.checks if running else (),
        at=format_instant(workspace.clock()),
        signer=workspace.signer,
    )
    evidence = promotion_evidence(workspace, tip, model, record.name)
    return {f"models/{model}/promotions/{record.name}.intoto.jsonl": evidence + line}


def _record(workspace: Workspace, tip: str, model: str, name: str, stable: int, reason: str) -> dict[str, bytes]:
    from modelops.releases import next_promotion, promotion_files

    graph = workspace.graph(tip)
    release = model_entry(graph, model).releases[stable].spec
    spec = PromotionSpec(
        model=model,
        environment=name,
        release=stable,
        artifact=release.artifact.digest,
        evidence=digest_bytes(release_evidence(workspace, tip, model, stable)),
        path="emergency",
        commit=tip,
        policy=graph.approvals.digest if graph.approvals is not None else digest_bytes(b""),
        reason=f"{workspace.login}: {reason}",
        promoted_at=format_instant(workspace.clock()),
    )
    number = next_promotion(name, model_entry(graph, model).promotions)
    files = promotion_files(spec, number=number, signer=workspace.signer)
    return {f"models/{model}/{path}": data for path, data in files.items()}
