"""What a plan is made of: per model and environment, what git says beside what the world says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelops.errors import Exit, Location, Problem
from modelops.governance.endings import Asked
from modelops.governance.promotions import Refusal
from modelops.reconcile.desired import Desired
from modelops.rollouts.state import RolloutState
from modelops.spec.layout import Seat
from modelops.spec.routing import Route
from modelops.strategies import Progress, Step

if TYPE_CHECKING:
    from modelops.changes.restoring import Aftermath

__all__ = ["ModelFacts", "Observed"]


@dataclass(frozen=True)
class Observed:
    """What the world says about one model in one environment: the store, the runtime, the traffic, the forge.

    ``lost`` releases are not in the store, ``damaged`` ones are there with other bytes. ``step`` is what the strategy
    says of the ``progress``. ``held_by`` another reconciler; ``unpushed`` says that records cannot be pushed now, which
    keeps nothing that was approved from running; ``kept`` is what a person decided here and git does not know yet;
    ``aftermath`` is what is left on main of a release that failed.
    """

    lost: tuple[int, ...] = ()
    damaged: tuple[Refusal, ...] = ()
    rollout: RolloutState | None = None
    progress: Progress | None = None
    step: Step | None = None
    asked: Asked | None = None
    held_by: str | None = None
    running: Route | None = None
    unpushed: bool = False
    kept: str = ""
    aftermath: Aftermath | None = None

    def about(self, desired: Desired) -> bool:
        """Tell whether the remembered rollout is the one that git calls for."""
        state = self.rollout
        return state is not None and state.salt == desired.salt and state.arms == desired.arms


@dataclass(frozen=True)
class ModelFacts:
    """Everything about one model in one environment that decides what happens next.

    ``troubles`` are what is wrong with what it needs, such as a file in whose place an older version stands: it may
    stay as it is, or go back; a pass then ends with ``exit``. While it is ``frozen`` it stays as it runs.
    """

    desired: Desired
    observed: Observed = Observed()
    troubles: tuple[Problem, ...] = ()
    exit: Exit = Exit.FILES
    frozen: bool = False

    @property
    def seat(self) -> Seat:
        """The model and the environment."""
        return self.desired.seat

    @property
    def where(self) -> Location:
        """Where git says it."""
        return self.desired.where

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Why arms may not run, by git and by the store."""
        return self.desired.refusals + self.observed.damaged
