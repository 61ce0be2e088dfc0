"""The end of a rollout in git: who is stable, who is denied, and the signed outcome of every arm that was on trial."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from modelops.clock import format_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.evidence.statements import RolloutWord
from modelops.forges import PullRequest
from modelops.reconcile.actions import Conclude, Role
from modelops.reconcile.history import arms_of, deployment_history, deployment_path, times_named
from modelops.reconcile.promotion import covering_promotion, open_pull, promotion_evidence
from modelops.reconcile.rollout import RolloutState, salt_of, strategy_digest
from modelops.reconcile.state import forget_rollout, read_rollout
from modelops.reconcile.workspace import MACHINE, Workspace, model_entry, slug
from modelops.repository import Landing
from modelops.spec.delivery import DeploymentSpec
from modelops.spec.edit import append, remove, set_value
from modelops.spec.graph import Graph


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

    model: str
    environment: str
    stable: int | None
    denied: tuple[Role, ...]
    said: Mapping[Role, Said]


def conclusion_branch(model: str, environment: str, salt: str, state: RolloutState | None) -> str:
    """Return the branch of the pull request that ends one rollout well; once an arm is out, it is another one."""
    without = "".join(f"-without-{state.arms[arm]}" for arm in state.evicted) if state is not None else ""
    return f"modelops/conclude/{slug(model)}/{environment}/{salt}{without}"


def conclusion_label(model: str, environment: str) -> str:
    """Return the label of the pull requests that end rollouts of a model well."""
    return f"conclude:{model}:{environment}"


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
    path = deployment_path(ending.model, ending.environment)
    deployment: DeploymentSpec = model_entry(graph, ending.model).deployments[ending.environment].spec
    arms = arms_of(deployment)
    data = without_trial(workspace.repository.read(tip, path), deployment, path)
    if ending.stable is not None:
        data = set_value(data, "spec.stable", ending.stable, path)
    known = {denied.release for denied in deployment.denied}
    for arm in ending.denied:
        if arms[arm] not in known:
            data = append(data, "spec.denied", {"release": arms[arm], "reason": ending.said[arm].reason}, path)
    files = {path: data}
    for arm, said in ending.said.items():
        files |= signed(workspace, tip, ending.model, ending.environment, arm, said)
    return files


def remembered(workspace: Workspace, tip: str, model: str, environment: str) -> RolloutState | None:
    """Return the rollout that this machine's runtime remembers, if it is the one that git calls for."""
    state = read_rollout(workspace.site(environment), model)
    entry = model_entry(workspace.graph(tip), model)
    arms = arms_of(entry.deployments[environment].spec)
    if state is None or entry.rollout is None or state.arms != arms:
        return None
    times = times_named(deployment_history(workspace.repository, tip, model, environment))
    return state if state.salt == salt_of(model, environment, times, arms, entry.rollout.spec.strategy) else None


def signed(workspace: Workspace, tip: str, model: str, environment: str, arm: Role, said: Said) -> dict[str, bytes]:
    """Return the evidence of an arm's promotion with a statement about its rollout added; nothing without a record."""
    from modelops.releases import rollout_outcome_line

    graph = workspace.graph(tip)
    entry = model_entry(graph, model)
    arms = arms_of(entry.deployments[environment].spec)
    record = covering_promotion(graph, model, environment, arms[arm])
    if record is None:
        return {}
    state = remembered(workspace, tip, model, environment)
    line = rollout_outcome_line(
        record.spec,
        stable=arms.get("stable"),
        outcome=said.outcome,
        reason=said.reason,
        step=state.step + 1 if state else 0,
        checks=state.checks if state else (),
        at=format_instant(workspace.clock()),
        signer=workspace.signer,
        by=said.by,
        through=said.through,
        rollout=_told(graph, model, arm, state) if state is not None else None,
    )
    evidence = promotion_evidence(workspace, tip, model, record.name)
    return {f"models/{model}/promotions/{record.name}.intoto.jsonl": evidence + line}


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
        "steps": [asdict(step) for step in state.steps],
        "decisions": [asdict(each) for each in state.decisions],
    }


