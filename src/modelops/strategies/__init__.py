"""Rollout strategies: each file decides the next step of a rollout from what traffic has said so far.

A strategy file exposes ``Params``, ``ARMS`` and the pure functions ``begin``, ``next_step``, ``forecast``,
``objections`` and ``reward``; one whose traffic is known ahead tells it by ``stages``. Time and counts arrive as
arguments, so the same code runs in the loop, in a replay and in a simulation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.rollout_plan import Expectation, Served
from modelops.spec.meta import Plugin, Strict, VerdictWord

if TYPE_CHECKING:
    # Most passes look at no rollout, and must not pay for arrays.
    from modelops.statistics import Array, Units
    from modelops.statistics.dispersion import Clusters

__all__ = [
    "PROTOCOL",
    "SMOKE_TRIES",
    "ArmData",
    "Check",
    "Forecast",
    "Objection",
    "PairData",
    "Planned",
    "Progress",
    "Reward",
    "Served",
    "Smoke",
    "Stage",
    "Step",
    "StepData",
    "Strategy",
    "Traffic",
    "bind",
]

Reward = Literal["outcome", "correct"]
"""The label as a number, or a right answer."""
SMOKE_TRIES = 3


@cache
def _none() -> Array:
    import numpy as np

    return np.empty(0)


@cache
def _nobody() -> Units:
    import numpy as np

    return np.empty(0, dtype=np.uint64)


@dataclass(frozen=True)
class ArmData:
    """What one arm did in one step.

    ``errors`` are answers with status 500 or above, ``slow`` the answers above the latency objective; ``scores`` the
    scores of the successful answers. Of the answers whose label has arrived, in one order: ``losses`` (0/1 error, or
    squared error), ``outcomes`` (the label as a number: 1 for the positive class) and ``units`` (a hash of the entity).
    ``entities`` counts the different entities that the arm answered. ``people`` are its requests by entity, ``times``
    by stretch of time, the same stretches for all arms; None where that is not known, and then every request is taken
    for independent. ``by_answer`` counts, for each label that was answered, the answers and those whose truth has come.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    scores: Array = field(default_factory=_none)
    losses: Array = field(default_factory=_none)
    outcomes: Array = field(default_factory=_none)
    units: Units = field(default_factory=_nobody)
    entities: int = 0
    people: Clusters | None = None
    times: Clusters | None = None
    by_answer: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class PairData:
    """What a shadow said to copies of requests that stable answered, compared by prediction.

    ``errors`` and ``slow`` count the shadow's answers, ``stable_errors`` and ``stable_slow`` stable's answers to the
    same requests, ``dropped`` the copies that were never made. Of the pairs that both answered: ``agreed`` counts equal
    labels (None for regression), ``differences`` are the shadow's score minus that of stable.
    """

    pairs: int = 0
    errors: int = 0
    slow: int = 0
    stable_errors: int = 0
    stable_slow: int = 0
    dropped: int = 0
    agreed: int | None = None
    differences: Array = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who answers in a step: the weight of every arm (they sum to 1), and the share of requests copied to shadows."""

    weights: Mapping[str, float]
    shadows: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Smoke:
    """What the smoke requests of a rollout found: rows of the snapshot, sent to the candidate and to stable.

    ``errors`` are rows that failed in each of ``SMOKE_TRIES`` tries, ``slow`` counts the first tries.
    """

    requests: int
    errors: int
    stable_errors: int
    slow: int
    stable_slow: int
    reason: str = ""


@dataclass(frozen=True)
class StepData:
    """The traffic of one step, counted from 1: who was to answer, what every arm did, and what shadows said."""

    step: int
    traffic: Traffic
    arms: Mapping[str, ArmData]
    shadows: Mapping[str, PairData] = field(default_factory=dict)

    def arm(self, name: str) -> ArmData:
        """Return what an arm did; one that answered nothing did nothing."""
        return self.arms[name] if name in self.arms else ArmData()

    def weight(self, name: str) -> float:
        """Return the share of the traffic that an arm was to have."""
        return self.traffic.weights.get(name, 0.0)


@dataclass(frozen=True)
class Progress:
    """Where a rollout stands; ``steps`` are in order, the last one is the running step, counted from 1.

    ``arms`` are all arms that git names, ``stable`` first. ``seed`` is for strategies that draw: a function of the
    rollout and its step. When ``tolerant``, failed guards are reported and end nothing.
    """

    step: int
    step_started: datetime
    now: datetime
    steps: tuple[StepData, ...]
    arms: tuple[str, ...] = ("stable", "candidate")
    started: datetime | None = None
    smoke: Smoke | None = None
    seed: int = 0
    tolerant: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of the arms, with everything needed to repeat it; ``arm`` is the one on trial."""

    name: str
    verdict: VerdictWord
    reason: str
    statistic: float | None = None
    threshold: float | None = None
    alpha: float | None = None
    counts: Mapping[str, int] | None = None
    arm: str = "candidate"
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next; steps count from 1.

    ``hold`` leaves the traffic, ``advance`` goes to ``step`` with ``traffic``, ``smoke`` asks for ``requests`` smoke
    requests before the next look, ``promote`` ends with ``winner`` as the new stable, ``keep`` ends with stable as it
    was, ``rollback`` ends with every arm on trial withdrawn. Whatever the end, the arms in ``failed`` are denied; an
    advance that names some has just taken their traffic away.
    """

    action: Literal["hold", "advance", "smoke", "promote", "keep", "rollback"]
    step: int
    traffic: Traffic
    reason: str
    checks: tuple[Check, ...] = ()
    winner: str = "candidate"
    failed: tuple[str, ...] = ()
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """A step as it is planned: who answers in it, and the least minutes and requests that it takes to leave it."""

    traffic: Traffic
    minutes: float
    requests: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a step, counted from 1, needs to see the effect it guards against, at the expected traffic.

    ``requests`` counts all arms together, ``minutes`` how long they take; None where no traffic would be enough.
    ``sees`` is False when that is later than the step's deadline, or never; ``path`` is the parameter to change.
    ``fixed`` is what a test that looks only once would need, ``chance`` that of seeing the effect in a step that ends
    as early as it may, ``so_far`` that of having seen it by the end of this step where all steps end so.
    """

    step: int
    what: str
    requests: int | None
    minutes: float | None
    deadline_minutes: float | None
    sees: bool
    path: str = ""
    fixed: int | None = None
    chance: float | None = None
    so_far: float | None = None


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a plan does not fit a model: ``path`` is the parameter that says so, "" for the strategy itself."""

    path: str
    message: str
    hint: str = ""


class Strategy(Protocol):
    """What a module on this shelf exposes; ``ARMS`` is the fewest and the most arms it takes, stable included."""

    ARMS: tuple[int, int]

    @property
    def Params(self) -> type[Strict]: ...

    def begin(self, params: Any, arms: Sequence[str]) -> Traffic:
        """Return the traffic of the first step."""
        ...

    def next_step(self, params: Any, progress: Progress) -> Step: ...

    def forecast(self, params: Any, expectation: Expectation) -> tuple[Forecast, ...]:
        """Return what each step needs at the expected traffic."""
        ...

    def objections(self, params: Any, model: Served) -> tuple[Objection, ...]:
        """Return why a model may not be rolled out like this."""
        ...

    def reward(self, params: Any) -> Reward | None:
        """Return what an answer earns, where the traffic follows what the arms earn: a replay says what each would."""
        ...


@runtime_checkable
class Planned(Protocol):
    """A strategy whose traffic is known ahead: as long as all is well it does not follow what arms do."""

    def stages(self, params: Any, arms: Sequence[str]) -> tuple[Stage, ...]:
        """Return every step of a rollout that goes well, in order."""
        ...


PROTOCOL = Strategy
"""What every file of this shelf is held against."""


def bind(plugin: Plugin, resource: AnyResource | None = None, dotted: str = "") -> Bound[Strategy]:
    """Return a strategy with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("strategies", plugin, resource, dotted)
