"""Runs beside each other: what each was made with, what it measured, and how far it is from the first on equal rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelops import training
from modelops.artifacts import BuildRecord
from modelops.errors import Exit, ModelOpsError, failure
from modelops.metrics import Predictions, greater_is_better
from modelops.metrics.catalog import default_metrics
from modelops.metrics.measuring import Difference, paired_difference
from modelops.project.workspace import Workspace
from modelops.spec.kinds.model import Task
from modelops.spec.kinds.release import MetricValue
from modelops.stores import Store
from modelops.training.answers import answers_of

__all__ = ["Beside", "beside", "best", "chosen_metric", "find_runs", "record_of"]

Answers = tuple[str, np.ndarray[Any, Any], Predictions]
"""The root of a snapshot, the positions of test rows in it, and what was answered there."""


@dataclass(frozen=True)
class Beside:
    """A run beside the first of its table.

    ``record`` is what its build measured, None where it failed or the store has it no more. ``differences`` are its
    metrics minus those of the first, where both answered the same test rows.
    """

    run: training.Run
    record: BuildRecord | None
    differences: dict[str, Difference]

    @property
    def metrics(self) -> dict[str, MetricValue]:
        """The metrics with their intervals."""
        return {one.name: one for one in self.record.metrics} if self.record is not None else {}


def find_runs(workspace: Workspace, numbers: Sequence[int]) -> tuple[training.Run, ...]:
    """Return runs of the ledger by their numbers, in that order; one that is not there is an error."""
    known = {run.id: run for run in training.runs(workspace.ledger, None, 1_000_000)}
    absent = [number for number in numbers if number not in known]
    if absent:
        newest = f"the newest is {max(known)}" if known else "it has none: build or try a model first"
        said = f"the ledger of this machine has no run {', '.join(map(str, absent))}"
        raise failure("unknown-run", said, exit=Exit.USAGE, hint=newest)
    return tuple(known[number] for number in numbers)


def record_of(store: Store, run: training.Run) -> BuildRecord | None:
    """Return what the build of a run recorded, None where it failed or the store does not have it."""
    if run.build is None:
        return None
    try:
        return BuildRecord.parse(store.get(run.build))
    except ModelOpsError:
        return None


def beside(store: Store, runs: Sequence[training.Run]) -> tuple[Beside, ...]:
    """Return runs with what they measured, each held against the first."""
    found = [Beside(run, record_of(store, run), {}) for run in runs]
    answers = [_answers(store, one.record) for one in found]
    first = answers[0] if answers else None
    if first is None:
        return tuple(found)
    return tuple(
        replace(one, differences=_differences(one, first, mine)) if place and mine is not None else one
        for place, (one, mine) in enumerate(zip(found, answers, strict=True))
    )


def _answers(store: Store, record: BuildRecord | None) -> Answers | None:
    if record is None:
        return None
    try:
        rows, found = answers_of(store, record)
    except ModelOpsError:
        return None
    return record.data_root, rows, found


def _differences(one: Beside, first: Answers, mine: Answers) -> dict[str, Difference]:
    (root, rows, before), (other, my_rows, now) = first, mine
    if root != other or not np.array_equal(rows, my_rows) or before.task != now.task:
        return {}
    return {name: told for name in one.metrics if (told := paired_difference(name, now, before, seed=0)) is not None}


def chosen_metric(task: Task, name: str | None) -> str:
    """Return the metric that runs are put in order by: the named one, else the first that the task is measured by."""
    known = [one for one in default_metrics(task) if greater_is_better(one) is not None]
    if name is not None and name not in known:
        said = f"{task} models are put in order by one of: {', '.join(known)}"
        raise failure("metric-not-for-task", f"runs of {task} have no order by {name!r}", exit=Exit.USAGE, hint=said)
    return name or known[0]


def best(found: Sequence[Beside], metric: str) -> Beside | None:
    """Return the run with the best value of a metric, of equal ones the first; None where none was measured."""
    measured = [(one.metrics[metric].value, one) for one in found if metric in one.metrics]
    if not measured:
        return None
    sign = 1 if greater_is_better(metric) else -1
    return max(measured, key=lambda pair: sign * pair[0])[1]
