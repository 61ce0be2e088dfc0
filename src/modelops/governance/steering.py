"""What a person may do to a rollout beside ending it: pause it, resume it, or ask to end it well at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Literal

from modelops.clock import format_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import Opened
from modelops.governance.endings import Body, Ending, Said, ask, asked, remembered, require_records, salt_at, signed
from modelops.governance.history import arms_of, deployment_bytes, deployment_of, not_on_trial
from modelops.governance.judged import desired, graph_at, known
from modelops.governance.landing import PROPOSED, land
from modelops.governance.pending import Intent, RolledBack, decider, forget, kept, overlaid
from modelops.governance.promotions import refusals
from modelops.governance.waivers import require_sound
from modelops.project.workspace import Workspace
from modelops.repository import CommitInfo, Landing, Repository
from modelops.spec.layout import MODELS, Seat
from modelops.spec.load import load_resource
from modelops.spec.yaml.edit import remove, set_value


@dataclass(frozen=True, slots=True)
class Steered:
    """What was done to a rollout, and the commit that says so; ``already`` where somebody had done it before."""

    seat: Seat
    outcome: Literal["paused", "resumed"]
    commit: str
    already: str | None = None


def steering_files(
    workspace: Workspace, tip: str, seat: Seat, outcome: Literal["paused", "resumed"], reason: str, by: str
) -> Landing | None:
    """Return the change that pauses or resumes a rollout, with the signed record of who did it and why."""
    deployment = deployment_of(workspace, graph_at(workspace, tip), seat)
    if deployment.candidate is None:
        raise not_on_trial(seat)
    if deployment.paused == (outcome == "paused"):
        return None
    path = seat.deployment
    data = deployment_bytes(workspace, tip, seat)
    edited = set_value(data, "spec.paused", True, path) if outcome == "paused" else remove(data, "spec.paused", path)
    said = Said(outcome, f"{by}: {reason}", by=by)
    files = {path: edited, **signed(workspace, tip, seat, "candidate", said)}
    verb = "Pause" if outcome == "paused" else "Resume"
    return Landing(files, f"{verb} the rollout of {seat}\n\n{reason}\n")


def pausing(workspace: Workspace, seat: Seat, reason: str) -> Intent:
    """Return what it means to pause the rollout that is known now, what is kept on this machine counted in."""
    _, graph = known(workspace)
    graph = overlaid(graph, kept(workspace.site(seat.environment)))
    deployment = deployment_of(workspace, graph, seat)
    if deployment.candidate is None:
        raise not_on_trial(seat)
    now = format_instant(workspace.clock())
    arms = arms_of(deployment)
    return Intent("pause", seat, arms, (), deployment.stable, reason, decider(workspace), now)


def paused(workspace: Workspace, seat: Seat, done: RolledBack) -> Steered:
    """Return how a rollout came to be paused."""
    assert done.commit is not None, "git knows of it"
    return _steered(workspace, seat, "paused", done.commit if done.already is None else None)


def resume(workspace: Workspace, seat: Seat, reason: str) -> Steered:
    """Let a paused rollout go on, by a commit that carries the signed record of who did it and why.

    A pause that is kept on this machine is forgotten; where git knows of no other one, that is all.
    """
    site = workspace.site(seat.environment)
    pauses = [intent for intent in kept(site).get(seat.model, ()) if intent.verb == "pause"]
    for intent in pauses:
        forget(site, intent)
    away = workspace.reach()
    tip, graph = known(workspace)
    if pauses and not deployment_of(workspace, graph, seat).paused:
        said = f"{pauses[-1]}, kept on this machine since {pauses[-1].at}, is forgotten; git never knew of it"
        return Steered(seat, "resumed", tip, said)
    if away is not None:
        raise away
    require_sound(workspace, graph, tip, seat.model, seat.environment)

    def change(tip: str) -> Landing | None:
        return steering_files(workspace, tip, seat, "resumed", reason, workspace.login)

    try:
        commit = land(workspace, change, "rollout", workspace.person)
    except ModelOpsError as error:
        if error.first.code != PROPOSED:
            raise
        return Steered(seat, "resumed", tip, f"{error.first.message}; {error.first.hint}")
    return _steered(workspace, seat, "resumed", commit)


def _steered(workspace: Workspace, seat: Seat, outcome: Literal["paused", "resumed"], commit: str | None) -> Steered:
    """Return what was done by a commit, or who had done it before."""
    if commit is not None:
        return Steered(seat, outcome, commit)
    tip, is_paused = workspace.tip(), outcome == "paused"
    setter = _paused_by(workspace.repository, tip, seat, is_paused)
    state = "is paused already" if is_paused else "is not paused"
    since = f", since commit {setter.id[:10]} by {setter.author.name}" if setter is not None else ""
    return Steered(seat, outcome, setter.id if setter is not None else tip, f"the rollout of {seat} {state}{since}")


def _paused_by(repository: Repository, tip: str, seat: Seat, paused: bool) -> CommitInfo | None:
    """Return the commit since which a rollout is paused, or not any more; None where it was never otherwise."""
    setter: str | None = None
    versions = repository.line(tip, MODELS).versions(seat.deployment)
    contents = chain([repository.read(tip, seat.deployment)], repository.older(tip, seat.deployment))
    for version, data in zip(versions, contents, strict=True):
        try:
            found = load_resource(data or b"", seat.deployment).spec.paused
        except ModelOpsError:
            continue
        if found != paused:
            return repository.commit(setter) if setter is not None else None
        setter = version.commit
    return None


def promote_now(workspace: Workspace, seat: Seat, release: int | None, reason: str, body: Body) -> Opened:
    """Open the pull request that makes a release on trial stable without waiting for its rollout.

    One that is open for this rollout already is returned as it is.
    """
    tip, graph = desired(workspace)
    require_sound(workspace, graph, tip, seat.model, seat.environment)
    arms = arms_of(deployment_of(workspace, graph, seat))
    on_trial = {arm: number for arm, number in arms.items() if arm != "stable"}
    if not on_trial:
        raise not_on_trial(seat)
    winner = next((arm for arm, number in on_trial.items() if release in (None, number)), None)
    if winner is None:
        known = ", ".join(map(str, on_trial.values()))
        raise failure(
            "not-on-trial",
            f"release {release} is not on trial in {seat.environment}",
            exit=Exit.USAGE,
            hint=f"on trial: {known}",
        )
    refused = refusals(workspace, graph, tip, seat, on_trial[winner], winner)
    if refused:
        raise ModelOpsError(*(failure(r.code, r.reason, hint=r.hint).problems[0] for r in refused), exit=Exit.NO)
    salt = salt_at(workspace, graph, tip, seat)
    open_already = asked(workspace, seat, salt, remembered(workspace, tip, seat))
    if open_already is not None and open_already.state == "open" and not open_already.stale:
        return Opened(workspace.forge.get(open_already.number), already=True)
    why = f"{workspace.login}: {reason}"
    said = {
        arm: Said("overridden" if arm == winner else "withdrawn", why, workspace.login, "pull-request")
        for arm in on_trial
    }
    ending = Ending(seat, on_trial[winner], (), said)
    require_records(graph, ending, arms)
    return ask(workspace, tip, ending, salt, why, workspace.login, body)
