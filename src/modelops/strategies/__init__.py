"""Rollout strategies: each file decides the next step of a rollout from what traffic has said so far.

A strategy file exposes ``Params``, ``weight(params, step)`` and ``next_step(params, progress)``; both are pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import numpy as np

from modelops.spec.delivery import VerdictWord
from modelops.spec.meta import Strict

__all__ = ["ArmData", "Check", "Progress", "Segment", "Step", "Strategy"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class ArmData:
    """What one arm did in one segment.

    ``errors`` are answers with status 500 or above, ``slow`` the answers above the latency objective; ``scores`` the
    scores of the successful answers; ``losses`` one loss per labelled answer (0/1 error, or squared error).
    """

    requests: int
    errors: int
    slow: int
    scores: Array
    losses: Array


@dataclass(frozen=True)
class Segment:
    """The traffic of one step: the candidate's intended weight and what both arms did concurrently."""

    step: int
    weight: float
    stable: ArmData
    candidate: ArmData


@dataclass(frozen=True)
class Progress:
    """Where a rollout stands; ``segments`` are in order, the last one is the running step."""

    step: int
    step_started: datetime
    now: datetime
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of the arms, with everything needed to repeat it."""

    name: str
    verdict: VerdictWord
    reason: str
    statistic: float | None = None
    threshold: float | None = None
    alpha: float | None = None
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: hold at the weight, advance to the next step's weight, promote, or roll back."""

    action: Literal["hold", "advance", "promote", "rollback"]
    step: int
    weight: float
    reason: str
    checks: tuple[Check, ...] = ()


class Strategy(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def weight(self, params: Any, step: int) -> float:
        """Return the candidate's share of the traffic in a step."""
        ...

    def next_step(self, params: Any, progress: Progress) -> Step: ...
