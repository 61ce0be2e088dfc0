"""How a rollout stands: who takes how much, what it waits for, and the numbers of every guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelops import strategies
from modelops.governance.endings import Asked
from modelops.governance.history import deployment_of
from modelops.governance.judged import known
from modelops.project.workspace import Workspace, model_entry
from modelops.reconcile.actions import Entry, model_of
from modelops.reconcile.facts import ModelFacts
from modelops.reconcile.loop import Seen, before_a_pass, look
from modelops.reconcile.plan import current, route
from modelops.rollouts.state import RolloutState, checks_as_data
from modelops.spec.kinds import Resource
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.spec.layout import Seat
from modelops.strategies import Forecast


@dataclass(frozen=True, slots=True)
class ArmStatus:
    """An arm that git names: its share of the traffic and of copies, and what it did in the running step."""

    arm: str
    release: int
    weight: float = 0.0
    shadow: float = 0.0
    requests: int = 0
    errors: int = 0
    slow: int = 0
    labels: int = 0
    pairs: int = 0


@dataclass(frozen=True)
class RolloutStatus:
    """The rollout of a model in an environment; ``state`` is None while none runs.

    ``checks`` are each guard's numbers now, or those of the decision once there is one, as its evidence has them.
    ``entries`` are what the plan says of the model.
    """

    seat: Seat
    strategy: str | None
    on_failure: str | None
    on_success: str | None
    paused: bool
    arms: tuple[ArmStatus, ...]
    state: RolloutState | None
    asked: Asked | None
    checks: tuple[Mapping[str, Any], ...]
    entries: tuple[Entry, ...]
    forecast: tuple[Forecast, ...]


def rollout_status(workspace: Workspace, seat: Seat) -> RolloutStatus:
    """Return everything about the rollout of a model in an environment, observed now."""
    away = workspace.reach()
    _, graph = known(workspace)
    deployment_of(workspace, graph, seat)
    return rollout_in(look(workspace, seat.environment, before_a_pass(workspace, seat.environment, away)), seat)


def rollout_in(seen: Seen, seat: Seat) -> RolloutStatus:
    """Return everything about the rollout of a model in the environment that was seen."""
    facts = next((found for found in seen.facts if found.seat.model == seat.model), None)
    plan = model_entry(seen.graph, seat.model).rollout
    state = current(facts) if facts is not None else None
    return RolloutStatus(
        seat,
        strategy=plan.spec.strategy.type if plan is not None else None,
        on_failure=plan.spec.on_failure if plan is not None else None,
        on_success=plan.spec.on_success if plan is not None else None,
        paused=facts is not None and facts.desired.paused,
        arms=_arms(facts) if facts is not None else (),
        state=state,
        asked=facts.observed.asked if facts is not None else None,
        checks=_checks(facts, state) if facts is not None and state is not None else (),
        entries=tuple(entry for entry in seen.plan.entries if model_of(entry) == seat.model),
        forecast=_forecast(plan) if plan is not None else (),
    )


def _arms(facts: ModelFacts) -> tuple[ArmStatus, ...]:
    """Return every arm that git names, with its share in the routes that git calls for and what it did in this step."""
    wanted = route(facts)
    shares = {arm.name: arm for arm in wanted.arms} if wanted is not None else {}
    running = facts.observed.progress.steps[-1] if facts.observed.progress is not None else None
    found = []
    for name, release in facts.desired.arms.items():
        share, did = shares.get(name), running.arm(name) if running is not None else None
        pairs = running.shadows.get(name) if running is not None else None
        found.append(
            ArmStatus(
                name,
                release,
                weight=share.weight if share is not None else 0.0,
                shadow=share.shadow if share is not None else 0.0,
                requests=did.requests if did is not None else 0,
                errors=did.errors if did is not None else 0,
                slow=did.slow if did is not None else 0,
                labels=len(did.losses) if did is not None else 0,
                pairs=pairs.pairs if pairs is not None else 0,
            )
        )
    return tuple(found)


def _checks(facts: ModelFacts, state: RolloutState) -> tuple[Mapping[str, Any], ...]:
    return checks_as_data(facts.observed.step.checks) if facts.observed.step is not None else state.checks


def _forecast(plan: Resource[RolloutPlanSpec]) -> tuple[Forecast, ...]:
    if plan.spec.expect is None:
        return ()
    bound = strategies.bind(plan.spec.strategy, plan, "spec.strategy")
    return tuple(bound.module.forecast(bound.params, plan.spec.expect))
