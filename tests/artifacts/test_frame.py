"""The feature frame: which values become which columns."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelops.artifacts import Input, columns, frame
from modelops.errors import ModelOpsError

NAN = math.nan


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("number", [1, 2.5, None, "3.5", ""], [1.0, 2.5, NAN, 3.5, NAN]),
        ("integer", [1, None, 7.0], [1.0, NAN, 7.0]),
        ("boolean", [True, False, None, "Yes", "no", 1], [1.0, 0.0, NAN, 1.0, 0.0, 1.0]),
        (
            "datetime",
            [datetime(1970, 1, 2, tzinfo=UTC), date(1970, 1, 1), "1970-01-01T01:00:00Z", None],
            [86400.0, 0.0, 3600.0, NAN],
        ),
    ],
)
def test_numbers_booleans_and_instants_become_float64(kind: Any, values: list[Any], expected: list[float]) -> None:
    """Every type but category is a float64 column, missing as NaN."""
    found = columns({"x": values}, [Input(name="x", type=kind)])["x"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


def test_categories_are_strings_with_one_spelling_per_value() -> None:
    """3, 3.0 and "3" are one category, and missing is the empty string."""
    found = columns({"c": [3, 3.0, "3", None, NAN, True, 2.5]}, [Input(name="c", type="category")])["c"]
    assert found.tolist() == ["3", "3", "3", "", "", "true", "2.5"]


@pytest.mark.parametrize(
    ("array", "kind", "expected"),
    [
        (pa.array([1, None, 3], pa.int32()), "integer", [1.0, NAN, 3.0]),
        (pa.array([True, None, False]), "boolean", [1.0, NAN, 0.0]),
        (pa.array([0, None, 1_500_000], pa.timestamp("us")), "datetime", [0.0, NAN, 1.5]),
        (pa.array([0, 86_400_000_000_000], pa.timestamp("ns", "Europe/Berlin")), "datetime", [0.0, 86400.0]),
        (pa.array([0, 1], pa.date32()), "datetime", [0.0, 86400.0]),
        (pa.array([None, None]), "number", [NAN, NAN]),
    ],
)
def test_arrow_columns_convert_like_lists(array: pa.Array, kind: Any, expected: list[float]) -> None:
    """Arrow types give the values that the same Python objects give, nulls included."""
    feature = Input(name="x", type=kind)
    found = columns(pa.table({"x": pa.chunked_array([array])}), [feature])["x"]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(columns({"x": array.to_pylist()}, [feature])["x"], expected)


def test_the_frame_has_the_features_in_order_and_two_dtypes() -> None:
    """Columns that are no features are left out; dtypes are float64 and object whatever pandas infers."""
    features = [Input(name="b", type="category"), Input(name="a", type="number")]
    found = frame({"a": [1, 2], "z": [0, 0], "b": ["x", None]}, features)
    assert list(found.columns) == ["b", "a"]
    assert [str(dtype) for dtype in found.dtypes] == ["object", "float64"]
    assert frame({"a": [], "b": []}, features).shape == (0, 2)


@pytest.mark.parametrize(
    ("kind", "values", "code", "says"),
    [
        ("number", [1, "many"], "bad-value", "row 2: 'many' is not a number"),
        ("boolean", ["maybe"], "bad-value", "'maybe' is not a boolean"),
        ("datetime", ["yesterday"], "bad-value", "'yesterday' is not a datetime"),
        ("category", [["a"]], "bad-value", "is not a category"),
        ("number", [1.0, math.inf], "bad-value", "row 2: the value is infinite"),
    ],
)
def test_a_value_that_does_not_fit_names_column_and_row(kind: Any, values: list[Any], code: str, says: str) -> None:
    """The error holds the column, the row counted from 1 and the value."""
    with pytest.raises(ModelOpsError) as caught:
        columns({"x": values}, [Input(name="x", type=kind)])
    assert caught.value.problems[0].code == code
    assert "'x'" in caught.value.problems[0].message
    assert says in caught.value.problems[0].message


def test_an_absent_column_is_named() -> None:
    """A table without a feature's column is an error that lists what there is."""
    with pytest.raises(ModelOpsError, match="missing-column") as caught:
        columns({"y": [1]}, [Input(name="x", type="number")])
    assert caught.value.problems[0].hint == "columns: y"
