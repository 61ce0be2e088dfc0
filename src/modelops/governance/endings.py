"""The end of a rollout in git: who is stable, who is denied, and the signed outcome of every arm that was on trial."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelops.clock import format_instant
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.evidence.statements import RolloutWord
from modelops.forges import Opened, PullRequest
from modelops.governance.asks import ConclusionAsk, ask_in, asks_for, overtaken, stable_at, with_ask
from modelops.governance.history import arms_of, deployment_bytes, deployment_history, times_named
from modelops.governance.judged import graph_at, known
from modelops.governance.landing import land
from modelops.governance.promotions import covering_promotion, promotion_evidence
from modelops.governance.pulls import open_pull, same_change
from modelops.governance.returns import reverted_trial
from modelops.project.target import site_of
from modelops.project.workspace import MACHINE, Workspace, model_entry
from modelops.repository import Landing
from modelops.rollouts.memory import forget_rollout, read_rollout
from modelops.rollouts.salt import salt_of, strategy_digest
from modelops.rollouts.state import Role, RolloutEnd, RolloutState, course
from modelops.spec.graph import Graph
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.layout import PROMOTION_EVIDENCE, Seat, slug
from modelops.spec.yaml.edit import append, remove, set_value


@dataclass(frozen=True)
class Said:
    """What is signed about one arm of a rollout: the word for it, why, who says so, and how it comes to the branch."""

    outcome: RolloutWord
    reason: str
    by: str = MACHINE.name
    through: Literal["commit", "pull-request"] = "commit"


@dataclass(frozen=True)
class Ending:
    """How a rollout ends: ``stable`` is the release that becomes stable (None: as it was), ``denied`` name arms.

    ``said`` has one statement for every arm that was on trial.
    """

    seat: Seat
    stable: int | None
    denied: tuple[Role, ...]
    said: Mapping[Role, Said]


@dataclass(frozen=True)
class EndingCase:
    """What the reviewer of a rollout's end is told; ``state`` is None where this machine remembers nothing of it."""

    ending: Ending
    state: RolloutState | None
    reason: str


Body = Callable[[EndingCase], str]
"""Writes the pull request of a rollout's end."""


@dataclass(frozen=True, slots=True)
class Conclude:
    """Commit the end of a rollout with its evidence: the new stable, or the removal of what was on trial.

    ``release`` is the one that becomes stable, or the candidate; ``failed`` names the arms that are denied. With
    ``asks`` a pull request is opened instead, so that a person decides.
    """

    seat: Seat
    arms: Mapping[str, int]
    release: int
    outcome: RolloutEnd
    reason: str
    where: Location
    failed: tuple[str, ...] = ()
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The pull request that asks a person to let a rollout end well.

    ``stale`` says that what it changes has changed on the branch since, so that it must be written again. The state is
    unknown while the forge does not answer.
    """

    number: int
    state: Literal["open", "merged", "closed", "unknown"]
    stale: bool = False


def conclusion_branch(seat: Seat, salt: str, state: RolloutState | None) -> str:
    """Return the branch of the pull request that ends one rollout well; once an arm is out, it is another one."""
    without = "".join(f"-without-{state.arms[arm]}" for arm in state.evicted) if state is not None else ""
    return f"modelops/conclude/{slug(seat.model)}/{seat.environment}/{salt}{without}"


def concludes(
    workspace: Workspace,
    pull: PullRequest,
    seat: Seat,
    *,
    salt: str | None = None,
    on_trial: Collection[int] | None = None,
) -> bool:
    """Tell whether a pull request ends a rollout well: the loop wrote it and says so, or its commits do it.

    Without ``salt`` any rollout of the model there may be meant, without ``on_trial`` any release.
    """
    said = ask_in(pull)
    speaks = isinstance(said, ConclusionAsk) and pull.author.machine and salt in (None, said.salt)
    if speaks and said is not None and (said.model, said.environment) == (seat.model, seat.environment):
        return True
    tip, repository = pull.base if pull.state == "merged" else workspace.tip(), workspace.repository
    release = stable_at(repository, pull.head, seat)
    if release is None or (on_trial is not None and release not in on_trial):
        return False
    ask = ConclusionAsk(model=seat.model, environment=seat.environment, release=release, salt=salt or "")
    return asks_for(repository, tip, pull.head, ask)


def conclusion_label(seat: Seat) -> str:
    """Return the label of the pull requests that end rollouts of a model well."""
    return f"conclude:{seat.model}:{seat.environment}"


def asked(workspace: Workspace, seat: Seat, salt: str, state: RolloutState | None) -> Asked | None:
    """Return the newest pull request that asks a person to end this rollout well."""
    branch = conclusion_branch(seat, salt, state)
    arms = arms_of(model_entry(workspace.graph(workspace.tip()), seat.model).deployments[seat.environment].spec)
    on_trial = [release for arm, release in arms.items() if arm != "stable"]
    try:
        found = [
            pull
            for pull in workspace.forge.find(source=branch, state="all")
            if concludes(workspace, pull, seat, salt=salt, on_trial=on_trial)
        ]
        if not found:
            return None
        pull = found[0]
        return Asked(pull.number, pull.state, overtaken(workspace.repository, workspace.tip(), pull.head))
    except ModelOpsError:
        # What one model waits for must not hold up the environment.
        return Asked(0, "unknown")


def without_trial(data: bytes, deployment: DeploymentSpec, path: str) -> bytes:
    """Return an environment's file without anything on trial."""
    for key, there in (
        ("candidate", deployment.candidate is not None),
        ("challengers", bool(deployment.challengers)),
        ("paused", deployment.paused),
    ):
        data = remove(data, f"spec.{key}", path) if there else data
    return data


