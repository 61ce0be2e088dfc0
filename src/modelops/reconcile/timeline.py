"""What the prediction log knew at any instant of a rollout: the same numbers that the loop saw, look by look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.predictions import ShadowPairs, read_window, shadow_pairs
from modelops.reconcile.measuring import Array, Units, losses, outcomes, shadow_data, units
from modelops.reconcile.rollout import StepState
from modelops.spec.model import ModelSpec
from modelops.strategies import ArmData, Segment

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

    def until(self, position: int, now: float) -> ArmData:
        """Return what the first answers of the step amount to, with the labels that had come by an instant."""
        end = int(np.searchsorted(self.position, position))
        answered = ~self.error[:end] & np.isfinite(self.score[:end])
        labelled = ~self.error[:end] & (self.known[:end] <= now)
        return ArmData(
            requests=int(self.request[:end].sum()),
            errors=int((self.error & self.request)[:end].sum()),
            slow=int((self.slow & self.request)[:end].sum()),
            scores=self.score[:end][answered],
            losses=self.loss[:end][labelled],
            outcomes=self.outcome[:end][labelled],
            units=self.unit[:end][labelled],
            entities=int(self.newcomer[:end].sum()),
        )


@dataclass(frozen=True)
class Timeline:
    """The log of one rollout (folder, model, spec, salt); ``times`` are epoch seconds by the number of the step."""

    log: tuple[Path, str, ModelSpec, str] = field(repr=False)
    times: Mapping[int, Array]
    _arms: Mapping[int, Mapping[str, _Arm]] = field(repr=False)

    def count(self, step: int, now: float) -> int:
        """Return how many answers a step had by an instant."""
        times = self.times.get(step)
        return int((times <= now).sum()) if times is not None else 0

    def _shadows(self, steps: Sequence[StepState], now: float) -> Mapping[tuple[int, str], ShadowPairs]:
        if not any(step.traffic.shadows for step in steps):
            return {}
        path, model, _, salt = self.log
        return shadow_pairs(path, model, salt, until=datetime.fromtimestamp(now, UTC) + timedelta(microseconds=1))

    def segments(self, steps: Sequence[StepState], position: int, now: float) -> tuple[Segment, ...]:
        """Return what was known at an instant, of the running step only its first answers."""
        last, pairs, spec = len(steps) - 1, self._shadows(steps, now), self.log[2]
        found = []
        for number, step in enumerate(steps):
            arms = self._at(number, position if number == last else self.count(number, now), now)
            shadows = shadow_data(spec, pairs, number, arms, step.traffic)
            found.append(Segment(number, step.traffic, arms, shadows))
        return tuple(found)

    def _at(self, step: int, position: int, now: float) -> dict[str, ArmData]:
        return {name: arm.until(position, now) for name, arm in self._arms.get(step, {}).items()}


def read_timeline(path: Path, model: str, spec: ModelSpec, salt: str, arms: Sequence[str]) -> Timeline:
    """Read everything that the log holds about a rollout."""
    table = read_window(path, model, arms=tuple(arms), columns=COLUMNS)
    table = table.filter(pc.equal(table.column("salt"), salt))
    times: dict[int, Array] = {}
    found: dict[int, dict[str, _Arm]] = {}
    for logged in sorted(set(table.column("step").to_pylist())):
        rows = table.filter(pc.equal(table.column("step"), logged))
        # Logged steps count from 1.
        times[logged - 1] = rows.column("time").to_numpy()
        found[logged - 1] = {arm: _arm(spec, rows, arm) for arm in set(rows.column("arm").to_pylist())}
    return Timeline((path, model, spec, salt), times, found)


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
    )
