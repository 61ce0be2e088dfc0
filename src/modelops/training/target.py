"""The target column as training sees it: which rows have one, what the labels are and how they are coded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.artifacts.frame import column, spelling
from modelops.errors import ModelOpsError, failure
from modelops.spec.kinds.model import ModelData, Task
from modelops.spec.meta import Scalar

__all__ = ["Target", "encode"]

Array = np.ndarray[Any, Any]

MAXIMUM_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """The coded target.

    ``rows`` are the positions with a target, ``values`` the code of each: 0.0 or 1.0 for a binary task, the index into
    ``classes`` for a multiclass one, the value itself for regression. ``missing`` counts the other rows.
    """

    rows: Array
    values: np.ndarray[Any, np.dtype[np.float64]]
    classes: tuple[Scalar, ...]
    positive: Scalar
    missing: int


def encode(table: Any, data: ModelData, task: Task) -> Target:
    """Code the target column of a table.

    Raises ``missing-column``, ``bad-target`` for a column that is all missing, constant, or has other labels than the
    task allows, and ``bad-value`` for a value that is no number in a regression.
    """
    if data.target not in table.column_names:
        raise failure("missing-column", f"there is no target column {data.target!r}", dotted="spec.data.target")
    if task == "regression":
        values = column(table[data.target], "number", data.target)
        rows = np.flatnonzero(~np.isnan(values))
        target = Target(rows, values[rows], (), None, len(values) - len(rows))
    else:
        target = _labels([_label(value) for value in table[data.target].to_pylist()], data, task)
    if len(np.unique(target.values)) < 2:
        what = "is missing in every row" if not len(target.rows) else "has the same value in every row"
        raise _bad(data, what)
    return target


def _label(value: Any) -> Scalar:
    """Return a label as a plain scalar, whole numbers as int, missing as None."""
    if value is None or value == "" or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _labels(labels: list[Scalar], data: ModelData, task: Task) -> Target:
    rows = np.array([index for index, label in enumerate(labels) if label is not None], dtype=np.intp)
    present = [labels[index] for index in rows]
    if len({isinstance(label, str) for label in present}) > 1:
        present = [spelling(label) for label in present]
    classes = sorted(set(present), key=lambda label: (isinstance(label, str), label))
    if len(classes) > MAXIMUM_CLASSES:
        raise _bad(data, f"has {len(classes)} different labels", "declare the task regression or choose another target")
    positive: Scalar = None
    if task == "binary-classification" and len(classes) > 1:
        positive = _positive(classes, data)
        classes = [label for label in classes if label != positive] + [positive]
        if len(classes) != 2:
            shown = ", ".join(map(repr, classes[:5]))
            raise _bad(data, f"has {len(classes)} labels ({shown}…)", "declare the task multiclass-classification")
    places = {label: index for index, label in enumerate(classes)}
    codes = np.array([places[label] for label in present], dtype=np.float64)
    return Target(rows, codes, tuple(classes), positive, len(labels) - len(rows))


def _positive(classes: list[Scalar], data: ModelData) -> Scalar:
    """Return the label that the spec calls positive; without one it is True, or 1 beside 0."""
    if data.positive is None:
        if set(classes) == {0, 1}:
            return classes[-1]
        raise _bad(data, f"has labels {classes[:5]!r}, and none is called positive", "set spec.data.positive")
    for same in (lambda label: label == data.positive, lambda label: spelling(label) == spelling(data.positive)):
        found = [label for label in classes if same(label)]
        if found:
            return found[0]
    raise _bad(data, f"never has the value {data.positive!r} that is called positive", f"its labels: {classes[:5]!r}")


def _bad(data: ModelData, what: str, hint: str | None = None) -> ModelOpsError:
    return failure("bad-target", f"the target {data.target!r} {what}", dotted="spec.data.target", hint=hint)
