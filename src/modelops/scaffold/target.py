"""What kind of task a target column makes, and which of its labels is the positive one."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modelops.data.numbers import Shape
from modelops.errors import Exit, failure
from modelops.spec.kinds.model import Task
from modelops.spec.meta import Scalar
from modelops.spec.texts.words import PAIRS, YES

MOST_CLASSES = 50
RARE = 40
"""Rows of a class below which too few of them test to say anything about it alone."""
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
    remarks: tuple[str, ...] = ()

    @property
    def majority(self) -> float:
        """The share of the most frequent class: how often who always names it is right; 0 for regression."""
        return max(self.counts, default=0) / self.rows

    @property
    def said(self) -> str:
        """Everything that was decided about the target, in one line."""
        positive = f"{self.positive!r} counts as positive, {self.positive_reason} (--positive names another)"
        return "; ".join(
            [f"the target, {self.reason}", *([positive] if self.positive is not None else []), *self.remarks]
        )

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
    ``target-unusable``, ``unknown-label``, ``bad-positive``.
    """
    counts = _counts(name, values)
    rows = sum(counts.values())
    kind, reason = (task, "as asked for") if task else _task(name, values.type, counts, rows)
    if positive is not None and kind != "binary-classification":
        raise failure(
            "bad-positive", f"--positive {positive!r} is for a binary task; target {name!r} makes a {kind}: {reason}",
            exit=Exit.USAGE, hint="leave it out, or name a target of two values",
        )  # fmt: skip
    if kind == "regression":
        if not all(isinstance(value, (int, float)) for value in counts):
            raise failure("target-unusable", f"target {name!r} holds texts, so it cannot be regressed on")
        return Target(name, kind, reason, rows, remarks=_of_numbers(kind, task, counts))
    classes = tuple(sorted(counts, key=lambda value: (str(type(value)), value)))
    if kind == "binary-classification" and len(classes) != 2:
        raise failure("target-unusable", f"target {name!r} has {len(classes)} values, a binary task has two")
    tally = tuple(counts[label] for label in classes)
    if kind != "binary-classification":
        remarks = (*_of_numbers(kind, task, counts), *_of_rare(classes, tally))
        return Target(name, kind, reason, rows, None, "", classes, tally, remarks)
    chosen, why = _positive(classes, tally, positive)
    return Target(name, kind, reason, rows, chosen, why, classes, tally)


def _counts(name: str, values: pa.ChunkedArray) -> dict[Any, int]:
    """Count the labels without the missing ones; whole floats, as missing values make them, count as integers."""
    if pa.types.is_nested(values.type) or pa.types.is_temporal(values.type):
        raise failure(
            "target-unusable", f"target {name!r} is of type {values.type}, which is neither a label nor a number",
            hint="name a column of labels or numbers",
        )  # fmt: skip
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
    if whole and _counts_something(counts):
        return "regression", f"whole numbers from {min(counts)} to {max(counts)} of which the large are rare: a count"
    if distinct > MOST_CLASSES or (not whole and rows < 2 * distinct):
        _require_one_reading(name, counts)
        raise failure(
            "target-unusable", f"target {name!r} has {distinct} different texts in {rows} rows: too many for classes",
            hint=f"group them into at most {MOST_CLASSES} classes, or name another target",
        )  # fmt: skip
    return "multiclass-classification", f"{distinct} different values"


def _require_one_reading(name: str, counts: dict[Any, int]) -> None:
    """Refuse numbers of which nothing says whether a mark in them is the decimal one."""
    shape = Shape()
    shape.see(pa.array(map(str, counts), pa.string()))
    if shape.marked and shape.example:
        ways = f"{shape.example.replace(',', '.')} or {re.sub('[.,]', '', shape.example)}"
        raise failure(
            "target-unusable", f"target {name!r} holds numbers that two readings fit: {shape.example!r} is {ways}",
            hint="say which mark is the decimal one: --decimal . or --decimal ,",
        )  # fmt: skip


def _counts_something(counts: dict[int, int]) -> bool:
    """Return whether whole numbers look like a count: from 0 or 1 on, most of them small, the largest rare."""
    low, high, usual = min(counts), max(counts), max(counts, key=lambda number: counts[number])
    return low in (0, 1) and high >= 6 and usual <= high / 2 and counts[high] <= 0.05 * counts[usual]


def _of_numbers(kind: Task, asked: Task | None, counts: dict[Any, int]) -> tuple[str, ...]:
    """Return what to say of whole numbers that are neither plainly classes nor plainly amounts."""
    if asked is not None or not all(isinstance(label, int) for label in counts) or len(counts) < 3:
        return ()
    low, high = min(counts), max(counts)
    if kind == "regression":
        return (
            ("--task multiclass-classification takes each number for a class",) if len(counts) <= MOST_CLASSES else ()
        )
    if high - low == len(counts) - 1:
        return (f"{low} to {high} are taken for classes without an order: for grades, --task regression keeps it",)
    return ()


def _of_rare(classes: Sequence[Scalar], counts: Sequence[int]) -> tuple[str, ...]:
    """Return which classes have too few rows for anything to be measured on them."""
    few = [f"{label!r} has {count}" for label, count in zip(classes, counts, strict=True) if count < RARE]
    if not few:
        return ()
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return (f"classes of fewer than {RARE} rows, on which nothing can be measured: {', '.join(few[:5])}{more}",)


def _positive(classes: tuple[Any, ...], counts: tuple[int, ...], asked: str | None) -> tuple[Scalar, str]:
    if asked is not None:
        # As it is spelt, where two labels differ in case alone.
        for label in sorted(classes, key=lambda label: str(label) != asked):
            if str(label).lower() == asked.lower():
                return label, "as asked for"
        raise failure(
            "unknown-label", f"--positive {asked!r} is not a label of the target", exit=Exit.USAGE,
            hint=f"labels: {', '.join(map(repr, classes))}",
        )  # fmt: skip
    words = {str(label).strip().lower(): label for label in classes}
    known = YES if frozenset(words) in PAIRS else _POSITIVE
    named = [label for word, label in words.items() if word in known]
    if len(named) == 1:
        return named[0], "by its name"
    rarer = classes[0] if counts[0] < counts[1] else classes[1]
    return rarer, "the rarer label"
