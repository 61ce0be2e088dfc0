"""Carrying out what was decided in an emergency: into git, or kept on this machine while git cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from modelops.errors import Exit, ModelOpsError, failure
from modelops.governance.endings import close_asked
from modelops.governance.history import arms_of, deployment_of
from modelops.governance.judged import graph_at
from modelops.governance.landing import PROPOSED, land
from modelops.governance.pending import (
    Intent,
    RolledBack,
    forget,
    keep,
    kept,
    lapsed,
    set_aside,
    still_there,
    told,
)
from modelops.governance.rollback import retreat_files
from modelops.governance.steering import steering_files
from modelops.project.workspace import Workspace
from modelops.repository.repository import Landing
from modelops.spec.kinds.deployment import DeploymentSpec


def carry_out(workspace: Workspace, intent: Intent) -> RolledBack:
    """Put an intent into git, after what was kept before it, or keep it on this machine while git cannot be told.

    Where main has moved since the person looked, it is refused. What git lacks to take a withdrawal (the remote, a
    key, a name) keeps no traffic on what harms; a pause waits for the remote alone.
    """
    site = workspace.site(intent.seat.environment)
    before = _carried(workspace, kept(site).get(intent.seat.model, ()))
    waits = before[-1][1].waits if before else None
    done = RolledBack(intent.leaves, intent.stable, None, waits=waits) if waits else _landed(workspace, intent)
    if done.waits is not None:
        keep(site, intent)
    return replace(done, paused=intent.verb == "pause")


def push_kept(workspace: Workspace, name: str, say: Callable[[str], None]) -> None:
    """Let git know what people decided here while it could not be told; what cannot be pushed yet stays kept."""
    site = workspace.site(name)
    for sentence in set_aside(site):
        say(sentence)
    for some in kept(site).values():
        for intent, done in _carried(workspace, some):
            since = f"{intent}, kept on this machine since {intent.at}"
            if done.waits is not None:
                say(f"{intent} is still kept on this machine only: {done.waits.first.message}")
            elif done.lapsed is not None:
                say(f"{since}, is forgotten: {done.lapsed}; {_again(intent)}")
            else:
                say(f"{since}, is in git now: commit {(done.commit or '')[:10]}")


def _again(intent: Intent) -> str:
    seat = intent.seat
    if intent.verb == "pause":
        return f"modelops rollout pause {seat.model} {seat.environment} --reason WHY pauses what is on trial now"
    return f"modelops rollback {seat.model} -e {seat.environment} --to RELEASE --reason WHY leaves what runs now"


def _carried(workspace: Workspace, some: Sequence[Intent]) -> list[tuple[Intent, RolledBack]]:
    """Put what was kept into git in its order, up to what cannot be pushed yet; forget what is there, or lapsed."""
    done: list[tuple[Intent, RolledBack]] = []
    for intent in some:
        try:
            done.append((intent, _landed(workspace, intent, late=True)))
        except ModelOpsError as error:
            done.append((intent, RolledBack(intent.leaves, intent.stable, None, waits=error)))
        if done[-1][1].waits is not None:
            break
        forget(workspace.site(intent.seat.environment), intent)
    return done


def _landed(workspace: Workspace, intent: Intent, *, late: bool = False) -> RolledBack:
    """Put an intent into git, or say what it waits for; a ``late`` one lets go of what is still where it was."""
    gone: list[str] = []

    def change(tip: str) -> Landing | None:
        graph = graph_at(workspace, tip)
        reason = lapsed(graph, intent) if late else None
        gone[:] = [reason] if reason is not None else []
        if gone:
            return None
        deployment = deployment_of(workspace, graph, intent.seat)
        return _change(workspace, tip, intent, deployment, late=late)

    try:
        commit = land(workspace, change, "promotion", workspace.person)
    except ModelOpsError as error:
        waits = error.exit is Exit.WORLD or error.first.code == PROPOSED
        if not waits and not (intent.leaves and error.exit is Exit.FILES):
            raise
        return RolledBack(intent.leaves, intent.stable, None, waits=error)
    if gone:
        return RolledBack(intent.leaves, intent.stable, None, lapsed=gone[0])
    if intent.leaves:
        close_asked(workspace, intent.seat)
    already = None if commit is not None else f"{intent} is in git already"
    return RolledBack(intent.leaves, intent.stable, commit or workspace.tip(), already)


def _change(
    workspace: Workspace, tip: str, intent: Intent, deployment: DeploymentSpec, *, late: bool
) -> Landing | None:
    arms = arms_of(deployment)
    there = still_there(deployment, intent) if late else intent.leaves
    if intent.leaves and not set(there) & set(arms.values()):
        return None
    if arms != intent.arms and not late:
        raise _moved(intent, arms)
    if intent.verb == "pause":
        return steering_files(workspace, tip, intent.seat, "paused", intent.reason, intent.by)
    return retreat_files(workspace, tip, replace(intent, leaves=there), deployment)


def _moved(intent: Intent, arms: Mapping[str, int]) -> ModelOpsError:
    return failure(
        "main-moved",
        f"{intent.seat} was {told(intent.arms)} when this began, and is {told(arms)} now",
        exit=Exit.NO,
        hint="look at it and say it again: modelops status; --to RELEASE names the goal",
    )
