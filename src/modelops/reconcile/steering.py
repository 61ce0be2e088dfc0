"""What a person may do to a rollout beside ending it: pause it, resume it, or ask to end it well at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import PullRequest
from modelops.reconcile.concluding import Ending, Said, ask, require_records, signed
from modelops.reconcile.history import arms_of, deployment_path
from modelops.reconcile.observe import asked, model_facts
from modelops.reconcile.plan import salt
from modelops.reconcile.promotion import refusals
from modelops.reconcile.rollback import deployment_of, not_on_trial
from modelops.reconcile.workspace import Workspace
from modelops.repository import Landing
from modelops.spec.edit import remove, set_value


@dataclass(frozen=True, slots=True)
class Steered:
    """What was done to a rollout, and the commit that says so."""

    model: str
    environment: str
    outcome: Literal["paused", "resumed"]
    commit: str


def steer(workspace: Workspace, model: str, name: str, outcome: Literal["paused", "resumed"], reason: str) -> Steered:
    """Pause or resume a rollout by a commit that carries the signed record of who did it and why."""
    path = deployment_path(model, name)

    def change(tip: str) -> Landing | None:
        deployment = deployment_of(workspace, workspace.graph(tip), model, name)
        if deployment.candidate is None:
            raise not_on_trial(model, name)
        if deployment.paused == (outcome == "paused"):
            already = "paused already" if deployment.paused else "not paused"
            raise failure(
                f"rollout-{already.replace(' ', '-')}", f"the rollout of {model} in {name} is {already}", exit=Exit.NO
            )
        data = workspace.repository.read(tip, path)
        edited = (
            set_value(data, "spec.paused", True, path) if outcome == "paused" else remove(data, "spec.paused", path)
        )
        said = Said(outcome, f"{workspace.login}: {reason}", by=workspace.login)
        files = {path: edited, **signed(workspace, tip, model, name, "candidate", said)}
        verb = "Pause" if outcome == "paused" else "Resume"
        return Landing(files, f"{verb} the rollout of {model} in {name}\n\n{reason}\n")

    commit = workspace.repository.land(workspace.branch, change, workspace.person, workspace.clock())
    return Steered(model, name, outcome, commit or workspace.tip())


def promote_now(workspace: Workspace, model: str, name: str, release: int | None, reason: str) -> PullRequest:
    """Open the pull request that makes a release on trial stable without waiting for its rollout.

    One that is open for this rollout already is returned as it is.
    """
    tip, graph = workspace.desired()
    arms = arms_of(deployment_of(workspace, graph, model, name))
    on_trial = {arm: number for arm, number in arms.items() if arm != "stable"}
    if not on_trial:
        raise not_on_trial(model, name)
    winner = next((arm for arm, number in on_trial.items() if release in (None, number)), None)
    if winner is None:
        known = ", ".join(map(str, on_trial.values()))
        raise failure(
            "not-on-trial", f"release {release} is not on trial in {name}", exit=Exit.USAGE, hint=f"on trial: {known}"
        )
    refused = refusals(workspace, graph, tip, model, name, on_trial[winner], winner)
    if refused:
        raise ModelOpsError(*(failure(r.code, r.reason, hint=r.hint).problems[0] for r in refused), exit=Exit.NO)
    facts = model_facts(workspace, graph, tip, name, model, {}, None)
    assert facts is not None, "something is on trial"
    open_already = asked(workspace, facts)
    if open_already is not None and open_already.state == "open" and not open_already.stale:
        return workspace.forge.get(open_already.number)
    why = f"{workspace.login}: {reason}"
    said = {
        arm: Said("overridden" if arm == winner else "withdrawn", why, workspace.login, "pull-request")
        for arm in on_trial
    }
    ending = Ending(model, name, on_trial[winner], (), said)
    require_records(graph, ending, arms)
    return ask(workspace, tip, ending, salt(facts), why, workspace.login)
