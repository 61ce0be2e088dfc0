"""Rollouts that wait for a person where a guard failed: simulated looks, and the loop's own planner on each of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from modelops.clock import format_instant
from modelops.digests import digest_bytes
from modelops.reconcile.actions import Blocked, Hold, Judge, SetStep
from modelops.reconcile.desired import Desired
from modelops.reconcile.facts import ModelFacts, Observed
from modelops.reconcile.plan import plan_environment, route
from modelops.rollouts.simulation import START, World, one_run
from modelops.rollouts.state import RolloutState, StepState, decision
from modelops.spec.kinds.model import Serving
from modelops.spec.layout import Seat
from modelops.spec.routing import RoutingTable
from modelops.strategies import Progress, Step, Strategy, Traffic
from modelops.targets import Running


def digest(table: RoutingTable) -> str:
    return digest_bytes(table.model_dump_json().encode())


class Planned:
    """A strategy behind the planner, which decides what follows from each of its steps with ``onFailure: hold``.

    ``held`` is whether a guard failed; ``relented`` counts the looks after that at which the strategy alone would have
    gone on, ``moved`` those at which anything did.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.held, self.relented, self.moved = False, 0, 0

    def begin(self, params: Any, arms: tuple[str, ...]) -> Traffic:
        """Begin the rollout as the loop remembers it."""
        traffic = self.strategy.begin(params, arms)
        desired = Desired(
            seat=Seat("made", "production"), serving=Serving(), stable=1, candidate=2, denied=(),
            digests={1: "sha256:" + "1" * 64, 2: "sha256:" + "2" * 64}, begin=traffic, on_failure="hold",
        )  # fmt: skip
        state = RolloutState(desired.arms, desired.salt, (StepState(traffic, format_instant(START)),))
        self.facts = ModelFacts(desired, Observed(rollout=state))
        return traffic

    def next_step(self, params: Any, progress: Progress) -> Step:
        """Let the planner judge what the strategy says, and do what the loop does with it."""
        step = self.strategy.next_step(params, progress)
        state = self.facts.observed.rollout
        assert state is not None
        facts = replace(self.facts, observed=Observed(rollout=state, progress=progress, step=step))
        wanted = route(facts)
        table = RoutingTable(environment="production", models={} if wanted is None else {"made": wanted})
        (entry,) = plan_environment("production", (facts,), Running(True, digest(table), ()), digest).entries
        self.relented += self.held and step.action in ("advance", "promote")
        self.moved += self.held and not isinstance(entry, Blocked)
        now = progress.now
        stay = Step("hold", progress.step, progress.steps[-1].traffic, "")
        match entry:
            case Hold():
                self.held = True
                made = decision("hold", state, entry.reason, entry.checks, None, now)
                self._remember(replace(state, decisions=(*state.decisions, made)))
            case SetStep():
                self._remember(replace(state, steps=(*state.steps, StepState(entry.traffic, format_instant(now)))))
                return Step("advance", entry.step, entry.traffic, entry.reason)
            case Judge():
                return Step(entry.outcome, progress.step, stay.traffic, entry.reason, winner=entry.winner)
        return stay

    def _remember(self, state: RolloutState) -> None:
        self.facts = replace(self.facts, observed=Observed(rollout=state))


def held(strategy: Strategy, params: Any, world: World, runs: int, seed: int) -> tuple[int, int, int]:
    """Return in how many runs a guard held the traffic, would have let it go later, and in how many it then moved."""
    found = []
    for each in np.random.SeedSequence(seed).spawn(runs):
        planned = Planned(strategy)
        one_run(planned, params, world, each)  # type: ignore[arg-type]
        found.append((planned.held, planned.relented > 0, planned.moved > 0))
    counts = np.array(found).sum(axis=0).tolist()
    return counts[0], counts[1], counts[2]
