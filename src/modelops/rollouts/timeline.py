"""What the prediction log knew at any instant of a rollout: the same numbers that the loop saw, look by look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.logs import Log
from modelops.predictions import ShadowPairs
from modelops.rollouts.measures import losses, outcomes, shadow_data, stretch, stretches, units
from modelops.rollouts.state import StepState
from modelops.spec.kinds.model import ModelSpec
from modelops.statistics import Array, Units
from modelops.statistics.dispersion import clusters_of, tallied
from modelops.strategies import ArmData, StepData

COLUMNS = (
    "time",
    "salt",
    "arm",
    "step",
    "entity",
    "score",
    "label",
    "status",
    "latency_ms",
    "row",
    "truth",
    "truth_time",
)
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class _Arm:
    """The answers of one arm in one step, in the order of the log, shape (n,) each; ``known`` is when a label came."""

    position: np.ndarray[Any, np.dtype[np.intp]]
    request: Flags
    error: Flags
    slow: Flags
    newcomer: Flags
    score: Array
    known: Array
    loss: Array
    outcome: Array
    unit: Units
    label: tuple[str | None, ...]
    people: tuple[Units, np.ndarray[Any, np.dtype[np.intp]]]
    time: Array

    def until(self, position: int, now: float, length: float | None) -> ArmData:
        """Return what the first answers of the step amount to, with the labels that had come by an instant.

        ``length`` is that of the stretches of time that are told apart.
        """
        end = int(np.searchsorted(self.position, position))
        answered = ~self.error[:end] & np.isfinite(self.score[:end])
        labelled = ~self.error[:end] & (self.known[:end] <= now)
        asked = self.request[:end]
        errors, slow = self.error[:end][asked], self.slow[:end][asked]
        return ArmData(
            requests=int(self.request[:end].sum()),
            errors=int((self.error & self.request)[:end].sum()),
            slow=int((self.slow & self.request)[:end].sum()),
            scores=self.score[:end][answered],
            losses=self.loss[:end][labelled],
            outcomes=self.outcome[:end][labelled],
            units=self.unit[:end][labelled],
            entities=int(self.newcomer[:end].sum()),
            people=tallied(self.people[0], self.people[1][:end][asked], errors, slow),
            times=None if length is None else clusters_of(stretches(self.time[:end][asked], length), errors, slow),
            by_answer=self._by_answer(end, labelled),
        )

    def _by_answer(self, end: int, labelled: Flags) -> dict[str, tuple[int, int]]:
        said: dict[str, list[int]] = {}
        for label, failed, known in zip(self.label[:end], self.error[:end], labelled, strict=True):
            if label is not None and not failed:
                counts = said.setdefault(label, [0, 0])
                counts[0] += 1
                counts[1] += int(known)
        return {label: (answered, known) for label, (answered, known) in said.items()}


@dataclass(frozen=True)
class Timeline:
    """The log of one rollout (log, model, spec, salt); ``times`` are epoch seconds by the number of the step."""

    log: tuple[Log, str, ModelSpec, str] = field(repr=False)
    times: Mapping[int, Array]
    _arms: Mapping[int, Mapping[str, _Arm]] = field(repr=False)

    def count(self, step: int, now: float) -> int:
        """Return how many answers a step had by an instant."""
        times = self.times.get(step)
        return int((times <= now).sum()) if times is not None else 0

    def _shadows(self, steps: Sequence[StepState], now: float) -> Mapping[tuple[int, str], ShadowPairs]:
        if not any(step.traffic.shadows for step in steps):
            return {}
        log, model, _, salt = self.log
        return log.shadows(model, salt, until=datetime.fromtimestamp(now, UTC) + timedelta(microseconds=1))

    def data(self, steps: Sequence[StepState], position: int, now: float) -> tuple[StepData, ...]:
        """Return what was known at an instant, of the running step only its first answers."""
        last, pairs, spec = len(steps), self._shadows(steps, now), self.log[2]
        found = []
        counts = {number: position if number == last else self.count(number, now) for number in range(1, last + 1)}
        length = stretch(self.times[number][:count] for number, count in counts.items() if number in self.times)
        for number, step in enumerate(steps, start=1):
            arms = self._at(number, counts[number], now, length)
            shadows = shadow_data(spec, pairs, number, arms, step.traffic)
            found.append(StepData(number, step.traffic, arms, shadows))
        return tuple(found)

    def _at(self, step: int, position: int, now: float, length: float | None) -> dict[str, ArmData]:
        return {name: arm.until(position, now, length) for name, arm in self._arms.get(step, {}).items()}


def read_timeline(log: Log, model: str, spec: ModelSpec, salt: str, arms: Sequence[str]) -> Timeline:
    """Read everything that the log holds about a rollout."""
    table = log.window(model, arms=tuple(arms), columns=COLUMNS)
    table = table.filter(pc.equal(table.column("salt"), salt))
    times: dict[int, Array] = {}
    found: dict[int, dict[str, _Arm]] = {}
    for step in sorted(set(table.column("step").to_pylist())):
        rows = table.filter(pc.equal(table.column("step"), step))
        times[step] = rows.column("time").to_numpy()
        found[step] = {arm: _arm(spec, rows, arm) for arm in set(rows.column("arm").to_pylist())}
    return Timeline((log, model, spec, salt), times, found)


def _arm(spec: ModelSpec, rows: pa.Table, arm: str) -> _Arm:
    mine = np.flatnonzero(np.array(rows.column("arm").to_pylist()) == arm)
    part = rows.take(pa.array(mine))
    entities = part.column("entity").to_pylist()
    request = part.column("row").to_numpy() == 0
    hashed = units(entities)
    newcomer = np.zeros(len(mine), dtype=np.bool_)
    newcomer[np.unique(hashed, return_index=True)[1]] = True
    truths, labels = part.column("truth").to_pylist(), part.column("label").to_pylist()
    score = part.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    has = np.array([truth is not None for truth in truths], dtype=np.bool_)
    loss, outcome = np.full(len(mine), np.nan), np.full(len(mine), np.nan)
    told = [truth for truth in truths if truth is not None]
    loss[has] = losses(spec, score[has], [labels[at] for at in np.flatnonzero(has)], told)
    outcome[has] = outcomes(spec, told)
    came = part.column("truth_time").to_numpy(zero_copy_only=False).astype(np.float64)
    return _Arm(
        position=mine,
        request=request,
        error=part.column("status").to_numpy() >= 500,
        slow=part.column("latency_ms").to_numpy() > spec.serving.latency_objective_ms,
        newcomer=newcomer,
        score=score,
        known=np.where(has, came, np.inf),
        loss=loss,
        outcome=outcome,
        unit=hashed,
        label=tuple(labels),
        people=np.unique(hashed, return_inverse=True),
        time=part.column("time").to_numpy(),
    )
