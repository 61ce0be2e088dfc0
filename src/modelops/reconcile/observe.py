"""Observing: the only place that reads the world for a plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from modelops import plugins
from modelops.artifacts import open_artifact
from modelops.clock import parse_instant
from modelops.errors import ModelOpsError
from modelops.predictions import DIRECTORY as LOG
from modelops.predictions import arm_rows, shadow_pairs
from modelops.reconcile.actions import Role
from modelops.reconcile.concluding import conclusion_branch
from modelops.reconcile.history import Moment, arms_of, deployment_history, times_named
from modelops.reconcile.measuring import arm_data, shadow_data
from modelops.reconcile.plan import Asked, ModelFacts, Refusal, Unrecorded, current, salt
from modelops.reconcile.promotion import Claim, needs_record, refusals, unacceptable
from modelops.reconcile.rollout import RolloutState
from modelops.reconcile.state import read_rollout
from modelops.reconcile.workspace import Workspace, environment, model_entry, parameters
from modelops.spec.delivery import DeploymentSpec, ReleaseSpec, RolloutPlanSpec
from modelops.spec.graph import Graph
from modelops.spec.model import ModelSpec
from modelops.spec.rollouts import PLAN_CODES
from modelops.spec.routing import FILE_NAME, Route, RoutingTable
from modelops.strategies import Progress, Segment
from modelops.targets import Observed, Site


def target_of(graph: Graph, name: str) -> tuple[Any, Any]:
    """Return an environment's target module and its validated parameters."""
    spec = environment(graph, name).spec
    module = plugins.load("targets", spec.target.type)
    return module, parameters(module, spec.target)