def ended(workspace: Workspace, tip: str, ending: Ending) -> dict[str, bytes]:
    """Return the files of a rollout's end: the environment's file, and the evidence of every arm that has a record."""
    graph = workspace.graph(tip)
    seat, path = ending.seat, ending.seat.deployment
    deployment: DeploymentSpec = model_entry(graph, seat.model).deployments[seat.environment].spec
    arms = arms_of(deployment)
    data = without_trial(deployment_bytes(workspace, tip, seat), deployment, path)
    if ending.stable is not None:
        data = set_value(data, "spec.stable", ending.stable, path)
    known = {denied.release for denied in deployment.denied}
    for arm in ending.denied:
        if arms[arm] not in known:
            data = append(data, "spec.denied", {"release": arms[arm], "reason": ending.said[arm].reason}, path)
    files = {path: data}
    for arm, said in ending.said.items():
        files |= signed(workspace, tip, seat, arm, said)
    return files


def remembered(workspace: Workspace, tip: str, seat: Seat) -> RolloutState | None:
    """Return the rollout that this machine's runtime remembers, if it is the one that git calls for."""
    state = read_rollout(site_of(workspace, seat.environment), seat.model)
    graph = workspace.graph(tip)
    entry = model_entry(graph, seat.model)
    arms = arms_of(entry.deployments[seat.environment].spec)
    if state is None or entry.rollout is None or state.arms != arms:
        return None
    return state if state.salt == salt_at(workspace, graph, tip, seat) else None


def salt_at(workspace: Workspace, graph: Graph, tip: str, seat: Seat) -> str:
    """Return the salt of the rollout that git calls for at a commit."""
    entry = model_entry(graph, seat.model)
    times = times_named(deployment_history(workspace.repository, tip, seat))
    strategy = entry.rollout.spec.strategy if entry.rollout is not None else None
    return salt_of(seat, times, arms_of(entry.deployments[seat.environment].spec), strategy)


def signed(workspace: Workspace, tip: str, seat: Seat, arm: Role, said: Said) -> dict[str, bytes]:
    """Return the evidence of an arm's promotion with a statement about its rollout added; nothing without a record."""
    from modelops.releases import rollout_outcome_line

    graph = workspace.graph(tip)
    entry = model_entry(graph, seat.model)
    arms = arms_of(entry.deployments[seat.environment].spec)
    record = covering_promotion(graph, seat, arms[arm])
    if record is None:
        return {}
    state = remembered(workspace, tip, seat)
    line = rollout_outcome_line(
        record.spec,
        stable=arms.get("stable"),
        outcome=said.outcome,
        reason=said.reason,
        step=state.step if state else 0,
        checks=state.checks if state else (),
        at=format_instant(workspace.clock()),
        signer=workspace.signer_for("rollout", tip),
        by=said.by,
        through=said.through,
        rollout=_told(graph, seat.model, arm, state) if state is not None else None,
    )
    evidence = promotion_evidence(workspace, tip, seat.model, record.name)
    return {PROMOTION_EVIDENCE.path(seat.model, record.name): evidence + line}


def _told(graph: Graph, model: str, arm: Role, state: RolloutState) -> dict[str, Any]:
    """Return what a replay needs; only the candidate's evidence has the steps, so that many arms do not repeat them."""
    told: dict[str, Any] = {"arm": arm, "arms": dict(state.arms), "salt": state.salt}
    plan = model_entry(graph, model).rollout
    if arm != "candidate" or plan is None:
        return told
    strategy = plan.spec.strategy
    return told | {
        "strategy": {"type": strategy.type, "params": dict(strategy.params), "digest": strategy_digest(strategy)},
        "onFailure": plan.spec.on_failure,
        **course(state),
    }


