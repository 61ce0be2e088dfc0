"""What kind of task a target column makes, and which of its labels is the positive one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modelops.errors import Exit, failure
from modelops.spec.meta import Scalar
from modelops.spec.model import Task

MOST_CLASSES = 50
_POSITIVE = frozenset(
    (
        *("1", "true", "t", "yes", "y", "on", "positive", "pos", "churned", "churn", "left", "fraud", "default", "bad"),
        *("spam", "malignant", "sick", "disease", "failed", "failure", "late", "good", "won", "bought", "clicked"),
        *(">50k", "died"),
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """The task of a column; ``classes`` and ``counts`` in order of label, ``rows`` those that have a target."""

    name: str
    task: Task
    reason: str
    rows: int
    positive: Scalar = None
    positive_reason: str = ""
    classes: tuple[Scalar, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def rarest(self) -> int:
        """Rows of the rarest class; for regression all rows."""
        return min(self.counts, default=self.rows)


def require_column(name: str, names: Sequence[str], option: str) -> None:
    """Raise ``unknown-column`` with the nearest name when a table has no such column."""
    if name in names:
        return
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    shown = ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    raise failure(
        "unknown-column", f"{option} {name!r} is not a column of the data", exit=Exit.FILES,
        hint=f"did you mean {near[0]!r}?" if near else f"columns: {shown}",
    )  # fmt: skip


def infer_target(
    name: str, values: pa.ChunkedArray, *, task: Task | None = None, positive: str | None = None
) -> Target:
    """Return the task that a target column makes.

    ``task`` and ``positive`` override what would be inferred. Errors: ``target-missing``, ``target-constant``,
    ``target-unusable``, ``unknown-label``.
    """
    counts = _counts(name, values)
    rows = sum(counts.values())
    kind, reason = (task, "as asked for") if task else _task(name, values.type, counts, rows)
    if kind == "regression":
        if not all(isinstance(value, (int, float)) for value in counts):
            raise failure("target-unusable", f"target {name!r} holds texts, so it cannot be regressed on")
        return Target(name, kind, reason, rows)
    classes = tuple(sorted(counts, key=lambda value: (str(type(value)), value)))
    if kind == "binary-classification" and len(classes) != 2:
        raise failure("target-unusable", f"target {name!r} has {len(classes)} values, a binary task has two")
    tally = tuple(counts[label] for label in classes)
    if kind != "binary-classification":
        return Target(name, kind, reason, rows, None, "", classes, tally)
    chosen, why = _positive(classes, tally, positive)
    return Target(name, kind, reason, rows, chosen, why, classes, tally)


def _counts(name: str, values: pa.ChunkedArray) -> dict[Any, int]:
    """Count the labels without the missing ones; whole floats, as missing values make them, count as integers."""
    if pa.types.is_nested(values.type) or pa.types.is_temporal(values.type):
        raise failure(
            "target-unusable", f"target {name!r} is of type {values.type}, which is neither a label nor a number"
        )
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    tally = pc.value_counts(values)
    found: dict[Any, int] = {}
    for label, count in zip(tally.field("values").to_pylist(), tally.field("counts").to_pylist(), strict=True):
        if label is None or label == "" or (isinstance(label, float) and math.isnan(label)):
            continue
        if isinstance(label, float) and math.isinf(label):
            raise failure("target-unusable", f"target {name!r} holds an infinite value")
        found[label] = count
    if not found:
        raise failure("target-missing", f"every value of target {name!r} is missing")
    if len(found) == 1:
        raise failure("target-constant", f"target {name!r} has one value only, {next(iter(found))!r}: nothing to learn")
    if all(isinstance(label, float) and label.is_integer() for label in found):
        return {int(label): count for label, count in found.items()}
    return found


def _task(name: str, type_: pa.DataType, counts: dict[Any, int], rows: int) -> tuple[Task, str]:
    distinct = len(counts)
    if distinct == 2:
        return "binary-classification", "two values"
    whole = all(isinstance(label, int) for label in counts)
    if (not whole and all(isinstance(label, (int, float)) for label in counts)) or pa.types.is_decimal(type_):
        return "regression", f"{distinct} numbers with fractions"
    if whole and (distinct > 20 or rows < 10 * distinct):
        return "regression", f"{distinct} different whole numbers in {rows} rows"
    if distinct > MOST_CLASSES or (not whole and rows < 2 * distinct):
        raise failure(
            "target-unusable", f"target {name!r} has {distinct} different texts in {rows} rows: too many for classes",
            hint=f"group them into at most {MOST_CLASSES} classes, or name another target",
        )  # fmt: skip
    return "multiclass-classification", f"{distinct} different values"


def _positive(classes: tuple[Any, ...], counts: tuple[int, ...], asked: str | None) -> tuple[Scalar, str]:
    if asked is not None:
        for label in classes:
            if str(label).lower() == asked.lower():
                return label, "as asked for"
        raise failure(
            "unknown-label", f"--positive {asked!r} is not a label of the target", exit=Exit.USAGE,
            hint=f"labels: {', '.join(map(repr, classes))}",
        )  # fmt: skip
    named = [label for label in classes if str(label).strip().lower() in _POSITIVE]
    if len(named) == 1:
        return named[0], "by its name"
    rarer = classes[0] if counts[0] < counts[1] else classes[1]
    return rarer, "the rarer label"
