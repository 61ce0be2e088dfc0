"""What task a target column makes."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from modelops.errors import Exit, ModelOpsError
from modelops.scaffold.target import infer_target, require_column


def column(values: list[object]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values)])


@pytest.mark.parametrize(
    ("values", "task", "positive"),
    [
        (["non"] * 5 + ["oui"] * 15, "binary-classification", "oui"),
        (["Nein"] * 5 + ["Ja"] * 15, "binary-classification", "Ja"),
        (["Yes", "No", "No"] * 20, "binary-classification", "Yes"),
        ([0, 1, 1, 1] * 20, "binary-classification", 1),
        ([True, False] * 20, "binary-classification", True),
        ([1.0, 0.0, None] * 20, "binary-classification", 1),
        (["stayed", "churned", "churned"] * 20, "binary-classification", "churned"),
        (["a", "b", "b"] * 20, "binary-classification", "a"),
        ([1, 2, 2] * 20, "binary-classification", 1),
        (["red", "green", "blue"] * 20, "multiclass-classification", None),
        ([1, 2, 3, 4, 5] * 20, "multiclass-classification", None),
        ([3.0, 4.0, 5.0, None] * 20, "multiclass-classification", None),
        (list(range(5000)), "regression", None),
        ([1, 2, 3, 4, 5, 6], "regression", None),
        ([0] * 400 + [1] * 300 + [2] * 200 + [3] * 90 + [4] * 40 + [5] * 9 + [7], "regression", None),
        (list(range(10)) * 50, "multiclass-classification", None),
        ([1.5, 2.5, 3.25] * 20, "regression", None),
    ],
)
def test_the_task_follows_from_the_values(values: list[object], task: str, positive: object) -> None:
    """Two labels are binary, few are classes, numbers are regressed on; the positive label is named or rare."""
    found = infer_target("target", column(values))
    assert (found.task, found.positive) == (task, positive)


def test_labels_are_counted_without_the_missing_ones() -> None:
    """Rows without a target are no rows to learn from."""
    found = infer_target("target", column(["a", "b", None, "", "b"]))
    assert (found.classes, found.counts, found.rows, found.rarest) == (("a", "b"), (1, 2), 3, 1)


def test_what_could_be_meant_otherwise_is_said() -> None:
    """Counts, grades in order and classes that are too rare to be measured, each with the way out."""
    goals = infer_target("goals", column([0] * 400 + [1] * 300 + [2] * 200 + [3] * 90 + [4] * 40 + [5] * 9 + [12]))
    assert "a count" in goals.said
    assert "--task multiclass-classification" in goals.said
    assert "--task regression keeps it" in infer_target("grade", column([1, 2, 3, 4, 5] * 20)).said
    engines = infer_target("engine", column(["jet"] * 900 + ["prop"] * 90 + ["4 Cycle"] * 2))
    assert "on which nothing can be measured: '4 Cycle' has 2" in engines.said
    assert infer_target("colour", column(["red", "green", "blue"] * 50)).remarks == ()
    assert "'yes' counts as positive, by its name" in infer_target("left", column(["yes", "no"] * 20)).said


def test_task_and_positive_label_can_be_asked_for() -> None:
    """What the user says wins over what is inferred."""
    assert infer_target("target", column([1, 2, 3] * 20), task="regression").task == "regression"
    assert infer_target("target", column(["a", "b", "b"]), positive="B").positive == "b"


@pytest.mark.parametrize(
    ("values", "options", "code"),
    [
        (["a"] * 5, {}, "target-constant"),
        ([None, None], {}, "target-missing"),
        ([float("nan")] * 3, {}, "target-missing"),
        ([1.0, float("inf")], {}, "target-unusable"),
        ([[1], [2]], {}, "target-unusable"),
        ([datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)], {}, "target-unusable"),
        ([f"name {number}" for number in range(100)], {}, "target-unusable"),
        (["a", "b", "c"], {"task": "binary-classification"}, "target-unusable"),
        (["a", "b", "c"], {"task": "regression"}, "target-unusable"),
        (["a", "b"], {"positive": "c"}, "unknown-label"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(values: list[object], options: dict[str, str], code: str) -> None:
    """Each way in which a target is unusable has its own code."""
    with pytest.raises(ModelOpsError) as caught:
        infer_target("target", column(values), **options)  # type: ignore[arg-type]
    assert caught.value.problems[0].code == code


def test_an_absent_column_is_answered_with_the_nearest() -> None:
    """A typo in --target names the column that was meant."""
    with pytest.raises(ModelOpsError) as caught:
        require_column("churnd", ["age", "churned"], "--target")
    problem = caught.value.problems[0]
    assert (problem.code, caught.value.exit, problem.hint) == ("unknown-column", Exit.FILES, "did you mean 'churned'?")