def conclude(workspace: Workspace, action: Conclude, body: Body) -> str:
    """Commit the end of a rollout with its signed evidence, or open the pull request for it; git may have moved on."""
    seat = action.seat
    through: Literal["commit", "pull-request"] = "pull-request" if action.asks else "commit"
    said = {
        arm: Said(_word(action, arm, release), action.reason, through=through)
        for arm, release in action.arms.items()
        if arm != "stable"
    }
    stable = action.release if action.outcome == "promote" else None
    ending = Ending(seat, stable, action.failed, said)

    def change(tip: str) -> Landing | None:
        graph = graph_at(workspace, tip)
        deployment: DeploymentSpec = model_entry(graph, seat.model).deployments[seat.environment].spec
        if arms_of(deployment) != action.arms:
            return None
        require_records(graph, ending, action.arms)
        word = {"promote": "is stable", "keep": "is withdrawn", "rollback": "is withdrawn"}[action.outcome]
        subject = f"{seat.model} release {action.release} {word} in {seat.environment}"
        return Landing(ended(workspace, tip, ending), f"{subject}\n\n{action.reason}\n")

    if action.asks:
        return _ask(workspace, action, ending, body)
    commit = land(workspace, change, "rollout")
    forget_rollout(site_of(workspace, seat.environment), seat.model)
    if commit is None:
        return f"{seat}: git says so already"
    close_asked(workspace, seat)
    return f"{seat.model} release {action.release} in {seat.environment}: {action.outcome}, commit {commit[:10]}"


def reverted(workspace: Workspace, tip: str, seat: Seat) -> dict[str, bytes]:
    """Return the files that take what a revert put back on trial out again; nothing where none did."""
    history = deployment_history(workspace.repository, tip, seat)
    moment = reverted_trial(history)
    if moment is None:
        return {}
    who = workspace.repository.commit(moment.commit).author.login
    said = Said("withdrawn", f"{who} went back to release {moment.stable}: {moment.subject}", by=who)
    on_trial = [arm for arm in history[0].arms if arm != "stable"]
    return ended(workspace, tip, Ending(seat, None, (), dict.fromkeys(on_trial, said)))


def _word(action: Conclude, arm: Role, release: int) -> RolloutWord:
    if action.outcome == "promote" and action.release == release:
        return "succeeded"
    return "failed" if arm in action.failed else "withdrawn"


def require_records(graph: Graph, ending: Ending, arms: Mapping[Role, int]) -> None:
    """Refuse to end a rollout of releases that nobody is recorded to have put on trial."""
    for arm in ending.said:
        if covering_promotion(graph, ending.seat, arms[arm]) is None:
            raise failure(
                "promotion-missing",
                f"{ending.seat.model} release {arms[arm]} has no promotion record in {ending.seat.environment}",
                exit=Exit.NO,
                hint=f"run modelops reconcile {ending.seat.environment} again",
            )


def _ask(workspace: Workspace, action: Conclude, ending: Ending, body: Body) -> str:
    tip, graph = known(workspace)
    state = remembered(workspace, tip, action.seat)
    if state is None:
        return f"{action.seat}: the rollout is no longer known"
    require_records(graph, ending, action.arms)
    opened = ask(workspace, tip, ending, state.salt, action.reason, MACHINE.name, body)
    what = f"pull request {opened.pull.number} asks to make release {action.release} stable"
    return f"{action.seat}: {what}"


def ask(workspace: Workspace, tip: str, ending: Ending, salt: str, reason: str, login: str, body: Body) -> Opened:
    """Open the pull request that ends a rollout well, or write the open one again; its head carries the evidence."""
    seat = ending.seat
    title = f"Make {seat.model} release {ending.stable} stable in {seat.environment}"
    person = workspace.machine if login == MACHINE.name else workspace.person
    files = ended(workspace, tip, ending)
    commit = workspace.repository.commit_files(tip, files, f"{title}\n\n{reason}\n", person, workspace.clock())
    state = remembered(workspace, tip, seat)
    asked = ConclusionAsk(model=seat.model, environment=seat.environment, release=ending.stable or 0, salt=salt)
    said = with_ask(body(EndingCase(ending, state, reason)), asked)
    branch = conclusion_branch(seat, salt, state)
    label = conclusion_label(seat)
    path = seat.deployment
    same = same_change(workspace.repository, tip, asked, path, files[path])
    return open_pull(workspace, branch, commit, title, said, label, login, same)


def close_asked(workspace: Workspace, seat: Seat) -> None:
    """Close the pull requests that would end a rollout which has ended.

    A forge that is away keeps nothing from ending: a pull request that stays open changes files that have changed, so
    that it can no longer be merged.
    """
    label = conclusion_label(seat)
    with contextlib.suppress(ModelOpsError):
        forge = workspace.forge_as(MACHINE.name)
        for pull in forge.find(label=label):
            if concludes(workspace, pull, seat):
                forge.close(pull.number)
