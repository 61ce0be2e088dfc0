"""What git says about one model in one environment: the only input of a plan that is the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from modelops import strategies
from modelops.errors import Location
from modelops.governance.history import Moment, arms_of, deployment_history, times_named
from modelops.governance.pending import Intent
from modelops.governance.promotions import Claim, Refusal, Unrecorded, needs_record, refusals, unacceptable
from modelops.governance.proposals import frozen
from modelops.governance.returns import without_reverted
from modelops.project.workspace import Workspace, environment, model_entry
from modelops.rollouts.salt import salt_of
from modelops.rollouts.state import Role, arms_in_order
from modelops.spec.graph import Graph
from modelops.spec.kinds import Resource
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.model import Serving
from modelops.spec.layout import ENVIRONMENT, ROLLOUT, Seat
from modelops.spec.meta import Plugin
from modelops.spec.rollouts import PLAN_CODES
from modelops.strategies import Traffic

__all__ = ["Desired", "desired_of"]


@dataclass(frozen=True)
class Desired:
    """What git calls for: the releases by arm, how they are answered, how a trial goes, and what may not be.

    ``times`` is how often git has named the arms anew. ``refusals`` say which arms may not run and why, ``unrecorded``
    which changes of an arm still lack their record; ``begin`` is the traffic of a trial's first step; ``said`` is
    the file itself.
    """

    seat: Seat
    serving: Serving
    stable: int | None
    candidate: int | None
    denied: tuple[int, ...]
    digests: Mapping[int, str]
    challengers: tuple[int, ...] = ()
    paused: bool = False
    direct: bool = False
    times: int = 0
    strategy: Plugin | None = None
    begin: Traffic | None = None
    on_failure: Literal["rollback", "hold", "alert"] = "rollback"
    on_success: Literal["commit", "pull-request"] = "commit"
    refusals: tuple[Refusal, ...] = ()
    unrecorded: tuple[Unrecorded, ...] = ()
    said: Resource[DeploymentSpec] | None = None
    review: float = 0.0

    @property
    def where(self) -> Location:
        """The place in git that calls for it."""
        if self.said is None:
            return Location(self.seat.deployment)
        return self.said.where("spec")

    @property
    def arms(self) -> dict[Role, int]:
        """Every release that git names here, by the arm that it is, in their order."""
        return arms_in_order(self.stable, self.candidate, self.challengers)

    @property
    def salt(self) -> str:
        """The salt of the rollout that git calls for."""
        return salt_of(self.seat, self.times, self.arms, self.strategy)


def desired_of(
    workspace: Workspace, graph: Graph, tip: str, seat: Seat, intent: Intent | None = None
) -> Desired | None:
    """Return what git says about a model in an environment, or None where it names no release.

    ``intent`` is what a person decided here in an emergency: the graph says so already, and no record can yet. What
    only git decides is found once for a tip; where the forge was asked, it is asked again.
    """
    if intent is not None:
        return _desired(workspace, graph, tip, seat, intent)
    key = ("desired", tip, seat)
    return workspace.once(key, lambda: _desired(workspace, graph, tip, seat, None), _settled)


def _settled(found: Desired | None) -> bool:
    return found is None or not (found.refusals or found.unrecorded)


def _desired(workspace: Workspace, graph: Graph, tip: str, seat: Seat, intent: Intent | None) -> Desired | None:
    entry = model_entry(graph, seat.model)
    resource = entry.deployments.get(seat.environment)
    if resource is None or not arms_of(resource.spec):
        return None
    deployment: DeploymentSpec = resource.spec
    history = deployment_history(workspace.repository, tip, seat)
    numbers = without_reverted(arms_of(deployment), history)
    found = Desired(
        seat=seat,
        serving=entry.model.spec.serving,
        review=entry.model.spec.review,
        stable=deployment.stable,
        candidate=numbers.get("candidate"),
        denied=tuple(denied.release for denied in deployment.denied),
        digests={number: entry.releases[number].spec.artifact.digest for number in numbers.values()},
        challengers=tuple(release for arm, release in numbers.items() if arm not in ("stable", "candidate")),
        paused=deployment.paused,
        direct=environment(graph, seat.environment).spec.rollout == "direct",
        times=times_named(history),
        said=resource,
    )
    refused, unrecorded = _legitimacy(workspace, graph, tip, found, history, intent)
    found = replace(found, refusals=refused, unrecorded=unrecorded)
    return _with_plan(graph, found)


def _legitimacy(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    found: Desired,
    history: tuple[Moment, ...],
    intent: Intent | None,
) -> tuple[tuple[Refusal, ...], tuple[Unrecorded, ...]]:
    refused: list[Refusal] = []
    unrecorded: list[Unrecorded] = []
    for role, number in found.arms.items():
        refused += refusals(workspace, graph, tip, found.seat, number, role)
        refused += frozen(workspace, graph, found.seat, number, role)
        if intent is not None and role == "stable":
            # A person went back to it here; what proves it is made when git can be told.
            continue
        claim = Claim(workspace, graph, tip, found.seat, role, number, history)
        moment, bad_record = needs_record(claim)
        refused += [bad_record] if bad_record is not None else []
        if moment is None:
            continue
        problem, approved = unacceptable(claim, moment)
        if problem is not None:
            refused.append(problem)
        else:
            unrecorded.append(Unrecorded(role, number, moment.commit, approved))
    return tuple(refused), tuple(unrecorded)


def _with_plan(graph: Graph, found: Desired) -> Desired:
    """Add how a candidate is tried; one without a plan to judge it by is refused."""
    if found.candidate is None:
        return found
    rollout = model_entry(graph, found.seat.model).rollout
    if rollout is None:
        if found.stable is None or found.direct:
            return found
        path = ENVIRONMENT.path(None, found.seat.environment)
        hint = f"write {ROLLOUT.path(found.seat.model)}, or say `rollout: direct` in {path}"
        said = f"{found.seat.model} has no rollout plan to judge it by"
        return replace(found, refusals=(*found.refusals, Refusal("candidate", "no-rollout-plan", said, hint)))
    if any(refusal.code in PLAN_CODES for refusal in found.refusals):
        return found
    bound = strategies.bind(rollout.spec.strategy, rollout, "spec.strategy")
    return replace(
        found,
        strategy=rollout.spec.strategy,
        begin=bound.module.begin(bound.params, tuple(found.arms)),
        on_failure=rollout.spec.on_failure,
        on_success=rollout.spec.on_success,
    )