def conclude(workspace: Workspace, action: Conclude) -> str:
    """Commit the end of a rollout with its signed evidence, or open the pull request for it; git may have moved on."""
    through: Literal["commit", "pull-request"] = "pull-request" if action.asks else "commit"
    said = {
        arm: Said(_word(action, arm, release), action.reason, through=through)
        for arm, release in action.arms.items()
        if arm != "stable"
    }
    stable = action.release if action.outcome == "promote" else None
    ending = Ending(action.model, action.environment, stable, action.failed, said)

    def change(tip: str) -> Landing | None:
        graph = workspace.graph(tip)
        deployment: DeploymentSpec = model_entry(graph, action.model).deployments[action.environment].spec
        if arms_of(deployment) != action.arms:
            return None
        require_records(graph, ending, action.arms)
        word = {"promote": "is stable", "keep": "is withdrawn", "rollback": "is withdrawn"}[action.outcome]
        subject = f"{action.model} release {action.release} {word} in {action.environment}"
        return Landing(ended(workspace, tip, ending), f"{subject}\n\n{action.reason}\n")

    if action.asks:
        return _ask(workspace, action, ending)
    commit = workspace.repository.land(workspace.branch, change, MACHINE, workspace.clock())
    forget_rollout(workspace.site(action.environment), action.model)
    if commit is None:
        return f"{action.model} in {action.environment}: git says so already"
    close_asked(workspace, action.model, action.environment)
    return f"{action.model} release {action.release} in {action.environment}: {action.outcome}, commit {commit[:10]}"


def _word(action: Conclude, arm: Role, release: int) -> RolloutWord:
    if action.outcome == "promote" and action.release == release:
        return "succeeded"
    return "failed" if arm in action.failed else "withdrawn"


def require_records(graph: Graph, ending: Ending, arms: Mapping[Role, int]) -> None:
    """Refuse to end a rollout of releases that nobody is recorded to have put on trial."""
    for arm in ending.said:
        if covering_promotion(graph, ending.model, ending.environment, arms[arm]) is None:
            raise failure(
                "promotion-missing",
                f"{ending.model} release {arms[arm]} has no promotion record in {ending.environment}",
                exit=Exit.NO,
                hint=f"run modelops reconcile {ending.environment} again",
            )


def _ask(workspace: Workspace, action: Conclude, ending: Ending) -> str:
    tip, graph = workspace.known()
    state = remembered(workspace, tip, action.model, action.environment)
    if state is None:
        return f"{action.model} in {action.environment}: the rollout is no longer known"
    require_records(graph, ending, action.arms)
    pull = ask(workspace, tip, ending, state.salt, action.reason, MACHINE.name)
    what = f"pull request {pull.number} asks to make release {action.release} stable"
    return f"{action.model} in {action.environment}: {what}"


def ask(workspace: Workspace, tip: str, ending: Ending, salt: str, reason: str, login: str) -> PullRequest:
    """Open the pull request that ends a rollout well, or write the open one again; its head carries the evidence."""
    title = f"Make {ending.model} release {ending.stable} stable in {ending.environment}"
    person = MACHINE if login == MACHINE.name else workspace.person
    files = ended(workspace, tip, ending)
    commit = workspace.repository.commit_files(tip, files, f"{title}\n\n{reason}\n", person, workspace.clock())
    state = remembered(workspace, tip, ending.model, ending.environment)
    body = _report(ending, state, reason)
    branch = conclusion_branch(ending.model, ending.environment, salt, state)
    label = conclusion_label(ending.model, ending.environment)
    return open_pull(workspace, branch, commit, title, body, label, login)


def close_asked(workspace: Workspace, model: str, environment: str) -> None:
    """Close the pull requests that would end a rollout which has ended.

    A forge that is away keeps nothing from ending: a pull request that stays open changes files that have changed, so
    that it can no longer be merged.
    """
    label = conclusion_label(model, environment)
    with contextlib.suppress(ModelOpsError):
        for pull in workspace.forge.list("open"):
            if label in pull.labels:
                workspace.forge.close(pull.number)


def _report(ending: Ending, state: RolloutState | None, reason: str) -> str:
    """Return what the reviewer of a rollout's end reads."""
    lines = [f"Makes release {ending.stable} of {ending.model} stable in {ending.environment}: {reason}.", ""]
    if state is None:
        return "\n".join([*lines, "The runtime of this machine remembers nothing of the rollout."])
    lines += ["| step | began | weights | decision |", "| --- | --- | --- | --- |"]
    for number, step in enumerate(state.steps):
        weights = ", ".join(f"{arm} {weight:.0%}" for arm, weight in step.traffic.weights.items())
        decided = "; ".join(each.reason for each in state.decisions if each.step == number and each.action != "begin")
        lines.append(f"| {number + 1} | {step.started} | {weights} | {_cell(decided)} |")
    lines += [
        "",
        *(f"- {check['verdict']}: {check['arm']}: {check['name']}: {check['reason']}" for check in state.checks),
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
