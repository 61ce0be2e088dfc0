"""The paths back: withdraw what is on trial, or return to the release that was stable before; recorded as such."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from modelops.clock import format_instant
from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.governance.endings import Ending, Said, ended
from modelops.governance.history import (
    arms_of,
    deployment_bytes,
    deployment_history,
    deployment_of,
    legible,
    not_on_trial,
)
from modelops.governance.judged import known, stretch
from modelops.governance.pending import Intent, RolledBack, decider, kept, overlaid, standing
from modelops.governance.promotions import proven_stable, release_evidence
from modelops.project.retired import records_ever
from modelops.project.workspace import MACHINE, Workspace, model_entry
from modelops.repository import Landing
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.promotion import PromotionSpec
from modelops.spec.layout import Seat, in_model
from modelops.spec.yaml.edit import append, set_value


def intended(
    workspace: Workspace, seat: Seat, verb: Literal["rollback", "abort"], reason: str, to: int | None = None
) -> Intent | RolledBack:
    """Return what a verb means at what is known now, or what was done already when nothing is left to do.

    Without ``to`` a rollback withdraws what is on trial, else it returns to the release that was stable before. The
    meaning is fixed here: whatever others do meanwhile, no other release than these leaves. A rollback that follows
    right after another one is taken for the same one said twice; a further step back is named with ``to``.
    """
    tip, graph = known(workspace)
    waiting = standing(graph, kept(workspace.site(seat.environment)))
    graph = overlaid(graph, waiting)
    deployment = deployment_of(workspace, graph, seat)
    arms = arms_of(deployment)
    on_trial = tuple(release for arm, release in arms.items() if arm != "stable")
    stable = deployment.stable
    if to is not None and to not in _ways_back(workspace, tip, seat, deployment):
        raise _no_way_back(workspace, tip, seat, deployment, to)
    if to is not None and to != stable:
        leaves: tuple[int, ...] = tuple(dict.fromkeys((*on_trial, *([stable] if stable is not None else []))))
        stable = to
    elif on_trial:
        leaves = on_trial
    elif here := [intent for intent in waiting.get(seat.model, ()) if intent.leaves]:
        said = f"{here[-1]} is kept here already, since {here[-1].at}"
        return RolledBack(here[-1].leaves, stable, None, said)
    elif (done := _done_already(workspace, tip, seat, deployment, verb, to)) is not None:
        return done
    elif verb == "abort":
        raise not_on_trial(seat)
    else:
        left, stable = _previous(workspace, tip, seat, deployment)
        leaves = (left,)
    now = format_instant(workspace.clock())
    return Intent(verb, seat, dict(arms), leaves, stable, reason, decider(workspace), now)


def _done_already(
    workspace: Workspace, tip: str, seat: Seat, deployment: DeploymentSpec, verb: str, to: int | None
) -> RolledBack | None:
    """Return the withdrawal that was the last thing to happen to a deployment, None where something else was."""
    history = legible(deployment_history(workspace.repository, tip, seat))
    if to is not None and to == deployment.stable:
        return RolledBack((), to, None, f"release {to} takes all the traffic already")
    if len(history) < 2:
        return None
    gone = {release for release in history[1].arms.values() if release not in history[0].arms.values()}
    denied = {one.release for one in deployment.denied}
    if not gone or not gone <= denied or (verb == "abort" and history[1].stable in gone):
        return None
    commit = workspace.repository.commit(history[0].commit)
    released = " and ".join(map(str, sorted(gone)))
    said = f"release {released} was withdrawn already by {commit.author.name}, commit {commit.id[:10]}"
    earlier = [n for n in _ways_back(workspace, tip, seat, deployment) if n != deployment.stable]
    if verb == "rollback" and to is None and earlier and commit.author.email == MACHINE.email:
        raise _which_way(seat, said, deployment.stable, earlier[0], commit.time)
    if verb == "rollback" and deployment.stable is not None and earlier:
        said += f"; to leave release {deployment.stable} as well, say --to {earlier[0]}"
    return RolledBack(tuple(sorted(gone)), deployment.stable, commit.id, said)


def _which_way(seat: Seat, said: str, stable: int | None, earlier: int, when: datetime) -> ModelOpsError:
    """Return the question that a person is asked who may not have seen that the loop had withdrawn something."""
    leave = f"to leave release {stable} for release {earlier}: --to {earlier}"
    return failure(
        "which-way-back",
        f"{said}, on {format_instant(when)}, and nobody has gone back in {seat} since, so nothing is done",
        exit=Exit.NO,
        hint=f"if that was what you mean: --to {stable}; {leave}" if stable is not None else leave,
    )


def retreat_files(workspace: Workspace, tip: str, intent: Intent, deployment: DeploymentSpec) -> Landing:
    """Return the change that carries out a retreat: the environment's file, the deny list, and what is signed of it."""
    seat, path = intent.seat, intent.seat.deployment
    arms = arms_of(deployment)
    on_trial = {arm: release for arm, release in arms.items() if arm != "stable" and release in intent.leaves}
    files: dict[str, bytes] = {path: deployment_bytes(workspace, tip, intent.seat)}
    why = f"{intent.by}: {intent.reason}"
    if on_trial:
        said = Said("aborted", why, by=intent.by)
        files |= ended(workspace, tip, Ending(seat, None, tuple(on_trial), dict.fromkeys(on_trial, said)))
    subject = f"Withdraw {seat.model} release {' and '.join(map(str, on_trial.values()))} from {seat.environment}"
    left = deployment.stable
    if left is not None and left in intent.leaves and intent.stable is not None:
        data = set_value(files[path], "spec.stable", intent.stable, path)
        if all(denied.release != left for denied in deployment.denied):
            data = append(data, "spec.denied", {"release": left, "reason": why}, path)
        files |= {path: data, **_record(workspace, tip, seat, intent.stable, why)}
        subject = f"Roll {seat} back to release {intent.stable}"
    return Landing(files, f"{subject}\n\n{intent.reason}\n")


