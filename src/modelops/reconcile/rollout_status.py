"""How a rollout stands: who takes how much, what it waits for, and the numbers of every guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from modelops import plugins
from modelops.reconcile.actions import describe, to_dict
from modelops.reconcile.loop import look
from modelops.reconcile.plan import ModelFacts, current, route
from modelops.reconcile.rollback import deployment_of
from modelops.reconcile.rollout import RolloutState, checks_as_data
from modelops.reconcile.workspace import Workspace, model_entry, parameters
from modelops.spec.delivery import RolloutPlanSpec


def rollout_status(workspace: Workspace, model: str, name: str) -> dict[str, Any]:
    """Return everything about the rollout of a model in an environment as plain data, observed now."""
    _, graph = workspace.desired()
    deployment_of(workspace, graph, model, name)
    seen = look(workspace, name, {})
    facts = next((found for found in seen.facts if found.model == model), None)
    entries = [entry for entry in seen.plan.entries if getattr(entry, "model", None) == model]
    plan = model_entry(graph, model).rollout
    return {
        "model": model,
        "environment": name,
        "strategy": plan.spec.strategy.type if plan is not None else None,
        "onFailure": plan.spec.on_failure if plan is not None else None,
        "onSuccess": plan.spec.on_success if plan is not None else None,
        "paused": facts.paused if facts is not None else False,
        "arms": _arms(facts) if facts is not None else [],
        **(_rollout(facts) if facts is not None else {"rollout": None, "checks": []}),
        "next": [to_dict(entry) for entry in entries],
        "waitsFor": [describe(entry) for entry in entries],
        "forecast": _forecast(plan.spec) if plan is not None else [],
    }


def _arms(facts: ModelFacts) -> list[dict[str, Any]]:
    """Return every arm that git names, with its share in the routes that git calls for and what it did in this step."""
    wanted = route(facts)
    shares = {arm.name: arm for arm in wanted.arms} if wanted is not None else {}
    running = facts.progress.segments[-1] if facts.progress is not None else None
    rows = []
    for name, release in facts.arms.items():
        share, did = shares.get(name), running.arm(name) if running is not None else None
        pairs = running.shadows.get(name) if running is not None else None
        rows.append(
            {
                "arm": name,
                "release": release,
                "weight": share.weight if share is not None else 0.0,
                "shadow": share.shadow if share is not None else 0.0,
                "requests": did.requests if did is not None else 0,
                "errors": did.errors if did is not None else 0,
                "slow": did.slow if did is not None else 0,
                "labels": len(did.losses) if did is not None else 0,
                "pairs": pairs.pairs if pairs is not None else 0,
            }
        )
    return rows


def _rollout(facts: ModelFacts) -> dict[str, Any]:
    state = current(facts)
    if state is None:
        return {"rollout": None, "checks": []}
    found = {
        "step": state.step + 1,
        "started": state.steps[0].started,
        "stepStarted": state.steps[-1].started,
        "salt": state.salt,
        "outcome": state.outcome,
        "pullRequest": asdict(facts.asked) if facts.asked is not None else None,
        "smoke": asdict(state.smoke) if state.smoke is not None else None,
        "decisions": [asdict(each) for each in state.decisions],
    }
    return {"rollout": found, "checks": _checks(facts, state)}


def _checks(facts: ModelFacts, state: RolloutState) -> list[Mapping[str, Any]]:
    """Return each guard's numbers now, or those of the decision once there is one."""
    if facts.progress is not None and facts.next_step is not None:
        return list(checks_as_data(facts.next_step(facts.progress).checks))
    return list(state.checks)


def _forecast(plan: RolloutPlanSpec) -> list[dict[str, Any]]:
    if plan.expect is None:
        return []
    module = plugins.load("strategies", plan.strategy.type)
    return [asdict(each) for each in module.forecast(parameters(module, plan.strategy), plan.expect)]


def rollout_text(found: Mapping[str, Any]) -> str:
    """Return the status of a rollout for people."""
    where = f"{found['model']} in {found['environment']}"
    state = found["rollout"]
    if state is None:
        lines = [f"{where}: no rollout is running"]
    else:
        how = f", decided: {state['outcome']}" if state["outcome"] else ", paused" if found["paused"] else ""
        lines = [f"{where}: {found['strategy']}, step {state['step']} since {state['stepStarted']}{how}"]
    for arm in found["arms"]:
        copies = f", a copy of {arm['shadow']:.0%}" if arm["shadow"] else ""
        did = f"{arm['requests']} requests, {arm['errors']} errors, {arm['slow']} slow, {arm['labels']} labels"
        lines.append(f"  {arm['arm']}: release {arm['release']}, {arm['weight']:.1%} of the traffic{copies}; {did}")
    lines += [f"  {check['verdict']:12} {check['arm']}: {check['reason']}" for check in found["checks"]]
    lines += [f"  {text}" for text in found["waitsFor"]]
    for each in found["forecast"]:
        need = f"{each['requests']} requests" if each["requests"] is not None else "no traffic would be enough"
        time = f", {each['minutes']:.0f} minutes" if each["minutes"] is not None else ""
        late = "" if each["sees"] else ": not before its deadline"
        lines.append(f"  forecast, step {each['step'] + 1}: {each['what']}: {need}{time}{late}")
    return "\n".join(lines)
