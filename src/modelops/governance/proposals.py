"""Proposing a promotion, or the way back: the pull request of one file, and the older ones that it supersedes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from modelops import strategies
from modelops.clock import parse_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import Opened, PullRequest
from modelops.governance.asks import PromotionAsk, ask_in, asks_for, with_ask
from modelops.governance.endings import without_trial
from modelops.governance.history import arms_of, deployment_bytes, deployment_of
from modelops.governance.judged import desired
from modelops.governance.pending import Intent
from modelops.governance.promotions import Refusal, previous, refusals, waiver_refusals
from modelops.governance.pulls import open_pull, same_change
from modelops.governance.waivers import require_sound
from modelops.monitoring.objectives import sentence
from modelops.monitoring.triage import read_kept
from modelops.project.pressing import pressed_by, with_presser
from modelops.project.workspace import Workspace, environment, model_entry
from modelops.repository import Repository
from modelops.rollouts.memory import read_rollout
from modelops.rollouts.state import Role
from modelops.spec.graph import Graph, ModelEntry
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.layout import ROLLOUT, Seat, slug
from modelops.spec.rollouts import strategies_for
from modelops.spec.yaml.edit import append, set_value

if TYPE_CHECKING:
    # What answers requests is slow to import, and who proposes nothing else pays for it.
    from modelops.rollouts.rehearsing import Rehearsed

__all__ = ["PromotionCase", "Proposal", "due", "frozen", "propose", "propose_return"]


@dataclass(frozen=True)
class Proposal:
    """The pull request of a promotion, whether it was open before, and the older ones that it supersedes."""

    pull: PullRequest
    release: int
    superseded: tuple[int, ...]
    already: bool = False


@dataclass(frozen=True)
class PromotionCase:
    """What the reviewer of a promotion is told: the release, what it is to become, and the stable one it is beside."""

    seat: Seat
    role: Role
    release: ReleaseSpec
    stable: ReleaseSpec | None
    rehearsed: Rehearsed | None = None


def propose(
    workspace: Workspace,
    seat: Seat,
    number: int | None,
    body: Callable[[PromotionCase], str],
    *,
    challenger: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Proposal:
    """Open the one-line pull request that puts a release on trial: as candidate, or as challenger beside it.

    The reviewer is told how it answers what was logged of late, where this machine has the log.
    """
    tip, graph = desired(workspace)
    entry = model_entry(graph, seat.model)
    environment(graph, seat.environment)
    require_sound(workspace, graph, tip, seat.model, seat.environment)
    if seat.environment not in entry.deployments:
        raise failure(
            "no-deployment",
            f"{seat.model} has no {seat.deployment}",
            exit=Exit.NO,
            hint="add the file with `stable: null` in a pull request",
        )
    if not entry.releases:
        raise failure(
            "no-release", f"{seat.model} has no release yet", exit=Exit.NO, hint=f"modelops release {seat.model}"
        )
    chosen = number if number is not None else max(entry.releases)
    if chosen not in entry.releases:
        known = ", ".join(map(str, sorted(entry.releases)))
        raise failure(
            "unknown-release", f"{seat.model} has no release {chosen}", exit=Exit.USAGE, hint=f"releases: {known}"
        )
    arms = arms_of(entry.deployments[seat.environment].spec)
    there = next((arm for arm, release in arms.items() if release == chosen), None)
    if there is not None:
        raise failure(
            "already-there",
            f"release {chosen} is already {there.partition('-')[0]} in {seat.environment}",
            exit=Exit.NO,
        )
    if challenger:
        _require_room(entry, seat.environment, arms)
    role = f"challenger-{chosen}" if challenger else "candidate"
    refused = refusals(workspace, graph, tip, seat, chosen, role)
    refused += waiver_refusals(workspace, graph, tip, seat, chosen, role)
    refused += frozen(workspace, graph, seat, chosen, role)
    if refused:
        raise ModelOpsError(*(failure(r.code, r.reason, hint=r.hint).problems[0] for r in refused), exit=Exit.NO)
    stable = entry.deployments[seat.environment].spec.stable
    champion = entry.releases[stable].spec if stable is not None else None
    tried = _rehearsed(workspace, graph, seat, chosen, say)
    said = body(PromotionCase(seat, role, entry.releases[chosen].spec, champion, tried))
    return _open(workspace, tip, seat, chosen, role, said)


def due(workspace: Workspace, environment_name: str) -> tuple[tuple[str, int], ...]:
    """Return the models, each with the release that is stable in the environment before this one and is newer here.

    What is on trial here is not disturbed, what was denied, or whose pull request somebody closed, is not asked for
    again: that takes a person, who names the release.
    """
    graph = desired(workspace)[1]
    before = previous(graph, environment_name)
    found = []
    for name, entry in sorted(graph.models.items()) if before is not None else ():
        there, here = entry.deployments.get(before or ""), entry.deployments.get(environment_name)
        if there is None or here is None or there.spec.stable is None:
            continue
        number, arms = there.spec.stable, arms_of(here.spec)
        if arms.keys() - {"stable"} or number <= (here.spec.stable or 0):
            continue
        if any(one.release == number for one in here.spec.denied):
            continue
        branch = f"{_folder(Seat(name, environment_name))}{number}"
        if not workspace.forge.find(source=branch, state="closed", limit=1):
            found.append((name, number))
    return tuple(found)


def propose_return(workspace: Workspace, intent: Intent) -> Opened:
    """Open the pull request that takes a model back: the one file of the environment, as a revert would change it."""
    tip, graph = desired(workspace)
    seat, path = intent.seat, intent.seat.deployment
    deployment = deployment_of(workspace, graph, seat)
    why = f"{intent.by}: {intent.reason}"
    data = without_trial(deployment_bytes(workspace, tip, seat), deployment, path)
    if intent.stable != deployment.stable:
        data = set_value(data, "spec.stable", intent.stable, path)
    for number in intent.leaves:
        if all(one.release != number for one in deployment.denied):
            data = append(data, "spec.denied", {"release": number, "reason": why}, path)
    gone = " and ".join(map(str, intent.leaves))
    title = f"Roll {seat} back" + (f" to release {intent.stable}" if intent.stable is not None else "")
    body = f"Withdraws release {gone} of {seat.model} from {seat.environment} without analysis.\n\n{why}"
    branch = f"modelops/return/{slug(seat.model)}/{seat.environment}/{gone.replace(' and ', '-')}"
    said = with_presser(title, pressed_by(workspace.environ))
    commit = workspace.repository.commit_files(tip, {path: data}, said, workspace.person, workspace.clock())

    def same(head: str) -> bool:
        changed = workspace.repository.changed_paths(tip, head)
        return set(changed) == {path} and workspace.repository.read(head, path) == data

    label = f"return:{seat.model}:{seat.environment}"
    return open_pull(workspace, branch, commit, title, body, label, workspace.login, same)


def _rehearsed(
    workspace: Workspace, graph: Graph, seat: Seat, number: int, say: Callable[[str], None]
) -> Rehearsed | None:
    """Rehearse a release on the traffic of the place that it is to enter, or of another; what fails is told."""
    from modelops.rollouts.rehearsing import rehearse

    try:
        found = rehearse(workspace, graph, seat.model, number, seat.environment, say=say)
        return found if found.found is not None else rehearse(workspace, graph, seat.model, number, None, say=say)
    except ModelOpsError as error:
        # A promotion may be asked for on a machine without the store; what is approved is not what was rehearsed.
        say(f"not rehearsed: {error.first.message}")
        return None


def _require_room(entry: ModelEntry, name: str, arms: Mapping[Role, int]) -> None:
    """Refuse a challenger where nothing can be challenged, or where the strategy takes no further arm."""
    model = entry.model.name
    if "stable" not in arms or "candidate" not in arms:
        raise failure(
            "no-candidate",
            f"{model} has no stable release and candidate in {name} to challenge",
            exit=Exit.NO,
            hint=f"promote it as the candidate: modelops promote {model} --to {name}",
        )
    if entry.rollout is None:
        hint = f"write {ROLLOUT.path(model)}, with a strategy that takes more arms than two"
        raise failure(
            "no-rollout-plan", f"{model} has no rollout plan to judge a challenger by", exit=Exit.NO, hint=hint
        )
    plan = entry.rollout.spec.strategy.type
    most = strategies.bind(entry.rollout.spec.strategy, entry.rollout, "spec.strategy").module.ARMS[1]
    if len(arms) >= most:
        others = " or ".join(strategies_for(len(arms) + 1))
        raise failure(
            "too-many-arms",
            f"the strategy {plan} takes {most} arms, and {name} has {len(arms)}",
            exit=Exit.NO,
            hint=f"{others} would take it" if others else "wait until the rollout has ended",
        )


def _open(workspace: Workspace, tip: str, seat: Seat, chosen: int, role: Role, said: str) -> Proposal:
    path = seat.deployment
    label = f"promote:{seat.model}:{seat.environment}"
    data = workspace.repository.read(tip, path)
    folder = _folder(seat)
    if role == "candidate":
        branch = f"{folder}{chosen}"
        title = f"Promote {seat.model} release {chosen} to {seat.environment}"
        edited = set_value(data, "spec.candidate", chosen, path)
    else:
        branch = f"{folder}{role}"
        title = f"Promote {seat.model} release {chosen} to {seat.environment} as a challenger"
        label = f"{label}:{role}"
        edited = append(data, "spec.challengers", chosen, path)
    ask = PromotionAsk(model=seat.model, environment=seat.environment, release=chosen, role=role)
    message = with_presser(title, pressed_by(workspace.environ))
    commit = workspace.repository.commit_files(tip, {path: edited}, message, workspace.person, workspace.clock())
    body = with_ask(said, ask)
    same = same_change(workspace.repository, tip, ask, path, edited)
    opened = open_pull(workspace, branch, commit, title, body, label, workspace.login, same)
    older = [
        old
        for old in workspace.forge.find(label=label)
        if old.number < opened.pull.number and _supersedes(workspace.repository, tip, ask, old, folder)
    ]
    for old in older:
        workspace.forge.comment(old.number, "modelops/superseded", f"Superseded by #{opened.pull.number}.")
        workspace.forge.close(old.number)
    return Proposal(opened.pull, chosen, tuple(old.number for old in older), opened.already)


def _folder(seat: Seat) -> str:
    """Return what the branches of promotions to a seat begin with."""
    return f"modelops/promote/{slug(seat.model)}/{seat.environment}/"


def _supersedes(repository: Repository, tip: str, ask: PromotionAsk, old: PullRequest, folder: str) -> bool:
    """Tell whether an older pull request promotes to the same place, and does nothing else that closing it would lose.

    One of 0.1.0 has no block; its branch, below ``folder``, says which release it asked for.
    """
    asked = ask_in(old)
    if asked is None and ask.role == "candidate" and old.source.startswith(folder):
        number = old.source.removeprefix(folder)
        asked = ask.model_copy(update={"release": int(number)}) if re.fullmatch("[0-9]{1,9}", number) else None
    if not isinstance(asked, PromotionAsk):
        return False
    there = (asked.model, asked.environment, asked.role) == (ask.model, ask.environment, ask.role)
    return there and asks_for(repository, tip, old.head, asked)


def frozen(workspace: Workspace, graph: Graph, seat: Seat, number: int, role: Role) -> tuple[Refusal, ...]:
    """Return why the trial of a release may not begin now: a budget is spent, as the last look on this machine found.

    One that has begun goes on: its own guards watch it. Ways back are never held. A look counts until its period has
    passed; a machine that does not monitor knows of none.
    """
    kinds = environment(graph, seat.environment).spec.freeze
    if role == "stable" or not kinds:
        return ()
    site = workspace.site(seat.environment)
    begun = read_rollout(site, seat.model)
    if begun is not None and begun.arms.get(role) == number:
        return ()
    now = workspace.clock()
    try:
        budgets = read_kept(site.runtime, seat.model).budgets
    except ModelOpsError as error:
        # Who cannot tell whether a budget is spent begins no trial.
        return (Refusal(role, error.first.code, error.first.message, error.first.hint or ""),)
    return tuple(
        Refusal(
            role,
            "budget-spent",
            f"the error budget of {seat} is spent: {sentence(one)}",
            f"no trial begins until it has recovered: modelops monitor {seat.environment} --model {seat.model} looks "
            "again; what is live can go back: modelops rollback",
        )
        for one in budgets
        if one.promise in kinds and one.exhausted and now - parse_instant(one.until) < timedelta(days=one.period_days)
    )