def running_table(site: Site) -> RoutingTable | None:
    """Return the routing table that the runtime was last given; an unreadable one counts as none."""
    try:
        return RoutingTable.model_validate_json((site.runtime / FILE_NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def observe_target(graph: Graph, name: str, site: Site) -> Observed:
    """Ask the target what runs."""
    module, params = target_of(graph, name)
    observed: Observed = module.observe(params, site)
    return observed


def progress(site: Site, model: str, spec: ModelSpec, state: RolloutState, now: datetime) -> Progress:
    """Return what traffic has said in each step of a rollout so far."""
    path = site.runtime / LOG
    rows = arm_rows(path, model, state.salt, objective_ms=spec.serving.latency_objective_ms)
    copied = any(step.traffic.shadows for step in state.steps)
    pairs = shadow_pairs(path, model, state.salt) if copied else {}
    segments = []
    for number, step in enumerate(state.steps):
        # Steps are logged from 1.
        arms = {arm: arm_data(spec, rows[number + 1, arm]) for arm in state.arms if (number + 1, arm) in rows}
        shadows = shadow_data(spec, pairs, number, arms, step.traffic)
        segments.append(Segment(number, step.traffic, arms, shadows))
    return Progress(
        state.step,
        parse_instant(state.steps[-1].started),
        now,
        tuple(segments),
        tuple(state.arms),
        parse_instant(state.steps[0].started),
        state.smoke,
        seed=int(state.salt, 16) + state.step,
    )


def _with_rollout(workspace: Workspace, graph: Graph, site: Site, facts: ModelFacts) -> ModelFacts:
    entry = model_entry(graph, facts.model)
    plan: RolloutPlanSpec | None = entry.rollout.spec if entry.rollout is not None else None
    if plan is None or facts.candidate is None or any(refusal.code in PLAN_CODES for refusal in facts.refusals):
        return facts
    module = plugins.load("strategies", plan.strategy.type)
    params = parameters(module, plan.strategy)
    state = read_rollout(site, facts.model)
    facts = replace(
        facts,
        rollout=state,
        begin=module.begin(params, tuple(facts.arms)),
        strategy=plan.strategy,
        on_failure=plan.on_failure,
        on_success=plan.on_success,
        next_step=lambda seen: module.next_step(params, seen),
    )
    if state is None or current(facts) is None:
        return facts
    waits = state.outcome == "promote" and plan.on_success == "pull-request"
    if waits:
        facts = replace(facts, asked=asked(workspace, facts))
    if state.outcome is not None and not waits and not facts.paused:
        return facts
    seen = progress(site, facts.model, entry.model.spec, state, workspace.clock())
    return replace(facts, progress=replace(seen, tolerant=plan.on_failure == "alert"))


def asked(workspace: Workspace, facts: ModelFacts) -> Asked | None:
    """Return the newest pull request that asks a person to end this rollout well."""
    branch = conclusion_branch(facts.model, facts.environment, salt(facts), current(facts))
    try:
        found = [pull for pull in workspace.forge.list("all") if pull.source == branch]
    except ModelOpsError:
        # What one model waits for must not hold up the environment.
        return Asked(0, "unknown")
    if not found:
        return None
    pull = found[-1]
    repository = workspace.repository
    fork = repository.merge_base(pull.head, workspace.tip())
    theirs = set(repository.changed_paths(fork, pull.head))
    return Asked(pull.number, pull.state, not theirs.isdisjoint(repository.changed_paths(fork, workspace.tip())))


def _legitimacy(
    workspace: Workspace, graph: Graph, tip: str, facts: ModelFacts, history: tuple[Moment, ...]
) -> tuple[tuple[Refusal, ...], tuple[Unrecorded, ...]]:
    refused: list[Refusal] = []
    unrecorded: list[Unrecorded] = []
    for role, number in facts.arms.items():
        claim = Claim(workspace, graph, tip, facts.model, facts.environment, role, number, history)
        moment, bad_record = needs_record(claim)
        if bad_record is not None:
            refused.append(bad_record)
        refused += refusals(workspace, graph, tip, facts.model, facts.environment, number, role)
        if moment is None:
            continue
        problem = unacceptable(claim, moment)
        if problem is not None:
            refused.append(problem)
        else:
            unrecorded.append(Unrecorded(role, number, moment.commit))
    return tuple(refused), tuple(unrecorded)


def _running_route(site: Site, model: str) -> Route | None:
    table = running_table(site)
    return table.models.get(model) if table is not None else None


def _artifacts(
    workspace: Workspace, numbers: Mapping[Role, int], releases: Mapping[int, ReleaseSpec], loaded: Collection[str]
) -> tuple[tuple[int, ...], tuple[Refusal, ...]]:
    """Return which releases the store has lost, and which ones it holds with other bytes than were released.

    What runs was verified when it was loaded, so that a pass over a healthy environment reads no artifact.
    """
    lost: dict[int, None] = {}
    damaged: list[Refusal] = []
    for role, number in numbers.items():
        digest = releases[number].artifact.digest
        if digest in loaded and workspace.store.has(digest):
            continue
        try:
            open_artifact(workspace.store, digest)
        except ModelOpsError as error:
            problem = error.problems[0]
            if problem.code == "not-in-store":
                lost[number] = None
                continue
            reason = f"the artifact of release {number} is damaged: {problem.message}"
            hint = f"delete {problem.location} and reconcile again: it is rebuilt from git" if problem.location else ""
            damaged.append(Refusal(role, problem.code, reason, hint or problem.hint or "copy the store again"))
    return tuple(lost), tuple(damaged)


def model_facts(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    name: str,
    model: str,
    held: Mapping[str, str],
    loaded: Collection[str] | None,
) -> ModelFacts | None:
    """Return the facts about one model in one environment, or None when it has no release there.

    ``loaded`` are the artifacts that the runtime answers with; None leaves the store out of it.
    """
    entry = model_entry(graph, model)
    resource = entry.deployments.get(name)
    if resource is None:
        return None
    deployment: DeploymentSpec = resource.spec
    numbers = arms_of(deployment)
    if not numbers:
        return None
    site = workspace.site(name)
    releases: dict[int, ReleaseSpec] = {number: entry.releases[number].spec for number in numbers.values()}
    history = deployment_history(workspace.repository, tip, model, name)
    lost, damaged = _artifacts(workspace, numbers, releases, loaded) if loaded is not None else ((), ())
    facts = ModelFacts(
        model=model,
        environment=name,
        where=resource.where("spec"),
        serving=entry.model.spec.serving,
        stable=deployment.stable,
        candidate=deployment.candidate,
        challengers=deployment.challengers,
        paused=deployment.paused,
        denied=tuple(denied.release for denied in deployment.denied),
        digests={number: release.artifact.digest for number, release in releases.items()},
        lost=lost,
        held_by=held.get(model),
        running=_running_route(site, model),
        direct=environment(graph, name).spec.rollout == "direct",
        times=times_named(history),
    )
    refused, unrecorded = _legitimacy(workspace, graph, tip, facts, history)
    refused += damaged
    if facts.candidate is not None and facts.stable is not None and not facts.direct and entry.rollout is None:
        hint = f"write models/{model}/rollout.yaml, or say `rollout: direct` in policies/environments/{name}.yaml"
        refused += (Refusal("candidate", "no-rollout-plan", f"{model} has no rollout plan to judge it by", hint),)
    return _with_rollout(workspace, graph, site, replace(facts, refusals=refused, unrecorded=unrecorded))


def environment_facts(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    name: str,
    held: Mapping[str, str],
    loaded: Collection[str] | None,
) -> tuple[ModelFacts, ...]:
    """Return the facts about every model that has a release in an environment."""
    environment(graph, name)
    found = (model_facts(workspace, graph, tip, name, model, held, loaded) for model in sorted(graph.models))
    return tuple(facts for facts in found if facts is not None)