def _ways_back(workspace: Workspace, tip: str, seat: Seat, deployment: DeploymentSpec) -> list[int]:
    """Return the releases that are proven to have been stable here and are not denied, the most recent first."""
    denied = {found.release for found in deployment.denied}
    graph = workspace.graph(tip)
    releases = model_entry(graph, seat.model).releases
    proven = proven_stable(workspace, graph, tip, seat)
    return [number for number in proven if number not in denied and number in releases]


def _no_way_back(workspace: Workspace, tip: str, seat: Seat, deployment: DeploymentSpec, to: int) -> ModelOpsError:
    ways = ", ".join(map(str, _ways_back(workspace, tip, seat, deployment))) or "none"
    denied = any(one.release == to for one in deployment.denied)
    why = "is denied here" if denied else "was never stable here"
    return failure(
        "no-way-back",
        f"release {to} of {seat} {why}, so nothing may return to it without a review",
        exit=Exit.NO,
        hint=f"releases to return to: {ways}",
    )


def _previous(workspace: Workspace, tip: str, seat: Seat, deployment: DeploymentSpec) -> tuple[int, int]:
    if deployment.stable is None:
        raise failure(
            "nothing-to-roll-back",
            f"no release of {seat.model} is stable in {seat.environment}",
            exit=Exit.NO,
            hint=f"see what runs: modelops status {seat.model}",
        )
    before = [number for number in _ways_back(workspace, tip, seat, deployment) if number != deployment.stable]
    if not before:
        raise failure(
            "nothing-to-roll-back",
            f"release {deployment.stable} of {seat.model} is the only one to return to in {seat.environment}",
            exit=Exit.NO,
            hint="there is nothing to return to; repair it with a new release",
        )
    return deployment.stable, before[0]


def _record(workspace: Workspace, tip: str, seat: Seat, stable: int, reason: str) -> dict[str, bytes]:
    from modelops.releases import next_promotion, promotion_files

    graph = workspace.graph(tip)
    release = model_entry(graph, seat.model).releases[stable].spec
    spec = PromotionSpec(
        model=seat.model,
        environment=seat.environment,
        release=stable,
        artifact=release.artifact.digest,
        evidence=digest_bytes(release_evidence(workspace, tip, seat.model, stable)),
        path="emergency",
        commit=tip,
        policy=graph.approvals.digest if graph.approvals is not None else digest_bytes(b""),
        reason=reason,
        promoted_at=format_instant(workspace.clock()),
    )
    number = next_promotion(seat.environment, records_ever(workspace.repository, tip, seat.model))
    met = stretch(workspace, tip).data()
    files = promotion_files(spec, number=number, signer=workspace.signer_for("promotion", tip), line=met)
    return {in_model(seat.model, path): data for path, data in files.items()}
