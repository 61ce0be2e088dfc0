"""The paths back: withdraw what is on trial, or return to the release that was stable before; recorded as such."""

from __future__ import annotations

from dataclasses import dataclass

from modelops.clock import format_instant
from modelops.errors import Exit, failure
from modelops.evidence import digest_bytes
from modelops.reconcile.concluding import Ending, Said, close_asked, ended
from modelops.reconcile.history import arms_of, deployment_history, deployment_path, ever_stable
from modelops.reconcile.promotion import release_evidence
from modelops.reconcile.workspace import Workspace, environment, model_entry
from modelops.repository import Landing
from modelops.spec.delivery import DeploymentSpec, PromotionSpec
from modelops.spec.edit import append, set_value
from modelops.spec.graph import Graph


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did: which releases were withdrawn, which one takes the traffic, and the commit that says so."""

    withdrawn: tuple[int, ...]
    stable: int | None
    commit: str


def rollback(workspace: Workspace, model: str, name: str, reason: str) -> RolledBack:
    """Withdraw what is on trial, else return to the release that was stable before; what leaves is denied."""
    return _back(workspace, model, name, reason, only_trial=False)


def abort(workspace: Workspace, model: str, name: str, reason: str) -> RolledBack:
    """Withdraw and deny everything that is on trial; the stable release, if there is one, takes all of the traffic."""
    return _back(workspace, model, name, reason, only_trial=True)


def _back(workspace: Workspace, model: str, name: str, reason: str, *, only_trial: bool) -> RolledBack:
    outcome: list[tuple[tuple[int, ...], int | None]] = []

    def change(tip: str) -> Landing | None:
        deployment = deployment_of(workspace, workspace.graph(tip), model, name)
        on_trial = {arm: release for arm, release in arms_of(deployment).items() if arm != "stable"}
        if on_trial:
            said = Said("aborted", f"{workspace.login}: {reason}", by=workspace.login)
            ending = Ending(model, name, None, tuple(on_trial), dict.fromkeys(on_trial, said))
            files = ended(workspace, tip, ending)
            withdrawn, stable = tuple(on_trial.values()), deployment.stable
            gone = " and ".join(map(str, withdrawn))
            subject = f"Withdraw {model} release {gone} from {name}"
        elif only_trial:
            raise not_on_trial(model, name)
        else:
            left, stable = _previous(workspace, tip, model, name, deployment)
            files, withdrawn = _returned(workspace, tip, model, name, left, stable, reason), (left,)
            subject = f"Roll {model} in {name} back to release {stable}"
        outcome[:] = [(withdrawn, stable)]
        return Landing(files, f"{subject}\n\n{reason}\n")

    commit = workspace.repository.land(workspace.branch, change, workspace.person, workspace.clock())
    close_asked(workspace, model, name)
    return RolledBack(*outcome[0], commit or workspace.tip())


def deployment_of(workspace: Workspace, graph: Graph, model: str, name: str) -> DeploymentSpec:
    """Return what git says about a model in an environment, or say that it says nothing."""
    entry = model_entry(graph, model)
    environment(graph, name)
    if name not in entry.deployments:
        raise failure("no-deployment", f"{model} has no {deployment_path(model, name)}", exit=Exit.NO)
    spec: DeploymentSpec = entry.deployments[name].spec
    return spec


def not_on_trial(model: str, name: str) -> Exception:
    """Return the error of steering a rollout where none is."""
    return failure(
        "no-rollout",
        f"no release of {model} is on trial in {name}",
        exit=Exit.NO,
        hint=f"put one on trial: modelops promote {model} --to {name}",
    )


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


def _returned(
    workspace: Workspace, tip: str, model: str, name: str, left: int, stable: int, reason: str
) -> dict[str, bytes]:
    """Return the files of the emergency path: the earlier release stable, the present one denied, and the record."""
    path = deployment_path(model, name)
    data = set_value(workspace.repository.read(tip, path), "spec.stable", stable, path)
    deployment: DeploymentSpec = model_entry(workspace.graph(tip), model).deployments[name].spec
    if all(denied.release != left for denied in deployment.denied):
        data = append(data, "spec.denied", {"release": left, "reason": reason}, path)
    return {path: data, **_record(workspace, tip, model, name, stable, reason)}


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
