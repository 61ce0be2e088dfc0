"""The target column: labels, their codes, and what is refused."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from modelops.errors import ModelOpsError
from modelops.spec.kinds.model import ModelData, Task
from modelops.training.target import encode

FEATURES = ({"name": "x", "type": "number"},)


def data(positive: Any = None) -> ModelData:
    return ModelData.model_validate(
        {"snapshot": "s", "target": "y", "positive": positive, "features": FEATURES}, strict=False
    )


@pytest.mark.parametrize(
    ("task", "positive", "values", "codes", "classes"),
    [
        ("binary-classification", "bad", ["good", "bad", None, "good"], [0, 1, 0], ("good", "bad")),
        ("binary-classification", None, [0, 1, 1], [0, 1, 1], (0, 1)),
        ("binary-classification", None, [True, False], [1, 0], (False, True)),
        ("binary-classification", "1", [1.0, 2.0, None], [1, 0], (2, 1)),
        ("binary-classification", "true", [True, False], [1, 0], (False, True)),
        ("multiclass-classification", None, ["c", "a", "", "b"], [2, 0, 1], ("a", "b", "c")),
        ("multiclass-classification", None, [3, 10, 3], [0, 1, 0], (3, 10)),
        ("regression", None, [1, 2.5, None], [1.0, 2.5], ()),
    ],
)
def test_labels_are_coded_and_rows_without_one_left_out(
    task: Task, positive: Any, values: list[Any], codes: list[float], classes: tuple[Any, ...]
) -> None:
    """The positive label is 1; classes keep their original values, in the estimator's order."""
    target = encode(pa.table({"y": values}), data(positive), task)
    assert target.values.tolist() == codes
    assert target.classes == classes
    assert target.missing == len(values) - len(codes)
    assert [values[row] for row in target.rows] == [value for value in values if value not in (None, "")]


@pytest.mark.parametrize(
    ("task", "positive", "values", "says"),
    [
        ("binary-classification", "bad", [None, None], "is missing in every row"),
        ("binary-classification", "bad", ["bad", "bad"], "has the same value in every row"),
        ("binary-classification", "bad", ["good", "fine"], "never has the value 'bad'"),
        ("binary-classification", None, ["good", "bad"], "none is called positive"),
        ("binary-classification", "a", ["a", "b", "c"], "has 3 labels"),
        ("multiclass-classification", None, [str(i) for i in range(1001)], "has 1001 different labels"),
        ("regression", None, [4.0, 4.0], "has the same value in every row"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(task: Task, positive: Any, values: list[Any], says: str) -> None:
    """All missing, constant, or other labels than the task allows: one sentence with the target's name."""
    with pytest.raises(ModelOpsError, match="bad-target") as caught:
        encode(pa.table({"y": values}), data(positive), task)
    assert says in caught.value.problems[0].message
    assert "'y'" in caught.value.problems[0].message


def test_an_absent_target_and_a_word_in_a_regression_are_named() -> None:
    """A missing column and a value that is no number have codes of their own."""
    with pytest.raises(ModelOpsError, match="missing-column"):
        encode(pa.table({"z": [1]}), data(), "regression")
    with pytest.raises(ModelOpsError, match="row 2: 'many' is not a number"):
        encode(pa.table({"y": ["1", "many"]}), data(), "regression")
