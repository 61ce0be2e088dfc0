"""A rollout as it was, wherever that is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelops.rollouts.state import Decision, StepState
from modelops.spec.meta import Plugin

__all__ = ["Recorded"]


@dataclass(frozen=True)
class Recorded:
    """A rollout as it was; ``ended`` is None while it runs, ``source`` says where this is written."""

    source: str
    arms: Mapping[str, int]
    salt: str
    strategy: Plugin
    tolerant: bool
    steps: tuple[StepState, ...]
    decisions: tuple[Decision, ...]
    outcome: str | None
    reason: str
    ended: str | None

    def decided(self, step: int) -> Decision | None:
        """Return the decision that ended a step; one that a person ended has none."""
        found = [each for each in self.decisions if each.step == step and each.action != "begin"]
        return found[-1] if found else None
